"""Token usage -> cost in US dollars, by the record of a model; a price that is not known is never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from aichatkit.catalog.layers import Layer, Record
from aichatkit.chunks import Bill, Usage
from aichatkit.errors import ConfigurationError
from aichatkit.params import is_number

__all__ = ["NO_BILL", "Price", "cost_of", "parse_prices"]

NO_BILL = Bill()

_EXPECTED = 'prices: must look like {"provider/model": (dollars_in, dollars_out)}, in US dollars for a million tokens'


class Price(NamedTuple):
    """Price in US dollars per million tokens.

    `cached` applies to input tokens read from the prompt cache; None means that they cost as much as other input.
    """

    input: float
    output: float
    cached: float | None = None


def cost_of(record: Record | None, usage: Usage, bill: Bill = NO_BILL) -> float | None:
    """Return the cost of an answer in US dollars, None if the price or a count it needs is not known.

    >>> cost_of({"in": 2, "out": 8, "read": 0.5}, Usage(40_600, 1_900, cached_tokens=12_400))
    0.0778
    """
    if bill.cost is not None:
        return bill.cost
    if record is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    if "in" not in record or "out" not in record:
        return None
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    input_cost = (usage.input_tokens - cached) * record["in"] + cached * record.get("read", record["in"])
    return float(input_cost + usage.output_tokens * record["out"]) / 1e6


def parse_prices(prices: Mapping[str, Any] | None) -> Layer | None:
    """Return the user's own prices as a layer of the catalog, None if there are none."""
    if prices is not None and not isinstance(prices, Mapping):
        raise ConfigurationError(_EXPECTED)
    records = {}
    for name, value in (prices or {}).items():
        if not isinstance(name, str) or "/" not in name or not _is_price(value):
            raise ConfigurationError(f"{_EXPECTED}; {str(name)[:100]!r} does not")
        price = Price(*value)
        cached = {} if price.cached is None else {"read": price.cached}
        records[name] = {"id": name, "in": price.input, "out": price.output, **cached}
    return Layer(date.today(), records) if records else None


def _is_price(value: Any) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        return False
    numbers = value[:2] if len(value) == 3 and value[2] is None else value
    return all(is_number(number) and number < float("inf") for number in numbers)
