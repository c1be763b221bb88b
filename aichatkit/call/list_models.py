"""Provider -> model names: the models a service lists for a key."""

from __future__ import annotations

from typing import Callable

from aichatkit.call.attempt import open_transport
from aichatkit.call.call import Call
from aichatkit.call.request import prepare
from aichatkit.errors import ChatError
from aichatkit.limits.retries import RetryState, clock_of, retry
from aichatkit.providers.base import Provider, parsing
from aichatkit.registry import registry

__all__ = ["list_models"]

#: Gemini prefixes each name with it.
_PREFIX = "models/"


def list_models(name: str, build_call: Callable[[str], Call]) -> list[str]:
    """Return the names that a provider's service lists, or the known ones if it has no list."""
    provider_cls = registry[name]
    if not provider_cls.models_path:
        return list(provider_cls.models)
    # Which model the call is for does not matter, and the provider may have no default.
    call = build_call(f"{name}/{provider_cls.default_model or 'any'}")
    return retry(_ModelList(call.context.provider(provider_cls), call))


class _ModelList:
    """The list of models of one service, as a `Retryable`."""

    def __init__(self, provider: Provider, call: Call) -> None:
        self.state = RetryState(
            call.policy, call.sleeper(), call.context.retry_budget, provider.name, "", [], clock_of(call.policy)
        )
        self._provider = provider
        self._call = call

    def open(self) -> list[str]:
        """Request the list and return its names, sorted."""
        provider, call = self._provider, self._call
        http = open_transport(provider, call.context.keys_for(provider)[0], call)
        try:
            tokens = prepare(provider, http)
            record = http.get_json(provider.models_url(tokens), headers=provider.headers)
        except ChatError as error:
            http.scrub(error)
            raise
        with parsing(provider.name, "list of models", lambda: record):
            entries = record if isinstance(record, list) else record.get("data") or record.get("models") or []
            names = (str(entry.get("id") or entry["name"]) for entry in entries)
            return sorted(name[len(_PREFIX) :] if name.startswith(_PREFIX) else name for name in names)
