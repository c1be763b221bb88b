"""Body of a request -> its prompt cache key: the same for all requests that begin with the same text.

Some services look a prompt up in their cache only if requests name a key, which sends those with the same beginning to
the same cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

__all__ = ["cache_key"]

_INSTRUCTIONS = ("system", "developer")
_LENGTH = 32
#: Characters of a first message that decide about the key: as many as the shortest prompt that Mistral caches.
_START = 256


def cache_key(body: Mapping[str, Any]) -> str:
    """Return a hash of model, tools and system prompt, or of the start of the first message if there is neither.

    The turns of a conversation share a key, and so do prompts with the same system prompt or tools, or from the same
    template. The key does not reveal any text.

    >>> cache_key({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    'cb82057f8693e47c6fe57bd366d74478'
    """
    messages = body["messages"]
    tools = body.get("tools")
    head = list(takewhile(lambda message: message["role"] in _INSTRUCTIONS, messages))
    if not head and not tools:
        head = [_start_of(message) for message in messages[:1]]
    # Not JSON: a body that cannot be serialized is refused later, by an error that says so.
    text = repr([body["model"], tools, head])
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def _start_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    content = message["content"]
    return {**message, "content": content[:_START]} if isinstance(content, str) else message
