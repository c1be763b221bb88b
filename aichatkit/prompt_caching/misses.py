"""Request and what its answer read from the cache -> why that was not more, by what was sent before it.

The last requests to each service are kept: hashes of their tools, settings and messages, and the system prompt itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.chunks import Usage
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.prompt_caching.prompts import INSTRUCTIONS, MeasuredPrompt, common_length, parts_of
from aichatkit.prompt_caching.services import CacheRules
from aichatkit.providers.base import Options

__all__ = ["Trace", "explain", "trace_of"]

#: How long a request is compared with those after it, in seconds.
_REMEMBERED = 86_400.0
#: What counts as read: the share of the tokens that were sent before, as these are estimated.
_READ = 0.5
#: The share of two system prompts that is the same if one was made from the other.
_SIMILAR = 0.5
#: Characters shown on either side of a difference.
_SHOWN = 20
#: What text that changes looks like.
_LOOKS = (
    ("a UUID", re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-", re.IGNORECASE)),
    ("a time", re.compile(r"\d{1,2}:\d{2}")),
    ("a date", re.compile(r"\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}")),
    ("a number", re.compile(r"\d{2,}")),
)


class Trace(NamedTuple):
    """A request, as far as a cache depends on it; `tokens` are estimates up to the head and to each message."""

    model: str
    settings: Mapping[str, int]
    tools: Mapping[str, int]
    system: str
    messages: Sequence[tuple[int, bool]]
    tokens: Sequence[int]
    sent: float


def trace_of(model: str, messages: Sequence[Message], options: Options, prompt: MeasuredPrompt, now: float) -> Trace:
    """Return the trace of a request that is sent now."""
    settings = {
        "reasoning_effort": options.params.get("reasoning_effort"),
        "schema": options.schema,
        "tool_choice": options.tool_choice,
        "search": options.search,
        "service tools": options.service_tools,
        "extra": options.extra,
    }
    instructions = [message for message in messages if message.role in INSTRUCTIONS]
    return Trace(
        model,
        {name: hash(repr(value)) for name, value in settings.items()},
        {tool.name: hash(repr([tool.description, tool.parameters])) for tool in options.tools},
        "\n".join(str(part) for message in instructions for part in parts_of(message)),
        [_identity(message) for message in messages if message.role not in INSTRUCTIONS],
        [each.tokens for each in (prompt.head, *prompt.messages)],
        now,
    )


def explain(
    trace: Trace, earlier: Sequence[Trace], usage: Usage, *, rules: CacheRules, lifetime: float, why: str
) -> str:
    """Return why an answer did not read what was sent before; "" if it did, or if nothing like it was sent.

    `why` is what is said of a beginning that was not marked for the cache; "" if it was, or needs no mark.
    """
    read = usage.cached_tokens
    if read is None:
        return ""
    recent = [other for other in earlier if trace.sent - other.sent <= _REMEMBERED]
    same = [other for other in recent if _head_difference(other, trace) == ""]
    if same:
        # Of several, the latest.
        best = max(reversed(same), key=lambda other: trace.tokens[_common_messages(other, trace)])
        return _explain_same(trace, best, usage, rules=rules, lifetime=lifetime, why=why)
    for other in reversed(recent):
        is_kept = trace.sent - other.sent <= lifetime and other.tokens[-1] >= rules.minimum
        if is_kept and read < _READ * other.tokens[0] and _is_related(other, trace):
            return _head_difference(other, trace)
    return ""


def _explain_same(trace: Trace, other: Trace, usage: Usage, *, rules: CacheRules, lifetime: float, why: str) -> str:
    """Return why a prompt was not read that begins like an earlier one."""
    count = _common_messages(other, trace)
    tokens = trace.tokens[count]
    if count == 0 and trace.messages and trace.messages[0] in other.messages[1:]:
        return "the oldest messages were dropped, so the rest of the conversation is new to the cache"
    if 0 < count < len(other.messages) - 1 and len(trace.messages) >= len(other.messages):
        files = " (it has files)" if trace.messages[count][1] else ""
        return f"message {count + 1} of the conversation{files} has changed"
    read, total = usage.cached_tokens or 0, usage.input_tokens or trace.tokens[-1]
    if not tokens or (read and read >= _READ * tokens):
        return ""
    if min(tokens, total) < rules.minimum:
        # Of other services, the shortest prompt is not known exactly.
        same = f"only about the first {min(tokens, total)} tokens are the same as in an earlier request"
        return f"{same}; the model caches prompts of at least {rules.minimum}" if rules.has_fee else ""
    gap = trace.sent - other.sent
    if gap > lifetime:
        kept = f"expired, as it is kept for {_seconds(lifetime)}" if rules.has_fee else "probably expired"
        return f"{kept}: it was sent {_seconds(gap)} before"
    return why or f"the service did not find it, although it was sent {_seconds(gap)} before"


def _identity(message: Message) -> tuple[int, bool]:
    """Return a hash of a message, and whether it has files; Python caches the hashes of texts and bytes."""
    parts = list(parts_of(message))
    found = [(part.kind, part.media_type, part.url, part.data) if isinstance(part, File) else part for part in parts]
    more: Any = ()
    if isinstance(message, ToolCallsMessage):
        more = repr([*message.calls, *message.thoughts])
    elif isinstance(message, ToolResultMessage):
        more = message.call.id
    return hash((message.role, tuple(found), more)), any(isinstance(part, File) for part in parts)


def _common_messages(one: Trace, other: Trace) -> int:
    return next(
        (n for n, (left, right) in enumerate(zip(one.messages, other.messages)) if left != right),
        min(len(one.messages), len(other.messages)),
    )


def _is_related(one: Trace, other: Trace) -> bool:
    """Return whether a request with another head belongs to the same conversation, or was made in the same way."""
    if one.messages[:1] == other.messages[:1] and len(one.messages) < len(other.messages):
        return True
    longest = max(len(one.system), len(other.system))
    start = common_length(one.system, other.system)
    end = common_length(one.system[start:][::-1], other.system[start:][::-1])
    return longest > 0 and start + end >= _SIMILAR * longest


def _head_difference(one: Trace, other: Trace) -> str:
    """Return the first part before the messages in which two requests differ; "" if they are the same."""
    return next(_head_differences(one, other), "")


def _head_differences(one: Trace, other: Trace) -> Iterator[str]:
    if one.model != other.model:
        yield f"the model changed from {one.model} to {other.model}, and each has its own cache"
    for name, value in other.settings.items():
        if one.settings[name] != value:
            yield f"{name} has changed"
    yield from _tool_differences(one.tools, other.tools)
    if one.system != other.system:
        place = common_length(one.system, other.system)
        shown = other.system[max(0, place - _SHOWN) : place + _SHOWN]
        near = slice(max(0, place - 2 * _SHOWN), place + 2 * _SHOWN)
        either = f"{other.system[near]}\n{one.system[near]}"
        look = next((f", which looks like {name}" for name, pattern in _LOOKS if pattern.search(either)), "")
        yield f"the system prompt differs from character {place + 1} on: {shown!r}{look}"


def _tool_differences(one: Mapping[str, int], other: Mapping[str, int]) -> Iterator[str]:
    for name, value in other.items():
        if name not in one:
            yield f"the tool {name!r} was added"
        elif one[name] != value:
            yield f"the tool {name!r} has changed"
    for name in one:
        if name not in other:
            yield f"the tool {name!r} was removed"
    if list(one) != list(other):
        yield "the tools are in another order"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
