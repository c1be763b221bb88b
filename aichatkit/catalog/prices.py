"""Token usage -> cost in US dollars, by the record of a model; a price that is not known is never guessed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from aichatkit._dataclasses import NamedTuple
from aichatkit.catalog.layers import Record
from aichatkit.catalog.rates import Rates, has_price_per_image, rates_of
from aichatkit.chunks import Bill, Usage

__all__ = ["NO_BILL", "cost_of", "saved_of"]

NO_BILL = Bill()


class _Item(NamedTuple):
    """Tokens charged at one rate."""

    tokens: int
    rate: str


def cost_of(record: Record | None, usage: Usage, bill: Bill = NO_BILL, *, at: datetime | None = None) -> float | None:
    """Return the cost of an answer in US dollars, None if the price or a count it needs is not known.

    `at` is when the answer was complete; without it, the dearest hour of the day counts.

    >>> cost_of({"in": 2, "out": 8, "read": 0.5}, Usage(40_600, 1_900, cached_tokens=12_400))
    0.0778
    """
    if bill.cost is not None:
        return bill.cost
    rates = _rates(record, usage, bill, at)
    if record is None or rates is None:
        return None
    tokens = _total(rates, [*_input_items(usage, bill), *_output_items(rates, usage, bill)])
    fees = _fees(record, usage, bill)
    return None if tokens is None or fees is None else tokens / 1e6 + fees


def saved_of(record: Record | None, usage: Usage, bill: Bill = NO_BILL, *, at: datetime | None = None) -> float | None:
    """Return the US dollars that prompt caching saved, less the surcharge on writes; None if that is not known.

    >>> saved_of({"in": 2, "out": 8, "read": 0.5}, Usage(40_600, 1_900, cached_tokens=12_400))
    0.0186
    """
    rates = None if usage.cached_tokens is None else _rates(record, usage, bill, at)
    if rates is None:
        return None
    items = _input_items(usage, bill)
    paid = _total(rates, items)
    full = _total(rates, [_Item(tokens, _UNCACHED.get(rate, rate)) for tokens, rate in items])
    return None if paid is None or full is None else round((full - paid) / 1e6, 12)


#: The rate that tokens would be charged at if nothing had been cached.
_UNCACHED = {"read": "in", "write": "in", "write_long": "in", "audio_read": "audio_in"}


def _rates(record: Record | None, usage: Usage, bill: Bill, at: datetime | None) -> Rates | None:
    if record is None:
        return None
    if (usage.input_tokens is None or usage.output_tokens is None) and not has_price_per_image(record):
        return None
    return rates_of(record, usage.input_tokens or 0, tier=bill.tier, speed=bill.speed, region=bill.region, at=at)


def _total(rates: Rates, items: list[_Item]) -> float | None:
    total = 0.0
    for tokens, name in items:
        rate = rates.get(name) if tokens else 0.0
        if rate is None:
            return None
        total += tokens * rate
    return total


def _input_items(usage: Usage, bill: Bill) -> list[_Item]:
    """Return the input by rate; a part that is larger than the rest of the total counts as all of the rest."""
    rest = (usage.input_tokens or 0) if bill.billed_input is None else bill.billed_input

    def take(count: int | None, limit: int) -> int:
        return max(0, min(count or 0, limit))

    cached = take(usage.cached_tokens, rest)
    written = take(usage.cache_write_tokens, rest - cached)
    long_writes, audio_cached = take(bill.long_writes, written), take(bill.audio_cached, cached)
    rest -= cached + written
    audio = take((bill.audio_input or 0) - audio_cached, rest)
    images = take(bill.image_input, rest - audio)
    return [
        _Item(rest - audio - images, "in"),
        _Item(cached - audio_cached, "read"),
        _Item(written - long_writes, "write"),
        _Item(long_writes, "write_long"),
        _Item(audio, "audio_in"),
        _Item(audio_cached, "audio_read"),
        _Item(images, "image_in"),
        _Item(bill.citation_tokens or 0, "citation"),
    ]


def _output_items(rates: Rates, usage: Usage, bill: Bill) -> Iterator[_Item]:
    rest = (usage.output_tokens or 0) if bill.billed_output is None else bill.billed_output
    audio = min(bill.audio_output or 0, rest)
    images = min(bill.image_output or 0, rest - audio)
    rest -= audio + images
    reasoning = min(usage.reasoning_tokens or 0, rest)
    if "thinking_out" in rates.by_name and bill.visible is None and (reasoning or bill.reasoned):
        # Some models have a second price for the whole output, which applies if they reasoned.
        reasoning = rest
    yield _Item(rest - reasoning, "out")
    yield _Item(reasoning, "thinking_out")
    yield _Item(audio, "audio_out")
    yield _Item(images, "image_out")


def _fees(record: Record, usage: Usage, bill: Bill) -> float | None:
    """Return what is charged for the request, for pictures and for searches, None if a price is not known."""
    fee = record.get("per_request", 0.0) + record.get("per_image", 0.0) * (bill.images or 0)
    price, unit = record.get("search"), record.get("search_unit")
    searches = usage.searches or 0
    if unit == "request":
        searches = 1
    elif unit == "prompt":
        searches = min(searches, 1)
    if not searches:
        return float(fee)
    if isinstance(price, dict):
        price = price.get(bill.search_size.lower())
    return None if price is None else float(fee + searches * price)
