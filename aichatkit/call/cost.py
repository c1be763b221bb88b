"""Usage and bill -> charge: what an answer, or one that is expected, costs at its provider, and what caching saved."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime, timezone

from aichatkit._dataclasses import NamedTuple
from aichatkit.catalog.layers import Record
from aichatkit.catalog.models import Catalog
from aichatkit.catalog.prices import NO_BILL, cost_of, saved_of
from aichatkit.chunks import Bill, Usage
from aichatkit.providers.base import Provider

__all__ = ["Charge", "charge_of", "cost_at", "utc_now"]

#: Names that are aliases of another model; the answer reports the real name.
_ALIAS = re.compile(r"(?:^|[-/:])(?:latest|auto|default)$")


class Charge(NamedTuple):
    """What an answer costs and what caching saved, in US dollars; None if that is not known."""

    cost: float | None
    saved: float | None


def charge_of(
    provider: Provider, models: Sequence[str], usage: Usage, catalog: Catalog, bill: Bill, *, at: datetime
) -> Charge:
    """Return the charge for an answer that is complete; `models` are the one that answered and the one requested."""
    answered, requested = models
    if provider.is_free(requested):
        return Charge(0.0, 0.0)
    record = _billed_record(provider, answered, requested, catalog)
    if record is None:
        return Charge(bill.cost, None)
    bill = bill if bill.region else bill._replace(region=provider.region())
    return Charge(cost_of(record, usage, bill, at=at), saved_of(record, usage, bill, at=at))


def cost_at(
    provider: Provider, model: str, usage: Usage, catalog: Catalog, bill: Bill = NO_BILL, *, at: datetime | None = None
) -> float | None:
    """Return what an expected answer of a model costs, None if it is not known; without `at`, at the dearest hour."""
    if provider.is_free(model):
        return 0.0
    bill = bill._replace(region=provider.region())
    return cost_of(_find(provider, model, catalog), usage, bill, at=at)


def utc_now() -> datetime:
    """Return the time, by the wall clock: prices change at dates and hours."""
    return datetime.fromtimestamp(time.time(), timezone.utc)


def _billed_record(provider: Provider, answered: str, requested: str, catalog: Catalog) -> Record | None:
    """Return the record of the model that is billed: the one that answered, unless the user priced the other."""
    billed, wanted = _find(provider, answered, catalog), _find(provider, requested, catalog)
    if billed is wanted:
        return billed
    is_version = _is_version(answered, requested)
    if wanted is not None and wanted.get("own") and (billed is None or (is_version and not billed.get("own"))):
        return wanted
    # A model that is not in the catalog may be dearer than the one requested.
    return wanted if billed is None and is_version else billed


def _is_version(answered: str, requested: str) -> bool:
    """Return whether the model that answered may be a version of the one requested.

    >>> _is_version("gpt-6-luna-2026-09-22", "gpt-6-luna"), _is_version("gpt-6-luna", "gpt-6-sol")
    (True, False)
    """
    short, long = sorted((answered.lower(), requested.lower()), key=len)
    return long.startswith(short) or _ALIAS.search(requested) is not None


def _find(provider: Provider, model: str, catalog: Catalog) -> Record | None:
    name = provider.priced_as or provider.name
    record = catalog.find(name, model)
    if record is not None and "in" not in record and "served_as" in record:
        return catalog.find(name, record["served_as"])
    return record
