"""The sandbox as Mistral's Conversations API: entries or events, with searches between them."""

from __future__ import annotations

import json

import pytest
from sandbox_talk import talk

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
SEARCH = [{"type": "web_search"}]


def ask(box, inputs, **fields):
    return talk(box, "/v1/conversations", {"model": "m", "inputs": inputs, **fields})


def events(answer):
    records = []
    for block in answer.body.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        records.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {records[-1]['type']}"
    return records


def test_it_answers_with_entries(box):
    record = ask(box, "I am sad").json()
    assert (record["object"], record["conversation_id"][:5]) == ("conversation.response", "conv_")
    assert record["outputs"] == [
        {"type": "message.output", "role": "assistant", "model": "m", "content": "How long have you been sad?"}
    ]
    assert record["usage"] == {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}


def test_it_streams_the_same_as_events(box):
    records = events(ask(box, "I am sad", stream=True))
    assert [record["type"] for record in records[:2]] == ["conversation.response.started", "message.output.delta"]
    assert "".join(record.get("content", "") for record in records) == "How long have you been sad?"
    assert records[-1]["type"] == "conversation.response.done"
    assert records[-1]["usage"]["total_tokens"] == 9


@pytest.mark.parametrize("stream", [False, True])
def test_sources_stand_between_the_pieces_of_the_text(box, stream):
    answer = ask(box, "When is low tide?", tools=SEARCH, stream=stream)
    if stream:
        records = events(answer)
        chunks = [record["content"] for record in records if record["type"] == "message.output.delta"]
        assert [record["type"] for record in records[1:3]] == ["tool.execution.started", "tool.execution.done"]
        execution, usage = records[1], records[-1]["usage"]
    else:
        record = answer.json()
        execution, message = record["outputs"]
        chunks = [chunk.get("text", chunk) for chunk in message["content"]]
        usage = record["usage"]
    assert (execution["name"], json.loads(execution["arguments"])) == ("web_search", {"query": "when is low tide"})
    places = [number for number, chunk in enumerate(chunks) if isinstance(chunk, dict)]
    assert ["".join(map(str, chunks[:place])).rpartition(" ")[2] for place in places[:1]] == ["answer"]
    assert chunks[places[1] - 1] == " 🌙"
    assert chunks[places[0]]["type"] == "tool_reference"
    assert usage["connectors"] == {"web_search": 1}


@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_functions_and_quotes_their_results(box, stream):
    answer = ask(box, 'call weather {"city": "Oslo"}', tools=TOOLS, stream=stream)
    calls = events(answer) if stream else answer.json()["outputs"]
    calls = [call for call in calls if call["type"].startswith("function.call")]
    assert {call["name"] for call in calls} == {"weather"}
    assert "".join(call["arguments"] for call in calls) == '{"city": "Oslo"}'
    (call_id,) = {call["tool_call_id"] for call in calls}
    assert len(call_id) == 9
    entries = [
        {"type": "message.input", "role": "user", "content": "call weather"},
        {"type": "function.call", "tool_call_id": call_id, "name": "weather", "arguments": "{}"},
        {"type": "function.result", "tool_call_id": call_id, "result": "rain"},
    ]
    record = ask(box, entries, tools=TOOLS).json()
    assert record["outputs"][0]["content"] == "The tool says: rain"


@pytest.mark.parametrize("choice", ["any", "required"])
def test_a_function_may_have_to_be_called(box, choice):
    record = ask(box, "Hi", tools=TOOLS, completion_args={"tool_choice": choice}).json()
    assert [entry["type"] for entry in record["outputs"]] == ["function.call"]


@pytest.mark.parametrize(
    ("form", "keys"),
    [
        ({"type": "json_object"}, {"answer"}),
        ({"type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": {}}}}, set()),
    ],
)
def test_a_schema_is_kept_to(box, form, keys):
    record = ask(box, "Hi", completion_args={"response_format": form}).json()
    assert set(json.loads(record["outputs"][0]["content"])) == keys


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": None}, "Either model or agent_id must be set."),
        ({"inputs": []}, "Field required: inputs."),
        (
            {"inputs": [{"type": "function.result", "tool_call_id": "1", "result": "x"}]},
            "Tool call id was 1 but must be a-z, A-Z, 0-9, with a length of 9.",
        ),
        ({"inputs": [{"type": "message.input"}]}, "Missing required parameter: 'inputs[0].role'."),
        ({"completion_args": {"temperature": 3}}, "Invalid 'completion_args.temperature'"),
    ],
    ids=["model", "inputs", "id", "role", "temperature"],
)
def test_what_the_service_does_not_take_is_refused(box, fields, message):
    answer = talk(box, "/v1/conversations", {"model": "m", "inputs": "Hi", **fields})
    assert answer.status == 400
    assert answer.json()["error"]["message"].startswith(message)


def test_an_error_within_a_stream_is_an_event(box):
    answer = talk(box, "/fault/error-event/v1/conversations", {"model": "m", "inputs": "Hi", "stream": True})
    last = events(answer)[-1]
    assert (last["type"], last["code"]) == ("conversation.response.error", 503)
