"""How long things may take: the limits a user sets, and the deadline a call runs against."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import Any, Callable

from aichatkit._dataclasses import dataclass, replace
from aichatkit.errors import ConfigurationError, DeadlineExceededError

__all__ = ["Deadline", "Timeout"]


@dataclass(frozen=True)
class Timeout:
    """Limits of one call in seconds; None keeps the default.

    `connect` bounds each try to connect (default 5), `read` the longest silence (default 60, local servers 300),
    `total` the whole call with its retries, waits and stream (default: no bound).

    >>> Timeout(read=10).read
    10
    """

    connect: float | None = None
    read: float | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        for name in ("connect", "read", "total"):
            value = getattr(self, name)
            if value is not None and not _is_positive(value):
                raise ConfigurationError(f"timeout: {name} must be a positive number of seconds, not {value!r}")

    @classmethod
    def of(cls, value: Any) -> Timeout:
        """Return a Timeout for what a user may pass: None, seconds, (connect, read) or a Timeout.

        >>> Timeout.of(3)
        Timeout(connect=3, read=3, total=None)
        """
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        if isinstance(value, tuple) and len(value) == 2:
            return cls(connect=value[0], read=value[1])
        return cls(connect=value, read=value)

    @lru_cache(maxsize=256)  # noqa: B019 (small, without references, and the same for every call of a client)
    def filled(self, *, connect: float, read: float) -> Timeout:
        """Return a Timeout with the defaults put in where nothing was set."""
        return replace(
            self,
            connect=connect if self.connect is None else self.connect,
            read=read if self.read is None else self.read,
        )


class Deadline:
    """The moment a call must have ended, by a monotonic clock; without `total` it never comes."""

    def __init__(self, total: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.clock = clock
        self._end = None if total is None else clock() + total

    def left(self) -> float | None:
        """Return the seconds left, None without a limit."""
        return None if self._end is None else self._end - self.clock()

    def bound(self, seconds: float) -> float:
        """Return `seconds` or what is left, whichever is less; raise when nothing is left."""
        if self._end is None:
            return seconds
        left = self._end - self.clock()
        if left <= 0:
            raise self.error()
        return min(seconds, left)

    def bound_timeout(self, timeout: Timeout) -> tuple[float, float]:
        """Return the connect and read timeouts in seconds, neither longer than the time remaining."""
        return self.bound(timeout.connect or 0), self.bound(timeout.read or 0)

    def error(self) -> DeadlineExceededError:
        """Return the error that says this deadline has passed."""
        return DeadlineExceededError(
            f"the total time of {self.total:g} s ran out; allow more with timeout=Timeout(total=...)"
        )


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
