"""AIChatFree: JSON under a text type, a signature, and raw text back."""

from __future__ import annotations

import hashlib
from typing import Any

from aichatkit.sandbox.exchange import Answer, Request, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.base import Call, Route, Wire, need, read_json, text_pieces

_QUOTA = "[429 Too Many Requests] Quota exceeded for quota metric 'Generate Content API requests per minute'"


class AIChatFree(Wire):
    """A web front end for Gemini."""

    name = "aichatfree"
    routes = (Route("POST", "/{1,2}api/generate", "chat"),)

    def chat(self, call: Call) -> Answer:
        """Check password and signature, then send raw text."""
        record = read_json(call.request, any_type=True)
        messages = record.get("messages")
        if not isinstance(messages, list) or not messages or _role(messages[-1]) != "user":
            raise Trouble("bad-request", "Invalid message history: The last message must be from user role.")
        if self.settings.password is not None and record.get("pass") != self.settings.password:
            raise Trouble("unauthorized", "Invalid password.")
        need(record, [("time", int)])
        if record.get("sign") != sign(record["time"], _text(messages[-1]), self.settings.secret):
            raise Trouble("unauthorized", "Invalid signature.")
        text = call.say([_text(message) for message in messages if _role(message) == "user"])
        return stream_answer("text/plain; charset=utf-8", text_pieces(text, str.encode))

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make the front end's refusal; whatever fails behind it is a 500."""
        if trouble.kind in ("quota", "rate-limit"):
            status = trouble.forced_status or (500 if trouble.kind == "quota" else 429)
            error = {"code": "GoogleGenerativeAIFetchError", "message": _QUOTA}
            return json_answer({"error": error}, status, trouble.headers)
        return json_answer({"error": {"message": trouble.message}}, trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make bare text, which is all this wire has."""
        return (_QUOTA if trouble.kind in ("quota", "rate-limit") else trouble.message).encode()


def sign(time: int, text: str, secret: str = "") -> str:
    """Sign the last message as the front end wants it.

    >>> sign(1700000000000, "Hello, world!")[:12]
    '2c1f696d6980'
    """
    return hashlib.sha256(f"{time}:{text}:{secret}".encode()).hexdigest()


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, dict) else None


def _text(message: dict[str, Any]) -> str:
    parts = message.get("parts")
    parts = parts if isinstance(parts, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
