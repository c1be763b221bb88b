"""JSON value + type hint -> a value of that type."""

from __future__ import annotations

import enum
import typing
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable
from uuid import UUID

from aichatkit import _json
from aichatkit.structured.schemas import UNION_TYPES, enum_members, fields_of, schema_of, unwrap
from aichatkit.structured.validation import find_errors, resolve

__all__ = ["convert", "is_pydantic_model"]

_CONVERTERS: Mapping[Any, Callable[[Any], Any]] = {
    int: int,
    float: float,
    datetime: lambda value: datetime.fromisoformat(_with_utc_offset(value)),
    date: date.fromisoformat,
    time: lambda value: time.fromisoformat(_with_utc_offset(value)),
    Decimal: lambda value: Decimal(str(value)),
    UUID: UUID,
    Path: Path,
}

_NO_KEY = object()


def convert(value: Any, hint: Any) -> Any:
    """Convert parsed JSON, already valid against the type's schema, to the type.

    Exceptions from a constructor, such as ValueError for a date that does not exist, propagate.

    >>> convert([1, 2], typing.Set[int])
    {1, 2}
    """
    hint = unwrap(hint)
    if is_pydantic_model(hint):
        # Validate from text: in strict mode pydantic accepts dates and tuples from JSON only, not from Python values.
        return hint.model_validate_json(_json.dumps(_with_decimals(value, hint)))
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNION_TYPES:
        return _convert_union(value, args)
    if origin is typing.Literal:
        return next((arg for arg in args if isinstance(arg, enum.Enum) and arg.value == value), _json.plain(value))
    if isinstance(value, list):
        return _convert_array(value, origin or hint, args)
    if isinstance(value, Mapping):
        return _convert_object(value, hint, args)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return enum_members(hint)[value]
    converter = _CONVERTERS.get(hint) if value is not None and not isinstance(value, bool) else None
    return converter(value) if converter else _json.plain(value)


def is_pydantic_model(hint: Any) -> bool:
    """Return whether a type is a pydantic model, which validates its own data."""
    return hasattr(hint, "model_validate_json")


def _with_decimals(value: Any, model: Any) -> Any:
    """Return the value with decimals as text: pydantic parses all JSON numbers as floats, even for a Decimal field."""
    if not _json.has_digits(value):
        return value
    # Only a Decimal serializes to text without a format and validates from both text and numbers.
    try:
        schema = model.model_json_schema(mode="serialization")
    except (RuntimeError, TypeError, ValueError):
        return value
    return _decimals_as_text(value, schema, schema)


def _decimals_as_text(value: Any, schema: Any, root: Any) -> Any:
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping):
        return value
    options = [resolve(option, root) for name in ("anyOf", "oneOf", "allOf") for option in schema.get(name, ())]
    if isinstance(value, _json.Digits):
        forms = [option for option in options or [schema] if isinstance(option, Mapping)]
        is_decimal = any(form.get("type") == "string" and "format" not in form for form in forms)
        return str(value) if is_decimal and all(form.get("type") != "number" for form in forms) else value
    for option in options:
        value = _decimals_as_text(value, option, root)
    if isinstance(value, Mapping):
        fields, rest = schema.get("properties", {}), schema.get("additionalProperties")
        return {name: _decimals_as_text(item, fields.get(name, rest), root) for name, item in value.items()}
    if isinstance(value, list):
        prefix = schema.get("prefixItems", ())
        hints = [*prefix, *[schema.get("items")] * (len(value) - len(prefix))]
        return [_decimals_as_text(item, hint, root) for item, hint in zip(value, hints)]
    return value


def _convert_union(value: Any, options: Sequence[Any]) -> Any:
    for option in options:
        if not find_errors(value, schema_of(option)):
            return convert(value, option)
    return _json.plain(value)


def _convert_array(value: list[Any], cls: Any, args: Sequence[Any]) -> Any:
    is_fixed = cls is tuple and args and args[-1] is not Ellipsis
    hints = args if is_fixed else [args[0] if args else Any] * len(value)
    items = [convert(item, hint) for item, hint in zip(value, hints)]
    if cls is tuple or cls is frozenset:
        return cls(items)
    return set(items) if isinstance(cls, type) and issubclass(cls, Set) else items


def _convert_object(value: Mapping[str, Any], hint: Any, args: Sequence[Any]) -> Any:
    fields = fields_of(hint)
    if fields is None:
        key_hint, item_hint = args if len(args) == 2 else (Any, Any)
        return {_convert_key(name, key_hint): convert(item, item_hint) for name, item in value.items()}
    hints = {field.name: field.hint for field in fields}
    return hint(**{name: convert(item, hints[name]) for name, item in value.items()})


def _convert_key(name: str, hint: Any) -> Any:
    """Convert a key, which is always text in JSON; raise ValueError if it does not fit the type."""
    hint = unwrap(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNION_TYPES:
        # `str` comes last, as it fits any key: "1" becomes a number if the type allows one.
        options = sorted(args, key=lambda option: unwrap(option) is str)
        return next((key for option in options if (key := _try_key(name, option)) is not _NO_KEY), name)
    if origin is typing.Literal:
        return _find_key(name, {getattr(arg, "value", arg): arg for arg in args})
    if hint is bool or hint is type(None):
        return _find_key(name, {True: True, False: False} if hint is bool else {None: None})
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _find_key(name, enum_members(hint))
    return convert(name, hint)


def _try_key(name: str, hint: Any) -> Any:
    try:
        return _convert_key(name, hint)
    except (ValueError, ArithmeticError):
        return _NO_KEY


def _find_key(name: str, keys: Mapping[Any, Any]) -> Any:
    """Return the key with this name in JSON."""
    for value, key in keys.items():
        if name == (value if isinstance(value, str) else _json.dumps(value)):
            return key
    raise ValueError(f"{name!r} is not one of the keys {', '.join(map(str, keys))}")


def _with_utc_offset(text: str) -> str:
    # `fromisoformat` does not accept "Z" before Python 3.11.
    return text[:-1] + "+00:00" if text.endswith("Z") else text
