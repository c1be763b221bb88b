"""AIChatFree (aichatfree.info), which runs GeminiProChat: a signed request, plain text streamed in return.

The stream has no end marker. Gemini requires alternating turns, so consecutive messages of one role are merged.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, ClassVar

import requests

from aichatkit import events
from aichatkit.classification import classify
from aichatkit.classification.classify import Rule
from aichatkit.errors import (
    AuthenticationError,
    BlockedError,
    ConfigurationError,
    ContentFilteredError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.events import sniffing
from aichatkit.messages import Message
from aichatkit.providers import user_agents
from aichatkit.providers.base import Provider
from aichatkit.providers.site_rules import SITE_KEY, SITE_RULES

#: What a site appends to its answer when it fails after the head of its response.
_FAILURE = "Internal server error"
#: In a sentence of the model they begin with a small letter.
_STARTS = re.compile("I")


def _iter_events(blocks: Iterable[bytes], *, max_line: int = events.MAX_LINE) -> Iterator[events.Event]:
    """Yield the text, and the words of a failure at its very end as an event of the type "error" or "cut".

    It is "cut" if text came before them. If the connection breaks after the words, that is an error of its own, and
    they are not part of the text either.
    """
    held, has_text = "", False
    for event in sniffing.iter_text_or_error(blocks, max_line=max_line):
        if event.type == "message":
            held += event.data
            start = _start_of_failure(held)
            if start:
                has_text = has_text or bool(held[:start].strip())
                yield events.Event(held[:start])
            held = held[start:]
        else:
            yield event
    if held:
        words = held.strip()
        # After text, the same words with other capitals are those of the model.
        is_failure = words == _FAILURE or (not has_text and words.lower() == _FAILURE.lower())
        yield events.Event(held, ("cut" if has_text else "error") if is_failure else "message")


def _start_of_failure(text: str) -> int:
    """Return where the words of a failure begin that may end the text; its length if they do not."""
    for match in _STARTS.finditer(text, max(0, len(text) - 2 * len(_FAILURE))):
        words = text[match.start() :].lower()
        if _FAILURE.lower().startswith(words) or words.rstrip() == _FAILURE.lower():
            return match.start()
    return len(text)


def generate_signature(time: int, text: str, secret: str = "") -> str:
    """Return the hex SHA-256 signature the server checks; `time` is in ms, `text` is the last message.

    >>> generate_signature(1700000000000, "Hello, world!")[:16]
    '2c1f696d6980967f'
    """
    return hashlib.sha256(f"{time}:{text}:{secret}".encode()).hexdigest()


#: What a refused password or signature is about; the site takes no API key.
_REFUSED = (
    "the site refused its password or signature",
    "set site_password, or secret, of a subclass of AIChatFree to what the site was built with",
)
_REGION = ("the site's own region is not served by its model's service", "use another provider")


class AIChatFree(Provider):
    """Chat with aichatfree.info or, with `base_url`, any GeminiProChat site."""

    name = "aichatfree"
    free = True
    url = "https://aichatfree.info"
    path = "/api/generate"
    working = False
    default_model = "gemini-1.5-pro"
    models = ("gemini-1.5-pro", "gemini-pro")
    checks_notices = True
    rules = (
        # The underlying model's per-minute quota, with any status: waiting helps.
        Rule(None, r"quota exceeded|\[429 ", RateLimitError),
        Rule(None, r"user location is not supported", BlockedError, says=_REGION),
        Rule(None, r"\[404 |is not found for api version", ModelNotFoundError),
        Rule(None, r"\[503 |model is overloaded|experiencing high demand", OverloadedError),
        Rule(None, r"blocked due to |\bprohibited_content\b", ContentFilteredError),
        Rule(None, r"\[40[13] ", PermissionDeniedError, says=SITE_KEY),
        Rule(401, "", AuthenticationError, says=_REFUSED),
        Rule(None, r"invalid (?:password|signature)", AuthenticationError, says=_REFUSED),
        *SITE_RULES,
    )
    iter_events = staticmethod(_iter_events)

    #: The secret a site was built with; empty on most sites.
    secret: ClassVar[str] = ""
    #: The password of a protected site.
    site_password: ClassVar[str | None] = None
    #: Whether "Internal server error" at the end of an answer is text: some sites end a failed answer with it.
    trust_tail: ClassVar[bool] = False
    generate_signature = staticmethod(generate_signature)

    def build_request(self, messages: Sequence[Message], model: str) -> requests.Request:
        turns = _build_turns(messages)
        if turns[-1]["role"] != "user":
            raise ConfigurationError(
                f"{self.name}: the last message must be the user's; add a user turn", provider=self.name
            )
        now = int(time.time() * 1000)
        payload: dict[str, Any] = {
            "messages": turns,
            "time": now,
            "pass": self.site_password,
            "sign": generate_signature(now, turns[-1]["parts"][0]["text"], self.secret),
        }
        headers = {
            "Accept": "*/*",
            "Accept-Language": "en-US,en;q=0.5",
            # What a browser's fetch() sends with a string body.
            "Content-Type": "text/plain;charset=UTF-8",
            "Origin": self.url,
            "Referer": f"{self.url}/",
            "User-Agent": user_agents.FIREFOX_WINDOWS,
        }
        return requests.Request("POST", self.api_endpoint, data=json.dumps(payload).encode(), headers=headers)

    def parse_event(self, event: events.Event) -> str:
        if event.type == "json":
            raise classify.event_error(event.json(), provider=self.name, rules=self.rules)
        if event.type == "message" or self.trust_tail:
            return event.data
        words = event.data.strip()
        if event.type == "cut":
            raise StreamInterruptedError(
                f"{self.name}: the answer ends in {words!r}, which the site adds when it fails, so it is cut off; "
                "if the model wrote these words itself, set trust_tail of a subclass",
                provider=self.name,
            )
        raise ServerError(
            f"{self.name}: the answer is only {words!r}, in most cases because the model's filter stopped the prompt; "
            "change the prompt or ask another provider",
            provider=self.name,
            status=200,
            action="next",
        )


def _build_turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    turns = []
    for role, group in groupby(messages, key=lambda message: "model" if message.role == "assistant" else "user"):
        text = "\n\n".join(message.text for message in group)
        turns.append({"role": role, "parts": [{"text": text}]})
    return turns
