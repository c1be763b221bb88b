"""Structured output: what is sent for `schema=`, and the data of a reply."""

from __future__ import annotations

import json
from dataclasses import make_dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any, Literal, Optional, Union

import pytest
from structured_types import Address, Colour, Invoice, Item, Node, Point

from aichatkit import Client, SchemaError
from aichatkit._json import Digits
from aichatkit.reply import Reply
from aichatkit.structured.forms import Form
from aichatkit.structured.validation import find_errors


def reply(text, **fields):
    return Reply(text, "openai", "gpt-6-sol", **fields)


@pytest.mark.parametrize(
    ("target_type", "text", "data"),
    [
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (Literal["yes", "no"], '{"value": "yes"}', "yes"),
        (Node, '{"value": {"value": 1}}', Node(1)),
        ({"type": "object", "properties": {"value": {}}}, '{"value": 1}', {"value": 1}),
        ({"properties": {"n": {"type": "integer"}}}, '{"n": 1}', {"n": 1}),
        ({"items": {"$ref": "#/definitions/n"}, "definitions": {"n": {"type": "integer"}}}, "[1]", [1]),
        (dict[str, int], '{"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
def test_a_form_parses_its_data(target_type, text, data):
    assert Form.of(target_type).parse(reply(text)) == data


NESTED = {"type": "array", "items": {"$ref": "#"}}
CHAIN = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/items"}, {"type": "null"}]}, "default": {"$ref": "#"}},
        "required": ["next"],
    },
}
LIST_OF_ANSWERS = {"type": "array", "items": {"$ref": "#/$defs/answer"}, "prefixItems": [{"$ref": "#"}]}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        (NESTED, [[], [[]]], [[], [1]]),
        (CHAIN, [{"next": {"next": None}, "default": []}], [{"next": {"next": 1}}]),
        (CHAIN, [], [{"next": None, "default": 1}]),
        ({**LIST_OF_ANSWERS, "$defs": {"answer": {"type": "integer"}}}, [[[]], 1], [1]),
    ],
)
def test_a_schema_that_refers_to_itself_still_does_when_it_is_wrapped(schema, right, wrong):
    form = Form.of(schema)
    for text in (json.dumps(right), json.dumps({"value": right})):
        assert form.parse(reply(text)) == right
    with pytest.raises(SchemaError, match="does not fit the schema: value"):
        form.parse(reply(json.dumps(wrong)))
    partial = form.partial_data()
    partial.add(json.dumps(right))
    assert partial.value == right


def test_a_schema_without_such_references_is_wrapped_as_it_is():
    schema = {"type": "array", "items": {"enum": [{"$ref": "#"}]}, "prefixItems": ({"type": "integer"},)}
    assert Form.of(schema).schema["properties"] == {"value": schema}


@pytest.mark.parametrize("place", ["#/properties/a/anyOf/1", "#/properties/a/prefixItems/1"])
def test_a_reference_may_count_the_items_of_a_list(place):
    forms = [{"type": "string"}, {"type": "integer"}]
    schema = {"type": "object", "properties": {"a": {"anyOf": forms, "prefixItems": forms}, "b": {"$ref": place}}}
    assert Form.of(schema).parse(reply('{"b": 1}')) == {"b": 1}
    with pytest.raises(SchemaError, match="b: must be integer, not a string"):
        Form.of(schema).parse(reply('{"b": "1"}'))
    assert find_errors("1", {"$ref": "#/anyOf/7"}, {"anyOf": forms}) == []


@pytest.mark.parametrize(
    ("option", "value"), [([1], [True]), ({"a": [0]}, {"a": [False]}), ([1], [1, 2]), ({"a": 1}, {"b": 1})]
)
def test_truth_values_in_lists_and_objects_are_not_numbers(option, value):
    for schema in ({"enum": [option]}, {"const": option}):
        assert find_errors(value, schema) != []
        assert find_errors(json.loads(json.dumps(option).replace("1", "1.0")), schema) == []


@pytest.mark.parametrize(
    ("target_type", "text", "reason"),
    [
        (Item, "No.", "it is not JSON"),
        (Item, '{"price": 1}', "name: is missing"),
        (list[int], '{"value": ["x"]}', "value.0: must be integer"),
        (date, '{"value": "soon"}', "ValueError"),
    ],
)
def test_what_does_not_fit_says_why_and_keeps_the_text(target_type, text, reason):
    with pytest.raises(SchemaError, match=reason) as caught:
        Form.of(target_type).parse(reply(text))
    assert (caught.value.partial, caught.value.provider, caught.value.model) == (text, "openai", "gpt-6-sol")


def test_an_answer_cut_at_its_length_says_so():
    with pytest.raises(SchemaError, match="raise max_tokens"):
        Form.of(Item).parse(reply('{"na', finish_reason="length"))


def test_a_root_that_is_no_object_travels_in_one_and_keeps_its_definitions():
    form = Form.of({"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}})
    assert form.schema["properties"]["value"] == {"type": "array", "items": {"$ref": "#/$defs/n"}}
    assert form.schema["$defs"] == {"n": {"type": "integer"}}
    assert form.schema["required"] == ["value"]


def test_no_schema_is_no_form():
    assert Form.of(None) is None


def test_pydantic_models_describe_and_build_themselves():
    pydantic = pytest.importorskip("pydantic")

    class Part(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        made: date

    class Order(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        part: Part
        count: int = pydantic.Field(default=1, ge=1)

    form = Form.of(Order)
    assert form.schema["$defs"]["Part"]["properties"]["made"]["format"] == "date"
    assert form.parse(reply('{"part": {"made": "2026-11-21"}}')) == Order(part=Part(made=date(2026, 11, 21)))
    with pytest.raises(SchemaError, match="greater than or equal"):
        form.parse(reply('{"part": {"made": "2026-11-21"}, "count": 0}'))


def test_pydantic_models_inside_other_types_keep_their_definitions_apart():
    pydantic = pytest.importorskip("pydantic")

    def order_of(size_type):
        part = pydantic.create_model("Part", size=(size_type, ...))
        return pydantic.create_model("Order", part=(part, ...))

    first, second = order_of(int), pydantic.create_model("Other", part=(order_of(str).__annotations__["part"], ...))
    form = Form.of(tuple[first, first, second])
    assert set(form.schema["$defs"]) == {"Part", "Other_Part"}
    orders = form.parse(reply('[{"part": {"size": 1}}, {"part": {"size": 2}}, {"part": {"size": "3"}}]'))
    assert [order.part.size for order in orders] == [1, 2, "3"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here you are:\n```json\n{"a": 1}\n```\nAnything else?', {"a": 1}),
        ('```python\nprint({})\n```\n```json\r\n{"a": 1}\r\n```', {"a": 1}),
        ('The answer [1] is {"a": [2]}, as asked.', {"a": [2]}),
        ("The numbers are [1, 2].", [1, 2]),
        ('{ no } but {"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}', {"a": 1}),
    ],
)
def test_json_is_found_in_an_answer(text, value):
    assert reply(text).json() == value


@pytest.mark.parametrize(
    "text",
    ["No.", '{"a": 1} or {"a": 2}', '```\n{"a": 1}\n```\n```\n{"a": 2}\n```', "[" * 100_000, "[1] and [2]"],
)
def test_json_that_is_not_there_or_not_clear_is_an_error(text):
    with pytest.raises(SchemaError) as caught:
        reply(text).json()
    assert caught.value.partial == text


NATIVE = ["openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere", "groq"]
IN_WORDS = ["aichats", "aichatfree", "deepseek"]


@pytest.fixture
def any_client(sandbox, policy):
    """A client that finds every provider in the sandbox."""

    def make(provider):
        base = sandbox.url if provider in ("anthropic", "gemini", "ollama", "aichats", "aichatfree") else None
        base = base or f"{sandbox.url}/{'v2' if provider == 'cohere' else 'v1'}"
        return Client(model=provider, api_key={provider: "sk-test"}, base_url={provider: base}, retry=policy)

    return make


def skip_where_missing(provider):
    if provider not in Client().providers:
        pytest.skip(f"there is no provider {provider}")


@pytest.mark.parametrize("provider", NATIVE)
@pytest.mark.parametrize("target_type", [Invoice, list[int], Colour, Item, Address])
def test_every_service_that_takes_a_schema_answers_to_it(any_client, provider, target_type):
    skip_where_missing(provider)
    with any_client(provider) as client:
        answer = client.ask("Read it.", schema=target_type)
    assert find_errors(json.loads(answer.text), Form.of(target_type).schema) == []
    assert answer.data is not None


@pytest.mark.parametrize("provider", IN_WORDS)
def test_other_services_are_asked_in_words(any_client, sandbox, provider):
    skip_where_missing(provider)
    sandbox.says('```json\n{"name": "pen", "price": 2}\n```')
    with any_client(provider) as client:
        assert client.ask("Read it.", schema=Item, system="Be brief.").data == Item("pen", 2.0)
    body = sandbox.requests[-1].body.decode()
    assert "fits this JSON schema" in body
    assert "response_format" not in body


def test_words_for_a_prompt_of_parts_go_into_a_part_of_their_own(any_client, sandbox):
    skip_where_missing("deepseek")
    sandbox.says('{"name": "pen"}')
    with any_client("deepseek") as client:
        parts = [{"type": "text", "text": "Read it."}]
        assert client.ask([{"role": "user", "content": parts}], schema=Item).data == Item("pen")
    content = json.loads(sandbox.requests[-1].body)["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "text"]


def test_words_need_no_prompt_of_the_user(any_client, sandbox):
    skip_where_missing("deepseek")
    sandbox.says('{"name": "pen"}')
    with any_client("deepseek") as client:
        client.ask([{"role": "system", "content": "Name a thing."}], schema=Item)
    assert json.loads(sandbox.requests[-1].body)["messages"][1]["role"] == "user"


def test_a_miss_is_told_to_the_model_once(client, sandbox):
    sandbox.says(["A pen.", '{"name": "pen"}'])
    answer = client.ask("Read it.", schema=Item)
    assert (answer.data, answer.text, len(answer.attempts)) == (Item("pen"), '{"name": "pen"}', 2)
    messages = json.loads(sandbox.requests[-1].body)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "it is not JSON" in messages[2]["content"]
    assert answer.usage.total_tokens > 0


def test_a_second_miss_is_an_error_with_all_attempts(client, sandbox):
    sandbox.says(["A pen.", "A pen!", '{"name": "pen"}'])
    with pytest.raises(SchemaError) as caught:
        client.ask("Read it.", schema=Item)
    assert (caught.value.partial, len(caught.value.attempts), len(sandbox.requests)) == ("A pen!", 2, 2)


def test_an_answer_cut_at_its_length_is_not_asked_for_again(client, sandbox):
    with pytest.raises(SchemaError, match="max_tokens"):
        client.ask("Read it.", schema=Invoice, max_tokens=2)
    assert len(sandbox.requests) == 1


def test_a_stream_raises_at_its_end(client, sandbox):
    sandbox.says("A pen.")
    stream = client.stream("Read it.", schema=Item)
    with pytest.raises(SchemaError):
        list(stream)
    assert (stream.text, stream.reply, len(sandbox.requests)) == ("A pen.", None, 1)


def test_a_stream_has_its_data_at_the_end(client):
    with client.stream("Read it.", schema=Item) as stream:
        text = "".join(stream)
    assert stream.reply.data == Item(**json.loads(text))


@pytest.mark.parametrize(("target_type", "strict"), [
    (Item, False),
    (Point, False),
    (Address, True),
    (list[int], True),
    (Union[int, str], True),
    (Any, False),
    (list[Any], False),
    (tuple[int, str], False),
    (dict[str, int], False),
])  # fmt: skip
def test_openai_is_asked_to_be_strict_only_where_every_field_is_needed(client, sandbox, target_type, strict):
    client.stream("Read it.", schema=target_type).close()
    json_schema = json.loads(sandbox.requests[-1].body)["response_format"]["json_schema"]
    assert json_schema["strict"] is strict


def test_a_chat_remembers_the_text_of_a_structured_answer(client):
    chat = client.chat()
    answer = chat.ask("Read it.", schema=Item)
    assert [message.text for message in chat.history] == ["Read it.", answer.text]


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@pytest.mark.parametrize(
    ("target_type", "text", "data"),
    [
        (dict[Level, int], '{"1": 5}', {Level.LOW: 5}),
        (dict[Colour, int], '{"red": 1}', {Colour.RED: 1}),
        (dict[bool, int], '{"true": 1, "false": 2}', {True: 1, False: 2}),
        (dict[int, str], '{"1": "a"}', {1: "a"}),
        (dict[float, str], '{"1.5": "a"}', {1.5: "a"}),
        (dict[Decimal, str], '{"1.10": "a"}', {Decimal("1.10"): "a"}),
        (dict[date, str], '{"2026-11-21": "a"}', {date(2026, 11, 21): "a"}),
        (dict[Literal[1, "b"], str], '{"1": "a", "b": "c"}', {1: "a", "b": "c"}),
        (dict[Literal[Level.LOW], str], '{"1": "a"}', {Level.LOW: "a"}),
        (dict[Union[str, int], str], '{"1": "a", "b": "c"}', {1: "a", "b": "c"}),
        (dict[Union[int, Level], str], '{"x": "a"}', {"x": "a"}),
        (dict[Optional[str], str], '{"null": "a", "b": "c"}', {None: "a", "b": "c"}),
        (dict[Any, Any], '{"1": 1.10}', {"1": 1.1}),
        (list[dict[Level, list[bool]]], '[{"2": [true]}]', [{Level.HIGH: [True]}]),
    ],
)
def test_keys_become_their_type(target_type, text, data):
    got = Form.of(target_type).parse(reply(text))
    assert got == data
    assert repr(got) == repr(data)


@pytest.mark.parametrize(
    ("target_type", "text"),
    [
        (dict[Level, int], '{"3": 5}'),
        (dict[bool, int], '{"yes": 1}'),
        (dict[int, int], '{"one": 1}'),
        (dict[date, int], '{"soon": 1}'),
        (dict[Decimal, int], '{"soon": 1}'),
    ],
)
def test_keys_that_do_not_fit_their_type_are_an_error(target_type, text):
    with pytest.raises(SchemaError, match="does not fit"):
        Form.of(target_type).parse(reply(text))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('<think>Maybe {"value": 2}?</think>\n{"value": 1}', 1),
        ('\n<thinking>[1]\n[2]</thinking> 1', 1),
        ('{"value": "<think>x</think>"}', "<think>x</think>"),
    ],
)  # fmt: skip
def test_reasoning_before_the_data_is_skipped(text, data):
    assert Form.of(Union[int, str]).parse(reply(text)) == data


@pytest.mark.parametrize("text", ['{"value": 1} <think>{"value": 2}</think>', '<think>{"value": 1} {"value": 2}'])
def test_reasoning_elsewhere_is_ambiguous(text):
    with pytest.raises(SchemaError, match="not JSON"):
        Form.of(int).parse(reply(text))


NUMBER = "98765432109876543.210"


@pytest.mark.parametrize(
    ("target_type", "text", "get"),
    [
        (Decimal, NUMBER, lambda data: data),
        (list[Decimal], f"[{NUMBER}]", lambda data: data[0]),
        (dict[str, Decimal], f'{{"a": {NUMBER}}}', lambda data: data["a"]),
        (Union[Decimal, str], f'{{"value": {NUMBER}}}', lambda data: data),
    ],
)
def test_decimals_keep_their_digits(target_type, text, get):
    assert str(get(Form.of(target_type).parse(reply(text)))) == NUMBER


@pytest.mark.parametrize(
    ("target_type", "text"),
    [
        (float, "1.10"),
        (Any, '{"value": 1.10}'),
        (Union[str, float], '{"value": 1.10}'),
        ({"type": "number"}, '{"value": 1.10}'),
        (Literal[1], '{"value": 1.00}'),
    ],
)
def test_other_numbers_are_ordinary_floats(target_type, text):
    data = Form.of(target_type).parse(reply(text))
    assert type(data) is float


def test_whole_numbers_are_whole_by_their_digits():
    assert Form.of(int).parse(reply("9007199254740993.0")) == 9007199254740993
    with pytest.raises(SchemaError, match="must be integer"):
        Form.of(int).parse(reply("9007199254740993.5"))


def test_decimals_of_pydantic_keep_their_digits():
    pydantic = pytest.importorskip("pydantic", minversion="2")

    class Line(pydantic.BaseModel):
        price: Decimal
        rates: list[Decimal]
        pair: tuple[Decimal, float]
        by_name: dict[str, Decimal]
        maybe: Optional[Decimal]  # noqa: UP045 - read at run time
        other: Union[str, float]  # noqa: UP007
        rest: Any
        bag: dict
        several: Optional[list[Decimal]]  # noqa: UP045
        name: str

    class Bill(pydantic.RootModel[list[Line]]):
        pass

    line = {"price": 0, "rates": [0], "pair": [0, 0], "by_name": {"a": 0}, "maybe": 0, "other": 0, "rest": 0}
    line.update(bag={"a": 0}, several=[0], name="x")
    text = json.dumps([line]).replace("0", NUMBER)
    (made,) = Form.of(Bill).parse(reply(text)).root
    decimals = [made.price, made.rates[0], made.pair[0], made.by_name["a"], made.maybe, made.several[0]]
    assert [str(number) for number in decimals] == [NUMBER] * 6
    assert [made.pair[1], made.other] == [float(NUMBER)] * 2


def test_a_model_without_a_serialization_schema_is_still_validated():
    pydantic = pytest.importorskip("pydantic", minversion="2")

    class Made(pydantic.BaseModel):
        price: Decimal

        @classmethod
        def model_json_schema(cls, **options: Any) -> Any:
            if options.get("mode") == "serialization":
                raise ValueError("no")
            return super().model_json_schema(**options)

    assert Form.of(Made).parse(reply('{"price": 1.10}')).price == Decimal("1.1")


class OddError(Exception):
    """An error that only the user's code knows."""


@pytest.mark.parametrize(
    ("error", "repairable"), [(OddError("no"), True), (ValueError("no"), True), (RuntimeError("no"), False)]
)
def test_whatever_a_class_raises_is_an_answer_that_does_not_fit(error, repairable):
    def refuse(self: Any) -> None:
        raise error

    form = Form.of(make_dataclass("Row", [("n", int)], namespace={"__post_init__": refuse}))
    with pytest.raises(SchemaError, match=f"{type(error).__name__}: no") as caught:
        form.parse(reply('{"n": 1}'))
    assert caught.value.repairable is repairable
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("schema", "value", "error"),
    [
        ({"uniqueItems": True}, [1, 2, 1], "has an item twice"),
        ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], "has an item twice"),
        ({"uniqueItems": True}, [1, "1", True], ""),
        ({"uniqueItems": True}, [[1], [True], {"a": 1}, {"a": None}, None], ""),
        ({"uniqueItems": True}, [1, 1.0], "has an item twice"),
        ({"uniqueItems": True}, [Digits("98765432109876543.210"), Digits("98765432109876543.211")], ""),
        ({"uniqueItems": True}, [Digits("1.10"), 1.1], "has an item twice"),
        ({"multipleOf": 0.1}, 0.3, ""),
        ({"multipleOf": 0.1}, 0.35, "must be a multiple of 0.1, not 0.35"),
        ({"multipleOf": 5}, 12, "must be a multiple of 5, not 12"),
        ({"multipleOf": 1e-300}, 1e300, ""),
        ({"minProperties": 2}, {"a": 1}, "has 1 fields; at least 2 are needed"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "has 2 fields; at most 1 are allowed"),
    ],
)
def test_bounds_are_checked_here(schema, value, error):
    assert "; ".join(find_errors(value, schema)).partition(": ")[2] == error
