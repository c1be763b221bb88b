"""Aichat (chat-gpt.org): one POST, one JSON object in return; no streaming.

The site requires the clearance cookie of a browser that passed its bot check: pass it in a session or `headers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import requests

from aichatkit import events
from aichatkit.chunks import Finish
from aichatkit.classification import classify
from aichatkit.messages import Message, format_prompt
from aichatkit.providers import user_agents
from aichatkit.providers.base import NO_OPTIONS, Options, Provider
from aichatkit.providers.site_rules import SITE_RULES


class Aichat(Provider):
    """Chat with chat-gpt.org."""

    name = "aichat"
    free = True
    url = "https://chat-gpt.org"
    path = "/api/text"
    working = False
    supports_stream = False
    default_model = "gpt-3.5-turbo"
    models = ("gpt-3.5-turbo",)
    requires_end = True
    checks_notices = True
    rules = SITE_RULES
    params: ClassVar[Mapping[str, str]] = {
        name: name for name in ("temperature", "presence_penalty", "top_p", "frequency_penalty")
    }
    iter_events = staticmethod(events.iter_json)

    def build_request(
        self, messages: Sequence[Message], model: str, *, options: Options = NO_OPTIONS
    ) -> requests.Request:
        payload = {
            "message": format_prompt(messages),
            "temperature": options.params.get("temperature", 0.5),
            "presence_penalty": options.params.get("presence_penalty", 0),
            "top_p": options.params.get("top_p", 1),
            "frequency_penalty": options.params.get("frequency_penalty", 0),
        }
        headers = {
            "Accept": "*/*",
            "Accept-Language": "en-US,en;q=0.9",
            "Origin": self.url,
            "Referer": f"{self.url}/chat",
            "User-Agent": user_agents.CHROME_MAC,
        }
        return requests.Request("POST", self.api_endpoint, json=payload, headers=headers)

    def parse_event(self, event: events.Event) -> Any:
        record = event.json()
        if not record.get("response") or classify.find_error(record) is not None:
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        return [record["message"], Finish("stop", last=True)]
