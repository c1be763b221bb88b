"""Usage of Anthropic's messages: parts that stand next to each other, told once or twice."""

from __future__ import annotations

import json

import pytest
import responses

from aichatkit import Client, Usage

URL = "https://api.anthropic.com/v1/messages"
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hi"}]}


def ask(model, body, kind):
    with responses.RequestsMock() as web:
        web.add(responses.POST, URL, body=body, content_type=kind)
        with Client(model=f"anthropic/{model}", api_key="k", retry=0) as client:
            return client.ask("Hi")


def document(model, usage):
    body = json.dumps({**MESSAGE, "model": model, "stop_reason": "end_turn", "usage": usage})
    return ask(model, body, "application/json")


def stream(model, first, last):
    records = [
        {"type": "message_start", "message": {**MESSAGE, "model": model, "content": [], "usage": first}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    ]
    body = "".join(f"data: {json.dumps(record)}\n\n" for record in records)
    return ask(model, body, "text/event-stream")


WRITES = {"cache_creation": {"ephemeral_5m_input_tokens": 2000, "ephemeral_1h_input_tokens": 3000}}


@pytest.mark.parametrize(
    ("usage", "counts", "dollars"),
    [
        ({"input_tokens": 1000, "output_tokens": 500}, Usage(1000, 500, 1500), 1000 * 2 + 500 * 10),
        (
            {"input_tokens": 27, "cache_read_input_tokens": 1000, "output_tokens": 120},
            Usage(1027, 120, 1147, cached_tokens=1000),
            27 * 2 + 1000 * 0.1 + 120 * 10,
        ),
        (
            {"input_tokens": 10, "cache_creation_input_tokens": 1000, "cache_creation": None, "output_tokens": 5},
            Usage(1010, 5, 1015, cache_write_tokens=1000),
            10 * 2 + 1000 * 2.5 + 50,
        ),
        (
            {"input_tokens": 10, "cache_creation_input_tokens": 5000, "output_tokens": 5, **WRITES},
            Usage(5010, 5, 5015, cache_write_tokens=5000),
            10 * 2 + 2000 * 2.5 + 3000 * 4 + 50,
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, **WRITES},
            Usage(5010, 5, 5015, cache_write_tokens=5000),
            10 * 2 + 2000 * 2.5 + 3000 * 4 + 50,
        ),
        (
            {"input_tokens": 1000, "output_tokens": 500, "output_tokens_details": {"thinking_tokens": 400}},
            Usage(1000, 500, 1500, reasoning_tokens=400),
            1000 * 2 + 500 * 10,
        ),
        (
            {"input_tokens": 1000, "output_tokens": 500, "server_tool_use": {"web_search_requests": 2}},
            Usage(1000, 500, 1500, searches=2),
            1000 * 2 + 500 * 10 + 20_000,
        ),
        ({"input_tokens": 1000, "output_tokens": 500, "service_tier": "batch"}, Usage(1000, 500, 1500), 3500),
        ({"input_tokens": 1000, "output_tokens": 500, "inference_geo": "us"}, Usage(1000, 500, 1500), 7700),
        ({"input_tokens": 1000, "output_tokens": 500, "inference_geo": "not_available"}, Usage(1000, 500, 1500), 7000),
        ({"input_tokens": 1000, "output_tokens": 500, "speed": 7}, Usage(1000, 500, 1500), 7000),
        ({"input_tokens": "x", "output_tokens": 500}, Usage(None, 500), None),
        ("odd", Usage(), None),
    ],
)
def test_an_answer_is_counted_and_billed(usage, counts, dollars):
    cost = None if dollars is None else pytest.approx(dollars / 1e6)
    reply = document("claude-sonnet-5-5", usage)
    assert (reply.usage, reply.cost) == (counts, cost)
    last = {"output_tokens": usage["output_tokens"]} if isinstance(usage, dict) else usage
    first = {**usage, "output_tokens": 1} if isinstance(usage, dict) else usage
    reply = stream("claude-sonnet-5-5", first, last)
    assert (reply.usage, reply.cost) == (counts, cost)


def test_fast_answers_cost_their_multiple():
    usage = {"input_tokens": 1000, "output_tokens": 500, "speed": "fast"}
    assert document("claude-opus-5-5", usage).cost == pytest.approx(2 * (1000 * 4 + 500 * 20) / 1e6)


def test_all_input_decides_on_the_tier():
    usage = {"input_tokens": 1000, "cache_read_input_tokens": 95_000, "cache_creation_input_tokens": 5000}
    reply = document("claude-haiku-5-5", {**usage, "output_tokens": 200})
    assert reply.cost == pytest.approx((1000 * 0.5 + 95_000 * 0.05 + 5000 * 0.625 + 200 * 2.5) / 1e6)


def test_what_caching_saved_is_less_by_what_writing_cost():
    usage = {"input_tokens": 0, "cache_read_input_tokens": 9000, "cache_creation_input_tokens": 1000}
    reply = document("claude-sonnet-5-5", {**usage, "output_tokens": 5})
    assert reply.saved == pytest.approx((9000 * 1.9 - 1000 * 0.5) / 1e6)
