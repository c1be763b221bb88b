"""Anthropic's messages: blocks, named events, and an end that only `message_stop` shows."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest
from recorded import recording

from aichatkit import Client
from aichatkit._dataclasses import replace
from aichatkit.chunks import Answered, Citation, Cited, Finish, ToolCall, ToolCallPart, Usage
from aichatkit.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentFilteredError,
    MissingKeyError,
    OverloadedError,
    QuotaExceededError,
    StreamInterruptedError,
)
from aichatkit.messages import Message, ToolCallsMessage

URL = "https://api.anthropic.com/v1/messages"


@pytest.fixture
def told(asks, monkeypatch):
    """Read one answer of these events."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")

    def read(*records, **options):
        return asks("anthropic", b"".join(wires.event(record, record["type"]) for record in records), **options)

    return read


def start(**usage):
    return {"type": "message_start", "message": {"model": "claude-x", "content": [], "usage": usage}}


def block(index, content):
    return {"type": "content_block_start", "index": index, "content_block": content}


def change(index, **delta):
    return {"type": "content_block_delta", "index": index, "delta": delta}


def says(text, index=0):
    return change(index, type="text_delta", text=text)


def ending(reason="end_turn", **usage):
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


STOP = {"type": "message_stop"}


def test_the_system_s_words_stand_apart_and_a_bound_is_always_sent():
    turns = [Message("system", "Be brief."), Message("developer", "In French."), Message("user", "Hi")]
    sent = wires.body("anthropic", turns)
    assert sent["system"] == "Be brief.\n\nIn French."
    assert sent["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert (sent["max_tokens"], sent["stream"]) == (8192, True)


def test_a_request_without_system_has_no_field_for_it():
    assert "system" not in wires.body("anthropic")


def test_the_version_of_the_protocol_goes_into_a_header():
    assert wires.request("anthropic").headers["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("base", ["https://gw.example", "https://gw.example/", "https://gw.example/v1"])
def test_an_address_may_hold_the_version_or_not(base):
    assert wires.request("anthropic", base_url=base).url == "https://gw.example/v1/messages"


def test_parameters_go_by_their_own_names():
    params = {"max_tokens": 9, "stop": "END", "top_k": 5, "user": "me", "reasoning_effort": "low", "temperature": 0}
    sent = wires.body("anthropic", params=params, extra={"output_config": {"x": 1}, "metadata": {"y": 2}})
    assert (sent["max_tokens"], sent["stop_sequences"], sent["top_k"], sent["temperature"]) == (9, ["END"], 5, 0)
    assert sent["metadata"] == {"user_id": "me", "y": 2}
    assert sent["output_config"] == {"effort": "low", "x": 1}


def test_a_schema_and_an_effort_share_their_object():
    sent = wires.body("anthropic", schema=wires.STRICT, params={"reasoning_effort": "low"})
    assert sent["output_config"] == {"format": {"type": "json_schema", "schema": wires.STRICT}, "effort": "low"}


def test_all_results_of_tools_stand_in_one_turn():
    sent = wires.body("anthropic", wires.ROUND, tools=[wires.WEATHER])
    assert sent["tools"] == [
        {"name": "weather", "description": "Tell the weather.", "input_schema": wires.WEATHER.parameters}
    ]
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert sent["messages"][1]["content"][0] == {
        "type": "tool_use",
        "id": "call_1",
        "name": "weather",
        "input": {"city": "Oslo"},
    }
    assert sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"},
        {"type": "tool_result", "tool_use_id": "call_2", "content": "sun"},
    ]


def test_text_beside_a_call_comes_first():
    asked = ToolCallsMessage("assistant", "I look.", (wires.CALL,))
    blocks = wires.body("anthropic", [Message("user", "Rain?"), asked])["messages"][1]["content"]
    assert [entry["type"] for entry in blocks] == ["text", "tool_use"]


def test_files_go_out_as_blocks():
    def sent(file):
        return wires.body("anthropic", wires.with_file(file))["messages"][0]["content"][1]

    assert sent(wires.PICTURE)["type"] == "image"
    assert sent(wires.PICTURE)["source"] == {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert sent(wires.PICTURE_URL)["source"] == {"type": "url", "url": "https://example.org/dot.png"}
    assert (sent(wires.PAPER)["type"], sent(wires.PAPER)["source"]["media_type"]) == ("document", "application/pdf")
    assert sent(wires.NOTE) == {"type": "text", "text": "note.txt:\nRemember."}
    with pytest.raises(ConfigurationError, match="audio"):
        sent(wires.SOUND)


def test_openai_s_picture_parts_are_understood():
    def sent(image):
        part = {"type": "image_url", "image_url": image}
        return wires.body("anthropic", [Message("user", [part])])["messages"][0]["content"][0]["source"]

    assert sent({"url": "data:image/gif;base64,R0lG"}) == {"type": "base64", "media_type": "image/gif", "data": "R0lG"}
    assert sent("https://example.org/a.png") == {"type": "url", "url": "https://example.org/a.png"}


def test_a_part_of_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match="input_video"):
        wires.body("anthropic", [Message("user", [{"type": "input_video"}])])


def test_an_empty_text_is_no_block():
    turns = [Message("user", [{"type": "text", "text": ""}, {"type": "text", "text": "Hi"}])]
    assert wires.body("anthropic", turns)["messages"][0]["content"] == [{"type": "text", "text": "Hi"}]


def test_the_key_goes_into_its_own_header(told, web):
    told(start(), says("Hi"), STOP)
    assert web.calls[0].request.headers["x-api-key"] == "sk-ant-test"
    assert "Authorization" not in web.calls[0].request.headers


def test_a_token_of_the_environment_is_a_bearer_token(asks, web, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "tok")
    asks("anthropic", recording("anthropic"))
    assert web.calls[0].request.headers["Authorization"] == "Bearer tok"
    assert "x-api-key" not in web.calls[0].request.headers


def test_a_missing_key_names_both_variables():
    with (
        Client() as client,
        pytest.raises(MissingKeyError, match="set ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN in"),
    ):
        client.ask("Hi", model="anthropic")


def test_a_recorded_answer_has_text_model_usage_and_reason(asks, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    reply = asks("anthropic", recording("anthropic"))
    assert reply.text == "The capital of France is Paris, la Ville Lumière."
    assert (reply.model, reply.finish_reason, reply.complete) == ("claude-sonnet-4-5-20250929", "stop", True)
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (14, 16, 30)


def test_records_may_be_padded_with_blanks():
    answer = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    answer += b'"delta":{"type":"text_delta","text":"Hi"}               }\n\n'
    assert wires.text(wires.chunks("anthropic", answer)) == "Hi"


def test_without_the_last_event_the_answer_is_cut(told):
    with pytest.raises(StreamInterruptedError) as caught:
        told(start(), says("Hi"), ending())
    assert caught.value.partial == "Hi"


def test_usage_of_the_end_replaces_smaller_counts_and_the_cache_counts_as_input(told):
    first = start(input_tokens=3, cache_read_input_tokens=100, cache_creation_input_tokens=20, output_tokens=1)
    usage = told(first, says("Hi"), ending(input_tokens=4, cache_read_input_tokens=100, output_tokens=7), STOP).usage
    assert usage == Usage(124, 7, 131, cached_tokens=100, cache_write_tokens=20)


@pytest.mark.parametrize("end", [{"input_tokens": 0}, {"input_tokens": 3, "cache_read_input_tokens": 0}, {}])
def test_usage_of_the_end_that_says_less_replaces_nothing(told, end):
    first = start(input_tokens=3, cache_read_input_tokens=100, cache_creation_input_tokens=20, output_tokens=1)
    usage = told(first, says("Hi"), ending(output_tokens=7, **end), STOP).usage
    assert (usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens) == (123, 100, 20)


def test_usage_of_the_end_may_hold_output_alone(told):
    usage = told(start(input_tokens=3, output_tokens=1), says("Hi"), ending(output_tokens=7), STOP).usage
    assert (usage.input_tokens, usage.output_tokens) == (3, 7)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        (None, None),
    ],
)
def test_reasons_are_one_vocabulary(told, reason, word):
    assert told(start(), says("Hi"), ending(reason), STOP).finish_reason == word


def test_a_refusal_without_text_is_a_filter(told):
    with pytest.raises(ContentFilteredError):
        told(start(), ending("refusal"), STOP)


def test_several_blocks_thoughts_and_pings_are_read(told):
    reply = told(
        start(),
        {"type": "ping"},
        block(0, {"type": "thinking", "thinking": ""}),
        change(0, type="thinking_delta", thinking="Hm."),
        change(0, type="signature_delta", signature="c2ln"),
        block(1, {"type": "redacted_thinking", "data": "x"}),
        block(2, {"type": "text", "text": "He"}),
        says("llo", 2),
        {"type": "content_block_stop", "index": 2},
        block(3, {"type": "text", "text": ""}),
        says("!", 3),
        {"type": "something_new"},
        ending(),
        STOP,
    )
    assert (reply.text, reply.reasoning) == ("Hello!", "Hm.")


def test_calls_of_tools_come_in_pieces_or_without_any(told):
    reply = told(
        start(),
        block(0, {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}),
        change(0, type="input_json_delta", partial_json='{"city": '),
        change(0, type="input_json_delta", partial_json='"Oslo"}'),
        block(1, {"type": "tool_use", "id": "t2", "name": "now", "input": {}}),
        ending("tool_use"),
        STOP,
    )
    assert [(call.id, call.name, call.arguments) for call in reply.tool_calls] == [
        ("t1", "weather", {"city": "Oslo"}),
        ("t2", "now", {}),
    ]


def test_a_tool_that_runs_at_the_service_is_no_call_for_us(told):
    reply = told(
        start(),
        block(0, {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}),
        change(0, type="input_json_delta", partial_json='{"query": "x"}'),
        block(1, {"type": "web_search_tool_result", "content": []}),
        says("Found.", 2),
        change(2, type="citations_delta", citation={"url": "https://example.org/", "title": "Example"}),
        change(2, type="citations_delta", citation={"type": "char_location", "cited_text": "x"}),
        ending(),
        STOP,
    )
    assert (reply.text, reply.tool_calls) == ("Found.", [])
    assert reply.citations == [Citation("https://example.org/", "Example")]


@pytest.mark.parametrize(
    ("kind", "error"), [("overloaded_error", OverloadedError), ("authentication_error", AuthenticationError)]
)
def test_an_error_after_the_200_goes_by_its_type(told, kind, error):
    with pytest.raises(error):
        told(start(), {"type": "error", "error": {"type": kind, "message": "Sorry"}})


def test_an_empty_balance_is_told_by_its_words_alone(asks, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    told = "Your credit balance is too low to access the API."
    record = {"type": "error", "error": {"type": "invalid_request_error", "message": told}}
    with pytest.raises(QuotaExceededError):
        asks("anthropic", json.dumps(record).encode(), status=400, content_type="application/json")


def test_a_piece_of_another_kind_says_nothing(told):
    reply = told(
        start(), block(0, {"type": "text", "text": ""}), change(0, type="new_delta"), says("Hi"), ending(), STOP
    )
    assert reply.text == "Hi"


def test_a_message_that_was_not_streamed_is_read():
    message = {
        "type": "message",
        "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "x"},
            {"type": "text", "text": "Hello", "citations": [{"url": "https://example.org/", "title": None}]},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
        ],
        "stop_reason": "tool_use",
        "usage": {"output_tokens": 2},
    }
    found = wires.chunks("anthropic", json.dumps(message, indent=2).encode())
    assert (wires.text(found), wires.thoughts(found)) == ("Hello", "Hm.")
    assert wires.calls(found) == [ToolCallPart(2, "t1", "weather", '{"city": "Oslo"}')]
    assert wires.of_kind(found, Cited) == [Cited("https://example.org/", "", "block", part=(1,))]
    assert wires.of_kind(found, Answered) == [Answered("claude-x")]
    assert wires.usage(found) == {"output_tokens": 2}
    assert found[-1] == Finish("tool_calls", last=True)


def test_it_lists_models_with_the_version_header(web, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    web.get("https://api.anthropic.com/v1/models?limit=1000", json={"data": [{"type": "model", "id": "claude-x"}]})
    with Client(retry=0) as client:
        assert client.models("anthropic") == ["claude-x"]
    assert web.calls[0].request.headers["anthropic-version"] == "2023-06-01"


def signed(signature, index=0):
    return [
        block(index, {"type": "thinking", "thinking": "", "signature": ""}),
        change(index, type="thinking_delta", thinking="Hm."),
        change(index, type="signature_delta", signature=signature),
    ]


def test_thoughts_go_back_signed_and_in_their_place_among_text_and_calls(told):
    weather = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}
    now = {"type": "tool_use", "id": "t2", "name": "now", "input": {}}
    hidden = {"type": "redacted_thinking", "data": "RW5j"}
    told_blocks = [*signed("b25l"), block(1, {"type": "text", "text": ""}), says("Let me see.", 1), block(2, hidden)]
    reply = told(start(), *told_blocks, block(3, weather), *signed("dHdv", 4), block(5, now), ending("tool_use"), STOP)
    assert wires.body("anthropic", [Message("user", "Rain?"), reply.message])["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "b25l"},
        {"type": "text", "text": "Let me see."},
        hidden,
        weather,
        {"type": "thinking", "thinking": "Hm.", "signature": "dHdv"},
        now,
    ]
    assert reply.reasoning == "Hm.Hm."


def test_a_service_does_not_see_the_thoughts_of_another(told):
    use = block(1, {"type": "tool_use", "id": "t1", "name": "now", "input": {}})
    message = told(start(), *signed("b25l"), use, ending("tool_use"), STOP).message
    strange = replace(message, thoughts=[message.thoughts[0]._replace(signature="elsewhere:b25l")])
    assert [entry["type"] for entry in wires.body("anthropic", [strange])["messages"][0]["content"]] == ["tool_use"]


def test_another_service_s_signature_is_not_sent():
    blocks = wires.body("anthropic", wires.ROUND)["messages"][1]["content"]
    assert [entry["type"] for entry in blocks] == ["tool_use", "tool_use"]


def test_calls_beside_parts_are_sent_after_them():
    asked = ToolCallsMessage("assistant", [{"type": "text", "text": "Let me see."}], (wires.CALL,))
    blocks = wires.body("anthropic", [asked])["messages"][0]["content"]
    assert [entry["type"] for entry in blocks] == ["text", "tool_use"]


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ("The answer is \n", [{"type": "text", "text": "The answer is"}]),
        ("The answer is", [{"type": "text", "text": "The answer is"}]),
        ([{"type": "text", "text": "One. "}, {"type": "text", "text": "Two: "}, {"type": "text", "text": " "}],
         [{"type": "text", "text": "One. "}, {"type": "text", "text": "Two:"}]),
    ],
)  # fmt: skip
def test_an_answer_to_go_on_with_does_not_end_in_blanks(content, sent):
    turns = [Message("user", "Hi "), Message("assistant", content)]
    messages = wires.body("anthropic", turns)["messages"]
    assert messages == [
        {"role": "user", "content": [{"type": "text", "text": "Hi "}]},
        {"role": "assistant", "content": sent},
    ]


def test_a_call_at_the_end_and_earlier_answers_stay_as_they_are():
    turns = [Message("user", "Hi"), Message("assistant", "Ho "), Message("user", "Go on.")]
    assert wires.body("anthropic", turns)["messages"][1]["content"] == [{"type": "text", "text": "Ho "}]
    calling = ToolCallsMessage("assistant", "See: ", (ToolCall("a", "look"),))
    assert wires.body("anthropic", [Message("user", "Hi"), calling])["messages"][1]["content"][0]["text"] == "See: "


def test_a_schema_is_sent_as_the_service_takes_it():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
    sent = wires.body("anthropic", schema=schema)["output_config"]["format"]["schema"]
    assert sent["additionalProperties"] is False
    assert sent["properties"]["n"] == {"type": "integer", "description": "minimum: 1"}


def test_a_call_without_arguments_runs_beside_a_search_of_the_service(told):
    reply = told(
        start(),
        block(0, {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}),
        change(0, type="input_json_delta", partial_json='{"query": "x"}'),
        block(1, {"type": "tool_use", "id": "t1", "name": "now", "input": {}}),
        ending("tool_use"),
        STOP,
    )
    assert reply.tool_calls == [ToolCall("t1", "now")]


def test_what_a_fetched_page_says_is_cited_with_its_address(told):
    document = {"type": "document", "source": {"type": "text", "data": "Ebb at noon."}, "title": "Tides"}
    page = {"type": "web_fetch_result", "url": "https://a.example", "content": document}
    cited = {"type": "char_location", "document_index": 0, "document_title": "Tides", "cited_text": "Ebb at noon."}
    reply = told(
        start(),
        block(0, {"type": "web_fetch_tool_result", "tool_use_id": "s0", "content": {"type": "web_fetch_tool_error"}}),
        block(1, {"type": "web_fetch_tool_result", "tool_use_id": "s1", "content": page}),
        block(2, {"type": "text", "text": ""}),
        change(2, type="text_delta", text="So \N{WATER WAVE}: "),
        block(3, {"type": "text", "text": ""}),
        change(3, type="citations_delta", citation=cited),
        change(3, type="text_delta", text="mittags"),
        {"type": "message_stop"},
    )
    (citation,) = reply.citations
    assert citation == ("https://a.example", "Tides", 6, 13, "mittags", "Ebb at noon.")
    assert reply.blocks[-1]["citations"] == [cited]
