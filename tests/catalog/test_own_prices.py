"""Prices of one's own: tuples, or dicts with everything that may cost."""

from __future__ import annotations

import pytest

from aichatkit import ConfigurationError, Usage
from aichatkit.catalog.models import Catalog
from aichatkit.catalog.own_prices import Price, parse_prices
from aichatkit.catalog.prices import cost_of
from aichatkit.chunks import Bill


def record_of(price, name="openai/gpt-6-luna"):
    return Catalog([parse_prices({name: price})]).find(*name.split("/", 1))


@pytest.mark.parametrize(
    ("price", "counts", "bill", "dollars"),
    [
        ((1, 2), Usage(10, 1, cached_tokens=4), Bill(), 12),
        ([1, 2, 0.5], Usage(10, 1, cached_tokens=4), Bill(), 10),
        (Price(1, 2), Usage(10, 1), Bill(), 12),
        ((1, 2, None), Usage(10, 1, cached_tokens=4), Bill(), 12),
        ({"input": 1, "output": 2}, Usage(10, 1), Bill(), 12),
        ({"input": 1, "output": 2, "cache_read": 0.5}, Usage(10, 1, cached_tokens=4), Bill(), 10),
        ({"input": 1, "output": 2, "cache_write": 3}, Usage(10, 1, cache_write_tokens=4), Bill(), 20),
        (
            {"input": 1, "output": 2, "cache_write": 3, "cache_write_1h": 5},
            Usage(10, 1, cache_write_tokens=4),
            Bill(long_writes=4),
            28,
        ),
        ({"input": 1, "output": 2, "batch": 0.5}, Usage(10, 1), Bill(tier="batch"), 6),
        ({"input": 1, "output": 2, "batch": {"input": 0.2, "output": 1}}, Usage(10, 1), Bill(tier="batch"), 3),
        ({"input": 1, "output": 2, "tiers": [{"above": 9, "input": 3, "output": 4}]}, Usage(10, 1), Bill(), 34),
        ({"input": 1, "output": 2, "tiers": {"above": 10, "input": 3, "output": 4}}, Usage(10, 1), Bill(), 12),
        ({"input": 1, "output": 2, "per_request": 1e-6}, Usage(10, 1), Bill(), 13),
        ({"input": 1, "output": 2, "per_search": 1e-6}, Usage(10, 1, searches=3), Bill(), 15),
        ({"input": 1, "output": 2, "per_search": 1e-6}, Usage(10, 1), Bill(), 12),
        ({"per_image": 1e-6}, Usage(), Bill(images=3), 3),
        ({"per_image": 1e-6, "input": 1, "output": 2}, Usage(10, 1), Bill(images=3), 15),
        ({"input": 1, "output": 2}, Usage(10, 1300), Bill(images=1, image_output=1300), 2610),
        ({"input": 0, "output": 0}, Usage(10, 1), Bill(tier="priority"), 0),
    ],
)
def test_an_answer_costs_by_own_prices(price, counts, bill, dollars):
    assert cost_of(record_of(price), counts, bill) == pytest.approx(dollars / 1e6)


def test_own_prices_replace_the_price_and_nothing_else():
    shipped, own = Catalog().find("openai", "gpt-6-luna"), record_of((1, 2))
    assert {"batch", "tiers", "search", "read"} <= shipped.keys()
    assert not {"batch", "tiers", "search", "read"} & own.keys()
    assert (own["window"], own["in"]) == (shipped["window"], 1)


def test_own_prices_replace_the_price_of_a_picture():
    assert "per_image" in Catalog().find("xai", "grok-imagine-image")
    assert "per_image" not in record_of((1, 2), "xai/grok-imagine-image")


def test_own_prices_of_an_alias_are_not_mixed_with_those_of_its_model():
    own = record_of((1, 2), "gemini/gemini-flash-latest")
    assert "batch" in Catalog().find("gemini", "gemini-flash-latest")
    assert "batch" not in own
    assert own["window"] > 1


def test_without_prices_there_is_no_layer():
    assert parse_prices(None) is parse_prices({}) is None


@pytest.mark.parametrize(
    "prices",
    [
        [],
        {"gpt-4o": (1, 2)},
        {1: (1, 2)},
        {"a/b": 1},
        {"a/b": (1,)},
        {"a/b": (1, 2, 3, 4)},
        {"a/b": ("1", "2")},
        {"a/b": (True, 2)},
        {"a/b": (-1, 2)},
        {"a/b": (1, float("nan"))},
        {"a/b": (1, float("inf"))},
        {"a/b": (None, 2)},
    ],
)
def test_what_is_no_price_is_refused(prices):
    with pytest.raises(ConfigurationError, match="prices: must look like"):
        parse_prices(prices)


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ({"output": 1}, "'a/b': 'input' is missing"),
        ({"input": 1}, "'output' is missing"),
        ({"input": 1, "output": 2, "cache_reed": 1}, "unknown key 'cache_reed'; did you mean 'cache_read'?"),
        ({"in": 1, "output": 2}, "unknown key 'in'; did you mean 'input'?; it takes input, output, cache_read"),
        ({"input": 1, "output": 2, 3: 4}, "unknown key 3; it takes"),
        ({"input": "1", "output": 2}, "input must be a number of at least 0, not '1'"),
        ({"input": 1, "output": -2}, "output must be a number of at least 0, not -2"),
        ({"per_image": -1}, "per_image must be a number"),
        ({"input": 1, "output": 2, "per_request": "x"}, "per_request must be a number"),
        ({"input": 1, "output": 2, "batch": "half"}, "batch must be a factor such as 0.5, or a dict .* not 'half'"),
        ({"input": 1, "output": 2, "batch": {"input": 1}}, "'output' is missing"),
        ({"input": 1, "output": 2, "tiers": 7}, "tiers must look like"),
        ({"input": 1, "output": 2, "tiers": [7]}, "tiers must look like"),
        ({"input": 1, "output": 2, "tiers": [{"input": 1, "output": 2}]}, "a tier needs 'above'"),
        ({"input": 1, "output": 2, "tiers": [{"above": "9", "input": 1, "output": 2}]}, "above must be a number"),
        ({"input": 1, "output": 2, "tiers": [{"above": 9, "input": 1, "outptu": 2}]}, "did you mean 'output'?"),
    ],
)
def test_a_key_that_is_wrong_is_named(price, message):
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        parse_prices({"a/b": price})
