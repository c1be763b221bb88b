"""Reply -> the output of `--json` and `--usage`, and the list of the pages that it cites."""

from __future__ import annotations

import json
from typing import Any

from aichatkit.display.plain import strip_control_characters
from aichatkit.reply import Reply

__all__ = ["format_json", "format_reply", "format_sources", "format_usage"]


def format_reply(reply: Reply) -> str:
    """Return the complete reply as one JSON object."""
    return format_json(reply.to_dict())


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
        noun = "token" if usage.input_tokens == 1 else "tokens"
        cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
        parts.append(f"{_format_count(usage.input_tokens)} {noun} in{cached}, {_format_count(usage.output_tokens)} out")
    else:
        parts.append("tokens unknown")
    if usage.searches:
        parts.append("1 search" if usage.searches == 1 else f"{usage.searches} searches")
    parts.append("cost unknown" if reply.cost is None else _format_dollars(reply.cost))
    parts.append(f"{reply.elapsed:.1f} s")
    attempts = len(reply.attempts)
    if attempts > 1:
        parts.append(f"{attempts} tries")
    return f"{reply.provider}/{reply.model}: {', '.join(parts)}"


def format_sources(reply: Reply) -> str:
    """Return the pages that a reply cites, one on each line.

    >>> from aichatkit.chunks import Citation
    >>> format_sources(Reply("Yes.", "openai", "gpt-6-luna", citations=[Citation("https://example.org", "Ebb")]))
    'sources:\\n1. Ebb https://example.org'
    """
    pages = (" ".join(strip_control_characters(f"{title} {url}").split()) for url, title in reply.sources)
    return "\n".join(["sources:", *(f"{number}. {page}" for number, page in enumerate(pages, 1))])


def _format_dollars(dollars: float) -> str:
    # Most answers cost a fraction of a cent.
    return f"${dollars:.{4 if dollars >= 0.01 else 6}f}".rstrip("0").rstrip(".")


def _format_count(tokens: int | None) -> str:
    return "?" if tokens is None else str(tokens)
