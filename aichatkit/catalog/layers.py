"""Files, packages and code -> layers: records of models by name, each with the date of its data.

An installed package names its records in the entry-point group `aichatkit.catalogs`: a document in the format of
models.json, the path of a file with one, or a function that returns either.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import NamedTuple
from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.errors import ChatError, ConfigurationError

if TYPE_CHECKING:
    from importlib import metadata
else:
    # Needed only for a model that no other layer has.
    metadata = lazy_module("importlib.metadata")

__all__ = [
    "Layer",
    "LineRecords",
    "Record",
    "environment_layers",
    "environment_path",
    "parse_layer",
    "plugin_layers",
    "read_layer",
    "register_layer",
    "register_records",
    "registered_layers",
    "shipped",
]

logger = logging.getLogger(__name__)

Record = Mapping[str, Any]

_PATH_ENV = "AICHATKIT_CATALOG"
#: The same as a key of the dict behind `os.environ`.
_PATH_KEY = os.environ.encodekey(_PATH_ENV)
_ENTRY_POINTS = "aichatkit.catalogs"
_registered: list[Layer] = []


class LineRecords(Mapping[str, Record]):
    r"""The records of a document that has each on a line of its own, starting with its id; parsed when they are read.

    Most processes need a few of more than a thousand records, and all of them take four times the memory of the text.

    >>> records = LineRecords(b'{"models":[\n{"id":"a/b","in":1},\n{"id":"a/c"}\n]}')
    >>> list(records), records["a/b"], "a/d" in records
    (['a/b', 'a/c'], {'id': 'a/b', 'in': 1}, False)
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parsed: dict[str, Record] = {}

    def __getitem__(self, name: str) -> Record:
        record = self._parsed.get(name)
        if record is None:
            start = self._data.find(b'\n{"id":%b' % json.dumps(name).encode())
            if start < 0:
                raise KeyError(name)
            end = self._data.index(b"\n", start + 1)
            record = self._parsed[name] = self._parse(self._data[start + 1 : end])
        return record

    def __iter__(self) -> Iterator[str]:
        return (self._parse(line)["id"] for line in self._data.splitlines() if line.startswith(b'{"id":'))

    def __len__(self) -> int:
        return self._data.count(b'\n{"id":')

    def _parse(self, line: bytes) -> Record:
        record: Record = json.loads(line.rstrip(b",\r"))
        return record


class Layer(NamedTuple):
    """Records by "provider/model", and the date they are from."""

    as_of: date
    records: Mapping[str, Record]


def registered_layers() -> Sequence[Layer]:
    """Return the layers that every catalog of this process has."""
    return _registered


def environment_path() -> str:
    """Return the path in AICHATKIT_CATALOG, empty if it is not set."""
    # Faster than `os.environ.get`, which catches an exception for a variable that is not set; called for every record.
    return os.environ[_PATH_ENV] if _PATH_KEY in os.environ._data else ""  # type: ignore[attr-defined]


def environment_layers() -> Iterator[Layer]:
    """Yield the layer in the file that AICHATKIT_CATALOG names, if it is set; it is read once."""
    path = environment_path()
    if path:
        yield _read_once(path)


def register_layer(layer: Layer) -> None:
    """Add a layer that every catalog of this process has."""
    _registered.append(layer)


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
    data: bytes = __loader__.get_data(path)  # type: ignore[name-defined]
    about = json.loads(data[data.index(b":") + 1 : data.index(b"\n")].rstrip(b",\r"))
    return Layer(date.fromisoformat(about["date"]), LineRecords(data))


def register_records(provider: str, records: Any) -> None:
    """Add the records of a provider's models; their `id` may be "provider/model" or the model's name alone.

    Raises:
        ConfigurationError: `records` is not a list of records, nor the path of a catalog.
    """
    if isinstance(records, (str, os.PathLike)):
        register_layer(read_layer(records, source="register: catalog"))
        return
    is_list = isinstance(records, Iterable) and not isinstance(records, Mapping)
    models = list(records) if is_list else []
    if not is_list or not all(isinstance(record, Mapping) and isinstance(record.get("id"), str) for record in models):
        raise ConfigurationError(
            'register: catalog must be a list of records such as [{"id": "my-model", "in": 1.0, "out": 2.0}], '
            "or the path of a catalog"
        )
    named = [{**record, "id": _full_id(provider, record["id"])} for record in models]
    register_layer(
        parse_layer({"about": {"date": date.today().isoformat()}, "models": named}, source="register: catalog")
    )


@cache
def plugin_layers() -> tuple[Layer, ...]:
    """Return the layers of installed packages; one that cannot be used is logged and left out."""
    entries: Any = metadata.entry_points()
    # Python 3.9 returns a dict of groups.
    group = entries.select(group=_ENTRY_POINTS) if hasattr(entries, "select") else entries.get(_ENTRY_POINTS, ())
    layers = []
    for entry in group:
        try:
            layers.append(_load(entry.name, entry.load()))
        except (ChatError, ImportError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            # It must not break the models of others.
            logger.warning(
                "the catalog %r of a package cannot be used (%s: %s)", entry.name, type(error).__name__, error
            )
    return tuple(layers)


def _load(name: str, value: Any) -> Layer:
    content = value() if callable(value) else value
    source = f"the catalog {name!r} of a package"
    return parse_layer(content, source=source) if isinstance(content, Mapping) else read_layer(content, source=source)


def _full_id(provider: str, name: str) -> str:
    return name if name.startswith(f"{provider}/") else f"{provider}/{name}"
