"""The user's own prices -> records of the catalog, with errors that name the key that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.catalog.layers import Layer
from aichatkit.catalog.rates import RATE_NAMES
from aichatkit.errors import ConfigurationError
from aichatkit.params import is_number, suggestion

__all__ = ["Price", "parse_prices"]

_EXPECTED = (
    'prices: must look like {"provider/model": (dollars_in, dollars_out)} or {"provider/model": {"input": ..., '
    '"output": ...}}, in US dollars for a million tokens'
)
_FEES = {"per_request": "per_request", "per_search": "search", "per_image": "per_image"}
_NAMES = (*RATE_NAMES, "batch", "tiers", *_FEES)
#: Names that other packages use.
_OTHER_NAMES = {"in": "input", "out": "output", "cached": "cache_read", "cached_input": "cache_read"}


class Price(NamedTuple):
    """Price in US dollars per million tokens.

    `cached` applies to input tokens read from the prompt cache; None means that they cost as much as other input.
    """

    input: float
    output: float
    cached: float | None = None


def parse_prices(prices: Mapping[str, Any] | None) -> Layer | None:
    """Return the user's own prices as a layer of the catalog, None if there are none."""
    if prices is not None and not isinstance(prices, Mapping):
        raise ConfigurationError(_EXPECTED)
    records = {}
    for name, value in (prices or {}).items():
        if not isinstance(name, str) or "/" not in name:
            raise ConfigurationError(f"{_EXPECTED}; {str(name)[:100]!r} does not")
        # `own`: it applies to every service tier, and a zero is a price.
        records[name] = {"id": name, "own": True, **_parse_price(name, value)}
    return Layer(date.today(), records) if records else None


def _parse_price(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return _parse_named(name, value)
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3):
        raise ConfigurationError(f"{_EXPECTED}; {name[:100]!r} does not")
    price = Price(*value)
    rates = {"in": price.input, "out": price.output, **({} if price.cached is None else {"read": price.cached})}
    if not all(map(_is_price, rates.values())):
        raise ConfigurationError(f"{_EXPECTED}; {name[:100]!r} does not")
    return rates


def _parse_named(name: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    # Pictures with a price need none for tokens.
    value = {"input": 0, "output": 0, **value} if "per_image" in value else value
    record = _parse_rates(name, value, _NAMES)
    if "batch" in value:
        batch = value["batch"]
        record["batch"] = _parse_rates(name, batch, tuple(RATE_NAMES)) if isinstance(batch, Mapping) else batch
        if not isinstance(batch, Mapping) and not _is_price(batch):
            raise ConfigurationError(
                f"prices: {name!r}: batch must be a factor such as 0.5, or a dict of input and output, not {batch!r}"
            )
    if "tiers" in value:
        record["tiers"] = _parse_tiers(name, value["tiers"])
    for fee, field in _FEES.items():
        if fee in value:
            record[field] = _parse_number(name, fee, value[fee])
    return record


def _parse_rates(name: str, value: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    for key in value:
        if key not in names:
            hint = f"; did you mean {_OTHER_NAMES[key]!r}?" if key in _OTHER_NAMES else suggestion(str(key), names)
            raise ConfigurationError(f"prices: {name!r}: unknown key {key!r}{hint}; it takes {', '.join(names)}")
    for key in ("input", "output"):
        if key not in value:
            raise ConfigurationError(f"prices: {name!r}: {key!r} is missing")
    return {field: _parse_number(name, key, value[key]) for key, field in RATE_NAMES.items() if key in value}


def _parse_tiers(name: str, value: Any) -> list[dict[str, Any]]:
    tiers = [value] if isinstance(value, Mapping) else value
    if not isinstance(tiers, (list, tuple)) or not all(isinstance(tier, Mapping) for tier in tiers):
        raise ConfigurationError(
            f'prices: {name!r}: tiers must look like [{{"above": tokens, "input": ..., "output": ...}}], not {value!r}'
        )
    return [_parse_tier(name, tier) for tier in tiers]


def _parse_tier(name: str, tier: Mapping[Any, Any]) -> dict[str, Any]:
    if "above" not in tier:
        raise ConfigurationError(
            f"prices: {name!r}: a tier needs 'above', the number of prompt tokens above which it applies"
        )
    above = _parse_number(name, "above", tier["above"])
    return {"above": above, **_parse_rates(name, tier, ("above", *RATE_NAMES))}


def _parse_number(name: str, key: str, value: Any) -> float:
    if not _is_price(value):
        raise ConfigurationError(f"prices: {name!r}: {key} must be a number of at least 0, not {value!r}")
    return value  # type: ignore[no-any-return]


def _is_price(value: Any) -> bool:
    return is_number(value) and value < float("inf")
