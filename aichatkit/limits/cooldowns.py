"""What is out of order right now: cooldowns by provider, key and model, shared by the threads of a client.

A thing that failed is left alone for a while; then one call probes it, and success or failure decides for the rest.
"""

from __future__ import annotations

import hashlib
import time
from datetime import datetime, timedelta, timezone
from typing import Callable, NamedTuple

from aichatkit._locks import Lock
from aichatkit.errors import ChatError, QuotaExceededError, RateLimitError, StreamInterruptedError

__all__ = ["CooldownKey", "Cooldowns", "Cooling"]

#: The longest a repeated failure of a provider cools it, in seconds.
_LONGEST = 300.0
#: How soon to look again at what another thread is probing, in seconds.
_PROBED = 1.0
#: A probe that takes longer does not hold the others back any more, in seconds.
_LONGEST_PROBE = 60.0
#: Subjects that are remembered: a client may be asked for models without end.
_MOST = 1000


class CooldownKey(NamedTuple):
    """Whom a call would ask: provider, key (only as a short hash) and model."""

    provider: str
    key: str
    model: str

    @classmethod
    def of(cls, provider: str, key: str | None, model: str) -> CooldownKey:
        """Return the subject, with the key replaced by a hash that tells keys apart and gives nothing away."""
        return cls(provider, hashlib.sha256(key.encode()).hexdigest()[:8] if key else "", model)

    def scoped(self, scope: str) -> CooldownKey:
        """Return what a failure of this scope covers: "provider", "key" or "model"."""
        if scope == "provider":
            return CooldownKey(self.provider, "", "")
        return CooldownKey(self.provider, self.key, self.model if scope == "model" else "")

    def scopes(self) -> tuple[CooldownKey, ...]:
        """Return everything that can stand in the way of asking this subject."""
        return tuple(dict.fromkeys(self.scoped(scope) for scope in ("provider", "key", "model")))


class Cooling(NamedTuple):
    """One thing that is left alone for now, as `client.health` lists it.

    `key` is a short hash ("" where the key does not matter), `model` "" where all models are meant;
    `seconds` are left until `until`.
    """

    provider: str
    key: str
    model: str
    reason: str
    failures: int
    seconds: float
    until: datetime


class _State:
    def __init__(self, until: float) -> None:
        self.until = until
        self.failures = 0
        self.reason = ""
        self.probe_ends = 0.0


class Cooldowns:
    """The cooldown table of one client."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[CooldownKey, _State] = {}
        self._lock = Lock()

    def __getstate__(self) -> dict[str, object]:
        # What cools here is this process's own experience.
        return {"_clock": self._clock}

    def __setstate__(self, state: dict[str, Callable[[], float]]) -> None:
        self.__init__(state["_clock"])  # type: ignore[misc]

    def admit(self, subject: CooldownKey) -> float:
        """Return 0 where the subject may be asked now, else the seconds to wait; the first after a cooldown probes."""
        if not self._states:
            return 0.0
        with self._lock:
            now = self._clock()
            states = [state for scope in subject.scopes() if (state := self._states.get(scope)) is not None]
            wait = max((_remaining(state, now) for state in states), default=0.0)
            if wait <= 0:
                for state in states:
                    state.probe_ends = now + _LONGEST_PROBE
            return wait

    def peek(self, subject: CooldownKey, *, probes: bool = True) -> float:
        """Return what `admit` would, without starting a probe; `probes` says whether those of others count."""
        if not self._states:
            return 0.0
        with self._lock:
            now = self._clock()
            states = [state for scope in subject.scopes() if (state := self._states.get(scope)) is not None]
            return max((_remaining(state, now, probes) for state in states), default=0.0)

    def failed(self, subject: CooldownKey, error: ChatError) -> None:
        """Note a failure: what its kind covers is left alone for the hint, or longer each time it repeats."""
        with self._lock:
            if error.scope and error.action != "refresh":
                now = self._clock()
                if len(self._states) >= _MOST:
                    self._forget(now)
                state = self._states.setdefault(subject.scoped(error.scope), _State(now))
                # What was under way when the cooldown began has met the same trouble, not the next one.
                if state.until <= now:
                    state.failures += 1
                state.reason = type(error).__name__
                state.until = now + _duration(error, state.failures)
            self._end_probes(subject)

    def succeeded(self, subject: CooldownKey) -> None:
        """Note an answer: nothing stands in the way of this subject any more."""
        if not self._states:
            return
        with self._lock:
            for scope in subject.scopes():
                self._states.pop(scope, None)

    def unresolved(self, subject: CooldownKey) -> None:
        """Give back a probe that ended without a verdict, such as one that was interrupted."""
        with self._lock:
            self._end_probes(subject)

    def cooling(self) -> list[Cooling]:
        """Return what is cooling, the longest first."""
        with self._lock:
            now = self._clock()
            left = [(scope, state, state.until - now) for scope, state in self._states.items() if state.until > now]
        today = datetime.now(timezone.utc)
        rows = [
            Cooling(*scope, state.reason, state.failures, seconds, today + timedelta(seconds=seconds))
            for scope, state, seconds in left
        ]
        return sorted(rows, key=lambda row: -row.seconds)

    def _forget(self, now: float) -> None:
        """Drop what may be asked again anyway; where all are cooling, the half that does so for the shortest."""
        over = [scope for scope, state in self._states.items() if state.until <= now]
        soonest = sorted(self._states, key=lambda scope: self._states[scope].until)
        for scope in over or soonest[: _MOST // 2]:
            del self._states[scope]

    def _end_probes(self, subject: CooldownKey) -> None:
        for scope in subject.scopes():
            state = self._states.get(scope)
            if state is not None:
                state.probe_ends = 0.0


def _remaining(state: _State, now: float, probes: bool = True) -> float:
    if state.until > now:
        return state.until - now
    return _PROBED if probes and state.probe_ends > now else 0.0


def _duration(error: ChatError, failures: int) -> float:
    if error.retry_after is not None and isinstance(error, (RateLimitError, QuotaExceededError)):
        return error.retry_after
    if isinstance(error, StreamInterruptedError) and error.partial:
        return 0.0
    if error.retry_after is not None:
        return max(error.retry_after, error.cooldown)
    if error.scope == "provider":
        return min(error.cooldown * 2.0 ** min(failures - 1, 10), _LONGEST)
    return error.cooldown
