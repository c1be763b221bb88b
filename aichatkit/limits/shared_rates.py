"""Rate limits that processes and machines share, based on pyrate-limiter (extra `limits`)."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from functools import partial
from typing import Any

from aichatkit._locks import Lock
from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError, ConnectError

__all__ = ["SharedCounter"]

#: Defaults that the URI may override; without them a storage that hangs would block forever.
_REDIS_LIMITS = {"socket_timeout": 5.0, "socket_connect_timeout": 5.0}


class SharedCounter:
    """Count within a sliding window in a shared storage.

    Requests are counted exactly; tokens in a bucket that refills evenly, as there are too many to record each.
    """

    def __init__(self, storage: str, name: str, limit: int, seconds: float, *, sliding: bool) -> None:
        self._limit = limit
        self._name = name
        self._lock = Lock()
        self._build = partial(_build_bucket, storage, name, limit, seconds, sliding)
        self._bucket: Any = None

    def reserve(self, weight: int) -> tuple[float, int | None]:
        """Reserve `weight` and return 0 and the weight, or reserve nothing and return the seconds until it may fit."""
        weight = min(weight, self._limit)
        try:
            with self._lock:
                seconds = self._put(weight)
                return seconds, None if seconds else weight
        except _storage_errors() as error:
            problem, reason = type(error).__name__, _reason(error)
        failure = ConnectError(
            f"rate: the storage cannot be used ({problem}); is it running?", action="stop", reason=reason
        )
        # Not a failure of the provider, so it gets no cooldown.
        failure.scope = ""  # type: ignore[misc]
        raise failure

    def settle(self, reservation: int, used: int) -> None:
        """Count what was used beyond the estimate, as far as it fits; unused weight returns as the bucket refills."""
        excess = used - reservation
        # The answer has arrived; a storage that is gone by now must not fail it.
        with contextlib.suppress(ConnectError):
            while excess > 0 and self.reserve(excess)[0] > 0:
                excess //= 2

    def close(self) -> None:
        """Close the connection to the storage; the next use opens another."""
        with self._lock:
            bucket, self._bucket = self._bucket, None
        if bucket is not None:
            bucket.close()

    def _put(self, weight: int) -> float:
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
        server = _redis_server(storage)
        if sliding:
            return limiter.RedisBucket.init(rates, server, name)
        return limiter.StateBucket(rates, limiter.TokenBucket(), limiter.RedisStateStore(server, name))
    if scheme == "sqlite" and path[1:]:
        # Without the file lock, processes can exceed the limit together.
        table = "".join(character if character.isalnum() else "_" for character in name)
        return limiter.SQLiteBucket.init_from_file(rates, table, path[1:], use_file_lock=True)
    raise ConfigurationError(f"rate: storage must be like redis://host/0 or sqlite:///rates.db, not {scheme[:20]!r}")


def _pyrate_limiter() -> Any:
    try:
        import pyrate_limiter
    except ImportError as error:
        raise ConfigurationError(
            "rate: storage needs the extra: pip install 'aichatkit[limits]'", reason=reason_of(error)
        ) from None
    return pyrate_limiter


def _storage_errors() -> tuple[type[Exception], ...]:
    loaded = sys.modules.get("redis")
    return (OSError, sqlite3.Error) if loaded is None else (OSError, sqlite3.Error, loaded.RedisError)


def _reason(error: Exception) -> str:
    # Other texts come from a server, which may echo a password.
    is_local = isinstance(error, (OSError, sqlite3.Error)) or type(error).__name__ in (
        "ConnectionError",
        "TimeoutError",
    )
    return reason_of(error) if is_local else type(error).__name__


def _redis_server(storage: str) -> Any:
    try:
        import redis
    except ImportError as error:
        raise ConfigurationError(
            "rate: a redis:// storage needs the redis package: pip install redis", reason=reason_of(error)
        ) from None
    try:
        return redis.Redis.from_url(storage, **_REDIS_LIMITS)
    except ValueError as error:
        # Its text may hold a part of the password.
        raise ConfigurationError(
            "rate: the redis:// URI of the storage cannot be read", reason=type(error).__name__
        ) from None
