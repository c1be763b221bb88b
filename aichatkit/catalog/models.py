"""Provider and model -> record: what the catalog knows about a model, from the package's data and the user's own.

The data is `models.json`, one record a line; it is read when a record is first needed, never at import.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any, NamedTuple

from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError

__all__ = ["NO_RECORD", "Catalog", "Layer", "Record", "parse_layer", "read_layer", "shipped"]

Record = Mapping[str, Any]

NO_RECORD: Record = {}
#: The date at the end of a pinned model version.
_DATE_SUFFIX = re.compile(r"[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d)$")
#: Gemini prefixes the names in its list with it.
_PREFIX = "models/"
_PATH_ENV = "AICHATKIT_CATALOG"
_MAX_ALIASES = 4
_MAX_MEMO = 1000
#: Fields that belong to a price: one of them in a record replaces all of them in the record below.
PRICE_FIELDS = frozenset(
    (
        *("in", "out", "read", "write", "write_long", "thinking_out", "audio_in", "audio_out", "audio_read"),
        *("image_in", "image_out", "search", "search_unit", "citation", "per_request", "tiers", "uplift", "fast"),
        *("batch", "flex", "priority", "peak", "since", "until", "next", "free"),
    )
)


class Layer(NamedTuple):
    """Records by "provider/model", and the date they are from."""

    as_of: date
    records: Mapping[str, Record]


class Catalog:
    """The records of the package, under layers of the user's own: a later layer overrides an earlier one, by field."""

    def __init__(self, layers: Sequence[Layer] = ()) -> None:
        self.layers = tuple(layers)
        self._memo: dict[tuple[str, str], Record | None] = {}

    def find(self, provider: str, model: str) -> Record | None:
        """Return the record of a model, None if there is none.

        A dated name falls back to the undated one, and an alias takes its data from the model it stands for; a longer
        name never gets the record of a shorter one.
        """
        key = (provider, model)
        if key not in self._memo:
            if len(self._memo) >= _MAX_MEMO:
                self._memo.clear()
            self._memo[key] = self._find(provider, model)
        return self._memo[key]

    def as_of(self, provider: str, model: str) -> date:
        """Return the date of the data on a model: that of the last layer with a record of it."""
        layers = [layer for layer in self._stack() if f"{provider}/{model}" in layer.records]
        return layers[-1].as_of if layers else shipped().as_of

    def names(self, provider: str) -> list[str]:
        """Return the names of a provider's models, retired ones included."""
        prefix = f"{provider}/"
        found = {name: None for layer in self._stack() for name in layer.records if name.startswith(prefix)}
        return [name[len(prefix) :] for name in found]

    def _find(self, provider: str, model: str) -> Record | None:
        name = model[len(_PREFIX) :] if model.startswith(_PREFIX) else model
        record = self._merged(f"{provider}/{name}")
        if record is None and (match := _DATE_SUFFIX.search(name)):
            record = self._merged(f"{provider}/{name[: match.start()]}")
        for _ in range(_MAX_ALIASES):
            if record is None or "alias" not in record:
                break
            target = self._merged(f"{provider}/{record['alias']}") or {}
            own = {field: value for field, value in record.items() if field != "alias"}
            record = {**target, **own, "stands_for": record["alias"]}
        return record

    def _merged(self, name: str) -> Record | None:
        merged: dict[str, Any] | None = None
        for layer in self._stack():
            record = layer.records.get(name)
            if record is None:
                continue
            below = merged or {}
            if not PRICE_FIELDS.isdisjoint(record):
                below = {field: value for field, value in below.items() if field not in PRICE_FIELDS}
            merged = {**below, **record}
        return merged

    def _stack(self) -> Iterator[Layer]:
        yield shipped()
        path = os.environ.get(_PATH_ENV)
        if path:
            yield _read_once(path)
        yield from self.layers


def parse_layer(data: object, *, source: str) -> Layer:
    """Return the layer in a document of the catalog's format: {"about": {"date": ...}, "models": [record, ...]}.

    Raises:
        ConfigurationError: it is not in that format; the message names `source`.
    """
    try:
        about, models = data["about"], data["models"]  # type: ignore[index]
        return Layer(date.fromisoformat(about["date"]), {record["id"]: record for record in models})
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        problem, reason = f"{type(error).__name__}: {error}"[:100], reason_of(error)
    raise ConfigurationError(f"{source}: not a catalog of models ({problem})", reason=reason)


def read_layer(path: str | os.PathLike[str], *, source: str) -> Layer:
    """Return the layer in a file; raise ConfigurationError if it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        problem, reason = str(error)[:200], reason_of(error)
    else:
        return parse_layer(data, source=source)
    raise ConfigurationError(f"{source}: the catalog cannot be read ({problem})", reason=reason)


@cache
def _read_once(path: str) -> Layer:
    return read_layer(path, source=_PATH_ENV)


@cache
def shipped() -> Layer:
    """Return the records that come with the package."""
    path = os.path.join(os.path.dirname(__file__), "models.json")
    # The loader also reads from a zipped package.
    return parse_layer(json.loads(__loader__.get_data(path)), source="models.json")  # type: ignore[name-defined]
