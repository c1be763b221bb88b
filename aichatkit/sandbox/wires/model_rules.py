"""Model of a request -> refusal, if its service has retired it or refuses a parameter for it, by the package's catalog.

The day is that of the data, not of the clock: a test that passes today passes next year.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Any

from aichatkit.catalog.layers import Record, shipped
from aichatkit.catalog.models import NO_RECORD, Catalog
from aichatkit.sandbox.exchange import APIError

__all__ = ["check_retired", "find_record", "sampling_of", "unsupported_effort"]

_SAMPLING = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty")


@cache
def find_record(service: str, model: str) -> Record:
    """Return what the catalog knows about a model of a service, empty for names of a test's own."""
    return Catalog().find(service, model) or NO_RECORD


def check_retired(record: Record, message: str) -> None:
    """Reject a model that was retired when the data was made; `message` may hold `{model}`."""
    is_past = "retires" in record and date.fromisoformat(record["retires"]) <= shipped().as_of
    # A name that is served as another model is answered.
    if (record.get("gone") or is_past) and "served_as" not in record:
        raise APIError("model-not-found", message.format(model=record["id"].partition("/")[2]))


def sampling_of(record: Record, body: Mapping[str, Any], *, defaults: Iterable[float] = ()) -> str | None:
    """Return the first sampling parameter in a body that the model refuses; `defaults` are values it takes."""
    if not record.get("no_sampling"):
        return None
    sent = (name for name in _SAMPLING if body.get(name) is not None and body[name] not in tuple(defaults))
    return next(sent, None)


def unsupported_effort(record: Record, effort: Any) -> list[str] | None:
    """Return the efforts that a model takes if `effort` is none of them, None if it is or that is not known."""
    efforts = record.get("effort", "").split()
    return efforts if efforts and isinstance(effort, str) and effort not in efforts else None
