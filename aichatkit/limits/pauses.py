"""Pauses a service asked for, which hold for every worker of a run."""

from __future__ import annotations

import time
from typing import Callable

from aichatkit._locks import Lock
from aichatkit.limits.cooldowns import CooldownKey

__all__ = ["Pauses"]

#: Pauses that are remembered before the past ones are forgotten.
_MOST = 1000


class Pauses:
    """When a provider may be asked again with a key for a model, by its own word."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[CooldownKey, float] = {}
        self._lock = Lock()

    def note(self, subject: CooldownKey, seconds: float) -> None:
        """Remember that a service asks to be left alone for a while; the later end counts."""
        with self._lock:
            now = self._clock()
            if len(self._ends) >= _MOST:
                self._ends = {known: end for known, end in self._ends.items() if end > now}
            self._ends[subject] = max(now + seconds, self._ends.get(subject, 0.0))

    def until(self, subject: CooldownKey) -> float:
        """Return when this one may be asked again, by the clock; 0 where no pause is known."""
        with self._lock:
            return self._ends.get(subject, 0.0)

    def longest(self) -> float:
        """Return the seconds of the longest pause there is now."""
        with self._lock:
            return max(0.0, max(self._ends.values(), default=0.0) - self._clock())

    def __getstate__(self) -> dict[str, object]:
        # What another process was told is not known to be true of this one's address and key.
        return {"_clock": self._clock}

    def __setstate__(self, state: dict[str, Callable[[], float]]) -> None:
        self.__init__(state["_clock"])  # type: ignore[misc]
