"""Python types -> JSON schema: dataclasses, typing hints and pydantic models as a service sees them."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Union
from uuid import UUID

from aichatkit._dataclasses import NamedTuple
from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError

__all__ = ["UNION_TYPES", "Field", "enum_members", "fields_of", "hints_of", "object_schema", "schema_of", "unwrap"]

UNION_TYPES = (Union, getattr(types, "UnionType", Union))
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
_QUALIFIERS = ("Required", "NotRequired", "ReadOnly", "Final")
_RESOLUTION_ERRORS = (NameError, TypeError, SyntaxError, AttributeError, IndexError)


class Field(NamedTuple):
    """A field of a dataclass, TypedDict or NamedTuple, or a function parameter."""

    name: str
    hint: Any
    optional: bool = False
    description: str = ""


def schema_of(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of a type; raise ConfigurationError if it or a part of it has none.

    Supports scalars, dates, list, set, dict, tuple, Optional, Union, Literal, Enum, dataclass, TypedDict, NamedTuple,
    Annotated with a description, and pydantic models.

    >>> schema_of(typing.Optional[int])
    {'anyOf': [{'type': 'integer'}, {'type': 'null'}]}
    """
    definitions = _Definitions()
    return definitions.attach_to(_build_schema(hint, definitions))


def object_schema(fields: Iterable[Field], *, owner: str) -> dict[str, Any]:
    """Return the JSON schema of an object with these fields; `owner` is named in the error if a field has no schema."""
    definitions = _Definitions()
    return definitions.attach_to(_build_object(fields, owner, definitions))


def fields_of(hint: Any) -> list[Field] | None:
    """Return the fields of a class that maps to a JSON object, None for any other type."""
    if not isinstance(hint, type):
        return None
    if dataclasses.is_dataclass(hint):
        return _dataclass_fields(hint)
    if hasattr(hint, "__required_keys__"):
        optional: frozenset[str] = getattr(hint, "__optional_keys__", frozenset())
        return [Field(name, item, _is_optional(item, name in optional)) for name, item in hints_of(hint).items()]
    if issubclass(hint, tuple) and hasattr(hint, "_field_defaults"):
        return [Field(name, item, name in hint._field_defaults) for name, item in hints_of(hint).items()]
    return None


def hints_of(owner: Any) -> dict[str, Any]:
    """Return the resolved annotations of a function or class.

    Raises:
        ConfigurationError: an annotation cannot be resolved; the message names it.
    """
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except _RESOLUTION_ERRORS as error:
        problem, reason = f"{type(error).__name__}: {error}", reason_of(error)
    raise ConfigurationError(
        f"{owner.__name__}: the annotation of {_unresolvable_name(owner)!r} cannot be read ({problem}); "
        "types are looked up among the names of the module",
        reason=reason,
    )


def unwrap(hint: Any) -> Any:
    """Return the type inside Annotated, NewType, a `type` alias or a TypedDict qualifier such as Required.

    >>> unwrap(typing.Annotated[int, "how many"])
    <class 'int'>
    """
    while True:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if hasattr(hint, "__metadata__") or _qualifier(origin) is not None:
            hint = args[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            return hint


def enum_members(cls: type[enum.Enum]) -> dict[Any, enum.Enum]:
    """Return the members by their JSON representation: their values, or their names if any value is not a scalar."""
    scalar = all(isinstance(member.value, (str, int, float, bool)) for member in cls)
    return {member.value if scalar else member.name: member for member in cls}


class _Definitions:
    """The `$defs` collected while a schema is built, and the classes in progress, to detect recursion."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self.in_progress: list[type] = []
        self.recursive: set[type] = set()

    def attach_to(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {**schema, "$defs": self.schemas} if self.schemas else schema

    def conflicts_with(self, others: Mapping[str, Any]) -> bool:
        return any(self.schemas.get(name, schema) != schema for name, schema in others.items())


def _build_schema(hint: Any, definitions: _Definitions) -> dict[str, Any]:
    description = _find_description(getattr(hint, "__metadata__", ()))
    schema = _build_unwrapped(unwrap(hint), definitions)
    return {**schema, "description": description} if description else schema


def _build_unwrapped(hint: Any, definitions: _Definitions) -> dict[str, Any]:
    for scalar, schema in _SCALARS:
        if hint is scalar:
            return dict(schema)
    if hasattr(hint, "model_json_schema"):
        return _build_pydantic_model(hint, definitions)
    origin = typing.get_origin(hint)
    if origin is not None:
        return _build_generic(hint, origin, typing.get_args(hint), definitions)
    if isinstance(hint, type):
        return _build_class(hint, definitions)
    raise _unsupported(hint)


def _build_pydantic_model(cls: Any, definitions: _Definitions) -> dict[str, Any]:
    """Return the schema that a pydantic model generates; its `$defs` move to the root, as its references expect."""
    try:
        schema = dict(cls.model_json_schema())
        if definitions.conflicts_with(schema.get("$defs", {})):
            schema = dict(cls.model_json_schema(ref_template=f"#/$defs/{cls.__name__}_{{model}}"))
            schema["$defs"] = {f"{cls.__name__}_{name}": inner for name, inner in schema["$defs"].items()}
    except (RuntimeError, TypeError, ValueError) as error:
        problem, reason = str(error).partition("\n")[0], reason_of(error)
    else:
        definitions.schemas.update(schema.pop("$defs", {}))
        return schema
    raise ConfigurationError(f"schema: {cls.__name__} has no JSON schema ({problem})", reason=reason)


def _build_generic(hint: Any, origin: Any, args: Sequence[Any], definitions: _Definitions) -> dict[str, Any]:
    if origin is typing.Literal:
        return _build_enum([arg.value if isinstance(arg, enum.Enum) else arg for arg in args])
    if origin in UNION_TYPES:
        return {"anyOf": [_build_schema(arg, definitions) for arg in args]}
    if not isinstance(origin, type):
        raise _unsupported(hint)
    if origin is tuple and args and args[-1] is not Ellipsis:
        items = [_build_schema(arg, definitions) for arg in args]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    if issubclass(origin, Mapping):
        if not args:
            return {"type": "object"}
        return {"type": "object", "additionalProperties": _build_schema(args[1], definitions)}
    if issubclass(origin, Set) and args and _is_unhashable(args[0]):
        # Every answer but an empty one would fail, after it was paid for.
        raise ConfigurationError(f"schema: {hint!r:.80} cannot be a set, as its items are not hashable; use a list")
    if issubclass(origin, Iterable):
        return {"type": "array", "items": _build_schema(args[0], definitions)} if args else {"type": "array"}
    raise _unsupported(hint)


def _is_unhashable(hint: Any) -> bool:
    hint = unwrap(hint)
    cls = typing.get_origin(hint) or hint
    return isinstance(cls, type) and cls.__hash__ is None


def _build_class(cls: type, definitions: _Definitions) -> dict[str, Any]:
    if issubclass(cls, enum.Enum):
        return _build_enum(list(enum_members(cls)))
    if cls in definitions.in_progress:
        definitions.recursive.add(cls)
        return _reference(cls)
    fields = fields_of(cls)
    if fields is not None:
        definitions.in_progress.append(cls)
        schema = _build_object(fields, cls.__name__, definitions, _summary(cls))
        definitions.in_progress.remove(cls)
        if cls not in definitions.recursive:
            return schema
        if definitions.conflicts_with({cls.__name__: schema}):
            raise ConfigurationError(f"schema: two different types are named {cls.__name__}; rename one")
        definitions.schemas[cls.__name__] = schema
        return _reference(cls)
    if issubclass(cls, Mapping):
        return {"type": "object"}
    if issubclass(cls, Iterable) and not issubclass(cls, (str, bytes, bytearray)):
        return {"type": "array"}
    raise _unsupported(cls)


def _build_object(
    fields: Iterable[Field], owner: str, definitions: _Definitions, description: str = ""
) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    for field in fields:
        try:
            properties[field.name] = _build_schema(field.hint, definitions)
        except ConfigurationError as error:
            raise ConfigurationError(f"{owner}.{field.name}: {error.message}", reason=error.reason) from None
        if field.description:
            properties[field.name].setdefault("description", field.description)
        if not field.optional:
            required.append(field.name)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {**schema, "description": description} if description else schema


def _build_enum(values: list[Any]) -> dict[str, Any]:
    for name, cls in (("string", str), ("boolean", bool), ("integer", int)):
        if all(isinstance(value, cls) and isinstance(value, bool) == (cls is bool) for value in values):
            return {"type": name, "enum": values}
    return {"enum": values}


def _dataclass_fields(cls: type) -> list[Field]:
    hints = hints_of(cls)
    return [
        Field(
            field.name,
            hints[field.name],
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
            str(field.metadata.get("description", "")),
        )
        for field in dataclasses.fields(cls)
        if field.init
    ]


def _is_optional(hint: Any, default: bool) -> bool:
    # If annotations are strings, the class does not see Required and NotRequired when it is created.
    return {"NotRequired": True, "Required": False}.get(_qualifier(typing.get_origin(hint)) or "", default)


def _qualifier(origin: Any) -> str | None:
    name = getattr(origin, "_name", None)
    return name if name in _QUALIFIERS else None


def _find_description(metadata: Iterable[Any]) -> str:
    """Return the first text in the metadata of Annotated; pydantic and PEP 727 keep theirs in an attribute."""
    for item in metadata:
        for text in (item, getattr(item, "description", None), getattr(item, "documentation", None)):
            if isinstance(text, str):
                return text
    return ""


def _summary(cls: type) -> str:
    text = inspect.cleandoc(cls.__doc__ or "")
    # The docstrings that dataclass and NamedTuple generate only repeat the signature.
    return "" if text.startswith(f"{cls.__name__}(") else text.partition("\n\n")[0]


def _reference(cls: type) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _unresolvable_name(owner: Any) -> str:
    for part in getattr(owner, "__mro__", (owner,)):
        names = getattr(inspect.unwrap(part), "__globals__", None) or vars(sys.modules[part.__module__])
        for name, annotation in getattr(part, "__annotations__", {}).items():
            try:
                typing.get_type_hints(types.SimpleNamespace(__annotations__={name: annotation}), dict(names))
            except _RESOLUTION_ERRORS:
                return str(name)
    return "?"


def _unsupported(hint: Any) -> ConfigurationError:
    name = hint.__name__ if isinstance(hint, type) else repr(hint)
    return ConfigurationError(
        f"schema: {name} has no JSON schema; use typed fields, a dataclass, a TypedDict or a pydantic 2 model"
    )
