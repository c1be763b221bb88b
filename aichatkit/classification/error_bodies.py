"""Bytes of an error body -> what it says: its message, codes and status number, whatever its shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aichatkit.classification.table import NAMED_FAULT

__all__ = ["ErrorBody", "clean", "parse_body", "read_record"]

_LONGEST_MESSAGE = 2048
_CODE_KEYS = ("error_code", "code", "status", "type", "reason", "quotaId", "limit_source", "error_type", "__type")
_MESSAGE_KEYS = ("message", "msg", "error", "detail", "errorMessage", "error_description", "title")
_NO_CODES = frozenset({"", "error", "failed", "response.failed"})
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
_EVENT_DATA = re.compile(r"^data: ?(.*)$", re.MULTILINE)


class ErrorBody(NamedTuple):
    """What a body says of itself; `named` where it blames a part of the request."""

    message: str = ""
    code: str | None = None
    codes: tuple[str, ...] = ()
    number: int = 0
    named: bool = False
    moderated: bool = False
    request_id: str | None = None
    param: str | None = None  #: the field of the request that was refused


def parse_body(text: str) -> object:
    """Parse JSON, bare or in the first event of a stream; anything else stays the text it is."""
    if text.startswith(("data:", "event:")):
        text = "\n".join(_EVENT_DATA.findall(text)[:1])
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def read_record(record: object) -> ErrorBody:
    """Read a body: an object with its error in any of the known places, a list of one, a string, anything."""
    outer = _first(record)
    if not isinstance(outer, Mapping):
        return ErrorBody(clean(outer, _LONGEST_MESSAGE) if isinstance(outer, str) else "")
    response = outer.get("response")
    base = response if outer.get("type") == "response.failed" and isinstance(response, Mapping) else outer
    # Mistral has the detail below the message.
    wrapped = base.get("message")
    places = [base, wrapped] if isinstance(wrapped, Mapping) else [base]
    error = next((_first(at[key]) for at in places for key in ("error", "errors", "detail") if at.get(key)), None)
    inner = error if isinstance(error, Mapping) else base
    notes = _notes(inner)
    layers = [inner, *notes, base, outer]
    codes = [_code(layer.get(key)) for layer in layers for key in _CODE_KEYS]
    known = tuple(dict.fromkeys(code.lower() for code in codes if code.lower() not in _NO_CODES))
    param = inner.get("param")
    return ErrorBody(
        message=_message(inner, notes) or _message(base, notes),
        code=_own_code(layers),
        codes=known,
        number=_number(layers),
        named=bool(param and not _about_limits(param)) or any(NAMED_FAULT.fullmatch(code) for code in known),
        moderated=any(note.get("reasons") or note.get("flagged_input") for note in notes),
        param=_refused_field(param, inner),
        request_id=next(filter(None, (_code(layer.get("request_id")) for layer in layers)), None),
    )


def clean(value: object, limit: int) -> str:
    """Make a service's words fit for a message: printable, one line, cut to `limit` characters."""
    # A lone surrogate from an escape could not be printed.
    text = str(value)[: 4 * limit].encode("utf-8", "replace").decode("utf-8")
    return _UNPRINTABLE.sub(" ", text).strip()[:limit]


def _first(value: object) -> object:
    return (value[0] if value else None) if isinstance(value, list) else value


def _notes(inner: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Collect the objects that explain an error: details, their violations, metadata."""
    notes: list[Mapping[str, object]] = []
    pending = [inner.get(key) for key in ("details", "innererror", "metadata")]
    while pending and len(notes) < 30:
        value = pending.pop(0)
        for note in value[:30] if isinstance(value, list) else [value]:
            if isinstance(note, Mapping):
                notes.append(note)
                pending.append(note.get("violations"))
    return notes


def _code(value: object) -> str:
    known = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e15)
    return clean(value, 100) if known else ""


def _refused_field(param: object, inner: Mapping[str, object]) -> str | None:
    if isinstance(param, str) and param:
        return clean(param, 100)
    place = inner.get("loc")
    last = place[-1] if isinstance(place, (list, tuple)) and place else None
    return clean(last, 100) if isinstance(last, str) else None


def _about_limits(param: object) -> bool:
    # Named where the context is too long or the model unknown: then the words are the service's own.
    return isinstance(param, str) and ("token" in param or param == "model")


def _own_code(layers: Sequence[Mapping[str, object]]) -> str | None:
    exact = [_code(layer.get("error_code")) for layer in layers]
    usual = [_code(layer.get(key)) for layer in layers for key in ("code", "limit_source", "status", "type")]
    # A number that repeats the status says nothing.
    told = (code for code in exact + usual if code not in _NO_CODES and not re.fullmatch("[1-5][0-9][0-9]", code))
    return next(told, None)


def _number(layers: Sequence[Mapping[str, object]]) -> int:
    numbers = (_code(layer.get(key)) for layer in layers for key in ("code", "status", "status_code"))
    return next((int(number) for number in numbers if re.fullmatch("[45][0-9][0-9]", number, re.ASCII)), 0)


def _message(record: Mapping[str, object], notes: Sequence[Mapping[str, object]]) -> str:
    values = (_first(record.get(key)) for key in _MESSAGE_KEYS)
    words = next((value for value in values if isinstance(value, str) and value.strip()), "")
    place = record.get("loc")
    if isinstance(place, list) and words:
        words = f"{'.'.join(_code(part) for part in place[:8])}: {words}"
    # A gateway's own words say less than those of the service behind it.
    behind = next((raw for raw in (note.get("raw") for note in notes) if isinstance(raw, str)), "")
    return clean(f"{words}: {behind}" if words and behind else words, _LONGEST_MESSAGE)
