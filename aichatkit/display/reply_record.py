"""Reply -> a dict of JSON serializable values; the arguments are duck-typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

__all__ = ["plain", "reply_record"]


def reply_record(reply: Any) -> dict[str, Any]:
    """Return the fields of a reply, except headers and raw records, as JSON serializable values."""
    return {
        "text": reply.text,
        "data": plain(reply.data),
        "provider": reply.provider,
        "model": reply.model,
        "id": reply.id,
        "request_id": reply.request_id,
        "finish_reason": reply.finish_reason,
        "complete": reply.complete,
        "usage": asdict(reply.usage),
        "cost": reply.cost,
        "saved": reply.saved,
        "cache_miss": reply.cache_miss,
        "elapsed": round(reply.elapsed, 3),
        "cached": reply.cached,
        "reasoning": reply.reasoning,
        "citations": [citation._asdict() for citation in reply.citations],
        "searches": [
            {**search._asdict(), "results": [source._asdict() for source in search.results]}
            for search in reply.searches
        ],
        "logprobs": [
            {
                **token._asdict(),
                "top": [{"token": other, "logprob": logprob} for other, logprob in token.top],
            }
            for token in reply.logprobs
        ],
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": plain(call.arguments)} for call in reply.tool_calls
        ],
        "images": list(reply.images),
        "limits": reply.limits,
        "attempts": [_attempt_record(attempt) for attempt in reply.attempts],
    }


def _attempt_record(attempt: Any) -> dict[str, Any]:
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "error": None if attempt.error is None else f"{type(attempt.error).__name__}: {attempt.error}",
        "wait": round(attempt.wait, 3),
        "elapsed": round(attempt.elapsed, 3),
    }


def plain(value: Any) -> Any:
    """Return structured data as JSON serializable values: objects as dicts; keys, dates and the like as text."""
    if hasattr(type(value), "_to_plain"):
        return value._to_plain()
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(map(plain, value))
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
