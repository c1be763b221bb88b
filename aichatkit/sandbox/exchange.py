"""Connection -> exchange: the request as received, and the response that a wire builds for it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aichatkit._dataclasses import dataclass, field


class Headers(Mapping[str, str]):
    """Header fields in the order received, with case-insensitive lookup.

    >>> Headers([("Content-Type", "text/plain")])["content-type"]
    'text/plain'
    """

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self.fields = list(fields)

    def __getitem__(self, name: str) -> str:
        values = [value for field_name, value in self.fields if field_name.lower() == name.lower()]
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self.fields))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"Headers({self.fields!r})"


@dataclass(frozen=True)
class Request:
    """A request the sandbox received.

    `connection` is the number of its connection, counted from 1; `prefix` is the `/fault/...` part of the path;
    `target` is as in the request line, an absolute URL if the sandbox was used as a proxy.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Headers
    body: bytes
    connection: int
    version: str = "HTTP/1.1"
    prefix: str = ""
    target: str = ""

    def json(self) -> Any:
        """Parse the body as JSON, whatever its content type."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Piece:
    """A part of a body, sent and flushed separately.

    `phase` is the part of the stream it belongs to, "open", "text", "finish", "done" or "error"; faults select by it.
    `pause` is the delay before it in seconds; `missing` is how many bytes its HTTP chunk lacks of its declared size.
    """

    data: bytes
    phase: str = "text"
    pause: float = 0.0
    missing: int = 0


@dataclass
class Response:
    """An HTTP response: its head, the pieces of its body, and how they end.

    `framing` is "chunked", "length" or "raw" (no framing header: the body ends when the connection closes).
    `ending` is "" (normal), "cut" (closed midway), "reset", or "hang-up" (closed after a complete response).
    `pause` is the delay before the head in seconds.
    `head` replaces the status line and all headers; `length` replaces the actual content length.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    pieces: Iterable[Piece] = ()
    framing: str = "length"
    ending: str = ""
    pause: float = 0.0
    head: bytes | None = None
    length: int | None = None

    @property
    def body(self) -> bytes:
        """The complete body."""
        return b"".join(piece.data for piece in self.pieces)


class APIError(Exception):
    """An error response by its reason; each wire formats it as its real server would.

    >>> APIError("rate-limit").status
    429
    """

    #: Reason -> default status and message.
    reasons: Mapping[str, tuple[int, str]] = {
        "bad-request": (400, "The request is not valid."),
        "context-too-long": (400, "This model's maximum context length is 8192 tokens, your messages have 9000."),
        "content-filter": (400, "The prompt was stopped by the content policy of the sandbox."),
        "unauthorized": (401, "Incorrect API key provided."),
        "forbidden": (403, "This key may not use this model."),
        "not-found": (404, "There is nothing at this path."),
        "model-not-found": (404, "The model does not exist."),
        "wrong-method": (405, "This path does not take this method."),
        "too-large": (413, "The request is too large."),
        "wrong-type": (415, "The content type has to be application/json."),
        "rate-limit": (429, "Too many requests, slow down."),
        "quota": (429, "You exceeded your current quota, check your plan and billing."),
        "server-error": (500, "The server had an error."),
        "overloaded": (503, "The service is overloaded, try again later."),
    }

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        status: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        default_status, default_message = self.reasons[reason]
        super().__init__(message or default_message)
        self.reason = reason
        self.message = message or default_message
        #: The status that the caller requires; if None, a wire may use its own.
        self.explicit_status = status
        self.status = status or default_status
        self.headers = list(headers)
        #: The code for a field that is refused, in protocols that have one.
        self.code = code
        #: The field that the model refuses, in protocols that name it.
        self.param = param

    def message_from(self, messages: Mapping[str, str]) -> str:
        """Return the message for this reason from `messages`, unless the error has a message of its own."""
        is_default = self.message == self.reasons[self.reason][1]
        return messages.get(self.reason, self.message) if is_default else self.message


def json_response(record: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Build a response from a JSON document."""
    data = json.dumps(record).encode()
    return Response(status, [("Content-Type", "application/json"), *headers], [Piece(data)])


def html_response(page: str, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Build a response from an HTML page."""
    return Response(status, [("Content-Type", "text/html; charset=UTF-8"), *headers], [Piece(page.encode())])


def stream_response(content_type: str, pieces: Iterable[Piece]) -> Response:
    """Build a response that is sent with chunked encoding, piece by piece."""
    headers = [("Content-Type", content_type), ("Cache-Control", "no-cache")]
    return Response(200, headers, list(pieces), framing="chunked")


def fragments(text: str) -> list[str]:
    """Split a text into the word fragments a model would stream.

    >>> fragments("Please talk about yourself.")
    ['Pleas', 'e', ' talk', ' about', ' yours', 'elf.']
    """
    return re.findall(r"\s*\S{1,5}|\s+", text)
