"""What answers cost: a dated table of list prices, in US dollars for a million tokens.

Prices change without notice: the table says when it was made, a client's `prices=` overrides it, and what is not in it
has no price rather than a guessed one.
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


_SHAPE = 'prices: must look like {"provider/model": (dollars_in, dollars_out)}, in US dollars for a million tokens'
#: The date at the end of a model's version, or the word for the last one.
_DATE = r"(?:[-@]20\d\d-?[01]\d-?[0-3]\d|-latest)\Z"


class Price(NamedTuple):
    """US dollars for a million tokens; `cached` is for input the service had in its cache, None for the usual price."""

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
#: Models that are dearer for longer prompts, by their own rules: no price is better than one too low.
_LONG = frozenset(
    {
        "anthropic/claude-sonnet-4",
        "anthropic/claude-sonnet-4-0",
        "anthropic/claude-sonnet-4-5",
        "gemini/gemini-2.5-pro",
    }
)
_LONGEST = 200_000


def cost_of(provider: str, model: str, usage: Usage, prices: Mapping[str, Price]) -> float | None:
    """Return the cost of an answer in US dollars, None where its price or its tokens are not known.

    >>> round(cost_of("openai", "gpt-4o-2024-08-06", Usage(1000, 100), PRICES), 6)
    0.0035
    """
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    price = _price(f"{provider}/{model}", prices)
    if price is None:
        return None
    if usage.input_tokens > _LONGEST:
        name = _undated(f"{provider}/{model}")
        if name in _LONG and price is PRICES[name]:
            return None
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    cheap = price.input if price.cached is None else price.cached
    return ((usage.input_tokens - cached) * price.input + cached * cheap + usage.output_tokens * price.output) / 1e6


def parse_prices(given: Mapping[str, Any] | None) -> dict[str, Price]:
    """Return the table with the user's own prices over it: "provider/model" to (input, output) or a Price."""
    if given is not None and not isinstance(given, Mapping):
        raise ConfigurationError(_SHAPE)
    table = dict(PRICES)
    for name, value in (given or {}).items():
        if not isinstance(name, str) or "/" not in name or not _fits(value):
            raise ConfigurationError(f"{_SHAPE}; {str(name)[:100]!r} does not")
        table[name] = Price(*value)
    return table


def _fits(value: Any) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        return False
    known = value[:2] if len(value) == 3 and value[2] is None else value
    return all(is_number(price) and price < float("inf") for price in known)


def _price(name: str, prices: Mapping[str, Price]) -> Price | None:
    """Find the price of a model, or of the one it is a dated version of: "gpt-4o-2024-08-06" is a "gpt-4o"."""
    return prices.get(name) or prices.get(_undated(name))


def _undated(name: str) -> str:
    return re.sub(_DATE, "", name)
