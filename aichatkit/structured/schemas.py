"""Types -> JSON schema: what a type looks like to a service."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Union
from uuid import UUID

from aichatkit.errors import ConfigurationError

__all__ = ["UNIONS", "Field", "bare", "enumerated", "fields_of", "hints_of", "object_of", "schema_of"]

UNIONS = (Union, getattr(types, "UnionType", Union))
_SCALARS: Sequence[tuple[Any, Mapping[str, Any]]] = (
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (None, {"type": "null"}),
    (type(None), {"type": "null"}),
    (Any, {}),
    (object, {}),
    (datetime, {"type": "string", "format": "date-time"}),
    (date, {"type": "string", "format": "date"}),
    (time, {"type": "string", "format": "time"}),
    (UUID, {"type": "string", "format": "uuid"}),
    (Decimal, {"type": "number"}),
    (Path, {"type": "string"}),
)
_MARKERS = ("Required", "NotRequired", "ReadOnly", "Final")
_UNREADABLE = (NameError, TypeError, SyntaxError, AttributeError)


class Field(NamedTuple):
    """A field of a dataclass, TypedDict or NamedTuple, or a parameter of a function."""

    name: str
    hint: Any
    optional: bool = False
    description: str = ""


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a type: scalars, dates, list, set, dict, tuple, Optional, Union, Literal, Enum,
    dataclass, TypedDict, NamedTuple, Annotated with a description, and pydantic models.

    >>> schema_of(typing.Optional[int])
    {'anyOf': [{'type': 'integer'}, {'type': 'null'}]}
    """
    found = _Found()
    return found.completed(_describe(kind, found))


def object_of(fields: Iterable[Field], *, owner: str) -> dict[str, Any]:
    """Return the JSON schema of an object with these fields; `owner` is named where one has no schema."""
    found = _Found()
    return found.completed(_object(fields, owner, found))


def fields_of(kind: Any) -> list[Field] | None:
    """Return the fields of a class that is an object in JSON, None for any other type."""
    if not isinstance(kind, type):
        return None
    if dataclasses.is_dataclass(kind):
        return _fields_of_dataclass(kind)
    if hasattr(kind, "__required_keys__"):
        left_out: frozenset[str] = getattr(kind, "__optional_keys__", frozenset())
        return [Field(name, hint, _is_optional(hint, name in left_out)) for name, hint in hints_of(kind).items()]
    if issubclass(kind, tuple) and hasattr(kind, "_field_defaults"):
        return [Field(name, hint, name in kind._field_defaults) for name, hint in hints_of(kind).items()]
    return None


def hints_of(owner: Any) -> dict[str, Any]:
    """Return the annotations of a function or class, resolved; raise ConfigurationError naming one that cannot be."""
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except _UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
    raise ConfigurationError(
        f"{owner.__name__}: the annotation of {_unreadable(owner)!r} cannot be read ({reason}); "
        "types are looked up among the names of the module"
    )


def bare(kind: Any) -> Any:
    """Return the type inside Annotated, NewType, `type` aliases and the markers of TypedDict.

    >>> bare(typing.Annotated[int, "how many"])
    <class 'int'>
    """
    while True:
        origin, args = typing.get_origin(kind), typing.get_args(kind)
        if hasattr(kind, "__metadata__") or _marker(origin) is not None:
            kind = args[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return kind


def enumerated(kind: type[enum.Enum]) -> dict[Any, enum.Enum]:
    """Return the members by what stands for them in JSON: their values, or their names where a value is no scalar."""
    plain = all(isinstance(member.value, (str, int, float, bool)) for member in kind)
    return {member.value if plain else member.name: member for member in kind}


class _Found:
    """Schemas that are referred to by name, and the classes that are being described."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self.open: list[type] = []
        self.recursive: set[type] = set()

    def completed(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {**schema, "$defs": self.definitions} if self.definitions else schema

    def clashes(self, definitions: Mapping[str, Any]) -> bool:
        return any(self.definitions.get(name, schema) != schema for name, schema in definitions.items())


def _describe(kind: Any, found: _Found) -> dict[str, Any]:
    described = _description(getattr(kind, "__metadata__", ()))
    kind = bare(kind)
    schema = _describe_bare(kind, found)
    return {**schema, "description": described} if described else schema


def _describe_bare(kind: Any, found: _Found) -> dict[str, Any]:
    for known, schema in _SCALARS:
        if kind is known:
            return dict(schema)
    if hasattr(kind, "model_json_schema"):
        return _describe_model(kind, found)
    origin = typing.get_origin(kind)
    if origin is not None:
        return _describe_generic(kind, origin, typing.get_args(kind), found)
    if isinstance(kind, type):
        return _describe_class(kind, found)
    raise _no_schema(kind)


def _describe_model(kind: Any, found: _Found) -> dict[str, Any]:
    """Take a pydantic model's own schema, with its definitions where references from the root find them."""
    try:
        schema = dict(kind.model_json_schema())
        if found.clashes(schema.get("$defs", {})):
            schema = dict(kind.model_json_schema(ref_template=f"#/$defs/{kind.__name__}_{{model}}"))
            schema["$defs"] = {f"{kind.__name__}_{name}": inner for name, inner in schema["$defs"].items()}
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
    else:
        found.definitions.update(schema.pop("$defs", {}))
        return schema
    raise ConfigurationError(f"schema: {kind.__name__} has no JSON schema ({reason})")


def _describe_generic(kind: Any, origin: Any, args: Sequence[Any], found: _Found) -> dict[str, Any]:
    if origin is typing.Literal:
        return _enumeration([arg.value if isinstance(arg, enum.Enum) else arg for arg in args])
    if origin in UNIONS:
        return {"anyOf": [_describe(part, found) for part in args]}
    if not isinstance(origin, type):
        raise _no_schema(kind)
    if origin is tuple and args and args[-1] is not Ellipsis:
        parts = [_describe(part, found) for part in args]
        return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}
    if issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _describe(args[1], found)} if args else {"type": "object"}
    if issubclass(origin, Iterable):
        return {"type": "array", "items": _describe(args[0], found)} if args else {"type": "array"}
    raise _no_schema(kind)


def _describe_class(kind: type, found: _Found) -> dict[str, Any]:
    if issubclass(kind, enum.Enum):
        return _enumeration(list(enumerated(kind)))
    if kind in found.open:
        found.recursive.add(kind)
        return _reference(kind)
    fields = fields_of(kind)
    if fields is not None:
        found.open.append(kind)
        schema = _object(fields, kind.__name__, found, _summary(kind))
        found.open.remove(kind)
        if kind not in found.recursive:
            return schema
        if found.clashes({kind.__name__: schema}):
            raise ConfigurationError(f"schema: two different types are named {kind.__name__}; rename one")
        found.definitions[kind.__name__] = schema
        return _reference(kind)
    if issubclass(kind, Mapping):
        return {"type": "object"}
    if issubclass(kind, Iterable) and not issubclass(kind, (str, bytes, bytearray)):
        return {"type": "array"}
    raise _no_schema(kind)


def _object(fields: Iterable[Field], owner: str, found: _Found, summary: str = "") -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    for field in fields:
        try:
            properties[field.name] = _describe(field.hint, found)
        except ConfigurationError as error:
            raise ConfigurationError(f"{owner}.{field.name}: {error.message}") from None
        if field.description:
            properties[field.name].setdefault("description", field.description)
        if not field.optional:
            required.append(field.name)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {**schema, "description": summary} if summary else schema


def _enumeration(values: list[Any]) -> dict[str, Any]:
    for name, kind in (("string", str), ("boolean", bool), ("integer", int)):
        if all(isinstance(value, kind) and isinstance(value, bool) == (kind is bool) for value in values):
            return {"type": name, "enum": values}
    return {"enum": values}


def _fields_of_dataclass(kind: type) -> list[Field]:
    hints = hints_of(kind)
    return [
        Field(
            field.name,
            hints[field.name],
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
            str(field.metadata.get("description", "")),
        )
        for field in dataclasses.fields(kind)
        if field.init
    ]


def _is_optional(hint: Any, otherwise: bool) -> bool:
    # Where annotations are text, the class itself does not see the marker.
    return {"NotRequired": True, "Required": False}.get(_marker(typing.get_origin(hint)) or "", otherwise)


def _marker(origin: Any) -> str | None:
    name = getattr(origin, "_name", None)
    return name if name in _MARKERS else None


def _description(notes: Iterable[Any]) -> str:
    """Return the first text among the notes of Annotated; pydantic and PEP 727 keep theirs in an attribute."""
    for note in notes:
        for text in (note, getattr(note, "description", None), getattr(note, "documentation", None)):
            if isinstance(text, str):
                return text
    return ""


def _summary(kind: type) -> str:
    text = inspect.cleandoc(kind.__doc__ or "")
    # What dataclass and NamedTuple write by themselves says nothing.
    return "" if text.startswith(f"{kind.__name__}(") else text.partition("\n\n")[0]


def _reference(kind: type) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _unreadable(owner: Any) -> str:
    for part in getattr(owner, "__mro__", (owner,)):
        names = getattr(inspect.unwrap(part), "__globals__", None) or vars(sys.modules[part.__module__])
        for name, annotation in getattr(part, "__annotations__", {}).items():
            try:
                typing.get_type_hints(types.SimpleNamespace(__annotations__={name: annotation}), dict(names))
            except _UNREADABLE:
                return str(name)
    return "?"


def _no_schema(kind: Any) -> ConfigurationError:
    named = kind.__name__ if isinstance(kind, type) else repr(kind)
    return ConfigurationError(
        f"schema: {named} has no JSON schema; use typed fields, a dataclass, a TypedDict or a pydantic 2 model"
    )
