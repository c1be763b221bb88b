"""When to try again: the only step that knows tenacity.

One layer of retries, around "prepare, send, read until the first text"; after the first text nothing is tried again.
The retry budget keeps many failing calls from becoming many more requests.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit._lazy import lazy_module
from aichatkit._locks import Lock
from aichatkit.errors import ChatError, ConfigurationError, RateLimitError
from aichatkit.limits.waits import Sleeper, Wait
from aichatkit.reply import Attempt

if TYPE_CHECKING:
    import tenacity
else:
    tenacity = lazy_module("tenacity")

__all__ = ["RetryBudget", "RetryPolicy", "RetryState", "retry"]

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently a call is tried at each provider.

    `attempts` counts the first try. `base` and `cap` shape the backoff, `max_wait` is the longest wait a service may
    ask for, all in seconds. `ambiguous` is how many repeats follow failures the service may have processed.
    `sleep`, `clock` and `random` replace the real ones in tests; a `sleep` of one's own does not wake on `close`.
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
        for name, least in (("attempts", 1), ("base", 0), ("cap", 0), ("max_wait", 0), ("ambiguous", 0), ("budget", 0)):
            value = getattr(self, name)
            whole = name in ("base", "cap", "max_wait") or isinstance(value, int)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not whole or not least <= value < 1e9:
                raise ConfigurationError(f"retry: {name} must be a number from {least} on, not {value!r}")

    @classmethod
    def of(cls, value: Any) -> RetryPolicy:
        """Return a policy for what a user may pass: None, the number of retries, or a RetryPolicy.

        >>> RetryPolicy.of(0).attempts
        1
        """
        if value is None:
            return cls()
        if isinstance(value, cls):
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ConfigurationError(f"retry: must be a number of retries from 0 on, or a RetryPolicy, not {value!r}")
        return cls(attempts=value + 1)

    def now(self) -> float:
        """Return the time by the policy's clock."""
        return (self.clock or time.monotonic)()


class RetryBudget:
    """A purse of tokens that retries draw from, shared by the threads of a client."""

    RETRY, AMBIGUOUS, REWARD = 10, 20, 1

    def __init__(self, capacity: int = 100) -> None:
        self.capacity = capacity
        self._left = capacity
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        # A client in another process has a purse of its own.
        return {"capacity": self.capacity}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["capacity"])  # type: ignore[misc]

    def draw(self, error: ChatError) -> int:
        """Take the price of one retry and return it; 0 where too little is left."""
        price = self.AMBIGUOUS if error.maybe_processed else self.RETRY
        with self._lock:
            if self._left < price:
                return 0
            self._left -= price
            return price

    def refund(self, drawn: int) -> None:
        """Give back what a call drew whose retry worked; a call that needed none earns a little."""
        with self._lock:
            self._left = min(self.capacity, self._left + (drawn or self.REWARD))


@dataclass
class RetryState:
    """The state of one call at one provider, shared by the rules below."""

    policy: RetryPolicy
    waiting: Sleeper
    budget: RetryBudget
    provider: str
    model: str
    attempts: list[Attempt]
    ambiguous: int = 0
    refreshed: bool = False
    drawn: int = 0
    paced: float = 0.0

    def note(self, error: ChatError | None, started: float) -> None:
        """Add one try to the story, or put it last where it is told already; `paced` is what pacing made it wait."""
        known = [attempt for attempt in self.attempts if error is not None and attempt.error is error]
        if known:
            self.attempts.remove(known[0])
            self.attempts.append(known[0])
            return
        elapsed = self.policy.now() - started
        self.attempts.append(Attempt(self.provider, self.model, error, self.paced, elapsed - self.paced))
        self.paced = 0.0


def retry(open_once: Callable[[], T], tries: RetryState) -> T:
    """Call `open_once` until it works or a rule says stop; its last error comes out unchanged.

    Every try is added to `tries.attempts`.
    """
    failures: list[ChatError] = []
    try:
        result = _recorded(open_once, tries)
    except ChatError as error:
        # In a list that is soon empty: an error that its own frames hold would live on with all they know.
        failures.append(error)
    if failures:
        return _retried(failures, open_once, tries)
    tries.budget.refund(0)
    return result


def _retried(failures: list[ChatError], open_once: Callable[[], T], tries: RetryState) -> T:
    """Have tenacity decide what follows a first try that failed; most calls do not need it, nor have to load it."""
    policy = tries.policy

    def attempt() -> T:
        if failures:
            raise failures.pop()
        return _recorded(open_once, tries)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: _may_retry(error, tries)),
        wait=lambda retry_state: _seconds(retry_state, policy),
        stop=lambda retry_state: _gives_up(retry_state, tries),
        before_sleep=lambda retry_state: _announce(retry_state, tries),
        sleep=lambda seconds: _sleep(seconds, tries),
        reraise=True,
    )
    result: T = retrying(attempt)
    tries.budget.refund(tries.drawn)
    return result


def _recorded(open_once: Callable[[], T], tries: RetryState) -> T:
    started = tries.policy.now()
    try:
        result = open_once()
    except ChatError as error:
        error.provider, error.model = error.provider or tries.provider, error.model or tries.model
        tries.note(error, started)
        raise
    tries.note(None, started)
    return result


def _may_retry(error: BaseException, tries: RetryState) -> bool:
    """A positive test on our own errors: Ctrl-C, a greenlet's end and the user's own errors pass through."""
    if not isinstance(error, ChatError):
        return False
    if error.action == "refresh":
        again, tries.refreshed = not tries.refreshed, True
        error.gave_up = "" if again else "fresh tokens were refused as well"
        return again
    if error.action != "retry":
        return False
    if error.maybe_processed:
        tries.ambiguous += 1
        if tries.ambiguous > tries.policy.ambiguous:
            error.gave_up = "the service may have processed it, and may charge for each try"
            return False
    return True


def _seconds(state: tenacity.RetryCallState, policy: RetryPolicy) -> float:
    error = _error(state)
    draw = (policy.random or random.random)()
    if error.retry_after is not None:
        # Never less than asked, and a little more, so that many callers do not come back in step.
        return error.retry_after + draw * (min(1.0, error.retry_after * 0.1) or policy.base)
    if error.action == "refresh" or (getattr(error, "stale", False) and state.attempt_number == 1):
        return 0.0
    base = max(policy.base, 1.0) if isinstance(error, RateLimitError) and policy.base else policy.base
    # The shift is bounded: beyond the cap a higher power changes nothing.
    return draw * min(policy.cap, base * 2.0 ** min(state.attempt_number - 1, 30))


def _gives_up(state: tenacity.RetryCallState, tries: RetryState) -> bool:
    """Rules in order; the one that spends from the retry budget comes last, so a veto costs nothing."""
    error, seconds = _error(state), state.upcoming_sleep
    left = tries.waiting.deadline.remaining()
    if state.attempt_number >= tries.policy.attempts and error.action != "refresh":
        error.gave_up = f"tried {state.attempt_number} times" if state.attempt_number > 1 else "retries are off"
    elif (error.retry_after or 0.0) > tries.policy.max_wait:
        error.gave_up = (
            f"the service asks to wait {error.retry_after:.0f} s, longer than max_wait ({tries.policy.max_wait:g} s)"
        )
    elif left is not None and seconds >= left:
        error.gave_up = "the wait would pass the deadline"
    elif tries.waiting.closing.is_set():
        error.gave_up = "the client was closed"
    elif error.action != "refresh":
        drawn = tries.budget.draw(error)
        tries.drawn += drawn
        error.gave_up = "" if drawn else "the retry budget of the client is used up"
    return bool(error.gave_up)


def _announce(state: tenacity.RetryCallState, tries: RetryState) -> None:
    error, seconds = _error(state), state.upcoming_sleep
    last = tries.attempts[-1]
    # What is kept for the story must not keep the frames of the failed try alive.
    error.__traceback__ = None
    tries.attempts[-1] = replace(last, wait=last.wait + seconds)
    tries.waiting.announce(Wait(tries.provider, tries.model, seconds, error, state.attempt_number))


def _sleep(seconds: float, tries: RetryState) -> None:
    tries.waiting.sleep(seconds)
    error = tries.attempts[-1].error
    if tries.waiting.closing.is_set() and error is not None:
        error.gave_up = "the client was closed"
        raise error


def _error(state: tenacity.RetryCallState) -> ChatError:
    outcome = state.outcome
    error = outcome.exception() if outcome is not None else None
    assert isinstance(error, ChatError)
    return error
