"""Faults inside a successful answer: no text, no end, errors and nonsense between the pieces."""

from __future__ import annotations

from aichatkit.sandbox.exchange import Answer, Piece, Trouble
from aichatkit.sandbox.faults.base import Reply, fault
from aichatkit.sandbox.wires import Call

_NONSENSE = b'{"choices": [{"delta": {"content": "brok'


@fault()
def empty(reply: Reply, call: Call) -> Answer:
    """A well-formed answer without text."""
    call.text = ""
    return reply()


@fault()
def empty_body(reply: Reply, call: Call) -> Answer:
    """Success and no body at all."""
    answer = reply()
    answer.pieces = []
    return answer


@fault()
def limit_notice(reply: Reply, call: Call, text: str = "The request limit for today has been reached.") -> Answer:
    """A limit notice in the place of the answer."""
    call.text = text
    return reply()


@fault()
def no_end_marker(reply: Reply, call: Call, keep: str = "") -> Answer:
    """A stream without its end marker (keep=finish or keep=done keeps one)."""
    answer = reply()
    answer.pieces = [piece for piece in answer.pieces if piece.kind in ("open", "text", keep)]
    return answer


@fault()
def error_event(reply: Reply, call: Call, kind: str = "overloaded", after: int = 0) -> Answer:
    """An error inside a successful stream."""
    answer = reply()
    pieces = list(answer.pieces)
    trouble = Trouble(kind)
    if answer.framing != "chunked":
        answer.pieces = [Piece(call.wire.refuse(trouble, call.request).body)]
        return answer
    opened = [piece for piece in pieces if piece.kind == "open"]
    texts = [piece for piece in pieces if piece.kind == "text"][:after]
    answer.pieces = [*opened, *texts, Piece(call.wire.interrupt(trouble), "error")]
    return answer


@fault()
def bad_json(reply: Reply, call: Call, after: int = 1) -> Answer:
    """Broken JSON inside a successful answer."""
    answer = reply()
    pieces = list(answer.pieces)
    places = [index for index, piece in enumerate(pieces) if piece.kind == "text"]
    if len(pieces) == 1 or after >= len(places):
        answer.pieces = [Piece(_NONSENSE)]
        return answer
    place = places[after]
    prefix = b"data: " if pieces[place].data.startswith(b"data:") else b""
    pieces[place] = Piece(prefix + _NONSENSE + b"\n\n")
    answer.pieces = pieces
    return answer
