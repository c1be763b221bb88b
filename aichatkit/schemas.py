"""Types <-> JSON schema: describe a type, check a value against a schema, and build the type's value from it."""

from __future__ import annotations

import dataclasses
import enum
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, Union

from aichatkit.errors import ConfigurationError

__all__ = ["build", "check", "schema_of"]

_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
}
_JSON_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
}
_UNIONS = (Union, getattr(types, "UnionType", Union))


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a type: scalars, list, dict, tuple, Optional, Union, Literal, Enum, dataclass,
    TypedDict, Annotated with a description, and pydantic models.

    >>> schema_of(typing.Optional[int])
    {'anyOf': [{'type': 'integer'}, {'type': 'null'}]}
    """
    if kind in _SCALARS if isinstance(kind, typing.Hashable) else False:
        return dict(_SCALARS[kind])
    if hasattr(kind, "model_json_schema"):
        return dict(kind.model_json_schema())
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is not None:
        return _schema_of_generic(kind, origin, args)
    if isinstance(kind, type):
        return _schema_of_class(kind)
    raise ConfigurationError(f"schema: {kind!r} has no JSON schema; use typed fields, a dataclass or a pydantic model")


def check(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a value by a JSON schema, each with its place; nothing where it fits.

    >>> check({"n": "x"}, {"type": "object", "properties": {"n": {"type": "integer"}}})
    ['n: must be integer, not a string']
    """
    return [f"{place or 'the answer'}: {what}" for place, what in _faults(value, schema, schema, "")]


def build(value: Any, kind: Any) -> Any:
    """Return the type's value from parsed JSON that fits its schema."""
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated if hasattr(typing, "Annotated") else False:
        return build(value, args[0])
    if origin in _UNIONS:
        return _build_union(value, args)
    if origin in (list, Sequence) and args:
        return [build(item, args[0]) for item in value]
    if origin is tuple and args:
        inner = args[:1] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        return tuple(build(item, part) for item, part in zip(value, inner))
    if origin in (dict, Mapping) and args:
        return {name: build(item, args[1]) for name, item in value.items()}
    if isinstance(kind, type):
        return _build_class(value, kind)
    return value


def _schema_of_generic(kind: Any, origin: Any, args: tuple[Any, ...]) -> dict[str, Any]:
    if hasattr(kind, "__metadata__"):
        notes = [note for note in kind.__metadata__ if isinstance(note, str)]
        return {**schema_of(args[0]), **({"description": notes[0]} if notes else {})}
    if origin is typing.Literal:
        return _enumeration(list(args))
    if origin in _UNIONS:
        return {"anyOf": [schema_of(part) for part in args]}
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        return {"type": "array", "prefixItems": [schema_of(part) for part in args], "minItems": len(args)}
    if issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(args[1])}
    if issubclass(origin, (Sequence, set, frozenset)):
        return {"type": "array", "items": schema_of(args[0])}
    raise ConfigurationError(f"schema: {kind!r} has no JSON schema")


def _schema_of_class(kind: type) -> dict[str, Any]:
    if issubclass(kind, enum.Enum):
        return _enumeration([member.value for member in kind])
    if dataclasses.is_dataclass(kind):
        optional = {field.name for field in dataclasses.fields(kind) if _has_default(field)}
        return _object(kind, optional)
    if typing.is_typeddict(kind) if hasattr(typing, "is_typeddict") else hasattr(kind, "__required_keys__"):
        return _object(kind, set(getattr(kind, "__optional_keys__", ())))
    if issubclass(kind, (list, tuple)):
        return {"type": "array"}
    if issubclass(kind, dict):
        return {"type": "object"}
    raise ConfigurationError(
        f"schema: {kind.__name__} has no JSON schema; use a dataclass, TypedDict or pydantic model"
    )


def _object(kind: type, optional: set[str]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = {name: hint for name, hint in hints.items() if not name.startswith("_")}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: schema_of(hint) for name, hint in names.items()},
        "required": [name for name in names if name not in optional],
        "additionalProperties": False,
    }
    described = (kind.__doc__ or "").strip()
    if described and not described.startswith(f"{kind.__name__}("):
        schema["description"] = described.split("\n\n")[0]
    return schema


def _enumeration(values: list[Any]) -> dict[str, Any]:
    kinds = {
        name for value in values for name in ("boolean", "string", "integer", "number") if _JSON_TYPES[name](value)
    }
    schema: dict[str, Any] = {"enum": values}
    if kinds == {"string"}:
        schema["type"] = "string"
    return schema


def _faults(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    schema = _resolved(schema, root)
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_JSON_TYPES.get(kind, lambda _: True)(value) for kind in kinds):
        yield place, f"must be {' or '.join(kinds)}, not {_told(value)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield place, f"must be one of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield place, f"must be {schema['const']!r}"
    for word in ("anyOf", "oneOf"):
        options = schema.get(word)
        if options and not any(not list(_faults(value, option, root, place)) for option in options):
            yield place, "fits none of the forms that are allowed"
    for option in schema.get("allOf", ()):
        yield from _faults(value, option, root, place)
    if isinstance(value, Mapping):
        yield from _object_faults(value, schema, root, place)
    elif isinstance(value, list):
        yield from _array_faults(value, schema, root, place)
    else:
        yield from _bound_faults(value, schema, place)


def _object_faults(
    value: Mapping[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], place: str
) -> Iterator[tuple[str, str]]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name in schema.get("required", ()):
        if name not in value:
            yield _below(place, name), "is missing"
    for name, item in value.items():
        if name in known:
            yield from _faults(item, known[name], root, _below(place, name))
        elif others is False:
            yield _below(place, name), "is not a field"
        elif isinstance(others, Mapping):
            yield from _faults(item, others, root, _below(place, name))


def _array_faults(
    value: list[Any], schema: Mapping[str, Any], root: Mapping[str, Any], place: str
) -> Iterator[tuple[str, str]]:
    if len(value) < schema.get("minItems", 0) or len(value) > schema.get("maxItems", len(value)):
        yield place, f"has {len(value)} items, which is too few or too many"
    first = schema.get("prefixItems", ())
    for index, item in enumerate(value):
        inner = first[index] if index < len(first) else schema.get("items")
        if isinstance(inner, Mapping):
            yield from _faults(item, inner, root, _below(place, str(index)))


def _bound_faults(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0) or len(value) > schema.get("maxLength", len(value)):
            yield place, f"has {len(value)} characters, which is too short or too long"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield place, f"does not match {schema['pattern']!r}"
    elif _JSON_TYPES["number"](value):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            yield place, f"{value} is out of bounds"
        if value <= schema.get("exclusiveMinimum", value - 1) or value >= schema.get("exclusiveMaximum", value + 1):
            yield place, f"{value} is out of bounds"


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    found: Any = root
    for step in reference[2:].split("/"):
        found = found[step]
    return {**found, **{name: value for name, value in schema.items() if name != "$ref"}}


def _build_union(value: Any, kinds: Sequence[Any]) -> Any:
    for kind in kinds:
        if not check(value, schema_of(kind)):
            return build(value, kind)
    return value


def _build_class(value: Any, kind: type) -> Any:
    if issubclass(kind, enum.Enum):
        return kind(value)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{name: build(item, hints[name]) for name, item in value.items()})
    if kind is float and isinstance(value, int):
        return float(value)
    return value


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _told(value: Any) -> str:
    named = next((name for name, fits in _JSON_TYPES.items() if fits(value)), type(value).__name__)
    return f"a{'n' if named[0] in 'aeiou' else ''} {named}"
