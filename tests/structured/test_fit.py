"""Nearly valid data: what is converted without guessing, and what stays unchanged."""

from __future__ import annotations

import pytest

from aichatkit import _json
from aichatkit.structured.fit import fit_arguments, fit_texts

INTEGER, NUMBER, TEXT = {"type": "integer"}, {"type": "number"}, {"type": "string"}
TREE = {
    "$ref": "#/$defs/t",
    "$defs": {"t": {"type": "object", "properties": {"n": INTEGER, "kids": {"items": {"$ref": "#/$defs/t"}}}}},
}


def field(schema, **more):
    return {"type": "object", "properties": {"x": schema}, **more}


@pytest.mark.parametrize(
    ("schema", "value", "fitted"),
    [
        (INTEGER, "3", 3),
        (INTEGER, "-12", -12),
        (INTEGER, "3.0", 3),
        (NUMBER, "2.5", 2.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": ["integer", "null"]}, "null", None),
        ({"anyOf": [INTEGER, {"type": "null"}]}, "4", 4),
        ({"oneOf": [{"type": "array", "items": INTEGER}, INTEGER]}, '["1", 2]', [1, 2]),
        ({"allOf": [{"type": "integer"}]}, "5", 5),
        ({"type": "integer", "enum": [1, 2]}, "2", 2),
        ({"type": "array", "items": TEXT}, '["a", "b"]', ["a", "b"]),
        ({"type": "array", "items": INTEGER}, ["1", "2"], [1, 2]),
        ({"type": "array", "prefixItems": [INTEGER, TEXT], "items": NUMBER}, ["1", "2", "3.5"], [1, "2", 3.5]),
        ({"type": "object", "properties": {"y": INTEGER}}, '{"y": "7"}', {"y": 7}),
        ({"type": "object", "additionalProperties": INTEGER}, {"y": "7"}, {"y": 7}),
    ],
)
def test_text_is_parsed_if_the_schema_expects_its_value(schema, value, fitted):
    assert fit_arguments({"x": value}, field(schema)) == {"x": fitted}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TEXT, "3"),
        (TEXT, '["a"]'),
        ({"anyOf": [TEXT, INTEGER]}, "3"),
        (INTEGER, "3.5"),
        (INTEGER, "three"),
        (INTEGER, "03"),
        (INTEGER, ""),
        (INTEGER, True),
        (INTEGER, [1]),
        (NUMBER, "NaN"),
        (NUMBER, "1e999"),
        ({"type": "boolean"}, "yes"),
        ({"type": "boolean"}, 1),
        ({"type": "array"}, "a, b"),
        ({"type": "array"}, '{"a": 1}'),
        ({"type": "object"}, "[" * 300 + "]" * 300),
        ({"enum": [1, 2]}, "2"),
        (False, "2"),
    ],
)
def test_nothing_is_guessed(schema, value):
    assert fit_arguments({"x": value}, field(schema)) == {"x": value}


@pytest.mark.parametrize(
    ("schema", "value", "fitted"),
    [
        (field(INTEGER), {"x": None}, {}),
        (field(INTEGER, required=["x"]), {"x": None}, {"x": None}),
        (field({"type": ["integer", "null"]}), {"x": None, "y": "1"}, {"x": None, "y": "1"}),
        (field(field(INTEGER)), {"x": {"x": None}}, {"x": {}}),
        (field(INTEGER), {"z": None}, {"z": None}),
    ],
)
def test_null_means_the_default(schema, value, fitted):
    assert fit_arguments(value, schema) == fitted


def test_digits_are_kept():
    fitted = fit_arguments({"x": "98765432109876543.210"}, field(NUMBER))
    assert _json.dumps(fitted) == '{"x": 98765432109876543.210}'


def test_references_are_followed():
    assert fit_arguments({"n": "1", "kids": [{"n": "2"}]}, TREE) == {"n": 1, "kids": [{"n": 2}]}


@pytest.mark.parametrize(
    ("schema", "value", "fitted"),
    [
        ({"type": "array"}, "[1]", [1]),
        ({"type": "object"}, "{}", {}),
        (INTEGER, "3", "3"),
        (TEXT, "[1]", "[1]"),
        ({"type": "integer"}, None, None),
    ],
)
def test_an_answer_may_have_lists_and_objects_as_text(schema, value, fitted):
    assert fit_texts({"x": value}, field(schema)) == {"x": fitted}


def test_forms_at_every_level_do_not_take_forever():
    tree = {"type": "object", "properties": {"x": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}}
    schema = {**tree, "$defs": {"a": {**tree, "required": ["a"]}, "b": {**tree, "required": ["b"]}}}
    value = {"x": {}}
    for _ in range(9):
        value = {"x": value}
    assert fit_arguments(value, schema) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TEXT, "3"),
        ({"anyOf": [INTEGER, TEXT]}, "3"),
        ({"type": ["integer", "string"]}, "3"),
        ({"type": ["integer", "null"]}, None),
        ({}, "[1]"),
        ({}, None),
    ],
)
def test_valid_parts_are_kept_next_to_invalid_ones(schema, value):
    properties = {"x": schema, "n": INTEGER}
    fitted = fit_arguments({"x": value, "n": "1"}, {"type": "object", "properties": properties})
    assert fitted == {"x": value, "n": 1}
