"""Exceptions of other packages -> `ChatError.reason`: one line of text, without the exception itself."""

from __future__ import annotations

import re

__all__ = ["reason_of"]

_MAX_LENGTH = 500
_ADDRESS = r" at 0x[0-9a-fA-F]+"


def reason_of(error: BaseException) -> str:
    """Return the type and message of an exception as one line, without object addresses or secrets in URLs.

    >>> reason_of(ConnectionRefusedError(111, "Connection refused"))
    'ConnectionRefusedError: [Errno 111] Connection refused'
    >>> reason_of(ValueError("cannot read http://me:pass@example.org/v1?key=sk-1"))
    'ValueError: cannot read http://example.org/v1'
    """
    cls = type(error)
    # Such as `zlib.error` and `csv.Error`.
    name = f"{cls.__module__.lstrip('_')}.{cls.__name__}" if cls.__name__.lower() == "error" else cls.__name__
    # Bounded first: a message may quote an entire response.
    text = "".join(char if char.isprintable() else " " for char in str(error)[: 4 * _MAX_LENGTH])
    text = re.sub(_ADDRESS, "", " ".join(map(_without_secrets, text.split())))
    # `http.client.IncompleteRead` already starts with its own name.
    line = text if text.startswith(name) else f"{name}: {text}" if text else name
    return line[:_MAX_LENGTH]


def _without_secrets(word: str) -> str:
    """Remove user, password and query from a word if it is a URL."""
    userinfo, _, host = word.rpartition("@")
    if ":" in userinfo:
        scheme, separator, _ = userinfo.partition("://")
        word = f"{scheme}://{host}" if separator else host
    path, _, query = word.partition("?")
    return path if "://" in word or "=" in query else word
