"""AiChats: event-stream lines of text, and pictures in two steps."""

from __future__ import annotations

import json

from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble, json_answer, stream_answer
from aichatkit.sandbox.pictures import png
from aichatkit.sandbox.wires.base import Call, Route, Wire, need, read_json, text_pieces, user_turns


class AiChats(Wire):
    """Chat and pictures behind one path, without keys."""

    name = "aichats"
    routes = (
        Route("POST", "/chat/send2/", "chat"),
        Route("GET", "/img/.+", "picture", "picture"),
    )

    def chat(self, call: Call) -> Answer:
        """Stream a text, or answer with the address of a picture."""
        record = read_json(call.request)
        need(record, [("type", str), ("messagesHistory", list)])
        messages = record["messagesHistory"]
        if not messages or not isinstance(messages[-1], dict):
            raise Trouble("bad-request", "messagesHistory is empty.")
        need(messages[-1], [("from", str), ("content", str)])
        if record["type"] == "image":
            call.read([messages[-1]["content"]])
            return self._pictures(call)
        if record["type"] != "chat":
            raise Trouble("bad-request", "The type is neither chat nor image.")
        own = [message.get("content", "") for message in messages if message.get("from") == "you"]
        text = call.say(own if len(messages) > 1 else user_turns(messages[-1]["content"]))
        return stream_answer("text/event-stream; charset=utf-8", text_pieces(text, _event))

    def picture(self, call: Call) -> Answer:
        """Answer with the bytes of a picture."""
        return Answer(200, [("Content-Type", "image/png")], [Piece(png(call.request.path))])

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make an error object with a text in it."""
        return json_answer({"error": trouble.message}, trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make a bare JSON line between the events."""
        return json.dumps({"error": trouble.message}).encode() + b"\n\n"

    def comment(self) -> bytes:
        """Make a comment line."""
        return b": waiting\n\n"

    def _pictures(self, call: Call) -> Answer:
        address = self.settings.url + call.request.prefix
        name = self.token(call.request.body.hex())[:12]
        entry = {} if call.marks.get("missing-url") else {"url": f"{address}/img/{name}.png"}
        return json_answer({} if call.marks.get("missing-data") else {"data": [entry]})


def _event(fragment: str) -> bytes:
    lines = fragment.split("\n")
    return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"
