"""Example Site: JSON lines, a key in a header of its own, and limits that come with success."""

from __future__ import annotations

from collections.abc import Sequence

import requests

from aichatkit import Message, QuotaExceededError, events
from aichatkit.providers.base import Provider


class ExampleSite(Provider):
    """Chat with example.org's assistant."""

    name = "example-site"
    url = "https://chat.example.org"
    default_model = "standard"
    models = ("standard", "large")
    checks_model = True
    api_key_env = "EXAMPLE_SITE_KEY"
    base_url_env = "EXAMPLE_SITE_URL"
    key_header = "X-Example-Key"
    key_prefix = ""
    iter_events = staticmethod(events.iter_json_lines)

    def build_request(self, messages: Sequence[Message], model: str) -> requests.Request:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return requests.Request("POST", f"{self.url}/api/chat", json={"engine": model, "turns": turns})

    def parse_event(self, event: events.Event) -> str:
        record = event.json()
        if record.get("error") == "limit":
            raise QuotaExceededError(f"{self.name}: the day's allowance is used up")
        return str(record.get("text", ""))
