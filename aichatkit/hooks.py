"""What users' hooks see: a record of each request, chunk, reply and error, which shows no key."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

from aichatkit.messages import Message
from aichatkit.reply import Reply

__all__ = ["ChunkInfo", "ErrorInfo", "Hook", "ReplyInfo", "RequestInfo", "bare_url", "emit", "shown_headers"]

logger = logging.getLogger(__name__)

Hook = Callable[[Any], None]

#: Headers whose values are shown; any other may hold a key, a token or a cookie.
_SHOWN = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "anthropic-beta", "anthropic-version", "content-type"),
        *("openai-beta", "origin", "referer", "user-agent"),
    }
)
_HIDDEN = "[hidden]"


class RequestInfo(NamedTuple):
    """A request that is about to be sent, as `hooks={"request": f}` sees it.

    `url` is without its query, `headers` with the values of those alone that hold no secret.
    `attempt` counts the tries of the call from 1.
    """

    provider: str
    model: str
    method: str
    url: str
    headers: Mapping[str, str]
    messages: Sequence[Message]
    params: Mapping[str, Any]
    attempt: int = 1

    def __str__(self) -> str:
        number = f"{len(self.messages)} message{'s' if len(self.messages) != 1 else ''}"
        return f"{self.method} {self.url} for {self.provider}/{self.model}, {number}, try {self.attempt}"


class ChunkInfo(NamedTuple):
    """A piece of text that is handed out, as `hooks={"chunk": f}` sees it; `number` counts from 0."""

    provider: str
    model: str
    text: str
    number: int

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} [{self.number}] {self.text!r}"


class ReplyInfo(NamedTuple):
    """A finished answer, as `hooks={"reply": f}` sees it.

    `elapsed` is that of the whole call with its waits, in seconds.
    """

    provider: str
    model: str
    reply: Reply
    elapsed: float

    def __str__(self) -> str:
        tokens, cost = self.reply.usage.total_tokens, self.reply.cost
        told = [f"{len(self.reply.text)} characters"]
        told += [] if tokens is None else [f"{tokens} tokens"]
        told += [] if cost is None else [f"{cost:.6f} US dollars"]
        return f"{self.provider}/{self.model} answered in {self.elapsed:.1f} s: {', '.join(told)}"


class ErrorInfo(NamedTuple):
    """A call that failed for good, as `hooks={"error": f}` sees it; `error` is what the caller gets.

    Tries that failed and were repeated are in `error.attempts`, and the "wait" hook sees them as they come.
    """

    provider: str
    model: str
    error: BaseException
    elapsed: float

    def __str__(self) -> str:
        kind = type(self.error).__name__
        return f"{self.provider}/{self.model} failed after {self.elapsed:.1f} s: {kind}: {self.error}"


def emit(name: str, hook: Any, record: Any) -> None:
    """Call a hook; one that fails is logged and ends nothing."""
    try:
        hook(record)
    except Exception:
        logger.exception("the %s hook failed", name)


def bare_url(url: str) -> str:
    """Return an address without what may be secret in it.

    >>> bare_url("https://me:pass@example.org:8080/v1/chat?key=sk-1#top")
    'https://example.org:8080/v1/chat'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def shown_headers(*given: Mapping[str, Any]) -> dict[str, str]:
    """Return headers, of which later ones replace earlier ones, with the values that may be secret hidden.

    >>> shown_headers({"Accept": "*/*", "X-Token": "t-1"})
    {'Accept': '*/*', 'X-Token': '[hidden]'}
    """
    headers = {name: value for part in given for name, value in part.items()}
    return {name: str(value) if name.lower() in _SHOWN else _HIDDEN for name, value in headers.items()}
