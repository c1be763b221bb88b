"""The return value of a tool -> the text for the model."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from aichatkit._surrogates import repair

__all__ = ["result_text"]

_MAX_CHARS = 200_000
_PLAIN = (str, int, float, type(None))
#: Methods that convert arrays, columns and tables to lists, in NumPy, pandas, PyTorch, Polars and PyArrow.
_TO_LISTS = ("tolist", "to_pylist", "to_dicts", "to_list")


def result_text(result: Any, name: str) -> str:
    """Return a result as text, encoded as JSON unless it is a string; a long one is truncated.

    Raises:
        TypeError: the result must be awaited; the message contains `name`, the tool's name.
    """
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            # Python would warn that it was never awaited.
            result.close()
        raise TypeError(f"{name} is async; pass a plain function")
    if inspect.isgenerator(result):
        result = list(result)
    text = repair(result if isinstance(result, str) else json.dumps(_jsonable(result), ensure_ascii=False))
    if len(text) <= _MAX_CHARS:
        return text
    return f"{text[:_MAX_CHARS]}\n[cut: the result has {len(text):,} characters]"


def _jsonable(value: Any) -> Any:
    """Return the equivalent of a value that `json` can encode."""
    if isinstance(value, Enum):
        return _jsonable(value.value)
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {_key(name): _jsonable(item) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _jsonable(value._asdict())
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return [_jsonable(item) for item in sorted(value, key=str)]
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _from_library(value)


def _from_library(value: Any) -> Any:
    """Return an array or table as lists and numbers, anything else as text."""
    if isinstance(value, type):
        return str(value)
    if hasattr(value, "iterrows"):
        return _jsonable(value.to_dict(orient="records"))
    for name in _TO_LISTS:
        if callable(getattr(value, name, None)):
            plain = getattr(value, name)()
            # Some objects return themselves.
            return str(plain) if plain is value else _jsonable(plain)
    return str(value)


def _key(name: Any) -> Any:
    """Return a key that `json` can encode."""
    name = name.value if isinstance(name, Enum) else name
    return name if isinstance(name, _PLAIN) else str(name)
