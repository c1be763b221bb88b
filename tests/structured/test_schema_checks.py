"""JSON schemas with values that no schema has are refused by name, before anything is sent."""

from __future__ import annotations

import pytest

from aichatkit import ConfigurationError
from aichatkit.structured.schema_checks import check_schema
from aichatkit.testing import Fake

WRONG = [
    ({"type": 5}, "type", "a name or a list of names"),
    ({"type": ["object", None]}, "type", "a name or a list of names"),
    ({"properties": 5}, "properties", "a dict of schemas"),
    ({"properties": {"a": 5}}, "properties", "a dict of schemas"),
    ({"properties": {"a": {"items": 5}}}, "properties.a.items", "a schema or a list of them"),
    ({"items": [{"enum": "ab"}]}, r"items\[0\].enum", "a list of values"),
    ({"required": 5}, "required", "a list of names"),
    ({"required": [1]}, "required", "a list of names"),
    ({"anyOf": {}}, "anyOf", "a list of schemas"),
    ({"anyOf": [{}, {"not": []}]}, r"anyOf\[1\].not", "a schema"),
    ({"$defs": {"x": {"pattern": 5}}}, r"\$defs.x.pattern", "text"),
    ({"$ref": {}}, r"\$ref", "text"),
    ({"minimum": "x"}, "minimum", "a number"),
    ({"maximum": True}, "maximum", "a number"),
    ({"exclusiveMinimum": "1"}, "exclusiveMinimum", "a number, or True or False"),
    ({"minLength": -1}, "minLength", "a number of at least 0"),
    ({"additionalProperties": 5}, "additionalProperties", "a schema"),
]
RIGHT = [
    {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "exclusiveMaximum": 5},
    {"type": "array", "items": {"type": "integer"}},
    {},
    {"type": ["string", "null"], "enum": ("a", None), "default": 5, "description": None, "x-own": object},
    {"type": "object", "properties": {"type": {"type": "string"}, "items": {"enum": [1]}}, "required": ["type"]},
    {"type": "array", "items": [{"type": "integer"}], "additionalItems": False, "minItems": 0, "maxItems": 3.0},
    {"anyOf": [True, {"not": {}}], "minimum": -1.5, "pattern": "(", "$ref": "#/$defs/a", "$defs": {"a": {}}},
]


@pytest.mark.parametrize(("schema", "place", "expected"), WRONG, ids=str)
def test_a_value_that_no_schema_has_is_refused_by_name(schema, place, expected):
    with pytest.raises(
        ConfigurationError, match=f"schema: the value of {place} in the JSON schema must be {expected},"
    ):
        check_schema(schema, "schema")
    fake = Fake("{}")
    tool = {"name": "f", "parameters": schema}
    for options in ({"schema": schema}, {"tools": [tool]}, {"tools": [{"type": "function", "function": tool}]}):
        with pytest.raises(ConfigurationError, match=f"the value of {place} in"):
            fake.client().ask("Hi", **options)
    assert fake.requests == []


@pytest.mark.parametrize("schema", RIGHT, ids=range(len(RIGHT)))
def test_everything_else_is_the_services_business(schema):
    check_schema(schema, "schema")


@pytest.mark.parametrize("option", ["schema", "tools"])
def test_a_schema_that_contains_itself_is_refused(option):
    schema = {"type": "object", "properties": {}}
    schema["properties"] = {"a": schema, "b": schema}
    value = schema if option == "schema" else [{"name": "f", "parameters": schema}]
    with pytest.raises(ConfigurationError, match="contains itself, or is nested deeper than 100"):
        Fake("{}").client().ask("Hi", **{option: value})


def test_a_part_that_is_used_often_is_checked_once():
    part = {"type": "object", "properties": {}}
    for _ in range(40):
        part = {"type": "object", "properties": {"a": part, "b": part}}
    check_schema(part, "schema")


def test_an_annotation_without_text_is_refused():
    def stock(article):
        """Count the pieces."""

    stock.__annotations__ = {"article": ""}
    with pytest.raises(ConfigurationError, match="stock: the annotation of 'article'"):
        Fake("Hi").client().ask("Hi", tools=[stock])
