"""AiChatOnline: a token first, then one JSON object a line; and the older form, events of a WordPress plugin."""

from __future__ import annotations

import json
import secrets

from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble, json_answer, stream_answer
from aichatkit.sandbox.wires.base import Call, Route, Wire, need, read_json, text_pieces, user_turns


class AiChatOnline(Wire):
    """The current form; a token is good for as many answers as one likes."""

    name = "aichatonline"
    routes = (
        Route("GET", "/api/v1/user/getUniqueId", "hand_out", "token"),
        Route("POST", "/aichatonline/api/chat/gpt", "chat"),
    )

    def hand_out(self, call: Call) -> Answer:
        """Answer with a token that can be told from made-up ones."""
        if not call.request.query.get("canvas"):
            raise Trouble("bad-request", "canvas is required")
        number = secrets.token_hex(8)
        token = None if call.marks.get("token-null") else number + self.token(number)[:16]
        return json_answer({"code": 200, "msg": "success", "data": token})

    def chat(self, call: Call) -> Answer:
        """Stream a text, one JSON object a line."""
        token = call.request.headers.get("uniqueid", "")
        if not token or token[16:] != self.token(token[:16])[:16]:
            raise Trouble("unauthorized", "The UniqueId is not valid.")
        record = read_json(call.request)
        need(record, [("conversationId", str), ("prompt", str)])
        text = call.say(user_turns(record["prompt"]))
        return stream_answer("text/event-stream", text_pieces(text, self._line))

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make the service's own code object."""
        return json_answer(_failure(trouble), trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make a line with the code object."""
        return json.dumps(_failure(trouble)).encode() + b"\n"

    def _line(self, fragment: str) -> bytes:
        return json.dumps({"code": 200, "data": {"message": fragment}}).encode() + b"\n"


class AiChatOnlineWordPress(Wire):
    """The older form."""

    name = "aichatonline-wordpress"
    routes = (Route("POST", "/chatgpt/wp-json/mwai-ui/v1/chats/submit", "chat"),)

    def chat(self, call: Call) -> Answer:
        """Stream a text as events of the plugin."""
        record = read_json(call.request)
        need(record, [("newMessage", str), ("messages", list)])
        turns = [str(turn.get("content", "")) for turn in record["messages"] if _is_user(turn)]
        # The list ends with the new message in most clients, and before it in some.
        text = call.say([*(turns[:-1] if turns[-1:] == [record["newMessage"]] else turns), record["newMessage"]])
        if not record.get("stream"):
            return json_answer({"success": True, "reply": text})
        pieces = text_pieces(text, lambda fragment: _event("live", fragment))
        ending = Piece(_event("end", json.dumps({"success": True, "reply": text})), "finish")
        return stream_answer("text/event-stream", [*pieces, ending])

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make the plugin's refusal."""
        return json_answer({"success": False, "message": trouble.message}, trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an event of the type error."""
        return _event("error", trouble.message)

    def comment(self) -> bytes:
        """Make a comment line."""
        return b": waiting\n\n"


def _failure(trouble: Trouble) -> dict[str, object]:
    return {"code": trouble.status, "msg": trouble.message, "data": None}


def _is_user(turn: object) -> bool:
    return isinstance(turn, dict) and turn.get("role") == "user"


def _event(kind: str, data: str) -> bytes:
    return b"data: " + json.dumps({"type": kind, "data": data}).encode() + b"\n\n"
