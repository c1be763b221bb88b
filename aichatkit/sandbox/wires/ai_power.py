"""The AI Power plugin from 2.3 on: one JSON answer, or a prompt that is posted for the key of a stream."""

from __future__ import annotations

import hashlib
import html
import json
import time
import urllib.parse
from typing import Any

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, json_response, stream_response
from aichatkit.sandbox.wires.base import Call, Route, Settings, Wire, sse_event, text_pieces, user_turns

PATH = "/wp-admin/admin-ajax.php"
#: Seconds that a key is valid.
_KEY_SECONDS = 60.0
_ROUTES = {
    ("POST", "aipkit_frontend_chat_message"): Route("POST", PATH, "answer"),
    ("POST", "aipkit_cache_sse_message"): Route("POST", PATH, "take_prompt", "token"),
    ("POST", "aipkit_get_frontend_chat_nonce"): Route("POST", PATH, "issue_nonce", "nonce"),
    ("GET", "aipkit_frontend_chat_stream"): Route("GET", PATH, "stream"),
}


class AIPower(Wire):
    """A WordPress site with the plugin of today; its page is that of the `chatgptt` wire, with a fault."""

    name = "ai-power"
    routes = tuple(_ROUTES.values())

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        #: Key -> the prompt it is for, and when it was issued.
        self._prompts: dict[str, tuple[str, float]] = {}

    def match(self, request: Request) -> tuple[Route | None, list[str]]:
        """Match by the action, which is in the form or in the query."""
        if request.path != PATH:
            return None, []
        route = _ROUTES.get((request.method, _fields(request).get("action", "")))
        return route, [] if route is None else [route.method]

    def answer(self, call: Call) -> Response:
        """Answer a prompt with one object."""
        fields = self._check(call)
        if not fields.get("session_id") or not fields.get("conversation_uuid"):
            raise APIError("bad-request", "Missing required chat information.")
        text = call.answer_text(user_turns(_message(fields)))
        return json_response({"success": True, "data": {"reply": text, "message_id": self.digest(text)[:8]}})

    def take_prompt(self, call: Call) -> Response:
        """Keep a prompt and answer with the key for its stream."""
        fields = self._check(call)
        key = f"aipkit_sse_{self.digest(len(self._prompts), _message(fields))[:32]}"
        self._prompts[key] = _message(fields), time.monotonic()
        return json_response({"success": True, "data": {"cache_key": key}})

    def issue_nonce(self, call: Call) -> Response:
        """Answer with the nonce that is valid."""
        return json_response({"success": True, "data": {"nonce": nonce_of(self.settings)}})

    def stream(self, call: Call) -> Response:
        """Stream the answer to the prompt of a key; the status is 200 for failures as well."""
        fields = _fields(call.request)
        prompt, issued = self._prompts.pop(fields.get("cache_key", ""), ("", 0.0))
        if fields.get("_ajax_nonce") != nonce_of(self.settings):
            return _stream([error_piece("Security check failed (nonce)."), DONE])
        if not prompt or time.monotonic() - issued > _KEY_SECONDS:
            return _stream([error_piece("Session expired. Please send your message again."), DONE])
        pieces = text_pieces(call.answer_text(user_turns(prompt)), lambda text: sse_event({"delta": text}))
        start = Piece(sse_event({"message_id": fields["cache_key"][-8:]}, "message_start"), "open")
        return _stream([start, Piece(sse_event({"text": "Thinking"}, "status"), "open"), *pieces, DONE])

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build WordPress' error object."""
        data = {"message": error.message, **({"code": error.code} if error.code else {})}
        return json_response({"success": False, "data": data}, error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build an error event."""
        return error_piece(error.message).data

    def keep_alive(self) -> bytes:
        """Build a comment line."""
        return b": waiting\n\n"

    def _check(self, call: Call) -> dict[str, str]:
        fields, headers = _fields(call.request), call.request.headers
        if urllib.parse.urlsplit(headers.get("origin", "")).netloc not in ("", headers.get("host", "")):
            raise APIError("forbidden", "This site may not use the chat.", code="cors_denied")
        if fields.get("_ajax_nonce") != nonce_of(self.settings):
            message = "Security check failed. Please refresh the page and try again."
            raise APIError("forbidden", message, code="nonce_failure_cache_sse")
        if not fields.get("bot_id", "").isdecimal():
            raise APIError("bad-request", "Bot ID is missing.")
        if not _message(fields):
            raise APIError("bad-request", "Message cannot be empty.", code="empty_data_to_cache")
        return fields


def nonce_of(settings: Settings) -> str:
    """Return the nonce that is valid; only the fault of a cached page has another one."""
    return hashlib.sha256(f"{settings.seed}:ai-power".encode()).hexdigest()[:10]


def chat_element(settings: Settings, prefix: str = "", *, how: str = "") -> str:
    """Build the element of a chat on a page.

    `how` has words joined by hyphens: "json" for a site that does not stream, "either" for one that does both, "stale"
    for a page from a cache, "popup".
    """
    is_stale = "stale" in how
    config: dict[str, Any] = {"botId": 12, "nonce": "0" * 10 if is_stale else nonce_of(settings), "postId": 31}
    config["ajaxUrl"] = f"{settings.url}{prefix}{PATH}"
    # The newest releases always stream, and have no such key.
    config.update({"streamEnabled": "either" in how} if "json" in how or "either" in how else {})
    name = "aipkit_popup_wrapper" if "popup" in how else "aipkit_chat_container"
    escaped = html.escape(json.dumps(config))
    return f"<div class='{name}' id='{name}_12' data-bot-id='12' data-config='{escaped}'></div>"


#: The end mark, which says nothing about success.
DONE = Piece(sse_event({"finished": True}, "done"), "done")


def _stream(pieces: list[Piece]) -> Response:
    # Servers buffer their first kilobytes, which are blanks here.
    return stream_response("text/event-stream; charset=utf-8", [Piece(b":" + b" " * 4096 + b"\n\n", "open"), *pieces])


def error_piece(text: str, **fields: Any) -> Piece:
    """Build the event that reports a failure."""
    return Piece(sse_event({"error": text, **fields}, "error"), "error")


def _message(fields: dict[str, str]) -> str:
    return fields.get("message", "").replace("\0", "").strip()


def _fields(request: Request) -> dict[str, str]:
    if request.method == "GET":
        return dict(request.query)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(urllib.parse.parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
