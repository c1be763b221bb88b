"""Chunks -> reply: the finished answer, and the story of the tries it took."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import dataclass, field
from aichatkit._lazy import lazy_module
from aichatkit.chunks import Citation, Thought, ToolCall, Usage
from aichatkit.errors import ChatError, SchemaError
from aichatkit.messages import Message, ToolCallsMessage

if TYPE_CHECKING:
    from aichatkit.classification import retry_after
    from aichatkit.display import reprs, screen
else:
    retry_after = lazy_module("aichatkit.classification.retry_after")
    reprs = lazy_module("aichatkit.display.reprs")
    screen = lazy_module("aichatkit.display.screen")

__all__ = ["Attempt", "Reply"]


_FENCED = r"(?sm)^[ \t]*```\w*[ \t]*\r?\n(.*?)(?:^[ \t]*```|\Z)"
_DECODER = json.JSONDecoder()
_MOST_TRIES = 1000
_NONE = object()


@dataclass(frozen=True)
class Attempt:
    """One try of a call: `error` is None where it worked; `elapsed` and `wait` are seconds, in it and around it."""

    provider: str
    model: str
    error: ChatError | None = None
    wait: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True)
class Reply:
    """A finished answer; `str(reply)` is its text.

    `complete` is True where the protocol's end marker was seen, None where the service has none;
    False only on what a notebook's `%%chat -o` keeps of an answer that broke off.
    `finish_reason` is "stop", "length", "content_filter", "tool_calls" or the service's own word.
    `data` is the value of a `schema=`, `images` are URLs or data URIs, `tool_calls` those that were left to the caller.
    `attempts` are all tries in order, `elapsed` is in seconds, `headers` are those of the response, `raw` the records
    it came in where `raw=True` asked for them.
    `cost` is in US dollars, None where the price or the tokens are not known.
    `cached` is True where it came from the client's cache, and cost nothing.
    `id` is the service's own name of the answer, where it has one.
    """

    text: str
    provider: str
    model: str
    complete: bool | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    images: list[str] = field(default_factory=list)
    reasoning: str = ""
    citations: list[Citation] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw: list[Any] = field(default_factory=list, repr=False)
    elapsed: float = 0.0
    data: Any = None
    cost: float | None = None
    cached: bool = False
    id: str = ""
    #: What the service wants to see again, with the calls of tools that came of it.
    thoughts: list[Thought] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        return self.text

    @property
    def limits(self) -> dict[str, Any]:
        """The service's rate limits as its headers told them: what is allowed, what remains, seconds to the reset."""
        return retry_after.parse_rate_limits(self.headers)

    @property
    def message(self) -> Message:
        """The answer as a message, to go on with: put it before the results of the tools it asks for."""
        if not self.tool_calls:
            return Message("assistant", self.text)
        return ToolCallsMessage("assistant", self.text, tuple(self.tool_calls), self.reasoning, tuple(self.thoughts))

    @property
    def request_id(self) -> str | None:
        """The service's own id of the call, for its support."""
        return self.headers.get("x-request-id") or self.headers.get("request-id")

    def json(self) -> Any:
        """Return the text read as JSON, also from a fenced block or between words, where there is only one.

        Raises:
            SchemaError: there is none, or it is not clear which of several is meant.
        """
        found = _find_json(self.text)
        if len(found) == 1:
            return found[0]
        reason = f"there are {len(found)} of them" if found else "it holds none"
        raise SchemaError(
            f"{self.provider}: the answer is not JSON ({reason})",
            provider=self.provider,
            model=self.model,
            partial=self.text,
            attempts=self.attempts,
        )

    def _repr_markdown_(self) -> str:
        return reprs.reply_markdown(self)

    def _ipython_display_(self) -> None:
        # The value of `chat.show(...)` at the end of a cell would be there twice. By raising, IPython is told to go on
        # to the other forms.
        if not screen.just_shown(self):
            raise NotImplementedError


def _find_json(text: str) -> list[Any]:
    """Return the JSON values in a text: the whole of it, else those in fenced blocks, else those between words."""
    for texts in ([text], [fenced[1] for fenced in re.finditer(_FENCED, text)]):
        found = [value for value in map(_parsed, texts) if value is not _NONE]
        if found:
            return found
    inside = list(_between_words(text))
    # Marks such as [1] stand between words as well.
    return [value for value in inside if isinstance(value, dict)] or inside


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NONE


def _between_words(text: str) -> Iterator[Any]:
    end = 0
    for count, match in enumerate(re.finditer(r"[{\[]", text)):
        if match.start() < end:
            continue
        # Each try may read to the end of the text.
        if count > _MOST_TRIES:
            return
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        yield value
