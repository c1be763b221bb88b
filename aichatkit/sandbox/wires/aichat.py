"""Aichat: a JSON object for the request and for the response, without streaming."""

from __future__ import annotations

from aichatkit.sandbox.exchange import APIError, Request, Response, json_response
from aichatkit.sandbox.wires.base import Call, Route, Wire, parse_json, require_fields, user_turns

_SETTINGS = ("temperature", "presence_penalty", "top_p", "frequency_penalty")


class Aichat(Wire):
    """The oldest of the web chat sites."""

    name = "aichat"
    routes = (Route("POST", "/api/text", "chat"),)

    def chat(self, call: Call) -> Response:
        """Answer with a JSON object."""
        if call.overrides.get("cookie-required") and "cookie" not in call.request.headers:
            raise APIError("forbidden", "Please open the site in a browser first.")
        record = parse_json(call.request)
        require_fields(record, [("message", str), *((name, (int, float)) for name in _SETTINGS if name in record)])
        return json_response({"response": True, "message": call.answer_text(user_turns(record["message"]))})

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build the site's object with `response` false."""
        return json_response({"response": False, "message": error.message}, error.status, error.headers)
