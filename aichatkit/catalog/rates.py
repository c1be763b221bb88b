"""Record of a model -> the rates that one answer is charged at: by date, service tier, size of the prompt and hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timezone
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.catalog.layers import Record

__all__ = ["RATE_NAMES", "TOKEN_RATES", "Rates", "has_price_per_image", "rates_of"]

#: The public name of a rate -> its name in records.
RATE_NAMES = {
    "input": "in",
    "output": "out",
    "cache_read": "read",
    "cache_write": "write",
    "cache_write_1h": "write_long",
}
TOKEN_RATES = (
    *RATE_NAMES.values(),
    *("thinking_out", "citation", "audio_in", "audio_out", "audio_read", "image_in", "image_out"),
)

#: Names of the usual service tier in answers, and other names of the tiers in records.
_STANDARD = frozenset(("", "auto", "default", "on_demand", "standard", "standard_only", "unspecified"))
_TIERS = {"fast": "priority", "batches": "batch"}
#: Prefixes that some services give to the name of a tier.
_TIER_PREFIXES = ("service_tier_", "on_demand_")
_VARIANTS = ("batch", "flex", "priority")
#: Regions at the usual price, as services name them.
_ANYWHERE = frozenset(("", "global", "not_available", "default"))
#: What a write to the cache costs for longer than usual, as a multiple of the input rate.
_LONG_WRITES = {"anthropic": 2.0, "moonshot": 2.0, "openai": 2.5, "azure": 2.5, "bedrock": 2.5}
_SATURDAY = 5


class Rates(NamedTuple):
    """Rates in US dollars per million tokens, by name, and the factor on all of them.

    A missing rate follows another one; None is a rate that exists but is not known.
    """

    service: str
    by_name: Mapping[str, float | None]
    factor: float = 1.0

    def get(self, name: str) -> float | None:
        """Return a rate by its name in records, None if it is not known."""
        rate = self.by_name[name] if name in self.by_name else self._implied(name)
        return None if rate is None else rate * self.factor

    def _implied(self, name: str) -> float | None:
        """Return the rate for a missing one: the input or output rate, None if it may be higher."""
        input_rate = self.by_name["in"]
        if name == "thinking_out":
            return self.by_name["out"]
        if name == "write" and self.service == "anthropic":
            return _multiple(1.25, input_rate)
        if name == "write_long" and ("write" in self.by_name or self.service == "anthropic"):
            return _multiple(_LONG_WRITES.get(self.service), input_rate)
        if name == "read" and self.service == "fireworks":
            return _multiple(0.5, input_rate)
        if name.startswith("audio"):
            if name == "audio_out" or ("audio_in" not in self.by_name and self.service != "gemini"):
                return None
            return self.by_name.get("audio_in", input_rate)
        return None if name == "image_out" else input_rate


def rates_of(
    record: Record, input_tokens: int, *, tier: str = "", speed: str = "", region: str = "", at: datetime | None = None
) -> Rates | None:
    """Return the rates for an answer whose prompt has `input_tokens`, None if they are not known.

    `at` is when the answer was complete; without it, the dearest hour of the day counts, and dates do not.

    >>> rates_of({"id": "x/y", "in": 2, "out": 8, "tiers": [{"above": 1000, "in": 4, "out": 16}]}, 1001).get("in")
    4.0
    """
    dated = _at_date(record, None if at is None else at.astimezone(timezone.utc).date())
    variant = None if dated is None else _variant(dated, _tier_name(tier), own=bool(record.get("own")))
    if variant is None:
        return None
    rates = _with_image_rates(_at_size(variant.rates, input_tokens), record)
    speed_factor, region_factor = _speed_factor(record, speed), _region_factor(record, region)
    if speed_factor is None or region_factor is None or not _is_price(rates, record):
        return None
    factor = variant.factor * speed_factor * region_factor * _peak_factor(record, at)
    return Rates(record.get("id", "").partition("/")[0], rates, factor)


def has_price_per_image(record: Record) -> bool:
    """Return whether pictures have a price, and tokens have none."""
    return "per_image" in record and not record.get("in")


def _with_image_rates(rates: Mapping[str, Any], record: Record) -> Mapping[str, Any]:
    """Return the rates with that of the tokens of pictures: none if a picture has a price, else the user's own."""
    if "per_image" in record:
        return {"in": 0.0, "out": 0.0, **rates, "image_out": 0.0}
    if record.get("own") and "image_out" not in rates and "out" in rates:
        return {**rates, "image_out": rates["out"]}
    return rates


def _multiple(factor: float | None, rate: float | None) -> float | None:
    return None if factor is None or rate is None else factor * rate


def _is_price(rates: Mapping[str, Any], record: Record) -> bool:
    """Return whether the rates are known; tables have zeros for models whose price they do not know."""
    if rates.get("in") is None or rates.get("out") is None:
        return False
    fees = record.get("per_request") or record.get("per_image")
    return bool(rates["in"] or record.get("free") or record.get("own") or fees)


def _at_date(record: Record, day: date | None) -> Record | None:
    """Return the record with the prices of a day, None if they are not known."""
    if day is None:
        return record
    today = day.isoformat()
    if today < record.get("since", ""):
        return None
    if today <= record.get("until", today):
        return record
    later = record.get("next")
    if not later or today < later["since"]:
        return None
    # Service tiers with a factor follow the later price; those in dollars belong to the earlier one.
    earlier = {*TOKEN_RATES, "tiers", *(name for name in _VARIANTS if isinstance(record.get(name), Mapping))}
    return {**{name: value for name, value in record.items() if name not in earlier}, **later}


def _tier_name(tier: str) -> str:
    name = tier.lower()
    for prefix in _TIER_PREFIXES:
        name = name[len(prefix) :] if name.startswith(prefix) else name
    return "" if name in _STANDARD else _TIERS.get(name, name)


class _Variant(NamedTuple):
    """The prices of a service tier, and the factor on them."""

    rates: Mapping[str, Any]
    factor: float = 1.0


def _variant(record: Record, tier: str, *, own: bool) -> _Variant | None:
    """Return the prices of a service tier, None if they are not known; the user's own apply to all but batches."""
    variant = record.get(tier) if tier in _VARIANTS else None
    if isinstance(variant, Mapping):
        return _Variant({**_overridden(record, variant), "tiers": variant.get("tiers", _unknown_tiers(record))})
    if variant is None and tier and not (own and tier != "batch"):
        return None
    return _Variant(record, 1.0 if variant is None else float(variant))


def _unknown_tiers(record: Record) -> list[Mapping[str, Any]]:
    return [{**tier, "in": None} for tier in record.get("tiers", ())]


def _at_size(record: Record, input_tokens: int) -> Mapping[str, Any]:
    """Return the token rates for a prompt of a size; the rates of a tier apply to the whole request."""
    base = {name: record[name] for name in TOKEN_RATES if name in record}
    found: Mapping[str, Any] | None = None
    for tier in sorted(record.get("tiers", ()), key=lambda tier: float(tier["above"])):
        above = tier["above"]
        if input_tokens > above or (tier.get("inclusive") and input_tokens == above):
            found = tier
    return base if found is None else _overridden(base, found)


def _overridden(base: Mapping[str, Any], rates: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rates that replace others; what only the others have is not known, unless it equals in or out."""
    replaced = {name: rates[name] for name in TOKEN_RATES if name in rates}
    for name in TOKEN_RATES:
        if name in base and name not in replaced:
            same = "out" if name.endswith("out") else "in"
            replaced[name] = rates.get(same) if base[name] == base.get(same) else None
    return replaced


def _speed_factor(record: Record, speed: str) -> float | None:
    if speed.lower() in ("", "standard", "default", "normal"):
        return 1.0
    return record.get(speed.lower()) if speed.lower() == "fast" else None


def _region_factor(record: Record, region: str) -> float | None:
    uplift = record.get("uplift")
    if region.lower() in _ANYWHERE or not uplift:
        return 1.0
    factor: float | None = uplift.get(region.lower())
    return factor


def _peak_factor(record: Record, at: datetime | None) -> float:
    """Return the factor of the hour: a service that charges more at peak hours does so on working days."""
    peak = record.get("peak")
    if not peak:
        return 1.0
    factor = float(peak["factor"])
    if at is None:
        return factor
    now = at.astimezone(timezone.utc)
    if now.weekday() >= _SATURDAY or now.date().isoformat() in peak.get("holidays", ()):
        return 1.0
    hour = now.hour + now.minute / 60
    return factor if any(start <= hour < end for start, end in peak["windows"]) else 1.0
