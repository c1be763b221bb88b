"""The parts of a JSON schema that services support: strict modes and Anthropic's structured outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import pytest

from aichatkit.reply import Reply
from aichatkit.structured.dialects import for_anthropic, is_strict, strict
from aichatkit.structured.forms import Form
from aichatkit.structured.schemas import schema_of

TEXT, INTEGER = {"type": "string"}, {"type": "integer"}
LIST, NUMBER = {"type": "array", "items": TEXT}, {"$ref": "#/$defs/n"}
NOT_ANTHROPIC = {
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems"),
    *("uniqueItems", "prefixItems", "oneOf", "allOf", "not", "if", "patternProperties", "$ref", "default", "$defs"),
}


@dataclass
class Branch:
    name: str
    below: Annotated[list[Branch], "What grows out of it."]
    above: Annotated[Optional[Branch], "Where it grows."]  # noqa: UP045 - read at run time


@dataclass
class Cat:
    kind: Literal["cat"]


@dataclass
class Dog:
    kind: Literal["dog"]


def closed(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the schema and all its subschemas."""
    if isinstance(schema, list):
        for item in schema:
            yield from nodes(item)
    elif isinstance(schema, dict):
        yield schema
        for name, value in schema.items():
            if name in ("properties", "$defs"):
                yield from (node for item in value.values() for node in nodes(item))
            elif name not in ("enum", "const", "required"):
                yield from nodes(value)


# Strict modes


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({**TEXT, "minLength": 1, "maxLength": 9}, {**TEXT, "description": "minLength: 1; maxLength: 9"}),
        ({**TEXT, "description": "Its name.", "minLength": 1}, {**TEXT, "description": "Its name.; minLength: 1"}),
        ({**TEXT, "format": "uri"}, {**TEXT, "description": 'format: "uri"'}),
        ({**TEXT, "format": "date"}, {**TEXT, "format": "date"}),
        ({**TEXT, "pattern": "^a+$"}, {**TEXT, "pattern": "^a+$"}),
        ({**TEXT, "pattern": "^(?=a)"}, {**TEXT, "description": 'pattern: "^(?=a)"'}),
        ({**TEXT, "default": "a"}, {**TEXT, "description": 'default: "a"'}),
        ({**TEXT, "nullable": True}, {"type": ["string", "null"]}),
        ({**LIST, "uniqueItems": True}, {**LIST, "description": "uniqueItems: true"}),
        ({**INTEGER, "minimum": 1}, {**INTEGER, "minimum": 1}),
        ({"enum": ["a", 1, None]}, {"enum": ["a", 1, None], "type": ["string", "integer", "null"]}),
        ({"const": "a"}, {"const": "a", "type": "string"}),
        ({"oneOf": [TEXT, INTEGER], "discriminator": {"propertyName": "kind"}}, {"anyOf": [TEXT, INTEGER]}),
        ({"allOf": [{"$ref": "#/$defs/n"}]}, {"$ref": "#/$defs/n"}),
        ({"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}),
        ({"$ref": "#/$defs/n", "description": "A number."}, {**INTEGER, "description": "A number."}),
        ({"allOf": [NUMBER], "description": "A."}, {"anyOf": [NUMBER], "description": "A."}),
    ],
)  # fmt: skip
def test_strict_mode_gets_supported_keywords_and_a_description_of_the_rest(schema, sent):
    converted = strict({**closed(x=schema), "$defs": {"n": INTEGER}, "$schema": "https://json-schema.org"})
    assert converted == {**closed(x=sent), "$defs": {"n": INTEGER}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"x": TEXT}, "required": ["x"]},
        {"type": "object", "properties": {"x": TEXT}, "required": [], "additionalProperties": False},
        {"type": "object", "additionalProperties": TEXT},
        closed(x={}),
        closed(x={"type": "array"}),
        closed(x={"type": "array", "items": {}}),
        closed(x={"allOf": [TEXT, {"minLength": 1}]}),
        closed(x={"not": TEXT}),
        closed(x={"type": "array", "prefixItems": [TEXT], "items": TEXT}),
        closed(x={"type": "object", "patternProperties": {"^a": TEXT}}),
        closed(x=True),
        {**closed(x={"$ref": "#/$defs/n"}), "$defs": {"n": {}}},
        {"$ref": "#/$defs/n", "description": "A number.", "$defs": {"n": closed(x=TEXT)}},
    ],
)
def test_schemas_beyond_strict_mode_are_not_strict(schema):
    assert strict(schema) is None


def test_a_recursive_reference_has_no_other_keywords():
    sent = strict(Form.of(Branch).schema)
    assert is_strict(sent)
    assert all(set(node) == {"$ref"} for node in nodes(sent) if "$ref" in node)
    above = sent["$defs"]["Branch"]["properties"]["above"]
    assert above["description"] == "Where it grows."


def test_a_described_reference_to_itself_keeps_its_description():
    link = {"$ref": "#/$defs/n", "description": "The next."}
    sent = strict({**closed(x={"$ref": "#/$defs/n"}), "$defs": {"n": closed(next=link)}})
    assert is_strict(sent)
    assert sent["$defs"]["n"]["properties"]["next"]["anyOf"] == [{"$ref": "#/$defs/n"}]


def test_a_reference_next_to_other_keywords_is_not_strict():
    assert not is_strict(closed(x={"$ref": "#/$defs/n", "description": "A number."}))
    assert not is_strict(closed(x={**TEXT, "format": "uri"}))


# Anthropic


@pytest.mark.parametrize(
    "schema",
    [
        closed(x={**INTEGER, "minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2}),
        closed(x={**TEXT, "minLength": 1, "maxLength": 2, "default": "a"}),
        closed(x={"type": "array", "items": TEXT, "minItems": 2, "maxItems": 3, "uniqueItems": True}),
        closed(x={"type": "array", "items": [TEXT, INTEGER]}),
        closed(x={"type": "array", "prefixItems": [TEXT, INTEGER], "items": False}),
        closed(x={"type": ["string", "null"], "minLength": 1, "enum": ["a", None]}),
        closed(x={"type": ["string", "integer"], "maxLength": 2}),
        closed(x={"oneOf": [TEXT, INTEGER]}),
        closed(x={"allOf": [{"$ref": "#/$defs/p"}, {"properties": {"z": TEXT}, "required": ["z"]}]}),
        closed(x={"type": "object", "patternProperties": {"^a": TEXT}}),
        closed(x={"type": "object", "properties": {"a": TEXT}, "additionalProperties": INTEGER}),
        closed(x={"type": "object"}),
        {"type": "object", "properties": {"x": {"properties": {"y": TEXT}}}},
        schema_of(tuple[int, int]),
        schema_of(dict[str, dict[str, int]]),
        Form.of(Branch).schema,
        Form.of(Union[Cat, Dog]).schema,
    ],
)
def test_anthropic_gets_a_closed_and_finite_schema_without_bounds(schema):
    sent = for_anthropic({**schema, "$defs": {**schema.get("$defs", {}), "p": {"properties": {"a": TEXT}}}})
    assert not [set(node) & NOT_ANTHROPIC for node in nodes(sent) if set(node) & NOT_ANTHROPIC]
    assert all(node["additionalProperties"] is False for node in nodes(sent) if node.get("type") == "object")
    assert all(node["minItems"] <= 1 for node in nodes(sent) if "minItems" in node)


def test_anthropic_keeps_the_keywords_it_supports():
    kept = closed(
        x={"type": "array", "items": TEXT, "minItems": 1},
        site={**TEXT, "format": "uri"},
        day={**TEXT, "format": "date", "description": "A day."},
        one={"enum": ["a", "b"], "type": "string"},
        none=closed(),
    )
    assert for_anthropic(kept) == kept


def test_anthropic_gets_the_bounds_in_the_description():
    sent = for_anthropic(closed(x={**INTEGER, "minimum": 1, "description": "How many."}))
    assert sent["properties"]["x"] == {**INTEGER, "description": "How many.; minimum: 1"}


def test_parts_of_several_schemas_become_one():
    first = {"properties": {"a": TEXT}, "required": ["a"], "description": "One."}
    sent = for_anthropic(closed(x={"allOf": [first, {"properties": {"b": INTEGER}, "required": ["b"]}, True]}))
    assert sent["properties"]["x"] == {**closed(a=TEXT, b=INTEGER), "description": "One."}


@pytest.mark.parametrize(
    ("target", "text", "data"),
    [
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict[str, list[int]], '{"json_text": "{\\"a\\": [1]}"}', {"a": [1]}),
        (list[dict[str, int]], '{"value": ["{\\"a\\": 1}"]}', [{"a": 1}]),
        ({"type": "object", "properties": {"json_text": TEXT}}, '{"json_text": "{}"}', {"json_text": "{}"}),
        (Branch, '{"name": "a", "below": ["{\\"name\\": \\"b\\", \\"below\\": [], \\"above\\": null}"], "above": null}',
         Branch("a", [Branch("b", [], None)], None)),
        (tuple[int, Decimal], '{"value": [1, 2.50]}', (1, Decimal("2.50"))),
    ],
)  # fmt: skip
def test_parts_requested_as_json_text_are_parsed(target, text, data):
    assert Form.of(target).parse(Reply(text, "anthropic", "claude-sonnet-5-5")) == data


def test_the_description_contains_the_schema_of_json_text():
    sent = for_anthropic(Form.of(Branch).schema)
    below = sent["properties"]["value"]["properties"]["below"]
    assert below["items"]["type"] == "string"
    assert '"$defs"' in below["items"]["description"]
    json.dumps(sent)


# Models of pydantic


def test_models_without_defaults_are_closed_and_strict():
    pydantic = pytest.importorskip("pydantic", minversion="2")

    class Owner(pydantic.BaseModel):
        name: str = pydantic.Field(min_length=1, max_length=20)
        site: pydantic.AnyUrl
        folder: Path

    class Pet(pydantic.BaseModel):
        owner: Owner = pydantic.Field(description="Who feeds it.")
        tags: set[str]
        price: Decimal

    form = Form.of(Pet)
    sent = strict(form.sent)
    assert sent is not None
    assert is_strict(sent)
    assert sent["properties"]["owner"]["description"] == "Who feeds it."
    # The model itself decides which fields it accepts.
    assert "additionalProperties" not in form.schema


def test_models_with_defaults_or_open_fields_stay_as_they_are():
    pydantic = pytest.importorskip("pydantic", minversion="2")

    class Pet(pydantic.BaseModel):
        name: str
        age: int = 3

    class Open(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        name: str

    assert [strict(Form.of(cls).sent) for cls in (Pet, Open)] == [None, None]
    assert [Form.of(cls).sent == Form.of(cls).schema for cls in (Pet, Open)] == [True, True]


def test_the_schema_of_a_user_is_sent_unchanged():
    schema = {"type": "object", "properties": {"x": TEXT}, "required": ["x"]}
    assert Form.of(schema).sent == schema


def test_an_object_with_a_schema_for_its_other_fields_is_not_closed_for_anthropic():
    open_object = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "additionalProperties": {"type": "integer"},
    }
    schema = {"type": "object", "properties": {"scores": open_object}, "required": ["scores"]}
    assert for_anthropic(schema)["properties"]["scores"]["type"] == "string"
