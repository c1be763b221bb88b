"""The data of structured output while it arrives: whatever is shown, the final data does not contradict it."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass
from typing import Any, Optional

import pytest
import responses

from aichatkit import Client, ConfigurationError, StreamInterruptedError
from aichatkit.sandbox import Sandbox
from aichatkit.structured.forms import Form
from aichatkit.structured.partial import JSONReader

OBJECT = {"type": "object"}


def agrees(part, whole):
    """Return whether a whole value may still become of a part."""
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, dict) and isinstance(whole, dict):
        return list(part) == list(whole)[: len(part)] and all(agrees(part[name], whole[name]) for name in part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(map(agrees, part, whole))
    return (type(part), part) == (type(whole), whole)


def steps(text, sizes=1, **options):
    """Return what is shown after each piece, each as it was then."""
    reader, shown = JSONReader(options.pop("schema", OBJECT), **options), []
    for start in range(0, len(text), sizes):
        reader.feed(text[start : start + sizes])
        shown.append(json.loads(json.dumps(reader.value)))
    return shown


def any_value(rng, depth=0):
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([True, False, None])
    if kind in (1, 2):
        return rng.choice([0, -1, 17, 10**30, 1.5, -2e-9, 1e300, 0.1])
    if kind in (3, 4, 5):
        return "".join(rng.choice('ab"\\/\b\f\n\r\t\x00é—🦊{}[],:') for _ in range(rng.randrange(8)))
    if kind in (6, 7):
        return {f"k{number}{any_value(rng, 9)}": any_value(rng, depth + 1) for number in range(rng.randrange(5))}
    return [any_value(rng, depth + 1) for _ in range(rng.randrange(5))]


@pytest.mark.parametrize("seed", range(60))
def test_nothing_shown_is_contradicted_however_the_text_is_cut(seed):
    rng = random.Random(seed)
    whole = {"first": any_value(rng), "second": any_value(rng)}
    layout: dict[str, Any] = {"indent": rng.choice([None, 1]), "ensure_ascii": rng.random() < 0.5}
    text = json.dumps(whole, **layout)
    for lead in ("", " \n", "```json\n", "<think>{}</think>", "Here [you] {are}: "):
        for sizes in (1, 2, 7, 1000):
            shown = steps(lead + text + "\n```" * bool(lead), sizes)
            assert shown[-1] == whole
            known = [value for value in shown if value is not None]
            assert all(agrees(value, whole) for value in known)
            assert all(map(agrees, known, known[1:]))


def test_the_pieces_are_shown_as_they_are_complete():
    shown = steps('{"n": 105, "ok": true, "tags": ["a", "bc"], "in": {"x": null}}')
    seen = [value for number, value in enumerate(shown) if number == 0 or value != shown[number - 1]]
    assert seen == [
        {},
        {"n": 105},
        {"n": 105, "ok": True},
        {"n": 105, "ok": True, "tags": []},
        {"n": 105, "ok": True, "tags": [""]},
        {"n": 105, "ok": True, "tags": ["a"]},
        {"n": 105, "ok": True, "tags": ["a", ""]},
        {"n": 105, "ok": True, "tags": ["a", "b"]},
        {"n": 105, "ok": True, "tags": ["a", "bc"]},
        {"n": 105, "ok": True, "tags": ["a", "bc"], "in": {}},
        {"n": 105, "ok": True, "tags": ["a", "bc"], "in": {"x": None}},
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\u00', {"a": "x"}),
        ('{"a": "x\\ud83e', {"a": "x"}),
        ('{"a": "x\\ud83e\\', {"a": "x"}),
        ('{"a": "x\\ud83e\\udd', {"a": "x"}),
        ('{"a": "x\\ud83e\\udd8a', {"a": "x🦊"}),
        ('{"a": "x\\ud83ey', {"a": "x\ufffdy"}),
        ('{"a": "x\\ud83e\\n', {"a": "x\ufffd\n"}),
        ('{"a": "x\\ud83e\\ud83e\\udd8a', {"a": "x\ufffd🦊"}),
        ('{"a": "x\\udd8a', {"a": "x\ufffd"}),
        ('{"a": -', {}),
        ('{"a": 1', {}),
        ('{"a": 1.', {}),
        ('{"a": 1e', {}),
        ('{"a": 1e5,', {"a": 1e5}),
        ('{"a": 12 ', {"a": 12}),
        ('{"a": tr', {}),
        ('{"a": true', {"a": True}),
        ('{"a"', {}),
        ('{"a', {}),
        ("{ ", {}),
        ('{"a": [ ', {"a": []}),
        ('{"a": [1', {"a": []}),
        ("", None),
        ("<thi", None),
        ("<think>{}</thi", None),
        ("<thinking>{1}</thinking>\n{", {}),
        ("no data", None),
        ("```json\n", None),
    ],
)
def test_what_is_not_complete_is_left_out(text, value):
    assert [steps(text, sizes)[-1:] for sizes in (1, 3, 1000)] == [[value] if text else []] * 3


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, oops',
        '{"a": 1, }',
        '{"a": 1; "b"',
        '{"a": 1]',
        '{"a": 1, "b" 2',
        '{"a": 1, "b": 1.2.3,',
        '{"a": 1, "b": 1e999,',
        '{"a": 1, "b": NaN',
        '{"a": 1, "b": -Infinity',
        '{"a": 1, "b": "\\x"',
        '{"a": 1, "b": "\\u12g4"',
        '{"a": 1, "b": ' + "1" * 5000,
    ],
)
def test_what_turns_out_not_to_be_json_is_shown_no_more(text):
    assert [steps(text + '{"c": 2}', sizes)[-1] for sizes in (1, 4, 10_000)] == [None] * 3


def test_a_brace_in_the_words_before_is_not_the_data():
    assert steps('{x} {{"a": {"b": 1}} and more {"c": 2}')[-1] == {"a": {"b": 1}}


def test_a_text_where_the_schema_has_none_is_left_out():
    schema = {
        "type": "object",
        "properties": {
            "tags": {"type": "array"},
            "more": {"$ref": "#/$defs/more"},
            "either": {"anyOf": [{"type": "string"}, {"type": "array"}]},
            "neither": {"oneOf": [{"type": "null"}, {"type": ["array", "object"]}]},
            "list": {"items": {"type": "integer"}, "prefixItems": [{"type": "string"}]},
            "any": True,
        },
        "additionalProperties": {"type": "number"},
        "$defs": {"more": {"type": "object"}},
    }
    data = {
        "tags": "[1]",
        "more": "{}",
        "either": "x",
        "neither": "[]",
        "list": ["x", "1", 2],
        "any": {"deep": "x"},
        "other": "1",
    }
    assert steps(json.dumps(data), schema=schema)[-1] == {"either": "x", "list": ["x", 2], "any": {"deep": "x"}}
    loop = {"properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}]}}}
    assert steps('{"a": "x"', schema=loop)[-1] == {"a": "x"}


@pytest.mark.parametrize(
    ("target", "text", "value"),
    [
        (list[int], '{"value": [1, 2', [1]),
        (list[int], "[1, 2", [1]),
        (list[int], '{"other": [1, 2', None),
        (int, "[1, 2", None),
        (int, '{"value": 5}', 5),
        (str, '{"value": "Par', "Par"),
        (Optional[list[int]], "[1, 2, 3", None),
        ({"type": "object"}, '{"json_text": "{\\"a\\": [1, 2]', {"a": [1, 2]}),
        ({"type": "object"}, '{"json_text": 5', {}),
        ({"properties": {"json_text": {"type": "string"}}}, '{"json_text": "{\\"a', {"json_text": '{"a'}),
    ],
)
def test_the_wrappers_of_the_services_are_taken_off(target, text, value):
    data = Form.of(target).partial_data()
    for character in text:
        data.add(character)
    assert data.value == value


def test_many_threads_may_look():
    data, seen = Form.of(dict).partial_data(), []

    def look():
        for _ in range(200):
            data.value  # noqa: B018 - reading it is what may go wrong
            seen.append(None)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for character in json.dumps({f"k{number}": "é" * number for number in range(40)}):
        data.add(character)
    for thread in threads:
        thread.join()
    assert (data.value, len(seen)) == ({f"k{number}": "é" * number for number in range(40)}, 800)


@dataclass
class Invoice:
    number: str
    total: float
    lines: list[str]


TEXT = '{"number": "A-\\ud83e\\udd8a 17", "total": 1234.50, "lines": ["one", "two three"]}'
DATA = {"number": "A-🦊 17", "total": 1234.5, "lines": ["one", "two three"]}


@pytest.fixture
def box():
    with Sandbox() as sandbox:
        yield sandbox


def client_of(box, model="openai/gpt-6-luna", **options):
    path = "" if model.startswith(("anthropic", "gemini", "ollama")) else "/v1"
    return Client(model, api_key="k", base_url=box.url + path, retry=0, **options)


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-6-luna", "openai-responses/gpt-6-luna", "anthropic/m", "gemini/m", "ollama/m", "deepseek/m", "groq/m"],
)
def test_a_stream_shows_its_data_at_every_service(box, model):
    box.says(TEXT)
    with client_of(box, model).stream("x", schema=Invoice) as stream:
        shown = [json.loads(json.dumps(stream.partial_data)) for _ in stream]
    assert stream.partial_data == DATA
    assert stream.reply.data == Invoice(**DATA)
    assert all(value is None or agrees(value, DATA) for value in shown)
    assert len(shown) > 5 or model.startswith("groq")


def test_it_is_the_same_object_which_grows_when_it_is_looked_at(box):
    box.says(TEXT)
    with client_of(box).stream("x", schema=Invoice) as stream:
        next(stream)
        first = stream.partial_data
        for _ in stream:
            assert stream.partial_data is first
            break


def test_looking_at_the_end_only_is_enough(box):
    box.says("Here you are:\n" + TEXT.replace('["one", "two three"]', '"[\\"one\\", \\"two three\\"]"'))
    stream = client_of(box).stream("x", schema=Invoice)
    stream.read()
    assert stream.partial_data == stream.partial_data == DATA


def test_a_cut_stream_keeps_what_was_read(box):
    box.says(TEXT)
    box.script("cut,after=4")
    stream = client_of(box).stream("x", schema=Invoice)
    with pytest.raises(StreamInterruptedError):
        stream.read()
    assert agrees(stream.partial_data, DATA)
    assert stream.partial_data["number"].startswith("A-")


def test_an_observed_and_a_cached_stream_have_it_too(box):
    box.says(TEXT)
    chunks = []
    client = client_of(box, cache={}, hooks={"chunk": chunks.append})
    for _ in range(2):
        with client.stream("x", schema=Invoice) as stream:
            shown = [json.loads(json.dumps(stream.partial_data)) for _ in stream]
        assert stream.partial_data == DATA
        assert all(value is None or agrees(value, DATA) for value in shown)
    assert stream.reply.cached
    assert chunks


def answer(*deltas):
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls" if "tool_calls" in deltas[-1] else "stop"})
    return "".join(f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices) + "data: [DONE]\n\n"


def test_the_text_of_a_round_of_tools_is_not_data():
    call = {"index": 0, "id": "c1", "function": {"name": "upper", "arguments": '{"text": "a"}'}}
    first = answer({"content": '{"number": "none"'}, {"content": ', "total": 0} I look.'}, {"tool_calls": [call]})
    with responses.RequestsMock() as web:
        for body in (first, answer(*({"content": piece} for piece in (TEXT[:20], TEXT[20:])))):
            web.add("POST", "https://api.openai.com/v1/chat/completions", body=body, content_type="text/event-stream")
        stream = Client("openai/gpt-6-sol", api_key="k", retry=0).stream("x", tools=[upper], schema=Invoice)
        shown = [json.loads(json.dumps(stream.partial_data)) for _ in stream]
    assert shown[1] == {"number": "none", "total": 0}
    # The blank lines between the rounds come before the first piece of the second.
    assert all(value is None or agrees(value, DATA) for value in shown[2:])
    assert stream.partial_data == DATA
    assert stream.reply.data == Invoice(**DATA)


@pytest.mark.parametrize("with_tools", [False, True])
def test_without_a_schema_it_is_an_error_that_says_so(box, with_tools):
    for client in (client_of(box), client_of(box, cache={}), client_of(box, hooks={"chunk": print})):
        for _ in range(2):
            stream = client.stream("Hi", tools=[upper] if with_tools else ())
            with pytest.raises(ConfigurationError, match="pass schema="):
                stream.partial_data  # noqa: B018 - reading it is the error
            stream.read()


def upper(text: str) -> str:
    """Return a text in capitals."""
    return text.upper()
