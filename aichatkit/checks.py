"""Targets -> checks: sends each target a short prompt, all in parallel, and reports which ones answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit.call.call import Call
from aichatkit.call.fallback import open_answer
from aichatkit.call.targets import Target
from aichatkit.errors import ChatError
from aichatkit.limits.cooldowns import Cooldowns
from aichatkit.streams import Stream
from aichatkit.transport.timeouts import Deadline, Timeout

__all__ = ["DEFAULT_TIMEOUT", "PROMPT", "Check", "check_targets"]

#: The shortest prompt whose answer shows that everything works end to end.
PROMPT = "Reply with the word OK."
#: The timeout of each check if neither the client nor the call sets one.
DEFAULT_TIMEOUT = Timeout(total=30)
_MAX_WORKERS = 16


class Check(NamedTuple):
    """The result of checking one target: the `text` of its answer or the `error`, after `elapsed` seconds."""

    provider: str
    model: str
    elapsed: float
    text: str = ""
    error: ChatError | None = None

    @property
    def ok(self) -> bool:
        """True if the target answered."""
        return self.error is None

    def __str__(self) -> str:
        outcome = "answered" if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return f"{self.provider}/{self.model}: {outcome} ({self.elapsed:.1f} s)"


def check_targets(call: Call) -> list[Check]:
    """Check every target of a call separately, including those on cooldown."""
    with ThreadPoolExecutor(min(len(call.targets), _MAX_WORKERS), "aichatkit-check") as pool:
        return list(pool.map(lambda target: _check(target, call), call.targets))


def _check(target: Target, call: Call) -> Check:
    now = call.policy.now
    started = now()
    # With separate cooldowns: earlier failures must not skip the target, and a check must not affect later calls.
    context = replace(call.context, cooldowns=Cooldowns(now))
    single = replace(call, context=context, targets=[target], deadline=Deadline(call.timeout.total, now))
    text, failure = "", None
    try:
        text = Stream(open_answer(single)).read().text
    except ChatError as error:
        failure = error
    return Check(target.provider.name, target.model, now() - started, text, failure)
