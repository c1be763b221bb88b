"""Nearly valid JSON value + JSON schema -> the intended value, if there is no doubt about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aichatkit import _json
from aichatkit.structured.validation import find_errors, resolve

__all__ = ["fit_arguments", "fit_texts"]

_NOTHING = object()
_SCALARS = ("integer", "number", "boolean", "null")
#: Maximum number of parts to try: with alternatives at every level, their number grows exponentially.
_MAX_STEPS = 2000
#: Python's spellings of JSON constants.
_WORDS = {"True": True, "False": False, "None": None}


def fit_texts(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return an answer with the lists and objects that were written as text parsed.

    >>> fit_texts({"tags": '["a"]'}, {"properties": {"tags": {"type": "array"}}})
    {'tags': ['a']}
    """
    return value if _fits(value, schema, schema) else _Fitter(schema, ("array", "object")).fit(value, schema)


def fit_arguments(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the arguments of a call with values that were written as text parsed, and without null for a default.

    >>> schema = {"properties": {"days": {"type": "integer"}, "unit": {"type": "string"}}}
    >>> fit_arguments({"days": "3", "unit": None}, schema)
    {'days': 3}
    """
    types = ("array", "object", *_SCALARS)
    return value if _fits(value, schema, schema) else _Fitter(schema, types, drops_null=True).fit(value, schema)


class _Fitter:
    """Fits the parts of a value; text is parsed as JSON if the schema expects one of `types` instead."""

    def __init__(self, root: Mapping[str, Any], types: tuple[str, ...], *, drops_null: bool = False) -> None:
        self.root = root
        self.types = types
        self.drops_null = drops_null
        self.steps = 0

    def fit(self, value: Any, schema: Any) -> Any:
        """Return the intended value, or the value unchanged if there is doubt."""
        self.steps += 1
        if self.steps > _MAX_STEPS:
            return value
        schema = resolve(schema, self.root)
        if not isinstance(schema, Mapping) or _fits(value, schema, self.root):
            return value
        for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            candidate = self.fit(value, option)
            if _fits(candidate, option, self.root):
                return candidate
        for option in schema.get("allOf", ()):
            value = self.fit(value, option)
        if isinstance(value, str):
            parsed = self._read(value, schema)
            return value if parsed is _NOTHING else self._fit_items(parsed, schema)
        return self._fit_items(value, schema)

    def _fit_items(self, value: Any, schema: Mapping[str, Any]) -> Any:
        if isinstance(value, Mapping):
            return self._fit_object(value, schema)
        if not isinstance(value, list):
            return value
        prefix, rest = schema.get("prefixItems", ()), schema.get("items", True)
        return [self.fit(item, prefix[i] if i < len(prefix) else rest) for i, item in enumerate(value)]

    def _fit_object(self, value: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        properties, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        fitted = {}
        for name, item in value.items():
            inner = properties.get(name, rest)
            is_default = self.drops_null and item is None and name in properties and name not in _required(schema)
            if not (is_default and not _fits(None, inner, self.root)):
                fitted[name] = self.fit(item, inner)
        return fitted

    def _read(self, text: str, schema: Mapping[str, Any]) -> Any:
        names = schema.get("type") or ()
        wanted = [name for name in ([names] if isinstance(names, str) else names) if name in self.types]
        if not wanted:
            return _NOTHING
        try:
            value = _WORDS[text] if text in _WORDS else _json.loads(text)
        except (ValueError, RecursionError):
            return _NOTHING
        return value if _fits(value, {"type": wanted}, self.root) else _NOTHING


def _fits(value: Any, schema: Any, root: Any) -> bool:
    return not find_errors(value, schema, root)


def _required(schema: Mapping[str, Any]) -> Any:
    return schema.get("required", ())
