"""Event -> chunks other than text: usage, end marker, reasoning, tool calls, citations, the model that answered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import NamedTuple, dataclass, field

if TYPE_CHECKING:
    from aichatkit.errors import ChatError

__all__ = [
    "Answered",
    "ArgumentFields",
    "Bill",
    "Block",
    "Citation",
    "Cited",
    "Finish",
    "Logprobs",
    "Notice",
    "Part",
    "Picture",
    "Reasoning",
    "Refusal",
    "Search",
    "SearchPart",
    "Source",
    "Thought",
    "TokenLogprob",
    "ToolCall",
    "ToolCallPart",
    "Unread",
    "Usage",
    "Whole",
    "dict_or_empty",
    "dicts_in",
    "is_generated_call_id",
    "make_call_id",
    "parse_amount",
    "parse_count",
]


@dataclass(frozen=True)
class Usage:
    """Token usage of a call; None for counts the service does not report.

    `cached_tokens` are the input tokens served from the service's prompt cache and are included in `input_tokens`.
    `reasoning_tokens` are the output tokens spent on reasoning and are included in `output_tokens`.
    `cache_write_tokens` are the input tokens written to the prompt cache and are included in `input_tokens`.
    `searches` counts the searches the service ran for the answer, which it charges for.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    searches: int | None = None


class Bill(NamedTuple):
    """What a service reports for the bill in addition to `Usage`; None or empty for what it does not report.

    `cost` is in US dollars, as charged, and beats any price table.
    `tier` is the service tier that served the request, `speed` and `region` what else multiplies the price.
    The counts are parts of those in `Usage`. Four are there for services that report a total in parts: the input is
    `uncached` and what was read from and written to the cache, or `prompt` and `tool_prompt`; the output is `visible`
    and reasoning. `billed_input` and `billed_output` replace the totals if a service charges for fewer tokens.
    """

    cost: float | None = None
    tier: str = ""
    speed: str = ""
    region: str = ""
    search_size: str = ""
    uncached: int | None = None
    prompt: int | None = None
    tool_prompt: int | None = None
    visible: int | None = None
    long_writes: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    audio_cached: int | None = None
    image_input: int | None = None
    image_output: int | None = None
    citation_tokens: int | None = None
    billed_input: int | None = None
    billed_output: int | None = None
    #: Whether the model reasoned, if the service does not count the tokens.
    reasoned: bool = False
    #: The pictures in the answer.
    images: int | None = None


class Finish(NamedTuple):
    """The end marker of a protocol.

    `reason` is one of "stop", "length", "content_filter", "tool_calls", "error", or a service-specific value.
    `last` is True if nothing of the answer follows the marker.
    `ends` is False if the record only carries the reason and the marker itself is still to come.
    """

    reason: str | None = None
    last: bool = False
    ends: bool = True


class Answered(NamedTuple):
    """The model that answered, as named by the service, and the service's ID for the answer."""

    model: str
    id: str = ""


class Reasoning(NamedTuple):
    """A piece of the model's reasoning; a piece with the service's signature ends its block.

    A `hidden` block is redacted: it has a signature and no text.
    """

    text: str
    signature: str = ""
    hidden: bool = False


class Thought(NamedTuple):
    """A block of reasoning that must be sent back to its service unchanged and at the same position.

    The position is after `after_text` characters of the text and `after_calls` tool calls.
    `signature` is the service's signature, prefixed with the service's name and a colon.
    """

    text: str
    signature: str
    hidden: bool = False
    after_text: int = 0
    after_calls: int = 0


class Citation(NamedTuple):
    """A source that the answer cites, and the place in the answer.

    `start` and `end` are positions in the text of the reply, `end` exclusive; None if the service does not report them.
    `text` is what is there, `reply.text[start:end]`: the words that the source supports, or the mark in the text that
    refers to it, depending on the service. `quote` is what the source says, if the service quotes it.
    """

    url: str
    title: str = ""
    start: int | None = None
    end: int | None = None
    text: str = ""
    quote: str = ""


class Source(NamedTuple):
    """A web page that the service found or cites."""

    url: str
    title: str = ""


class TokenLogprob(NamedTuple):
    """A token of the answer with its log probability; `top` are the most likely tokens at its place, with theirs."""

    token: str
    logprob: float
    top: Sequence[tuple[str, float]] = ()


class Logprobs(NamedTuple):
    """The next tokens of the answer, with their log probabilities."""

    tokens: Sequence[TokenLogprob]


class Search(NamedTuple):
    """A web search that the service ran for the answer: its query, and the pages found.

    `error` is the service's code if the search failed.
    """

    query: str
    results: Sequence[Source] = ()
    error: str = ""


class Cited(NamedTuple):
    """A citation as a service reports it; its place in the text is found once the answer is complete.

    `unit` says what the place is: "marker" (`start` and `end` are around a link in the text), "bytes" (they count
    UTF-8), "block" (all of the text part named by `part`), "here" (where the text has got to), "number" (the source is
    referred to by its `number` in brackets). Positions count from the start of `part`, if it is named.
    Without a URL, the source is a document that the service fetched: the one with this `title`, or with this `number`.
    """

    url: str
    title: str = ""
    unit: str = "here"
    start: int | None = None
    end: int | None = None
    text: str = ""
    quote: str = ""
    part: Sequence[Any] = ()
    number: int = 0


class SearchPart(NamedTuple):
    """What is known about a search so far, by its ID; parts of one search are put together."""

    id: str
    query: str = ""
    results: Sequence[Source] = ()
    error: str = ""


class Block(NamedTuple):
    """The start of a block of the answer, by its index, so that the service can be sent all of them unchanged.

    `content` is the block as received. Of text, reasoning and calls only the type is used; anything else belongs to a
    tool that the service runs itself, and `citation` is added to the text block with the index.
    """

    index: Any
    content: Mapping[str, Any] | None = None
    citation: Mapping[str, Any] | None = None


class Notice(NamedTuple):
    """A notice from the service; if the answer has no text, it explains what went wrong."""

    text: str


class Picture(NamedTuple):
    """A generated image: its `url`, or its `data` as a data URI; `fetch` requests a download of the URL."""

    url: str = ""
    data: str = ""
    fetch: bool = False


class ToolCallPart(NamedTuple):
    """A piece of a tool call; `arguments` is a piece of JSON text.

    `position` is the index of the call it belongs to.
    Without one, a piece with a name starts a new call and any other piece belongs to the latest.
    A piece without a name under an index that no call has continues the call with its ID.
    If there is none, its arguments are lost, and a call that may lack them is not run.
    `signature` must be sent back to the service with the tool's result.
    With `whole`, the piece repeats a whole call of which pieces may have come before.
    With `foreign`, the position belongs to a call that the service runs itself, and its pieces are ignored.
    """

    position: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str = ""
    whole: bool = False
    foreign: bool = False


class ArgumentFields(NamedTuple):
    """Fields of the latest call's arguments, each with its path; the texts of one path are joined.

    `more` says that further fields of the call follow.
    """

    fields: Sequence[tuple[Sequence[str | int], Any]]
    more: bool = False


class Refusal(NamedTuple):
    """Text with which the model refuses to answer."""

    text: str


class Unread(NamedTuple):
    """A part of the answer that cannot be read; an error only if nothing else of it can be."""

    error: ChatError


class Whole(NamedTuple):
    """Chunks that repeat a part of the answer, or all of it, once it is complete; taken as far as they are new.

    `keys` are the names of the part, any of which identifies it; without keys it is the whole answer.
    """

    parts: Sequence[Any]
    keys: Sequence[Any] = ()


class Part(NamedTuple):
    """The start of a part of the answer, by its names: pieces of it follow."""

    keys: Sequence[Any]


@dataclass(frozen=True)
class ToolCall:
    """A tool call requested by the model: the tool's name and its arguments.

    `signature` is the service's signature, prefixed with the service's name and a colon.
    It is sent back with the result, and only to that service.
    `broken` holds the raw text of arguments that are not a JSON object, which small models sometimes produce, or that
    cannot be assigned to a call; `arguments` is empty then.
    """

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    signature: str = field(default="", repr=False)
    broken: str = ""


def make_call_id(turn: int, number: int) -> str:
    """Return an ID for a tool call that has none; it is stable for the same call of the same conversation.

    >>> make_call_id(3, 0)
    'call00300'
    """
    # The strictest service requires exactly nine letters and digits.
    return f"call{turn:03}{number:02}"


def is_generated_call_id(call_id: str) -> bool:
    """Return whether an ID comes from `make_call_id` and not from a service.

    >>> is_generated_call_id("call00300"), is_generated_call_id("call_1")
    (True, False)
    """
    return re.fullmatch("call[0-9]{5,}", call_id) is not None


#: Integers above it are not exact in JSON, and no count of tokens.
_MAX_COUNT = 2**53


def parse_count(value: Any) -> int | None:
    """Return a count that a service reports as an integer, None for anything that is not a count.

    >>> parse_count(5), parse_count(5.0), parse_count("5"), parse_count(True), parse_count(-1), parse_count(10**400)
    (5, 5, None, None, None, None)
    """
    return int(value) if value.__class__ in (int, float) and 0 <= value <= _MAX_COUNT else None


def parse_amount(value: Any) -> float | None:
    """Return an amount of money that a service reports as a number, None for anything that is none.

    >>> parse_amount(0.5), parse_amount("0.5"), parse_amount(True), parse_amount(float("inf")), parse_amount(-1)
    (0.5, None, None, None, None)
    """
    return float(value) if value.__class__ in (int, float) and 0 <= value <= _MAX_COUNT else None


def dicts_in(values: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; anything else is skipped, as it must not lose the text next to it.

    >>> dicts_in([{"a": 1}, "b", None]), dicts_in("c")
    ([{'a': 1}], [])
    """
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def dict_or_empty(value: Any) -> Mapping[str, Any]:
    """Return an object as it is, anything else as an empty one.

    >>> dict_or_empty({"a": 1}), dict_or_empty([1])
    ({'a': 1}, {})
    """
    return value if isinstance(value, dict) else {}
