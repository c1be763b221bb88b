"""Call -> hooks: the records passed to users' hooks for each request, chunk, reply and error; none shows a key."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Callable
from urllib.parse import urlsplit

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit.chunks import ToolCall
from aichatkit.errors import ChatError
from aichatkit.messages import Message
from aichatkit.reply import Reply
from aichatkit.transport.secrets import hide

__all__ = [
    "ChunkInfo",
    "ErrorInfo",
    "Hook",
    "ReplyInfo",
    "RequestInfo",
    "redact_error",
    "redact_headers",
    "redact_keys",
    "redact_url",
    "run_hook",
]

logger = logging.getLogger(__name__)

Hook = Callable[[Any], None]

#: Headers whose values are safe to show; any other may contain a key, a token or a cookie.
_SAFE_HEADERS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "anthropic-beta", "anthropic-version", "content-type"),
        *("openai-beta", "origin", "referer", "user-agent"),
    }
)
_REDACTED = "[hidden]"


class RequestInfo(NamedTuple):
    """A request about to be sent, as passed to `hooks={"request": f}`.

    `url` has no query string or credentials; header values that may be secret are redacted.
    `attempt` is the number of the attempt within the call, starting at 1.
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
        count = f"{len(self.messages)} message{'s' if len(self.messages) != 1 else ''}"
        return f"{self.method} {self.url} for {self.provider}/{self.model}, {count}, try {self.attempt}"


class ChunkInfo(NamedTuple):
    """A chunk of text, as passed to `hooks={"chunk": f}`; `number` starts at 0."""

    provider: str
    model: str
    text: str
    number: int

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} [{self.number}] {self.text!r}"


class ReplyInfo(NamedTuple):
    """A finished answer, as passed to `hooks={"reply": f}`.

    `elapsed` is the duration of the entire call in seconds, including waits.
    """

    provider: str
    model: str
    reply: Reply
    elapsed: float

    def __str__(self) -> str:
        tokens, cost = self.reply.usage.total_tokens, self.reply.cost
        parts = [f"{len(self.reply.text)} characters"]
        parts += [] if tokens is None else [f"{tokens} tokens"]
        parts += [] if cost is None else [f"{cost:.6f} US dollars"]
        return f"{self.provider}/{self.model} answered in {self.elapsed:.1f} s: {', '.join(parts)}"


class ErrorInfo(NamedTuple):
    """A call that failed for good, as passed to `hooks={"error": f}`; `error` is raised to the caller.

    Failed attempts that were retried are in `error.attempts`; the "wait" hook receives them as they happen.
    `elapsed` is the duration of the entire call in seconds, including waits.
    """

    provider: str
    model: str
    error: BaseException
    elapsed: float

    def __str__(self) -> str:
        name = type(self.error).__name__
        return f"{self.provider}/{self.model} failed after {self.elapsed:.1f} s: {name}: {self.error}"


def run_hook(name: str, hook: Any, record: Any) -> None:
    """Call a hook; its exceptions are logged and do not affect the call."""
    try:
        hook(record)
    except Exception:
        logger.exception("the %s hook failed", name)


def redact_keys(value: Any, secrets: Sequence[str]) -> Any:
    """Return messages or parameters with the API keys in their texts hidden; what holds none stays the same object.

    >>> redact_keys(["my key is sk-12345678"], ["sk-12345678"])
    ['my key is [key]']
    """
    if isinstance(value, str):
        for secret in secrets:
            value = hide(secret, value)
        return value
    if isinstance(value, Mapping):
        return {name: redact_keys(part, secrets) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [redact_keys(part, secrets) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, (Message, ToolCall)):
        return replace(value, **{name: redact_keys(part, secrets) for name, part in vars(value).items()})
    return value


def redact_error(error: BaseException, secrets: Sequence[str]) -> None:
    """Hide the API keys in the texts of an error of the package."""
    if not isinstance(error, ChatError):
        return
    for name in ("message", "code", "param", "request_id", "reason"):
        text = getattr(error, name)
        if text:
            setattr(error, name, redact_keys(text, secrets))
    error.args = (error.message,)


def redact_url(url: str) -> str:
    """Return a URL without the parts that may contain secrets.

    >>> redact_url("https://me:pass@example.org:8080/v1/chat?key=sk-1#top")
    'https://example.org:8080/v1/chat'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def redact_headers(*mappings: Mapping[str, Any]) -> dict[str, str]:
    """Return merged headers, later ones replacing earlier ones, with values that may be secret redacted.

    >>> redact_headers({"Accept": "*/*", "X-Token": "t-1"})
    {'Accept': '*/*', 'X-Token': '[hidden]'}
    """
    headers = {name: value for mapping in mappings for name, value in mapping.items()}
    return {name: str(value) if name.lower() in _SAFE_HEADERS else _REDACTED for name, value in headers.items()}
