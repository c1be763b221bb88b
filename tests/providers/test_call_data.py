"""What stands in texts and calls, on the wire of each protocol: numbers, halves of characters, data as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import make_dataclass
from decimal import Decimal
from typing import Any

import pytest
import responses
from answer_bodies import PROTOCOLS, call_body, text_body
from provider_wires import body
from recorded import ANYWHERE

from aichatkit import Chat, Client, SchemaError, ToolError
from aichatkit.chunks import ToolCall
from aichatkit.events import Event
from aichatkit.messages import parse_messages
from aichatkit.providers.request_bodies import call_id, exact_record

KINDS = {"ollama": "application/x-ndjson"}
HOW = ("ask", "stream", "chat", "map")


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture
def client(protocol, policy):
    with Client(model=protocol, api_key={protocol: "sk-test"}, retry=policy) as made:
        yield made


@pytest.fixture
def answers(web: responses.RequestsMock, protocol):
    """Answer the requests with these bodies, one after the other, and return what was sent."""

    def give(*bodies: bytes):
        for answer in bodies:
            web.post(ANYWHERE, body=answer, content_type=KINDS.get(protocol, "text/event-stream"))
        return web.calls

    return give


def ask(client: Client, how: str, **options: Any) -> str:
    """Return the text of an answer, asked for in one of four ways."""
    if how == "ask":
        return client.ask("Hi", **options).text
    if how == "stream":
        return "".join(client.stream("Hi", **options))
    if how == "chat":
        return client.chat(**options).ask("Hi").text
    (row,) = client.map(["Hi"], progress=False, **options)
    assert row.error is None
    return row.text


def sent(call: Any) -> str:
    """Return the body of a request, which has to be JSON by the letter."""
    text = call.request.body.decode()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} was sent"))
    return text


# Calls


@pytest.mark.parametrize("how", HOW)
def test_decimals_arrive_and_go_back_with_all_their_digits(client, answers, protocol, how):
    prices = []

    def look(price: Decimal, more: list[Decimal]) -> str:
        prices.extend([price, *more])
        return "seen"

    number = "98765432109876543.210"
    calls = answers(call_body(protocol, f'{{"price": {number}, "more": [1.10]}}'), text_body(protocol, "fine"))
    assert ask(client, how, tools=[look]).strip() == "fine"
    assert [str(price) for price in prices] == [number, "1.10"]
    assert number in sent(calls[1]).replace('\\"', '"')


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_neither_taken_nor_sent_back(client, answers, protocol, number):
    def look(x: float) -> str:
        raise AssertionError(x)

    calls = answers(call_body(protocol, f'{{"x": {number}}}'), text_body(protocol, "fine"))
    assert client.ask("Hi", tools=[look]).text == "fine"
    assert "not a JSON object" in sent(calls[1])


@pytest.mark.parametrize("how", HOW)
def test_text_of_data_is_taken_in_arguments(client, answers, protocol, how):
    seen = []

    def look(tags: list[str], days: int, deep: bool = False, unit: str = "c") -> str:
        seen.append((tags, days, deep, unit))
        return "seen"

    arguments = {"tags": '["a", "b"]', "days": "3", "deep": "true", "unit": None}
    answers(call_body(protocol, json.dumps(arguments)), text_body(protocol, "fine"))
    assert ask(client, how, tools=[look]).strip() == "fine"
    assert seen == [(["a", "b"], 3, True, "c")]


@pytest.mark.parametrize("protocol", ["openai", "anthropic", "cohere", "openai-responses"])
def test_arguments_that_were_encoded_twice_are_taken(client, answers, protocol):
    seen = []

    def look(city: str) -> str:
        seen.append(city)
        return "seen"

    answers(call_body(protocol, json.dumps(json.dumps({"city": "Oslo"}))), text_body(protocol, "fine"))
    assert client.ask("Hi", tools=[look]).text == "fine"
    assert seen == ["Oslo"]


@pytest.mark.parametrize("depth", [200, 800])
def test_arguments_without_end_are_told_to_the_model(client, answers, protocol, depth):
    def look(x: list) -> str:
        raise AssertionError(x)

    calls = answers(call_body(protocol, '{"x": ' + "[" * depth + "]" * depth + "}"), text_body(protocol, "fine"))
    assert client.ask("Hi", tools=[look]).text == "fine"
    assert "not a JSON object" in sent(calls[1])


def test_halves_of_characters_in_arguments_can_be_saved(client, answers, protocol, tmp_path):
    seen = []

    def look(x: str) -> str:
        seen.append(x)
        return x + "\ud83d"

    calls = answers(call_body(protocol, r'{"x": "a\ud83d"}'), *[text_body(protocol, "fine")] * 2)
    chat = client.chat(tools=[look])
    chat.ask("Hi")
    assert seen == ["a\ufffd"]
    again = Chat.load(chat.save(tmp_path / "a.json"), client=client)
    again.ask("More?")
    assert again.history[:4] == chat.history
    assert "\\ud83d" not in sent(calls[2])
    chat.export(tmp_path / "a.md")


def test_a_round_of_very_many_calls_is_not_begun(policy, web):
    calls = [{"index": i, "id": f"c{i}", "function": {"name": "look", "arguments": "{}"}} for i in range(300)]
    record = json.dumps({"choices": [{"delta": {"tool_calls": calls}, "finish_reason": "tool_calls"}]})
    web.post(ANYWHERE, body=f"data: {record}\n\ndata: [DONE]\n\n", content_type="text/event-stream")

    def look() -> str:
        raise AssertionError

    with Client(model="openai", api_key="sk-test", retry=policy) as client:
        with pytest.raises(ToolError, match="300 tool calls at once"):
            client.ask("Hi", tools=[look])
        # What is left to the caller is not run here.
        assert len(client.ask("Hi", tools=[{"name": "look"}]).tool_calls) == 300


# Texts


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ((r"ab \ud83d cd",), "ab \ufffd cd"),
        ((r"ab \ud83d", r"\ude00 cd"), "ab 😀 cd"),
        ((r"ab \ud83d", r"cd"), "ab \ufffdcd"),
        ((r"ab \ude00", r"cd \ud83d"), "ab \ufffdcd \ufffd"),
        ((r"\ud83d\ude00", "é"), "😀é"),
    ],
)
def test_halves_of_characters_are_joined_or_replaced(client, answers, protocol, pieces, text, how):
    answers(text_body(protocol, *pieces))
    assert ask(client, how) == text


def test_every_chunk_of_a_stream_can_be_printed(client, answers, protocol):
    answers(text_body(protocol, r"ab \ud83d", r"\ude00 cd"))
    with client.stream("Hi") as stream:
        assert [chunk.encode().decode() for chunk in stream] == ["ab ", "😀 cd"]


def test_reasoning_can_be_printed(policy, web):
    deltas = [{"reasoning_content": "a\ud83d"}, {"reasoning_content": "\ude00b\ude00"}, {"content": "fine"}]
    lines = [f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n" for delta in deltas]
    web.post(ANYWHERE, body="".join(lines) + "data: [DONE]\n\n", content_type="text/event-stream")
    with Client(model="deepseek", api_key="sk-test", retry=policy) as client:
        assert client.ask("Hi").reasoning == "a😀b\ufffd"
        stream = client.stream("Hi")
        assert next(stream) == "fine"
        assert stream.reasoning == "a😀b\ufffd"


def test_a_prompt_with_half_a_character_goes_out_repaired(client, answers, protocol):
    calls = answers(text_body(protocol, "fine"))
    client.ask([{"role": "user", "content": [{"type": "text", "text": "caf\udce9"}]}], system="\ud83d")
    assert ("\\ud" in sent(calls[0]), sent(calls[0]).count("\\ufffd")) == (False, 2)


def test_what_a_tool_is_told_to_be_goes_out_repaired(client, answers, protocol):
    calls = answers(text_body(protocol, "fine"))
    client.ask("Hi", tools=[{"name": "look", "description": "a\ud83d \U0001f600 \\ud83d"}])
    assert "a\\ufffd \\ud83d\\ude00 \\\\ud83d" in sent(calls[0])


@pytest.mark.parametrize("how", ["ask", "chat", "map"])
def test_decimals_of_an_answer_keep_their_digits(client, answers, protocol, how):
    answers(text_body(protocol, r"{\"value\": [98765432109876543.210]}"))
    options = {"schema": list[Decimal]}
    if how == "map":
        (row,) = client.map(["Hi"], progress=False, **options)
        data = row.data
    else:
        data = (client.chat() if how == "chat" else client).ask("Hi", **options).data
    assert str(data[0]) == "98765432109876543.210"


@pytest.mark.parametrize("number", ["NaN", "1e999"])
def test_an_answer_that_is_no_json_is_asked_for_again(client, answers, protocol, number):
    answers(text_body(protocol, f'{{\\"value\\": {number}}}'), text_body(protocol, r"{\"value\": 2}"))
    assert client.ask("Hi", schema=float).data == 2.0


class Odd:
    """A class that says no in its own way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @property
    def schema(self) -> Any:
        error = self.error

        def refuse(self: Any) -> None:
            if self.n < 0:
                raise error

        return make_dataclass("Row", [("n", int)], namespace={"__post_init__": refuse})


class OddError(Exception):
    """An error that nobody else knows."""


def test_any_error_of_a_class_counts_as_an_answer_that_does_not_fit(client, answers, protocol):
    answers(text_body(protocol, r"{\"n\": -1}"), text_body(protocol, r"{\"n\": 1}"))
    assert client.ask("Hi", schema=Odd(OddError("no")).schema).data.n == 1


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (Odd(RuntimeError("too small")).schema, r"{\"n\": -1}"),
        (list, "[" * 900 + "]" * 900),
        (list, "[" * 5000 + "]" * 5000),
    ],
)
def test_a_failure_that_the_next_answer_would_share_is_an_error_of_its_row(
    client, answers, protocol, schema, text, tmp_path
):
    answers(text_body(protocol, text))
    for resume in (None, tmp_path / "a.sqlite", tmp_path / "a.sqlite"):
        for result in client.map(["a", "b"], schema=schema, progress=False, resume=resume):
            assert type(result.error) is SchemaError
    with pytest.raises(SchemaError, match="does not fit"):
        client.ask("Hi", schema=schema)
    with pytest.raises(SchemaError, match="does not fit"):
        "".join(client.stream("Hi", schema=schema))


# Ids


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("openai", r".{1,40}"),
        ("azure", r".{1,40}"),
        ("groq", r".{1,40}"),
        ("openai-responses", r".{1,40}"),
        ("anthropic", r"[a-zA-Z0-9_-]+"),
        ("mistral", r"[a-zA-Z0-9]{9}"),
    ],
)
@pytest.mark.parametrize("given", ["functions.look:0", "toolu_" + "x" * 60, "call_1", "call00100", "", "ünïcode"])
def test_ids_fit_the_service_and_are_the_same_in_call_and_result(name, form, given):
    function = {"name": "look", "arguments": {"x": 1}}
    prompt = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": given, "function": function}]},
        {"role": "tool", "tool_call_id": given, "content": {"n": 1}},
    ]
    built = body(name, parse_messages(prompt))
    ids = [value for key, value in walk(built) if key in ("id", "tool_call_id", "tool_use_id", "call_id")]
    assert (len(ids), len(set(ids))) == (2, 1)
    assert re.fullmatch(form, ids[0])
    assert ids[0] == given or not re.fullmatch(form, given)


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of an object and of all within."""
    if isinstance(value, dict):
        yield from value.items()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


def test_different_ids_stay_apart():
    ids = {call_id(ToolCall(f"functions.look:{i}", "look"), "[a-zA-Z0-9]{9}") for i in range(1000)}
    assert len(ids) == 1000


def test_a_record_that_is_nested_too_deeply_is_told_as_any_other():
    event = Event('{"args": {"x": ' + "[" * 100_000 + "]" * 100_000 + "}}")
    failures = []
    for read in (event.json, lambda: exact_record(event)):
        with pytest.raises(Exception, match=r".") as caught:
            read()
        failures.append(type(caught.value))
    assert failures[0] is failures[1]
