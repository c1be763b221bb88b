"""Client-side rate limits by provider and key, shared by the threads of a client, or by machines through a storage."""

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
    # Needs a database; most rates are counted in memory.
    shared_rates = lazy_module("aichatkit.limits.shared_rates")

__all__ = ["Rate", "RateLimiter", "Slot"]

_UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
_UNITS.update({"d": 86400.0, "day": 86400.0})
_QUOTA = r"\s*([0-9]{1,12})\s*(?:/|per)\s*([0-9]{0,6})\s*([a-z]+?)s?\s*"
#: Seconds between checks whether the client was closed, while waiting for a free slot.
_POLL_INTERVAL = 0.05


@dataclass(frozen=True)
class Rate:
    """A rate limit for one provider and key; all limits that are set apply.

    `requests` and `tokens` are counts per sliding window, such as "60/min" or "100000/min"; `concurrent` is the number
    of answers in progress at the same time. `storage` is a URI such as "redis://host/0" or "sqlite:///rates.db" that
    processes and machines share (extra `limits`); `concurrent` applies to this client only.

    >>> Rate.of("60/min")
    Rate(requests='60/min', tokens=None, concurrent=None)
    """

    requests: str | None = None
    tokens: str | None = None
    concurrent: int | None = None
    # Its URI may contain a password.
    storage: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("requests", "tokens"):
            parse_quota(getattr(self, name), name)
        if self.concurrent is not None and not is_integer(self.concurrent, minimum=1):
            raise ConfigurationError(f"rate: concurrent must be a whole number from 1 on, not {self.concurrent!r}")
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
    match = re.fullmatch(_QUOTA, text.lower()) if isinstance(text, str) else None
    if match is None or match.group(3) not in _UNITS or not int(match.group(1)) or match.group(2) == "0":
        raise ConfigurationError(f'rate: {name} must look like "60/min" or "5/10s", not {text!r}')
    return int(match.group(1)), int(match.group(2) or 1) * _UNITS[match.group(3)]


class Counter(Protocol):
    """Something that counts within a sliding window."""

    def take(self, weight: int) -> tuple[float, Any]:
        """Take `weight`; return the seconds until it is available, and a receipt.

        Without a receipt nothing was taken: try again after these seconds.
        """

    def settle(self, receipt: Any, real: int) -> None:
        """Replace the weight taken for this receipt by the weight really used."""


@dataclass
class _Reservation:
    moment: float
    weight: int
    counted: bool = True


class WindowCounter:
    """Count within a sliding window, exactly, for the threads of one process."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._reservations: deque[_Reservation] = deque()
        self._sum = 0
        self._lock = Lock()

    def take(self, weight: int) -> tuple[float, _Reservation]:
        """Take `weight`, at a later moment if it does not fit now; return the seconds until then, and a receipt.

        First come, first served: no caller has to try twice, however many are waiting.
        """
        # A weight above the limit can never fit; it is sent when nothing else is counted.
        weight = min(weight, self._limit)
        with self._lock:
            now = self._clock()
            while self._reservations and self._reservations[0].moment <= now - self._seconds:
                self._sum -= self._reservations[0].weight
                self._reservations.popleft().counted = False
            moment = max(now, self._fits_at(weight))
            return moment - now, self._add(moment, weight)

    def settle(self, receipt: _Reservation, real: int) -> None:
        """Replace the weight taken for this receipt by the weight really used."""
        with self._lock:
            excess = real - receipt.weight
            if excess > 0:
                # Counted from now: when the service counts it is not known, and this is the latest possible moment.
                self._add(self._clock(), excess)
            elif receipt.counted:
                receipt.weight = real
                self._sum += excess

    def _add(self, moment: float, weight: int) -> _Reservation:
        reservation = _Reservation(moment, weight)
        position = len(self._reservations)
        # In order of time, behind those of callers that wait for the same moment.
        while position and self._reservations[position - 1].moment > moment:
            position -= 1
        self._reservations.insert(position, reservation)
        self._sum += weight
        return reservation

    def _fits_at(self, weight: int) -> float:
        """Return the first moment with room, not before any that another caller waits for."""
        # A reservation that was given back, with weight 0, delays no one.
        last = next((item.moment for item in reversed(self._reservations) if item.weight), 0.0)
        missing = self._sum + weight - self._limit
        if missing <= 0:
            return last
        freed = zip(self._reservations, accumulate(item.weight for item in self._reservations))
        return max(last, next(item for item, total in freed if total >= missing).moment + self._seconds)


class Slot:
    """Permission for one request; give it back with `release`."""

    def __init__(
        self, gate: threading.Semaphore | None = None, tokens: Counter | None = None, receipt: Any = None
    ) -> None:
        self._gate = gate
        self._tokens = tokens
        self._receipt = receipt
        # Acquired by the first release, and never released.
        self._released = threading.Lock()

    def release(self, used_tokens: int | None = None) -> None:
        """Free the slot and count the tokens really used; a second call does nothing."""
        if not self._released.acquire(blocking=False):
            return
        if self._gate is not None:
            self._gate.release()
        if self._tokens is not None and used_tokens is not None:
            self._tokens.settle(self._receipt, used_tokens)


class RateLimiter:
    """Applies rates separately for each provider and key; the rate named "" is for providers without their own."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float] = time.monotonic) -> None:
        self.rates = dict(rates)
        self._clock = clock
        self._lock = Lock()
        self._until = 0.0
        # By process too: slots held by threads of the parent are never released in a forked child.
        self._counters: dict[tuple[int, str, str, str], Counter] = {}
        self._gates: dict[tuple[int, str, str], threading.Semaphore] = {}

    def enter(self, provider: str, key: str, model: str, weight: int, sleeper: Sleeper) -> tuple[Slot, float]:
        """Wait until one more request may be sent; return its slot and the seconds waited.

        Raises:
            DeadlineExceededError: the wait would pass the deadline of the call; nothing was sent.
        """
        rate = self.rates.get(provider) or self.rates.get("")
        if rate is None:
            return Slot(), 0.0
        gate = self._gate(rate, provider, key)
        waited = self._pass_gate(gate, provider, model, sleeper)
        receipts: list[tuple[Counter, Any]] = []
        try:
            sleeper.check_open()
            tokens = self._counter(rate, "tokens", provider, key)
            for counter, amount in ((self._counter(rate, "requests", provider, key), 1), (tokens, weight)):
                if counter is not None:
                    waited += self._count(counter, amount, receipts, Wait(provider, model, 0.0), sleeper)
        except BaseException:
            # Nothing is sent, so nothing counts.
            for counter, receipt in receipts:
                counter.settle(receipt, 0)
            if gate is not None:
                gate.release()
            raise
        return Slot(gate, tokens, receipts[-1][1] if tokens is not None else None), waited

    def longest(self) -> float:
        """Return the seconds until the last waiting call may be sent."""
        return max(0.0, self._until - self._clock())

    def close(self) -> None:
        """Close the storages that this process has opened."""
        with self._lock:
            opened = [counter for own, counter in self._counters.items() if own[0] == os.getpid()]
        for counter in opened:
            if isinstance(counter, shared_rates.SharedCounter):
                counter.close()

    def _pass_gate(self, gate: threading.Semaphore | None, provider: str, model: str, sleeper: Sleeper) -> float:
        if gate is None or gate.acquire(blocking=False):
            return 0.0
        started = self._clock()
        sleeper.announce(Wait(provider, model, 0.0))
        while not gate.acquire(timeout=sleeper.deadline.bound(_POLL_INTERVAL)):
            sleeper.check_open()
        return self._clock() - started

    def _count(
        self, counter: Counter, amount: int, receipts: list[tuple[Counter, Any]], wait: Wait, sleeper: Sleeper
    ) -> float:
        waited = 0.0
        while True:
            seconds, receipt = counter.take(amount)
            if receipt is not None:
                receipts.append((counter, receipt))
            if seconds <= 0:
                return waited
            self._until = max(self._until, self._clock() + seconds)
            sleeper.wait(wait._replace(seconds=seconds))
            waited += seconds
            if receipt is not None:
                return waited

    def _gate(self, rate: Rate, provider: str, key: str) -> threading.Semaphore | None:
        if rate.concurrent is None:
            return None
        with self._lock:
            own = (os.getpid(), provider, key)
            return self._gates.setdefault(own, threading.BoundedSemaphore(rate.concurrent))

    def _counter(self, rate: Rate, unit: str, provider: str, key: str) -> Counter | None:
        quota = parse_quota(getattr(rate, unit), unit)
        if quota is None:
            return None
        with self._lock:
            own = (os.getpid(), unit, provider, key)
            counter = self._counters.get(own)
            if counter is None:
                counter = self._counters[own] = self._build(rate, f"{unit}:{provider}:{key}", quota)
            return counter

    def _build(self, rate: Rate, name: str, quota: tuple[int, float]) -> Counter:
        if rate.storage is None:
            return WindowCounter(*quota, self._clock)
        return shared_rates.SharedCounter(
            rate.storage, f"aichatkit:{name}", *quota, sliding=name.startswith("requests")
        )

    def __getstate__(self) -> dict[str, Any]:
        # Counts in memory are not pickled; processes share rates through a storage.
        return {"rates": self.rates, "clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["rates"], state["clock"])  # type: ignore[misc]
