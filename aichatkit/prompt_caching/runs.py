"""Rows of a run -> the beginning they share, and the row that goes first to write it to the cache.

A cache can be read only once the answer to the prompt that wrote it has begun, so rows sent at the same time would all
pay for writing.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Callable

from aichatkit.messages import Message
from aichatkit.prompt_caching.plan import RowHead
from aichatkit.prompt_caching.prompts import common_length, measure
from aichatkit.prompt_caching.services import rules_of

if TYPE_CHECKING:
    from aichatkit.call.call import Call

__all__ = ["RunCache", "common_beginning", "plan_run"]

#: By how much an estimated length must exceed the shortest prompt that is cached.
_MARGIN = 1.1
#: Where writing is free, the first row goes alone only if the others save enough for the time that this takes.
_WORTH_TOKENS, _WORTH_ROWS = 4096, 8
#: Tokens of the prompts themselves that are worth a mark of their own.
_WORTH_A_SPLIT = 64
_SAFETY = 0.95
#: Prompts that are compared to find out what they have in common.
_MAX_COMPARED = 10_000
#: Rows that may fail before the others are sent without waiting for a first answer.
_MAX_FAILURES = 3


class RunCache:
    """Whether the beginning that the rows of a run share is in the cache.

    `has_marks` says whether rows are marked for it, and `head` where.
    """

    def __init__(self, head: RowHead, *, has_marks: bool, lifetime: float, clock: Callable[[], float]) -> None:
        self.head = head
        self.has_marks = has_marks
        self._lifetime = lifetime * _SAFETY
        self._clock = clock
        # Without certainty that more rows follow, the first one is not marked yet.
        self._answers_needed = 1 if head.is_certain or not has_marks else 2
        self._missing = self._answers_needed
        self._failures = 0
        self._warm_until = float("-inf")

    @property
    def is_cold(self) -> bool:
        """Whether the next row must go alone."""
        if self._failures >= _MAX_FAILURES:
            return False
        if not self._missing and self._clock() >= self._warm_until:
            self._missing = self._answers_needed
        return self._missing > 0

    def note_begun(self) -> None:
        """Note that the answer to a row has begun."""
        self._missing = max(0, self._missing - 1)
        self._failures = 0
        self._warm_until = self._clock() + self._lifetime

    def note_answered(self, *, is_first: bool) -> None:
        """Note that a row was answered; `is_first` if nothing was known of it before."""
        if is_first:
            self.note_begun()
        elif not self._missing:
            self._warm_until = self._clock() + self._lifetime

    def note_failed(self) -> None:
        """Note that a row failed."""
        self._failures += 1


def plan_run(call: Call, find_beginning: Callable[[], str], *, size: int | None, is_finite: bool) -> RunCache | None:
    """Return how the rows of a run share a cache, None if they do not.

    `call` is one with the options of all rows, and `find_beginning` returns the text that their prompts begin with.
    """
    target = call.targets[0]
    provider = call.context.provider(target.provider)
    if call.prompt_cache is False or provider.is_free(target.model) or (size is not None and size < 2):
        return None
    rules = rules_of(provider, target.model, call.context.record(target) or {})
    if rules is None:
        return None
    # White space belongs to the next word, as tokenizers have it.
    beginning = find_beginning().rstrip()
    messages = [*call.messages[:-1], Message("user", beginning + "?")]
    shared = RowHead.of(beginning, is_certain=True).place_in(messages)
    prompt = measure(provider, target.model, messages, call.options, shared)
    tokens = (prompt.shared or prompt.head).tokens
    if rules.has_fee:
        is_worth = tokens >= rules.minimum * _MARGIN
    else:
        is_worth = tokens >= _WORTH_TOKENS and (size or _WORTH_ROWS) >= _WORTH_ROWS
    if not is_worth:
        return None
    # A mark after the system prompt serves other calls as well.
    beginning = beginning if tokens - prompt.head.tokens >= _WORTH_A_SPLIT else ""
    lifetime = rules.lifetime_of(call.prompt_cache)
    return RunCache(
        RowHead.of(beginning, is_certain=is_finite), has_marks=rules.has_fee, lifetime=lifetime, clock=call.policy.now
    )


def common_beginning(prompts: Iterable[Any], least: str = "") -> str:
    """Return the text that prompts begin with, up to a word that differs; `least` if it is not longer than that.

    Only the first prompts are read if there are many; a row that begins differently shares less.

    >>> common_beginning(["Good or bad? Nice.", "Good or bad? Nasty."])
    'Good or bad? '
    """
    common = None
    for prompt in islice(prompts, _MAX_COMPARED):
        if not isinstance(prompt, str):
            return least
        common = prompt if common is None else common[: common_length(common, prompt)]
        if len(common) <= len(least):
            return least
    common = common or ""
    end = max(common.rfind(space) for space in " \n") + 1
    return common[:end] if end > len(least) else least
