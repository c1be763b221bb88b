"""Signed reasoning in chat completions: it goes back on its call or turn, and to no other service."""

from __future__ import annotations

import json
from typing import Any

import pytest
from provider_wires import event

from aichatkit import Chat
from aichatkit.chunks import Thought, ToolCall
from aichatkit.messages import Message, ToolCallsMessage
from aichatkit.providers.openai_signatures import merge_details, signed_fields
from aichatkit.registry import registry

GOOGLE = {"google": {"thought_signature": "c2ln"}}
DONE = b"data: [DONE]\n\n"
DETAILS = [
    {"type": "reasoning.text", "index": 0, "format": "anthropic", "text": "H"},
    {"type": "reasoning.text", "index": 0, "text": "m.", "signature": None},
    {"type": "reasoning.text", "index": 0, "signature": "s"},
    {"type": "reasoning.encrypted", "index": 1, "id": "a", "data": "c2ln"},
    {"type": "reasoning.encrypted", "index": 1, "id": "b", "data": "Z24="},
]
WHOLE = [{"type": "reasoning.text", "index": 0, "format": "anthropic", "text": "Hm.", "signature": "s"}, *DETAILS[3:]]


def look(city: str) -> str:
    """Look at a city."""
    return f"sunny in {city}"


def stream(*deltas: Any) -> bytes:
    return b"".join(event({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas) + DONE


def call(name: str = "look", **more: Any) -> dict[str, Any]:
    return {"index": 0, "id": "a", "function": {"name": name, "arguments": '{"city": "Oslo"}'}, **more}


@pytest.fixture
def turns(monkeypatch, web, policy, tmp_path):
    """Return the assistant's first turn as it goes back: in the next round, and after the chat was saved and loaded."""
    from recorded import ANYWHERE

    from aichatkit import Client

    def give(name: str, body: bytes) -> list[dict[str, Any]]:
        answers = [body, stream({"content": "fine"}), stream({"content": "again"})]
        for answer in answers:
            web.post(ANYWHERE, body=answer, content_type="text/event-stream")
        with Client(model=name, api_key={name: "sk-test"}, retry=policy) as client:
            chat = client.chat(tools=[look])
            "".join(chat.stream("Hi"))
            Chat.load(chat.save(tmp_path / "a.json"), client=client).ask("More?")
        sent = [json.loads(call.request.body)["messages"] for call in web.calls[1:]]
        return [next(turn for turn in messages if turn["role"] == "assistant") for messages in sent]

    return give


@pytest.mark.parametrize("name", ["openai", "openrouter", "vercel"])
@pytest.mark.parametrize(
    "fields", [{"extra_content": GOOGLE}, {"provider_specific_fields": {"thought_signature": "c2ln"}}]
)
def test_the_signature_of_a_call_goes_back_on_it(turns, name, fields):
    body = stream({"tool_calls": [call(**fields)]})
    for turn in turns(name, body):
        (sent,) = turn["tool_calls"]
        assert {key: sent[key] for key in fields} == fields


def test_a_signature_may_come_behind_its_call(turns):
    body = stream({"tool_calls": [call()]}, {"tool_calls": [{"index": 0, "extra_content": GOOGLE}]})
    assert [turn["tool_calls"][0]["extra_content"] for turn in turns("openai", body)] == [GOOGLE] * 2


@pytest.mark.parametrize("name", ["openrouter", "vercel"])
def test_the_reasoning_of_a_turn_goes_back_whole(turns, name):
    pieces = [{"content": "", "reasoning_details": [detail]} for detail in DETAILS]
    body = stream(*pieces, {"tool_calls": [call()]}, {"extra_content": GOOGLE})
    for turn in turns(name, body):
        assert (turn["reasoning_details"], turn["extra_content"]) == (WHOLE, GOOGLE)


def test_details_that_do_not_go_on_stay_apart():
    details = ["x", {"index": 0, "text": "a"}, {"text": "b"}, {"index": 1, "text": "c"}, {"index": 1, "summary": "d"}]
    assert merge_details(details) == [*details[:3], {"index": 1, "text": "c", "summary": "d"}]
    other = [{"index": 0, "type": "a"}, {"index": 0, "type": "b"}]
    assert merge_details(other) == other
    named = [{"index": 0, "id": "1", "text": "a"}, {"index": 0, "id": "2", "text": "b"}]
    assert merge_details(named) == named


@pytest.mark.parametrize("signature", ["openai:c2ln", "openai:{broken", "gemini:c2ln", ""])
def test_other_signatures_are_no_fields(signature):
    assert signed_fields(ToolCall("a", "look", {}, signature), provider="openai") == {}


def test_no_service_gets_what_another_signed():
    signed = ToolCall("a", "look", {}, 'openrouter:{"extra_content": {"google": {}}}')
    turn = ToolCallsMessage("assistant", "", (signed,), "", (Thought("", 'openrouter:{"reasoning_details": [1]}'),))
    request = registry["openai"]().build_request([Message("user", "Hi"), turn], "gpt-6-luna")
    assert set(request.json["messages"][1]) == {"role", "content", "tool_calls"}
    assert set(request.json["messages"][1]["tool_calls"][0]) == {"id", "type", "function"}
