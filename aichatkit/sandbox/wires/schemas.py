"""JSON schema -> the smallest value that fits it, for requests that ask for structured answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 32
_FORMATS = {
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "date-time": "2000-01-01T00:00:00Z",
    "email": "eliza@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def smallest(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Make a value that fits a schema: all properties, fewest items, shortest strings.

    >>> smallest({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}})
    {'name': 'text', 'age': 0}
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    schema = _resolved(schema, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return smallest(schema[key][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _resolved(schema: Mapping[str, Any], root: Any) -> Mapping[str, Any]:
    if "$ref" in schema:
        target = root
        for name in schema["$ref"].lstrip("#/").split("/"):
            target = target.get(name, {}) if name else target
        return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    merged = dict(schema)
    for part in merged.pop("allOf", ()):
        merged.update(_resolved(part, root))
    return merged


def _of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    kind = str(kind[0] if isinstance(kind, list) else kind).lower()
    if kind == "object":
        properties = schema.get("properties", {})
        # A type that holds itself ends where its own members may be left out.
        names = properties if depth < 8 else [name for name in properties if name in schema.get("required", ())]
        return {name: smallest(properties[name], root, depth + 1) for name in names}
    if kind == "array":
        return [smallest(schema.get("items", {}), root, depth + 1)] * int(schema.get("minItems", 0))
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "string":
        text = _FORMATS.get(schema.get("format", ""), "text")
        return text[: schema.get("maxLength")].ljust(schema.get("minLength", 0), ".")
    return False if kind == "boolean" else None


def _number(schema: Mapping[str, Any]) -> Any:
    lowest = schema.get("minimum", 0)
    if "exclusiveMinimum" in schema:
        lowest = schema["exclusiveMinimum"] + 1
    return min(lowest, schema.get("maximum", lowest))
