"""Usage and bill -> cost: what an answer, or one that is expected, costs at its provider."""

from __future__ import annotations

from collections.abc import Iterable

from aichatkit.catalog.models import Catalog
from aichatkit.catalog.prices import NO_BILL, cost_of
from aichatkit.chunks import Bill, Usage
from aichatkit.providers.base import Provider

__all__ = ["cost_at"]


def cost_at(
    provider: Provider, models: Iterable[str], usage: Usage, catalog: Catalog, bill: Bill = NO_BILL
) -> float | None:
    """Return the cost by the first of `models` that the catalog knows, None if it is not known."""
    models = list(models)
    if provider.is_free(models[-1]):
        return 0.0
    records = (catalog.find(provider.priced_as or provider.name, model) for model in models)
    return cost_of(next(filter(None, records), None), usage, bill)
