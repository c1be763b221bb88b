"""Types -> JSON schemas, validation of values, and their conversion to types."""

from __future__ import annotations

import enum
import typing
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NewType, Optional, TypedDict, Union
from uuid import UUID

import pytest
from structured_types import Address, Colour, Invoice, Item, Node, Point

from aichatkit import ConfigurationError, _json
from aichatkit.structured.convert import convert
from aichatkit.structured.schemas import object_schema, schema_of
from aichatkit.structured.validation import find_errors

Size = enum.IntEnum("Size", {"SMALL": 1, "LARGE": 2})
Odd = enum.Enum("Odd", {"ONE": (1, 2), "TWO": object()})
UserId = NewType("UserId", int)


class Loose(TypedDict, total=False):
    a: int


class Unresolved:
    pass


Broken = dataclass(type("Broken", (), {"__annotations__": {"x": "Nowhere"}, "__module__": __name__}))
Strange = dataclass(type("Strange", (), {"__annotations__": {"x": Unresolved}, "__module__": __name__}))
Twin = dataclass(type("Node", (), {"__annotations__": {"next": "typing.Optional[Twin]"}, "__module__": __name__}))


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (datetime, {"type": "string", "format": "date-time"}),
        (Decimal, {"type": "number"}),
        (UserId, {"type": "integer"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (typing.List, {"type": "array"}),  # noqa: UP006 - the bare alias is a form of its own
        (list, {"type": "array"}),
        (frozenset, {"type": "array"}),
        (typing.Dict, {"type": "object"}),  # noqa: UP006
        (dict, {"type": "object"}),
        (OrderedDict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (
            tuple[int, str],
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        ),
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal[1, 2], {"type": "integer", "enum": [1, 2]}),
        (Literal[True], {"type": "boolean", "enum": [True]}),
        (Literal[1, True, "x"], {"enum": [1, True, "x"]}),
        (Literal[Colour.RED], {"type": "string", "enum": ["red"]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (Size, {"type": "integer", "enum": [1, 2]}),
        (Odd, {"type": "string", "enum": ["ONE", "TWO"]}),
        (Annotated[int, 7, "How many."], {"type": "integer", "description": "How many."}),
        (Annotated[int, 7], {"type": "integer"}),
    ],
)
def test_a_type_has_its_schema(hint, schema):
    assert schema_of(hint) == schema


def test_a_dataclass_is_an_object_whose_defaults_are_optional():
    schema = schema_of(Invoice)
    assert schema["required"] == ["number", "items"]
    assert list(schema["properties"]) == ["number", "items", "note", "tags", "due"]
    assert schema["properties"]["items"]["items"]["description"] == "A line of an invoice."
    assert schema["properties"]["due"] == {"type": "string", "format": "date", "description": "When to pay."}
    assert schema["additionalProperties"] is False
    assert "description" not in schema


def test_a_field_may_bring_its_description_with_it():
    @dataclass
    class Described:
        n: int = field(metadata={"description": "A number."})

    assert schema_of(Described)["properties"]["n"]["description"] == "A number."


def test_a_typed_dict_knows_what_may_be_missing():
    assert schema_of(Address)["required"] == ["street", "since"]
    assert schema_of(Loose)["required"] == []


@pytest.mark.parametrize("total", [True, False])
def test_markers_of_a_typed_dict_count_also_where_annotations_are_text(total):
    extensions = pytest.importorskip("typing_extensions")
    fields = {"a": extensions.NotRequired[int], "b": extensions.Required[int], "c": int}
    hint = extensions.TypedDict("Marked", fields, total=total)
    assert schema_of(hint)["required"] == (["b", "c"] if total else ["b"])
    assert schema_of(hint)["properties"]["a"] == {"type": "integer"}


def test_a_named_tuple_is_an_object():
    assert schema_of(Point)["required"] == ["x"]
    assert convert({"x": 1}, Point) == Point(1)


def test_a_type_that_holds_itself_is_named():
    schema = schema_of(Node)
    assert schema["$ref"] == "#/$defs/Node"
    assert schema["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    value = {"value": 1, "children": [{"value": 2, "children": []}]}
    assert find_errors(value, schema) == []
    assert convert(value, Node) == Node(1, [Node(2)])
    assert find_errors({"value": 1, "children": [{"value": "x"}]}, schema) == [
        "children.0.value: must be integer, not a string"
    ]


def test_two_recursive_types_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="two different types are named Node"):
        schema_of(tuple[Node, Twin])


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (Unresolved, "Unresolved"),
        (5, "5"),
        (typing.TypeVar("T"), "T"),
        (typing.Callable[[int], int], "Callable"),
        (type[int], "Type"),
        (ClassVar[int], "ClassVar"),
        (bytes, "bytes"),
        (complex, "complex"),
        (Broken, "Broken: the annotation of 'x'"),
        (Strange, "Strange.x: schema: Unresolved"),
        (list["Invoice"], "Invoice"),
        (set[Item], "cannot be a set, as its items are not hashable; use a list"),
        (list[frozenset[list[int]]], "frozenset[list[int]] cannot be a set"),
        (set[Address], "not hashable"),
    ],
)
def test_what_has_no_schema_is_named(hint, message):
    with pytest.raises(ConfigurationError) as caught:
        schema_of(hint)
    assert message in str(caught.value)


def test_an_annotation_of_a_base_class_is_named_as_well():
    child = dataclass(type("Child", (Broken,), {"__annotations__": {"y": int}, "__module__": __name__}))
    with pytest.raises(ConfigurationError, match="'x'"):
        schema_of(child)


def test_type_aliases_are_followed():
    alias = type("TypeAliasType", (), {"__value__": list[int]})()
    assert schema_of(alias) == {"type": "array", "items": {"type": "integer"}}
    assert convert([1], alias) == [1]


@pytest.mark.parametrize(
    ("value", "schema", "errors"),
    [
        (1, {"type": "integer"}, []),
        (3.0, {"type": "integer"}, []),
        (3.5, {"type": "integer"}, ["the answer: must be integer, not a number"]),
        (True, {"type": "integer"}, ["the answer: must be integer, not a boolean"]),
        (None, {"type": ["integer", "null"]}, []),
        ("x", {"type": ["integer", "null"]}, ["the answer: must be integer or null, not a string"]),
        (None, {"type": "integer", "nullable": True}, []),
        (object(), {"type": "integer"}, ["the answer: must be integer, not an object"]),
        ({}, {"type": "invented"}, []),
        (1, {"enum": [True]}, ["the answer: must be one of [True]"]),
        (1, {"const": 2}, ["the answer: must be 2"]),
        (2, {"const": 2}, []),
        ("abc", {"minLength": 4}, ["the answer: has 3 characters; at least 4 are needed"]),
        ("abc", {"maxLength": 2}, ["the answer: has 3 characters; at most 2 are allowed"]),
        ("abc", {"pattern": "^b"}, ["the answer: does not match '^b'"]),
        ("abc", {"pattern": "^a"}, []),
        ("abc", {"pattern": "(?<name>x)"}, []),
        (5, {"minimum": 6}, ["the answer: must be at least 6, not 5"]),
        (5, {"maximum": 4}, ["the answer: must be at most 4, not 5"]),
        (5, {"exclusiveMinimum": 5}, ["the answer: must be more than 5, not 5"]),
        (5, {"exclusiveMaximum": 5}, ["the answer: must be less than 5, not 5"]),
        (1, {"minimum": 0, "exclusiveMinimum": True}, []),
        ([1], {"minItems": 2}, ["the answer: has 1 items; at least 2 are needed"]),
        ([1, "x"], {"items": {"type": "integer"}}, ["1: must be integer, not a string"]),
        ([1, "x"], {"prefixItems": [{"type": "integer"}]}, []),
        ([1, "x"], {"prefixItems": [{}], "items": False}, ["1: is not allowed"]),
        ([1, "x"], {"items": [{}], "additionalItems": False}, ["1: is not allowed"]),
        ({}, {"required": ["a"]}, ["a: is missing"]),
        ({"b": 1}, {"additionalProperties": False}, ["b: is not a field"]),
        ({"b": 1}, {"additionalProperties": {"type": "string"}}, ["b: must be string, not an integer"]),
        ({"b": 1}, {"properties": {"b": True}}, []),
        ({"b1": 1}, {"patternProperties": {"^b": {"type": "integer"}}, "additionalProperties": False}, []),
        ({"b1": 1}, {"patternProperties": {"^b": {"type": "null"}}}, ["b1: must be null, not an integer"]),
        (1, {"allOf": [{"type": "integer"}, {"minimum": 2}]}, ["the answer: must be at least 2, not 1"]),
        (1, {"oneOf": [{"type": "integer"}, {"type": "string"}]}, []),
        (
            1,
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            ["the answer: fits none of the forms that are allowed (it: must be string, not an integer)"],
        ),
        (1, {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": {"$ref": "#/$defs/d"}, "d": {"type": "null"}}},
         ["the answer: must be null, not an integer"]),
        (1, {"$ref": "#/$defs/none/deeper"}, []),
        (1, {"$ref": "#/type/deeper", "type": "integer"}, []),
        (1, {"$ref": "#/$defs/no", "$defs": {"no": False}}, ["the answer: is not allowed"]),
        (1, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, []),
        (1, {"$ref": "https://example.com/schema"}, []),
        ({"next": {"next": 1}}, {"properties": {"next": {"$ref": "#"}}, "type": "object"},
         ["next.next: must be object, not an integer"]),
    ],
)  # fmt: skip
def test_a_value_is_checked(value, schema, errors):
    assert find_errors(value, schema) == errors


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, float, 1.0),
        (1.0, int, 1),
        (True, Any, True),
        (None, Optional[int], None),
        ("2026-11-21", date, date(2026, 11, 21)),
        ("2026-11-21T10:00:00Z", datetime, datetime(2026, 11, 21, 10, tzinfo=timezone.utc)),
        ("10:30:00", time, time(10, 30)),
        (1.1, Decimal, Decimal("1.1")),
        ("00000000-0000-4000-8000-000000000000", UUID, UUID("00000000-0000-4000-8000-000000000000")),
        ("a/b", Path, Path("a/b")),
        ("red", Colour, Colour.RED),
        ("ONE", Odd, Odd.ONE),
        ("red", Literal[Colour.RED], Colour.RED),
        ("x", Literal["x"], "x"),
        ([1, 1], set[int], {1}),
        ([1, 1], frozenset[int], frozenset({1})),
        ([[1, 2], [1, 2]], set[tuple[int, int]], {(1, 2)}),
        ([1, 2], set, {1, 2}),
        ([1, 2.5], tuple[float, ...], (1.0, 2.5)),
        ([1, "x"], tuple[int, str], (1, "x")),
        ([1], tuple, (1,)),
        ([1], list, [1]),
        ({"3": "2026-11-21"}, dict[int, date], {3: date(2026, 11, 21)}),
        ({"a": 1}, dict, {"a": 1}),
        ({"street": "Main", "since": "2026-11-21"}, Address, {"street": "Main", "since": date(2026, 11, 21)}),
        ({"name": "pen"}, Union[int, Item], Item("pen")),
        ([{"name": "pen", "price": 2}], list[Item], [Item("pen", 2.0)]),
        ("neither", Union[int, Item], "neither"),
    ],
)
def test_a_value_becomes_its_type(value, hint, expected):
    result = convert(value, hint)
    assert result == expected
    assert type(result) is type(expected)


def test_an_object_of_no_fields_is_empty():
    assert object_schema([], owner="f")["properties"] == {}


def test_a_pydantic_field_s_description_is_taken():
    pydantic = pytest.importorskip("pydantic")
    assert schema_of(Annotated[int, pydantic.Field(description="How many.")])["description"] == "How many."


def test_a_pydantic_model_without_schema_is_named():
    pydantic = pytest.importorskip("pydantic")

    class Odd(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        x: Unresolved

    with pytest.raises(ConfigurationError, match="Odd has no JSON schema"):
        schema_of(Odd)


class CountedObject(dict):
    """An object that counts how often it is validated."""

    visits = 0

    def __len__(self):
        CountedObject.visits += 1
        return super().__len__()


def test_each_part_of_an_answer_is_validated_once_for_each_form(monkeypatch):
    monkeypatch.setattr(CountedObject, "visits", 0)
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/other"}]}}}
    schema = {**node, "$defs": {"other": {**node, "description": "the same"}}}
    value = CountedObject(next=1)
    for _ in range(11):
        value = CountedObject(next=value)
    (error,) = find_errors(value, schema)
    assert error.startswith("next: fits none of the forms that are allowed")
    assert error.count("must be object, not an integer") == 1
    assert CountedObject.visits <= 4 * 12


@pytest.mark.parametrize("schema", [{"enum": [9007199254740992, 1]}, {"const": 9007199254740992}])
def test_a_number_is_compared_with_all_its_digits(schema):
    longer = _json.loads('["9007199254740993", 9007199254740993.0, 9007199254740992.0]')
    assert find_errors(int(longer[0]), schema)
    assert find_errors(longer[1], schema)
    assert find_errors(longer[2], schema) == []
