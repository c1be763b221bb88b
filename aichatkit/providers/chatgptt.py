"""ChatGptt (chatgptt.me), WordPress with the AI Power plugin: tokens from a page, then a form.

The page shows which release of the plugin the site runs; the protocol of 2.3 and later is in `ai_power`, that of 1.x
is here.
The answer is one JSON object, or server-sent events if the site has streaming enabled.
A page cache may return a stale nonce, so a new one is fetched once if the nonce is rejected.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import requests

from aichatkit import events
from aichatkit.chunks import Finish
from aichatkit.classification import classify
from aichatkit.classification.classify import Rule
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    ContentFilteredError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    TokenNotFoundError,
)
from aichatkit.events import sniffing
from aichatkit.messages import Message
from aichatkit.providers import ai_power, user_agents
from aichatkit.providers.base import NO_OPTIONS, Options, Provider
from aichatkit.providers.odd_events import check_error, parse_unreadable
from aichatkit.providers.site_rules import SITE_RULES

if TYPE_CHECKING:
    from aichatkit.transport.transport import Transport

_CHAT_CLASS = "wpaicg-chat-shortcode"
#: Where the chat is if it is not on the first page.
_CHAT_PATH = "/chat"
_FOREIGN = (
    "the site takes requests only from its own pages",
    "base_url must have the scheme and host of its pages, with or without www",
)
_NONCE = (
    "the site refused the nonce of its page",
    "the page may come from a cache: try again later, or ask another provider",
)


class ChatGptt(Provider):
    """Chat with chatgptt.me or, with `base_url`, any site that runs the AI Power plugin."""

    name = "chatgptt"
    free = True
    url = "https://chatgptt.me"
    path = "/wp-admin/admin-ajax.php"
    working = False
    default_model = "gpt-4o"
    models = ("gpt-4", "gpt-4o", "gpt-4o-mini")
    checks_model = True
    requires_end = True
    checks_notices = True
    rules = (
        Rule(403, "|".join(ai_power.FOREIGN), PermissionDeniedError, says=_FOREIGN),
        # The words are in the language of the site.
        Rule(403, r'link you followed has expired|^-1$|"success": ?false', AuthenticationError, "refresh", _NONCE),
        Rule(None, r"nonce_failure|security check failed", AuthenticationError, "refresh", _NONCE),
        Rule(400, r"^0$", BadRequestError, "next", ai_power.UNKNOWN),
        Rule(429, r'"success": ?false', QuotaExceededError),
        Rule(400, r"moderation|flagged|violat", ContentFilteredError),
        Rule(None, r"^invalid nonce", AuthenticationError, "refresh", _NONCE),
        Rule(None, r"reached your token limit", RateLimitError, "next"),
        *SITE_RULES,
    )
    iter_events = staticmethod(sniffing.iter_sse_or_json)

    #: Path of the page with the chat, and the number of its bot if there are several.
    chat_path: ClassVar[str] = "/"
    bot_id: ClassVar[str] = ""

    def prepare(self, http: Transport, *, messages: Sequence[Message] = ()) -> Mapping[str, str]:
        for path in (self.chat_path, _CHAT_PATH) if self.chat_path == "/" else (self.chat_path,):
            try:
                page = http.get_text(f"{self.url}{path}", headers=self._headers())
            except (BadRequestError, BadResponseError):
                # Few sites have the second page.
                if path == self.chat_path:
                    raise
                break
            config = ai_power.find_config(page, self.bot_id)
            if config:
                return ai_power.prepare(self, http, config, messages, self._ajax_headers())
            attributes = find_tokens(page)
            if attributes.get("data-nonce") and attributes.get("data-post-id"):
                return {
                    "nonce": attributes["data-nonce"],
                    "post_id": attributes["data-post-id"],
                    "bot_id": self.bot_id or attributes.get("data-bot-id") or "0",
                }
        raise TokenNotFoundError(
            f"{self.name}: the page holds no chat tokens; the site may have changed", provider=self.name
        )

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        tokens = options.tokens
        if "conversation_uuid" in tokens:
            return ai_power.build_request(messages, tokens, self._ajax_headers())
        fields = {
            "_wpnonce": tokens["nonce"],
            "post_id": tokens["post_id"],
            "url": self.url,
            "action": "wpaicg_chat_shortcode_message",
            "message": messages[-1].text,
            "bot_id": tokens["bot_id"],
            "chatbot_identity": "shortcode",
            "wpaicg_chat_client_id": secrets.token_hex(5),
            # The plugin joins the lines of `message`; earlier turns stay separate only in this field.
            "wpaicg_chat_history": json.dumps([_format_turn(message) for message in messages[:-1]]),
        }
        return requests.Request("POST", self.api_endpoint, data=fields, headers=self._headers())

    def parse_event(self, event: events.Event) -> Any:
        if event.data.startswith("[DONE]"):
            return Finish("stop", last=True)
        try:
            record = event.json()
        except ValueError:
            return parse_unreadable(self, event)
        if event.type in ai_power.EVENTS or "success" in record or "delta" in record:
            return ai_power.parse_event(self, event, record)
        check_error(self, event, record)
        if record.get("tokenLimitReached"):
            raise RateLimitError(
                f"{self.name}: the token limit for visitors is reached ({record.get('msg', '')}); ask another provider",
                provider=self.name,
                status=200,
                action="next",
            )
        if "choices" in record:
            return [chunk for choice in record["choices"][:1] for chunk in _parse_choice(choice)]
        if record.get("status") == "success":
            return [record["data"], Finish("stop", last=True)]
        # Some sites put the error message into the answer's field.
        error = {**record, "msg": record.get("msg") or record.get("data")}
        raise classify.event_error(error, provider=self.name, rules=self.rules)

    def _ajax_headers(self) -> dict[str, str]:
        # Compared with the site's own, which has no path.
        return {**self._headers(), "Origin": "{0.scheme}://{0.netloc}".format(urlsplit(self.url))}

    def _headers(self) -> dict[str, str]:
        return {
            "Accept": "application/json",
            "Origin": self.url,
            "Referer": f"{self.url}/chat",
            "User-Agent": user_agents.CHROME_LINUX_131,
        }


def find_tokens(page: str) -> dict[str, str]:
    """Return the `data-` attributes of the chat element, or else the first of each token on the page.

    >>> find_tokens("<div class='wpaicg-chat-shortcode' data-nonce='0a1b' data-post-id='7'>")
    {'data-nonce': '0a1b', 'data-post-id': '7'}
    """
    finder = _TokenFinder()
    # The parser of some Python versions fails on an unknown marked section; to a browser that is a comment.
    finder.feed(page.replace("<![", "<!"))
    finder.close()
    return {**finder.anywhere, **finder.element}


class _TokenFinder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.element: dict[str, str] = {}
        self.anywhere: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if name.startswith("data-") and value}
        for name in ("data-nonce", "data-post-id"):
            if name in values:
                self.anywhere.setdefault(name, values[name])
        if not self.element and _CHAT_CLASS in (dict(attrs).get("class") or "").split():
            self.element = values


def _format_turn(message: Message) -> str:
    return f"{'AI' if message.role == 'assistant' else 'Human'}: {message.text}"


def _parse_choice(choice: Mapping[str, Any]) -> Iterator[Any]:
    yield (choice.get("delta") or {}).get("content") or ""
    if choice.get("finish_reason"):
        yield Finish(choice["finish_reason"])
