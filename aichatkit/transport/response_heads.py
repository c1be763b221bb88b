"""Bytes -> response head: parse plain status lines and headers directly, leave the rest to `http.client`.

The standard library parses headers with its e-mail parser, which takes longer than parsing the JSON of a short answer.
"""

from __future__ import annotations

import http.client
import io
import string

from aichatkit.transport.prepared import remember

__all__ = ["FastResponse", "is_http_client_response"]

#: The bytes of a plain header line, and the characters of a header name (RFC 9110, 5.6.2).
_PLAIN_BYTES = bytes(range(32, 127)) + b"\t"
_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-")
#: `http.client` rejects responses with more header lines.
_MAX_LINES = 99
#: Lengths with this many digits are left to `http.client`; Python refuses to parse much longer ones.
_DIGITS = 19
#: Maximum number of interim responses (100, 102, 103) before the final one.
_MAX_INTERIM = 100
#: Responses without a body, whatever their headers say.
_BODILESS = ("204", "304")
#: The headers that determine where the body ends; if one is repeated, the first counts.
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})

#: Cache of header names in lower case.
_lower_names: dict[str, str] = {}


class FastResponse(http.client.HTTPResponse):
    """A response of `http.client` that parses plain heads itself: the same values in less time.

    `fields` has the header lines of a plain head, each as name in lower case, name, and value; None for any other.
    """

    fields: list[tuple[str, str, str]] | None = None

    def begin(self) -> None:
        """Read the status line and the headers."""
        if self.headers is not None or self.debuglevel > 0 or type(self.fp) is not io.BufferedReader:
            super().begin()
            return
        # Peeking reads the socket at most once, and consumes nothing.
        head, end, _ = self.fp.peek().partition(b"\r\n\r\n")
        if not end or not self._begin_plain(head):
            super().begin()

    def _read_status(self) -> tuple[str, int, str]:
        """Return the status line of the final response, skipping a limited number of interim ones."""
        for _ in range(_MAX_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status >= 200 or status == http.client.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("too many interim responses")

    def _begin_plain(self, head: bytes) -> bool:
        """Set what `begin` sets and consume the head; return False, with nothing changed, if it is not plain."""
        status_line, *lines = head.decode("latin-1").split("\r\n")
        status, headers = status_line[9:12], http.client.HTTPMessage()
        framing: dict[str, str] = {}
        fields = []
        # Responses with any other status, including interim ones, are left to `http.client`.
        has_status = len(status) == 3 and status.isdecimal() and "2" <= status[0] <= "5"
        is_plain = status_line[:9] == "HTTP/1.1 " and has_status and status_line[12:13] in ("", " ")
        if not is_plain or len(lines) > _MAX_LINES or head.translate(None, _PLAIN_BYTES) != b"\r\n" * len(lines):
            return False
        for line in lines:
            name, colon, value = line.partition(":")
            lower_name = _lower_names.get(name) or _lower_name(name)
            if not colon or not lower_name:
                return False
            value = value.lstrip(" \t")
            headers.set_raw(name, value)
            fields.append((lower_name, name, value))
            if lower_name in _FRAMING:
                framing.setdefault(lower_name, value)
        length = framing.get("content-length", "")
        is_simple = not length or (length.isdigit() and len(length) < _DIGITS)
        if not is_simple or status in _BODILESS or self._method == "HEAD":  # type: ignore[attr-defined]
            return False
        self.fp.read(len(head) + 4)
        self.version = 11
        self.code = self.status = int(status)
        self.reason = status_line[13:].strip()
        self.headers = self.msg = headers
        self.fields = fields
        self.chunked = framing.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = int(length) if length and not self.chunked else None
        # Without any framing the body ends with the connection.
        self.will_close = "close" in framing.get("connection", "").lower() or (not self.chunked and self.length is None)
        return True


def _lower_name(name: str) -> str:
    """Return a header name in lower case, "" if it is not valid."""
    return remember(_lower_names, name, name.lower()) if name and _NAME_CHARACTERS.issuperset(name) else ""


def is_http_client_response(raw: object) -> bool:
    """Return whether a raw response is of `http.client` or a `FastResponse`, not a subclass with unknown internals."""
    return type(raw) in (http.client.HTTPResponse, FastResponse)
