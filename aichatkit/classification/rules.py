"""What shows at first sight that an answer is none: looked at in every answer, so it stays cheap to load."""

from __future__ import annotations

from typing import NamedTuple

from aichatkit.errors import ChatError

__all__ = ["Rule", "find_error", "is_html", "may_be_html"]

_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<title")
_OTHER_STARTS = (b"{", b"[", b"data:", b"event:", b":")


class Rule(NamedTuple):
    """A provider's own row, looked at before the tables."""

    status: int | None  #: None: any status, also an error inside a 200
    text: str  #: regular expression, searched in the lines of message, codes and body, whatever the case
    error: type[ChatError]
    action: str | None = None  #: instead of the error's own, such as "refresh"


def find_error(record: object) -> object | None:
    """Return the part of a parsed record that `event_error` reads, or None where it carries no error.

    >>> find_error({"error": None, "choices": []}) is None
    True
    """
    if isinstance(record, list):
        record = record[0] if len(record) == 1 else None
    if not isinstance(record, dict):
        return None
    if record.get("error") or record.get("object") == "error" or record.get("type") in ("error", "response.failed"):
        return record
    return None


def is_html(content_type: str, start: bytes) -> bool:
    """Tell whether an answer is a web page; a record or an event wrongly typed as one is not.

    >>> is_html("text/html", b'{"message": "hi"}'), is_html("", b" <!DOCTYPE html>")
    (False, True)
    """
    begin = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith(_HTML_STARTS):
        return True
    return _is_typed_html(content_type) and begin != b"" and not begin.startswith(_OTHER_STARTS)


def may_be_html(content_type: str, start: bytes) -> bool:
    """Tell whether so short a start leaves open what `is_html` would say of the whole.

    >>> may_be_html("", b"<!do"), may_be_html("", b"data"), may_be_html("text/html", b"data")
    (True, False, True)
    """
    begin = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    starts = (*_HTML_STARTS, *_OTHER_STARTS) if _is_typed_html(content_type) else _HTML_STARTS
    return any(len(begin) < len(known) and known.startswith(begin) for known in starts)


def _is_typed_html(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
