"""Call -> estimate: the tokens a call will use, counted or by a rule of thumb, and their price."""

from __future__ import annotations

from collections.abc import Iterable

from aichatkit._dataclasses import NamedTuple, dataclass, replace
from aichatkit.call.call import Call
from aichatkit.call.cost import cost_at, utc_now
from aichatkit.call.targets import Target
from aichatkit.catalog.tokens import count_call, count_tokens
from aichatkit.chunks import Bill, Usage, dicts_in
from aichatkit.errors import ConfigurationError

__all__ = [
    "ANSWER_TOKENS",
    "Estimate",
    "Expense",
    "check_priced",
    "estimate_calls",
    "estimate_partial",
    "expected_expense",
    "highest_cost",
]

#: Tokens expected of an answer that `max_tokens` does not limit, and the most if no limit of the model is known.
ANSWER_TOKENS, _LONGEST_ANSWER = 256, 128_000
#: The most searches expected of an answer that `max_searches` does not limit.
_MOST_SEARCHES = 10
#: Tokens of a picture of 1024 x 1024 pixels by quality; those expected without one, and the most.
_PICTURE_TOKENS = {"low": 280, "medium": 1060, "standard": 1060, "high": 4160, "hd": 4160, "xhigh": 8320, "max": 16_640}
_PICTURE, _LARGEST_PICTURE = 1300, 16_640
_PIXELS = 1024 * 1024
#: Some services charge a fee for each request by the size of its search.
_EXPECTED, _HIGHEST = Bill(search_size="low"), Bill(search_size="high")


class Expense(NamedTuple):
    """Money in US dollars and tokens, spent or expected."""

    money: float = 0.0
    tokens: int = 0

    def plus(self, other: Expense) -> Expense:
        """Return the sum of both."""
        return Expense(self.money + other.money, self.tokens + other.tokens)

    def at_least(self, other: Expense) -> Expense:
        """Return the larger amount of each."""
        return Expense(max(self.money, other.money), max(self.tokens, other.tokens))


@dataclass(frozen=True)
class Estimate:
    """What a batch run is expected to use; `cost` is in US dollars, or None if a price is not known.

    An answer counts as `max_tokens`, or as 256 tokens without it; a file other than text counts as 1,000 tokens.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0


def estimate_calls(calls: Iterable[Call]) -> Estimate:
    """Return the total of what the calls are expected to use."""
    count, input_tokens, output_tokens = 0, 0, 0
    total: float | None = 0.0
    for call in calls:
        usage = _usage(call, call.targets[0])
        cost = _cost(call)
        count += 1 if call.expect is None else call.expect(call, call.targets[0]).requests
        input_tokens += usage.input_tokens or 0
        output_tokens += usage.output_tokens or 0
        total = None if total is None or cost is None else total + cost
    return Estimate(count, input_tokens, output_tokens, total)


def expected_expense(call: Call) -> Expense:
    """Return what a call is expected to cost with the most expensive of its models."""
    return Expense(_cost(call) or 0.0, _usage(call, call.targets[0]).total_tokens or 0)


def highest_cost(call: Call) -> float:
    """Return the most that an answer may cost: the longest that its limit allows, at the dearest price."""
    return max(_highest_cost_at(target, _usage(call, target), call) for target in call.targets)


def estimate_partial(call: Call, text: str) -> Expense:
    """Return the cost of an answer that stopped after `text`: that of its prompt and the text.

    A picture costs the same whether or not it is received.
    """
    if _pictures(call, call.targets[0]):
        return expected_expense(call)
    output_tokens = count_tokens(text, call.targets[0].model)
    total = (_usage(call, call.targets[0]).input_tokens or 0) + output_tokens
    return Expense(_cost(call, output_tokens) or 0.0, total)


def check_priced(call: Call) -> None:
    """Raise ConfigurationError if the price of a model that the call may use, or of its searches, is not known."""
    for target in call.targets:
        name = f"{target.provider.name}/{target.model}"
        if _pictures(call, target) and _cost_at(target, Usage(1, 1), call) is None:
            raise ConfigurationError(
                f"budget: the price of a picture by {name} is not known; pass prices={{{name!r}: {{'per_image': ...}}}}"
            )
        if _cost_at(target, Usage(1, 1), call) is None:
            raise ConfigurationError(f"budget: the price of {name} is not known; pass prices={{{name!r}: (in, out)}}")
        if _may_search(call) and _cost_at(target, Usage(1, 1, searches=1), call) is None:
            raise ConfigurationError(
                f"budget: the fee for a search by {name} is not known; pass prices={{{name!r}: "
                "{'input': ..., 'output': ..., 'per_search': ...}}"
            )


def _usage(call: Call, target: Target, output_tokens: int | None = None) -> Usage:
    if call.expect is not None:
        _requests, input_tokens, expected, _most = call.expect(call, target)
    else:
        input_tokens = count_call(call.messages, call.options, call.targets[0].model)
        expected = call.options.params.get("max_tokens") or ANSWER_TOKENS
        expected = _picture_tokens(call, target, _PICTURE) or expected
    output_tokens = expected if output_tokens is None else output_tokens
    return Usage(input_tokens, output_tokens, input_tokens + output_tokens, searches=1 if _may_search(call) else None)


def _pictures(call: Call, target: Target) -> int:
    """Return how many pictures the answer is expected to have."""
    if call.options.image is not None:
        return call.options.image.n
    record = call.context.record(target) or {}
    is_drawn = target.provider.draws(target.model) or "draws" in record.get("caps", "").split()
    return 1 if is_drawn else 0


def _picture_tokens(call: Call, target: Target, otherwise: int) -> int:
    """Return the tokens of the pictures that are expected; `otherwise` counts for one of a quality that is not known.

    Models count them by the area.
    """
    image = call.options.image
    tokens = otherwise if image is None else _PICTURE_TOKENS.get(image.quality, otherwise)
    width, height = (image.size.pixels if image is not None and image.size is not None else None) or (1024, 1024)
    return _pictures(call, target) * max(tokens, tokens * width * height // _PIXELS)


def _may_search(call: Call) -> bool:
    """Return whether the service may search the web for the answer, as an option or as one of its tools."""
    tools = [*call.options.service_tools, *dicts_in(call.options.extra.get("tools"))]
    return call.options.search is not None or any("search" in f"{tool.get('type')} {list(tool)}" for tool in tools)


def _cost(call: Call, output_tokens: int | None = None) -> float | None:
    costs = [_cost_at(target, _usage(call, target, output_tokens), call) for target in call.targets]
    priced = [cost for cost in costs if cost is not None]
    return max(priced) if priced and len(priced) == len(costs) else None


def _cost_at(target: Target, usage: Usage, call: Call) -> float | None:
    provider, catalog = call.context.provider(target.provider), call.context.catalog
    bill = _EXPECTED
    if pictures := _pictures(call, target):
        bill = bill._replace(images=pictures, image_output=usage.output_tokens)
    return cost_at(provider, target.model, usage, catalog, bill, at=utc_now())


def _highest_cost_at(target: Target, usage: Usage, call: Call) -> float:
    provider, record = call.context.provider(target.provider), call.context.record(target) or {}
    limit = None if call.expect is None else call.expect(call, target).most_output
    if limit is None:
        limit = call.options.params.get("max_tokens") or record.get("max_out") or record.get("window")
    limit = _LONGEST_ANSWER if limit is None else limit
    bill = _HIGHEST
    if pictures := _pictures(call, target):
        limit = _picture_tokens(call, target, _LARGEST_PICTURE)
        bill = bill._replace(images=pictures, image_output=limit)
    # Reasoning counts towards the limit, and may have a price of its own.
    highest = replace(usage, output_tokens=limit, reasoning_tokens=limit)
    if usage.searches:
        search = call.options.search
        highest = replace(highest, searches=(search and search.max_searches) or _MOST_SEARCHES)
    if record.get("write") and (provider.writes_cache or provider.cache_style) and call.prompt_cache is not False:
        highest = replace(highest, cache_write_tokens=usage.input_tokens)
        bill = bill._replace(long_writes=usage.input_tokens if call.prompt_cache == "1h" else None)
    return cost_at(provider, target.model, highest, call.context.catalog, bill) or 0.0
