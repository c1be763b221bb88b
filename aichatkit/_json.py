"""Strict JSON: numbers keep their digits, NaN and infinities are rejected, text can always be encoded."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any

from aichatkit._surrogates import repair, repair_escapes

__all__ = ["Digits", "dumps", "has_digits", "loads", "loads_object", "loads_record", "plain", "raw_decode"]

#: Deeper data is rejected: parsing, validating and encoding it again would hit Python's recursion limit.
_MAX_DEPTH = 100
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)
#: The encoder gets such a number as a string with this prefix, random so that no other text can start with it.
_MARK = secrets.token_hex(8)
_MARKED = re.compile(rf'"{_MARK}([^"]*)"')


class Digits(float):
    """A number that a float cannot represent exactly as written; `str` returns the original text.

    >>> Digits("98765432109876543.210")
    98765432109876543.210
    """

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Digits:
        number = super().__new__(cls, text)
        number._text = text
        return number

    def __repr__(self) -> str:
        return self._text

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[Digits], tuple[str]]:
        return type(self), (self._text,)

    def is_integer(self) -> bool:
        """Return whether the number as written is whole."""
        digits, places = self._split()
        return not digits or places >= 0

    def __int__(self) -> int:
        digits, places = self._split()
        if digits and places < 0:
            return super().__int__()
        number = int(digits + "0" * places) if digits else 0
        return -number if self._text.startswith("-") else number

    def _split(self) -> tuple[str, int]:
        """Return the digits without trailing zeros, and the power of ten to multiply them by."""
        number, _, exponent = self._text.lstrip("-").lower().partition("e")
        whole, _, fraction = number.partition(".")
        digits = (whole + fraction).rstrip("0")
        return digits.lstrip("0"), len(whole) - len(digits) + int(exponent or 0)


def loads(text: str) -> Any:
    r"""Return the value of JSON text; raise ValueError for anything else, such as NaN or 1e999.

    Data that is nested too deeply raises RecursionError.

    >>> loads('{"price": 1.10, "name": "\\ud83d"}')
    {'price': 1.10, 'name': '�'}
    """
    return _checked(text, _DECODER.decode(repair(repair_escapes(text))))


def loads_record(text: str) -> Any:
    """Return the value of a service's record, with its digits; accept NaN, which only matters if its field is used."""
    return _RECORD_DECODER.decode(text)


def raw_decode(text: str, start: int) -> tuple[Any, int]:
    """Return the value that starts at an index, and the index after it; `text` is not repaired."""
    value, end = _DECODER.raw_decode(text, start)
    return _checked(text[start:end], value), end


def loads_object(text: str) -> dict[str, Any] | None:
    r"""Return the JSON object in a text, which may be encoded twice; {} for an empty text, None for anything else.

    >>> loads_object('"{\\"city\\": \\"Oslo\\"}"'), loads_object(""), loads_object("[1]")
    ({'city': 'Oslo'}, {}, None)
    """
    value: Any = text
    for _ in range(3):
        if not isinstance(value, str):
            break
        try:
            value = loads(value.strip() or "null")
        except (ValueError, RecursionError):
            return None
    if value is None:
        return {}
    return value if isinstance(value, dict) else None


def dumps(value: Any) -> str:
    """Return JSON text that keeps the digits of numbers; raise ValueError for NaN and infinities.

    >>> dumps({"price": Digits("1.10")})
    '{"price": 1.10}'
    """
    if not has_digits(value):
        return _encode(value)
    return _MARKED.sub(r"\1", _encode(_marked(value)))


def plain(value: Any) -> Any:
    """Return a parsed value with ordinary floats, as other libraries expect."""
    if isinstance(value, Digits):
        return float(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def has_digits(value: Any) -> bool:
    """Return whether a value contains any `Digits`."""
    if isinstance(value, Mapping):
        return any(map(has_digits, value.values()))
    return any(map(has_digits, value)) if isinstance(value, (list, tuple)) else isinstance(value, Digits)


def _parse_float(text: str) -> float:
    number = float(text)
    return number if repr(number) == text else Digits(text)


def _parse_finite(text: str) -> float:
    number = _parse_float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is larger than any float")
    return number


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=_parse_finite, parse_constant=_refuse)
_RECORD_DECODER = json.JSONDecoder(parse_float=_parse_float)
_encode = json.JSONEncoder(allow_nan=False).encode


def _checked(text: str, value: Any) -> Any:
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return value
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > _MAX_DEPTH:
            raise RecursionError(f"it is nested more than {_MAX_DEPTH} levels deep")
    return value


def _marked(value: Any) -> Any:
    if isinstance(value, Digits):
        return f"{_MARK}{value}"
    if isinstance(value, Mapping):
        return {name: _marked(item) for name, item in value.items()}
    return list(map(_marked, value)) if isinstance(value, (list, tuple)) else value
