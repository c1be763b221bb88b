"""Name -> provider class: finds the modules of the folder, the plugins, and what users register."""

from __future__ import annotations

import importlib
import logging
import pkgutil
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from aichatkit import providers
from aichatkit.errors import ConfigurationError, UnknownProviderError
from aichatkit.params import nearest
from aichatkit.providers.base import Provider

__all__ = ["GROUPS", "Registry", "register", "registry"]

logger = logging.getLogger(__name__)

#: Groups of providers by name: asked in this order.
GROUPS: Mapping[str, tuple[str, ...]] = {"free": ("aichats", "aichatonline", "aichat", "aichatfree", "chatgptt")}

_ENTRY_POINTS = "aichatkit.providers"
#: Modules of the folder that hold no provider of their own.
_BASES = ("base", "openai_compatible")


class Registry(Mapping[str, "type[Provider]"]):
    """The providers by name; a provider's module is imported when it is first asked for."""

    def __init__(self) -> None:
        self._registered: dict[str, type[Provider]] = {}
        self._found: dict[str, str] | None = None
        self._plugins: dict[str, metadata.EntryPoint] | None = None

    def __getitem__(self, name: str) -> type[Provider]:
        found = self._registered.get(name)
        if found is None:
            found = self._registered[name] = self._load(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._modules(), *self._entry_points(), *self._registered}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._registered or name in self._modules() or name in self._entry_points()

    def importable(self) -> list[type[Provider]]:
        """Return every provider but those of packages that cannot be imported."""
        found = []
        for name in self:
            try:
                found.append(self[name])
            except ConfigurationError as error:
                logger.warning("%s", error)
        return found

    def add(self, provider: type[Provider]) -> None:
        """Make a provider known under its name."""
        name = getattr(provider, "name", "")
        if not isinstance(provider, type) or not issubclass(provider, Provider) or not getattr(provider, "url", ""):
            raise ConfigurationError("register: pass a subclass of Provider with a name and a url")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or name in GROUPS:
            raise ConfigurationError(f"register: the name {name!r} must be lower case with hyphens and not a group")
        self._registered[name] = provider

    def _load(self, name: str) -> type[Provider]:
        module = self._modules().get(name)
        if module is not None:
            return _class_of(importlib.import_module(f"aichatkit.providers.{module}"), name)
        entry = self._entry_points().get(name)
        if entry is None:
            raise UnknownProviderError(f"there is no provider {name!r}{nearest(name, list(self))}")
        try:
            provider: type[Provider] = entry.load()
        except ImportError as error:
            reason = str(error)
        else:
            return provider
        raise ConfigurationError(f"the provider {name!r} comes from a package that cannot be imported ({reason})")

    def _modules(self) -> dict[str, str]:
        if self._found is None:
            stems = [module.name for module in pkgutil.iter_modules(providers.__path__)]
            self._found = {stem.replace("_", "-"): stem for stem in stems if stem not in _BASES}
        return self._found

    def _entry_points(self) -> dict[str, metadata.EntryPoint]:
        if self._plugins is None:
            found: Any = metadata.entry_points()
            group = found.select(group=_ENTRY_POINTS) if hasattr(found, "select") else found.get(_ENTRY_POINTS, ())
            self._plugins = {entry.name: entry for entry in group}
        return self._plugins


registry = Registry()


def register(
    provider: type[Provider] | str,
    *,
    url: str | None = None,
    api_key_env: str | tuple[str, ...] = (),
    default_model: str = "",
) -> type[Provider]:
    """Make a provider known: a subclass of Provider, or the name and address of an OpenAI-compatible service.

    Example: `register("my-gateway", url="https://llm.example.com/v1", api_key_env="MY_GATEWAY_KEY")`
    """
    if isinstance(provider, str):
        if not url or not url.startswith(("http://", "https://")):
            raise ConfigurationError("register: pass url= with the http address of the OpenAI-compatible service")
        base = importlib.import_module("aichatkit.providers.openai_compatible").OpenAICompatible
        attributes = {
            "__doc__": f"The OpenAI-compatible service {provider}.",
            "name": provider,
            "url": url.rstrip("/"),
            "api_key_env": api_key_env,
            "needs_key": bool(api_key_env),
            "default_model": default_model,
        }
        made: type[Provider] = type("".join(part.title() for part in re.split("[-.]", provider)), (base,), attributes)
        registry.add(made)
        return made
    if url is not None or api_key_env or default_model:
        raise ConfigurationError("register: url, api_key_env and default_model go with a name, not with a class")
    registry.add(provider)
    return provider


def _class_of(module: Any, name: str) -> type[Provider]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Provider) and value.__dict__.get("name") == name:
            return value
    raise UnknownProviderError(f"module {module.__name__} defines no provider named {name!r}")
