"""Targets -> checks: ask each of them one small question, side by side, and tell who answers and why not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from aichatkit._dataclasses import replace
from aichatkit.call.call import Call
from aichatkit.call.fallback import open_answer
from aichatkit.call.targets import Target
from aichatkit.errors import ChatError
from aichatkit.limits.cooldowns import Cooldowns
from aichatkit.streams import Stream
from aichatkit.transport.timeouts import Deadline, Timeout

__all__ = ["LIMITS", "PROMPT", "Check", "check_targets"]

#: What is asked: the smallest question whose answer shows that all of it works.
PROMPT = "Reply with the word OK."
#: How long one answer may take where nothing else is said.
LIMITS = Timeout(total=30)
_MOST_AT_ONCE = 16


class Check(NamedTuple):
    """What came of asking one provider: `text` of its answer or the `error`, after `elapsed` seconds."""

    provider: str
    model: str
    elapsed: float
    text: str = ""
    error: ChatError | None = None

    @property
    def ok(self) -> bool:
        """Whether it answered."""
        return self.error is None

    def __str__(self) -> str:
        told = "answered" if self.error is None else f"{type(self.error).__name__}: {self.error}"
        return f"{self.provider}/{self.model}: {told} ({self.elapsed:.1f} s)"


def check_targets(call: Call) -> list[Check]:
    """Ask every target of a call by itself, also one that is left alone for now, and return a check for each."""
    with ThreadPoolExecutor(min(len(call.targets), _MOST_AT_ONCE), "aichatkit-check") as pool:
        return list(pool.map(lambda target: _check(target, call), call.targets))


def _check(target: Target, call: Call) -> Check:
    now = call.policy.now
    started = now()
    # With its own cooldowns: earlier failures must not prevent the check, and a check must not affect other calls.
    context = replace(call.context, cooldowns=Cooldowns(now))
    single = replace(call, context=context, targets=[target], deadline=Deadline(call.timeout.total, now))
    text, failure = "", None
    try:
        text = Stream(open_answer(single)).read().text
    except ChatError as error:
        failure = error
    return Check(target.provider.name, target.model, now() - started, text, failure)
