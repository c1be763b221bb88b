"""Entry of a service's list of models -> what it says: prices, limits, retirement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timezone
from typing import Any

__all__ = ["parse_listing"]

_WINDOWS = (
    "context_window",
    "context_length",
    "max_context_length",
    "max_input_tokens",
    "inputTokenLimit",
    "max_model_len",
)
_OUTPUTS = ("max_output_tokens", "max_completion_tokens", "outputTokenLimit", "max_tokens")
_RETIRES = ("shutdown_date", "retires_at", "deprecation", "deprecation_date", "expiration_date")
_SUCCESSORS = ("deprecation_replacement_model", "successor", "replacement_model")
#: Names of prices; a string is the price of one token, a number the price of a million.
_PRICES = {
    "input": ("prompt", "input", "input_tokens"),
    "output": ("completion", "output", "output_tokens"),
    "cache_read": ("input_cache_read", "cached_input", "cache_read_tokens"),
    "cache_write": ("input_cache_write", "input_cache_creation"),
}


def parse_listing(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry says about its model, as fields of `ModelInfo`; what cannot be read is left out."""
    # OpenRouter and DeepInfra nest a part of it.
    nested = [value for name in ("top_provider", "metadata") if isinstance(value := entry.get(name), Mapping)]
    sources: list[Mapping[str, Any]] = [entry, *nested]
    found: dict[str, Any] = {
        "context_window": _find(sources, _WINDOWS, _count),
        "max_output": _find(sources, _OUTPUTS, _count),
        "retires": _find(sources, _RETIRES, _day),
        "successor": _find(sources, _SUCCESSORS, _name),
    }
    if entry.get("lifecycle") == "retired":
        found["retired"] = True
    prices = next((source["pricing"] for source in sources if isinstance(source.get("pricing"), Mapping)), None)
    if prices is not None:
        found["prices"] = _parse_prices(prices) or None
    return {field: value for field, value in found.items() if value is not None}


def _find(sources: Any, names: tuple[str, ...], parse: Any) -> Any:
    values = (parse(source.get(name)) for source in sources for name in names)
    return next((value for value in values if value is not None), None)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _day(value: Any) -> date | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11:
        return datetime.fromtimestamp(value, timezone.utc).date()
    try:
        return date.fromisoformat(value[:10])
    except (TypeError, ValueError):
        return None


def _parse_prices(prices: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for rate, names in _PRICES.items():
        value = next((prices[name] for name in names if prices.get(name) is not None), None)
        price = _price(value)
        if price is not None:
            found[rate] = price
    return found


def _price(value: Any) -> float | None:
    """Return a price for a million tokens; OpenRouter and Vercel write one for a single token, as text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not 0 <= number < 1e6:
        # OpenRouter has -1 where the price depends on the model that a router picks.
        return None
    return float(f"{number * 1e6:.9g}") if isinstance(value, str) else number
