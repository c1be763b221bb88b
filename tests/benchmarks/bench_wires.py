"""Spec -> bytes: what the server sends, for each wire and framing; the same bytes to every client."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from typing import NamedTuple

#: The pieces of text, about five tokens each; two in turns, as some clients take a repeated one for a fault.
TEXTS = ("The quick brown fox ", "jumps over the lazy ")
#: Where each wire is asked, below the address of a case.
PATHS = {
    "openai": "/chat/completions",
    "anthropic": "/v1/messages",
    "ollama": "/api/chat",
    "gemini": "/models/bench:streamGenerateContent",
}


class Case(NamedTuple):
    """What a stream is made of; it travels in the path of the request as `name=value,...`."""

    wire: str = "openai"
    framing: str = "chunked"
    events: int = 3
    pace: float = 0.0
    text: int = 1

    @classmethod
    def parse(cls, told: str) -> Case:
        """Read the form that `path` writes."""
        values = dict(pair.split("=") for pair in told.split(","))
        kinds = {"events": int, "pace": float, "text": int}
        return cls(**{name: kinds.get(name, str)(value) for name, value in values.items()})

    @property
    def path(self) -> str:
        """The first part of the path that asks for this case."""
        return "/s/" + ",".join(f"{name}={value}" for name, value in self._asdict().items())

    @property
    def words(self) -> tuple[str, str]:
        """The texts of the events, in turns, both of one length."""
        return TEXTS[0] * self.text, TEXTS[1] * self.text


def event(wire: str, text: str) -> bytes:
    """Return one event of a stream, shaped and sized as the services send it."""
    if wire == "ollama":
        head = {"model": "bench", "created_at": "2026-01-01T00:00:00.000000000Z"}
        return _line({**head, "message": {"role": "assistant", "content": text}, "done": False})
    if wire == "gemini":
        content = {"parts": [{"text": text}], "role": "model"}
        return _data({"candidates": [{"content": content, "index": 0}], "modelVersion": "bench", "responseId": "r"})
    if wire == "anthropic":
        record = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        return b"event: content_block_delta\n" + _data(record)
    return _openai([{"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}])


def start(wire: str) -> list[bytes]:
    """Return the events before the first text."""
    if wire != "anthropic":
        return []
    message = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "bench", "stop_reason": None}
    usage = {"input_tokens": 9, "output_tokens": 1}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    return [
        b"event: message_start\n" + _data({"type": "message_start", "message": {**message, "usage": usage}}),
        b"event: content_block_start\n" + _data(block),
    ]


def end(wire: str) -> list[bytes]:
    """Return the events after the last text, the end marker among them."""
    if wire == "ollama":
        record = {
            "model": "bench",
            "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": ""},
        }
        return [_line({**record, "done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 9})]
    if wire == "gemini":
        content = {"parts": [{"text": ""}], "role": "model"}
        return [_data({"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]})]
    if wire == "anthropic":
        ending = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
        return [
            b"event: content_block_stop\n" + _data({"type": "content_block_stop", "index": 0}),
            b"event: message_delta\n" + _data({**ending, "usage": {"output_tokens": 9}}),
            b"event: message_stop\n" + _data({"type": "message_stop"}),
        ]
    return [_openai([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]), b"data: [DONE]\n\n"]


def document(text: str) -> bytes:
    """Return OpenAI's whole answer, for a client that does not ask for a stream."""
    message = {"role": "assistant", "content": text, "refusal": None}
    record = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }
    return json.dumps(record).encode()


def head(case: Case) -> bytes:
    """Return the head of a streamed answer."""
    kind = "application/x-ndjson" if case.wire == "ollama" else "text/event-stream"
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}"]
    if case.framing == "gzip":
        lines.append("Content-Encoding: gzip")
    if case.framing == "length":
        lines.append(f"Content-Length: {length(case)}")
    lines.append("Connection: close" if case.framing == "close" else "Connection: keep-alive")
    if case.framing in ("chunked", "gzip", "two", "big"):
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join([*lines, "", ""]).encode()


def length(case: Case) -> int:
    """Return the size of a body; that of a paced one is the same, as its texts are all of one length."""
    text = stamp() if case.pace else case.words[0]
    around = sum(map(len, [*start(case.wire), *end(case.wire)]))
    return around + case.events * len(event(case.wire, text))


def stamp() -> str:
    """Return the sender's clock as a text of 18 characters, which every process of the machine can compare with."""
    return f"{time.monotonic():017.6f} "


def fire(case: Case) -> Iterator[bytes]:
    """Yield a body in pieces, to be sent as fast as they are taken."""
    pieces, frame = [event(case.wire, text) for text in case.words], framer(case)
    left, block, most = case.events, b"", max(2, min(1000, (1 << 20) // len(pieces[0])))
    yield b"".join(map(frame, start(case.wire)))
    while left:
        count = min(left, most)
        # A gzip stream has a state, so its blocks differ.
        if case.framing == "gzip" or count < most or not block:
            sent = (pieces * count)[:count]
            block = frame(b"".join(sent)) if case.framing == "big" else b"".join(map(frame, sent))
        yield block
        left -= count
    yield b"".join(map(frame, end(case.wire))) + closing(case, frame)


def framer(case: Case):  # type: ignore[no-untyped-def]
    """Return a function that puts a piece into the framing of the case."""
    if case.framing == "big":
        return lambda data: b"".join(_chunk(data[at : at + 4096]) for at in range(0, len(data), 4096))
    if case.framing in ("chunked", "two"):
        return _chunk
    if case.framing != "gzip":
        return lambda data: data
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return lambda data: _chunk(packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH if data else zlib.Z_FINISH))


def closing(case: Case, frame) -> bytes:  # type: ignore[no-untyped-def]
    """Return what tells the end of the body."""
    last = frame(b"") if case.framing == "gzip" else b""
    return last + (b"0\r\n\r\n" if case.framing in ("chunked", "gzip", "two", "big") else b"")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def _openai(choices: list[dict[str, object]]) -> bytes:
    names = {"id": "chatcmpl-bench0000000000000000000", "object": "chat.completion.chunk", "created": 1700000000}
    more = {"service_tier": "default", "system_fingerprint": "fp_bench00000"}
    return _data({**names, "model": "gpt-6-luna-2026-09-01", **more, "choices": choices, "obfuscation": "x" * 12})


def _data(record: object) -> bytes:
    return b"data: " + json.dumps(record, separators=(",", ":")).encode() + b"\n\n"


def _line(record: object) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"
