"""Provider -> model names: the models a service lists for a key, with what it says about each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

from aichatkit.call.attempt import open_transport
from aichatkit.call.call import Call
from aichatkit.call.listings import parse_listing
from aichatkit.call.request import prepare
from aichatkit.catalog.model_infos import ModelInfo, build_info
from aichatkit.catalog.models import Catalog
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.limits.retries import RetryState, clock_of, retry
from aichatkit.providers.base import Provider, parsing
from aichatkit.registry import GROUPS, registry

__all__ = ["any_model", "known_models", "list_models"]

#: Gemini prefixes each name with it.
_PREFIX = "models/"


def any_model(provider: str) -> str:
    """Return a target for a call whose model does not matter: a provider may have no default model.

    >>> any_model("azure"), any_model("offline")
    ('azure/any', 'offline/eliza')
    """
    return f"{provider}/{registry[provider].default_model or 'any'}"


def names_group(provider: Any) -> bool:
    """Return whether a name is that of a group of providers, whose models are known here."""
    if not isinstance(provider, str):
        raise ConfigurationError(f"models: the provider must be a name such as 'openai', not {provider!r:.60}")
    return provider in GROUPS


def known_models(provider: str | None, *, details: bool, catalog: Catalog) -> list[Any]:
    """Return the models known here, of a group or of all providers: "provider/model", or with `details` a ModelInfo."""
    classes = registry.importable() if provider is None else [registry[name] for name in GROUPS[provider]]
    if not details:
        return [f"{cls.name}/{model}" for cls in classes for model in cls.models]
    infos = []
    for cls in classes:
        names = dict.fromkeys([*cls.models, *catalog.names(cls.priced_as or cls.name)])
        infos += [build_info(cls, name, catalog) or ModelInfo(cls.name, name) for name in names]
    return infos


@overload
def list_models(provider_cls: type[Provider], call: Call, *, details: Literal[False] = False) -> list[str]: ...
@overload
def list_models(provider_cls: type[Provider], call: Call, *, details: bool) -> list[Any]: ...
def list_models(provider_cls: type[Provider], call: Call, *, details: bool = False) -> list[Any]:
    """Return the names the service lists, or the known ones if it has no list; with `details`, a ModelInfo for each."""
    catalog = call.context.catalog
    if provider_cls.models_path:
        listed = retry(_ModelList(call.context.provider(provider_cls), call))
    else:
        listed = {name: {} for name in provider_cls.models}
    if not details:
        return sorted(listed) if provider_cls.models_path else list(listed)
    infos = []
    for name in sorted(listed):
        fields = parse_listing(listed[name]) if listed[name] else {}
        infos.append(build_info(provider_cls, name, catalog, **fields) or ModelInfo(provider_cls.name, name))
    return infos


class _ModelList:
    """The list of models of one service, as a `Retryable`."""

    def __init__(self, provider: Provider, call: Call) -> None:
        self.state = RetryState(
            call.policy, call.sleeper(), call.context.retry_budget, provider.name, "", [], clock_of(call.policy)
        )
        self._provider = provider
        self._call = call

    def open(self) -> dict[str, Mapping[str, Any]]:
        """Request the list and return its entries by name."""
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
            plain = (name[len(_PREFIX) :] if name.startswith(_PREFIX) else name for name in names)
            return dict(zip(plain, entries))
