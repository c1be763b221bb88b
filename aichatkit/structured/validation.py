"""JSON value + JSON schema -> validation errors, worded so that a model can act on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Callable
from urllib.parse import unquote

__all__ = ["find_errors", "resolve"]

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (isinstance(value, int) or _is_integral(value)) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
}


def find_errors(value: Any, schema: Any, root: Any = None) -> list[str]:
    """Return the validation errors of a value, each starting with its path; an empty list if the value is valid.

    Unknown schema keywords are ignored. `root` is the schema with the definitions, if not this one.

    >>> find_errors({"n": "x"}, {"type": "object", "properties": {"n": {"type": "integer"}}})
    ['n: must be integer, not a string']
    """
    errors = _Validator(root or schema).iter_errors(value, schema, "")
    return [f"{path or 'the answer'}: {message}" for path, message in errors]


def resolve(schema: Any, root: Any) -> Any:
    """Return a schema with its reference followed to a definition in `root`; {} if that does not exist."""
    for _ in range(20):  # a reference may point to another, and in a broken schema to itself
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        resolved: Any = root
        for step in reference[1:].split("/")[1:]:
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(resolved, (list, tuple)) and step.isdecimal() and int(step) < len(resolved):
                resolved = resolved[int(step)]
            else:
                resolved = resolved.get(step, {}) if isinstance(resolved, Mapping) else {}
        siblings = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**resolved, **siblings} if isinstance(resolved, Mapping) else resolved
    return {}


#: Pairs of path and message.
_Errors = Iterator[tuple[str, str]]


class _Validator:
    """Validates values against a schema and its subschemas; `root` is what references are resolved against."""

    def __init__(self, root: Any) -> None:
        self.root = root
        #: The errors of the forms tried so far: without them, recursive forms take exponential time.
        self._tried: dict[tuple[str, int, int], list[tuple[str, str]]] = {}

    def iter_errors(self, value: Any, schema: Any, path: str) -> _Errors:
        schema = resolve(schema, self.root)
        if not isinstance(schema, Mapping):
            if schema is False:
                yield path, "is not allowed"
            return
        type_names = schema.get("type") or ()
        type_names = [type_names] if isinstance(type_names, str) else list(type_names)
        if value is None and schema.get("nullable") is True:
            return
        if type_names and not any(_TYPES.get(name, lambda _: True)(value) for name in type_names):
            yield path, f"must be {' or '.join(type_names)}, not {_describe_type(value)}"
            return
        yield from _value_errors(value, schema, path)
        yield from self._combined_errors(value, schema, path)
        if isinstance(value, Mapping):
            yield from self._object_errors(value, schema, path)
        elif isinstance(value, list):
            yield from self._array_errors(value, schema, path)

    def _combined_errors(self, value: Any, schema: Mapping[str, Any], path: str) -> _Errors:
        for option in schema.get("allOf", ()):
            yield from self.iter_errors(value, option, path)
        for keyword in ("anyOf", "oneOf"):
            failures = [self._form_errors(value, option, path) for option in schema.get(keyword, ())]
            if failures and all(failures):
                # Report the option that failed deepest in the value, most likely the intended one.
                closest = max(failures, key=lambda errors: max(len(error_path) for error_path, _ in errors))
                details = "; ".join(f"{error_path or 'it'}: {message}" for error_path, message in closest)
                yield path, f"fits none of the forms that are allowed ({details})"

    def _form_errors(self, value: Any, form: Any, path: str) -> list[tuple[str, str]]:
        # Values and forms are parts of the answer and the schema, which outlive the validation.
        key = path, id(value), id(form)
        if key not in self._tried:
            self._tried[key] = list(self.iter_errors(value, form, path))
        return self._tried[key]

    def _object_errors(self, value: Mapping[str, Any], schema: Mapping[str, Any], path: str) -> _Errors:
        yield from _size_errors(len(value), schema, "Properties", "fields", path)
        properties, additional = schema.get("properties", {}), schema.get("additionalProperties", True)
        patterns = schema.get("patternProperties", {})
        for name in schema.get("required", ()):
            if name not in value:
                yield _join(path, name), "is missing"
        for name, item in value.items():
            schemas = [patterns[pattern] for pattern in patterns if _matches(pattern, name)]
            schemas += [properties[name]] if name in properties else []
            if not schemas and additional is False:
                yield _join(path, name), "is not a field"
                continue
            for inner in schemas or [additional]:
                yield from self.iter_errors(item, inner, _join(path, name))

    def _array_errors(self, value: list[Any], schema: Mapping[str, Any], path: str) -> _Errors:
        prefix, rest = schema.get("prefixItems", ()), schema.get("items", True)
        if isinstance(rest, list):  # before draft 2020-12, a list in `items` did what `prefixItems` does now
            prefix, rest = rest, schema.get("additionalItems", True)
        for index, item in enumerate(value):
            inner = prefix[index] if index < len(prefix) else rest
            yield from self.iter_errors(item, inner, _join(path, str(index)))


def _value_errors(value: Any, schema: Mapping[str, Any], path: str) -> _Errors:
    if "enum" in schema and not any(_is_equal(value, option) for option in schema["enum"]):
        yield path, f"must be one of {schema['enum']}"
    if "const" in schema and not _is_equal(value, schema["const"]):
        yield path, f"must be {schema['const']!r}"
    if isinstance(value, str):
        yield from _size_errors(len(value), schema, "Length", "characters", path)
        if "pattern" in schema and not _matches(schema["pattern"], value):
            yield path, f"does not match {schema['pattern']!r}"
    elif isinstance(value, list):
        yield from _size_errors(len(value), schema, "Items", "items", path)
        if schema.get("uniqueItems") is True and _has_repeats(value):
            yield path, "has an item twice"
    elif _TYPES["number"](value):
        yield from _range_errors(value, schema, path)


def _size_errors(size: int, schema: Mapping[str, Any], suffix: str, unit: str, path: str) -> _Errors:
    minimum, maximum = schema.get(f"min{suffix}", 0), schema.get(f"max{suffix}", size)
    if size < minimum:
        yield path, f"has {size} {unit}; at least {minimum} are needed"
    if size > maximum:
        yield path, f"has {size} {unit}; at most {maximum} are allowed"


def _range_errors(value: float, schema: Mapping[str, Any], path: str) -> _Errors:
    # In draft 4, exclusiveMinimum and exclusiveMaximum are booleans.
    bounds = {name: bound for name, bound in schema.items() if _TYPES["number"](bound)}
    if value < bounds.get("minimum", value):
        yield path, f"must be at least {bounds['minimum']}, not {value}"
    if value > bounds.get("maximum", value):
        yield path, f"must be at most {bounds['maximum']}, not {value}"
    if "exclusiveMinimum" in bounds and value <= bounds["exclusiveMinimum"]:
        yield path, f"must be more than {bounds['exclusiveMinimum']}, not {value}"
    if "exclusiveMaximum" in bounds and value >= bounds["exclusiveMaximum"]:
        yield path, f"must be less than {bounds['exclusiveMaximum']}, not {value}"
    if bounds.get("multipleOf", 0) > 0 and not _is_multiple(value, bounds["multipleOf"]):
        yield path, f"must be a multiple of {bounds['multipleOf']}, not {value}"


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:  # JSON schema uses ECMA 262 regular expressions, not all of which Python can compile
        return True


def _is_equal(value: Any, other: Any) -> bool:
    if _TYPES["number"](value) and _TYPES["number"](other):
        return _exact(value) == _exact(other)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_is_equal, value, other))
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(_is_equal(item, other[name]) for name, item in value.items())
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _exact(number: float) -> Decimal:
    """Return a number with all the digits that were sent, which a float may lack."""
    return Decimal(number) if isinstance(number, int) else Decimal(str(number))


def _is_multiple(value: float, step: float) -> bool:
    # As floats, 0.3 is not a multiple of 0.1.
    try:
        return Decimal(str(value)) % Decimal(str(step)) == 0
    except InvalidOperation:  # the quotient has too many digits
        return True


def _has_repeats(items: list[Any]) -> bool:
    return len(set(map(_identity, items))) < len(items)


def _identity(value: Any) -> Any:
    """Return a hashable value that is the same for equal JSON values, such as 1 and 1.0, but not for 1 and true."""
    if isinstance(value, Mapping):
        return frozenset((name, _identity(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(map(_identity, value))
    return Decimal(str(value)) if _TYPES["number"](value) else (type(value), value)


def _is_integral(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _describe_type(value: Any) -> str:
    name = next((name for name, matches in _TYPES.items() if matches(value)), type(value).__name__)
    return f"a{'n' if name[0] in 'aeiou' else ''} {name}"
