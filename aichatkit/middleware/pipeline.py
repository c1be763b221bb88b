"""Call -> answer: composes the layers around a call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Callable, Protocol

from aichatkit._lazy import lazy_module
from aichatkit.call import fallback
from aichatkit.call.call import Call

if TYPE_CHECKING:
    from aichatkit.call.answer_like import AnswerLike
    from aichatkit.middleware import budgets, cache, observe, tool_rounds

    #: The next layer in, or the call itself.
    OpenNext = Callable[[Call], AnswerLike]

    class Layer(Protocol):
        """One layer around a call."""

        def __call__(self, call: Call, open_next: OpenNext) -> AnswerLike: ...
else:
    # Most calls need none of them.
    budgets = lazy_module("aichatkit.middleware.budgets")
    cache = lazy_module("aichatkit.middleware.cache")
    observe = lazy_module("aichatkit.middleware.observe")
    tool_rounds = lazy_module("aichatkit.middleware.tool_rounds")

__all__ = ["open_answer"]


def open_answer(call: Call) -> AnswerLike:
    """Open the answer to a call through the layers it needs."""
    open_next: OpenNext = fallback.open_answer
    for layer in reversed(_layers(call)):
        open_next = partial(layer, open_next=open_next)
    return open_next(call)


def _layers(call: Call) -> list[Layer]:
    """Return the layers that a call needs, outermost first."""
    context = call.context
    layers: list[Layer] = []
    if context.observers:
        layers.append(observe.observe)
    if context.cache is not None:
        layers.append(cache.answer_from_cache)
    if context.budget is not None and not call.in_batch:
        layers.append(budgets.within_budget)
    if call.toolbox is not None:
        layers.append(tool_rounds.ToolRounds)
    return layers
