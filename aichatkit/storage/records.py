"""Replies and errors <-> JSON text for journals, caches and results: plain data, no pickles and no headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aichatkit import errors
from aichatkit._dataclasses import field_names
from aichatkit.chunks import Citation, Thought, ToolCall, Usage
from aichatkit.errors import ChatError
from aichatkit.reply import Reply

__all__ = ["decode", "encode"]

#: The attributes that are stored.
_REPLY = ("text", "provider", "model", "complete", "finish_reason", "images", "reasoning", "elapsed", "cost", "id")
_USAGE = field_names(Usage)
#: Without `reason`: an older version, which does not know it, could not read the record.
_ERROR = ("provider", "model", "status", "code", "retry_after", "partial", "request_id", "maybe_processed", "param")


def encode(outcome: Reply | ChatError) -> str:
    """Return a reply or an error as JSON text, without attempts, headers and raw records."""
    if isinstance(outcome, ChatError):
        return json.dumps({"error": _error_record(outcome)})
    record = {name: getattr(outcome, name) for name in _REPLY}
    # Not `asdict`, which copies every number and would take longer than everything else here.
    usage = outcome.usage
    record["usage"] = {name: count for name in _USAGE if (count := getattr(usage, name)) is not None}
    record["citations"] = [list(citation) for citation in outcome.citations]
    record["tool_calls"] = [asdict(call) for call in outcome.tool_calls]
    record["thoughts"] = [list(thought) for thought in outcome.thoughts]
    return json.dumps({"reply": {name: value for name, value in record.items() if value not in (None, "", [], {})}})


def decode(text: str) -> Reply | ChatError:
    """Return the reply or error encoded in `text`; raise ValueError if it is not one.

    >>> decode(encode(Reply("Paris.", "openai", "gpt-6-sol"))).text
    'Paris.'
    """
    try:
        record = json.loads(text)
        return _parse_error(record["error"]) if "error" in record else _parse_reply(record["reply"])
    except (LookupError, TypeError, AttributeError) as error:
        reason = type(error).__name__
    raise ValueError(f"no record of an answer ({reason})")


def _error_record(error: ChatError) -> dict[str, Any]:
    # A subclass defined elsewhere is restored as its nearest base class in this package.
    error_type = next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
    fields = {name: getattr(error, name) for name in _ERROR}
    record: dict[str, Any] = {name: value for name, value in fields.items() if value not in (None, "", False)}
    nested = [_error_record(part) for part in getattr(error, "errors", ())]
    return {"kind": error_type, "message": error.message, **record, **({"errors": nested} if nested else {})}


def _parse_error(record: Mapping[str, Any]) -> ChatError:
    fields = {name: value for name, value in record.items() if name not in ("kind", "message", "errors")}
    if record["kind"] not in errors.__all__:
        raise LookupError(record["kind"])
    error: ChatError = getattr(errors, record["kind"])(record["message"], **fields)
    if "errors" in record:
        error.errors = [_parse_error(part) for part in record["errors"]]  # type: ignore[attr-defined]
    return error


def _parse_reply(record: Mapping[str, Any]) -> Reply:
    parts = {
        "usage": Usage(**record.get("usage", {})),
        "citations": [Citation(*citation) for citation in record.get("citations", ())],
        "tool_calls": [ToolCall(**call) for call in record.get("tool_calls", ())],
        "thoughts": [Thought(*thought) for thought in record.get("thoughts", ())],
    }
    return Reply(**{"text": "", **record, **parts})
