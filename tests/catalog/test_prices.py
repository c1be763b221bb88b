"""What answers cost, by the record of a model and the counts of a service; each amount is worked out beside it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from aichatkit import Client, Usage
from aichatkit.catalog.models import Catalog
from aichatkit.catalog.prices import cost_of, saved_of
from aichatkit.chunks import Bill

OPENAI = {
    **{"id": "openai/m", "in": 2, "out": 10, "read": 0.1, "write": 2.5, "batch": 0.5, "flex": 0.5, "priority": 2},
    **{"search": 0.01, "uplift": {"eu": 1.1, "us": 1.1}},
    "tiers": [{"above": 272_000, "in": 4, "out": 15, "read": 0.2, "write": 5, "write_long": 10}],
}
OLDER = {
    **{
        "id": "openai/o",
        "in": 5,
        "out": 30,
        "read": 0.5,
        "tiers": [{"above": 272_000, "in": 10, "out": 45, "read": 1}],
    },
    **{"batch": 0.5, "priority": {"in": 12.5, "out": 75, "read": 1.25}},
}
ANTHROPIC = {
    **{"id": "anthropic/m", "in": 4, "out": 20, "read": 0.2, "write": 5, "batch": 0.5, "fast": 2, "search": 0.01},
    "uplift": {"us": 1.1},
}
GEMINI = {
    **{"id": "gemini/m", "in": 0.3, "out": 2.5, "read": 0.03, "audio_in": 1, "audio_read": 0.1, "search": 0.035},
    **{"search_unit": "prompt", "batch": {"in": 0.15, "out": 1.25, "read": 0.03}, "image_out": 30},
}
XAI = {
    **{"id": "xai/m", "in": 1.25, "out": 2.5, "read": 0.2, "image_in": 1.25, "batch": 0.8},
    "tiers": [{"above": 200_000, "inclusive": True, "in": 2.5, "out": 5, "read": 0.4}],
}
AUDIO = {"id": "openai/a", "in": 2.5, "out": 10, "audio_in": 32, "audio_out": 64}
SONAR = {
    **{"id": "perplexity/s", "in": 3, "out": 15, "search_unit": "request"},
    "search": {"low": 0.006, "medium": 0.01, "high": 0.014},
}
RESEARCH = {
    **{"id": "perplexity/r", "in": 2, "out": 8, "citation": 2, "thinking_out": 3, "search": 0.005},
    "search_unit": "query",
}
QWEN = {
    **{"id": "dashscope/q", "in": 0.4, "out": 1.2, "thinking_out": 4},
    "tiers": [{"above": 256_000, "in": 1.2, "out": 3.6, "thinking_out": 12}],
}
KIMI = {"id": "moonshot/k", "in": 3, "out": 15, "read": 0.3, "write": 3.5}
PEAK = {"windows": [[1, 4], [6, 10]], "factor": 2, "holidays": ["2026-10-01"]}
DEEPSEEK = {"id": "deepseek/d", "in": 0.15, "out": 0.6, "read": 0.003, "peak": PEAK}
FIREWORKS = {"id": "fireworks/f", "in": 1.4, "out": 4.4}
DRAWS = {"id": "xai/p", "per_image": 0.04, "search": 0.005, "uplift": {"us": 1.1}}
PLAIN = {"id": "cerebras/p", "in": 0.35, "out": 0.75}


def usage(input_tokens, output_tokens, **parts):
    return Usage(input_tokens, output_tokens, **parts)


@pytest.mark.parametrize(
    ("record", "counts", "bill", "dollars"),
    [
        (OPENAI, usage(1000, 100), Bill(), (1000 * 2 + 100 * 10) / 1e6),
        (OPENAI, usage(9000, 100, cached_tokens=4000), Bill(), (5000 * 2 + 4000 * 0.1 + 100 * 10) / 1e6),
        (OPENAI, usage(9000, 100, reasoning_tokens=90), Bill(), (9000 * 2 + 100 * 10) / 1e6),
        (
            OPENAI,
            usage(9000, 100, cached_tokens=4000, cache_write_tokens=3000),
            Bill(),
            (2000 * 2 + 4000 * 0.1 + 3000 * 2.5 + 100 * 10) / 1e6,
        ),
        (
            OPENAI,
            usage(9000, 100, cache_write_tokens=3000),
            Bill(long_writes=2000),
            (6000 * 2 + 1000 * 2.5 + 2000 * 2.5 * 2 + 100 * 10) / 1e6,
        ),
        (OLDER, usage(3000, 10, cached_tokens=2048, cache_write_tokens=900), Bill(), (952 * 5 + 1024 + 300) / 1e6),
        (OLDER, usage(3000, 10, cache_write_tokens=900), Bill(long_writes=900), (3000 * 5 + 300) / 1e6),
        (OPENAI, usage(272_000, 1000), Bill(), (272_000 * 2 + 1000 * 10) / 1e6),
        (OPENAI, usage(272_001, 1000), Bill(), (272_001 * 4 + 1000 * 15) / 1e6),
        (
            OPENAI,
            usage(300_000, 2000, cached_tokens=250_000, cache_write_tokens=40_000),
            Bill(),
            (10_000 * 4 + 250_000 * 0.2 + 40_000 * 5 + 2000 * 15) / 1e6,
        ),
        (OPENAI, usage(10_000, 2000, cached_tokens=6000), Bill(tier="batch"), (4000 + 6000 * 0.05 + 2000 * 5) / 1e6),
        (OPENAI, usage(300_000, 1000), Bill(tier="batch"), (300_000 * 2 + 1000 * 7.5) / 1e6),
        (OPENAI, usage(10_000, 2000, cached_tokens=6000), Bill(tier="flex"), (4000 + 6000 * 0.05 + 2000 * 5) / 1e6),
        (OPENAI, usage(8000, 800), Bill(tier="priority"), (8000 * 4 + 800 * 20) / 1e6),
        (OPENAI, usage(8000, 800), Bill(tier="fast"), (8000 * 4 + 800 * 20) / 1e6),
        (OPENAI, usage(8000, 800), Bill(tier="ON_DEMAND_FLEX"), (8000 + 800 * 5) / 1e6),
        (OPENAI, usage(8000, 800), Bill(tier="SERVICE_TIER_STANDARD"), (8000 * 2 + 800 * 10) / 1e6),
        (OPENAI, usage(8000, 800), Bill(tier="default"), (8000 * 2 + 800 * 10) / 1e6),
        (OPENAI, usage(8000, 800), Bill(tier="scale"), None),
        (OLDER, usage(8000, 800), Bill(tier="priority"), (8000 * 12.5 + 800 * 75) / 1e6),
        (OLDER, usage(300_000, 800), Bill(tier="priority"), None),
        (OLDER, usage(8000, 800), Bill(tier="flex"), None),
        (OPENAI, usage(8000, 800), Bill(region="eu"), 1.1 * (8000 * 2 + 800 * 10) / 1e6),
        (OPENAI, usage(8000, 800, searches=3), Bill(region="us"), 1.1 * (8000 * 2 + 800 * 10) / 1e6 + 0.03),
        (OPENAI, usage(8000, 800), Bill(region="mars"), None),
        (OLDER, usage(8000, 800), Bill(region="eu"), (8000 * 5 + 800 * 30) / 1e6),
        (OLDER, usage(8000, 800, searches=1), Bill(), None),
        (AUDIO, usage(1100, 250), Bill(audio_input=1000, audio_output=200), (250 + 32_000 + 500 + 12_800) / 1e6),
        (AUDIO, usage(1100, 250), Bill(audio_input=9000), (1100 * 32 + 250 * 10) / 1e6),
        (OPENAI, usage(1100, 250), Bill(audio_input=1000), None),
        (OPENAI, usage(1100, 250), Bill(audio_output=200), None),
        (ANTHROPIC, usage(101_510, 5, cached_tokens=1500), Bill(tier="standard"), (100_010 * 4 + 300 + 100) / 1e6),
        (
            ANTHROPIC,
            usage(9000, 5, cache_write_tokens=8000),
            Bill(long_writes=6000),
            (1000 * 4 + 2000 * 5 + 6000 * 8 + 5 * 20) / 1e6,
        ),
        (
            ANTHROPIC,
            usage(4100, 500, cache_write_tokens=4000),
            Bill(tier="batch", long_writes=4000),
            (100 * 2 + 4000 * 4 + 500 * 10) / 1e6,
        ),
        (
            {"id": "anthropic/n", "in": 4, "out": 20},
            usage(9000, 5, cache_write_tokens=8000),
            Bill(long_writes=6000),
            (1000 * 4 + 2000 * 5 + 6000 * 8 + 5 * 20) / 1e6,
        ),
        (ANTHROPIC, usage(1000, 500), Bill(region="us"), 1.1 * (1000 * 4 + 500 * 20) / 1e6),
        (ANTHROPIC, usage(1000, 500), Bill(region="not_available"), (1000 * 4 + 500 * 20) / 1e6),
        (ANTHROPIC, usage(1000, 500), Bill(speed="fast"), 2 * (1000 * 4 + 500 * 20) / 1e6),
        (ANTHROPIC, usage(1000, 500), Bill(speed="standard"), (1000 * 4 + 500 * 20) / 1e6),
        (ANTHROPIC, usage(1000, 500), Bill(speed="warp"), None),
        (OPENAI, usage(1000, 500), Bill(speed="fast"), None),
        (ANTHROPIC, usage(9000, 700, searches=2), Bill(), (9000 * 4 + 700 * 20) / 1e6 + 2 * 0.01),
        (GEMINI, usage(5000, 100), Bill(audio_input=4000), (1000 * 0.3 + 4000 * 1 + 100 * 2.5) / 1e6),
        (
            GEMINI,
            usage(5000, 100, cached_tokens=3000),
            Bill(audio_input=4000, audio_cached=2500),
            (500 * 0.3 + 500 * 0.03 + 2500 * 0.1 + 1500 * 1 + 250) / 1e6,
        ),
        (GEMINI, usage(4000, 500, searches=3), Bill(), (4000 * 0.3 + 500 * 2.5) / 1e6 + 0.035),
        (GEMINI, usage(4000, 500, searches=0), Bill(), (4000 * 0.3 + 500 * 2.5) / 1e6),
        ({**GEMINI, "search_unit": "query"}, usage(4000, 500, searches=3), Bill(), (1200 + 1250) / 1e6 + 3 * 0.035),
        (GEMINI, usage(10_000, 10, cached_tokens=8000), Bill(tier="batch"), (300 + 240 + 12.5) / 1e6),
        (GEMINI, usage(5000, 100), Bill(tier="batch", audio_input=4000), None),
        (GEMINI, usage(50, 1300), Bill(image_output=1290), (50 * 0.3 + 10 * 2.5 + 1290 * 30) / 1e6),
        (OPENAI, usage(50, 1300), Bill(image_output=1290), None),
        ({"id": "gemini/n", "in": 1, "out": 2}, usage(50, 10), Bill(audio_input=40), (50 + 20) / 1e6),
        ({**PLAIN, "audio_in": 2}, usage(50, 0, cached_tokens=50), Bill(audio_cached=50), 100 / 1e6),
        (XAI, usage(199_999, 100), Bill(), (199_999 * 1.25 + 100 * 2.5) / 1e6),
        (XAI, usage(200_000, 100), Bill(), (200_000 * 2.5 + 100 * 5) / 1e6),
        (XAI, usage(200_000, 100), Bill(image_input=500), (200_000 * 2.5 + 100 * 5) / 1e6),
        (XAI, usage(10_000, 1000, cached_tokens=4000), Bill(tier="batch"), (6000 + 640 + 2000) / 1e6),
        (XAI, usage(198, 90), Bill(cost=2_709_000e-10), 0.0002709),
        (None, usage(1, 1), Bill(cost=0.0), 0.0),
        (SONAR, usage(26, 832), Bill(search_size="high"), (26 * 3 + 832 * 15) / 1e6 + 0.014),
        (SONAR, usage(26, 832), Bill(search_size="low"), (26 * 3 + 832 * 15) / 1e6 + 0.006),
        (SONAR, usage(26, 832), Bill(), None),
        (
            RESEARCH,
            usage(30, 1300, reasoning_tokens=1000, searches=4),
            Bill(visible=300, citation_tokens=500),
            (30 * 2 + 500 * 2 + 300 * 8 + 1000 * 3) / 1e6 + 4 * 0.005,
        ),
        (QWEN, usage(1000, 100), Bill(), (400 + 120) / 1e6),
        (QWEN, usage(1000, 100, reasoning_tokens=60), Bill(), (400 + 400) / 1e6),
        (QWEN, usage(1000, 100), Bill(reasoned=True), (400 + 400) / 1e6),
        (QWEN, usage(300_000, 1000), Bill(), (300_000 * 1.2 + 1000 * 3.6) / 1e6),
        (QWEN, usage(300_000, 1000, reasoning_tokens=1), Bill(), (300_000 * 1.2 + 1000 * 12) / 1e6),
        (KIMI, usage(9000, 100, cache_write_tokens=5000), Bill(), (4000 * 3 + 5000 * 3.5 + 1500) / 1e6),
        (KIMI, usage(9000, 100, cache_write_tokens=5000), Bill(long_writes=5000), (4000 * 3 + 5000 * 6 + 1500) / 1e6),
        ({**KIMI, "id": "x/k"}, usage(9, 1, cache_write_tokens=5), Bill(long_writes=5), None),
        (FIREWORKS, usage(3000, 100, cached_tokens=2000), Bill(), (1000 * 1.4 + 2000 * 0.7 + 100 * 4.4) / 1e6),
        (PLAIN, usage(1000, 500, cached_tokens=512), Bill(), (1000 * 0.35 + 500 * 0.75) / 1e6),
        (PLAIN, usage(10, 5, cached_tokens=161), Bill(), (10 * 0.35 + 5 * 0.75) / 1e6),
        (PLAIN, usage(512, 14), Bill(billed_input=17, billed_output=12), (17 * 0.35 + 12 * 0.75) / 1e6),
        ({**PLAIN, "per_request": 0.25}, usage(10, 0), Bill(), 10 * 0.35 / 1e6 + 0.25),
        (DRAWS, usage(None, None), Bill(images=2), 0.08),
        (DRAWS, usage(9, 1300), Bill(images=1, image_output=1300), 0.04),
        (DRAWS, usage(9, 5), Bill(images=0), 0.0),
        ({**PLAIN, "per_image": 0.04}, usage(10, 1300), Bill(images=1, image_output=1300), 10 * 0.35 / 1e6 + 0.04),
        ({**PLAIN, "per_image": 0.04}, usage(None, None), Bill(images=1), None),
        (PLAIN, usage(10, 1300), Bill(images=1, image_output=1300), None),
        ({**PLAIN, "own": True}, usage(0, 1300), Bill(images=1, image_output=1300), 1300 * 0.75 / 1e6),
        (PLAIN, usage(None, 5), Bill(), None),
        (PLAIN, usage(5, None), Bill(), None),
        ({"id": "a/b", "in": 1}, usage(1, 1), Bill(), None),
        ({"id": "a/b", "in": 0, "out": 0}, usage(1, 1), Bill(), None),
        ({"id": "a/b", "in": 0, "out": 0, "free": True}, usage(1, 1), Bill(), 0.0),
        ({"id": "a/b", "in": 0, "out": 0, "own": True}, usage(1, 1), Bill(), 0.0),
        ({"id": "a/b", "in": 1, "out": 2, "own": True}, usage(1, 1), Bill(tier="flex"), 3 / 1e6),
        ({"id": "a/b", "in": 1, "out": 2, "own": True}, usage(1, 1), Bill(tier="batch"), None),
        (None, usage(1, 1), Bill(), None),
        ({}, usage(1, 1), Bill(), None),
    ],
)
def test_an_answer_costs(record, counts, bill, dollars):
    cost = cost_of(record, counts, bill, at=datetime(2026, 11, 26, 12, tzinfo=timezone.utc))
    assert cost == (None if dollars is None else pytest.approx(dollars, abs=1e-12))


@pytest.mark.parametrize(
    ("at", "factor"),
    [
        ("2026-11-26T12:00:00+00:00", 1),
        ("2026-11-26T00:59:59+00:00", 1),
        ("2026-11-26T01:00:00+00:00", 2),
        ("2026-11-26T03:59:59+00:00", 2),
        ("2026-11-26T04:00:00+00:00", 1),
        ("2026-11-27T09:59:59+00:00", 2),
        ("2026-11-27T17:59:59+08:00", 2),
        ("2026-11-28T02:30:00+00:00", 1),
        ("2026-11-29T07:00:00+00:00", 1),
        ("2026-10-01T02:00:00+00:00", 1),
        (None, 2),
    ],
)
def test_some_hours_of_working_days_cost_more(at, factor):
    moment = None if at is None else datetime.fromisoformat(at)
    cost = cost_of(DEEPSEEK, Usage(10_000, 1200, cached_tokens=8000), at=moment)
    assert cost == pytest.approx(factor * (2000 * 0.15 + 8000 * 0.003 + 1200 * 0.6) / 1e6)


LATER = {
    **{"id": "gemini/m", "in": 1, "out": 2, "read": 0.5, "batch": 0.5, "flex": {"in": 0.1, "out": 0.2}},
    **{"since": "2026-06-01", "until": "2026-12-31", "next": {"since": "2027-01-02", "in": 3, "out": 4, "read": 1}},
}


@pytest.mark.parametrize(
    ("day", "tier", "dollars"),
    [
        ("2026-12-31", "", 3.0),
        ("2026-05-31", "", None),
        ("2027-01-01", "", None),
        ("2027-01-02", "", 7.0),
        ("2027-01-02", "batch", 3.5),
        ("2026-12-31", "flex", 0.3),
        ("2027-01-02", "flex", None),
    ],
)
def test_a_price_holds_for_its_time(day, tier, dollars):
    at = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    cost = cost_of(LATER, Usage(1_000_000, 1_000_000), Bill(tier=tier), at=at)
    assert cost == (None if dollars is None else pytest.approx(dollars))
    assert cost_of({**LATER, "next": None}, Usage(1, 1), at=datetime(2027, 2, 1, tzinfo=timezone.utc)) is None


@pytest.mark.parametrize(
    ("record", "counts", "bill", "dollars"),
    [
        (OPENAI, usage(9000, 100, cached_tokens=4000), Bill(), 4000 * 1.9 / 1e6),
        (OPENAI, usage(9000, 100, cached_tokens=0, cache_write_tokens=4000), Bill(), -4000 * 0.5 / 1e6),
        (OPENAI, usage(9000, 100, cached_tokens=4000), Bill(cost=1.0, tier="flex"), 4000 * 0.95 / 1e6),
        (GEMINI, usage(9, 1, cached_tokens=8), Bill(audio_input=8, audio_cached=8), 8 * 0.9 / 1e6),
        (PLAIN, usage(9000, 100, cached_tokens=4000), Bill(), 0.0),
        (OPENAI, usage(9000, 100), Bill(), None),
        (OPENAI, usage(9000, None, cached_tokens=1), Bill(), None),
        (None, usage(9000, 100, cached_tokens=1), Bill(), None),
        ({**KIMI, "id": "x/k"}, usage(9, 1, cached_tokens=0, cache_write_tokens=5), Bill(long_writes=5), None),
    ],
)
def test_caching_saved(record, counts, bill, dollars):
    saved = saved_of(record, counts, bill)
    assert saved == (None if dollars is None else pytest.approx(dollars, abs=1e-12))


def test_an_answer_tells_its_cost_and_what_caching_saved(client):
    answer = client.ask("Hello")
    record = Catalog().find("openai", "gpt-6-luna")
    assert answer.cost == cost_of(record, answer.usage)
    assert answer.cost > 0
    assert answer.saved == 0.0
    assert client.ask("Hello", model="offline").cost == client.ask("Hello", model="offline").saved == 0.0


def test_own_prices_count_and_other_models_have_none(sandbox):
    prices = {"openai/mine": (0, 1e6)}
    with Client(model="openai/mine", api_key="sk-test", base_url=f"{sandbox.url}/v1", prices=prices) as client:
        answer = client.ask("Hello")
        assert answer.cost == answer.usage.output_tokens
        assert client.ask("Hello", model="openai/other").cost is None
