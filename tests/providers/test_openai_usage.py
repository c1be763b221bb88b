"""Usage in the forms that services with OpenAI's protocols send: what is counted, and what is billed."""

from __future__ import annotations

import json
import time

import pytest
import responses

from aichatkit import Client, Usage
from aichatkit.chunks import Bill
from aichatkit.providers.openai_usage import parse_usage


def parsed(usage, **options):
    chunks = list(parse_usage(usage, **options))
    counts = [chunk for chunk in chunks if isinstance(chunk, Usage)]
    return (counts[0] if counts else None), next((chunk for chunk in chunks if isinstance(chunk, Bill)), Bill())


def chat(*counts, **fields):
    return {"prompt_tokens": counts[0], "completion_tokens": counts[1], "total_tokens": sum(counts), **fields}


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (chat(9, 2), Usage(9, 2, 11)),
        ({"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}, Usage(9, 2, 11)),
        (chat(9, 2, prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 3}), Usage(9, 2, 11, 4, None, 3)),
        (chat(9, 2, completion_tokens_details={"reasoning_tokens": 1}), Usage(9, 2, 11, None, 1)),
        (chat(9, 2, prompt_cache_hit_tokens=4, prompt_cache_miss_tokens=5), Usage(9, 2, 11, 4)),
        (chat(9, 2, prompt_cache_hit_tokens=4, prompt_tokens_details={"cached_tokens": 0}), Usage(9, 2, 11, 4)),
        (chat(9, 2, prompt_tokens_details={"cached_tokens": 0}), Usage(9, 2, 11, 0)),
        (chat(9, 2, cached_tokens=4), Usage(9, 2, 11, 4)),
        (chat(9, 2, num_cached_tokens=4), Usage(9, 2, 11, 4)),
        ({"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}}, Usage(9, 2, None, 4)),
        ({"input_tokens": 9, "input_tokens_details": {"cache_read_input_tokens": 4}}, Usage(9, cached_tokens=4)),
        (chat(9, 2, 5, completion_tokens_details={"reasoning_tokens": 5}), Usage(9, 7, 16, None, 5)),
        (chat(9, 2, completion_tokens_details={"reasoning_tokens": 5}), Usage(9, 2, 11, None, 5)),
        (chat(9, 2, reasoning_tokens=5, citation_tokens=3), Usage(9, 7, 11, None, 5)),
        (chat(9, 2, 100, prompt_tokens_details={"cached_tokens": 100}), Usage(109, 2, 111, 100)),
        (
            chat(9, 2, 150, cache_read_input_tokens=100, cache_creation_input_tokens=50),
            Usage(159, 2, 161, 100, None, 50),
        ),
        (chat(9, 2, cache_read_input_tokens=100), Usage(109, 2, 11, 100)),
        (chat(9, 2, cache_creation_input_tokens=5), Usage(9, 2, 11, None, None, 5)),
        (chat(9, 2, prompt_tokens_details={"cached_tokens": 161}), Usage(9, 2, 11, 161)),
        (chat(9, 248, 375, prompt_audio_seconds=30), Usage(384, 248, 632)),
        (chat(9, 2, num_search_queries=3), Usage(9, 2, 11, searches=3)),
        (chat(9, 2, tool_calls_details={"search_web": {"invocation": 2}}), Usage(9, 2, 11, searches=2)),
        (chat(9, 2, server_tool_use={"web_search_requests": 1}), Usage(9, 2, 11, searches=1)),
        ({"total_tokens": 7}, Usage(total_tokens=7)),
        ({"prompt_tokens": "9", "completion_tokens": True, "total_tokens": 2.0}, Usage(total_tokens=2)),
        (chat(9, 2, prompt_tokens_details=[], completion_tokens_details="x"), Usage(9, 2, 11)),
        ({}, None),
        (None, None),
        ("n/a", None),
        ([1], None),
    ],
)
def test_counts_are_whole_whatever_a_service_leaves_out(usage, counts):
    assert parsed(usage)[0] == counts


@pytest.mark.parametrize(
    ("usage", "bill"),
    [
        (chat(9, 2), {}),
        (chat(9, 2, cost_in_usd_ticks=2_709_000), {"cost": pytest.approx(0.0002709)}),
        (chat(9, 2, cost=0.032), {"cost": 0.032}),
        (chat(9, 2, cost=0), {"cost": 0.0}),
        (chat(9, 2, cost=1, is_byok=False, cost_details={"upstream_inference_cost": 1}), {"cost": 1.0}),
        (chat(9, 2, cost=1, is_byok=True, cost_details={"upstream_inference_cost": 2}), {"cost": 3.0}),
        (chat(9, 2, cost=0, is_byok=True), {}),
        (chat(9, 2, cost={"total_cost": 0.5, "currency": "USD"}), {"cost": 0.5}),
        (chat(9, 2, cost={"total_cost": 0.5, "currency": "EUR"}), {}),
        (chat(9, 2, cost="0.5"), {}),
        (chat(9, 2, cost=True), {}),
        (chat(9, 2, cost=-1), {}),
        (chat(9, 2, cost=float("nan")), {}),
        (chat(9, 2, service_tier="priority"), {"tier": "priority"}),
        (chat(9, 2, service_tier=7), {}),
        (chat(9, 2, search_context_size="high"), {"search_size": "high"}),
        (chat(9, 2, prompt_tokens_details={"audio_tokens": 4}), {"audio_input": 4}),
        (chat(9, 2, completion_tokens_details={"audio_tokens": 1}), {"audio_output": 1}),
        (
            chat(9, 2, prompt_tokens_details={"image_tokens": 4, "cached_tokens_details": {"audio_tokens": 2}}),
            {"image_input": 4, "audio_cached": 2},
        ),
        (
            chat(
                9, 2, prompt_tokens_details={"cache_write_tokens_details": {"ttl_30m_tokens": 1, "ttl_12h_tokens": 2}}
            ),
            {"long_writes": 2},
        ),
        (chat(9, 2, cache_creation={"ephemeral_1h_input_tokens": 4}), {"long_writes": 4}),
        (chat(9, 2, 5, completion_tokens_details={"reasoning_tokens": 5}), {"visible": 2}),
        (chat(9, 2, reasoning_tokens=5, citation_tokens=3), {"visible": 2, "citation_tokens": 3}),
        (chat(9, 248, 375, prompt_audio_seconds=30), {"audio_input": 375}),
    ],
)
def test_what_else_is_billed_is_kept(usage, bill):
    assert parsed(usage)[1]._asdict() == {**Bill()._asdict(), **bill}


def test_the_tier_of_the_answer_counts_without_usage_too():
    assert parsed(None, tier="flex") == (None, Bill(tier="flex"))
    assert parsed(chat(9, 2, service_tier="priority"), tier="flex")[1].tier == "flex"


# Whole answers, as each face of the client tells them.

COUNTS = chat(1_000_000, 100_000, prompt_tokens_details={"cached_tokens": 800_000})


def document(model, usage, **fields):
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "c", "model": model, "choices": [choice], "usage": usage, **fields})


def stream(model, usage, **fields):
    head = {"id": "c", "model": model, **fields}
    records = [
        {**head, "choices": [{"index": 0, "delta": {"content": "Hi"}}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": usage},
        {**head, "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
    ]
    return "".join(f"data: {json.dumps(record)}\n\n" for record in records) + "data: [DONE]\n\n"


@pytest.fixture(params=["document", "stream"])
def answered(request):
    """Mock an answer of a service, and return its reply by one face of the client."""

    def reply(name, usage, face="ask", *, answers_as=None, **fields):
        requested = name.partition("/")[2]
        make = document if request.param == "document" else stream
        kind = "application/json" if request.param == "document" else "text/event-stream"
        with responses.RequestsMock() as web:
            body = make(answers_as or requested, usage, **fields)
            web.add(responses.POST, url=URLS[name.partition("/")[0]], body=body, content_type=kind)
            with Client(model=name, api_key="k", retry=0) as client:
                return FACES[face](client)

    return reply


URLS = {
    "openai": "https://api.openai.com/v1/chat/completions",
    "deepseek": "https://api.deepseek.com/chat/completions",
    "xai": "https://api.x.ai/v1/chat/completions",
    "openrouter": "https://openrouter.ai/api/v1/chat/completions",
    "moonshot": "https://api.moonshot.ai/v1/chat/completions",
    "mistral": "https://api.mistral.ai/v1/chat/completions",
}
FACES = {
    "ask": lambda client: client.ask("Hi"),
    "stream": lambda client: client.stream("Hi").read(),
    "chat": lambda client: client.chat().ask("Hi"),
    "map": lambda client: client.map(["Hi"], progress=False)[0].reply,
}


@pytest.mark.parametrize("face", FACES)
def test_every_face_tells_usage_cost_and_what_was_saved(answered, face):
    reply = answered("openai/gpt-6-luna", chat(9000, 100, prompt_tokens_details={"cached_tokens": 8000}), face)
    assert reply.usage == Usage(9000, 100, 9100, cached_tokens=8000)
    assert reply.cost == pytest.approx((1000 * 0.1 + 8000 * 0.01 + 100 * 0.5) / 1e6)
    assert reply.saved == pytest.approx(8000 * 0.09 / 1e6)


def test_the_tier_that_answered_is_billed(answered):
    costs = [
        answered("openai/gpt-6-luna", chat(9000, 100), service_tier=tier).cost
        for tier in ("default", "flex", "priority", "scale")
    ]
    assert costs == [pytest.approx(0.00095), pytest.approx(0.000475), pytest.approx(0.0019), None]


def test_reasoning_on_top_is_output(answered):
    usage = chat(32, 9, 94, completion_tokens_details={"reasoning_tokens": 94})
    reply = answered("xai/grok-4.3", usage)
    assert (reply.usage.output_tokens, reply.usage.reasoning_tokens) == (103, 94)
    assert reply.cost == pytest.approx((32 * 1.25 + 103 * 2.5) / 1e6)


@pytest.mark.filterwarnings("ignore:.*retire")
def test_a_redirected_name_is_billed_as_the_model_that_answered(answered):
    reply = answered("xai/grok-4-fast", chat(1000, 100), answers_as="grok-4.3")
    assert reply.cost == pytest.approx((1000 * 1.25 + 100 * 2.5) / 1e6)


def test_a_reported_cost_beats_the_table(answered):
    assert answered("openrouter/openai/gpt-6-luna", chat(1000, 100, cost=0.5)).cost == 0.5
    assert answered("openrouter/some/model", chat(1000, 100, cost=0)).cost == 0.0
    assert answered("openrouter/some/model", chat(1000, 100)).cost is None
    assert answered("xai/grok-4.3", chat(1000, 100, cost_in_usd_ticks=5)).cost == pytest.approx(5e-10)


def test_flat_counts_of_the_cache_are_read(answered):
    reply = answered("moonshot/kimi-k3", chat(10_000, 1000, cached_tokens=9000))
    assert reply.cost == pytest.approx((1000 * 3 + 9000 * 0.3 + 1000 * 15) / 1e6)


def test_the_hour_at_which_the_answer_was_complete_counts(answered, monkeypatch):
    usage = chat(10_000, 1200, prompt_cache_hit_tokens=8000, prompt_cache_miss_tokens=2000)
    costs = []
    for moment in (1_795_773_599, 1_795_773_600):  # 2026-11-27, before and at 10:00 UTC
        monkeypatch.setattr(time, "time", lambda moment=moment: moment)
        costs.append(answered("deepseek/deepseek-flash", usage).cost)
    off_peak = (8000 * 0.003 + 2000 * 0.15 + 1200 * 0.6) / 1e6
    assert costs == [pytest.approx(2 * off_peak), pytest.approx(off_peak)]


def test_audio_without_a_price_has_no_cost(answered):
    reply = answered("mistral/voxtral-small-latest", chat(9, 248, 375, prompt_audio_seconds=30))
    assert (reply.usage.input_tokens, reply.cost) == (384, None)
