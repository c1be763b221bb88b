"""Malformed bodies on every wire: a wrong type at a place that a service requires is never answered with 200."""

from __future__ import annotations

import copy
import json
import random

import pytest
from sandbox_talk import talk

from aichatkit.sandbox.wires.aichatfree import sign

#: A value of each JSON type.
VALUES = {
    "null": None,
    "boolean": True,
    "number": 3,
    "string": "x",
    "array": [],
    "array of null": [None],
    "array of numbers": [3],
    "array of objects": [{}],
    "object": {},
    "object with fields": {"x": 3},
}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}
HI = {"role": "user", "content": "Hi"}
PARTS = [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]
CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
SIGNED = {"messages": [{"role": "user", "parts": [{"text": "Hi"}]}], "time": 1, "pass": None, "sign": sign(1, "Hi")}
#: Of each wire its path, its headers, and a body that is taken.
BODIES = {
    "openai": (
        "/v1/chat/completions",
        {},
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": PARTS},
                {"role": "assistant", "content": None, "tool_calls": CALLS},
                {"role": "tool", "content": "4", "tool_call_id": "c"},
            ],
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
            "temperature": 1,
        },
    ),
    "openai-responses": (
        "/v1/responses",
        {},
        {
            "model": "m",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "message", "role": "user", "content": "Hi"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "4"},
            ],
            "tools": [{"type": "function", **FUNCTION}],
            "tool_choice": {"type": "function", "name": "f"},
            "text": {"format": {"type": "json_schema", "name": "s", "schema": {"type": "object"}}},
        },
    ),
    "mistral-conversations": (
        "/v1/conversations",
        {},
        {
            "model": "m",
            "instructions": "Be brief.",
            "inputs": [
                {"type": "message.input", "role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"type": "message.output", "role": "assistant", "content": "Hi"},
                {"type": "function.call", "tool_call_id": "call00100", "name": "f", "arguments": "{}"},
                {"type": "function.result", "tool_call_id": "call00100", "result": "4"},
            ],
            "tools": [{"type": "function", "function": FUNCTION}, {"type": "web_search"}],
            "completion_args": {"temperature": 1, "tool_choice": "any"},
        },
    ),
    "anthropic": (
        "/v1/messages",
        {"anthropic-version": "2023-06-01"},
        {
            "model": "m",
            "max_tokens": 9,
            "system": [{"type": "text", "text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image", "source": {"x": 1}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "4"}]},
            ],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": "f"},
        },
    ),
    "gemini": (
        "/v1beta/models/m:generateContent",
        {},
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"x": 1}}}]},
            ],
            "tools": [{"functionDeclarations": [{"name": "f"}]}],
            "generationConfig": {"temperature": 1},
        },
    ),
    "cohere": (
        "/v2/chat",
        {},
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "tool_calls": CALLS},
                {"role": "tool", "content": "4", "tool_call_id": "c"},
            ],
            "tools": [{"type": "function", "function": FUNCTION}],
        },
    ),
    "ollama": (
        "/api/chat",
        {},
        {
            "model": "m",
            "messages": [HI, {"role": "user", "content": "Hi", "images": ["aGk="]}],
            "tools": [{"type": "function", "function": FUNCTION}],
            "options": {"temperature": 1},
        },
    ),
    "openai-embeddings": ("/v1/embeddings", {}, {"model": "m", "input": ["Hi"]}),
    "gemini-embeddings": (
        "/v1beta/models/m:batchEmbedContents",
        {},
        {"requests": [{"model": "models/m", "content": {"parts": [{"text": "Hi"}]}}]},
    ),
    "cohere-embeddings": ("/v2/embed", {}, {"model": "m", "texts": ["Hi"], "input_type": "search_query"}),
    "ollama-embeddings": ("/api/embed", {}, {"model": "m", "input": ["Hi"]}),
    "openai-decisions": (
        "/v1/decisions",
        {},
        {
            "model": "m",
            "input": "It broke.",
            "questions": [
                {"name": "a", "type": "predicate", "instructions": "Broken?"},
                {"name": "b", "type": "choice", "instructions": "What?", "choices": [{"value": "x"}, {"value": "y"}]},
                {"name": "c", "type": "score", "instructions": "Bad?", "levels": [{"label": "x"}, {"label": "y"}]},
            ],
        },
    ),
    "systemone": (
        "/v1/systemone",
        {},
        {"model": "m", "state": "It broke.", "questions": {"a": {"type": "noul", "instructions": "Broken?"}}},
    ),
    "google-decisions": (
        "/v1beta/decisions",
        {"x-goog-api-key": "k"},
        {
            "model": "m",
            "input": "It broke.",
            "questions": {"a": {"type": "choice", "instructions": "What?", "criteria": {"x": "X", "y": "Y"}}},
        },
    ),
    "images": ("/v1/images/generations", {}, {"prompt": "a cat", "model": "m"}),
    "aichats": ("/chat/send2/", {}, {"type": "chat", "messagesHistory": [{"from": "you", "content": "Hi"}]}),
    "aichat": ("/api/text", {}, {"message": "Hi", "temperature": 1}),
    "aichatfree": ("/api/generate", {}, SIGNED),
    "aichatonline-wordpress": (
        "/chatgpt/wp-json/mwai-ui/v1/chats/submit",
        {},
        {"newMessage": "Hi", "messages": [], "stream": False},
    ),
}
#: Places with another type than their service takes, and what it says.
WORDS = [
    ("openai", "tools", [{}], "Missing required parameter: 'tools[0].type'."),
    ("openai", "tools", [{"type": "function"}], "Missing required parameter: 'tools[0].function'."),
    (
        "openai",
        "tools",
        [{"type": "function", "function": {}}],
        "parameter: 'tools[0].function.name'.",
    ),
    ("openai", "tool_choice", {}, "Missing required parameter: 'tool_choice.type'."),
    ("openai", "messages", [{"role": "user", "content": None}], "expected a string, got null"),
    (
        "openai",
        "messages",
        [{"role": "tool", "content": "4"}],
        "parameter: 'messages[0].tool_call_id'.",
    ),
    ("openai-responses", "tools", [{}], "Missing required parameter: 'tools[0].type'."),
    ("openai-responses", "tools", [{"type": "function"}], "Missing required parameter: 'tools[0].name'."),
    ("openai-responses", "tool_choice", {}, "Missing required parameter: 'tool_choice.type'."),
    ("openai-responses", "input", [3, None], "Invalid type for 'input[0]': expected an object, but got 3 instead."),
    ("openai-responses", "input", [None], "Invalid type for 'input': expected one of a string or array of objects"),
    ("openai-responses", "input", [{}], "Missing required parameter: 'input[0].role'."),
    ("anthropic", "tools", [{}], "tools.0.custom.name: Field required"),
    ("anthropic", "tools", [{"name": "f"}], "tools.0.custom.input_schema: Field required"),
    ("anthropic", "tool_choice", {}, "tool_choice: Unable to extract tag using discriminator 'type'"),
    ("anthropic", "tool_choice", {"type": "tool"}, "tool_choice.name: Field required"),
    ("anthropic", "model", 5, "model: Input should be a valid string"),
    ("anthropic", "messages", [{"role": "user", "content": [{}]}], "messages.0.content.0: Unable to extract tag"),
    ("gemini", "tools", [{}], "tools[0].tool_type: required one_of 'tool_type' must have one initialized field"),
    ("gemini", "tools", [{"functionDeclarations": [{}]}], "function_declarations[0].name: Invalid function name."),
    ("gemini", "contents", [{"parts": [{}]}], "contents[0].parts[0].data: required oneof field 'data' must have one"),
    (
        "gemini",
        "contents",
        [{"parts": [{"fileData": {}}]}],
        ".parts[0].file_data.file_uri: must not be empty",
    ),
    (
        "cohere",
        "messages",
        [{"role": "user", "content": {}}],
        "messages[0].content must be one of a string or",
    ),
    (
        "cohere",
        "messages",
        [{"role": "bot", "content": "x"}],
        "messages[0].role must be one of user, assistant",
    ),
    ("cohere", "messages", [{"role": "user"}], "invalid request: messages[0].content is required"),
    (
        "ollama",
        "messages",
        [{"role": "user", "content": {}}],
        "json: cannot unmarshal object into Go struct field ChatRequest.messages.content of type string",
    ),
    ("ollama", "messages", 5, "json: cannot unmarshal number into Go struct field ChatRequest.messages of type []api."),
    (
        "ollama",
        "messages",
        [None],
        "json: cannot unmarshal null into Go struct field ChatRequest.messages of type api",
    ),
    ("ollama", "tools", [{}], "tools[0]: function is required"),
    (
        "google-decisions",
        "questions",
        {"a b": {"type": "noul", "instructions": "x"}},
        "characters that are not allowed",
    ),
    ("google-decisions", "questions", {"a": {"type": "noul"}}, "type and instructions are required"),
]


@pytest.mark.parametrize(("wire", "name", "value", "words"), WORDS)
def test_a_refusal_has_the_words_of_its_service(box, wire, name, value, words):
    path, headers, body = BODIES[wire]
    answer = talk(box, path, {**body, name: value}, headers=headers)
    assert answer.status == 400
    record = answer.json()
    error = record.get("error", record)
    assert words in (error if isinstance(error, str) else error["message"])


@pytest.mark.parametrize("wire", BODIES)
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_refused(box, wire, number):
    path, headers, body = BODIES[wire]
    content = f'{json.dumps(body)[:-1]}, "x": {{"y": {number}}}}}'.encode()
    assert talk(box, path, body=content, headers=headers).status == 400


def places(value, path=()):
    """Yield the path of every value in a body."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def replaced(body, path, value):
    changed = copy.deepcopy(body)
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return changed


#: What is below these is the caller's own: any JSON.
FREE = ("parameters", "schema", "input_schema", "args", "response", "source")
#: What may be missing, and so be null.
OPTIONAL = {
    *("tools", "tool_choice", "response_format", "text", "temperature", "system", "generationConfig", "options"),
    *("description", "parameters", "schema", "images", "tool_calls", "args", "stream", "content", "detail", "format"),
}
#: The same on a single wire.
OPTIONAL_ON = {
    "aichatfree": ("pass",),
    "gemini": ("role",),
    "images": ("model",),
    "mistral-conversations": ("completion_args", "instructions", "type"),
    "ollama": ("messages", "role", "type"),
    "openai-responses": ("type",),
}
#: What its site takes whatever it is.
IGNORED = {
    *(("aichatfree", "pass"), ("aichatonline-wordpress", "stream"), ("systemone", "model"), ("systemone", "state")),
    *(("google-decisions", "model"), ("google-decisions", "input")),
}
#: What may be of other types too, besides the one that is there.
OTHER_TYPES = {
    "content": (str, list),
    "system": (str, list),
    "input": (str, list),
    "inputs": (str, list),
    "output": (str, list),
    "tool_choice": (str, dict),
    "stop": (str, list),
}


def is_taken(wire, place, value):
    """Return whether services take a value at a place of a body, whatever else they take there."""
    name = place[-1]
    if any(key in FREE for key in place[:-1]) or (wire, name) in IGNORED:
        return True
    if value is None:
        return name in OPTIONAL or name in OPTIONAL_ON.get(wire, ())
    return isinstance(value, OTHER_TYPES.get(name, ()))


@pytest.mark.parametrize("wire", BODIES)
def test_a_wrong_type_at_a_place_that_is_required_is_refused(box, wire):
    path, headers, body = BODIES[wire]
    assert talk(box, path, body, headers=headers).status == 200
    taken = []
    for place in places(body):
        before = body
        for key in place:
            before = before[key]
        for name, value in VALUES.items():
            if type(value) is type(before) or is_taken(wire, place, value):
                continue
            answer = talk(box, path, replaced(body, place, value), headers=headers)
            assert answer.status in (200, 400, 401), (place, name, answer.status)
            if answer.status == 200:
                taken.append((place, name))
    assert taken == []


@pytest.mark.parametrize("wire", BODIES)
def test_no_body_of_any_shape_ends_a_connection(box, wire):
    path, headers, body = BODIES[wire]
    draw = random.Random(f"bodies of {wire}")
    for _ in range(60):
        changed = body
        for _ in range(draw.randint(1, 3)):
            spots = list(places(changed))
            if spots:
                changed = replaced(changed, draw.choice(spots), copy.deepcopy(draw.choice(list(VALUES.values()))))
        answer = talk(box, path, changed, headers=headers)
        assert answer.status in (200, 400, 401), changed
        assert answer.status == 200 or answer.json()
