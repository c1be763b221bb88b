"""The finished answer and the story of its tries."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path

import pytest

from aichatkit import Attempt, RateLimitError, Reply, SchemaError, Usage
from aichatkit.chunks import Citation, Search, Source, TokenLogprob, ToolCall
from aichatkit.testing import Failure, Fake, RateLimit, UseTool


@dataclass
class Dog:
    name: str
    age: int


class Color(Enum):
    RED = "red"


class Modelled:
    """As pydantic's models."""

    def model_dump(self, *, mode):
        return {"mode": mode}


def reply(text="Paris.", **fields):
    return Reply(text=text, provider="openai", model="gpt-6-luna", **fields)


def test_the_text_is_what_str_gives():
    assert str(reply("Paris.")) == "Paris."


def test_a_notebook_shows_it_as_markdown():
    assert reply("**Paris**")._repr_markdown_() == "**Paris**"


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Paris"}',
        ' \n{"city": "Paris"}\n',
        '```json\n{"city": "Paris"}\n```',
        '```\n{"city": "Paris"}\n```\n',
        '```json\n{"city": "Paris"}',
        'Here it is:\n\n```json\n{\n  "city": "Paris"\n}\n```\n\nAnything else?',
    ],
)
def test_json_is_read_from_the_text_or_from_a_block_within_it(text):
    assert reply(text).json() == {"city": "Paris"}


def test_json_may_hold_back_ticks():
    assert reply('{"code": "```x```"}').json() == {"code": "```x```"}


@pytest.mark.parametrize("text", ["Paris.", "```json\nParis\n```", "{", '```json\n{"a": 1}\n{"b": 2}\n```'])
def test_a_text_that_is_no_json_is_a_schema_error_that_keeps_it(text):
    with pytest.raises(SchemaError, match="openai: the answer is not JSON") as caught:
        reply(text).json()
    assert (caught.value.partial, caught.value.provider) == (text, "openai")
    assert caught.value.__context__ is None


def test_limits_are_read_from_the_headers():
    headers = {"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "99"}
    told = str(reply(headers=headers).limits)
    assert "100" in told
    assert "99" in told


def test_without_such_headers_there_are_no_limits():
    assert reply().limits == {}


@pytest.mark.parametrize("header", ["x-request-id", "request-id"])
def test_the_service_s_own_id_is_found(header):
    assert reply(headers={header: "req_1"}).request_id == "req_1"


def test_without_an_id_there_is_none():
    assert reply().request_id is None


def test_a_reply_tells_usage_model_end_and_time(client):
    answer = client.ask("Hello")
    assert (answer.provider, answer.model, answer.finish_reason, answer.complete) == (
        "openai",
        "gpt-6-luna",
        "stop",
        True,
    )
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.elapsed > 0
    assert [(attempt.provider, attempt.error) for attempt in answer.attempts] == [("openai", None)]


def test_a_service_without_an_end_marker_cannot_tell_that_it_is_complete(client):
    answer = client.ask("Hello", model="aichatfree")
    assert (answer.complete, answer.usage) == (None, Usage())


def test_attempts_tell_the_whole_story(client, sandbox):
    sandbox.script("rate-limit,retry_after=2")
    first, second = client.ask("Hello").attempts
    assert (first.provider, first.model, type(first.error)) == ("openai", "gpt-6-luna", RateLimitError)
    assert first.wait == pytest.approx(2.2)
    assert (second.error, second.wait) == (None, 0)


def test_a_reply_pickles_with_everything_in_it(client, sandbox):
    sandbox.script("server-error")
    answer = client.ask("Hello")
    again = pickle.loads(pickle.dumps(answer))
    assert (again.text, again.usage, again.headers["content-type"]) == (
        answer.text,
        answer.usage,
        answer.headers["Content-Type"],
    )
    assert [str(attempt.error) for attempt in again.attempts] == [str(attempt.error) for attempt in answer.attempts]
    assert copy.deepcopy(answer).text == answer.text


def test_neither_reply_nor_attempt_can_be_changed():
    with pytest.raises(AttributeError):
        reply().text = "London."
    with pytest.raises(AttributeError):
        Attempt("openai", "gpt-6-sol").wait = 5


def test_headers_and_raw_records_stay_out_of_the_repr():
    shown = repr(reply(headers={"set-cookie": "secret"}, raw=[{"secret": 1}]))
    assert "secret" not in shown


def test_json_is_found_between_words_and_past_what_only_looks_like_it():
    assert reply('Put {x} into the text; the answer is {"city": "Paris"} as you know.').json() == {"city": "Paris"}


def test_looking_for_json_in_a_text_of_brackets_comes_to_an_end():
    with pytest.raises(SchemaError):
        reply("{x " * 5000).json()


def test_what_is_inside_of_json_is_not_found_a_second_time():
    assert reply('It is {"city": {"name": "Paris"}} [1].').json() == {"city": {"name": "Paris"}}


def test_where_several_are_meant_none_is_chosen():
    with pytest.raises(SchemaError, match="there are 2 of them"):
        reply('{"a": 1} or {"a": 2}').json()


@pytest.mark.parametrize(
    "text", ['{"a": 1}{"a": 1}', '{"a": 1}\n{"a": 1}', "```json\n[1]\n```\nOr:\n```json\n[1]\n```"]
)
def test_an_answer_given_twice_is_one_answer(text):
    assert reply(text).json() in ({"a": 1}, [1])


@pytest.mark.parametrize("text", ['{"a": 1}{"a": true}', "[1][1.0]", '{"a": NaN}', "[1e999]"])
def test_answers_that_only_look_the_same_are_none(text):
    with pytest.raises(SchemaError, match="not JSON"):
        reply(text).json()


def test_json_has_ordinary_floats():
    assert type(reply('{"price": 1.10}').json()["price"]) is float


def test_data_nested_too_deeply_is_a_schema_error():
    with pytest.raises(SchemaError, match="nested too deeply") as caught:
        reply("See: " + "[" * 200 + "]" * 200).json()
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_half_a_character_in_json_is_replaced():
    assert reply(r'So: {"a": "\ud83d"}').json() == {"a": "\ufffd"}


# As text and as data.


@pytest.mark.parametrize("spec", ["", ">10", "^9", ".3", "*<8.2s"])
def test_a_reply_is_formatted_as_its_text(spec):
    assert format(reply("Yes."), spec) == format("Yes.", spec)
    with pytest.raises(ValueError, match="format"):
        format(reply("Yes."), "d")


def test_a_reply_is_shown_in_one_short_line():
    assert repr(reply("Yes.")) == "<Reply 'Yes.' from openai/gpt-6-luna>"
    shown = repr(reply("long\n" * 1000, complete=False, headers={"x": "secret"}, reasoning="r" * 1000))
    assert len(shown) < 300
    assert "\n" not in shown
    assert shown.endswith("...' from openai/gpt-6-luna, broken off>")


def test_a_reply_as_a_dict_is_plain_data():
    answered = Fake([Failure(500), '{"name": "Rex", "age": 3}']).client(model="openai").ask("Dog?", schema=Dog)
    record = answered.to_dict()
    assert json.loads(json.dumps(record)) == record
    assert record["data"] == {"name": "Rex", "age": 3}
    assert (record["text"], record["usage"]["input_tokens"]) == (answered.text, answered.usage.input_tokens)
    assert [attempt["error"] is None for attempt in record["attempts"]] == [False, True]
    assert "headers" not in record


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (None, None),
        ([Dog("Rex", 3)], [{"name": "Rex", "age": 3}]),
        (Modelled(), {"mode": "json"}),
        ({"on": date(2026, 1, 2)}, {"on": "2026-01-02"}),
        ({"one"}, ["one"]),
        ({(1, 2): Color.RED, Color.RED: 0.5}, {"[1, 2]": "red", "red": 0.5}),
        (Dog, str(Dog)),
    ],
)
def test_data_of_any_type_is_plain_in_the_dict(data, plain):
    assert reply(data=data).to_dict()["data"] == plain


#: The keys of `to_dict`, which programs rely on.
KEYS = [
    *("text", "data", "provider", "model", "id", "request_id", "finish_reason", "complete", "usage", "cost", "saved"),
    *(
        "cache_miss",
        "elapsed",
        "cached",
        "reasoning",
        "citations",
        "searches",
        "logprobs",
        "tool_calls",
        "images",
        "limits",
        "attempts",
    ),
]


def test_the_keys_of_the_dict_are_documented():
    assert list(reply().to_dict()) == KEYS
    assert sorted(re.search(r"Keys: (.*?)\.", inspect.getdoc(Reply.to_dict), re.DOTALL)[1].split()) == sorted(
        f"{key}," if key != "attempts" else key for key in KEYS
    )
    page = (Path(__file__).parent.parent / "docs" / "conversations.md").read_text(encoding="utf-8")
    assert [key for key in KEYS if f"`{key}`" not in page] == []


def test_replies_of_every_call_become_json():
    definition = {"type": "function", "function": {"name": "stock", "parameters": {"type": "object"}}}
    fake = Fake([RateLimit(), UseTool("stock", article="A-17", count=0.30000000000000004), "two", "three", "four"])
    client = fake.client()
    asked = client.ask("How many?", tools=[definition])
    streamed = client.stream("Hi").read()
    turn = client.chat().ask("Hi")
    row = client.map(["Hi"], progress=False)[0].reply
    for answered in (asked, streamed, turn, row):
        record = answered.to_dict()
        assert json.loads(json.dumps(record, allow_nan=False)) == record
        assert list(record) == KEYS
        assert record["cost"] == answered.cost > 0
    record = asked.to_dict()
    assert record["tool_calls"][0]["name"] == "stock"
    assert record["tool_calls"][0]["arguments"] == {"article": "A-17", "count": 0.30000000000000004}
    assert [attempt["error"] and attempt["error"].partition(":")[0] for attempt in record["attempts"]] == [
        "RateLimitError",
        None,
    ]


def test_citations_and_numbers_of_any_kind_become_json():
    call = ToolCall("1", "pay", {"amount": Decimal("0.10"), "at": [date(2026, 1, 2)]})
    citation, search = Citation("https://example.org", "Example", 0, 5, "Paris", "q"), Search("x", [Source("u", "t")])
    tokens = [TokenLogprob("Paris", -0.5, (("Rome", -1.0),))]
    parts = {"citations": [citation], "searches": [search], "logprobs": tokens}
    record = reply(**parts, tool_calls=[call], id="abc").to_dict()
    top = [{"token": "Rome", "logprob": -1.0}]
    assert record["logprobs"] == [{"token": "Paris", "logprob": -0.5, "top": top}]
    assert json.loads(json.dumps(record)) == record
    place = {"start": 0, "end": 5, "text": "Paris", "quote": "q"}
    assert record["citations"] == [{"url": "https://example.org", "title": "Example", **place}]
    assert record["searches"] == [{"query": "x", "results": [{"url": "u", "title": "t"}], "error": ""}]
    assert record["tool_calls"] == [{"id": "1", "name": "pay", "arguments": {"amount": "0.10", "at": ["2026-01-02"]}}]
    assert record["id"] == "abc"


def test_a_picture_does_not_lengthen_the_repr():
    shown = repr(reply(text="", images=["data:image/png;base64," + "A" * 1_000_000], reasoning="r" * 1_000_000))
    assert len(shown) < 300
