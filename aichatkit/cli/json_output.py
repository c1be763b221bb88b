"""Reply -> the output of `--json` and `--usage`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from aichatkit.reply import Attempt, Reply

__all__ = ["format_json", "format_reply", "format_usage"]


def format_reply(reply: Reply) -> str:
    """Return the complete reply as one JSON object."""
    return format_json(
        {
            "text": reply.text,
            "data": reply.data,
            "provider": reply.provider,
            "model": reply.model,
            "finish_reason": reply.finish_reason,
            "complete": reply.complete,
            "usage": asdict(reply.usage),
            "cost": reply.cost,
            "elapsed": round(reply.elapsed, 3),
            "cached": reply.cached,
            "reasoning": reply.reasoning,
            "citations": [{"url": citation.url, "title": citation.title} for citation in reply.citations],
            "tool_calls": [
                {"id": call.id, "name": call.name, "arguments": call.arguments} for call in reply.tool_calls
            ],
            "images": reply.images,
            "limits": reply.limits,
            "request_id": reply.request_id,
            "attempts": [_attempt_record(attempt) for attempt in reply.attempts],
        }
    )


def format_json(value: Any) -> str:
    """Return a value as indented JSON, readable by people and programs, with a final newline."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n"


def format_usage(reply: Reply) -> str:
    """Return provider, model, tokens, cost and time as one line.

    >>> from aichatkit.chunks import Usage
    >>> format_usage(Reply("Paris.", "openai", "gpt-6-sol", usage=Usage(12, 3, 15), cost=0.00006, elapsed=0.81))
    'openai/gpt-6-sol: 12 tokens in, 3 out, $0.00006, 0.8 s'
    """
    usage = reply.usage
    parts = []
    if usage.input_tokens is not None or usage.output_tokens is not None:
        parts.append(f"{_format_count(usage.input_tokens)} tokens in, {_format_count(usage.output_tokens)} out")
    else:
        parts.append("tokens unknown")
    parts.append("cost unknown" if reply.cost is None else _format_dollars(reply.cost))
    parts.append(f"{reply.elapsed:.1f} s")
    attempts = len(reply.attempts)
    if attempts > 1:
        parts.append(f"{attempts} tries")
    return f"{reply.provider}/{reply.model}: {', '.join(parts)}"


def _format_dollars(dollars: float) -> str:
    # Most answers cost a fraction of a cent.
    return f"${dollars:.{4 if dollars >= 0.01 else 6}f}".rstrip("0").rstrip(".")


def _format_count(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)


def _attempt_record(attempt: Attempt) -> dict[str, Any]:
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "error": None if attempt.error is None else f"{type(attempt.error).__name__}: {attempt.error}",
        "wait": round(attempt.wait, 3),
        "elapsed": round(attempt.elapsed, 3),
    }
