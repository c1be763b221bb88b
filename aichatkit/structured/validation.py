"""JSON value + JSON schema -> what is wrong with it, in words a model can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Callable
from urllib.parse import unquote

__all__ = ["check"]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (isinstance(value, int) or _is_whole(value)) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
}


def check(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a value by a JSON schema, each with its place; nothing where it fits.

    Words of a schema that are not known are passed over, never refused.

    >>> check({"n": "x"}, {"type": "object", "properties": {"n": {"type": "integer"}}})
    ['n: must be integer, not a string']
    """
    return [f"{place or 'the answer'}: {what}" for place, what in _Check(schema).faults(value, schema, "")]


_Faults = Iterator[tuple[str, str]]


class _Check:
    """The schema that references start from, and the checks below it."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def faults(self, value: Any, schema: Any, place: str) -> _Faults:
        schema = self._resolved(schema)
        if not isinstance(schema, Mapping):
            if schema is False:
                yield place, "is not allowed"
            return
        kinds = schema.get("type") or ()
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        if value is None and schema.get("nullable") is True:
            return
        if kinds and not any(_TYPES.get(kind, lambda _: True)(value) for kind in kinds):
            yield place, f"must be {' or '.join(kinds)}, not {_told(value)}"
            return
        yield from _value_faults(value, schema, place)
        yield from self._combined(value, schema, place)
        if isinstance(value, Mapping):
            yield from self._object(value, schema, place)
        elif isinstance(value, list):
            yield from self._array(value, schema, place)

    def _combined(self, value: Any, schema: Mapping[str, Any], place: str) -> _Faults:
        for option in schema.get("allOf", ()):
            yield from self.faults(value, option, place)
        for word in ("anyOf", "oneOf"):
            found = [list(self.faults(value, option, place)) for option in schema.get(word, ())]
            if found and all(found):
                # The form that got furthest is the one that was meant.
                nearest = max(found, key=lambda faults: max(len(where) for where, _ in faults))
                told = "; ".join(f"{where or 'it'}: {what}" for where, what in nearest)
                yield place, f"fits none of the forms that are allowed ({told})"

    def _object(self, value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> _Faults:
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        patterns = schema.get("patternProperties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield _below(place, name), "is missing"
        for name, item in value.items():
            fitting = [patterns[pattern] for pattern in patterns if _matches(pattern, name)]
            fitting += [known[name]] if name in known else []
            if not fitting and others is False:
                yield _below(place, name), "is not a field"
                continue
            for inner in fitting or [others]:
                yield from self.faults(item, inner, _below(place, name))

    def _array(self, value: list[Any], schema: Mapping[str, Any], place: str) -> _Faults:
        first, rest = schema.get("prefixItems", ()), schema.get("items", True)
        if isinstance(rest, list):  # the older way to say prefixItems
            first, rest = rest, schema.get("additionalItems", True)
        for index, item in enumerate(value):
            yield from self.faults(item, first[index] if index < len(first) else rest, _below(place, str(index)))

    def _resolved(self, schema: Any) -> Any:
        for _ in range(20):  # a reference may lead to another, and in a broken schema in a circle
            reference = schema.get("$ref") if isinstance(schema, Mapping) else None
            if not isinstance(reference, str) or not reference.startswith("#"):
                return schema
            found: Any = self.root
            for step in reference[1:].split("/")[1:]:
                step = unquote(step).replace("~1", "/").replace("~0", "~")
                found = found.get(step, {}) if isinstance(found, Mapping) else {}
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            schema = {**found, **beside} if isinstance(found, Mapping) else found
        return {}


def _value_faults(value: Any, schema: Mapping[str, Any], place: str) -> _Faults:
    if "enum" in schema and not any(_same(value, option) for option in schema["enum"]):
        yield place, f"must be one of {schema['enum']}"
    if "const" in schema and not _same(value, schema["const"]):
        yield place, f"must be {schema['const']!r}"
    if isinstance(value, str):
        yield from _size_faults(len(value), schema, "Length", "characters", place)
        if "pattern" in schema and not _matches(schema["pattern"], value):
            yield place, f"does not match {schema['pattern']!r}"
    elif isinstance(value, list):
        yield from _size_faults(len(value), schema, "Items", "items", place)
    elif _TYPES["number"](value):
        yield from _bound_faults(value, schema, place)


def _size_faults(size: int, schema: Mapping[str, Any], word: str, named: str, place: str) -> _Faults:
    least, most = schema.get(f"min{word}", 0), schema.get(f"max{word}", size)
    if size < least:
        yield place, f"has {size} {named}; at least {least} are needed"
    if size > most:
        yield place, f"has {size} {named}; at most {most} are allowed"


def _bound_faults(value: float, schema: Mapping[str, Any], place: str) -> _Faults:
    # Older schemas have true and false for the exclusive ones.
    bounds = {name: bound for name, bound in schema.items() if _TYPES["number"](bound)}
    if value < bounds.get("minimum", value):
        yield place, f"must be at least {bounds['minimum']}, not {value}"
    if value > bounds.get("maximum", value):
        yield place, f"must be at most {bounds['maximum']}, not {value}"
    if "exclusiveMinimum" in bounds and value <= bounds["exclusiveMinimum"]:
        yield place, f"must be more than {bounds['exclusiveMinimum']}, not {value}"
    if "exclusiveMaximum" in bounds and value >= bounds["exclusiveMaximum"]:
        yield place, f"must be less than {bounds['exclusiveMaximum']}, not {value}"


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:  # other dialects know expressions that this one does not
        return True


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _told(value: Any) -> str:
    named = next((name for name, fits in _TYPES.items() if fits(value)), type(value).__name__)
    return f"a{'n' if named[0] in 'aeiou' else ''} {named}"
