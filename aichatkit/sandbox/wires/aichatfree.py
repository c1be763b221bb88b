"""AIChatFree: JSON with a text content type and a signature; the response is plain text."""

from __future__ import annotations

import hashlib
from typing import Any

from aichatkit.sandbox.exchange import APIError, Request, Response, json_response, stream_response
from aichatkit.sandbox.wires.base import Call, Route, Wire, parse_json, require_fields, text_pieces

_QUOTA = "[429 Too Many Requests] Quota exceeded for quota metric 'Generate Content API requests per minute'"


class AIChatFree(Wire):
    """A web front end to Gemini."""

    name = "aichatfree"
    routes = (
        Route("POST", "/{1,2}api/generate", "chat"),
        Route("POST", "/{1,2}api/auth", "check_password", "auth"),
    )

    def chat(self, call: Call) -> Response:
        """Check the password and signature, then stream plain text."""
        record = parse_json(call.request, any_content_type=True)
        messages = record.get("messages")
        if not isinstance(messages, list) or not messages or _role(messages[-1]) != "user":
            raise APIError("bad-request", "Invalid message history: The last message must be from user role.")
        if self.settings.password is not None and record.get("pass") != self.settings.password:
            raise APIError("unauthorized", "Invalid password.")
        require_fields(record, [("time", int)])
        if record.get("sign") != sign(record["time"], _text(messages[-1]), self.settings.secret):
            raise APIError("unauthorized", "Invalid signature.")
        text = call.answer_text([_text(message) for message in messages if _role(message) == "user"])
        return stream_response("text/plain; charset=utf-8", text_pieces(text, str.encode))

    def check_password(self, call: Call) -> Response:
        """Answer with code 0 if the password is right, else -1."""
        record = parse_json(call.request, any_content_type=True)
        is_right = self.settings.password is None or record.get("pass") == self.settings.password
        return json_response({"code": 0 if is_right else -1})

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build the front end's error; any failure behind it is a 500."""
        if error.reason in ("quota", "rate-limit"):
            status = error.explicit_status or (500 if error.reason == "quota" else 429)
            record = {"error": {"code": "GoogleGenerativeAIFetchError", "message": _QUOTA}}
            return json_response(record, status, error.headers)
        return json_response({"error": {"message": error.message}}, error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build plain text: the stream has no other format."""
        return (_QUOTA if error.reason in ("quota", "rate-limit") else error.message).encode()


def sign(time: int, text: str, secret: str = "") -> str:
    """Sign the last message as the front end requires.

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
