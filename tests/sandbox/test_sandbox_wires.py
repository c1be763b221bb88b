from __future__ import annotations

import base64
import json

import pytest
from sandbox_speakers import SPEAKERS, Anthropic, Chat, Cohere, Gemini, GeminiArray, Ollama, Responses, sse
from sandbox_talk import CHAT, dial, request_bytes, talk

from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.wires.schemas import minimal_instance

ELIZA = "How long have you been sad?"
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
TOOLS = {"weather": WEATHER, "stop": {}}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

each_wire = pytest.mark.parametrize("wire", SPEAKERS, ids=lambda wire: type(wire).__name__)
each_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@each_wire
@each_way
def test_it_answers_with_text_usage_and_a_finish(box, wire, stream):
    seen = wire.said(box, "I am sad", stream=stream)
    assert seen == {"text": ELIZA, "thoughts": "", "calls": [], "finish": wire.stop, "input": 3, "output": 6}


@each_wire
def test_it_streams_a_piece_for_each_fragment(box, wire):
    answer = wire.ask(box, "I am sad", stream=True)
    assert len([part for part in answer.chunks if any(word in part for word in (b"How", b" long", b" have"))]) >= 3


@each_wire
@each_way
def test_it_calls_the_tools_a_prompt_names(box, wire, stream):
    seen = wire.said(box, 'call weather {"city": "Oslo"} and call stop, call other', stream=stream, tools=TOOLS)
    assert seen["calls"] == [("weather", {"city": "Oslo"}), ("stop", {})]
    assert seen["text"] == ""
    assert seen["finish"] == wire.tools


@each_wire
@each_way
def test_it_quotes_what_a_tool_returned(box, wire, stream):
    seen = wire.said(box, "call weather", stream=stream, tools=TOOLS, result="rain all day")
    assert seen["text"].startswith("The tool says: ")
    assert "rain all day" in seen["text"]
    assert seen["calls"] == []


def test_several_results_are_quoted_in_their_order(box):
    outputs = [{"type": "function_call_output", "call_id": name, "output": name} for name in ("rain", "sun")]
    answer = talk(box, "/v1/responses", {"model": "m", "input": [{"role": "user", "content": "x"}, *outputs]})
    assert answer.json()["output"][0]["content"][0]["text"] == "The tool says: rain; sun"
    results = [{"role": "tool", "tool_call_id": name, "content": name} for name in ("rain", "sun")]
    answer = talk(box, "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}, *results]})
    assert answer.json()["choices"][0]["message"]["content"] == "The tool says: rain; sun"


def test_results_of_an_earlier_turn_are_not_quoted_again(box):
    earlier = [{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "1", "content": "rain"}]
    record = {"model": "m", "messages": [*earlier, {"role": "user", "content": "I am sad"}]}
    assert talk(box, "/v1/chat/completions", record).json()["choices"][0]["message"]["content"] == ELIZA


@each_wire
@each_way
def test_it_thinks_aloud_when_asked_to(box, wire, stream):
    seen = wire.said(box, "Please think. I am sad", stream=stream)
    assert seen["thoughts"] == "The user says: Please think. I am sad"
    assert seen["text"] == ELIZA
    assert seen["output"] > 6


@each_wire
@each_way
def test_it_answers_in_the_schema_asked_for(box, wire, stream):
    assert json.loads(wire.said(box, "Where?", stream=stream, schema=CITY)["text"]) == {"city": "text"}


@pytest.mark.parametrize("wire", [Chat(), Responses(), Gemini(), Ollama(), Cohere()])
def test_it_answers_in_json_without_a_schema(box, wire):
    assert json.loads(wire.said(box, "Where?", stream=False, schema={})["text"]) == {"answer": "text"}


@each_wire
@each_way
def test_it_stops_at_the_limit(box, wire, stream):
    seen = wire.said(box, "I am sad", stream=stream, limit=2)
    assert (seen["text"], seen["finish"], seen["output"]) == ("How long", wire.length, 2)


@pytest.mark.parametrize("wire", [Chat(), Responses(), Anthropic(), Gemini(), Cohere()])
@pytest.mark.parametrize("forced", ["*", "weather"])
def test_a_tool_that_has_to_be_called_is_called_with_the_smallest_arguments(box, wire, forced):
    seen = wire.said(box, "Hello", stream=False, tools=TOOLS, forced=forced)
    assert seen["calls"] == [("weather", {"city": "text", "days": 0})]


@each_wire
@each_way
def test_a_said_text_stands_in_for_a_schema_and_for_quotes(box, wire, stream):
    box.says("{broken")
    assert wire.said(box, "Where?", stream=stream, schema=CITY)["text"] == "{broken"


@each_wire
@each_way
def test_an_empty_answer_has_neither_text_nor_calls_nor_thoughts(box, wire, stream):
    answer = wire.ask(box, "think, call stop", stream=stream, tools=TOOLS, fault="empty")
    seen = wire.streamed(answer) if stream else wire.whole(answer.json())
    assert (seen["text"], seen["calls"], seen["thoughts"], seen["finish"]) == ("", [], "", wire.stop)


# Faults in the shape of each wire


@each_wire
@pytest.mark.parametrize(
    "fault",
    [
        "rate-limit",
        "quota",
        "overloaded",
        "unauthorized",
        "forbidden",
        "server-error",
        "context-too-long",
        "bad-request",
    ],
)
def test_a_refusal_has_the_services_status_and_shape(box, wire, fault):
    answer = wire.ask(box, "I am sad", stream=True, fault=fault)
    name = type(wire).__name__
    usual = {
        "rate-limit": 429,
        "quota": {"Anthropic": 400}.get(name, 429),
        "overloaded": {"Anthropic": 529}.get(name, 503),
        "unauthorized": 400 if name.startswith("Gemini") else 401,
        "forbidden": 403,
        "server-error": 500,
        "context-too-long": 400,
        "bad-request": 400,
    }
    assert answer.status == usual[fault]
    record = answer.json()
    if name == "Anthropic":
        assert record["type"] == "error"
        assert record["request_id"] == answer.headers["request-id"]
        assert record["error"]["type"].endswith(("_error", "_large"))
    elif name == "GeminiArray":
        assert record[0]["error"]["code"] == usual[fault]
    elif name == "Gemini":
        assert record["error"]["code"] == usual[fault]
        assert record["error"]["status"].isupper()
    elif name == "Cohere":
        assert set(record) == {"id", "message"}
    elif name == "Ollama":
        assert list(record) == ["error"]
        assert isinstance(record["error"], str)
    else:
        assert set(record["error"]) == {"message", "type", "param", "code"}


@each_wire
@pytest.mark.parametrize("kind", ["overloaded", "rate-limit"])
def test_a_stream_breaks_off_in_the_wires_own_words(box, wire, kind):
    answer = wire.ask(box, "I am sad", stream=True, fault=f"error-event,after=1,kind={kind}")
    seen = {
        "Chat": b'data: {"error": {"message": "',
        "Responses": b'event: error\ndata: {"type": "error"',
        "Anthropic": b'event: error\ndata: {"type": "error", "error"',
        "Gemini": b'data: {"error": {"code": ',
        "GeminiArray": b'{"error": {"code": ',
        "Ollama": b'{"error": "',
        "Cohere": b'"finish_reason": "ERROR"',
    }
    assert answer.status == 200
    assert b"How" in answer.body
    assert seen[type(wire).__name__] in answer.body


@each_wire
def test_a_stream_without_its_end_marker_has_all_the_text_and_no_end(box, wire):
    body = wire.ask(box, "I am sad", stream=True, fault="no-end-marker").body
    assert b"sad?" in body
    assert b'"choices": []' not in body
    for mark in (
        b"[DONE]",
        b'"stop"',
        b"message_stop",
        b"message-end",
        b"STOP",
        b"response.completed",
        b'"done": true',
    ):
        assert mark not in body


@each_wire
def test_a_stream_is_cut_after_the_second_piece_of_text(box, wire):
    answer = wire.ask(box, "I am sad", stream=True, fault="cut")
    assert b" long" in answer.body
    assert b" have" not in answer.body
    assert answer.chunks[-1] != b""


@each_wire
@each_way
def test_odd_pieces_and_line_ends_change_nothing(box, wire, stream):
    box.says("Où? 🌞\n\nLà.")
    answer = wire.ask(box, "x", stream=stream, fault="split,size=1")
    assert (wire.streamed(answer) if stream else wire.whole(answer.json()))["text"] == "Où? 🌞\n\nLà."
    answer = wire.ask(box, "x", stream=True, fault="crlf")
    assert b"\r\r" not in answer.body


def test_gemini_tells_the_wait_in_the_body_only(box):
    answer = Gemini().ask(box, "x", stream=True, fault="rate-limit,retry-after=13.5")
    details = answer.json()["error"]["details"]
    assert "PerMinute" in details[0]["violations"][0]["quotaId"]
    assert details[1]["retryDelay"] == "13.5s"
    assert "retry-after" not in answer.headers


def test_gemini_tells_a_daily_quota(box):
    details = Gemini().ask(box, "x", stream=True, fault="quota").json()["error"]["details"]
    assert "PerDay" in details[0]["violations"][0]["quotaId"]


@pytest.mark.parametrize(("wire", "stream"), [(Gemini(), False), (Gemini(), True), (GeminiArray(), True)])
def test_gemini_blocks_a_prompt_with_success(box, wire, stream):
    answer = wire.ask(box, "x", stream=stream, fault="content-filter")
    assert answer.status == 200
    assert b'"blockReason": "PROHIBITED_CONTENT"' in answer.body
    assert b"candidates" not in answer.body


def test_a_chosen_status_is_kept(box):
    assert Gemini().ask(box, "x", stream=False, fault="content-filter,status=400").status == 400
    assert Anthropic().ask(box, "x", stream=False, fault="quota,status=402").status == 402


@pytest.mark.parametrize(
    ("wire", "words"),
    [(Anthropic(), "credit balance is too low"), (Cohere(), "month"), (Chat(), "current quota")],
)
def test_a_quota_is_told_in_the_services_words(box, wire, words):
    assert words in wire.ask(box, "x", stream=False, fault="quota").body.decode()


@pytest.mark.parametrize(
    ("wire", "ping"),
    [(Anthropic(), b"event: ping\n"), (Chat(), b": PROCESSING\n\n"), (Cohere(), b": PROC"), (Gemini(), b"\r\n1\r\n\n")],
)
def test_a_stream_is_kept_alive_with_what_the_wire_has_for_it(box, wire, ping):
    record = {**wire.request("I am sad"), "stream": True}
    with dial(box) as sock:
        path = f"/fault/pings,every=0.001,after=1{wire.target(True)}"
        sock.sendall(request_bytes(path, record, headers=wire.headers or {}))
        raw = b""
        while raw.partition(b"How")[2].count(ping) < 2:
            raw += sock.recv(65536)
    assert box.wait_closed()


# Keys


@pytest.mark.parametrize(
    ("wire", "headers"),
    [
        (Chat(), {"Authorization": "Bearer good"}),
        (Chat(), {"api-key": "good"}),
        (Responses(), {"authorization": "bearer good"}),
        (Anthropic(), {"x-api-key": "good", "anthropic-version": "2023-06-01"}),
        (Anthropic(), {"Authorization": "Bearer good", "anthropic-version": "2023-06-01"}),
        (Gemini(), {"x-goog-api-key": "good"}),
        (Cohere(), {"Authorization": "Bearer good"}),
        (Ollama(), {}),
    ],
)
def test_a_good_key_is_taken_where_the_service_takes_it(wire, headers):
    with Sandbox(api_keys=["good", "other"]) as box:
        assert wire.ask(box, "x", stream=False, headers=headers).status == 200


@pytest.mark.parametrize(
    ("wire", "headers", "status"),
    [
        (Chat(), {}, 401),
        (Chat(), {"Authorization": "Bearer bad"}, 401),
        (Chat(), {"Authorization": "Basic good"}, 401),
        (Responses(), {"Authorization": "Bearer bad"}, 401),
        (Anthropic(), {"x-api-key": "bad"}, 401),
        (Gemini(), {"x-goog-api-key": "bad"}, 400),
        (Gemini(), {}, 403),
        (Cohere(), {"Authorization": "Bearer bad"}, 401),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_refused(wire, headers, status):
    with Sandbox(api_keys=["good"]) as box:
        assert wire.ask(box, "x", stream=False, headers=headers).status == status


def test_gemini_takes_a_key_in_the_url():
    with Sandbox(api_keys=["good"]) as box:
        assert talk(box, "/v1beta/models?key=good", method="GET").status == 200


# What is checked


@pytest.mark.parametrize(
    ("path", "record", "words"),
    [
        ("/v1/chat/completions", {"messages": []}, "you must provide a model parameter"),
        ("/v1/chat/completions", {"model": "m"}, "'messages'"),
        ("/v1/chat/completions", {"model": "m", "messages": []}, "too short"),
        ("/v1/chat/completions", {"model": "m", "messages": ["x"]}, "Invalid value for 'role'"),
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "bot"}]}, "Invalid value for 'role'"),
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": 1}]}, "Invalid type"),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": [1]}]},
            "Invalid type for 'messages[0].content[0]': expected an object, but got 1 instead.",
        ),
        (
            "/v1/chat/completions",
            {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 7}]}]},
            "Invalid type for 'messages[0].content[0].image_url': expected an object, but got 7 instead.",
        ),
        ("/v1/responses", {"input": "x"}, "'model'"),
        ("/v1/responses", {"model": "m"}, "'input'"),
        ("/v1/responses", {"model": "m", "input": []}, "'input'"),
        ("/v1/images/generations", {"model": "m"}, "'prompt'"),
        ("/v1/messages", {"model": "m", "messages": []}, "max_tokens: Field required"),
        ("/v1/messages", {"model": "m", "max_tokens": 1, "messages": []}, "at least one message"),
        ("/v1/messages", {"model": "m", "max_tokens": 1, "messages": [{"role": "system"}]}, "messages.0.role"),
        ("/v1/messages", {"model": "m", "max_tokens": 1, "messages": [{"role": "user"}]}, "non-empty content"),
        ("/v1beta/models/m:generateContent", {}, "contents is not specified"),
        ("/v1beta/models/m:generateContent", {"contents": ["x"]}, "contents.parts must not be empty"),
        ("/v1beta/models/m:generateContent", {"contents": [{"role": "bot", "parts": []}]}, "valid role"),
        ("/api/chat", {}, "model is required"),
        ("/api/chat", {"model": "m", "messages": "x"}, "cannot unmarshal"),
        ("/v2/chat", {"messages": []}, "model is required"),
        ("/v2/chat", {"model": "m", "messages": []}, "messages must not be empty"),
    ],
)
def test_what_the_service_refuses_is_refused(box, path, record, words):
    answer = talk(box, path, record, headers={"anthropic-version": "2023-06-01"})
    assert answer.status == 400
    assert words in answer.body.decode()


def test_anthropic_wants_its_version_header(box):
    answer = Anthropic().ask(box, "x", stream=False, headers={})
    assert answer.json()["error"]["message"] == "anthropic-version: header is required"


def test_content_may_be_a_list_of_parts(box):
    parts = [{"type": "text", "text": "I am sad"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    answer = talk(box, "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": parts}]})
    assert answer.json()["choices"][0]["message"]["content"] == ELIZA


def test_the_input_of_a_response_may_be_a_string(box):
    answer = talk(box, "/v1/responses", {"model": "m", "input": "I am sad"})
    assert answer.json()["output"][0]["content"][0]["text"] == ELIZA


def test_a_chat_without_a_user_is_answered(box):
    answer = talk(box, "/api/chat", {"model": "m", "stream": False})
    assert answer.json()["message"]["content"]


def test_ollama_streams_unless_told_not_to(box):
    answer = talk(box, "/api/chat", {"model": "m", "messages": [{"role": "user", "content": "I am sad"}]})
    assert len(answer.body.splitlines()) == 7


def test_an_openai_stream_has_no_usage_unless_asked(box):
    records = [record for _, record in sse(talk(box, "/v1/chat/completions", {**CHAT, "stream": True}))]
    assert all(record["choices"] and "usage" not in record for record in records)


@pytest.mark.parametrize("base", ["/v1", "/openai/v1", "/openai/deployments/m", "/api/paas/v4"])
def test_compatible_services_may_have_any_path_in_front(box, base):
    assert talk(box, f"{base}/chat/completions", CHAT).status == 200
    assert talk(box, f"{base}/models", method="GET").json()["object"] == "list"


@pytest.mark.parametrize(
    ("path", "headers", "model"),
    [
        ("/v1/models", {}, lambda record: record["data"][0]["id"]),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, lambda record: record["data"][0]["id"]),
        ("/v1/models", {"x-goog-api-key": "k"}, lambda record: record["models"][0]["name"].rpartition("/")[2]),
        ("/v1beta/models", {}, lambda record: record["models"][0]["name"].rpartition("/")[2]),
        ("/api/tags", {}, lambda record: record["models"][0]["name"].partition(":")[0]),
    ],
)
def test_each_wire_lists_its_models(box, path, headers, model):
    assert model(talk(box, path, method="GET", headers=headers).json()) == "eliza"


# Pictures


@pytest.mark.parametrize(
    ("wishes", "form"),
    [
        ({}, "b64_json"),
        ({"model": "dall-e-of-old"}, "url"),
        ({"model": "dall-e-of-old", "response_format": "b64_json"}, "b64_json"),
    ],
)
def test_a_picture_comes_as_data_or_as_an_address(box, wishes, form):
    (entry,) = talk(box, "/v1/images/generations", {"prompt": "a cat", **wishes}).json()["data"]
    if form == "url":
        picture = talk(box, entry["url"][len(box.url) :], method="GET").body
    else:
        picture = base64.b64decode(entry["b64_json"])
    assert picture.startswith(b"\x89PNG")


def test_as_many_pictures_come_as_were_asked_for(box):
    data = talk(box, "/v1/images/generations", {"prompt": "a cat", "n": 3}).json()["data"]
    assert len({entry["b64_json"] for entry in data}) == 3


# Schemas


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "minLength": 6}, "text.."),
        ({"type": "string", "format": "date"}, "2000-01-01"),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, 0.5),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["string", "null"]}, "text"),
        ({"type": "STRING"}, "text"),
        ({"type": "array", "items": {"type": "integer"}}, []),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
        ({"enum": ["a", "b"]}, "a"),
        ({"const": 5}, 5),
        ({"default": "x", "type": "string"}, "x"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"oneOf": [{"type": "string"}]}, "text"),
        ({"allOf": [{"type": "object"}, {"properties": {"a": {"type": "null"}}}]}, {"a": None}),
        ({"properties": {"a": {"type": "boolean"}}}, {"a": False}),
        ({"$defs": {"N": {"type": "integer"}}, "$ref": "#/$defs/N"}, 0),
        (True, None),
        ({}, None),
    ],
)
def test_a_schema_has_a_smallest_value(schema, value):
    assert minimal_instance(schema) == value


def test_a_schema_that_holds_itself_has_an_end():
    node = {"type": "object", "properties": {"next": {"$ref": "#"}, "v": {"type": "integer"}}, "required": ["v"]}
    found = minimal_instance(node)
    for _ in range(8):
        found = found["next"]
    assert found == {"v": 0}


def test_a_schema_that_must_hold_itself_has_an_end_too():
    schema = {"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]}
    assert json.dumps(minimal_instance(schema)).count("n") > 8
