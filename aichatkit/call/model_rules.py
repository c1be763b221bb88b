"""Parameters -> those that the model takes, with one warning for what had to change; an error if the call is strict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aichatkit import _warnings
from aichatkit._dataclasses import replace
from aichatkit.catalog.parameters import Change, adapt
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Options, Provider
from aichatkit.providers.effort_fields import service_of

__all__ = ["adapt_options", "report_changes"]

_MAX_WARNED = 1000


def adapt_options(provider: Provider, model: str, options: Options) -> tuple[Options, Sequence[Change]]:
    """Return the options that a model takes, and what had to change for that."""
    if provider.draws(model):
        return options, ()
    service = service_of(provider, options.record)
    adapted = adapt(options.params, options.record, service=service, model=model, supported=provider.params)
    changed = replace(
        options,
        params=adapted.params,
        record=adapted.record,
        hide_thoughts=adapted.hide_thoughts,
        left_out=frozenset(options.params) - frozenset(adapted.params),
    )
    return changed, adapted.changes


def report_changes(
    changes: Sequence[Change], *, provider: str, model: str, strict: bool, warned: dict[tuple[str, str, str], Any]
) -> None:
    """Warn of each kind of change once for a model, at the user's line; raise ConfigurationError if `strict`."""
    for change in changes:
        if strict:
            raise ConfigurationError(
                f"{provider}: {model} {change.problem}; without strict=True, {change.remedy}",
                provider=provider,
                action="next",
            )
        if len(warned) >= _MAX_WARNED:
            warned.clear()
        # Rows of a batch arrive here at the same time, and one of them gives the warning.
        token = object()
        if warned.setdefault((provider, model, change.topic), token) is token:
            _warnings.warn_user(f"{provider}: {model} {change.problem}, so {change.remedy}; strict=True forbids that")
