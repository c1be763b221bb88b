"""Usage of chat completions and of the Responses API -> chunks, with the fields that services add to OpenAI's.

Whether a part is included in a total or comes on top of it differs between services; the overall total says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aichatkit._dataclasses import replace
from aichatkit.chunks import Bill, Usage, parse_amount, parse_count

__all__ = ["parse_charge", "parse_usage"]

#: Dollars per tick, xAI's unit of money.
_TICK = 1e-10
_NONE: Mapping[str, Any] = {}


def parse_usage(usage: Any, *, tier: Any = None) -> Iterator[Usage | Bill]:
    """Yield the token counts and what else the bill depends on; `tier` is the service tier of the answer."""
    usage = usage if isinstance(usage, Mapping) else _NONE
    if not usage:
        # Nearly every record of a stream.
        if word := _word(tier):
            yield Bill(tier=word)
        return
    details = _mapping(usage, "prompt_tokens_details", "input_tokens_details")
    output_details = _mapping(usage, "completion_tokens_details", "output_tokens_details")
    counts = _read_counts(usage, details, output_details)
    audio_only_in_total = _find_audio(usage, counts)
    visible = counts.output_tokens if _reasoning_is_on_top(usage, counts) else None
    yield _with_parts_on_top(usage, counts)
    bill = Bill(
        cost=parse_charge(usage),
        tier=_word(tier) or _word(usage.get("service_tier")),
        search_size=_word(usage.get("search_context_size")),
        visible=visible,
        long_writes=_long_writes(usage, details),
        audio_input=audio_only_in_total or _count(details, "audio_tokens"),
        audio_output=_count(output_details, "audio_tokens"),
        audio_cached=_count(_mapping(details, "cached_tokens_details"), "audio_tokens"),
        image_input=_count(details, "image_tokens"),
        image_output=_count(output_details, "image_tokens"),
        citation_tokens=_count(usage, "citation_tokens"),
    )
    if bill != _NO_BILL:
        yield bill


_NO_BILL = Bill()


def _read_counts(usage: Mapping[str, Any], details: Mapping[str, Any], output_details: Mapping[str, Any]) -> Usage:
    """Return the counts as reported, by whatever name."""
    return Usage(
        _count(usage, "prompt_tokens", "input_tokens"),
        _count(usage, "completion_tokens", "output_tokens"),
        _count(usage, "total_tokens"),
        _first(
            _count(details, "cached_tokens", "cache_read_input_tokens"),
            _count(usage, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens"),
        ),
        _first(_count(output_details, "reasoning_tokens"), _count(usage, "reasoning_tokens")),
        _first(
            _count(details, "cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"),
            _count(usage, "cache_write_tokens", "cache_creation_input_tokens"),
        ),
        _searches(usage),
    )


def _with_parts_on_top(usage: Mapping[str, Any], counts: Usage) -> Usage:
    """Return the counts, with totals that include every part."""
    input_tokens, output_tokens = counts.input_tokens, counts.output_tokens
    if input_tokens is not None:
        input_tokens += _find_audio(usage, counts) + _find_cache_on_top(usage, counts)
    if output_tokens is not None and _reasoning_is_on_top(usage, counts):
        output_tokens += counts.reasoning_tokens or 0
    return replace(counts, input_tokens=input_tokens, output_tokens=output_tokens)


def _rest(counts: Usage) -> int:
    """Return by how much the overall total exceeds input plus output."""
    if counts.total_tokens is None or counts.input_tokens is None or counts.output_tokens is None:
        return 0
    return max(0, counts.total_tokens - counts.input_tokens - counts.output_tokens)


def _find_audio(usage: Mapping[str, Any], counts: Usage) -> int:
    """Return the tokens of audio input that are only in the overall total, as at Mistral."""
    return _rest(counts) if usage.get("prompt_audio_seconds") is not None else 0


def _find_cache_on_top(usage: Mapping[str, Any], counts: Usage) -> int:
    """Return the tokens of the cache that come on top of the prompt, as bridges to Anthropic count."""
    cached, written, rest = counts.cached_tokens or 0, counts.cache_write_tokens or 0, _rest(counts)
    if rest and rest != counts.reasoning_tokens and rest in (cached, cached + written):
        return rest
    has_anthropic_names = "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage
    return cached + written if has_anthropic_names and cached + written > (counts.input_tokens or 0) else 0


def _reasoning_is_on_top(usage: Mapping[str, Any], counts: Usage) -> bool:
    """Return whether output excludes reasoning: xAI's overall total shows it, at Perplexity a count of citations."""
    if not counts.reasoning_tokens or counts.output_tokens is None:
        return False
    return _rest(counts) == counts.reasoning_tokens or ("citation_tokens" in usage and "reasoning_tokens" in usage)


def parse_charge(usage: Mapping[str, Any]) -> float | None:
    """Return the US dollars that the service says it charges."""
    ticks = parse_amount(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return ticks * _TICK
    cost = usage.get("cost")
    if isinstance(cost, Mapping):
        return parse_amount(cost.get("total_cost")) if cost.get("currency", "USD") == "USD" else None
    charged = parse_amount(cost)
    if charged is None or usage.get("is_byok") is not True:
        return charged
    # With the user's own key, the gateway's fee is charged in addition to what the model's provider charges.
    upstream = parse_amount(_mapping(usage, "cost_details").get("upstream_inference_cost"))
    return None if upstream is None else charged + upstream


def _searches(usage: Mapping[str, Any]) -> int | None:
    search = _mapping(_mapping(usage, "tool_calls_details"), "search_web")
    server_tools = _mapping(usage, "server_tool_use", "server_tool_use_details")
    return _first(
        _count(usage, "num_search_queries"), _count(search, "invocation"), _count(server_tools, "web_search_requests")
    )


def _long_writes(usage: Mapping[str, Any], details: Mapping[str, Any]) -> int | None:
    by_lifetime = _mapping(details, "cache_write_tokens_details", "cache_creation_token_details")
    lifetimes = {**_mapping(usage, "cache_creation"), **by_lifetime}
    return _count(lifetimes, "ttl_12h_tokens", "ttl_1h_tokens", "ephemeral_1h_input_tokens")


def _count(record: Mapping[str, Any], *names: str) -> int | None:
    return _first(*(parse_count(record[name]) for name in names if name in record))


def _first(*counts: int | None) -> int | None:
    """Return the first count other than zero, else a zero if there is one."""
    found = [count for count in counts if count is not None]
    return next(filter(None, found), found[0] if found else None)


def _mapping(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((record[name] for name in names if isinstance(record.get(name), Mapping)), _NONE)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
