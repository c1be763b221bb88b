"""Usage of Gemini's answers: thoughts and prompts of tools are counted next to the rest, in every record."""

from __future__ import annotations

import json
import re

import pytest
import responses

from aichatkit import Client, Usage

# The models with a price for audio retire soon.
pytestmark = pytest.mark.filterwarnings("ignore:.*retire")

URL = re.compile(r"https://generativelanguage\.googleapis\.com/.*")
AUDIO = [{"modality": "TEXT", "tokenCount": 1000}, {"modality": "AUDIO", "tokenCount": 4000}, "odd", {"tokenCount": 1}]


def answer(model, *usages, grounding=None):
    candidates = [{"content": {"parts": [{"text": "Hi"}]}, "index": 0} for _ in usages]
    candidates[-1]["finishReason"] = "STOP"
    if grounding:
        candidates[-1]["groundingMetadata"] = {"webSearchQueries": grounding}
    records = [
        {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model}
        for candidate, usage in zip(candidates, usages)
    ]
    bodies = {
        "text/event-stream": "".join(f"data: {json.dumps(record)}\n\n" for record in records),
        "application/json": json.dumps(records),
    }
    replies = []
    for kind, body in bodies.items():
        with responses.RequestsMock() as web:
            web.add(responses.POST, URL, body=body, content_type=kind)
            with Client(model=f"gemini/{model}", api_key="k", retry=0) as client:
                replies.append(client.ask("Hi"))
    assert (replies[0].usage, replies[0].cost) == (replies[1].usage, replies[1].cost)
    return replies[0]


def counts(prompt, total, **more):
    return {"promptTokenCount": prompt, "totalTokenCount": total, **more}


@pytest.mark.parametrize(
    ("usage", "expected", "dollars"),
    [
        (counts(1000, 1200, candidatesTokenCount=200), Usage(1000, 200, 1200), 1000 * 0.3 + 200 * 2.5),
        (
            counts(1000, 2100, candidatesTokenCount=200, thoughtsTokenCount=900),
            Usage(1000, 1100, 2100, reasoning_tokens=900),
            1000 * 0.3 + 1100 * 2.5,
        ),
        (
            counts(1000, 1900, thoughtsTokenCount=900),
            Usage(1000, 900, 1900, reasoning_tokens=900),
            1000 * 0.3 + 900 * 2.5,
        ),
        (
            counts(2000, 5100, candidatesTokenCount=100, toolUsePromptTokenCount=3000),
            Usage(5000, 100, 5100),
            5000 * 0.3 + 100 * 2.5,
        ),
        (
            counts(10_000, 10_010, candidatesTokenCount=10, cachedContentTokenCount=8000),
            Usage(10_000, 10, 10_010, cached_tokens=8000),
            2000 * 0.3 + 8000 * 0.03 + 10 * 2.5,
        ),
        (
            counts(5000, 5100, candidatesTokenCount=100, promptTokensDetails=AUDIO),
            Usage(5000, 100, 5100),
            1000 * 0.3 + 4000 * 1 + 100 * 2.5,
        ),
        (
            counts(1000, 1200, candidatesTokenCount=200, serviceTier="flex"),
            Usage(1000, 200, 1200),
            1000 * 0.15 + 200 * 1.25,
        ),
        (
            counts(1000, 1200, candidatesTokenCount=200, trafficType="ON_DEMAND_PRIORITY"),
            Usage(1000, 200, 1200),
            1.8 * (1000 * 0.3 + 200 * 2.5),
        ),
        (counts(1000, 1200, candidatesTokenCount=200, serviceTier=7), Usage(1000, 200, 1200), 800),
        (counts(1000, 1200), Usage(1000, None, 1200), None),
        (counts("x", 1200, candidatesTokenCount=[]), Usage(None, None, 1200), None),
        ([], Usage(), None),
    ],
)
def test_an_answer_is_counted_and_billed(usage, expected, dollars):
    reply = answer("gemini-2.5-flash", usage)
    assert reply.usage == expected
    assert reply.cost == (None if dollars is None else pytest.approx(dollars / 1e6))


def test_a_last_record_that_says_less_replaces_nothing():
    first = counts(1000, 4100, candidatesTokenCount=100, thoughtsTokenCount=900, toolUsePromptTokenCount=2100)
    last = counts(0, 1250, candidatesTokenCount=250)
    assert answer("gemini-2.5-flash", first, last).usage == Usage(3100, 1150, 4250, reasoning_tokens=900)


@pytest.mark.parametrize(
    ("model", "fee"), [("gemini-2.5-flash", 0.035), ("gemini-3.5-flash-lite", 2 * 0.014)], ids=["prompt", "query"]
)
def test_searches_are_charged_by_the_prompt_or_by_the_query(model, fee):
    usage = counts(0, 0, candidatesTokenCount=0)
    reply = answer(model, usage, grounding=["dogs", "cats", "dogs"])
    assert (reply.usage.searches, reply.cost) == (2, pytest.approx(fee))
