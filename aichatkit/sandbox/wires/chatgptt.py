"""ChatGptt: a page with a nonce and a cookie, then a WordPress form."""

from __future__ import annotations

import html
import json
import re
import urllib.parse
from typing import Any

from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble, json_answer, page_answer, stream_answer
from aichatkit.sandbox.wires.base import Call, Route, Settings, Wire, text_pieces, user_turns

_EXPIRED = "<!DOCTYPE html><title>WordPress Failure Notice</title><p>The link you followed has expired.</p>"
_LIMIT = {"msg": "You have reached your token limit.", "tokenLimitReached": True}


class ChatGptt(Wire):
    """A WordPress site with a chat plugin; a refused nonce is replaced, as if its time had come."""

    name = "chatgptt"
    routes = (
        Route("GET", "/", "page", "page"),
        Route("POST", "/wp-admin/admin-ajax.php", "chat"),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.nonces_spent = 0

    @property
    def nonce(self) -> str:
        """The nonce that is good now."""
        return self.token("nonce", self.nonces_spent)[:10]

    @property
    def post_id(self) -> str:
        """The number of the page the chat is on."""
        return str(int(self.token("post")[:4], 16))

    def page(self, call: Call) -> Answer:
        """Answer with the page, and set a cookie."""
        quote = "'" if call.marks.get("single-quotes") else '"'
        shown = {"data-nonce": self.nonce, "data-post-id": self.post_id, "data-url": self.settings.url}
        wrong = {"data-nonce": "0000000000", "data-post-id": "1"} if call.marks.get("decoys") else {}
        tokens = {} if call.marks.get("no-tokens") else shown
        body = _element("aside", {"class": "newsletter", **wrong}, quote)
        body += _element("div", {"class": "wpaicg-chat-shortcode", **tokens, "data-bot-id": "0"}, quote)
        cookie = f"sandbox_visit={self.token('cookie')[:16]}; path=/; HttpOnly"
        page = f"<!DOCTYPE html><html><head><title>Chat</title></head><body>{body}</body></html>"
        return page_answer(page, headers=[("Set-Cookie", cookie)])

    def chat(self, call: Call) -> Answer:
        """Check action, cookie, nonce and message, then answer with one object or with events."""
        form = _form(call)
        if form.get("action") != "wpaicg_chat_shortcode_message":
            return _bare("0", 400)
        if call.marks.get("nonce-page") or call.marks.get("nonce-error"):
            return self._refuse_nonce(old=bool(call.marks.get("nonce-error")))
        if self.token("cookie")[:16] not in call.request.headers.get("cookie", ""):
            return _bare("-1", 403)
        if (form.get("_wpnonce"), form.get("post_id")) != (self.nonce, self.post_id):
            return page_answer(_EXPIRED, 403)
        # The plugin reads the message as a one-line field.
        message = " ".join(form.get("message", "").split())
        if not message:
            return json_answer({"status": "error", "msg": "It appears that nothing was inputted."})
        text = call.say([*_earlier(form.get("wpaicg_chat_history", "")), *user_turns(message)])
        if not call.marks.get("sse"):
            return json_answer({"status": "success", "data": text, "log": False})
        done = Piece(b"data: [DONE]\n\n", "done")
        return stream_answer("text/event-stream", [*text_pieces(text, _event), done])

    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make the plugin's error; its limits come with status 200."""
        if trouble.kind == "quota" and trouble.forced_status is None:
            return json_answer(_LIMIT, 200, trouble.headers)
        return json_answer({"status": "error", "msg": trouble.message}, trouble.status, trouble.headers)

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make an event with the error object."""
        return b"data: " + self.refuse(trouble).body + b"\n\n"

    def comment(self) -> bytes:
        """Make a comment line."""
        return b": waiting\n\n"

    def _refuse_nonce(self, *, old: bool) -> Answer:
        self.nonces_spent += 1
        if old:
            return json_answer({"status": "error", "msg": "Invalid nonce. Please refresh the page."})
        return page_answer(_EXPIRED, 403)


def _form(call: Call) -> dict[str, str]:
    if not call.request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(urllib.parse.parse_qsl(call.request.body.decode(errors="replace"), keep_blank_values=True))


def _earlier(history: str) -> list[str]:
    try:
        turns: Any = json.loads(history)
    except ValueError:
        return []
    if not isinstance(turns, list):
        return []
    texts = [str(turn.get("text", "")) if isinstance(turn, dict) else str(turn) for turn in turns]
    return [re.sub(r"^Human:\s*", "", text) for text in texts if text.startswith("Human:")]


def _element(tag: str, attributes: dict[str, str], quote: str) -> str:
    listed = "".join(f" {name}={quote}{html.escape(value)}{quote}" for name, value in attributes.items())
    return f"<{tag}{listed}></{tag}>"


def _bare(text: str, status: int) -> Answer:
    return page_answer(text, status)


def _event(fragment: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": fragment}}]}).encode() + b"\n\n"
