"""JSON value + type -> the type's value."""

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

from aichatkit.structured.schemas import UNIONS, bare, enumerated, fields_of, schema_of
from aichatkit.structured.validation import check

__all__ = ["build", "is_model"]

_MAKERS: Mapping[Any, Callable[[Any], Any]] = {
    int: int,
    float: float,
    datetime: lambda value: datetime.fromisoformat(_zoned(value)),
    date: date.fromisoformat,
    time: lambda value: time.fromisoformat(_zoned(value)),
    Decimal: lambda value: Decimal(str(value)),
    UUID: UUID,
    Path: Path,
}


def build(value: Any, kind: Any) -> Any:
    """Return the type's value from parsed JSON that fits its schema; raise ValueError where its constructor does.

    >>> build([1, 2], typing.Set[int])
    {1, 2}
    """
    kind = bare(kind)
    if is_model(kind):
        # By way of text, as pydantic takes a date or a tuple from JSON also where it is strict.
        return kind.model_validate_json(json.dumps(value))
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in UNIONS:
        return _build_union(value, args)
    if origin is typing.Literal:
        return next((arg for arg in args if isinstance(arg, enum.Enum) and arg.value == value), value)
    if isinstance(value, list):
        return _build_sequence(value, origin or kind, args)
    if isinstance(value, Mapping):
        return _build_mapping(value, kind, args)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return enumerated(kind)[value]
    made = _MAKERS.get(kind) if value is not None and not isinstance(value, bool) else None
    return made(value) if made else value


def is_model(kind: Any) -> bool:
    """Tell whether a type is a pydantic model, which checks its values by itself."""
    return hasattr(kind, "model_validate_json")


def _build_union(value: Any, kinds: Sequence[Any]) -> Any:
    for kind in kinds:
        if not check(value, schema_of(kind)):
            return build(value, kind)
    return value


def _build_sequence(value: list[Any], kind: Any, args: Sequence[Any]) -> Any:
    fixed = kind is tuple and args and args[-1] is not Ellipsis
    parts = args if fixed else [args[0] if args else Any] * len(value)
    items = [build(item, part) for item, part in zip(value, parts)]
    if kind is tuple or kind is frozenset:
        return kind(items)
    return set(items) if isinstance(kind, type) and issubclass(kind, Set) else items


def _build_mapping(value: Mapping[str, Any], kind: Any, args: Sequence[Any]) -> Any:
    fields = fields_of(kind)
    if fields is None:
        keys, items = args if len(args) == 2 else (Any, Any)
        return {build(name, keys): build(item, items) for name, item in value.items()}
    hints = {field.name: field.hint for field in fields}
    return kind(**{name: build(item, hints[name]) for name, item in value.items()})


def _zoned(text: str) -> str:
    # Before Python 3.11 the letter is not understood.
    return text[:-1] + "+00:00" if text.endswith("Z") else text
