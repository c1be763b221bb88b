"""Name -> provider class: modules of `providers`, rows of the services table, plugins and users' own providers."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aichatkit import providers
from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError, UnknownProviderError
from aichatkit.params import suggestion
from aichatkit.providers.base import Provider

if TYPE_CHECKING:
    import pkgutil
    from importlib import metadata

    from aichatkit.call import other_words
    from aichatkit.catalog import layers
    from aichatkit.providers import deciders, embedders, services
else:
    # Needed only to list all providers, and to find one that is not a module of `providers`.
    metadata = lazy_module("importlib.metadata")
    pkgutil = lazy_module("pkgutil")
    deciders = lazy_module("aichatkit.providers.deciders")
    embedders = lazy_module("aichatkit.providers.embedders")
    layers = lazy_module("aichatkit.catalog.layers")
    other_words = lazy_module("aichatkit.call.other_words")
    services = lazy_module("aichatkit.providers.services")

__all__ = ["GROUPS", "Registry", "provider_suggestion", "register", "registry"]

logger = logging.getLogger(__name__)

#: Provider groups by name; members are tried in this order.
GROUPS: Mapping[str, tuple[str, ...]] = {"free": ("aichats", "aichatonline", "aichat", "aichatfree", "chatgptt")}

#: Never suggested: most of the free sites do not answer.
_SITES = {*GROUPS, *GROUPS["free"], "aichatonline-classic"}
_ENTRY_POINTS = "aichatkit.providers"
#: Modules of `providers` that do not define a provider.
_NOT_PROVIDERS = (
    *(
        "ai_power",
        "base",
        "cache_keys",
        "cache_marks",
        "deciders",
        "effort_fields",
        "embedders",
        "image_fields",
        "logprobs",
        "mistral_conversations",
        "odd_events",
        "openai_compatible",
        "openai_images",
        "openai_records",
        "openai_signatures",
        "openai_usage",
        "anthropic_usage",
        "gemini_usage",
        "request_bodies",
        "routes",
        "search_fields",
        "search_results",
        "services",
        "site_rules",
        "tool_fields",
        "user_agents",
        "vertex_claude",
        "vertex_places",
    ),
)


class Registry(Mapping[str, "type[Provider]"]):
    """Providers by name; a module is imported, and a service's class created, on first access."""

    def __init__(self) -> None:
        self._registered: dict[str, type[Provider]] = {}
        self._module_names: dict[str, str] | None = None
        self._plugins: dict[str, metadata.EntryPoint] | None = None

    def __getitem__(self, name: str) -> type[Provider]:
        provider = self._registered.get(name)
        if provider is None:
            provider = self._registered[name] = self._load(name)
        return provider

    def __iter__(self) -> Iterator[str]:
        names = {*self._modules(), *services.SERVICES, *self._entry_points(), *self._registered}
        return iter(sorted(names - {*deciders.DECIDERS, *embedders.EMBEDDERS}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._registered or self._is_predefined(name))

    def importable(self) -> list[type[Provider]]:
        """Return every provider, except plugins that fail to import."""
        importable = []
        for name in self:
            try:
                importable.append(self[name])
            except ConfigurationError as error:
                logger.warning("%s", error)
        return importable

    def add(self, provider: type[Provider], *, replace: bool = False) -> None:
        """Register a provider under its name; `replace` allows the name of a built-in provider or plugin."""
        name = getattr(provider, "name", "")
        if not isinstance(provider, type) or not issubclass(provider, Provider) or not getattr(provider, "url", ""):
            raise ConfigurationError("register: pass a subclass of Provider with a name and a url")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or name in GROUPS:
            raise ConfigurationError(f"register: the name {name!r} must be lower case with hyphens and not a group")
        if not replace and self._is_predefined(name):
            raise ConfigurationError(
                f"register: there is a provider {name!r} already; take another name, or pass replace=True"
            )
        if provider.catalog:
            layers.register_records(name, provider.catalog)
        self._registered[name] = provider

    def _is_predefined(self, name: str) -> bool:
        return (
            _find_module(name) is not None
            or name in services.SERVICES
            or name in deciders.DECIDERS
            or name in embedders.EMBEDDERS
            or name in self._entry_points()
        )

    def _load(self, name: str) -> type[Provider]:
        module = _find_module(name)
        if module is not None:
            return _find_class(importlib.import_module(module), name)
        if name in services.SERVICES:
            return _build_service(name, services.SERVICES[name])
        without_chat = deciders.DECIDERS.get(name) or embedders.EMBEDDERS.get(name)
        if without_chat is not None:
            return without_chat
        entry = self._entry_points().get(name)
        if entry is None:
            raise UnknownProviderError(f"there is no provider {name!r}{provider_suggestion(name)}")
        try:
            plugin = _parse_plugin(entry.load(), name)
            if plugin.catalog:
                layers.register_records(name, plugin.catalog)
            return plugin
        except Exception as error:
            # Third-party code may raise anything on import; it must not break the other providers.
            problem = f"{type(error).__name__}: {error}"
            raise ConfigurationError(
                f"the provider {name!r} comes from a package that cannot be used ({problem})", reason=reason_of(error)
            ) from error

    def _modules(self) -> dict[str, str]:
        if self._module_names is None:
            stems = [module.name for module in pkgutil.iter_modules(providers.__path__)]
            self._module_names = {stem.replace("_", "-"): stem for stem in stems if stem not in _NOT_PROVIDERS}
        return self._module_names

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        if self._plugins is None:
            entries: Any = metadata.entry_points()
            # Python 3.9 returns a dict of groups.
            group = (
                entries.select(group=_ENTRY_POINTS) if hasattr(entries, "select") else entries.get(_ENTRY_POINTS, ())
            )
            self._plugins = {entry.name: entry for entry in group}
        return self._plugins


registry = Registry()
#: Cache of `_find_module`: one lookup takes as long as everything else in creating a client.
_found_modules: dict[str, str] = {}


def register(
    provider: type[Provider] | str,
    *,
    url: str | None = None,
    api_key_env: str | tuple[str, ...] = (),
    default_model: str = "",
    replace: bool = False,
    catalog: Any = (),
    **row: Any,
) -> type[Provider]:
    """Register a provider: a subclass of Provider, or the name and base URL of an OpenAI-compatible service.

    `api_key_env` names the environment variable, or variables, of the key; without it, no key is required.
    Names of built-in providers and plugins are taken; `replace=True` overrides them.
    `catalog` has the records of its models, as in the package's models.json: prices, windows, parameters.
    `row` sets attributes of `OpenAICompatible` for a service that deviates from the defaults.

    Example: `register("my-gateway", url="https://llm.example.com/v1", api_key_env="MY_GATEWAY_KEY")`
    """
    if isinstance(provider, str):
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise ConfigurationError("register: pass url= with the http address of the OpenAI-compatible service")
        attributes = {"url": url.rstrip("/"), "api_key_env": api_key_env, "default_model": default_model}
        service = _build_service(provider, {**attributes, "needs_key": bool(api_key_env), "catalog": catalog, **row})
        registry.add(service, replace=replace)
        return service
    if url is not None or api_key_env or default_model or row:
        raise ConfigurationError("register: url, api_key_env and all other options go with a name, not with a class")
    registry.add(provider, replace=replace)
    if catalog:
        layers.register_records(provider.name, catalog)
    return provider


def _parse_plugin(value: Any, name: str) -> type[Provider]:
    """Return the object an entry point refers to; raise unless it is a provider of that name."""
    if not isinstance(value, type) or not issubclass(value, Provider):
        raise TypeError("it is not a subclass of Provider")
    if not getattr(value, "name", "") or not getattr(value, "url", ""):
        raise TypeError("it has no name or no url")
    if value.name != name:
        raise ValueError(f"it is named {value.name!r}")
    return value


def _find_module(name: str) -> str | None:
    """Return the module that defines a built-in provider, without listing the folder."""
    if name in _found_modules:
        return _found_modules[name]
    stem = name.replace("-", "_")
    if "_" in name or stem in _NOT_PROVIDERS or not stem.isidentifier():
        return None
    module = f"{providers.__name__}.{stem}"
    if importlib.util.find_spec(module) is None:
        return None
    _found_modules[name] = module
    return module


def _build_service(name: str, row: Mapping[str, Any]) -> type[Provider]:
    base = importlib.import_module("aichatkit.providers.openai_compatible").OpenAICompatible
    allowed = {attribute for cls in base.__mro__ for attribute in getattr(cls, "__annotations__", ())} - {"name"}
    for attribute in row:
        if attribute not in allowed:
            raise ConfigurationError(f"register: a service has no {attribute!r}{suggestion(attribute, allowed)}")
    title = "".join(part.title() for part in re.split("[-.]", name))
    namespace = {
        "__doc__": f"The OpenAI-compatible service {name}.",
        "__module__": f"{providers.__name__}.services",
        "name": name,
    }
    service: type[Provider] = type(title, (base,), {**namespace, **row})
    return service


def _find_class(module: Any, name: str) -> type[Provider]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Provider) and value.__dict__.get("name") == name:
            return value
    raise UnknownProviderError(f"module {module.__name__} defines no provider named {name!r}")


def provider_suggestion(name: str, models: Iterable[str] | None = None) -> str:
    """Return "; did you mean ...?" for the provider that is called `name` elsewhere, else for the nearest name.

    With `models`, the name may also be that of a model.

    >>> provider_suggestion("google"), provider_suggestion("opnai"), provider_suggestion("claude-9", [])
    ("; did you mean 'gemini'?", "; did you mean 'openai'?", "; did you mean 'anthropic/claude-9'?")
    """
    other = other_words.provider_for(name, is_provider=models is None)
    if not other:
        return suggestion(name, [known for known in [*registry, *(models or ())] if known not in _SITES])
    # A name that begins like those of a family may be a known model's with a slip.
    nearest = suggestion(name, models or ()) if other == f"{other.partition('/')[0]}/{name}" else ""
    return nearest or f"; did you mean {other!r}?"
