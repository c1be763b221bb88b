"""Events that hold no record of the protocol, as gateways write them into any stream."""

from __future__ import annotations

import re
from typing import Any

from aichatkit.classification import classify
from aichatkit.events import Event
from aichatkit.events.sse import TrailingEvent
from aichatkit.providers.base import Provider

__all__ = ["check_error", "parse_unreadable"]

#: The field name of an event within an event, as gateways that frame a stream twice send it.
_FRAME = re.compile(r"(?:data:\s*)+")
_DONE = "[DONE]"


def check_error(provider: Provider, event: Event, record: Any) -> None:
    """Raise the error that a record reports, by its content or by the type of its event."""
    if event.type == "error" or classify.find_error(record) is not None:
        raise classify.event_error(record, provider=provider.name, rules=provider.rules)
    if isinstance(record, str) and record.strip():
        # No protocol has a record that is only a text.
        raise classify.event_error({"error": record}, provider=provider.name, rules=provider.rules)


def parse_unreadable(provider: Provider, event: Event) -> Any:
    """Return what an event contains that is not JSON: the end marker of another protocol, a comment, a framed event."""
    data = event.data.strip()
    if event.type == "error":
        raise classify.event_error({"error": data}, provider=provider.name, rules=provider.rules)
    if data.startswith("data:"):
        return provider.parse_event(Event(_FRAME.sub("", data), event.type, event.id))
    if isinstance(event, TrailingEvent) and _DONE.startswith(data):
        # Cut off in the middle of the marker: whether the answer is whole depends on what came before.
        return None
    return None if not data or data.startswith((_DONE, ":")) else event.json()
