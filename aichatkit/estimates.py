"""Calls -> what they will take, before one is made: tokens by a count or a rule of thumb, money by the price table."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from aichatkit.asking import Call
from aichatkit.budgets import Expense, Purse, expense_of
from aichatkit.chunks import Usage
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.messages import Message
from aichatkit.pacing import estimate_tokens
from aichatkit.prices import cost_of

if TYPE_CHECKING:
    from aichatkit.answers import Answer
    from aichatkit.rounds import Rounds

    _Answer = TypeVar("_Answer", bound="Answer | Rounds")

__all__ = ["Estimate", "check_priced", "count_tokens", "estimate_calls", "expected", "paid"]

#: Tokens an answer is taken to have where `max_tokens` does not bound it.
_ANSWER = 256
#: Tokens that mark a message, and those a file is taken to have.
_MARKS, _FILE = 4, 1000
_TABLES = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


@dataclass(frozen=True)
class Estimate:
    """What a run will take; `cost` is in US dollars, None where a price is not known.

    An answer counts `max_tokens`, or 256 where that is not given; a file counts 1,000 tokens.
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


def paid(purse: Purse, call: Call, open_answer: Callable[[], _Answer]) -> _Answer:
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


def _so_far(call: Call, answer: Answer | Rounds, held: Expense) -> Expense:
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


def count_tokens(text: str, model: str = "") -> int:
    """Return the tokens of a text: counted where tiktoken and its tables are on this machine, else a quarter of it.

    >>> count_tokens("Hello, world")
    3
    """
    encoder = _encoder(model)
    return estimate_tokens(text) if encoder is None else len(encoder.encode_ordinary(text))


def _usage(call: Call) -> Usage:
    model = call.targets[0].model
    taken = sum(_size(message, model) for message in call.messages)
    if call.options.schema is not None:
        taken += count_tokens(json.dumps(call.options.schema), model)
    made = call.options.params.get("max_tokens") or _ANSWER
    return Usage(taken, made, taken + made)


def _size(message: Message, model: str) -> int:
    if isinstance(message.content, str):
        return count_tokens(message.content, model) + _MARKS
    texts = [part["text"] for part in message.content if part["type"] == "text"]
    files = len(message.content) - len(texts)
    return sum(count_tokens(text, model) for text in texts) + files * _FILE + _MARKS


def _price(call: Call, usage: Usage) -> float | None:
    costs = [
        cost_of(target.provider.priced_as or target.provider.name, target.model, usage, call.prices)
        for target in call.targets
    ]
    known = [cost for cost in costs if cost is not None]
    return max(known) if known and len(known) == len(costs) else None


@cache
def _encoder(model: str) -> Any:
    """Return tiktoken's encoder for a model, None where it would have to be fetched."""
    try:
        import tiktoken
    except ImportError:
        return None
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or Path(tempfile.gettempdir(), "data-gym-cache")
    # The names of its files, as it makes them.
    table = hashlib.sha1(_TABLES.format(name).encode()).hexdigest()
    return tiktoken.get_encoding(name) if Path(folder, table).is_file() else None
