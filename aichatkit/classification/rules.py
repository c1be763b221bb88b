"""Record or first bytes -> whether it is an error: checks that run on every response and must be cheap to import."""

from __future__ import annotations

from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import ChatError

__all__ = ["Rule", "find_error", "is_html", "may_be_html"]

_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<title")
_OTHER_STARTS = (b"{", b"[", b"data:", b"event:", b":")


class Rule(NamedTuple):
    """A provider's own rule, tried before the general table."""

    status: int | None  #: None matches any status, including an error inside a 200
    #: Case-insensitive regular expression, searched in the lines of message, codes and body. None matches nothing: the
    #: rule only words the errors of its type that the general table finds.
    text: str | None
    error: type[ChatError]
    action: str | None = None  #: replaces the error type's own action, such as "refresh"
    says: tuple[str, str] | None = None  #: replaces the error type's own description and advice in the message


def find_error(record: object) -> object | None:
    """Return a parsed record, taken out of a list of one, if it is an error that `event_error` can parse; else None.

    >>> find_error({"error": None, "choices": []}) is None
    True
    >>> find_error({"message": "no", "code": 502}), find_error({"detail": "no"}), find_error({"message": "no"})
    ({'message': 'no', 'code': 502}, {'detail': 'no'}, None)
    """
    if isinstance(record, list):
        record = record[0] if len(record) == 1 else None
    if not isinstance(record, dict):
        return None
    if record.get("error") or record.get("object") == "error" or record.get("type") in ("error", "response.failed"):
        return record
    return record if _is_of_a_gateway(record) else None


def _is_of_a_gateway(record: dict[str, Any]) -> bool:
    """Return whether a record is what servers write for a failure: a detail alone, or a message with a status."""
    if len(record) == 1:
        return isinstance(record.get("detail"), str)
    code = record.get("code") or record.get("status")
    return code.__class__ is int and 400 <= code < 600 and isinstance(record.get("message"), str)


def is_html(content_type: str, content: bytes) -> bool:
    """Return whether a response is a web page; JSON or events mislabeled as HTML do not count.

    >>> is_html("text/html", b'{"message": "hi"}'), is_html("", b" <!DOCTYPE html>")
    (False, True)
    """
    head = content.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(_HTML_STARTS):
        return True
    return _is_html_type(content_type) and head != b"" and not head.startswith(_OTHER_STARTS)


def may_be_html(content_type: str, content: bytes) -> bool:
    """Return whether the first bytes are too few to decide `is_html`.

    >>> may_be_html("", b"<!do"), may_be_html("", b"data"), may_be_html("text/html", b"data")
    (True, False, True)
    """
    head = content.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    starts = (*_HTML_STARTS, *_OTHER_STARTS) if _is_html_type(content_type) else _HTML_STARTS
    return any(len(head) < len(start) and start.startswith(head) for start in starts)


def _is_html_type(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
