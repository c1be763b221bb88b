"""Which model's record an answer is billed by, and when."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from aichatkit.call.cost import charge_of, cost_at, utc_now
from aichatkit.catalog.models import Catalog
from aichatkit.catalog.own_prices import parse_prices
from aichatkit.chunks import Bill, Usage
from aichatkit.registry import registry

NOON = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
MILLION = Usage(1_000_000, 1_000_000, cached_tokens=0)


def charge(model, answered, prices=None, *, base_url=None, usage=MILLION):
    name, _, requested = model.partition("/")
    catalog = Catalog() if prices is None else Catalog([parse_prices(prices)])
    return charge_of(registry[name](base_url), (answered, requested), usage, catalog, Bill(), at=NOON)


@pytest.mark.parametrize(
    ("model", "answered", "cost"),
    [
        ("xai/grok-4.3", "grok-4.3", 7.5),
        ("xai/grok-4-fast", "grok-4.3", 7.5),
        ("xai/grok-4-fast", "grok-4-fast", 7.5),
        ("anthropic/claude-haiku-4-5", "claude-haiku-4-5-20251001", 6.0),
        ("anthropic/claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001", 6.0),
        ("groq/openai/gpt-oss-120b", "openai/gpt-oss-120b", 0.75),
        ("mistral/mistral-small-latest", "mistral-small-2611", 0.75),
        ("groq/openai/gpt-oss-120b", "a-model-that-nobody-knows", None),
        ("openai/gpt-6.2-sol", "gpt-6.2-sol", None),
        ("openai/gpt-6.9-unheard-of", "gpt-6.9-unheard-of", None),
        ("anthropic/claude-mythos-5-2", "claude-mythos-5-2", None),
        ("nvidia/openai/gpt-oss-120b", "openai/gpt-oss-120b", None),
        ("cohere/command-a-plus-05-2026", "command-a-plus-05-2026", None),
        ("ollama/llama3.2", "llama3.2", 0.0),
    ],
)
def test_the_model_that_answered_is_billed(model, answered, cost):
    assert charge(model, answered).cost == (None if cost is None else pytest.approx(cost, rel=0.7))


def test_a_deployment_on_azure_is_billed_as_its_model_at_azures_price():
    assert charge("azure/my-deployment", "gpt-6-luna-2026-09-01").cost == pytest.approx(0.2 + 0.75)
    assert charge("azure/my-deployment", "my-deployment").cost is None
    assert charge("azure/my-deployment", "x", {"azure/my-deployment": (1, 2)}).cost == 3


@pytest.mark.parametrize(
    ("answered", "cost"), [("mine", 3), ("mine-2026-11-01", 3), ("somebody-else", 3), ("gpt-4o-mini", 0.75)]
)
def test_own_prices_of_the_model_requested_hold_unless_another_answered(answered, cost):
    assert charge("openai/mine", answered, {"openai/mine": (1, 2)}).cost == pytest.approx(cost)


def test_own_prices_hold_for_a_dated_version_that_has_a_record_of_its_own():
    assert charge("openai/gpt-4o", "gpt-4o-2024-05-13", {"openai/gpt-4o": (1, 2)}).cost == 3
    both = {"openai/gpt-4o": (1, 2), "openai/gpt-4o-2024-05-13": (3, 4)}
    assert charge("openai/gpt-4o", "gpt-4o-2024-05-13", both).cost == 7


def test_a_region_of_the_address_counts():
    small = Usage(1000, 1000)
    usual = charge("openai/gpt-6-luna", "gpt-6-luna", usage=small).cost
    for model, url in (
        ("openai/gpt-6-luna", "https://eu.api.openai.com/v1"),
        ("openai-responses/gpt-6-luna", "https://us.api.openai.com/v1"),
    ):
        assert charge(model, "gpt-6-luna", base_url=url, usage=small).cost == pytest.approx(usual * 1.1)
    usual = charge("xai/grok-4.3", "grok-4.3", usage=small).cost
    other = charge("xai/grok-4.3", "grok-4.3", base_url="https://us-east-1.api.x.ai/v1", usage=small).cost
    assert other == pytest.approx(usual * 1.1)
    assert charge("openai/gpt-6-luna", "gpt-6-luna", base_url="http://127.0.0.1/v1").cost is not None


def test_what_is_expected_costs_at_the_dearest_hour_unless_the_time_is_known():
    provider = registry["deepseek"]()
    dear = cost_at(provider, "deepseek-flash", MILLION, Catalog())
    assert dear == pytest.approx(2 * cost_at(provider, "deepseek-flash", MILLION, Catalog(), at=NOON))
    assert cost_at(registry["offline"](), "eliza", MILLION, Catalog()) == 0.0


def test_the_time_is_that_of_the_wall_clock(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert utc_now() == datetime(1970, 1, 1, tzinfo=timezone.utc)
