"""Name -> provider class: finds modules of the folder, rows of services, plugins, and what users register."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from aichatkit import providers
from aichatkit._lazy import lazy_module
from aichatkit.errors import ConfigurationError, UnknownProviderError
from aichatkit.params import nearest
from aichatkit.providers.base import Provider

if TYPE_CHECKING:
    import pkgutil
    from importlib import metadata

    from aichatkit.providers import services
else:
    # Needed to find what is not a module of the folder, and to list everything.
    metadata = lazy_module("importlib.metadata")
    pkgutil = lazy_module("pkgutil")
    services = lazy_module("aichatkit.providers.services")

__all__ = ["GROUPS", "Registry", "register", "registry"]

logger = logging.getLogger(__name__)

#: Groups of providers by name: asked in this order.
GROUPS: Mapping[str, tuple[str, ...]] = {"free": ("aichats", "aichatonline", "aichat", "aichatfree", "chatgptt")}

_ENTRY_POINTS = "aichatkit.providers"
#: Modules of the folder that hold no provider of their own.
_BASES = (
    *("base", "openai_compatible", "openai_images", "openai_records", "request_bodies", "services", "user_agents"),
)


class Registry(Mapping[str, "type[Provider]"]):
    """The providers by name; a module is imported, and a row made a class, when it is first asked for."""

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
        return iter(sorted({*self._modules(), *services.SERVICES, *self._entry_points(), *self._registered}))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._registered or self._is_given(name))

    def importable(self) -> list[type[Provider]]:
        """Return every provider but those of packages that cannot be imported."""
        found = []
        for name in self:
            try:
                found.append(self[name])
            except ConfigurationError as error:
                logger.warning("%s", error)
        return found

    def add(self, provider: type[Provider], *, replace: bool = False) -> None:
        """Make a provider known under its name; that of the package's own, or of a plugin, only where `replace`."""
        name = getattr(provider, "name", "")
        if not isinstance(provider, type) or not issubclass(provider, Provider) or not getattr(provider, "url", ""):
            raise ConfigurationError("register: pass a subclass of Provider with a name and a url")
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) or name in GROUPS:
            raise ConfigurationError(f"register: the name {name!r} must be lower case with hyphens and not a group")
        if not replace and self._is_given(name):
            raise ConfigurationError(
                f"register: there is a provider {name!r} already; take another name, or pass replace=True"
            )
        self._registered[name] = provider

    def _is_given(self, name: str) -> bool:
        return _module(name) is not None or name in services.SERVICES or name in self._entry_points()

    def _load(self, name: str) -> type[Provider]:
        module = _module(name)
        if module is not None:
            return _class_of(importlib.import_module(module), name)
        if name in services.SERVICES:
            return _make_service(name, services.SERVICES[name])
        entry = self._entry_points().get(name)
        if entry is None:
            raise UnknownProviderError(f"there is no provider {name!r}{nearest(name, list(self))}")
        try:
            return _checked(entry.load(), name)
        except Exception as error:
            # Whatever somebody else's code does while it is imported, the other providers go on.
            reason = f"{type(error).__name__}: {error}"
            raise ConfigurationError(
                f"the provider {name!r} comes from a package that cannot be used ({reason})"
            ) from error

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
#: The modules found in the folder so far: looking for one takes as long as all else that makes a client.
_seen: dict[str, str] = {}


def register(
    provider: type[Provider] | str,
    *,
    url: str | None = None,
    api_key_env: str | tuple[str, ...] = (),
    default_model: str = "",
    replace: bool = False,
    **row: Any,
) -> type[Provider]:
    """Make a provider known: a subclass of Provider, or the name and address of an OpenAI-compatible service.

    The name of a provider that comes with the package, or with a plugin, is taken; `replace=True` puts yours there.
    What such a service does differently goes into `row`, by the names of the attributes of `OpenAICompatible`.

    Example: `register("my-gateway", url="https://llm.example.com/v1", api_key_env="MY_GATEWAY_KEY")`
    """
    if isinstance(provider, str):
        if not url or not url.startswith(("http://", "https://")):
            raise ConfigurationError("register: pass url= with the http address of the OpenAI-compatible service")
        given = {"url": url.rstrip("/"), "api_key_env": api_key_env, "default_model": default_model}
        made = _make_service(provider, {**given, "needs_key": bool(api_key_env), **row})
        registry.add(made, replace=replace)
        return made
    if url is not None or api_key_env or default_model or row:
        raise ConfigurationError("register: url, api_key_env and all other options go with a name, not with a class")
    registry.add(provider, replace=replace)
    return provider


def _checked(found: Any, name: str) -> type[Provider]:
    """Return what an entry point names, if it is a provider of that name."""
    if not isinstance(found, type) or not issubclass(found, Provider):
        raise TypeError("it is not a subclass of Provider")
    if not getattr(found, "name", "") or not getattr(found, "url", ""):
        raise TypeError("it has no name or no url")
    if found.name != name:
        raise ValueError(f"it is named {found.name!r}")
    return found


def _module(name: str) -> str | None:
    """Return the module that holds a provider of the folder; the other files there are not looked at."""
    if name in _seen:
        return _seen[name]
    stem = name.replace("-", "_")
    if "_" in name or stem in _BASES or not stem.isidentifier():
        return None
    module = f"{providers.__name__}.{stem}"
    if importlib.util.find_spec(module) is None:
        return None
    _seen[name] = module
    return module


def _make_service(name: str, row: Mapping[str, Any]) -> type[Provider]:
    base = importlib.import_module("aichatkit.providers.openai_compatible").OpenAICompatible
    known = {attribute for kind in base.__mro__ for attribute in getattr(kind, "__annotations__", ())} - {"name"}
    for attribute in row:
        if attribute not in known:
            raise ConfigurationError(f"register: a service has no {attribute!r}{nearest(attribute, known)}")
    title = "".join(part.title() for part in re.split("[-.]", name))
    about = {
        "__doc__": f"The OpenAI-compatible service {name}.",
        "__module__": f"{providers.__name__}.services",
        "name": name,
    }
    made: type[Provider] = type(title, (base,), {**about, **row})
    return made


def _class_of(module: Any, name: str) -> type[Provider]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Provider) and value.__dict__.get("name") == name:
            return value
    raise UnknownProviderError(f"module {module.__name__} defines no provider named {name!r}")
