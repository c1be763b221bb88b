"""Replies and errors <-> JSON text for journals, caches and results: plain data, no pickles and no headers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from aichatkit import _json, errors
from aichatkit._dataclasses import field_names
from aichatkit.chunks import Citation, Search, Source, Thought, TokenLogprob, ToolCall, Usage
from aichatkit.errors import ChatError
from aichatkit.reply import Reply

__all__ = ["decode", "encode"]

_T = TypeVar("_T")

#: The attributes that are stored.
_REPLY = ("text", "provider", "model", "complete", "finish_reason", "images", "reasoning", "elapsed", "cost", "id")
_USAGE = ("input_tokens", "output_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
#: Stored next to the reply, as earlier versions cannot read a reply with unknown fields.
_LATER_USAGE = ("cache_write_tokens", "searches")
_LATER_REPLY = ("saved",)
#: Without `reason`: an older version, which does not know it, could not read the record.
_ERROR = ("provider", "model", "status", "code", "retry_after", "partial", "request_id", "maybe_processed", "param")


def encode(outcome: Reply | ChatError) -> str:
    """Return a reply or an error as JSON text, without attempts, headers and raw records."""
    if isinstance(outcome, ChatError):
        return json.dumps({"error": _error_record(outcome)})
    record = {name: getattr(outcome, name) for name in _REPLY}
    # Not `asdict`, which copies every number and would take longer than everything else here.
    record["usage"] = _known_values(outcome.usage, _USAGE)
    # Earlier versions read the first two fields.
    record["citations"] = [_without_defaults(citation) for citation in outcome.citations]
    record["tool_calls"] = [asdict(call) for call in outcome.tool_calls]
    record["thoughts"] = [list(thought) for thought in outcome.thoughts]
    later = _known_values(outcome, _LATER_REPLY)
    later_usage = _known_values(outcome.usage, _LATER_USAGE)
    newer = {**later, **({"usage": later_usage} if later_usage else {})}
    if outcome.searches:
        newer["searches"] = [[query, list(map(list, results)), error] for query, results, error in outcome.searches]
    if outcome.logprobs:
        newer["logprobs"] = [[token, logprob, list(map(list, top))] for token, logprob, top in outcome.logprobs]
    record = {name: value for name, value in record.items() if value not in (None, "", [], {})}
    # Only the arguments of tool calls contain numbers that a float cannot represent.
    dumps = _json.dumps if outcome.tool_calls else json.dumps
    return dumps({"reply": record, **({"later": newer} if newer else {})})


def decode(text: str) -> Reply | ChatError:
    """Return the reply or error encoded in `text`; raise ValueError if it is not one.

    >>> decode(encode(Reply("Paris.", "openai", "gpt-6-sol"))).text
    'Paris.'
    """
    try:
        record = _json.loads(text)
        return _parse_error(record["error"]) if "error" in record else _parse_reply(record)
    except (LookupError, TypeError, AttributeError) as error:
        reason = type(error).__name__
    raise ValueError(f"no record of an answer ({reason})")


def _error_record(error: ChatError) -> dict[str, Any]:
    # A subclass defined elsewhere is restored as its nearest base class in this package.
    error_type = next(cls.__name__ for cls in type(error).__mro__ if cls.__module__ == errors.__name__)
    fields = {name: getattr(error, name) for name in _ERROR}
    record: dict[str, Any] = {name: value for name, value in fields.items() if value not in (None, "", False)}
    nested = [_error_record(part) for part in getattr(error, "errors", ())]
    if job := getattr(error, "job", ""):
        record["job"] = job
    return {"kind": error_type, "message": error.message, **record, **({"errors": nested} if nested else {})}


def _parse_error(record: Mapping[str, Any]) -> ChatError:
    fields = {name: value for name, value in record.items() if name not in ("kind", "message", "errors")}
    if record["kind"] not in errors.__all__:
        raise LookupError(record["kind"])
    error: ChatError = getattr(errors, record["kind"])(record["message"], **fields)
    if "errors" in record:
        error.errors = [_parse_error(part) for part in record["errors"]]  # type: ignore[attr-defined]
    return error


def _known_values(instance: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(instance, name)) is not None}


def _parse_reply(record: Mapping[str, Any]) -> Reply:
    reply, later = record["reply"], record.get("later", {})
    usage = {**reply.get("usage", {}), **later.get("usage", {})}
    parts = {
        "usage": _build(Usage, usage),
        "citations": [Citation(*citation[: len(Citation._fields)]) for citation in reply.get("citations", ())],
        "tool_calls": [_build(ToolCall, call) for call in reply.get("tool_calls", ())],
        "thoughts": [Thought(*thought[: len(Thought._fields)]) for thought in reply.get("thoughts", ())],
        "logprobs": [
            TokenLogprob(token, logprob, tuple(map(tuple, top)))
            for token, logprob, top, *_ in later.get("logprobs", ())
        ],
        "searches": [
            Search(query, [Source(*source[: len(Source._fields)]) for source in results], error)
            for query, results, error, *_ in later.get("searches", ())
        ],
    }
    return _build(Reply, {"text": "", **reply, **later, **parts})


def _without_defaults(citation: Citation) -> list[Any]:
    """Return the fields of a citation; one without a place is stored as before there were any."""
    return list(citation) if any(value not in (None, "") for value in citation[2:]) else list(citation[:2])


def _build(cls: type[_T], values: Mapping[str, Any]) -> _T:
    """Return an instance with the fields that this version has; a later version may have stored others."""
    return cls(**{name: values[name] for name in field_names(cls) if name in values})
