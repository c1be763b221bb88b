"""Failures -> cooldowns, by provider, key and model, shared by the threads of a client.

After a failure the provider, key or model is skipped for a while; then one call probes it, and its success or failure
decides for the others.
"""

from __future__ import annotations

import hashlib
import time
from datetime import datetime, timedelta, timezone
from typing import Callable

from aichatkit._dataclasses import NamedTuple
from aichatkit._locks import Lock
from aichatkit.errors import (
    BadResponseError,
    BlockedError,
    ChatError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    TransportError,
)

__all__ = ["CooldownKey", "Cooldowns", "Cooling"]

#: The longest cooldown of a provider that keeps failing, in seconds.
_MAX_COOLDOWN = 300.0
#: Seconds to wait while another thread probes.
_PROBE_WAIT = 1.0
#: Seconds after which a probe no longer holds back other calls.
_MAX_PROBE = 60.0
#: Entries in the table; the model names a client may be given are unlimited.
_MAX_ENTRIES = 1000
#: Failures of the service itself, whose cooldown doubles with each repetition.
_GROWING = (TransportError, ServerError, BlockedError, BadResponseError, StreamInterruptedError)


class CooldownKey(NamedTuple):
    """Provider, API key (as a short hash only) and model: an entry of the cooldown table."""

    provider: str
    key: str
    model: str

    @classmethod
    def of(cls, provider: str, key: object, model: str) -> CooldownKey:
        """Return the entry, with the API key, or the name of a function that returns keys, replaced by a short hash."""
        return cls(provider, hashlib.sha256(str(key).encode()).hexdigest()[:8] if key else "", model)

    def scoped(self, scope: str) -> CooldownKey:
        """Return the entry that a failure of this scope applies to: "provider", "key", "model" or "any key"."""
        if scope == "provider":
            return CooldownKey(self.provider, "", "")
        if scope == "any key":
            return CooldownKey(self.provider, "", self.model)
        return CooldownKey(self.provider, self.key, self.model if scope == "model" else "")

    def scopes(self) -> tuple[CooldownKey, ...]:
        """Return all entries whose cooldown applies to this one."""
        return tuple(dict.fromkeys(self.scoped(scope) for scope in ("provider", "any key", "key", "model")))


class Cooling(NamedTuple):
    """A provider, key or model on cooldown, as listed by `client.health`.

    `key` is a short hash ("" for all keys), `model` is "" for all models; `seconds` remain until `until`.
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
        # Not pickled: another process may use another address and key.
        return {"_clock": self._clock}

    def __setstate__(self, state: dict[str, Callable[[], float]]) -> None:
        self.__init__(state["_clock"])  # type: ignore[misc]

    def admit(self, key: CooldownKey) -> float:
        """Return 0 if a call may be made now, else the seconds to wait; the first one after a cooldown is the probe."""
        if not self._states:
            return 0.0
        with self._lock:
            now = self._clock()
            states = self._states_of(key)
            wait = max((_remaining(state, now) for state in states), default=0.0)
            if wait <= 0:
                for state in states:
                    state.probe_ends = now + _MAX_PROBE
            return wait

    def peek(self, key: CooldownKey, *, probes: bool = True) -> float:
        """Return what `admit` would, without starting a probe; `probes=False` ignores those of other calls."""
        if not self._states:
            return 0.0
        with self._lock:
            now = self._clock()
            return max((_remaining(state, now, probes) for state in self._states_of(key)), default=0.0)

    def record_failure(self, key: CooldownKey, error: ChatError) -> None:
        """Record a failure: start a cooldown as long as the service requested, or longer with each repetition."""
        with self._lock:
            if error.scope and error.action != "refresh":
                now = self._clock()
                if len(self._states) >= _MAX_ENTRIES:
                    self._drop_some(now)
                state = self._states.setdefault(key.scoped(error.scope), _State(now))
                # Calls in progress when the cooldown began have met the same failure, not another one.
                if state.until <= now:
                    state.failures += 1
                state.reason = type(error).__name__
                state.until = now + _duration(error, state.failures)
            self._end_probes(key)

    def record_success(self, key: CooldownKey) -> None:
        """Record an answer: end the cooldowns that apply to this key."""
        if not self._states:
            return
        with self._lock:
            for scope in key.scopes():
                self._states.pop(scope, None)

    def release_probe(self, key: CooldownKey) -> None:
        """End a probe without a result, such as one that was interrupted."""
        with self._lock:
            self._end_probes(key)

    def cooling(self) -> list[Cooling]:
        """Return what is on cooldown, the longest first."""
        with self._lock:
            now = self._clock()
            active = [(scope, state, state.until - now) for scope, state in self._states.items() if state.until > now]
        today = datetime.now(timezone.utc)
        rows = [
            Cooling(*scope, state.reason, state.failures, seconds, today + timedelta(seconds=seconds))
            for scope, state, seconds in active
        ]
        return sorted(rows, key=lambda row: -row.seconds)

    def _drop_some(self, now: float) -> None:
        """Drop expired cooldowns; if there are none, drop the half that expires first."""
        expired = [scope for scope, state in self._states.items() if state.until <= now]
        soonest = sorted(self._states, key=lambda scope: self._states[scope].until)
        for scope in expired or soonest[: _MAX_ENTRIES // 2]:
            del self._states[scope]

    def _end_probes(self, key: CooldownKey) -> None:
        for state in self._states_of(key):
            state.probe_ends = 0.0

    def _states_of(self, key: CooldownKey) -> list[_State]:
        return [state for scope in key.scopes() if (state := self._states.get(scope)) is not None]


def _remaining(state: _State, now: float, probes: bool = True) -> float:
    if state.until > now:
        return state.until - now
    return _PROBE_WAIT if probes and state.probe_ends > now else 0.0


def _duration(error: ChatError, failures: int) -> float:
    if error.retry_after is not None and isinstance(error, (RateLimitError, QuotaExceededError)):
        return error.retry_after
    if isinstance(error, StreamInterruptedError) and error.partial:
        return 0.0
    if error.retry_after is not None:
        return max(error.retry_after, error.cooldown)
    if isinstance(error, _GROWING):
        return min(error.cooldown * 2.0 ** min(failures - 1, 10), _MAX_COOLDOWN)
    return error.cooldown
