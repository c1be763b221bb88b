"""Aichat: one JSON object there, one back, nothing streamed."""

from __future__ import annotations

from aichatkit.sandbox.exchange import Answer, Request, Trouble, json_answer
from aichatkit.sandbox.wires.base import Call, Route, Wire, need, read_json, user_turns

_SETTINGS = ("temperature", "presence_penalty", "top_p", "frequency_penalty")


class Aichat(Wire):
    """The oldest of the sites."""

    name = "aichat"
    routes = (Route("POST", "/api/text", "chat"),)

    def chat(self, call: Call) -> Answer:
        """Answer with one object."""
        if call.marks.get("cookie-required") and "cookie" not in call.request.headers:
            raise Trouble("forbidden", "Please open the site in a browser first.")
        record = read_json(call.request)
        need(record, [("message", str), *((name, (int, float)) for name in _SETTINGS if name in record)])
        return json_answer({"response": True, "message": call.say(user_turns(record["message"]))})

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make the site's object with a false response."""
        return json_answer({"response": False, "message": trouble.message}, trouble.status, trouble.headers)
