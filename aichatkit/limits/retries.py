"""When to try again: the only module that imports tenacity.

There is one layer of retries, around "prepare, send, read until the first text"; after the first text nothing is
retried. The retry budget keeps many failing calls from turning into many more requests.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Callable, Protocol, TypeVar

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit._lazy import lazy_module
from aichatkit._locks import Lock
from aichatkit.errors import ChatError, ConfigurationError, RateLimitError
from aichatkit.limits.waits import Sleeper, Wait
from aichatkit.params import is_integer, is_number
from aichatkit.reply import Attempt

if TYPE_CHECKING:
    import tenacity
else:
    tenacity = lazy_module("tenacity")

__all__ = ["RetryBudget", "RetryPolicy", "RetryState", "Retryable", "clock_of", "retry"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_SECONDS = ("base", "cap", "max_wait")
_MINIMUMS = {"attempts": 1, "base": 0, "cap": 0, "max_wait": 0, "ambiguous": 0, "budget": 0}


@dataclass(frozen=True)
class RetryPolicy:
    """How often a call is attempted at each provider, and how long it waits in between.

    `attempts` includes the first one. `base` and `cap` shape the exponential backoff and `max_wait` is the longest wait
    a service may ask for, all in seconds. `ambiguous` limits the retries after failures of requests that the service
    may have processed. `sleep`, `clock` and `random` replace the real functions in tests; a custom `sleep` does not
    wake up when the client closes.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 8.0
    max_wait: float = 60.0
    ambiguous: int = 1
    budget: int = 100
    sleep: Callable[[float], None] | None = field(default=None, repr=False)
    clock: Callable[[], float] | None = field(default=None, repr=False)
    random: Callable[[], float] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, minimum in _MINIMUMS.items():
            value = getattr(self, name)
            is_valid = is_number if name in _SECONDS else is_integer
            if not (is_valid(value, minimum=minimum) and value < 1e9):
                raise ConfigurationError(f"retry: {name} must be a number of at least {minimum}, not {value!r}")

    @classmethod
    def of(cls, value: Any) -> RetryPolicy:
        """Return the policy for a value that a user may pass: None, a number of retries, or a RetryPolicy.

        >>> RetryPolicy.of(0).attempts
        1
        """
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        if not is_integer(value, minimum=0):
            raise ConfigurationError(f"retry: must be a number of retries, at least 0, or a RetryPolicy, not {value!r}")
        return cls(attempts=value + 1)

    def now(self) -> float:
        """Return the time by the policy's clock."""
        return clock_of(self)()


def clock_of(policy: RetryPolicy) -> Callable[[], float]:
    """Return the clock of a policy, for code that reads it often."""
    return policy.clock or time.monotonic


class RetryBudget:
    """Tokens that retries draw from, shared by all threads of a client."""

    RETRY, AMBIGUOUS, REWARD = 10, 20, 1

    def __init__(self, capacity: int = 100) -> None:
        self.capacity = capacity
        self._remaining = capacity
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        # A client in another process has its own budget.
        return {"capacity": self.capacity}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["capacity"])  # type: ignore[misc]

    def draw(self, error: ChatError) -> int:
        """Take the price of one retry and return it; 0 if too little remains."""
        price = self.AMBIGUOUS if error.maybe_processed else self.RETRY
        with self._lock:
            if self._remaining < price:
                return 0
            self._remaining -= price
            return price

    def refund(self, drawn: int) -> None:
        """Give back what a call drew, once its retry has succeeded; a call that needed no retry earns a little."""
        if self._remaining == self.capacity:
            return
        with self._lock:
            self._remaining = min(self.capacity, self._remaining + (drawn or self.REWARD))


@dataclass
class RetryState:
    """The state of one call at one provider."""

    policy: RetryPolicy
    sleeper: Sleeper
    budget: RetryBudget
    provider: str
    model: str
    attempts: list[Attempt]
    clock: Callable[[], float]
    ambiguous: int = 0
    refreshed: bool = False
    drawn: int = 0
    #: Seconds that the current attempt has waited for rate limits so far.
    paced: float = 0.0

    def record(self, error: ChatError | None, started: float) -> None:
        """Add an attempt, or move it to the end if its error is recorded already."""
        recorded = [attempt for attempt in self.attempts if error is not None and attempt.error is error]
        if recorded:
            self.attempts.remove(recorded[0])
            self.attempts.append(recorded[0])
            return
        elapsed = self.clock() - started
        self.attempts.append(Attempt(self.provider, self.model, error, self.paced, elapsed - self.paced))
        self.paced = 0.0


class Retryable(Protocol[T_co]):
    """Something that `retry` can open more than once."""

    @property
    def state(self) -> RetryState:
        """The state that the rules below read and write."""

    def open(self) -> T_co:
        """Make one attempt."""


def retry(retryable: Retryable[T]) -> T:
    """Open `retryable` until it succeeds or a rule gives up; its last error is raised unchanged.

    Each attempt is recorded in `retryable.state.attempts`.
    """
    failures: list[ChatError] = []
    try:
        result = _open(retryable)
    except ChatError as error:
        # In a list that is emptied soon: an error referenced by its own frames would keep all their objects alive.
        failures.append(error)
    if failures:
        return _retry_with_tenacity(retryable, failures)
    retryable.state.budget.refund(0)
    return result


def _retry_with_tenacity(retryable: Retryable[T], failures: list[ChatError]) -> T:
    """Let tenacity decide what follows a first failure; most calls succeed at once and never import it."""
    state = retryable.state

    def open_next() -> T:
        if failures:
            raise failures.pop()
        return _open(retryable)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _may_retry(error, state)),
        wait=lambda call_state: _wait_seconds(call_state, state.policy),
        stop=lambda call_state: _gives_up(call_state, state),
        before_sleep=lambda call_state: _announce(call_state, state),
        sleep=lambda seconds: _sleep(seconds, state),
        reraise=True,
    )
    result: T = retrying(open_next)
    state.budget.refund(state.drawn)
    return result


def _open(retryable: Retryable[T]) -> T:
    state = retryable.state
    started = state.clock()
    try:
        result = retryable.open()
    except ChatError as error:
        error.provider, error.model = error.provider or state.provider, error.model or state.model
        state.record(error, started)
        raise
    state.record(None, started)
    return result


def _may_retry(error: BaseException, state: RetryState) -> bool:
    """Test for our own errors only: Ctrl-C, the end of a greenlet and the user's own exceptions pass through."""
    if not isinstance(error, ChatError):
        return False
    if error.action == "refresh":
        again, state.refreshed = not state.refreshed, True
        error.gave_up = "" if again else "fresh tokens were refused as well"
        return again
    if error.action != "retry":
        return False
    if error.maybe_processed:
        state.ambiguous += 1
        if state.ambiguous > state.policy.ambiguous:
            error.gave_up = "the service may have processed it, and may charge for each try"
            return False
    return True


def _wait_seconds(call_state: tenacity.RetryCallState, policy: RetryPolicy) -> float:
    error = _error(call_state)
    jitter = (policy.random or random.random)()
    if error.retry_after is not None:
        # Never less than the service requested, plus some jitter so that many callers do not retry in lockstep.
        return error.retry_after + jitter * (min(1.0, error.retry_after * 0.1) or policy.base)
    if error.action == "refresh" or (getattr(error, "stale", False) and call_state.attempt_number == 1):
        return 0.0
    base = max(policy.base, 1.0) if isinstance(error, RateLimitError) and policy.base else policy.base
    # The exponent is bounded: beyond the cap a higher power changes nothing.
    return jitter * min(policy.cap, base * 2.0 ** min(call_state.attempt_number - 1, 30))


def _gives_up(call_state: tenacity.RetryCallState, state: RetryState) -> bool:
    """Apply the rules in order; the one that draws from the retry budget is last, so that a veto costs nothing."""
    error, seconds = _error(call_state), call_state.upcoming_sleep
    remaining = state.sleeper.deadline.remaining()
    number = call_state.attempt_number
    if number >= state.policy.attempts and error.action != "refresh":
        error.gave_up = f"tried {number} times" if number > 1 else "retries are off"
    elif (error.retry_after or 0.0) > state.policy.max_wait:
        error.gave_up = (
            f"the service asks to wait {error.retry_after:.0f} s, longer than max_wait ({state.policy.max_wait:g} s)"
        )
    elif remaining is not None and seconds >= remaining:
        error.gave_up = "the wait would pass the deadline"
    elif state.sleeper.closing.is_set():
        error.gave_up = "the client was closed"
    elif error.action != "refresh":
        drawn = state.budget.draw(error)
        state.drawn += drawn
        error.gave_up = "" if drawn else "the retry budget of the client is used up"
    return bool(error.gave_up)


def _announce(call_state: tenacity.RetryCallState, state: RetryState) -> None:
    error, seconds = _error(call_state), call_state.upcoming_sleep
    last = state.attempts[-1]
    # A recorded error must not keep the frames of the failed attempt alive.
    error.__traceback__ = None
    state.attempts[-1] = replace(last, wait=last.wait + seconds)
    state.sleeper.announce(Wait(state.provider, state.model, seconds, error, call_state.attempt_number))


def _sleep(seconds: float, state: RetryState) -> None:
    state.sleeper.sleep(seconds)
    error = state.attempts[-1].error
    if state.sleeper.closing.is_set() and error is not None:
        error.gave_up = "the client was closed"
        raise error


def _error(call_state: tenacity.RetryCallState) -> ChatError:
    outcome = call_state.outcome
    error = outcome.exception() if outcome is not None else None
    assert isinstance(error, ChatError)
    return error
