"""AiChats: text as server-sent events, and images in two requests."""

from __future__ import annotations

import json

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, json_response, stream_response
from aichatkit.sandbox.pictures import png
from aichatkit.sandbox.wires.base import Call, Route, Wire, parse_json, require_fields, text_pieces, user_turns


class AiChats(Wire):
    """Chat and images at one path, without API keys."""

    name = "aichats"
    routes = (
        Route("POST", "/chat/send2/", "chat"),
        Route("GET", "/img/.+", "picture", "picture"),
    )

    def chat(self, call: Call) -> Response:
        """Stream text, or answer with the URL of an image."""
        record = parse_json(call.request)
        require_fields(record, [("type", str), ("messagesHistory", list)])
        messages = record["messagesHistory"]
        if not messages or not isinstance(messages[-1], dict):
            raise APIError("bad-request", "messagesHistory is empty.")
        require_fields(messages[-1], [("from", str), ("content", str)])
        if record["type"] == "image":
            call.report_turns([messages[-1]["content"]])
            return self._image_urls(call)
        if record["type"] != "chat":
            raise APIError("bad-request", "The type is neither chat nor image.")
        user_texts = [message.get("content", "") for message in messages if message.get("from") == "you"]
        text = call.answer_text(user_texts if len(messages) > 1 else user_turns(messages[-1]["content"]))
        return stream_response("text/event-stream; charset=utf-8", text_pieces(text, _event))

    def picture(self, call: Call) -> Response:
        """Answer with the bytes of an image."""
        return Response(200, [("Content-Type", "image/png")], [Piece(png(call.request.path))])

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error object with a message."""
        return json_response({"error": error.message}, error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build a bare JSON line between the events."""
        return json.dumps({"error": error.message}).encode() + b"\n\n"

    def keep_alive(self) -> bytes:
        """Build a comment line."""
        return b": waiting\n\n"

    def _image_urls(self, call: Call) -> Response:
        base_url = self.settings.url + call.request.prefix
        name = self.digest(call.request.body.hex())[:12]
        entry = {} if call.overrides.get("missing-url") else {"url": f"{base_url}/img/{name}.png"}
        return json_response({} if call.overrides.get("missing-data") else {"data": [entry]})


def _event(fragment: str) -> bytes:
    lines = fragment.split("\n")
    return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"
