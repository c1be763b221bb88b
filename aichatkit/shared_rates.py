"""Rates that processes and machines share, on pyrate-limiter (extra `limits`)."""

from __future__ import annotations

import sqlite3
import sys
import threading
from functools import partial
from typing import Any

from aichatkit.errors import ConfigurationError, ConnectError

__all__ = ["SharedCounter"]


class SharedCounter:
    """Count within a sliding time in a storage that others use as well.

    Requests are counted exactly; tokens by a bucket that refills evenly, as there are too many to keep one by one.
    """

    def __init__(self, storage: str, name: str, limit: int, seconds: float, *, sliding: bool) -> None:
        self._limit = limit
        self._name = name
        self._lock = threading.Lock()
        self._build = partial(_build_bucket, storage, name, limit, seconds, sliding)
        self._bucket: Any = None

    def take(self, weight: int) -> float:
        """Take `weight` and return 0, or take nothing and return the seconds until it may fit."""
        try:
            with self._lock:
                return self._take(min(weight, self._limit))
        except _storage_errors() as error:
            reason = type(error).__name__
        raise ConnectError(f"rate: the storage cannot be used ({reason}); is it running?", action="stop")

    def settle(self, weight: int, real: int) -> None:
        """Count what was used beyond the estimate; what was used less comes back with time."""
        if real > weight:
            self.take(real - weight)

    def _take(self, weight: int) -> float:
        if self._bucket is None:
            self._bucket = self._build()
        item = _pyrate_limiter().RateItem(self._name, self._bucket.now(), weight=weight)
        if self._bucket.put(item):
            self._bucket.leak(item.timestamp)
            return 0.0
        return max(float(self._bucket.waiting(item)) / 1000, 0.001)


def _build_bucket(storage: str, name: str, limit: int, seconds: float, sliding: bool) -> Any:
    limiter = _pyrate_limiter()
    rates = [limiter.Rate(limit, round(seconds * 1000))]
    scheme, _, path = storage.partition("://")
    if scheme in ("redis", "rediss", "unix"):
        server = _redis().Redis.from_url(storage)
        if sliding:
            return limiter.RedisBucket.init(rates, server, name)
        return limiter.StateBucket(rates, limiter.TokenBucket(), limiter.RedisStateStore(server, name))
    if scheme == "sqlite":
        # Without the file lock the library lets processes pass the limit together.
        table = "".join(character if character.isalnum() else "_" for character in name)
        return limiter.SQLiteBucket.init_from_file(rates, table, path[1:] or None, use_file_lock=True)
    raise ConfigurationError(f"rate: storage must be a redis:// or sqlite:// URI, not {scheme!r}")


def _pyrate_limiter() -> Any:
    try:
        import pyrate_limiter
    except ImportError:
        raise ConfigurationError("rate: storage needs the extra: pip install 'aichatkit[limits]'") from None
    return pyrate_limiter


def _storage_errors() -> tuple[type[Exception], ...]:
    loaded = sys.modules.get("redis")
    return (OSError, sqlite3.Error) if loaded is None else (OSError, sqlite3.Error, loaded.RedisError)


def _redis() -> Any:
    try:
        import redis
    except ImportError:
        raise ConfigurationError("rate: a redis:// storage needs the redis package: pip install redis") from None
    return redis
