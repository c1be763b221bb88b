"""Plan for the prompt cache -> marks in a request body: `cache_control` at Anthropic, breakpoints at OpenAI.

The text that is marked and its order stay the same; only objects of the body that nothing else holds are changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.messages import Message
from aichatkit.prompt_caching.plan import HEAD, CachePlan

__all__ = ["mark_head", "mark_openai", "mark_parts", "mark_turns"]

_BREAKPOINT: Mapping[str, Any] = {"prompt_cache_breakpoint": {"mode": "explicit"}}
#: Blocks that cannot be marked.
_UNMARKED = ("thinking", "redacted_thinking")
_INSTRUCTIONS = ("system", "developer")
_Turn = tuple[str, "list[dict[str, Any]]"]


def mark_head(payload: dict[str, Any], plan: CachePlan) -> None:
    """Mark the system prompt of a body for Anthropic, or the last tool if there is none."""
    if HEAD not in plan.marks:
        return
    if payload.get("system"):
        payload["system"] = [{"type": "text", "text": payload["system"], **_control(plan)}]
    elif payload.get("tools"):
        payload["tools"][-1] = {**payload["tools"][-1], **_control(plan)}


def mark_turns(turns: Sequence[_Turn], messages: Sequence[Message], plan: CachePlan) -> list[_Turn]:
    """Return the turns of a body for Anthropic, one for each message that is not a system prompt, as marked."""
    places = [place for place, message in enumerate(messages) if message.role not in _INSTRUCTIONS]
    return [(role, _mark_blocks(blocks, place, plan)) for place, (role, blocks) in zip(places, turns)]


def _mark_blocks(blocks: list[dict[str, Any]], place: int, plan: CachePlan) -> list[dict[str, Any]]:
    if plan.part is not None and plan.part[0] == place:
        blocks = _split_last(blocks, plan.part[1], _control(plan))
    if place in plan.marks and blocks and blocks[-1]["type"] not in _UNMARKED:
        blocks = [*blocks[:-1], {**blocks[-1], **_control(plan)}]
    return blocks


def mark_parts(messages: list[dict[str, Any]], plan: CachePlan, *, control: bool = False) -> None:
    """Mark messages for chat completions; with `control`, as gateways to Anthropic take it."""
    mark = _control(plan) if control else _BREAKPOINT
    heads = [place for place, message in enumerate(messages) if message["role"] in _INSTRUCTIONS]
    for place, message in enumerate(messages):
        is_head = HEAD in plan.marks and place == max(heads, default=-1)
        _mark_field(message, "content", place, plan, mark, is_head=is_head, text_type="text")


def _mark_items(items: Sequence[list[dict[str, Any]]], plan: CachePlan) -> None:
    """Mark the items for the Responses API; there is a list of them for each message."""
    heads = [place for place, built in enumerate(items) if built and built[0].get("role") in _INSTRUCTIONS]
    for place, built in enumerate(items):
        is_head = HEAD in plan.marks and place == max(heads, default=-1)
        for item in built[-1:]:
            field = "output" if "output" in item else "content"
            _mark_field(item, field, place, plan, _BREAKPOINT, is_head=is_head, text_type="input_text")


def mark_openai(payload: dict[str, Any], turns: Any, plan: CachePlan) -> None:
    """Mark a body for OpenAI, and say what the model writes to the cache on its own.

    `turns` are the messages for chat completions, or the lists of items for the Responses API.
    """
    if plan.key:
        payload["prompt_cache_key"] = plan.key
    lifetime = {"ttl": "12h"} if plan.is_long and plan.has_marks else {}
    if not plan.writes_nothing:
        # The service marks the end on its own.
        plan = plan._replace(marks=[place for place in plan.marks if place != len(turns) - 1])
    (mark_parts if "messages" in payload else _mark_items)(turns, plan)
    if plan.writes_nothing:
        payload["prompt_cache_options"] = {"mode": "explicit", **lifetime}
    elif lifetime:
        payload["prompt_cache_options"] = {"mode": "implicit", **lifetime}


def _control(plan: CachePlan) -> dict[str, Any]:
    return {"cache_control": {"type": "ephemeral", **({"ttl": "1h"} if plan.is_long else {})}}


def _mark_field(
    message: dict[str, Any],
    field: str,
    place: int,
    plan: CachePlan,
    mark: Mapping[str, Any],
    *,
    is_head: bool,
    text_type: str,
) -> None:
    is_shared = plan.part is not None and plan.part[0] == place
    is_marked = is_head or place in plan.marks
    content = message.get(field)
    if not content or not (is_shared or is_marked):
        return
    parts = [{"type": text_type, "text": content}] if isinstance(content, str) else list(content)
    if is_shared and plan.part is not None:
        parts = _split_last(parts, plan.part[1], mark)
    if is_marked:
        parts[-1] = {**parts[-1], **mark}
    message[field] = parts


def _split_last(blocks: list[dict[str, Any]], length: int, mark: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the blocks with the first `length` characters of the last one marked, as a block of their own."""
    *before, last = blocks or [{}]
    first, rest = str(last.get("text", ""))[:length], str(last.get("text", ""))[length:]
    # A blank block is rejected.
    if not first.strip() or not rest.strip():
        return blocks
    return [*before, {**last, "text": first, **mark}, {**last, "text": rest}]
