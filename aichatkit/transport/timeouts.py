"""Time limits: the timeouts a user sets, and the deadline of a call."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from typing import Any, Callable

from aichatkit._dataclasses import dataclass, replace
from aichatkit.errors import ConfigurationError, DeadlineExceededError
from aichatkit.params import is_number

__all__ = ["Deadline", "Timeout"]


@dataclass(frozen=True)
class Timeout:
    """Time limits of one call in seconds; None keeps the default.

    `connect` limits each connection attempt (default 5), `read` each wait for data (default 60, local servers 300),
    `total` the entire call including retries, waits and streaming (default: no limit).

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
        """Return a Timeout for any value a user may pass: None, seconds, (connect, read) or a Timeout.

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

    @lru_cache(maxsize=256)  # noqa: B019 (small, holds no references, and the same for every call of a client)
    def filled(self, *, connect: float, read: float) -> Timeout:
        """Return a Timeout with these defaults for the values that are not set."""
        return replace(
            self,
            connect=connect if self.connect is None else self.connect,
            read=read if self.read is None else self.read,
        )


class Deadline:
    """The time by which a call must end, on a monotonic clock; without `total` there is no deadline."""

    def __init__(self, total: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.clock = clock
        self._end = None if total is None else clock() + total

    def remaining(self) -> float | None:
        """Return the remaining seconds, or None without a deadline."""
        return None if self._end is None else self._end - self.clock()

    def bound(self, seconds: float) -> float:
        """Return `seconds` or the remaining time, whichever is less; raise if no time remains."""
        if self._end is None:
            return seconds
        remaining = self._end - self.clock()
        if remaining <= 0:
            raise self.error()
        return min(seconds, remaining)

    def bound_timeout(self, timeout: Timeout) -> tuple[float, float]:
        """Return the connect and read timeouts in seconds, neither longer than the remaining time."""
        return self.bound(timeout.connect or 0), self.bound(timeout.read or 0)

    def error(self, reason: str = "") -> DeadlineExceededError:
        """Build the error for a missed deadline."""
        return DeadlineExceededError(
            f"the total timeout of {self.total:g} s expired; raise it with timeout=Timeout(total=...)",
            reason=reason,
        )


def _is_positive(value: Any) -> bool:
    return is_number(value, above=0) and value < math.inf
