"""Signed reasoning in chat completions: the fields of calls and turns that a gateway wants back unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.chunks import Thought, ToolCall
from aichatkit.providers.request_bodies import find_signature

__all__ = ["merge_details", "sign_call", "sign_turn", "signed_fields"]

#: Google's endpoints and their gateways, and LiteLLM.
_CALL_FIELDS = ("extra_content", "provider_specific_fields", "thought_signature")
#: OpenRouter and gateways that follow it, and Google's endpoints.
_TURN_FIELDS = ("reasoning_details", "extra_content")
#: Fields whose text continues the text of the previous piece.
_TEXTS = ("text", "summary", "data")


def sign_call(call: Mapping[str, Any]) -> str:
    """Return what has to go back with a call, as text; "" if it has nothing.

    >>> sign_call({"id": "a", "extra_content": {"google": {"thought_signature": "c2ln"}}})
    '{"extra_content": {"google": {"thought_signature": "c2ln"}}}'
    """
    fields = {name: call[name] for name in _CALL_FIELDS if call.get(name)}
    return json.dumps(fields) if fields else ""


def sign_turn(message: Mapping[str, Any]) -> str:
    """Return what has to go back with a turn, as text."""
    return json.dumps({name: message[name] for name in _TURN_FIELDS if message.get(name)})


def signed_fields(signed: ToolCall | Thought, *, provider: str) -> dict[str, Any]:
    """Return the fields in the signature of a call or thought, if this provider made it."""
    signature = find_signature(signed, provider=provider)
    if not signature.startswith("{"):
        return {}
    try:
        fields = json.loads(signature)
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in fields.items() if name in (*_CALL_FIELDS, *_TURN_FIELDS)}


def merge_details(details: Sequence[Any]) -> list[Any]:
    """Return the pieces of a stream as the whole that they are pieces of.

    >>> merge_details([{"index": 0, "text": "H"}, {"index": 0, "text": "m.", "signature": "s"}])
    [{'index': 0, 'text': 'Hm.', 'signature': 's'}]
    """
    merged: list[Any] = []
    for detail in details:
        last = merged[-1] if merged else None
        if not (isinstance(detail, dict) and isinstance(last, dict) and _continues(detail, last)):
            merged.append(detail)
            continue
        joined = {name: last[name] + detail[name] for name in _TEXTS if _is_text(name, last) and _is_text(name, detail)}
        updates = {name: value for name, value in detail.items() if value is not None}
        merged[-1] = {**last, **updates, **joined}
    return merged


def _continues(detail: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    if detail.get("index") is None or detail.get("index") != last.get("index"):
        return False
    if detail.get("type", last.get("type")) != last.get("type") or last.get("type") == "reasoning.encrypted":
        return False
    return detail.get("id") in (None, last.get("id")) or last.get("id") is None


def _is_text(name: str, detail: Mapping[str, Any]) -> bool:
    return isinstance(detail.get(name), str)
