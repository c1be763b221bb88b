"""Token usage -> cost, from a dated table of list prices in US dollars per million tokens.

Prices change without notice: the table carries its date, a client's `prices=` overrides it, and a model without an
entry has no price rather than a guessed one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from aichatkit.chunks import Usage
from aichatkit.errors import ConfigurationError
from aichatkit.params import is_number

__all__ = ["PRICES", "PRICES_DATE", "Price", "cost_of", "parse_prices"]

PRICES_DATE = "2025-10-31"

_EXPECTED = 'prices: must look like {"provider/model": (dollars_in, dollars_out)}, in US dollars for a million tokens'
#: What identifies a model's version at the end of its name: a date, or `latest`.
_VERSION_SUFFIX = r"(?:[-@]20\d\d-?[01]\d-?[0-3]\d|-latest)\Z"


class Price(NamedTuple):
    """Price in US dollars per million tokens.

    `cached` applies to input tokens read from the prompt cache; None means that they cost as much as other input.
    """

    input: float
    output: float
    cached: float | None = None


PRICES: Mapping[str, Price] = {
    "openai/gpt-3.5-turbo": Price(0.50, 1.50),
    "openai/gpt-4": Price(30.00, 60.00),
    "openai/gpt-4-turbo": Price(10.00, 30.00),
    "openai/gpt-4.1": Price(2.00, 8.00, 0.50),
    "openai/gpt-4.1-mini": Price(0.40, 1.60, 0.10),
    "openai/gpt-4.1-nano": Price(0.10, 0.40, 0.025),
    "openai/gpt-4o": Price(2.50, 10.00, 1.25),
    "openai/gpt-4o-2024-05-13": Price(5.00, 15.00),
    "openai/gpt-4o-mini": Price(0.15, 0.60, 0.075),
    "openai/gpt-5": Price(1.25, 10.00, 0.125),
    "openai/gpt-5-mini": Price(0.25, 2.00, 0.025),
    "openai/gpt-5-nano": Price(0.05, 0.40, 0.005),
    "openai/o1": Price(15.00, 60.00, 7.50),
    "openai/o3": Price(2.00, 8.00, 0.50),
    "openai/o3-mini": Price(1.10, 4.40, 0.55),
    "openai/o4-mini": Price(1.10, 4.40, 0.275),
    "anthropic/claude-3-5-haiku": Price(0.80, 4.00, 0.08),
    "anthropic/claude-3-7-sonnet": Price(3.00, 15.00, 0.30),
    "anthropic/claude-haiku-4-5": Price(1.00, 5.00, 0.10),
    "anthropic/claude-opus-4-1": Price(15.00, 75.00, 1.50),
    "anthropic/claude-sonnet-4": Price(3.00, 15.00, 0.30),
    "anthropic/claude-sonnet-4-0": Price(3.00, 15.00, 0.30),
    "anthropic/claude-sonnet-4-5": Price(3.00, 15.00, 0.30),
    "gemini/gemini-2.0-flash": Price(0.10, 0.40, 0.025),
    "gemini/gemini-2.5-flash": Price(0.30, 2.50, 0.075),
    "gemini/gemini-2.5-flash-lite": Price(0.10, 0.40, 0.025),
    "gemini/gemini-2.5-pro": Price(1.25, 10.00, 0.31),
    "offline/eliza": Price(0.0, 0.0),
}
#: Models that charge more for long prompts, each by its own rules: an unknown cost is better than one too low.
_LONG_CONTEXT_MODELS = frozenset(
    {
        "anthropic/claude-sonnet-4",
        "anthropic/claude-sonnet-4-0",
        "anthropic/claude-sonnet-4-5",
        "gemini/gemini-2.5-pro",
    }
)
_LONG_CONTEXT_TOKENS = 200_000


def cost_of(provider: str, model: str, usage: Usage, prices: Mapping[str, Price]) -> float | None:
    """Return the cost of an answer in US dollars, None if the price or the token counts are unknown.

    >>> round(cost_of("openai", "gpt-4o-2024-08-06", Usage(1000, 100), PRICES), 6)
    0.0035
    """
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    price = _find_price(f"{provider}/{model}", prices)
    if price is None:
        return None
    if usage.input_tokens > _LONG_CONTEXT_TOKENS:
        name = _without_version(f"{provider}/{model}")
        if name in _LONG_CONTEXT_MODELS and price is PRICES[name]:
            return None
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    cached_price = price.input if price.cached is None else price.cached
    input_cost = (usage.input_tokens - cached) * price.input + cached * cached_price
    return (input_cost + usage.output_tokens * price.output) / 1e6


def parse_prices(prices: Mapping[str, Any] | None) -> dict[str, Price]:
    """Return the price table updated with `prices`, a mapping of "provider/model" to (input, output) or a Price."""
    if prices is not None and not isinstance(prices, Mapping):
        raise ConfigurationError(_EXPECTED)
    table = dict(PRICES)
    for name, value in (prices or {}).items():
        if not isinstance(name, str) or "/" not in name or not _is_price(value):
            raise ConfigurationError(f"{_EXPECTED}; {str(name)[:100]!r} does not")
        table[name] = Price(*value)
    return table


def _is_price(value: Any) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        return False
    numbers = value[:2] if len(value) == 3 and value[2] is None else value
    return all(is_number(number) and number < float("inf") for number in numbers)


def _find_price(name: str, prices: Mapping[str, Price]) -> Price | None:
    """Return the price of a model, or of the model it is a version of: "gpt-4o-2024-08-06" costs what "gpt-4o" does."""
    return prices.get(name) or prices.get(_without_version(name))


def _without_version(name: str) -> str:
    return re.sub(_VERSION_SUFFIX, "", name)
