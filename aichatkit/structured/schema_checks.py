"""A JSON schema that was passed -> an error, if a keyword has a value that no JSON schema has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aichatkit.errors import ConfigurationError

__all__ = ["check_schema", "has_its_kind"]

#: What the values of keywords are -> the keywords.
_KINDS = {
    "a schema": "additionalItems additionalProperties contains else if not propertyNames then unevaluatedItems "
    "unevaluatedProperties",
    "a schema or a list of them": "items",
    "a list of schemas": "allOf anyOf oneOf prefixItems",
    "a dict of schemas": "$defs definitions dependentSchemas patternProperties properties",
    "a list of values": "enum",
    "a list of names": "required",
    "a name or a list of names": "type",
    "a number": "maximum minimum multipleOf",
    # In older drafts, whether the bound itself is excluded.
    "a number, or True or False": "exclusiveMaximum exclusiveMinimum",
    "a number of at least 0": "maxContains maxItems maxLength maxProperties minContains minItems minLength "
    "minProperties",
    "text": "$ref pattern",
}
#: Schemas in schemas; no service takes as many.
_MAX_DEPTH = 100
_KIND_OF = {keyword: kind for kind, keywords in _KINDS.items() for keyword in keywords.split()}


def has_its_kind(keyword: str, value: Any) -> bool:
    """Return whether the value of a keyword is one that a JSON schema may have; unknown keywords may have any.

    >>> has_its_kind("minLength", 3), has_its_kind("minLength", -1), has_its_kind("x-order", -1)
    (True, False, True)
    """
    kind = _KIND_OF.get(keyword)
    return kind is None or _is_of_kind(value, kind)


def check_schema(schema: Any, source: str) -> None:
    """Raise ConfigurationError for the first value of another kind; `source` is the option it was passed with.

    >>> check_schema({"type": "array", "items": {"type": "integer"}}, "schema")
    """
    _check(schema, "", source, 0, set())


def _check(schema: Any, place: str, source: str, depth: int, done: set[int]) -> None:
    if not isinstance(schema, Mapping) or id(schema) in done:
        return
    if depth > _MAX_DEPTH:
        raise ConfigurationError(f"{source}: the JSON schema contains itself, or is nested deeper than {_MAX_DEPTH}")
    for keyword, value in schema.items():
        kind = _KIND_OF.get(keyword)
        where = f"{place}.{keyword}".lstrip(".")
        if kind is None:
            continue
        if not has_its_kind(keyword, value):
            raise ConfigurationError(
                f"{source}: the value of {where} in the JSON schema must be {kind}, not {repr(value)[:60]}"
            )
        for inner, part in _parts(where, value, kind):
            _check(part, inner, source, depth + 1, done)
    done.add(id(schema))


def _is_of_kind(value: Any, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str)
    if kind == "a schema":
        return _is_schema(value)
    if kind.startswith("a number"):
        if isinstance(value, bool):
            return kind.endswith("True or False")
        return isinstance(value, (int, float)) and (not kind.endswith("at least 0") or value >= 0)
    if kind == "a dict of schemas":
        return isinstance(value, Mapping) and all(map(_is_schema, value.values()))
    if kind.startswith("a name") and isinstance(value, str):
        return True
    if kind.startswith("a schema") and _is_schema(value):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    if "schema" in kind:
        return all(map(_is_schema, value))
    return kind == "a list of values" or all(isinstance(item, str) for item in value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, (Mapping, bool))


def _parts(place: str, value: Any, kind: str) -> Iterator[tuple[str, Any]]:
    """Yield the schemas in the value of a keyword, with their places."""
    if "schema" not in kind:
        return
    if kind == "a dict of schemas":
        yield from ((f"{place}.{name}", part) for name, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from ((f"{place}[{number}]", part) for number, part in enumerate(value))
    else:
        yield place, value
