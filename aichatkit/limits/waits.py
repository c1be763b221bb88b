"""Waiting, in the open: every wait is announced, obeys the deadline, and ends when the client closes."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from aichatkit._dataclasses import dataclass, field
from aichatkit._lazy import lazy_module
from aichatkit.errors import ChatError, ConfigurationError, DeadlineExceededError, RateLimitError
from aichatkit.transport.timeouts import Deadline

if TYPE_CHECKING:
    from aichatkit import hooks
else:
    # Few calls are watched.
    hooks = lazy_module("aichatkit.hooks")

__all__ = ["Sleeper", "Wait"]

logger = logging.getLogger(__name__)

#: A shorter wait is not announced: it would read as one of 0.0 s.
_WORTH_TELLING = 0.05


class Wait(NamedTuple):
    """A wait, as `hooks={"wait": f}` sees it.

    `seconds` is how long (0 where only a free place ends it), `error` why (None for pacing of one's own),
    `attempt` the try it follows.
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
        reason = "rate limited by" if isinstance(self.error, RateLimitError) else f"{type(self.error).__name__} from"
        return f"{reason} {self.provider}, " + (f"waiting {self.seconds:.1f} s" if self.seconds else "at once again")


@dataclass(frozen=True)
class Sleeper:
    """How a call waits: whom it tells, how it sleeps, and what ends it."""

    deadline: Deadline
    closing: threading.Event
    hook: Callable[[Wait], None] | None = None
    sleeper: Callable[[float], None] | None = None
    clock: Callable[[], float] = field(default=time.monotonic)

    def wait(self, wait: Wait) -> None:
        """Announce a wait and sleep; raise where it would pass the deadline or the client closes."""
        left = self.deadline.remaining()
        if left is not None and wait.seconds >= left:
            raise DeadlineExceededError(
                f"{wait.provider}: {wait} would pass the total time of {self.deadline.total:g} s",
                provider=wait.provider,
                model=wait.model,
                retry_after=wait.seconds,
            )
        if wait.seconds >= _WORTH_TELLING:
            self.announce(wait)
        self.sleep(wait.seconds)
        self.check_open()

    def announce(self, wait: Wait) -> None:
        """Tell the log and the user's hook; a hook that fails is logged and ends nothing."""
        logger.info("%s", wait)
        if self.hook is not None:
            hooks.tell("wait", self.hook, wait)

    def sleep(self, seconds: float) -> None:
        """Sleep; closing the client ends it at once."""
        sleeper: Any = self.sleeper or self.closing.wait
        sleeper(seconds)

    def check_open(self) -> None:
        """Raise where the client was closed."""
        if self.closing.is_set():
            raise ConfigurationError("the client was closed during the call")
