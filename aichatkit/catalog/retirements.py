"""Retired and soon retiring models: a warning before the first request, and an error that names the successor."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from aichatkit._lazy import lazy_module
from aichatkit._version import __version__
from aichatkit._warnings import RetiredModelWarning, warn_user
from aichatkit.catalog.layers import Record
from aichatkit.catalog.models import Catalog, is_retired, is_retiring
from aichatkit.errors import ModelNotFoundError
from aichatkit.providers.base import Provider

if TYPE_CHECKING:
    from aichatkit.catalog import model_infos
else:
    model_infos = lazy_module("aichatkit.catalog.model_infos")

__all__ = ["explain_missing_model", "is_retiring", "warn_of_retirement"]

#: Models reported in this process: "provider/model".
_reported: set[str] = set()


def warn_of_retirement(provider: Provider, model: str, record: Record, catalog: Catalog) -> None:
    """Warn, once per process and model, of a model that is gone or soon will be.

    Raises:
        RetiredModelWarning: only if the user's filters make it an error; nothing has been sent.
    """
    name = f"{provider.name}/{model}"
    today = date.today()
    if name in _reported or not is_retiring(record, today):
        return
    served = f"; the service answers with {record['served_as']} and charges for it" if "served_as" in record else ""
    successor = f"; use {_name_of(provider, record['successor'])}" if "successor" in record else ""
    as_of = catalog.as_of(provider.priced_as or provider.name, model)
    warn_user(f"{name} {_when(record, today)}{served}{successor} (catalog of {as_of})", RetiredModelWarning)
    _reported.add(name)


def explain_missing_model(
    error: ModelNotFoundError, provider: Provider, model: str, catalog: Catalog, *, is_default: bool
) -> None:
    """Add to the error of a model that is not served: why, what to use instead, and whose choice it was."""
    owner = provider.priced_as or provider.name
    record = catalog.find(owner, model)
    today = date.today()
    hints = []
    if record is not None and is_retired(record, today):
        hints.append(f"it {_when(record, today)}")
    if record is not None and "successor" in record:
        error.successor = record["successor"]
        hints.append(f"use {provider.name}/{error.successor}")
    elif record is not None and "endpoint" in record and not is_retiring(record, today):
        other = f": name it as openai-responses/{model}" if provider.name == "openai" else ""
        hints.append(f"it answers only at the {record['endpoint'].title()} endpoint{other}")
    elif record is not None:
        hints.append("your account may not use it")
    else:
        near = model_infos.nearest_names(type(provider), model, catalog)
        known = f"did you mean {' or '.join(near)}?" if near else f"not in the catalog of {catalog.as_of(owner, model)}"
        hints.append(known)
    if is_default:
        hints.append(f"it is the default of aichatkit {__version__}: pass model=, or upgrade the package")
    error.message = f"{error.message}; {'; '.join(hints)}"
    error.args = (error.message,)


def _name_of(provider: Provider, model: str) -> str:
    # A name with a slash would be read as a provider and its model.
    return f"{provider.name}/{model}" if "/" in model else model


def _when(record: Record, today: date) -> str:
    if "retires" not in record:
        return "is retired"
    day = record["retires"]
    return f"retired on {day}" if date.fromisoformat(day) <= today else f"retires on {day}"
