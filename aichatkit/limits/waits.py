"""Visible waits: each one is announced, respects the deadline, and ends as soon as the client closes."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import NamedTuple, dataclass
from aichatkit._lazy import lazy_module
from aichatkit._locks import Lock
from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    EmptyAnswerError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    TimedOutError,
)
from aichatkit.limits.cooldowns import CooldownKey
from aichatkit.transport.timeouts import Deadline

if TYPE_CHECKING:
    from aichatkit import hooks
else:
    # Few calls have hooks.
    hooks = lazy_module("aichatkit.hooks")

__all__ = ["Pauses", "Sleeper", "Wait"]

logger = logging.getLogger(__name__)

#: Shorter waits, in seconds, are not announced: they would read as 0.0 s.
_MIN_ANNOUNCED = 0.05
#: Error type -> the reason for a wait.
_REASONS = (
    (RateLimitError, "rate limited by {}"),
    (OverloadedError, "{} is overloaded"),
    (StreamInterruptedError, "the answer from {} was cut off"),
    (ConnectError, "no connection to {}"),
    (TimedOutError, "no answer from {} in time"),
    (EmptyAnswerError, "an empty answer from {}"),
    (BadResponseError, "an unreadable answer from {}"),
    (ServerError, "a server error from {}"),
)
#: Pauses kept before expired ones are dropped.
_MAX_PAUSES = 1000


class Wait(NamedTuple):
    """A wait, as passed to `hooks={"wait": f}`.

    `seconds` is its length (0 if it lasts until a concurrency slot is free), `error` its reason (None for the client's
    own rate limit), `attempt` the number of the attempt before it.
    """

    provider: str
    model: str
    seconds: float
    error: ChatError | None = None
    attempt: int = 0

    def __str__(self) -> str:
        if self.error is None and not self.seconds:
            return f"pacing {self.provider}, waiting for a free place"
        if self.error is None:
            return f"pacing {self.provider}, waiting {self.seconds:.1f} s"
        reason = next((words for cls, words in _REASONS if isinstance(self.error, cls)), "an error from {}")
        then = f"waiting {self.seconds:.1f} s" if self.seconds >= _MIN_ANNOUNCED else "retrying at once"
        return f"{reason.format(self.provider)}, {then}"


@dataclass(frozen=True)
class Sleeper:
    """How a call waits: the hook that is notified, the function that sleeps, and what ends a wait early."""

    deadline: Deadline
    closing: threading.Event
    hook: Callable[[Wait], None] | None = None
    sleep_function: Callable[[float], None] | None = None

    def wait(self, wait: Wait) -> None:
        """Announce a wait and sleep; raise if it would pass the deadline or the client is closed meanwhile."""
        remaining = self.deadline.remaining()
        if remaining is not None and wait.seconds >= remaining:
            raise DeadlineExceededError(
                f"{wait.provider}: {wait} would pass the total timeout of {self.deadline.total:g} s",
                provider=wait.provider,
                model=wait.model,
                retry_after=wait.seconds,
            )
        if wait.seconds >= _MIN_ANNOUNCED:
            self.announce(wait)
        self.sleep(wait.seconds)
        self.check_open()

    def announce(self, wait: Wait) -> None:
        """Log a wait and call the user's hook; an exception in the hook is logged, not raised."""
        logger.info("%s", wait)
        if self.hook is not None:
            hooks.run_hook("wait", self.hook, wait)

    def sleep(self, seconds: float) -> None:
        """Sleep; closing the client wakes the sleeper."""
        sleep: Any = self.sleep_function or self.closing.wait
        sleep(seconds)

    def check_open(self) -> None:
        """Raise if the client was closed."""
        if self.closing.is_set():
            raise ConfigurationError("the client was closed during the call")


class Pauses:
    """Pauses that services requested; they apply to every row of a batch run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[CooldownKey, float] = {}
        self._lock = Lock()

    def note(self, key: CooldownKey, seconds: float) -> None:
        """Record a pause that a service requested; of several, the latest end counts."""
        with self._lock:
            now = self._clock()
            if len(self._ends) >= _MAX_PAUSES:
                self._ends = {other: end for other, end in self._ends.items() if end > now}
            self._ends[key] = max(now + seconds, self._ends.get(key, 0.0))

    def until(self, key: CooldownKey) -> float:
        """Return when the pause ends, by the clock; 0 if there is none."""
        with self._lock:
            return self._ends.get(key, 0.0)

    def longest(self) -> float:
        """Return the seconds until the last pause ends."""
        with self._lock:
            return max(0.0, max(self._ends.values(), default=0.0) - self._clock())

    def __getstate__(self) -> dict[str, object]:
        # Another process may have another address and key, so pauses do not apply there.
        return {"_clock": self._clock}

    def __setstate__(self, state: dict[str, Callable[[], float]]) -> None:
        self.__init__(state["_clock"])  # type: ignore[misc]
