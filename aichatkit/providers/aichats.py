"""AiChats (ai-chats.org): one POST; text arrives as bare `data: ` lines to be joined, an image as JSON.

The stream has no end marker, and no model name is sent: only `dalle` changes the request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urljoin

import requests

from aichatkit import events
from aichatkit.chunks import Finish, Picture
from aichatkit.classification import classify
from aichatkit.events import sniffing
from aichatkit.messages import Message, format_prompt
from aichatkit.providers import user_agents
from aichatkit.providers.base import Provider
from aichatkit.providers.site_rules import SITE_RULES


class AiChats(Provider):
    """Chat with ai-chats.org, or generate images with the model `dalle`."""

    name = "aichats"
    free = True
    url = "https://ai-chats.org"
    path = "/chat/send2/"
    working = False
    default_model = "gpt-4"
    models = ("gpt-4", "dalle")
    image_models = "dalle$"
    checks_notices = True
    rules = SITE_RULES
    trims_start = True
    iter_events = staticmethod(sniffing.iter_data_lines_or_json)

    def build_request(self, messages: Sequence[Message], model: str) -> requests.Request:
        draws = self.draws(model)
        content = messages[-1].text if draws else format_prompt(messages)
        payload = {"type": "image" if draws else "chat", "messagesHistory": [{"from": "you", "content": content}]}
        headers = {
            "Accept": "application/json, text/event-stream",
            "Accept-Language": "en-US,en;q=0.9",
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "Origin": self.url,
            "Referer": f"{self.url}/{'image' if draws else 'chat'}/",
            "User-Agent": user_agents.CHROME_LINUX,
        }
        return requests.Request("POST", self.api_endpoint, json=payload, headers=headers)

    def parse_event(self, event: events.Event) -> Any:
        if event.type == "message" and not _is_error(event.data):
            return event.data
        if event.type == "error" and not event.data.startswith("{"):
            raise classify.event_error({"error": event.data}, provider=self.name, rules=self.rules)
        record = event.json()
        if classify.find_error(record) is not None or (not record.get("data") and classify.has_message(record)):
            raise classify.event_error(record, provider=self.name, rules=self.rules)
        url = record["data"][0]["url"]
        if not isinstance(url, str) or not url:
            raise ValueError("no address of a picture")
        return [Picture(url=urljoin(f"{self.url}/", url), fetch=True), Finish("stop", last=True)]


def _is_error(text: str) -> bool:
    """Return whether a line of text is nothing but an error object."""
    if not text.startswith('{"error"'):
        return False
    try:
        return [*json.loads(text)] == ["error"]
    except (ValueError, RecursionError):
        return False
