"""How each protocol encodes an answer on the wire; to add a protocol, add an entry to `_FORMS`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Callable

import pytest

from aichatkit.registry import registry
from aichatkit.sandbox.raw import chunk, chunked_head, response

#: Whether every server of the matrix speaks TLS this time.
OVER_TLS = bool(os.environ.get("AICHATKIT_FAULTS_TLS"))

KEY = "sk-fault-4f3c2b1a"


@dataclass(frozen=True)
class Wire:
    """How the service of one provider encodes an answer as bytes."""

    provider: str
    content_type: str
    #: A piece of text, and the bytes that carry it.
    piece: Callable[[str], bytes]
    #: What comes before the first text and after the last one; no `end` means the service has no end marker.
    start: bytes = b""
    end: bytes = b""
    #: An error in place of, or after, text; None where the protocol has no form for it.
    trouble: bytes | None = None
    #: A record that cannot be read.
    broken: bytes | None = None
    keyed: bool = False
    streams: bool = True
    #: What `base_url` needs behind the server's address, and what a handshake before the prompt is answered with.
    base: str = ""
    handshake: bytes = b""

    def __str__(self) -> str:
        return self.provider

    def body(self, *texts: str) -> bytes:
        """Return the body of a complete answer."""
        return b"".join((self.start, *map(self.piece, texts), self.end))

    def whole(self, *texts: str) -> list[Any]:
        """Return the steps of a complete, well-formed answer in chunked encoding."""
        if not self.streams:
            return [response(self.body("".join(texts)), headers=[("Content-Type", self.content_type)])]
        # The end in one send: where it came in two, a slow machine would lose the connection now and then.
        return [*self.begun(*texts), (chunk(self.end) if self.end else b"") + chunk(b"")]

    def begun(self, *texts: str) -> list[Any]:
        """Return the response head and the first pieces of an answer that continues."""
        return [chunked_head(self.content_type), chunk(self.start + self.piece(texts[0])), *self.more(*texts[1:])]

    def more(self, *texts: str) -> list[Any]:
        """Return further pieces, one chunk each."""
        return [chunk(self.piece(text)) for text in texts]

    def fixed(self, body: bytes, *, status: str = "200 OK", headers: Any = ()) -> bytes:
        """Return a complete response with its content length."""
        return response(body, status=status, headers=[("Content-Type", self.content_type), *headers])


def sse(record: Any, kind: str = "") -> bytes:
    head = f"event: {kind}\n" if kind else ""
    return f"{head}data: {json.dumps(record, ensure_ascii=False)}\n\n".encode()


def line(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def delta(text: Any, **choice: Any) -> bytes:
    return sse({"choices": [{"index": 0, "delta": {"content": text} if text is not None else {}, **choice}]})


STOP = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
DONE = b"data: [DONE]\n\n"
_NONCE_PAGE = b'<html><div class="wpaicg-chat-shortcode" data-nonce="0a1b2c" data-post-id="7"></div></html>'
_OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def _anthropic(text: str) -> bytes:
    kind = "content_block_delta"
    return sse({"type": kind, "index": 0, "delta": {"type": "text_delta", "text": text}}, kind)


_ANTHROPIC_START = sse(
    {"type": "message_start", "message": {"id": "m", "model": "claude", "content": [], "usage": {"input_tokens": 1}}},
    "message_start",
) + sse(
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, "content_block_start"
)
_ANTHROPIC_END = (
    sse({"type": "content_block_stop", "index": 0}, "content_block_stop")
    + sse(
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}, "message_delta"
    )
    + sse({"type": "message_stop"}, "message_stop")
)

_FORMS = (
    Wire(
        "openai",
        "text/event-stream",
        delta,
        end=STOP + DONE,
        trouble=sse({"error": {"message": "boom", "type": "server_error"}}),
        broken=b"data: {broken\n\n",
        keyed=True,
        base="/v1",
    ),
    Wire("aichatfree", "text/plain; charset=utf-8", str.encode),
    Wire(
        "aichatonline",
        "application/stream+json",
        lambda text: line({"code": 0, "data": {"message": text}}),
        trouble=line({"code": 500, "msg": "boom"}),
        handshake=response(b'{"code": 200, "data": "token-1"}', headers=[("Content-Type", "application/json")]),
    ),
    Wire(
        "aichat",
        "application/json",
        lambda text: json.dumps({"response": True, "message": text}).encode(),
        end=b"\n",
        trouble=json.dumps({"response": False, "message": "boom"}).encode(),
        broken=b'{"response": tru',
        streams=False,
    ),
    Wire("aichats", "text/event-stream", lambda text: f"data: {text}\n\n".encode()),
    Wire(
        "aichatonline-classic",
        "text/event-stream",
        lambda text: sse({"type": "live", "data": text}),
        end=sse({"type": "end", "data": "{}"}),
        trouble=sse({"type": "error", "data": "boom"}),
        broken=b"data: {broken\n\n",
    ),
    Wire(
        "chatgptt",
        "text/event-stream",
        lambda text: sse({"choices": [{"delta": {"content": text}}]}),
        end=DONE,
        trouble=sse({"status": "error", "msg": "boom"}),
        broken=b"data: {broken\n\n",
        handshake=response(_NONCE_PAGE, headers=[("Content-Type", "text/html")]),
    ),
    Wire(
        "anthropic",
        "text/event-stream",
        _anthropic,
        start=_ANTHROPIC_START,
        end=_ANTHROPIC_END,
        trouble=sse(_OVERLOADED, "error"),
        broken=b"event: content_block_delta\ndata: {broken\n\n",
        keyed=True,
    ),
    Wire(
        "gemini",
        "text/event-stream",
        lambda text: sse({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}]}),
        end=sse({"candidates": [{"finishReason": "STOP", "index": 0}]}),
        trouble=sse({"error": {"code": 500, "message": "boom", "status": "INTERNAL"}}),
        broken=b"data: {broken\n\n",
        keyed=True,
    ),
    Wire(
        "ollama",
        "application/x-ndjson",
        lambda text: line({"model": "m", "message": {"role": "assistant", "content": text}, "done": False}),
        end=line({"model": "m", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}),
        trouble=line({"error": "boom"}),
        broken=b"{broken\n",
    ),
)

WIRES = {form.provider: form for form in _FORMS}
OPENAI, PLAIN = WIRES["openai"], WIRES["aichatfree"]
#: Forms of protocols that the package does not speak yet wait for it.
ALL = tuple(form for form in _FORMS if form.provider in registry)
STREAMING = tuple(form for form in ALL if form.streams)
MARKED = tuple(form for form in STREAMING if form.end)
UNMARKED = tuple(form for form in STREAMING if not form.end)
TROUBLED = tuple(form for form in STREAMING if form.trouble)
BREAKABLE = tuple(form for form in STREAMING if form.broken)
SITES = tuple(form for form in ALL if form.provider.startswith(("aichat", "chatgptt")))


def named(*names: str) -> tuple[Wire, ...]:
    """Return the wires with these names."""
    return tuple(WIRES[name] for name in names)


def row(number: str, *wires: Wire) -> Any:
    """Mark a test as a row of the fault matrix, run once per wire (OpenAI's if none is given)."""
    missing = pytest.mark.skip(reason="the package does not speak this protocol yet")
    return pytest.mark.parametrize(
        "wire",
        [
            pytest.param(wire, id=f"row{number}-{wire}", marks=() if wire in ALL else missing)
            for wire in wires or (OPENAI,)
        ],
    )
