"""Provider and model -> record: what the catalog knows about a model, from the package's data and the user's own.

The data is `models.json`, one record a line; it is read when a record is first needed, never at import.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from aichatkit.catalog.layers import (
    Layer,
    Record,
    environment_layers,
    environment_path,
    plugin_layers,
    registered_layers,
    shipped,
)
from aichatkit.catalog.rates import TOKEN_RATES

__all__ = ["NO_RECORD", "Catalog", "is_retired", "is_retiring"]

NO_RECORD: Record = {}
#: The date at the end of a pinned model version, or the word that Vertex AI has for none.
_DATE_SUFFIX = re.compile(r"(?:[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d)|@default)$")
#: Gemini prefixes the names in its list with it, and Vertex AI with the publisher as well.
_PREFIX = re.compile(r"(?:publishers/[a-z0-9-]+/)?models/")
#: How long before its last day a model is reported, and no longer suggested.
_NOTICE = timedelta(days=60)
_MAX_ALIASES = 4
_MAX_MEMO = 1000
#: Fields that belong to a price: one of them in a record replaces all of them in the record below.
PRICE_FIELDS = frozenset(
    (
        *TOKEN_RATES,
        *(
            "search",
            "search_unit",
            "per_request",
            "per_image",
            "tiers",
            "uplift",
            "fast",
            "batch",
            "flex",
            "priority",
            "peak",
        ),
        *("since", "until", "next", "free", "own"),
    )
)


class Catalog:
    """The records of the package, under layers of the user's own: a later layer overrides an earlier one, by field."""

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        self.layers = tuple(layers)
        self._memo: dict[Any, Record | None] = {}

    def find(self, provider: str, model: str) -> Record | None:
        """Return the record of a model, None if there is none.

        A dated name falls back to the undated one, and an alias takes its data from its target; a longer name
        never gets the record of a shorter one.
        """
        # More may be registered at any time.
        key = (provider, model, len(registered_layers()), environment_path())
        record = self._memo.get(key, NO_RECORD)
        if record is NO_RECORD:
            if len(self._memo) >= _MAX_MEMO:
                self._memo.clear()
            self._memo[key] = record = self._find(provider, model)
        return record

    def as_of(self, provider: str, model: str) -> date:
        """Return the date of the data on a model: the date of the last layer that has a record of it."""
        layers = [layer for layer in self._stack() if f"{provider}/{model}" in layer.records]
        return layers[-1].as_of if layers else shipped().as_of

    def names(self, provider: str) -> list[str]:
        """Return the names of a provider's models, retired ones included."""
        prefix = f"{provider}/"
        found = {name: None for layer in self._stack() for name in layer.records if name.startswith(prefix)}
        return [name[len(prefix) :] for name in found]

    def _find(self, provider: str, model: str) -> Record | None:
        match = _PREFIX.match(model)
        name = model[match.end() :] if match else model
        record = self._merged(f"{provider}/{name}")
        if record is None and name.startswith(f"{provider}/"):
            # Such as "vertex/anthropic/claude-sonnet-5-5".
            name = name[len(provider) + 1 :]
            record = self._merged(f"{provider}/{name}")
        if record is None and (match := _DATE_SUFFIX.search(name)):
            record = self._merged(f"{provider}/{name[: match.start()]}")
        if record is None:
            # Last, as searching installed packages is slow.
            layers = [layer.records.get(f"{provider}/{name}") for layer in plugin_layers()]
            record = next(filter(None, layers), None)
        for _ in range(_MAX_ALIASES):
            if record is None or "alias" not in record:
                break
            target = self._merged(f"{provider}/{record['alias']}") or {}
            own = {field: value for field, value in record.items() if field != "alias"}
            record = {**_over(target, own), "stands_for": record["alias"]}
        return record

    def _merged(self, name: str) -> Record | None:
        merged: dict[str, Any] | None = None
        for layer in self._stack():
            record = layer.records.get(name)
            if record is None:
                continue
            merged = _over(merged or {}, record)
        return merged

    def _stack(self) -> Iterator[Layer]:
        yield shipped()
        yield from registered_layers()
        yield from environment_layers()
        yield from self.layers


def is_retired(record: Record, day: date) -> bool:
    """Return whether a model is gone on a day."""
    return bool(record.get("gone")) or ("retires" in record and date.fromisoformat(record["retires"]) <= day)


def is_retiring(record: Record, day: date, *, notice: timedelta = _NOTICE) -> bool:
    """Return whether a model is gone on a day, or will be within the notice.

    >>> is_retiring({"retires": "2027-01-14"}, date(2026, 11, 26)), is_retiring({}, date(2026, 11, 26))
    (True, False)
    """
    return is_retired(record, day + notice)


def _over(below: Record, record: Record) -> dict[str, Any]:
    """Return a record over another one; one price field replaces all of them."""
    if not PRICE_FIELDS.isdisjoint(record):
        below = {field: value for field, value in below.items() if field not in PRICE_FIELDS}
    return {**below, **record}
