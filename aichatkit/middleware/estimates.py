"""Calls -> what they will take, before one is made: tokens by a count or a rule of thumb, money by the price table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, TypeVar

from aichatkit.call.attempt import Call
from aichatkit.catalog.prices import cost_of
from aichatkit.catalog.tokens import count_call, count_tokens
from aichatkit.chunks import Usage
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.middleware.budgets import Budget, Expense, expense_of

if TYPE_CHECKING:
    from aichatkit.call.answer import Answer
    from aichatkit.middleware.tool_rounds import ToolRounds

    _Answer = TypeVar("_Answer", bound="Answer | ToolRounds")

__all__ = ["Estimate", "check_priced", "estimate_calls", "expected", "paid"]

#: Tokens an answer is taken to have where `max_tokens` does not bound it.
_ANSWER = 256


@dataclass(frozen=True)
class Estimate:
    """What a run will take; `cost` is in US dollars, None where a price is not known.

    An answer counts `max_tokens`, or 256 where that is not given; a file that is no text counts 1,000 tokens.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0


def estimate_calls(calls: Iterable[Call]) -> Estimate:
    """Add up what the calls will take."""
    number, taken, made = 0, 0, 0
    cost: float | None = 0.0
    for call in calls:
        usage = _usage(call)
        price = _price(call, usage)
        number, taken, made = number + 1, taken + (usage.input_tokens or 0), made + (usage.output_tokens or 0)
        cost = None if cost is None or price is None else cost + price
    return Estimate(number, taken, made, cost)


def expected(call: Call) -> Expense:
    """Return what a call is expected to take, by the dearest model that may be asked."""
    usage = _usage(call)
    return Expense(_price(call, usage) or 0.0, usage.total_tokens or 0)


def check_priced(call: Call) -> None:
    """Refuse a budget in money where a model that may be asked has no price."""
    for target in call.targets:
        if cost_of(target.provider.priced_as or target.provider.name, target.model, Usage(1, 1), call.prices) is None:
            name = f"{target.provider.name}/{target.model}"
            raise ConfigurationError(f"budget: the price of {name} is not known; pass prices={{{name!r}: (in, out)}}")


def paid(purse: Budget, call: Call, open_answer: Callable[[], _Answer]) -> _Answer:
    """Open an answer within a budget, and count what it cost when it has ended.

    One that is left counts its prompt and what had come; one that broke off counts no less than was expected.

    Raises:
        BudgetExceededError: the budget could be passed; nothing was sent.
    """
    check_priced(call)
    held = purse.hold(expected(call))
    if held is None:
        raise purse.exceeded()
    try:
        answer = open_answer()
    except ChatError as error:
        purse.settle(held, held if error.maybe_processed or error.partial else Expense())
        raise
    answer.when_closed(
        lambda reply: purse.settle(held, expense_of(reply, held) if reply is not None else _so_far(call, answer, held))
    )
    return answer


def _so_far(call: Call, answer: Answer | ToolRounds, held: Expense) -> Expense:
    """Return what an answer without an end has taken, by what is known of it."""
    replies, words = answer.progress()
    known = Expense()
    for reply in replies:
        known = known.plus(expense_of(reply, held))
    if words or not replies:
        taken, made = _usage(call).input_tokens or 0, count_tokens(words, call.targets[0].model)
        usage = Usage(taken, made, taken + made)
        known = known.plus(Expense(_price(call, usage) or 0.0, taken + made))
    return known.at_least(held) if answer.broken else known


def _usage(call: Call) -> Usage:
    taken = count_call(call.messages, call.options, call.targets[0].model)
    made = call.options.params.get("max_tokens") or _ANSWER
    return Usage(taken, made, taken + made)


def _price(call: Call, usage: Usage) -> float | None:
    costs = [
        cost_of(target.provider.priced_as or target.provider.name, target.model, usage, call.prices)
        for target in call.targets
    ]
    known = [cost for cost in costs if cost is not None]
    return max(known) if known and len(known) == len(costs) else None
