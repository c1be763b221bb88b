"""Mistral's conversations: entries in, events out, and sources where they stand in the text."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest

from aichatkit import Client
from aichatkit.chunks import Citation, Search, ToolCall
from aichatkit.errors import APIError, ConfigurationError
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import Options, ToolChoice, WebSearch
from aichatkit.providers.mistral_conversations import MistralConversations

URL = "https://api.mistral.ai/v1/conversations"


def body(messages, **options):
    return MistralConversations().build_request(messages, "mistral-small-latest", options=Options(**options)).json


@pytest.fixture
def told(asks, monkeypatch):
    """Read one answer of these events."""
    monkeypatch.setenv("MISTRAL_API_KEY", "k")

    def read(*records, **options):
        events = b"".join(wires.event(record, record["type"]) for record in records)
        return asks("mistral", events, **{"search": True, **options})

    return read


def says(content, **fields):
    return {"type": "message.output.delta", "output_index": 1, "content": content, **fields}


STARTED = {"type": "conversation.response.started", "conversation_id": "conv_1"}
SEARCHED = {
    "type": "tool.execution.started",
    "id": "t1",
    "output_index": 0,
    "name": "web_search",
    "arguments": '{"query": "tides"}',
}
DONE = {
    "type": "conversation.response.done",
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "connectors": {"web_search": 2}},
}
REFERENCE = {"type": "tool_reference", "tool": "web_search", "title": "A", "url": "https://example.org/a"}


def test_a_request_has_entries_and_the_options_in_their_place():
    system, user = Message("system", "Be brief."), Message("user", "Rain?")
    call = ToolCall("call00100", "weather", {"city": "Oslo"})
    turn = [ToolCallsMessage("assistant", "Hm.", (call,)), ToolResultMessage("tool", "rain", call)]
    sent = body(
        [system, user, *turn],
        params={"max_tokens": 9, "seed": 1, "stop": "x"},
        tools=[wires.WEATHER],
        schema=wires.STRICT,
        search=WebSearch(),
        tool_choice=ToolChoice("function", "weather"),
    )
    assert sent["instructions"] == "Be brief."
    assert sent["inputs"] == [
        {"type": "message.input", "role": "user", "content": "Rain?"},
        {"type": "message.output", "role": "assistant", "content": "Hm."},
        {"type": "function.call", "tool_call_id": "call00100", "name": "weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function.result", "tool_call_id": "call00100", "result": "rain"},
    ]
    assert [tool["type"] for tool in sent["tools"]] == ["function", "web_search"]
    assert sent["completion_args"] == {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": wires.STRICT}},
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "max_tokens": 9,
        "random_seed": 1,
        "stop": ["x"],
    }
    assert (sent["stream"], sent["store"]) == (True, False)


def test_pictures_are_taken_and_other_files_are_not():
    (entry,) = body(wires.with_file(wires.PICTURE))["inputs"]
    assert [part["type"] for part in entry["content"]] == ["text", "image_url"]
    with pytest.raises(ConfigurationError, match="pdf"):
        body(wires.with_file(wires.PAPER))
    assert body([ToolCallsMessage("assistant", "", (ToolCall("", "a"),))])["inputs"][0]["type"] == "function.call"
    assert "tools" not in body([Message("user", "Hi")])


def test_a_search_goes_to_the_conversations_and_sources_stand_in_the_text(told):
    reply = told(
        STARTED,
        SEARCHED,
        {"type": "tool.execution.done", "id": "t1", "name": "web_search"},
        says("Für Ebbe ", model="mistral-small-2603"),
        says({"type": "text", "text": "🌊"}),
        says([REFERENCE, {"type": "text", "text": "."}, {"type": "other"}]),
        DONE,
    )
    assert reply.text == "Für Ebbe 🌊."
    assert reply.citations == [Citation("https://example.org/a", "A", 10, 10)]
    assert reply.searches == [Search("tides", [])]
    assert (reply.usage.searches, reply.usage.input_tokens, reply.cost) == (2, 5, None)
    assert (reply.model, reply.provider, reply.finish_reason) == ("mistral-small-2603", "mistral", "stop")


def test_searches_that_are_not_counted_are_counted_here(told):
    other = {**SEARCHED, "id": "t2"}
    code = {**SEARCHED, "id": "t3", "name": "code_interpreter"}
    reply = told(SEARCHED, other, code, says("Hi"), {"type": "conversation.response.done", "usage": None})
    assert reply.usage.searches == len(reply.searches) == 2


def test_calls_of_functions_come_in_pieces(told):
    call = {"type": "function.call.delta", "output_index": 0, "tool_call_id": "abcdefghi", "name": "weather"}
    reply = told(
        {**call, "arguments": '{"city": '},
        {**call, "arguments": '"Oslo"}'},
        DONE,
        tools=[{"name": "weather"}],
    )
    assert reply.tool_calls == [ToolCall("abcdefghi", "weather", {"city": "Oslo"})]
    assert reply.finish_reason == "tool_calls"


def test_an_answer_that_is_not_streamed_is_read(asks, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "k")
    entries = [
        {"type": "tool.execution", "name": "web_search", "arguments": {"query": "tides"}},
        {"type": "message.output", "model": 5, "content": [{"type": "text", "text": "Ebbe"}, REFERENCE]},
    ]
    document = {"object": "conversation.response", "conversation_id": "c", "outputs": entries, "usage": DONE["usage"]}
    reply = asks("mistral", json.dumps(document).encode(), content_type="application/json", search=True)
    assert (reply.text, reply.citations[0].start, reply.searches) == ("Ebbe", 4, [Search("tides", [])])


def test_an_error_in_the_events_is_one(told):
    with pytest.raises(APIError, match="it broke"):
        told(STARTED, {"type": "conversation.response.error", "message": "it broke", "code": 3000})


def test_an_end_of_chat_completions_is_none(asks, monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "k")
    events = wires.event(says("Hi")) + b"data: [DONE]\n\n" + wires.event(DONE)
    assert asks("mistral", events, search=True).text == "Hi"


def test_an_option_that_it_does_not_keep_is_refused():
    with pytest.raises(ConfigurationError, match="'max_searches'"):
        Client("mistral", api_key="k").ask("Hi", search={"max_searches": 1})
