"""litellm's rows -> records of the catalog, with every trap of its columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from model_data.sources import Sources

Row = Mapping[str, Any]
Record = dict[str, Any]

#: litellm's provider -> ours, and the prefix of its keys that is not part of the model's name.
PROVIDERS = {
    "anthropic": ("anthropic", ""),
    "azure": ("azure", "azure/"),
    "bedrock_mantle": ("bedrock", "bedrock_mantle/"),
    "cerebras": ("cerebras", "cerebras/"),
    "cohere": ("cohere", ""),
    "cohere_chat": ("cohere", ""),
    "dashscope": ("dashscope", "dashscope/"),
    "deepinfra": ("deepinfra", "deepinfra/"),
    "deepseek": ("deepseek", "deepseek/"),
    "fireworks_ai": ("fireworks", "fireworks_ai/"),
    "gemini": ("gemini", "gemini/"),
    "groq": ("groq", "groq/"),
    "meta": ("meta", "meta/"),
    "meta_llama": ("meta", "meta_llama/"),
    "minimax": ("minimax", "minimax/"),
    "mistral": ("mistral", "mistral/"),
    "moonshot": ("moonshot", "moonshot/"),
    "nebius": ("nebius", "nebius/"),
    "ollama": ("ollama", "ollama/"),
    "openai": ("openai", ""),
    "perplexity": ("perplexity", "perplexity/"),
    "sambanova": ("sambanova", "sambanova/"),
    "together_ai": ("together", "together_ai/"),
    "vercel_ai_gateway": ("vercel", "vercel_ai_gateway/"),
    "xai": ("xai", "xai/"),
    "zai": ("zai", "zai/"),
}
_MODES = ("chat", "responses", "image_generation")
#: Our name of a rate -> the column of its price for one token.
_RATES = {
    "in": "input_cost_per_token",
    "out": "output_cost_per_token",
    "read": "cache_read_input_token_cost",
    "write": "cache_creation_input_token_cost",
    "write_long": "cache_creation_input_token_cost_above_12hr",
}
#: Anthropic and Moonshot write for an hour where OpenAI writes for twelve.
_LONG_WRITE = "cache_creation_input_token_cost_above_1hr"
_MEDIA_RATES = {
    "audio_in": "input_cost_per_audio_token",
    "audio_out": "output_cost_per_audio_token",
    "audio_read": "cache_read_input_audio_token_cost",
    "image_in": "input_cost_per_image_token",
    "image_out": "output_cost_per_image_token",
    "citation": "citation_cost_per_token",
}
_VARIANTS = {"batch": "_batches", "flex": "_flex", "priority": "_priority"}
_CAPS = {
    "image": "supports_vision",
    "pdf": "supports_pdf_input",
    "audio": "supports_audio_input",
    "tools": "supports_function_calling",
    "schema": "supports_response_schema",
    "reasoning": "supports_reasoning",
    "search": "supports_web_search",
}
#: Providers that sell a service tier at one factor on every rate, those without a column of their own included.
_ONE_FACTOR = ("anthropic", "azure", "openai", "xai")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def iter_records(sources: Sources) -> Iterator[Record]:
    """Yield a record for every row of a service we have."""
    for key, row in sources.litellm.items():
        provider, prefix = PROVIDERS.get(row["litellm_provider"], ("", ""))
        if not provider or row.get("mode") not in _MODES or "alias_of" in row or not key.startswith(prefix):
            continue
        name = key[len(prefix) :]
        if not (_is_deployment_of_region(provider, name) or _is_size(provider, name) or _is_relic(provider, name, row)):
            record = _build(provider, name, row, sources)
            if record is not None:
                yield record


def _is_deployment_of_region(provider: str, name: str) -> bool:
    # A response names the model without the region of its deployment.
    return "/" in name and provider in ("azure", "bedrock")


def _is_size(provider: str, name: str) -> bool:
    return (provider in ("openai", "gemini", "cohere") and "/" in name) or name.startswith("ft:")


def _is_relic(provider: str, name: str, row: Row) -> bool:
    # Fireworks' rows hold hundreds of models that were never more than weights, and short names of the same models.
    return provider == "fireworks" and not (name.startswith("accounts/") and row.get("supports_function_calling"))


def _build(provider: str, name: str, row: Row, sources: Sources) -> Record | None:
    record: Record = {"id": f"{provider}/{name}"}
    rates = {**_rates(row, "", ""), **_dashscope_tiers(row)}
    if "in" not in rates or "out" not in rates:
        # A zero is a gap in the table unless the service says that the model is free; those are curated.
        rates = {}
    record.update(rates)
    if row["mode"] == "image_generation" and not rates and not row.get("deprecation_date"):
        record.update(_per_image(row))
    if rates:
        tiers = _tiers(row, "", inclusive=provider == "xai")
        if tiers:
            record["tiers"] = tiers
        for variant, suffix in _VARIANTS.items():
            price = _variant(provider, row, suffix, record)
            if price is not None:
                record[variant] = price
        record.update(_extras(row))
        record.update(_peak(row, record, sources))
    _add_limits(record, provider, row)
    if row.get("deprecation_date"):
        record["retires"] = row["deprecation_date"]
    successor = _successor(provider, row, sources)
    if successor:
        record["successor"] = successor
    endpoint = _endpoint(provider, name, row)
    if endpoint:
        record["endpoint"] = endpoint
    caps = " ".join(cap for cap, column in _CAPS.items() if row.get(column))
    if row["mode"] == "image_generation":
        caps = f"{caps} draws".strip()
    if caps:
        record["caps"] = caps
    _add_rules(record, provider, row)
    return record


def _rates(row: Row, tier: str, variant: str) -> dict[str, float]:
    rates = {}
    for ours, column in _RATES.items():
        price = row.get(f"{column}{tier}{variant}")
        if price is None and ours == "write_long":
            price = row.get(f"{_LONG_WRITE}{tier}{variant}")
        if price is None and ours == "read" and not tier and not variant:
            price = row.get("input_cost_per_token_cache_hit")
        if price:
            rates[ours] = per_million(price)
    if rates.get("write", 1e9) < rates.get("in", 0):
        # A price below the input rate is a cache read in the wrong column.
        del rates["write"]
    if not tier and not variant:
        media = {ours: row[column] for ours, column in _MEDIA_RATES.items() if row.get(column)}
        rates.update({ours: per_million(price) for ours, price in media.items()})
        if row["mode"] == "image_generation" and "image_out" in rates:
            rates.setdefault("out", rates["image_out"])
        thinking = row.get("output_cost_per_reasoning_token")
        if thinking is not None and per_million(thinking) != rates.get("out"):
            rates["thinking_out"] = per_million(thinking)
    return rates


def _per_image(row: Row) -> dict[str, float]:
    """Return the price of a picture, of the largest one if there are several."""
    prices = [price for column, price in row.items() if re.fullmatch(r"(in|out)put_cost_per_image(_\dK)?", column)]
    return {"per_image": max(prices)} if prices else {}


def per_million(price: float) -> float:
    """Return a price for a million tokens, without the noise of binary fractions."""
    value = float(f"{price * 1e6:.9g}")
    return int(value) if value == int(value) else value


def _tiers(row: Row, variant: str, *, inclusive: bool) -> list[dict[str, Any]]:
    sizes = {int(match[1]) for column in row for match in [re.search(r"_above_(\d+)k_tokens", column)] if match}
    tiers = []
    for size in sorted(sizes):
        rates = _rates(row, f"_above_{size}k_tokens", variant)
        if "in" in rates and "out" in rates:
            tiers.append({"above": size * 1000, **({"inclusive": True} if inclusive else {}), **rates})
    return tiers


def _dashscope_tiers(row: Row) -> Record:
    steps = row.get("tiered_pricing") or []
    found = [
        {
            "above": int(step["range"][0]),
            "in": per_million(step["input_cost_per_token"]),
            "out": per_million(step["output_cost_per_token"]),
            **({"read": per_million(read)} if (read := step.get("cache_read_input_token_cost")) else {}),
            **({"thinking_out": per_million(out)} if (out := step.get("output_cost_per_reasoning_token")) else {}),
        }
        for step in steps
    ]
    if not found:
        return {}
    base = {field: value for field, value in found[0].items() if field != "above"}
    return {**base, **({"tiers": found[1:]} if found[1:] else {})}


def _variant(provider: str, row: Row, suffix: str, record: Record) -> Any:
    """Return a service tier's price: a factor if it is one for every rate, else its own rates."""
    rates = _rates(row, "", suffix)
    if "in" not in rates or "out" not in rates or not record.get("in") or not record.get("out"):
        return None
    tiers = _tiers(row, suffix, inclusive=provider == "xai")
    factor = float(f"{rates['in'] / record['in']:.6g}")
    base = {ours: record[ours] for ours in _RATES if ours in record}
    pairs = [(base[ours], price) for ours, price in rates.items() if ours in base]
    tier_pairs = [
        (below[ours], price)
        for tier in tiers
        for below in record.get("tiers", ())
        if below["above"] == tier["above"]
        for ours, price in tier.items()
        if ours in _RATES and ours in below
    ]
    is_complete = provider in _ONE_FACTOR or (len(pairs) == len(base) and len(tiers) == len(record.get("tiers", ())))
    if is_complete and all(abs(price - factor * plain) <= 1e-6 * plain for plain, price in [*pairs, *tier_pairs]):
        if not tiers and record.get("tiers") and suffix == "_priority":
            return rates
        return int(factor) if factor == int(factor) else factor
    return {**rates, **({"tiers": tiers} if tiers else {})}


def _extras(row: Row) -> Iterator[tuple[str, Any]]:
    fees = row.get("search_context_cost_per_query") or {}
    sizes = {size: fees.get(f"search_context_size_{size}") for size in ("low", "medium", "high")}
    if all(sizes.values()):
        yield "search", sizes["low"] if len(set(sizes.values())) == 1 else sizes
    unit = row.get("web_search_billing_unit")
    if unit:
        yield "search_unit", "query" if unit == "per_query" else "prompt"
    uplift = {
        region: row[column]
        for region in ("eu", "us")
        if row.get(column := f"regional_processing_uplift_multiplier_{region}")
    }
    special = row.get("provider_specific_entry") or {}
    if special.get("us"):
        uplift["us"] = special["us"]
    if uplift:
        yield "uplift", uplift
    if special.get("fast"):
        yield "fast", special["fast"]
    if row.get("input_cost_per_request"):
        yield "per_request", row["input_cost_per_request"]


def _peak(row: Row, record: Record, sources: Sources) -> Record:
    """Return the off-peak rates as the base, and when the peak is: litellm's row has the peak as its base."""
    off_peak = row.get("off_peak_pricing")
    if not off_peak:
        return {}
    rates = {ours: per_million(off_peak[column]) for ours, column in _RATES.items() if column in off_peak}
    days = [day for day in sources.holidays if day >= "2026-10"]
    factor = per_million(record["in"] / rates["in"] / 1e6)
    return {**rates, "peak": {"windows": [[1, 4], [6, 10]], "factor": factor, "holidays": days}}


def _add_limits(record: Record, provider: str, row: Row) -> None:
    window, max_out = row.get("max_input_tokens"), row.get("max_output_tokens")
    if window == 1_050_000 and provider in ("openai", "azure", "bedrock"):
        # The row has the total of input and output.
        window = 922_000
    if isinstance(window, (int, float)) and window > 0:
        record["window"] = int(window)
    if isinstance(max_out, (int, float)) and 0 < max_out != row.get("max_input_tokens"):
        record["max_out"] = int(max_out)


def _successor(provider: str, row: Row, sources: Sources) -> str:
    """Return the name at the end of the chain of successors, without its prefix."""
    name, seen = row.get("successor_model") or "", set()
    while name and name not in seen:
        seen.add(name)
        name = (sources.litellm.get(name) or {}).get("successor_model") or name
    prefix = PROVIDERS.get(row["litellm_provider"], ("", ""))[1]
    return name[len(prefix) :] if prefix and name.startswith(prefix) else name


def _endpoint(provider: str, name: str, row: Row) -> str:
    endpoints = row.get("supported_endpoints") or []
    if provider == "bedrock" and name.startswith("anthropic."):
        return "messages"
    is_chat = any(path in endpoints for path in ("/v1/chat/completions", "/v1/messages"))
    if row.get("mode") == "responses" or row.get("use_openai_responses_path") or (endpoints and not is_chat):
        return "responses" if row.get("mode") != "image_generation" else ""
    return ""


def _add_rules(record: Record, provider: str, row: Row) -> None:
    if row.get("supports_sampling_params") is False:
        record["no_sampling"] = True
    if row.get("thinking_always_on"):
        record["always_thinks"] = True
    if row.get("supports_assistant_prefill") is False:
        record["no_prefill"] = True
    if row.get("supports_forced_tool_use") is False:
        record["no_forced_tool"] = True
    levels = row.get("reasoning_effort_levels") or _levels(row)
    if levels:
        record["effort"] = " ".join(level for level in _EFFORTS if level in levels)
    if row.get("default_reasoning_effort"):
        record["effort_default"] = row["default_reasoning_effort"]


def _levels(row: Row) -> list[str]:
    named = {level: row.get(f"supports_{level}_reasoning_effort") for level in _EFFORTS}
    if not row.get("supports_reasoning") or not any(value is not None for value in named.values()):
        return []
    usual = {level for level in ("low", "medium", "high") if named[level] is not False}
    return [level for level in _EFFORTS if level in usual or named[level]]
