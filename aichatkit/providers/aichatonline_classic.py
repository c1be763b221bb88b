"""The older AiChatOnline: WordPress with the AI Engine plugin, which many self-hosted sites run.

Text arrives in `live` events until `end`; a site with streaming disabled sends one JSON object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import requests

from aichatkit import events
from aichatkit.chunks import Finish
from aichatkit.classification import classify
from aichatkit.classification.classify import Rule
from aichatkit.errors import PermissionDeniedError
from aichatkit.events import sniffing
from aichatkit.messages import Message
from aichatkit.providers import user_agents
from aichatkit.providers.base import Provider
from aichatkit.providers.odd_events import check_error, parse_unreadable
from aichatkit.providers.request_bodies import random_string
from aichatkit.providers.site_rules import SITE_RULES

_OTHER = "ask another provider"


class AiChatOnlineClassic(Provider):
    """Chat with the older aichatonline.org or, with `base_url`, any site that runs the AI Engine plugin."""

    name = "aichatonline-classic"
    free = True
    url = "https://aichatonline.org"
    path = "/chatgpt/wp-json/mwai-ui/v1/chats/submit"
    working = False
    default_model = "gpt-3.5-turbo"
    models = ("gpt-3.5-turbo",)
    requires_end = True
    checks_notices = True
    rules = (
        Rule(403, "invalid_nonce", PermissionDeniedError, says=("the site takes requests only from its pages", _OTHER)),
        *SITE_RULES,
    )
    iter_events = staticmethod(sniffing.iter_sse_or_json)

    def build_request(self, messages: Sequence[Message], model: str) -> requests.Request:
        payload = {
            "botId": "default",
            "customId": None,
            "session": random_string(16),
            "chatId": random_string(10),
            "contextId": 7,
            "messages": [{"role": message.role, "content": message.text} for message in messages],
            "newMessage": messages[-1].text,
            "newImageId": None,
            "stream": True,
        }
        headers = {
            "Accept": "text/event-stream",
            "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
            "Origin": self.url,
            "Referer": f"{self.url}/chatgpt/chat/",
            "User-Agent": user_agents.FIREFOX_UBUNTU,
        }
        return requests.Request("POST", self.api_endpoint, json=payload, headers=headers)

    def parse_event(self, event: events.Event) -> Any:
        try:
            record = event.json()
        except ValueError:
            return parse_unreadable(self, event)
        event_type = record.get("type") if isinstance(record, dict) else None
        if event_type == "live":
            return record["data"]
        if event_type == "end":
            return Finish("stop", last=True)
        if event_type == "error":
            raise classify.event_error({"error": record.get("data")}, provider=self.name, rules=self.rules)
        check_error(self, event, record)
        if record.get("success") is False:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        if "reply" in record:
            return [record["reply"], Finish("stop", last=True)]
        return None
