"""AiChatOnline: a token request, then JSON objects, one per line, possibly mixed with other lines.

The stream has no end marker, and the model is only a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import requests

from aichatkit import events
from aichatkit.chunks import Notice
from aichatkit.classification import classify
from aichatkit.classification.classify import Rule
from aichatkit.errors import AuthenticationError, StreamInterruptedError, TokenNotFoundError
from aichatkit.messages import Message, format_prompt
from aichatkit.providers import user_agents
from aichatkit.providers.base import Provider
from aichatkit.providers.request_bodies import random_string
from aichatkit.providers.site_rules import SITE_RULES

if TYPE_CHECKING:
    from aichatkit.transport.transport import Transport

_SUCCESS = (None, 0, 200, "0", "200")
_SUCCESS_MESSAGES = ("", "success", "ok")


class AiChatOnline(Provider):
    """Chat with aichatonline.org."""

    name = "aichatonline"
    free = True
    #: Where people chat; `url` is its API.
    site_url = "https://aichatonline.org"
    url = "https://aichatonlineorg.erweima.ai"
    path = "/aichatonline/api/chat/gpt"
    working = False
    default_model = "gpt-4o-mini"
    models = ("gpt-4o-mini",)
    checks_notices = True
    rules = (
        Rule(401, "", AuthenticationError, "refresh", says=("the site refused the id", "ask another provider")),
        *SITE_RULES,
    )
    iter_events = staticmethod(events.iter_json_lines)

    def prepare(self, http: Transport) -> Mapping[str, str]:
        return {"UniqueId": self.grab_token(http)}

    def grab_token(self, http: Transport) -> str:
        """Return a new id; the service requires one per answer."""
        try:
            record = http.get_json(
                f"{self.url}/api/v1/user/getUniqueId?canvas=-{random_string(10)}",
                headers={**self._headers(), "Content-Type": "application/json"},
            )
        except AuthenticationError as error:
            # A new id may help only if one was refused.
            error.action = "next"
            raise
        token = record.get("data")
        # It is sent as a header, so it must be valid in one.
        if isinstance(token, str) and token.isascii() and token.isprintable() and token.strip():
            return token.strip()
        if record.get("code") not in _SUCCESS:
            raise classify.event_error(record, provider=self.name, rules=SITE_RULES)
        raise TokenNotFoundError(
            f"{self.name}: the service gave no id; its protocol may have changed", provider=self.name
        )

    def build_request(self, messages: Sequence[Message], model: str) -> requests.Request:
        payload = {"conversationId": random_string(10), "prompt": format_prompt(messages)}
        return requests.Request("POST", self.api_endpoint, json=payload, headers=self._headers())

    def parse_event(self, event: events.Event) -> Any:
        try:
            record = event.json()
        except StreamInterruptedError:
            raise
        except ValueError:
            return None
        if not isinstance(record, dict):
            return None
        data = record.get("data")
        # The success codes are not known for certain, so text counts whatever the code.
        if isinstance(data, dict) and data.get("message"):
            return data["message"]
        if record.get("code") not in _SUCCESS or classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        message = str(record.get("msg") or "")
        return None if message.lower() in _SUCCESS_MESSAGES else Notice(message)

    def _headers(self) -> dict[str, str]:
        return {
            "Accept": "*/*",
            "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
            "Origin": self.url,
            "Referer": f"{self.url}/chatgpt/chat/",
            "User-Agent": user_agents.FIREFOX_UBUNTU,
        }
