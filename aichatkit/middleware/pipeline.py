"""Call -> answer, where more than one request is meant: kept answers, a budget, rounds of tools, and who watches."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit.call.attempt import Call, CallContext
from aichatkit.call.fallback import open_call
from aichatkit.call.targets import Target
from aichatkit.middleware.budgets import Budget

if TYPE_CHECKING:
    from aichatkit.call.answer import Answer
    from aichatkit.middleware import cache as caches
    from aichatkit.middleware import estimates, observe, tool_rounds
else:
    caches = lazy_module("aichatkit.middleware.cache")
    estimates = lazy_module("aichatkit.middleware.estimates")
    observe = lazy_module("aichatkit.middleware.observe")
    tool_rounds = lazy_module("aichatkit.middleware.tool_rounds")

__all__ = ["Means", "answer_call"]


class Means(NamedTuple):
    """What an answer is got with beside one request; `form` holds what rounds of tools and a schema need."""

    form: Mapping[str, Any]
    repairs: int
    cache: MutableMapping[str, str] | None
    #: None where somebody else counts what the call costs.
    purse: Budget | None
    observers: Sequence[observe.Observer]


def answer_call(
    call: Call, setup: CallContext, means: Means
) -> Answer | tool_rounds.ToolRounds | caches.CachedAnswer | observe.ObservedAnswer:
    """Open the answer to a call."""
    if not means.observers:
        return _look_up(call, setup, means)
    return observe.observe(lambda: _look_up(call, setup, means), call, setup, means.observers)


def _look_up(call: Call, setup: CallContext, means: Means) -> Answer | tool_rounds.ToolRounds | caches.CachedAnswer:
    entry = None if means.cache is None else caches.look_up(means.cache, call, setup, means.form.get("form"))
    if entry is not None and entry.reply is not None:
        return caches.CachedAnswer(entry.reply)
    if means.purse:
        answer = estimates.paid(means.purse, call, lambda: _open(call, setup, means))
    else:
        answer = _open(call, setup, means)
    if entry is not None:
        answer.when_complete(entry.keep)
    return answer


def _open(call: Call, setup: CallContext, means: Means) -> Answer | tool_rounds.ToolRounds:
    if not means.form:
        return open_call(call, setup)

    def open_next(messages: Sequence[Any], before: Answer | None) -> Answer:
        return open_call(replace(call, messages=messages, targets=_first(before, call.targets)), setup)

    return tool_rounds.ToolRounds(open_next, call.messages, **means.form, repairs=means.repairs)


def _first(before: Answer | None, targets: Sequence[Target]) -> Sequence[Target]:
    """Ask the one that has begun to answer first, as it knows its own calls of tools."""
    if before is None:
        return targets
    asked = (before.provider.name, before.model)
    return sorted(targets, key=lambda target: (target.provider.name, target.model) != asked)
