"""Text of an error body -> `ErrorBody`: its message, codes and status number, whatever its shape."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from aichatkit._dataclasses import NamedTuple
from aichatkit.classification.table import FAULT_CODES

__all__ = ["MESSAGE_KEYS", "ErrorBody", "clean", "parse_body", "parse_record"]

_MAX_MESSAGE = 2048
_CODE_KEYS = ("error_code", "code", "status", "type", "reason", "quotaId", "limit_source", "error_type", "__type")
#: Fields with an error message, most specific first.
MESSAGE_KEYS = (
    "message",
    "msg",
    "error",
    "detail",
    "errorMessage",
    "error_description",
    "title",
    "errmsg",
    "error_msg",
    "status_msg",
    "errorMsg",
)
_NO_CODES = frozenset({"", "0", "error", "failed", "response.failed"})
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
_EVENT_DATA = re.compile(r"^data: ?(.*)$", re.MULTILINE)


class ErrorBody(NamedTuple):
    """The content of an error body."""

    message: str = ""
    code: str | None = None  #: the most specific code, as the service writes it
    codes: tuple[str, ...] = ()  #: every code found, in lower case
    status: int = 0  #: the HTTP status it names, 0 if none
    names_fault: bool = False  #: whether it blames a specific part of the request
    moderated: bool = False  #: whether it gives a content filter's reasons
    request_id: str | None = None
    param: str | None = None  #: the rejected field of the request


def parse_body(text: str) -> object:
    """Parse JSON, bare or in the first event of a stream; return any other text unchanged."""
    if text.startswith(("data:", "event:")):
        text = "\n".join(_EVENT_DATA.findall(text)[:1])
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def parse_record(record: object) -> ErrorBody:
    """Parse a body of any shape: usually an object with its error under a known key, or a list of one."""
    outer = _first(record)
    if not isinstance(outer, Mapping):
        return ErrorBody(clean(outer, _MAX_MESSAGE) if isinstance(outer, str) else "")
    response = outer.get("response")
    base = response if outer.get("type") == "response.failed" and isinstance(response, Mapping) else outer
    if outer.get("success") is False and isinstance(outer.get("data"), Mapping):
        # WordPress.
        base = outer["data"]
    # Mistral nests the detail inside the message.
    wrapped = base.get("message")
    parents = [base, wrapped] if isinstance(wrapped, Mapping) else [base]
    error_keys = ("error", "errors", "detail")
    error = next((_first(parent[key]) for parent in parents for key in error_keys if parent.get(key)), None)
    inner = error if isinstance(error, Mapping) else base
    details = _collect_details(inner)
    layers = [inner, *details, base, outer]
    values = [_parse_code(layer.get(key)) for layer in layers for key in _CODE_KEYS]
    codes = tuple(dict.fromkeys(code.lower() for code in values if code.lower() not in _NO_CODES))
    param = inner.get("param")
    return ErrorBody(
        message=_build_message(inner, details) or _build_message(base, details),
        code=_find_code(layers),
        codes=codes,
        status=_find_status(layers),
        names_fault=bool(param and not _is_about_limits(param)) or any(map(FAULT_CODES.fullmatch, codes)),
        moderated=any(detail.get("reasons") or detail.get("flagged_input") for detail in details),
        param=_rejected_field(param, inner),
        request_id=next(filter(None, (_parse_code(layer.get("request_id")) for layer in layers)), None),
    )


def clean(value: object, limit: int) -> str:
    """Make a service's text fit for an error message: printable, one line, at most `limit` characters."""
    # A lone surrogate from a JSON escape cannot be printed.
    text = str(value)[: 4 * limit].encode("utf-8", "replace").decode("utf-8")
    return _UNPRINTABLE.sub(" ", text).strip()[:limit]


def _first(value: object) -> object:
    return (value[0] if value else None) if isinstance(value, list) else value


def _collect_details(inner: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Collect the objects that explain an error: details, their violations, metadata."""
    details: list[Mapping[str, object]] = []
    pending = [inner.get(key) for key in ("details", "innererror", "metadata")]
    while pending and len(details) < 30:
        value = pending.pop(0)
        for detail in value[:30] if isinstance(value, list) else [value]:
            if isinstance(detail, Mapping):
                details.append(detail)
                pending.append(detail.get("violations"))
    return details


def _parse_code(value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e15
    return clean(value, 100) if isinstance(value, str) or is_number else ""


def _rejected_field(param: object, inner: Mapping[str, object]) -> str | None:
    if isinstance(param, str) and param:
        return clean(param, 100)
    location = inner.get("loc")
    last = location[-1] if isinstance(location, (list, tuple)) and location else None
    return clean(last, 100) if isinstance(last, str) else None


def _is_about_limits(param: object) -> bool:
    # Named if the context is too long or the model unknown; the message does not echo the prompt in that case.
    return isinstance(param, str) and ("token" in param or param == "model")


def _find_code(layers: Sequence[Mapping[str, object]]) -> str | None:
    specific = [_parse_code(layer.get("error_code")) for layer in layers]
    usual = [_parse_code(layer.get(key)) for layer in layers for key in ("code", "limit_source", "status", "type")]
    # A number that repeats the status adds nothing.
    codes = (
        code for code in specific + usual if code.lower() not in _NO_CODES and not re.fullmatch("[1-5][0-9][0-9]", code)
    )
    return next(codes, None)


def _find_status(layers: Sequence[Mapping[str, object]]) -> int:
    numbers = (_parse_code(layer.get(key)) for layer in layers for key in ("code", "status", "status_code"))
    return next((int(number) for number in numbers if re.fullmatch("[45][0-9][0-9]", number, re.ASCII)), 0)


def _build_message(record: Mapping[str, object], details: Sequence[Mapping[str, object]]) -> str:
    values = (_first(record.get(key)) for key in MESSAGE_KEYS)
    message = next((value for value in values if isinstance(value, str) and value.strip()), "")
    location = record.get("loc")
    if isinstance(location, list) and message:
        message = f"{'.'.join(_parse_code(part) for part in location[:8])}: {message}"
    # The upstream service's message says more than the gateway's own.
    upstream = next((raw for raw in (detail.get("raw") for detail in details) if isinstance(raw, str)), "")
    return clean(f"{message}: {upstream}" if message and upstream else message, _MAX_MESSAGE)
