"""Chunks -> reply: the finished answer, with a record of every attempt it took."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import dataclass, field, field_names
from aichatkit._lazy import lazy_module
from aichatkit._surrogates import repair, repair_escapes
from aichatkit.chunks import Citation, Search, Source, Thought, TokenLogprob, ToolCall, Usage
from aichatkit.errors import ChatError, SchemaError
from aichatkit.messages import CitedMessage, Message, ToolCallsMessage

if TYPE_CHECKING:
    from aichatkit import _json
    from aichatkit.classification import retry_after
    from aichatkit.display import reply_record as reply_records
    from aichatkit.display import reprs, screen
else:
    _json = lazy_module("aichatkit._json")
    retry_after = lazy_module("aichatkit.classification.retry_after")
    reply_records = lazy_module("aichatkit.display.reply_record")
    reprs = lazy_module("aichatkit.display.reprs")
    screen = lazy_module("aichatkit.display.screen")

__all__ = ["PAUSED", "Attempt", "Reply", "sum_known", "sum_usage"]

#: The finish reason of an answer that the service goes on with once it is sent back.
PAUSED = "pause_turn"

_FENCED_BLOCK = r"(?sm)^[ \t]*```\w*[ \t]*\r?\n(.*?)(?:^[ \t]*```|\Z)"
_MAX_DECODES = 1000
#: Characters of the text that `repr` shows.
_MAX_REPR = 200
_NOT_JSON = object()


@dataclass(frozen=True)
class Attempt:
    """One attempt of a call, at one provider and model; `error` is None if it succeeded.

    `elapsed` is how long it took, `wait` how long the call waited before and after it, both in seconds.
    """

    provider: str
    model: str
    error: ChatError | None = None
    wait: float = 0.0
    elapsed: float = 0.0


@dataclass(frozen=True)
class Reply:
    """A finished answer; `str(reply)` is its text, and f"{reply}" and `format` use it as well.

    `complete` is True if the protocol's end marker arrived, None if the service has no end marker.
    It is False only for an interrupted answer kept by a notebook's `%%chat -o`.
    `finish_reason` is "stop", "length", "content_filter", "tool_calls" or a service-specific value.
    `data` is the structured output for `schema=`, `images` are URLs or data URIs.
    `tool_calls` are the calls left for the caller to run.
    `attempts` lists every attempt in order, `elapsed` is in seconds, `headers` are the response headers.
    `raw` holds the decoded records of the stream if the call was made with `raw=True`.
    `cost` is in US dollars, None if the price or the token usage is unknown. `saved` is what the service's prompt cache
    saved, less what writing to it cost in addition; it may be negative.
    `cache_miss` says why a prompt that begins like an earlier one was not read from that cache; "" if it was, or if the
    service does not say. `cached` is True if the reply came from the client's cache, at no cost.
    `id` is the service's ID for the answer, or empty.
    `citations` are the sources that the answer cites, each with its place in the text; `searches` are the web searches
    that the service ran for it. `logprobs` are the tokens with their log probabilities, with `logprobs=True`.
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
    #: Reasoning that the service requires back together with the tool calls it led to.
    thoughts: list[Thought] = field(default_factory=list, repr=False)
    #: With rounds of tool calls, what they add to a conversation: the calls, their results, and the answer itself.
    turn: list[Message] = field(default_factory=list, repr=False)
    saved: float | None = None
    searches: list[Search] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list, repr=False)
    #: The blocks of an answer in which the service ran tools itself, as it requires them back with tool results.
    blocks: list[Mapping[str, Any]] = field(default_factory=list, repr=False)
    cache_miss: str = ""

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(self.text, spec)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= _MAX_REPR else f"{self.text[:_MAX_REPR]}..."
        incomplete = "" if self.complete is not False else ", broken off"
        return f"<{type(self).__name__} {text!r} from {self.provider}/{self.model}{incomplete}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the reply as plain data that `json.dumps` takes.

        Keys: text, data, provider, model, id, request_id, finish_reason, complete, usage, cost, saved, cache_miss,
        cached, elapsed, reasoning, citations, searches, logprobs, tool_calls, images, limits, attempts. Headers and raw
        records are left out; dates, numbers of other packages and the like in `data` are text.
        """
        return reply_records.reply_record(self)

    @property
    def limits(self) -> dict[str, Any]:
        """The service's rate limits, read from the response headers; empty if it sends none.

        For each unit counted, such as "requests" or "tokens": "limit", "remaining", and "reset" in seconds, as far as
        the service sends them, as in {"tokens": {"remaining": 149, "reset": 360.0}}.
        """
        return retry_after.parse_rate_limits(self.headers)

    @property
    def sources(self) -> list[Source]:
        """The pages that the answer cites, each once, in the order of their first citation."""
        titles: dict[str, str] = {}
        for citation in self.citations:
            titles[citation.url] = titles.get(citation.url) or citation.title
        return [Source(url, title) for url, title in titles.items()]

    @property
    def message(self) -> Message:
        """The answer as a message for the conversation history; tool results go after it."""
        if self.tool_calls or (self.blocks and self.finish_reason == PAUSED):
            return ToolCallsMessage(
                "assistant",
                self.text,
                tuple(self.tool_calls),
                self.reasoning,
                tuple(self.thoughts),
                tuple(self.blocks),
                self.provider if self.blocks else "",
            )
        if self.citations:
            return CitedMessage("assistant", self.text, tuple(self.citations))
        return Message("assistant", self.text)

    @property
    def request_id(self) -> str | None:
        """The service's ID for the request, to quote in a support ticket."""
        return self.headers.get("x-request-id") or self.headers.get("request-id")

    def json(self) -> Any:
        """Return the JSON value in the text, which may be in a fenced code block or surrounded by prose.

        Raises:
            SchemaError: the text contains no JSON value, or more than one.
        """
        try:
            return _json.plain(self._exact_json(self.text))
        except RecursionError:
            raise self._not_json("it is nested too deeply") from None

    def _exact_json(self, text: str) -> Any:
        """Return the JSON value in a part of the text, with the digits of its numbers as they were sent."""
        values = _find_json(text)
        # Some models give their answer twice.
        if values and all(map(_same_as(values[0]), values)):
            return values[0]
        raise self._not_json(f"there are {len(values)} of them" if values else "it holds none")

    def _not_json(self, reason: str) -> SchemaError:
        return SchemaError(
            f"{self.provider}: the answer is not JSON ({reason})",
            provider=self.provider,
            model=self.model,
            partial=self.text,
            attempts=self.attempts,
        )

    def _repr_markdown_(self) -> str:
        return reprs.reply_markdown(self)

    def _ipython_display_(self) -> None:
        # `chat.show(...)` on the last line of a cell would be displayed twice. Raising makes IPython fall back to the
        # other representations.
        if not screen.just_shown(self):
            raise NotImplementedError


_THOUGHTS = r"(?is)\A\s*<think(?:ing)?>.*?</think(?:ing)?>"


def sum_known(amounts: Iterable[float | None]) -> float | None:
    """Return the sum of amounts, None if one of them is not known.

    >>> sum_known([0.25, 0.5]), sum_known([0.25, None])
    (0.75, None)
    """
    total = 0.0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def sum_usage(usages: Iterable[Usage]) -> Usage:
    """Return the total token usage, as far as services reported it; a count that none reported is None.

    >>> sum_usage([Usage(3, 1, 4), Usage(5, None, None), Usage()]).input_tokens
    8
    """
    usages = list(usages)
    columns = {name: [getattr(usage, name) for usage in usages] for name in field_names(Usage)}
    known = {name: [count for count in counts if count is not None] for name, counts in columns.items()}
    return Usage(**{name: sum(counts) for name, counts in known.items() if counts})


def _find_json(text: str) -> list[Any]:
    """Return the JSON values in a text: the text itself, else fenced blocks, else values within the prose.

    A model without a reasoning parser thinks aloud first; JSON in its thoughts is not the answer.
    """
    text = re.sub(_THOUGHTS, "", text, count=1)
    for candidates in ([text], [block[1] for block in re.finditer(_FENCED_BLOCK, text)]):
        values = [value for value in map(_parse_json, candidates) if value is not _NOT_JSON]
        if values:
            return values
    embedded = list(_iter_embedded_json(repair(repair_escapes(text))))
    # Prefer objects: prose also contains reference marks such as [1].
    return [value for value in embedded if isinstance(value, dict)] or embedded


def _same_as(first: Any) -> Callable[[Any], bool]:
    # Not by equality, as True == 1.
    return lambda value: value is first or _json.dumps(value) == _json.dumps(first)


def _parse_json(text: str) -> Any:
    try:
        return _json.loads(text)
    except ValueError:
        return _NOT_JSON


def _iter_embedded_json(text: str) -> Iterator[Any]:
    end = 0
    for count, match in enumerate(re.finditer(r"[{\[]", text)):
        if match.start() < end:
            continue
        # Each decode may scan to the end of the text.
        if count > _MAX_DECODES:
            return
        try:
            value, end = _json.raw_decode(text, match.start())
        except ValueError:
            continue
        yield value
