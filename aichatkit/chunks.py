"""What an event can turn into beside text: usage, end, reasoning, tool calls, citations, the model that answered."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from aichatkit._dataclasses import dataclass, field

__all__ = [
    "Answered",
    "Citation",
    "Finish",
    "Notice",
    "Picture",
    "Reasoning",
    "Thought",
    "ToolCall",
    "ToolCallPart",
    "Usage",
    "is_made_call_id",
    "make_call_id",
]


@dataclass(frozen=True)
class Usage:
    """Tokens a call took; None where the service does not tell.

    `cached_tokens` are those of the input that the service had in its cache, `reasoning_tokens` those of the output
    that are thoughts; both are part of the numbers above them.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class Finish(NamedTuple):
    """The end marker of a protocol.

    `reason` is one of "stop", "length", "content_filter", "tool_calls", "error", or the service's own word.
    After a `last` marker nothing more of the answer follows.
    One that does not `end` the answer only tells the reason: the marker itself is still to come.
    """

    reason: str | None = None
    last: bool = False
    ends: bool = True


class Answered(NamedTuple):
    """The model that answered, in the service's own words, and the service's name of the answer."""

    model: str
    id: str = ""


class Reasoning(NamedTuple):
    """A piece of the text a model thinks aloud before it answers; the service's signature ends a stretch of it.

    A `hidden` stretch has no text: the signature is all that is shown of it.
    """

    text: str
    signature: str = ""
    hidden: bool = False


class Thought(NamedTuple):
    """A stretch of thoughts that its service wants to see again, unchanged and in its place.

    It stands after that many characters of the text and that many calls of tools.
    The signature is the service's own, after its name and a colon.
    """

    text: str
    signature: str
    hidden: bool = False
    after_text: int = 0
    after_calls: int = 0


class Citation(NamedTuple):
    """A source the answer rests on."""

    url: str
    title: str = ""


class Notice(NamedTuple):
    """What a service says beside an answer; where no text comes it tells what went wrong."""

    text: str


class Picture(NamedTuple):
    """A picture the model made: its `url`, or its `data` as a data URI; `fetch` asks for the bytes behind the URL."""

    url: str = ""
    data: str = ""
    fetch: bool = False


class ToolCallPart(NamedTuple):
    """A piece of a tool call; `arguments` is a piece of JSON text.

    `position` tells which call it belongs to; without it a name begins a new call, and the rest belongs to the last.
    A piece without id or name of a call that never began is of no tool of ours.
    `signature` is what the service wants to see again with the tool's result.
    """

    position: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""
    signature: str = ""


@dataclass(frozen=True)
class ToolCall:
    """A call the model asks for: which tool, with which arguments.

    `signature` is the service's own, after its name and a colon; only that service gets it back with the result.
    `broken` holds the text of arguments that are no JSON object, as small models write them now and then.
    """

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    signature: str = field(default="", repr=False)
    broken: str = ""


def make_call_id(turn: int, number: int) -> str:
    """Return an id for a call that its service gave none; the same call of the same conversation has the same.

    >>> make_call_id(3, 0)
    'call00300'
    """
    # Nine letters and digits is what the strictest service takes.
    return f"call{turn:03}{number:02}"


def is_made_call_id(call_id: str) -> bool:
    """Tell whether an id was made here.

    >>> is_made_call_id("call00300"), is_made_call_id("call_1")
    (True, False)
    """
    return re.fullmatch("call[0-9]{5,}", call_id) is not None
