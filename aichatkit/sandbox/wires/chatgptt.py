"""ChatGptt: a page with a nonce and a cookie, then a WordPress form."""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from typing import Any

from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, html_response, json_response, stream_response
from aichatkit.sandbox.wires.ai_power import chat_element
from aichatkit.sandbox.wires.base import Call, Route, Settings, Wire, sse_event, text_pieces, user_turns

_EXPIRED = "<!DOCTYPE html><title>WordPress Failure Notice</title><p>The link you followed has expired.</p>"
_LIMIT = {"msg": "You have reached your token limit.", "tokenLimitReached": True}


class ChatGptt(Wire):
    """A WordPress site with a chat plugin; a rejected nonce is replaced, as if it had expired."""

    name = "chatgptt"
    routes = (
        Route("GET", "/", "page", "page"),
        Route("POST", "/wp-admin/admin-ajax.php", "chat"),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.rejected_nonces = 0

    @property
    def nonce(self) -> str:
        """The nonce that is currently valid."""
        return self.digest("nonce", self.rejected_nonces)[:10]

    @property
    def post_id(self) -> str:
        """The post id of the page with the chat."""
        return str(int(self.digest("post")[:4], 16))

    def page(self, call: Call) -> Response:
        """Answer with the page, and set a cookie."""
        quote = "'" if call.overrides.get("single-quotes") else '"'
        valid = {"data-nonce": self.nonce, "data-post-id": self.post_id, "data-url": self.settings.url}
        decoy = {"data-nonce": "0000000000", "data-post-id": "1"} if call.overrides.get("decoys") else {}
        tokens = {} if call.overrides.get("no-tokens") else valid
        body = _element("aside", {"class": "newsletter", **decoy}, quote)
        how = call.overrides.get("ai-power", "")
        if how in ("", "both"):
            body += _element("div", {"class": "wpaicg-chat-shortcode", **tokens, "data-bot-id": "0"}, quote)
        if how:
            body += chat_element(self.settings, call.request.prefix, how=how)
        cookie = f"sandbox_visit={self.digest('cookie')[:16]}; path=/; HttpOnly"
        page = f"<!DOCTYPE html><html><head><title>Chat</title></head><body>{body}</body></html>"
        return html_response(page, headers=[("Set-Cookie", cookie)])

    def chat(self, call: Call) -> Response:
        """Check the action, cookie, nonce and message, then answer with an object or events."""
        form = _parse_form(call)
        if form.get("action") != "wpaicg_chat_shortcode_message":
            return html_response("0", 400)
        if call.overrides.get("nonce-page") or call.overrides.get("nonce-error"):
            return self._reject_nonce(as_json=bool(call.overrides.get("nonce-error")))
        if self.digest("cookie")[:16] not in call.request.headers.get("cookie", ""):
            return html_response("-1", 403)
        if (form.get("_wpnonce"), form.get("post_id")) != (self.nonce, self.post_id):
            return html_response(_EXPIRED, 403)
        # The plugin treats the message as a single-line field.
        message = " ".join(form.get("message", "").split())
        if not message:
            return json_response({"status": "error", "msg": "It appears that nothing was inputted."})
        text = call.answer_text([*_previous_turns(form.get("wpaicg_chat_history", "")), *user_turns(message)])
        if not call.overrides.get("sse"):
            return json_response({"status": "success", "data": text, "log": False})
        end = Piece(b"data: [DONE]\n\n", "done")
        return stream_response("text/event-stream", [*text_pieces(text, _event), end])

    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build the plugin's error; limits have status 200."""
        if error.reason == "quota" and error.explicit_status is None:
            return json_response(_LIMIT, 200, error.headers)
        return json_response({"status": "error", "msg": error.message}, error.status, error.headers)

    def error_event(self, error: APIError) -> bytes:
        """Build an event with the error object."""
        return b"data: " + self.error_response(error).body + b"\n\n"

    def keep_alive(self) -> bytes:
        """Build a comment line."""
        return b": waiting\n\n"

    def _reject_nonce(self, *, as_json: bool) -> Response:
        self.rejected_nonces += 1
        if as_json:
            return json_response({"status": "error", "msg": "Invalid nonce. Please refresh the page."})
        return html_response(_EXPIRED, 403)


def _parse_form(call: Call) -> dict[str, str]:
    if not call.request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(urllib.parse.parse_qsl(call.request.body.decode(errors="replace"), keep_blank_values=True))


def _previous_turns(history: str) -> list[str]:
    try:
        turns: Any = json.loads(history)
    except ValueError:
        return []
    if not isinstance(turns, list):
        return []
    texts = [str(turn.get("text", "")) if isinstance(turn, dict) else str(turn) for turn in turns]
    return [re.sub(r"^Human:\s*", "", text) for text in texts if text.startswith("Human:")]


def _element(tag: str, attributes: dict[str, str], quote: str) -> str:
    rendered = "".join(f" {name}={quote}{html.escape(value)}{quote}" for name, value in attributes.items())
    return f"<{tag}{rendered}></{tag}>"


def _event(fragment: str) -> bytes:
    return sse_event({"choices": [{"delta": {"content": fragment}}]})
