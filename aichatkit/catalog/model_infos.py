"""Record -> `ModelInfo`: what is known about a model, under public names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any

from aichatkit._dataclasses import dataclass, replace
from aichatkit.catalog.layers import Record
from aichatkit.catalog.models import Catalog, is_retired, is_retiring
from aichatkit.catalog.rates import RATE_NAMES
from aichatkit.errors import ConfigurationError, UnknownModelError
from aichatkit.params import suggestion
from aichatkit.providers.base import Provider
from aichatkit.registry import registry

__all__ = ["ModelInfo", "ModelPrices", "build_info", "find_info", "nearest_names"]

_MAX_NAMES = 3


@dataclass(frozen=True)
class ModelPrices:
    """Prices in US dollars per million tokens; None for what is not known.

    `cache_write_1h` is the price of the longer of a service's two cache lifetimes.
    `tiers` apply to a whole request whose input is longer than `above` tokens.
    `batch`, `flex` and `priority` are the prices of those service tiers.
    `per_request`, `per_search` and `per_image` are in US dollars for each.
    """

    input: float | None = None
    output: float | None = None
    cache_read: float | None = None
    cache_write: float | None = None
    cache_write_1h: float | None = None
    tiers: tuple[Mapping[str, float], ...] = ()
    batch: ModelPrices | None = None
    flex: ModelPrices | None = None
    priority: ModelPrices | None = None
    per_request: float | None = None
    per_search: float | None = None
    per_image: float | None = None


@dataclass(frozen=True)
class ModelInfo:
    """What the catalog knows about a model; None or empty for what it does not know.

    `context_window` counts input tokens, `max_output` output tokens including reasoning.
    `retires` is the day the service stops the model, which may have passed; `successor` is the name to use then.
    `retired` is True for a model that is gone, also if the day is not known.
    `efforts` are the values of `reasoning_effort` that the model takes.
    `capabilities` are among "image", "pdf", "audio", "tools", "schema", "reasoning", "search" and "draws".
    `endpoint` is "chat", "responses" or "messages"; `as_of` is the date of the data.
    """

    provider: str
    name: str
    context_window: int | None = None
    max_output: int | None = None
    retires: date | None = None
    retired: bool = False
    successor: str | None = None
    prices: ModelPrices = ModelPrices()
    efforts: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    endpoint: str = "chat"
    as_of: date | None = None


def find_info(name: str, catalog: Catalog) -> ModelInfo:
    """Return what the catalog knows about "provider/model", "provider" (its default model) or a bare model name.

    Raises:
        UnknownModelError: there is no record of it.
    """
    if not isinstance(name, str):
        raise ConfigurationError(f"model_info: the model must be a name such as 'openai/gpt-6-luna', not {name!r:.60}")
    first, slash, model = name.partition("/")
    if first in registry:
        provider_cls = registry[first]
        model = model or provider_cls.default_model
        if not model:
            raise provider_cls.missing_model()
        found = build_info(provider_cls, model, catalog)
        if found is not None:
            return found
        near = nearest_names(provider_cls, model, catalog)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise UnknownModelError(f"the catalog has no record of {first}/{model}{hint}", provider=first, model=model)
    if slash:
        raise UnknownModelError(f"there is no provider {first!r}{suggestion(first, list(registry))}", model=name)
    providers = sorted((cls for cls in registry.importable() if cls.rank), key=lambda cls: cls.rank)
    infos = (build_info(cls, name, catalog) for cls in providers)
    known = next(filter(None, infos), None)
    if known is None:
        raise UnknownModelError(f"the catalog has no record of {name!r}; name it as 'provider/model'", model=name)
    return known


def build_info(provider_cls: type[Provider], model: str, catalog: Catalog, **listed: Any) -> ModelInfo | None:
    """Return what is known about a model, None if nothing; `listed` are fields that the service itself reports."""
    owner = _owner(provider_cls, model)
    record = catalog.find(owner, model)
    if record is None and not listed:
        return None
    info = _parse_record(provider_cls.name, model, record or {}, catalog.as_of(owner, model))
    prices = listed.pop("prices", None)
    known = {field: value for field, value in listed.items() if value is not None}
    if prices is not None:
        known["prices"] = replace(info.prices, **{rate: value for rate, value in prices.items() if value is not None})
    return replace(info, **known) if known else info


def nearest_names(provider_cls: type[Provider], model: str, catalog: Catalog) -> list[str]:
    """Return the names of up to three models of the provider that are close to `model` and not about to be retired."""
    names = dict.fromkeys([*provider_cls.models, *catalog.names(provider_cls.priced_as or provider_cls.name)])
    owners = {name: _owner(provider_cls, name) for name in names}
    live = [name for name in names if not is_retiring(catalog.find(owners[name], name) or {}, date.today())]
    return get_close_matches(model, live, n=_MAX_NAMES, cutoff=0.6)


def _owner(provider_cls: type[Provider], model: str) -> str:
    """Return the provider that the records of a model are under."""
    provider_cls = provider_cls.for_model(model) or provider_cls
    return provider_cls.priced_as or provider_cls.name


def _parse_record(provider: str, model: str, record: Record, as_of: date) -> ModelInfo:
    return ModelInfo(
        provider=provider,
        name=model,
        context_window=record.get("window"),
        max_output=record.get("max_out"),
        retires=date.fromisoformat(record["retires"]) if "retires" in record else None,
        retired=is_retired(record, date.today()),
        successor=record.get("successor"),
        prices=_parse_prices(record),
        efforts=tuple(record.get("effort", "").split()),
        capabilities=tuple(record.get("caps", "").split()),
        endpoint=record.get("endpoint", "chat"),
        as_of=as_of,
    )


def _parse_prices(record: Record) -> ModelPrices:
    base = _rates(record)
    variants: dict[str, Any] = {
        name: _variant(base, record[name]) for name in ("batch", "flex", "priority") if name in record
    }
    search = record.get("search")
    return replace(
        base,
        per_request=record.get("per_request"),
        per_image=record.get("per_image"),
        per_search=search if not isinstance(search, Mapping) else search.get("medium"),
        **variants,
    )


def _rates(record: Record) -> ModelPrices:
    rates = {ours: record.get(theirs) for ours, theirs in RATE_NAMES.items()}
    return ModelPrices(**rates, tiers=tuple(_tiers(record.get("tiers", ()))))


def _tiers(tiers: Iterable[Record]) -> Iterable[Mapping[str, float]]:
    for tier in tiers:
        yield {"above": tier["above"], **{ours: tier[theirs] for ours, theirs in RATE_NAMES.items() if theirs in tier}}


def _variant(base: ModelPrices, price: Any) -> ModelPrices:
    if isinstance(price, Mapping):
        return _rates(price)
    rates = {rate: value * price for rate in RATE_NAMES if (value := getattr(base, rate)) is not None}
    scaled = [
        {name: value if name == "above" else value * price for name, value in tier.items()} for tier in base.tiers
    ]
    return ModelPrices(**rates, tiers=tuple(scaled))
