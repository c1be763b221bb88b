"""OpenAI's Responses: items in, typed events out."""

from __future__ import annotations

import base64
import json

import provider_wires as wires
import pytest
from recorded import recording

from aichatkit._dataclasses import replace
from aichatkit.chunks import Answered, Citation, Finish, Picture, ToolCall, ToolCallPart
from aichatkit.errors import ConfigurationError, OverloadedError, ServerError, StreamInterruptedError
from aichatkit.messages import Message, ToolCallsMessage

NAME = "openai-responses"


@pytest.fixture
def told(asks, monkeypatch):
    """Read one answer of these events."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")

    def read(*records, **options):
        return asks(NAME, b"".join(wires.event(record, record["type"]) for record in records), **options)

    return read


def says(text):
    return {"type": "response.output_text.delta", "output_index": 0, "delta": text}


def ended(kind="completed", **response):
    return {"type": f"response.{kind}", "response": {"status": kind, "output": [], **response}}


def test_turns_are_items_and_nothing_is_stored():
    turns = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello!")]
    sent = wires.body(NAME, turns)
    assert sent["input"] == [
        {"role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello!"}]},
    ]
    assert (sent["stream"], sent["store"]) == (True, False)


def test_parameters_go_by_their_own_names():
    params = {"max_tokens": 9, "reasoning_effort": "low", "verbosity": "low"}
    sent = wires.body(NAME, params=params, schema=wires.STRICT, extra={"reasoning": {"summary": "auto"}})
    assert sent["max_output_tokens"] == 9
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    answer = {"type": "json_schema", "name": "answer", "schema": wires.STRICT, "strict": True}
    assert sent["text"] == {"verbosity": "low", "format": answer}


def test_calls_and_results_of_tools_are_items():
    sent = wires.body(NAME, wires.ROUND, tools=[wires.WEATHER])
    assert sent["tools"][0]["strict"] is False
    assert sent["input"][1:] == [
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": '{"city": "Rome"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"type": "function_call_output", "call_id": "call_2", "output": "sun"},
    ]


def test_text_beside_a_call_is_an_item_before_it():
    asked = ToolCallsMessage("assistant", "I look.", (wires.CALL,))
    items = wires.body(NAME, [Message("user", "Rain?"), asked])["input"]
    assert [item.get("type", "message") for item in items] == ["message", "message", "function_call"]


def test_files_go_out_as_parts():
    def sent(file):
        return wires.body(NAME, wires.with_file(file))["input"][0]["content"][1]

    assert sent(wires.PICTURE) == {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    assert sent(wires.PICTURE_URL) == {"type": "input_image", "image_url": "https://example.org/dot.png"}
    assert sent(wires.PAPER) == {
        "type": "input_file",
        "filename": "paper.pdf",
        "file_data": "data:application/pdf;base64,JVBERg==",
    }
    paper = wires.File("pdf", "application/pdf", url="https://example.org/a.pdf")
    assert sent(paper) == {"type": "input_file", "file_url": "https://example.org/a.pdf"}
    assert sent(wires.NOTE) == {"type": "input_text", "text": "note.txt:\nRemember."}
    with pytest.raises(ConfigurationError, match="audio"):
        sent(wires.SOUND)


def test_a_recorded_answer_has_text_usage_and_reason(asks, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    reply = asks(NAME, recording(NAME))
    assert reply.text == "The capital of France is Paris, la Ville Lumière."
    assert (reply.finish_reason, reply.complete, reply.model) == ("stop", True, "gpt-4o-mini-2024-07-18")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (14, 13, 27)


def test_without_the_last_event_the_answer_is_cut(told):
    with pytest.raises(StreamInterruptedError):
        told(says("Hi"), {"type": "response.output_text.done", "text": "Hi"})


@pytest.mark.parametrize(
    ("details", "word"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        (None, "incomplete"),
    ],
)
def test_reasons_are_one_vocabulary(told, details, word):
    assert told(says("Hi"), ended("incomplete", incomplete_details=details)).finish_reason == word


def test_a_document_that_says_nothing_of_its_state_is_whole(asks, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    item = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    document = {"object": "response", "output": [item]}
    assert asks(NAME, json.dumps(document).encode()).finish_reason == "stop"
    assert asks(NAME, json.dumps({**document, "status": "incomplete"}).encode()).finish_reason == "incomplete"


def test_how_closely_to_look_goes_with_a_picture():
    picture = replace(wires.PICTURE_URL, detail="high")
    turn = Message("user", [{"type": "file", "file": picture}])
    assert wires.body(NAME, [turn])["input"][0]["content"][0]["detail"] == "high"


def test_summaries_of_thoughts_are_kept_apart_and_other_events_say_nothing(told):
    reply = told(
        {"type": "response.created", "response": {"model": "gpt-x"}},
        {"type": "response.in_progress", "response": {}},
        {"type": "keepalive", "sequence_number": 3},
        {"type": "response.reasoning_summary_text.delta", "delta": "Hm."},
        says("Hello"),
        {"type": "response.refusal.delta", "delta": " no"},
        ended(),
    )
    assert (reply.text, reply.reasoning, reply.model) == ("Hello no", "Hm.", "gpt-x")


def test_a_created_response_may_not_name_its_model():
    created = wires.event({"type": "response.created", "response": {}})
    assert wires.chunks(NAME, created) == []


def test_calls_of_tools_come_in_pieces(told):
    item = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": ""}
    reply = told(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}},
        {"type": "response.output_item.added", "output_index": 1, "item": item},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"city":'},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '"Oslo"}'},
        {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": '{"city":"Oslo"}'},
        {"type": "response.output_item.done", "output_index": 1, "item": {**item, "arguments": '{"city":"Oslo"}'}},
        ended(),
    )
    assert reply.tool_calls == [ToolCall("c1", "weather", {"city": "Oslo"})]
    assert reply.finish_reason == "tool_calls"


def test_sources_are_citations(told):
    note = {"type": "url_citation", "url": "https://example.org/", "title": "Example"}
    events = [{"type": "response.output_text.annotation.added", "annotation": a} for a in (note, {"type": "file_path"})]
    assert told(says("Hi"), *events, ended()).citations == [Citation("https://example.org/", "Example")]


def test_a_picture_is_a_picture():
    item = {"type": "image_generation_call", "result": base64.b64encode(wires.PNG).decode()}
    found = wires.chunks(NAME, wires.event({"type": "response.output_item.done", "item": item}))
    assert [part for whole in found for part in whole.parts] == [Picture(data="data:image/png;base64,iVBORw0KGgo=")]


def test_an_error_event_is_an_error_even_as_the_third_event(told):
    error = {"type": "error", "code": "server_is_overloaded", "message": "Busy.", "param": None}
    with pytest.raises(OverloadedError):
        told({"type": "response.created", "response": {}}, {"type": "response.in_progress"}, error)


def test_a_failed_response_is_an_error(told):
    failed = ended("failed", error={"code": "server_error", "message": "Oops."})
    with pytest.raises(ServerError, match="Oops"):
        told(says("Hi"), failed)


def test_a_stream_of_a_gateway_has_no_names_and_ends_with_done():
    answer = b": PROCESSING\n\n" + wires.event(says("Hello")) + wires.event(ended(model="m")) + b"data: [DONE]\n\n"
    found = wires.chunks(NAME, answer)
    assert wires.text(found) == "Hello"
    assert found[-2:] == [Answered("m"), Finish("stop", last=True)]


def test_a_response_that_was_not_streamed_is_read():
    response = {
        "object": "response",
        "status": "completed",
        "error": None,
        "model": "gpt-x",
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {
                "type": "message",
                "content": [{"type": "output_text", "text": "Hello"}, {"type": "refusal", "refusal": "!"}],
            },
            {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 2}},
    }
    found = wires.chunks(NAME, json.dumps(response, indent=2).encode())
    assert (wires.text(found), wires.thoughts(found)) == ("Hello!", "Hm.")
    assert wires.calls(found) == [ToolCallPart(2, "c1", "now", "{}")]
    assert wires.usage(found) == {"input_tokens": 3, "output_tokens": 4, "reasoning_tokens": 2}


WRITTEN = {"cache_write_tokens": 2000, "cache_write_tokens_details": {"ttl_12h_tokens": 1500}, "cached_tokens": 8000}


@pytest.mark.parametrize(
    ("usage", "fields", "counts", "dollars"),
    [
        (
            {"input_tokens_details": WRITTEN},
            {},
            (8000, 2000, None),
            2000 * 2 + 8000 * 0.1 + 500 * 2.5 + 1500 * 5 + 9000,
        ),
        ({}, {"service_tier": "flex"}, (None, None, None), 12_000 + 4500),
        (
            {},
            {"output": [{"type": "web_search_call", "action": {"type": "search"}}] * 2},
            (None, None, 2),
            33_000 + 20_000,
        ),
        (
            {},
            {"output": [{"type": "web_search_call"}, {"type": "web_search_call", "action": {"type": "open_page"}}]},
            (None, None, 1),
            33_000 + 10_000,
        ),
    ],
)
@pytest.mark.parametrize("kind", ["document", "stream"])
def test_usage_is_counted_and_billed(asks, monkeypatch, kind, usage, fields, counts, dollars):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    told = {"input_tokens": 12_000, "output_tokens": 900, "total_tokens": 12_900, **usage}
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    response = {"id": "r", "object": "response", "model": "gpt-6.1-sol", "status": "completed", **fields, "usage": told}
    response["output"] = [*response.get("output", ()), message]
    ended = {"type": "response.completed", "response": response}
    parts = [wires.event({"type": "response.output_text.delta", "delta": "Hi"}), wires.event(ended)]
    reply = asks(f"{NAME}/gpt-6.1-sol", b"".join(parts) if kind == "stream" else json.dumps(response).encode())
    assert (reply.usage.cached_tokens, reply.usage.cache_write_tokens, reply.usage.searches) == counts
    assert reply.cost == pytest.approx(dollars / 1e6)


def test_it_is_never_chosen_by_a_key_beside_the_usual_provider():
    assert wires.registry[NAME].rank == 0
