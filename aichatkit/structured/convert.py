"""JSON value + type hint -> a value of that type."""

from __future__ import annotations

import enum
import json
import typing
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Callable
from uuid import UUID

from aichatkit.structured.schemas import UNION_TYPES, enum_members, fields_of, schema_of, unwrap
from aichatkit.structured.validation import find_errors

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


def convert(value: Any, hint: Any) -> Any:
    """Convert parsed JSON, already valid against the type's schema, to the type.

    Exceptions from a constructor, such as ValueError for a date that does not exist, propagate.

    >>> convert([1, 2], typing.Set[int])
    {1, 2}
    """
    hint = unwrap(hint)
    if is_pydantic_model(hint):
        # Validate from text: in strict mode pydantic accepts dates and tuples from JSON only, not from Python values.
        return hint.model_validate_json(json.dumps(value))
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in UNION_TYPES:
        return _convert_union(value, args)
    if origin is typing.Literal:
        return next((arg for arg in args if isinstance(arg, enum.Enum) and arg.value == value), value)
    if isinstance(value, list):
        return _convert_array(value, origin or hint, args)
    if isinstance(value, Mapping):
        return _convert_object(value, hint, args)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return enum_members(hint)[value]
    converter = _CONVERTERS.get(hint) if value is not None and not isinstance(value, bool) else None
    return converter(value) if converter else value


def is_pydantic_model(hint: Any) -> bool:
    """Return whether a type is a pydantic model, which validates its own data."""
    return hasattr(hint, "model_validate_json")


def _convert_union(value: Any, options: Sequence[Any]) -> Any:
    for option in options:
        if not find_errors(value, schema_of(option)):
            return convert(value, option)
    return value


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
        return {convert(name, key_hint): convert(item, item_hint) for name, item in value.items()}
    hints = {field.name: field.hint for field in fields}
    return hint(**{name: convert(item, hints[name]) for name, item in value.items()})


def _with_utc_offset(text: str) -> str:
    # `fromisoformat` does not accept "Z" before Python 3.11.
    return text[:-1] + "+00:00" if text.endswith("Z") else text
