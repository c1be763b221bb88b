"""JSON schema -> a minimal valid instance, for requests with structured output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 32
_FORMATS = {
    "date": "2000-01-01",
    "time": "00:00:00Z",
    "date-time": "2000-01-01T00:00:00Z",
    "email": "eliza@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def minimal_instance(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Return a minimal instance of a schema: all properties, as few items as allowed, short strings.

    >>> minimal_instance({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}})
    {'name': 'text', 'age': 0}
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    schema = _resolve_refs(schema, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return minimal_instance(schema[key][0], root, depth + 1)
    return _instance_of_type(schema, root, depth)


def _resolve_refs(schema: Mapping[str, Any], root: Any) -> Mapping[str, Any]:
    if "$ref" in schema:
        target = root
        for name in schema["$ref"].lstrip("#/").split("/"):
            target = target.get(name, {}) if name else target
        return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    merged = dict(schema)
    for part in merged.pop("allOf", ()):
        merged.update(_resolve_refs(part, root))
    return merged


def _instance_of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    type_ = schema.get("type", "object" if "properties" in schema else "null")
    type_ = str(type_[0] if isinstance(type_, list) else type_).lower()
    if type_ == "object":
        properties = schema.get("properties", {})
        # A recursive type ends at the depth from which its optional properties are omitted.
        names = properties if depth < 8 else [name for name in properties if name in schema.get("required", ())]
        return {name: minimal_instance(properties[name], root, depth + 1) for name in names}
    if type_ == "array":
        return [minimal_instance(schema.get("items", {}), root, depth + 1)] * int(schema.get("minItems", 0))
    if type_ in ("integer", "number"):
        return _minimal_number(schema)
    if type_ == "string":
        text = _FORMATS.get(schema.get("format", ""), "text")
        return text[: schema.get("maxLength")].ljust(schema.get("minLength", 0), ".")
    return False if type_ == "boolean" else None


def _minimal_number(schema: Mapping[str, Any]) -> Any:
    minimum = schema.get("minimum", 0)
    if "exclusiveMinimum" in schema:
        minimum = schema["exclusiveMinimum"] + 1
    return min(minimum, schema.get("maximum", minimum))
