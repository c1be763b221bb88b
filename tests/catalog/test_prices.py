"""Costs and prices."""

from __future__ import annotations

import pytest

from aichatkit import Client, ConfigurationError, Usage
from aichatkit.catalog.prices import PRICES, PRICES_DATE, Price, cost_of, parse_prices

MILLION = Usage(1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("openai/gpt-4o", 12.5),
        ("openai/gpt-4o-2024-08-06", 12.5),
        ("openai/gpt-4o-2024-05-13", 20.0),
        ("openai/gpt-4o-20240806", 12.5),
        ("anthropic/claude-haiku-4-5-20251001", 6.0),
        ("anthropic/claude-haiku-4-5@20251001", 6.0),
        ("offline/eliza", 0.0),
        ("openai/gpt-4o-20", None),
        ("openai/gpt-4o-2024", None),
        ("openai/gpt-4o-audio-preview", None),
        ("openai/gpt-oss-20b", None),
        ("groq/gpt-4o", None),
    ],
)
def test_a_model_costs_what_its_version_without_date_costs(model, cost):
    provider, _, name = model.partition("/")
    assert cost_of(provider, name, MILLION, PRICES) == cost


@pytest.mark.parametrize("usage", [Usage(), Usage(1), Usage(output_tokens=1)])
def test_tokens_that_are_not_told_have_no_price(usage):
    assert cost_of("openai", "gpt-4o", usage, PRICES) is None


@pytest.mark.parametrize(
    ("cached", "price", "cost"),
    [
        (0, Price(2, 10, 1), 2.0),
        (500_000, Price(2, 10, 1), 1.5),
        (500_000, Price(2, 10), 2.0),
        (500_000, Price(2, 10, 0), 1.0),
        (2_000_000, Price(2, 10, 1), 1.0),
    ],
)
def test_cached_tokens_cost_their_own_price_and_never_more_than_all(cached, price, cost):
    assert cost_of("a", "b", Usage(1_000_000, 0, cached_tokens=cached), {"a/b": price}) == pytest.approx(cost)


def test_own_prices_lie_over_the_table():
    table = parse_prices({"openai/gpt-4o": (1, 2), "me/mine": [1, 2, 0.5], "me/other": Price(3, 4)})
    assert table["openai/gpt-4o"] == Price(1, 2)
    assert table["me/mine"] == Price(1, 2, 0.5)
    assert table["me/other"] == Price(3, 4)
    assert table["openai/gpt-4"] == PRICES["openai/gpt-4"]
    assert PRICES["openai/gpt-4o"].input == 2.5


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


def test_an_answer_tells_its_cost(client):
    answer = client.ask("Hello")
    assert answer.cost == cost_of("openai", "gpt-4o-mini", answer.usage, PRICES)
    assert answer.cost > 0
    assert client.ask("Hello", model="aichats").cost is None


def test_own_prices_count_and_other_models_have_none(sandbox):
    with Client(
        model="openai/mine", api_key="sk-test", base_url=f"{sandbox.url}/v1", prices={"openai/mine": (0, 1e6)}
    ) as client:
        answer = client.ask("Hello")
        assert answer.cost == answer.usage.output_tokens
        assert client.ask("Hello", model="openai/other").cost is None


def test_every_price_is_sensible_and_the_table_is_dated():
    assert len(PRICES_DATE) == 10
    assert parse_prices(PRICES) == PRICES
    assert all(price.cached is None or price.cached <= price.input for price in PRICES.values())


def test_the_last_version_of_a_model_has_its_price():
    assert cost_of("anthropic", "claude-3-7-sonnet-latest", Usage(1_000_000, 0), {**PRICES}) is not None


@pytest.mark.parametrize(
    "model", ["claude-3-7-sonnet-20250219", "claude-3-5-haiku-20241022", "claude-sonnet-4-20250514"]
)
def test_the_models_that_answer_by_their_date_have_a_price(model):
    assert cost_of("anthropic", model, Usage(1000, 1000), PRICES) > 0


def test_a_prompt_so_long_that_it_is_dearer_has_no_price_unless_it_is_the_users_own():
    longer = Usage(200_001, 10)
    assert cost_of("gemini", "gemini-2.5-pro", Usage(200_000, 10), PRICES) > 0
    assert cost_of("gemini", "gemini-2.5-pro", longer, PRICES) is None
    assert cost_of("gemini", "gemini-2.5-flash", longer, PRICES) > 0
    own = parse_prices({"gemini/gemini-2.5-pro": (2.5, 15.0)})
    assert cost_of("gemini", "gemini-2.5-pro", longer, own) > 0
