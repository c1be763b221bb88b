"""Body of a request -> refusal, if a field is of the wrong type or out of bounds, as the services refuse it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.sandbox.exchange import APIError

__all__ = ["BadField", "check_fields", "check_required", "json_type", "parse_fields", "parse_required"]

#: Kind -> what a service calls it.
_NAMES = {
    "number": "a decimal number",
    "integer": "an integer",
    "boolean": "a boolean",
    "string": "a string",
    "object": "an object",
    "objects": "an array of objects",
    "strings": "an array of strings",
    "stops": "one of an array of strings or string",
    "text": "one of a string or array of objects",
    "choice": "one of a string or object",
    "flag": "one of a boolean or integer",
    "enum": "one of the supported values",
}


_SEGMENT = re.compile(r"([^{.]+)(?:\{(\w+)=([\w.-]+)\})?")


class Field(NamedTuple):
    """What a field must be: `low` and `high` bound a number, `values` are those of an enumeration."""

    kind: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()


class BadField(NamedTuple):
    """A field that is refused: its path, what it must be, and its value."""

    path: str
    field: Field
    value: Any

    @property
    def is_out_of_bounds(self) -> bool:
        """Whether its type is right."""
        return _has_kind(self.value, self.field.kind)

    @property
    def expected(self) -> str:
        """What it must be, in words."""
        return _NAMES[self.field.kind]


def parse_fields(text: str) -> dict[str, Field]:
    """Return the fields of a table: on each line a kind, then names, each with bounds as in `temperature:0..2`.

    >>> parse_fields("number temperature:0..2 top_p")["temperature"]
    Field(kind='number', low=0.0, high=2.0, values=())
    """
    fields = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        kind, *entries = line.split()
        for entry in entries:
            name, _, rule = entry.partition(":")
            if kind == "enum":
                fields[name] = Field(kind, values=tuple(rule.split("|")))
            else:
                low, _, high = rule.partition("..")
                fields[name] = Field(kind, float(low) if low else None, float(high) if high else None)
    return fields


def check_fields(record: Any, fields: Mapping[str, Field], refuse: Callable[[BadField], APIError]) -> None:
    """Raise what `refuse` makes of the first field that a service would not take; null counts as missing.

    A name with dots is a path; `[]` in it matches every item of an array, and `{key=value}` behind one of its names
    selects objects.
    """
    for path, field in fields.items():
        for place, value in _find(record, _SEGMENT.findall(path), ""):
            if value is not None and not _is_valid(value, field):
                raise refuse(BadField(place, field, value))


def parse_required(text: str) -> list[tuple[str, str]]:
    """Return the pairs of a table: on each line the path of an object, a colon, and the names it must have.

    >>> parse_required("tools.[]: type name")
    [('tools.[]', 'type'), ('tools.[]', 'name')]
    """
    lines = [line.partition(":") for line in map(str.strip, text.splitlines()) if line]
    return [(path, name) for path, _, names in lines for name in names.split()]


def check_required(record: Any, required: Sequence[tuple[str, str]], refuse: Callable[[str, str], APIError]) -> None:
    """Raise what `refuse` makes of the place of the first object that lacks a name, and of that name."""
    for path, name in required:
        for place, value in _find(record, _SEGMENT.findall(path), ""):
            if isinstance(value, dict) and value.get(name) is None:
                raise refuse(place, name)


def json_type(value: Any) -> str:
    """Return the name of a JSON type.

    >>> json_type(None), json_type(True), json_type(1.5), json_type([])
    ('null', 'bool', 'number', 'array')
    """
    names = {type(None): "null", bool: "bool", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def _find(record: Any, names: Sequence[tuple[str, str, str]], place: str) -> Iterator[tuple[str, Any]]:
    """Yield the values at a path with their places; of what is not there, or of another shape, there are none."""
    if not names:
        yield place.lstrip("."), record
        return
    name, key, wanted = names[0]
    found: list[tuple[str, Any]] = []
    if name == "[]":
        found = [(f"{place}[{index}]", item) for index, item in enumerate(record if isinstance(record, list) else ())]
    elif isinstance(record, dict) and name in record:
        found = [(f"{place}.{name}", record[name])]
    for where, value in found:
        if not key or (isinstance(value, dict) and value.get(key) == wanted):
            yield from _find(value, names[1:], where)


def _is_valid(value: Any, field: Field) -> bool:
    if field.kind == "enum":
        return isinstance(value, str) and value in field.values
    if not _has_kind(value, field.kind):
        return False
    return (field.low is None or value >= field.low) and (field.high is None or value <= field.high)


def _has_kind(value: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        is_number = isinstance(value, int) or (kind == "number" and isinstance(value, float) and abs(value) < 1e300)
        return is_number and not isinstance(value, bool)
    if kind in ("objects", "strings"):
        item_type = dict if kind == "objects" else str
        return isinstance(value, list) and all(isinstance(item, item_type) for item in value)
    if kind == "stops":
        return isinstance(value, str) or _has_kind(value, "strings")
    if kind == "text":
        return isinstance(value, str) or _has_kind(value, "objects")
    types: dict[str, Any] = {
        "boolean": bool,
        "string": str,
        "object": dict,
        "choice": (str, dict),
        "flag": int,
        "enum": str,
    }
    return isinstance(value, types[kind])
