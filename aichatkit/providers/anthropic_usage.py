"""Usage of Anthropic's messages -> chunks: input, cache reads and cache writes are counted separately."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aichatkit.chunks import Bill, Usage, parse_count

__all__ = ["parse_usage"]


def parse_usage(usage: Any) -> Iterator[Usage | Bill]:
    """Yield the token counts and what else the bill depends on.

    A stream sends them twice, and the second time some may be missing: the parts are added up at the end.
    """
    if not isinstance(usage, Mapping):
        return

    def count(name: str, parent: Any = usage) -> int | None:
        return parse_count(parent.get(name)) if isinstance(parent, Mapping) else None

    def word(name: str) -> str:
        return value if isinstance(value := usage.get(name), str) else ""

    uncached, cached, written = map(count, ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))
    by_lifetime = usage.get("cache_creation")
    lifetimes = [count(f"ephemeral_{name}_input_tokens", by_lifetime) for name in ("5m", "1h")]
    written = max(filter(None, (written, sum(filter(None, lifetimes)))), default=written)
    yield Usage(
        None if uncached is None else uncached + (cached or 0) + (written or 0),
        count("output_tokens"),
        cached_tokens=cached,
        reasoning_tokens=count("thinking_tokens", usage.get("output_tokens_details")),
        cache_write_tokens=written,
        searches=count("web_search_requests", usage.get("server_tool_use")),
    )
    yield Bill(
        tier=word("service_tier"),
        speed=word("speed"),
        region=word("inference_geo"),
        uncached=uncached,
        long_writes=lifetimes[1],
    )
