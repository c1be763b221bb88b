"""Bytes -> the head of a response, taken apart in one step where it is plain, else by `http.client` itself.

The standard library has its e-mail parser read the headers, which takes a short call longer than its own JSON.
"""

from __future__ import annotations

import http.client
import io
import string

from aichatkit.transport.prepared import remember

__all__ = ["FastResponse", "is_known"]

#: What plain lines are made of, and the names in them (RFC 9110, 5.6.2).
_SHOWN = bytes(range(32, 127)) + b"\t"
_NAMED = frozenset(string.ascii_letters + string.digits + "!#$%&'*+.^_`|~-")
#: More lines than this `http.client` refuses.
_MOST = 99
#: Answers with any other status, interim ones among them, are left to `http.client`.
_STATUSES = frozenset(map(str, range(200, 600)))
#: Lengths of so many digits are left to `http.client`; Python refuses to read much longer ones.
_DIGITS = 19
#: Answers without a body, whatever their headers say.
_BARE = ("204", "304")
#: What tells where the body ends; the first of a name counts.
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})

#: Names that came before, in lower case.
_kinds: dict[str, str] = {}


class FastResponse(http.client.HTTPResponse):
    """A response of `http.client` that reads plain heads by itself: the same values in less time."""

    def begin(self) -> None:
        """Read the head."""
        if self.headers is not None or self.debuglevel > 0 or type(self.fp) is not io.BufferedReader:
            super().begin()
            return
        # What has come, after one look at the socket where nothing has; it is not taken yet.
        head, end, _ = self.fp.peek().partition(b"\r\n\r\n")
        if not end or not self._begin_plain(head):
            super().begin()

    def _begin_plain(self, head: bytes) -> bool:
        """Set what `begin` sets, and take the head out of the file; False leaves all as it was."""
        first, *lines = head.decode("latin-1").split("\r\n")
        status, headers = first[9:12], http.client.HTTPMessage()
        framing: dict[str, str] = {}
        plain = first[:9] == "HTTP/1.1 " and status in _STATUSES and first[12:13] in ("", " ")
        if not plain or len(lines) > _MOST or head.translate(None, _SHOWN) != b"\r\n" * len(lines):
            return False
        for line in lines:
            name, colon, value = line.partition(":")
            kind = _kinds.get(name) or _kind(name)
            if not colon or not kind:
                return False
            value = value.lstrip(" \t")
            headers.set_raw(name, value)
            if kind in _FRAMING:
                framing.setdefault(kind, value)
        length = framing.get("content-length", "")
        told = not length or (length.isdigit() and len(length) < _DIGITS)
        if not told or status in _BARE or self._method == "HEAD":  # type: ignore[attr-defined]
            return False
        self.fp.read(len(head) + 4)
        self.version = 11
        self.code = self.status = int(status)
        self.reason = first[13:].strip()
        self.headers = self.msg = headers
        self.chunked = framing.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        self.length = int(length) if length and not self.chunked else None
        # Without any framing the body ends with the connection.
        self.will_close = "close" in framing.get("connection", "").lower() or (not self.chunked and self.length is None)
        return True


def _kind(name: str) -> str:
    """Return a name in lower case, "" for what is none."""
    return remember(_kinds, name, name.lower()) if name and _NAMED.issuperset(name) else ""


def is_known(inner: object) -> bool:
    """Tell whether a response is one of `http.client`, whose own ways of reading may be used."""
    return type(inner) in (http.client.HTTPResponse, FastResponse)
