"""The return value of a tool -> the text and the files for the model."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit._surrogates import repair
from aichatkit.errors import ConfigurationError
from aichatkit.images import ImageResponse
from aichatkit.messages import Content, File

if TYPE_CHECKING:
    from aichatkit import attachments
else:
    # Few tools return files.
    attachments = lazy_module("aichatkit.attachments")

__all__ = ["result_content"]

_MAX_CHARS = 200_000
_PLAIN = (str, int, float, type(None))
#: Methods that convert arrays, columns and tables to lists, in NumPy, pandas, PyTorch, Polars and PyArrow.
_TO_LISTS = ("tolist", "to_pylist", "to_dicts", "to_list")


def result_content(result: Any, name: str) -> Content:
    """Return a result as text, encoded as JSON unless it is a string; a long one is truncated.

    If it is a picture, PDF or recording, or a list with some, it becomes parts.

    Raises:
        TypeError: the result must be awaited; the message contains `name`, the tool's name.
    """
    if isinstance(result, ImageResponse):
        result = [str(result), *(attachments.load_file(image) for image in result.images if image.startswith("data:"))]
    elif inspect.isgenerator(result):
        result = list(result)
    items = result if isinstance(result, (list, tuple)) else [result]
    files = [_file_of(item) for item in items]
    if not any(files):
        return _text(result, name)
    return [
        {"type": "text", "text": _text(item, name)} if file is None else {"type": "file", "file": file}
        for item, file in zip(items, files)
    ]


def _file_of(value: Any) -> File | None:
    """Return the file that a value is, None if it is something else."""
    if isinstance(value, File):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            file = attachments.load_file(value)
        except ConfigurationError:
            return None
        return None if file.kind == "text" else file
    libraries = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
    # Objects of other libraries may have methods of these names that do something else.
    is_drawn = "matplotlib" in libraries and hasattr(value, "savefig")
    is_drawn = is_drawn or ("PIL" in libraries and hasattr(value, "save") and hasattr(value, "mode"))
    return attachments.load_file(value) if is_drawn else None


def _text(result: Any, name: str) -> str:
    if inspect.isawaitable(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            # Python would warn that it was never awaited.
            result.close()
        raise TypeError(f"{name} is async; pass a plain function")
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
