"""Faults inside a successful response: missing text or end marker, errors and invalid data."""

from __future__ import annotations

from aichatkit.sandbox.exchange import APIError, Piece, Response
from aichatkit.sandbox.faults.base import Respond, fault
from aichatkit.sandbox.wires import Call

_INVALID_JSON = b'{"choices": [{"delta": {"content": "brok'


@fault()
def empty(respond: Respond, call: Call) -> Response:
    """A well-formed answer without text."""
    call.text = ""
    return respond()


@fault()
def empty_body(respond: Respond, call: Call) -> Response:
    """A successful response without a body."""
    response = respond()
    response.pieces = []
    return response


@fault()
def limit_notice(respond: Respond, call: Call, text: str = "The request limit for today has been reached.") -> Response:
    """A limit notice instead of the answer."""
    call.text = text
    return respond()


@fault()
def no_end_marker(respond: Respond, call: Call, keep: str = "") -> Response:
    """A stream without its end markers (keep=finish or keep=done keeps one of them)."""
    response = respond()
    response.pieces = [piece for piece in response.pieces if piece.phase in ("open", "text", keep)]
    return response


@fault()
def error_event(respond: Respond, call: Call, kind: str = "overloaded", after: int = 0) -> Response:
    """An error inside a successful stream."""
    response = respond()
    pieces = list(response.pieces)
    error = APIError(kind)
    if response.framing != "chunked":
        response.pieces = [Piece(call.wire.error_response(error, call.request).body)]
        return response
    opening = [piece for piece in pieces if piece.phase == "open"]
    texts = [piece for piece in pieces if piece.phase == "text"][:after]
    response.pieces = [*opening, *texts, Piece(call.wire.error_event(error), "error")]
    return response


@fault()
def bad_json(respond: Respond, call: Call, after: int = 1) -> Response:
    """Invalid JSON inside a successful response."""
    response = respond()
    pieces = list(response.pieces)
    text_indexes = [index for index, piece in enumerate(pieces) if piece.phase == "text"]
    if len(pieces) == 1 or after >= len(text_indexes):
        response.pieces = [Piece(_INVALID_JSON)]
        return response
    index = text_indexes[after]
    prefix = b"data: " if pieces[index].data.startswith(b"data:") else b""
    pieces[index] = Piece(prefix + _INVALID_JSON + b"\n\n")
    response.pieces = pieces
    return response
