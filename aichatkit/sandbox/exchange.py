"""Connection -> exchange: a request as it was read, and the answer a wire makes for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aichatkit._dataclasses import dataclass, field


class Headers(Mapping[str, str]):
    """Header fields in the order they came, looked up in any case.

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

    `connection` counts connections from 1; `prefix` is the part of the path that chose a fault;
    `target` is the request line's own, a whole URL when the sandbox was used as a proxy.
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
        """Read the body as JSON, whatever its content type says."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Piece:
    """A part of a body, sent and flushed on its own.

    `kind` is what it is to the wire: "open", "text", "finish" or "done"; faults aim by it.
    `pause` is waited before it; `missing` is how many bytes its chunk promises and does not hold.
    """

    data: bytes
    kind: str = "text"
    pause: float = 0.0
    missing: int = 0


@dataclass
class Answer:
    """What goes back: a head, the pieces of a body, and how both end.

    `framing` is "chunked", "length" or "raw" (nothing is added to the head, the end of the connection ends the body).
    `ending` is "" (in good order), "cut" (closed in the middle), "reset", or "hang-up" (closed after a whole answer).
    `head` replaces the status line and all headers; `length` replaces the true length.
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
        """All pieces together."""
        return b"".join(piece.data for piece in self.pieces)


class Trouble(Exception):
    """A refusal, told by its kind; each wire gives it the shape of the real server.

    >>> Trouble("rate-limit").status
    429
    """

    kinds: Mapping[str, tuple[int, str]] = {
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
        self, kind: str, message: str = "", *, status: int | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        usual_status, usual_message = self.kinds[kind]
        super().__init__(message or usual_message)
        self.kind = kind
        self.message = message or usual_message
        #: What the caller insists on; a wire is free to use its own where this is None.
        self.forced_status = status
        self.status = status or usual_status
        self.headers = list(headers)


def json_answer(record: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """Make an answer of one JSON document."""
    data = json.dumps(record).encode()
    return Answer(status, [("Content-Type", "application/json"), *headers], [Piece(data)])


def page_answer(page: str, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """Make an answer of one HTML page."""
    return Answer(status, [("Content-Type", "text/html; charset=UTF-8"), *headers], [Piece(page.encode())])


def stream_answer(content_type: str, pieces: Iterable[Piece]) -> Answer:
    """Make an answer that is sent in chunks, piece by piece."""
    headers = [("Content-Type", content_type), ("Cache-Control", "no-cache")]
    return Answer(200, headers, list(pieces), framing="chunked")
