"""Client-side rate limits by provider and key, for all threads of a client or all machines that share a storage."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Callable, Protocol

from aichatkit._dataclasses import dataclass, field
from aichatkit._lazy import lazy_module
from aichatkit._locks import Lock
from aichatkit.errors import ConfigurationError
from aichatkit.limits.waits import Sleeper, Wait
from aichatkit.params import is_integer

if TYPE_CHECKING:
    from aichatkit.limits import shared_rates
else:
    # Few rate limits are shared through a storage.
    shared_rates = lazy_module("aichatkit.limits.shared_rates")

__all__ = ["Rate", "RateLimiter", "Slot"]

_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_UNITS.update({"d": 86400.0, "day": 86400.0})
_QUOTA_PATTERN = r"\s*([0-9]{1,12})\s*(?:/|per)\s*([0-9]{0,6})\s*([a-z]+?)s?\s*"
#: How often a wait for a free slot checks whether the client was closed, in seconds.
_POLL_INTERVAL = 0.05


@dataclass(frozen=True)
class Rate:
    """A rate limit for each provider and key; every limit that is set applies.

    `requests` and `tokens` are counts within a sliding window, such as "60/min" or "100000/min"; `concurrent` limits
    the answers in progress at the same time. `storage` is a URI such as "redis://host/0" or "sqlite:///rates.db" that
    processes and machines share (extra `limits`); `concurrent` counts within this client only.

    >>> Rate.of("60/min")
    Rate(requests='60/min', tokens=None, concurrent=None)
    """

    requests: str | None = None
    tokens: str | None = None
    concurrent: int | None = None
    # It may hold a password.
    storage: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("requests", "tokens"):
            parse_quota(getattr(self, name), name)
        if self.concurrent is not None and not is_integer(self.concurrent, minimum=1):
            raise ConfigurationError(f"rate: concurrent must be an integer of at least 1, not {self.concurrent!r}")
        if self.requests is None and self.tokens is None and self.concurrent is None:
            raise ConfigurationError("rate: set at least one of requests, tokens and concurrent")

    @classmethod
    def of(cls, value: Any) -> Rate | None:
        """Return the Rate for a value that a user may pass: None, "60/min" or a Rate."""
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls(requests=value)
        raise ConfigurationError(f'rate: must be a text such as "60/min" or a Rate, not {type(value).__name__}')


def parse_quota(text: Any, name: str = "requests") -> tuple[int, float] | None:
    """Return the count and the seconds of a text such as "60/min"; None for None.

    >>> parse_quota("60/min"), parse_quota("5 per 10 seconds")
    ((60, 60.0), (5, 10.0))
    """
    if text is None:
        return None
    match = re.fullmatch(_QUOTA_PATTERN, text.lower()) if isinstance(text, str) else None
    if match is None or match.group(3) not in _UNITS or not int(match.group(1)) or match.group(2) == "0":
        raise ConfigurationError(f'rate: {name} must look like "60/min" or "5/10s", not {text!r}')
    return int(match.group(1)), int(match.group(2) or 1) * _UNITS[match.group(3)]


class Counter(Protocol):
    """A counter within a sliding window."""

    def reserve(self, weight: int) -> tuple[float, Any]:
        """Reserve `weight` and return the seconds until it may be used, with the reservation.

        If the reservation is None, nothing was reserved; call again after the seconds.
        """

    def settle(self, reservation: Any, used: int) -> None:
        """Replace the reserved weight by what was actually used."""


@dataclass
class _Reservation:
    #: When it may be used, by the counter's clock.
    start: float
    weight: int
    counted: bool = True


class WindowCounter:
    """An exact sliding-window counter for the threads of one process."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        #: Sorted by start.
        self._reservations: deque[_Reservation] = deque()
        self._sum = 0
        self._lock = Lock()

    def reserve(self, weight: int) -> tuple[float, _Reservation]:
        """Reserve `weight`, for a later time if it does not fit now; return the seconds until then.

        First come, first served: however many threads wait, each reserves only once.
        """
        # More than the limit could never fit, so it counts as the limit and waits for an empty window.
        weight = min(weight, self._limit)
        with self._lock:
            now = self._clock()
            while self._reservations and self._reservations[0].start <= now - self._seconds:
                self._sum -= self._reservations[0].weight
                self._reservations.popleft().counted = False
            start = max(now, self._earliest_start(weight))
            return start - now, self._add(start, weight)

    def settle(self, reservation: _Reservation, used: int) -> None:
        """Replace the reserved weight by what was actually used."""
        with self._lock:
            excess = used - reservation.weight
            if excess > 0:
                # Counted from now: it is not known when the service counts it, and this is the safe assumption.
                self._add(self._clock(), excess)
            elif reservation.counted:
                reservation.weight = used
                self._sum += excess

    def _add(self, start: float, weight: int) -> _Reservation:
        reservation = _Reservation(start, weight)
        index = len(self._reservations)
        # Other threads may have reserved later times.
        while index and self._reservations[index - 1].start > start:
            index -= 1
        self._reservations.insert(index, reservation)
        self._sum += weight
        return reservation

    def _earliest_start(self, weight: int) -> float:
        """Return the first time at which the window has room, not before the last one that is reserved already."""
        # A reservation that was given back has no weight and delays nothing.
        last = next((other.start for other in reversed(self._reservations) if other.weight), 0.0)
        missing = self._sum + weight - self._limit
        if missing <= 0:
            return last
        freed = zip(self._reservations, accumulate(other.weight for other in self._reservations))
        return max(last, next(other for other, total in freed if total >= missing).start + self._seconds)


class Slot:
    """The permission to open one answer; end it with `release`."""

    def __init__(
        self, semaphore: threading.Semaphore | None = None, tokens: Counter | None = None, reservation: Any = None
    ) -> None:
        self._semaphore = semaphore
        self._tokens = tokens
        self._reservation = reservation
        # Acquired by the first release and never released, so that only one thread gets past it.
        self._released = threading.Lock()

    def release(self, used_tokens: int | None = None) -> None:
        """Free the slot and count the tokens that were actually used; a second call does nothing."""
        if not self._released.acquire(blocking=False):
            return
        if self._semaphore is not None:
            self._semaphore.release()
        if self._tokens is not None and used_tokens is not None:
            self._tokens.settle(self._reservation, used_tokens)


class RateLimiter:
    """Applies rates, separately for each provider and key; the rate named "" is for providers without their own."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float] = time.monotonic) -> None:
        self.rates = dict(rates)
        self._clock = clock
        self._lock = Lock()
        self._last_wait_ends = 0.0
        # By process as well: slots that threads of a parent process hold would never be freed in a forked child.
        self._counters: dict[tuple[int, str, str, str], Counter] = {}
        self._semaphores: dict[tuple[int, str, str], threading.Semaphore] = {}

    def acquire(self, provider: str, key: str, model: str, weight: int, sleeper: Sleeper) -> tuple[Slot, float]:
        """Wait until one more request may be sent; return its slot and the seconds waited.

        Raises:
            DeadlineExceededError: the wait would pass the deadline of the call; nothing was sent.
        """
        rate = self.rates.get(provider) or self.rates.get("")
        if rate is None:
            return Slot(), 0.0
        semaphore = self._semaphore(rate, provider, key)
        waited = self._acquire_semaphore(semaphore, provider, model, sleeper)
        reserved: list[tuple[Counter, Any]] = []
        try:
            sleeper.check_open()
            tokens = self._counter(rate, "tokens", provider, key)
            for counter, amount in ((self._counter(rate, "requests", provider, key), 1), (tokens, weight)):
                if counter is not None:
                    waited += self._reserve(counter, amount, reserved, Wait(provider, model, 0.0), sleeper)
        except BaseException:
            # Nothing is sent, so nothing counts.
            for counter, reservation in reserved:
                counter.settle(reservation, 0)
            if semaphore is not None:
                semaphore.release()
            raise
        return Slot(semaphore, tokens, reserved[-1][1] if tokens is not None else None), waited

    def longest(self) -> float:
        """Return the seconds until the last current wait ends."""
        return max(0.0, self._last_wait_ends - self._clock())

    def close(self) -> None:
        """Close the storages that this process has opened."""
        with self._lock:
            opened = [counter for key, counter in self._counters.items() if key[0] == os.getpid()]
        for counter in opened:
            if isinstance(counter, shared_rates.SharedCounter):
                counter.close()

    def _acquire_semaphore(
        self, semaphore: threading.Semaphore | None, provider: str, model: str, sleeper: Sleeper
    ) -> float:
        if semaphore is None or semaphore.acquire(blocking=False):
            return 0.0
        started = self._clock()
        sleeper.announce(Wait(provider, model, 0.0))
        while not semaphore.acquire(timeout=sleeper.deadline.bound(_POLL_INTERVAL)):
            sleeper.check_open()
        return self._clock() - started

    def _reserve(
        self, counter: Counter, amount: int, reserved: list[tuple[Counter, Any]], wait: Wait, sleeper: Sleeper
    ) -> float:
        waited = 0.0
        while True:
            seconds, reservation = counter.reserve(amount)
            if reservation is not None:
                reserved.append((counter, reservation))
            if seconds <= 0:
                return waited
            self._last_wait_ends = max(self._last_wait_ends, self._clock() + seconds)
            sleeper.wait(wait._replace(seconds=seconds))
            waited += seconds
            if reservation is not None:
                return waited

    def _semaphore(self, rate: Rate, provider: str, key: str) -> threading.Semaphore | None:
        if rate.concurrent is None:
            return None
        with self._lock:
            return self._semaphores.setdefault(
                (os.getpid(), provider, key), threading.BoundedSemaphore(rate.concurrent)
            )

    def _counter(self, rate: Rate, unit: str, provider: str, key: str) -> Counter | None:
        quota = parse_quota(getattr(rate, unit), unit)
        if quota is None:
            return None
        with self._lock:
            counter_key = (os.getpid(), unit, provider, key)
            counter = self._counters.get(counter_key)
            if counter is None:
                counter = self._counters[counter_key] = self._build_counter(rate, f"{unit}:{provider}:{key}", quota)
            return counter

    def _build_counter(self, rate: Rate, name: str, quota: tuple[int, float]) -> Counter:
        if rate.storage is None:
            return WindowCounter(*quota, self._clock)
        return shared_rates.SharedCounter(
            rate.storage, f"aichatkit:{name}", *quota, sliding=name.startswith("requests")
        )

    def __getstate__(self) -> dict[str, Any]:
        # Counts stay in this process; processes share them through a storage.
        return {"rates": self.rates, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["rates"], state["clock"])  # type: ignore[misc]
