"""AiChatOnline: a token request, then JSON lines; and the older version, server-sent events of a WordPress plugin."""

from __future__ import annotations

import json
import secrets

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, json_response, stream_response
from aichatkit.sandbox.wires.base import (
    Call,
    Route,
    Wire,
    parse_json,
    require_fields,
    sse_event,
    text_pieces,
    user_turns,
)


class AiChatOnline(Wire):
    """The current version; a token is valid for any number of answers."""

    name = "aichatonline"
    routes = (
        Route("GET", "/api/v1/user/getUniqueId", "issue_token", "token"),
        Route("POST", "/aichatonline/api/chat/gpt", "chat"),
    )

    def issue_token(self, call: Call) -> Response:
        """Issue a token that `chat` can verify."""
        if not call.request.query.get("canvas"):
            raise APIError("bad-request", "canvas is required")
        nonce = secrets.token_hex(8)
        token = None if call.overrides.get("token-null") else nonce + self.digest(nonce)[:16]
        return json_response({"code": 200, "msg": "success", "data": token})

    def chat(self, call: Call) -> Response:
        """Stream the answer as JSON lines."""
        token = call.request.headers.get("uniqueid", "")
        if not token or token[16:] != self.digest(token[:16])[:16]:
            raise APIError("unauthorized", "The UniqueId is not valid.")
        record = parse_json(call.request)
        require_fields(record, [("conversationId", str), ("prompt", str)])
        text = call.answer_text(user_turns(record["prompt"]))
        return stream_response("text/event-stream", text_pieces(text, self._line))

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build the service's own error object."""
        return json_response(_error_object(error), error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build a line with the error object."""
        return json.dumps(_error_object(error)).encode() + b"\n"

    def _line(self, fragment: str) -> bytes:
        return json.dumps({"code": 200, "data": {"message": fragment}}).encode() + b"\n"


class AiChatOnlineWordPress(Wire):
    """The older version."""

    name = "aichatonline-wordpress"
    routes = (Route("POST", "/chatgpt/wp-json/mwai-ui/v1/chats/submit", "chat"),)

    def chat(self, call: Call) -> Response:
        """Stream the answer as the plugin's events."""
        record = parse_json(call.request)
        require_fields(record, [("newMessage", str), ("messages", list)])
        turns = [str(turn.get("content", "")) for turn in record["messages"] if _is_user(turn)]
        # Most clients include the new message at the end of the list, some leave it out.
        text = call.answer_text(
            [*(turns[:-1] if turns[-1:] == [record["newMessage"]] else turns), record["newMessage"]]
        )
        if not record.get("stream"):
            return json_response({"success": True, "reply": text})
        pieces = text_pieces(text, lambda fragment: _event("live", fragment))
        ending = Piece(_event("end", json.dumps({"success": True, "reply": text})), "finish")
        return stream_response("text/event-stream", [*pieces, ending])

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build the plugin's error object."""
        return json_response({"success": False, "message": error.message}, error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build an event of type error."""
        return _event("error", error.message)

    def keep_alive(self) -> bytes:
        """Build a comment line."""
        return b": waiting\n\n"


def _error_object(error: APIError) -> dict[str, object]:
    return {"code": error.status, "msg": error.message, "data": None}


def _is_user(turn: object) -> bool:
    return isinstance(turn, dict) and turn.get("role") == "user"


def _event(event_type: str, data: str) -> bytes:
    return sse_event({"type": event_type, "data": data})
