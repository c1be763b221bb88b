"""Model -> targets: which providers to call, in which order, with which model; and their API keys."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable, Union

from aichatkit._dataclasses import NamedTuple
from aichatkit.auth.keys import KeyFunction, key_hint, parse_key
from aichatkit.catalog import models
from aichatkit.errors import ConfigurationError, MissingKeyError, UnknownModelError, UnknownProviderError
from aichatkit.params import suggestion
from aichatkit.providers.base import Provider
from aichatkit.registry import GROUPS, provider_suggestion, registry

__all__ = [
    "AnyKey",
    "Keys",
    "Model",
    "PerProvider",
    "Target",
    "find_targets",
    "model_from_environment",
    "named_providers",
    "no_model_error",
    "parse_key",
    "parse_keys",
    "parse_model",
    "per_provider",
]

#: The beginnings of keys that services issue.
_KEY = re.compile(r"(?:sk|pk|gsk|xai|hf|csk|pplx|nvapi|fw|tgp)[-_][\w-]{16,}\Z|AIza[\w-]{16,}\Z")
#: The environment variable that names the model if none is passed.
_VARIABLE = "AICHATKIT_MODEL"
Model = Union[str, Sequence[str], None]
PerProvider = Union[str, Mapping[str, str], None]
Key = Union[str, Callable[[], Any]]
Keys = Union[Key, Sequence[Key], Mapping[str, "Key | Sequence[Key]"], None]
#: A key as it is kept, None for a service that is called without one.
AnyKey = Union[str, KeyFunction, None]


class Target(NamedTuple):
    """A provider and one of its models; `is_default` is True if the package chose the model."""

    provider: type[Provider]
    model: str
    is_default: bool = False


def find_targets(model: Model, *, keys: Mapping[str, Any] | None = None) -> list[Target]:
    """Return the targets for a model, or for a list of models in fallback order.

    `keys` names the providers that the client has a key for.
    """
    keys = keys or {}
    if model is not None:
        return _find_all(model, keys)
    model = model_from_environment(keys)
    if model is None:
        raise no_model_error()
    try:
        if "," in model:
            raise ConfigurationError(
                f"holds the name of one model, not {model!r}; for fallbacks repeat -m, or pass a list, model=[...]"
            )
        return _find_all(model, keys)
    except ConfigurationError as error:
        # The name is nowhere in the user's code.
        if os.environ.get(_VARIABLE):
            error.message = f"{_VARIABLE}: {error.message}"
            error.args = (error.message,)
        raise


def _find_all(model: Model, keys: Mapping[str, Any]) -> list[Target]:
    targets = [target for name in parse_model(model) for target in _targets(name, keys)]
    if len(targets) == 1:
        return targets
    unique: dict[tuple[type[Provider], str], Target] = {}
    for target in targets:
        unique.setdefault((target.provider, target.model), target)
    return list(unique.values())


def parse_keys(value: Any, *, provider: str) -> list[str | KeyFunction]:
    """Return one API key or several, or functions that return them, as a list; raise ConfigurationError for others."""
    keys = list(value) if isinstance(value, (list, tuple)) else [value]
    if not keys:
        raise ConfigurationError(f"api_key for {provider}: the list is empty", provider=provider)
    return [
        KeyFunction(key, provider=provider, number=number) if callable(key) else parse_key(key, provider=provider)
        for number, key in enumerate(keys)
    ]


def model_from_environment(keys: Mapping[str, Any]) -> str | None:
    """Return AICHATKIT_MODEL, else the first mainstream provider that has a key, else None."""
    model = os.environ.get(_VARIABLE)
    if model:
        return model
    return next(
        (
            provider.name
            for provider in _mainstream()
            if provider.name in keys or (provider.chosen_by_key and provider.find_key())
        ),
        None,
    )


def named_providers(model: Model) -> list[str]:
    """Return the names of the providers of a model, whether or not they have a key."""
    if model is None:
        return []
    names: list[str] = []
    for name in parse_model(model):
        first, slash, _ = name.partition("/")
        if first in GROUPS:
            names += GROUPS[first]
        elif first in registry:
            names.append(first)
        elif slash:
            raise _unknown_provider_error(first)
        else:
            names += [provider.name for provider in _listing_providers(name)]
    return list(dict.fromkeys(names))


def per_provider(value: Any, names: Sequence[str], *, option: str) -> dict[str, Any]:
    """Return an option's value by provider; one value for several is refused, so that no key goes to the wrong one."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        for name in value:
            if name not in registry:
                raise UnknownProviderError(f"{option}: there is no provider {name!r}{provider_suggestion(name)}")
        return dict(value)
    if not isinstance(value, (str, list, tuple)) and not (callable(value) and option in ("api_key", "auth")):
        hint = key_hint(value) if option == "api_key" else ""
        raise ConfigurationError(f"{option}: must be a string or a dict by provider{hint}, not {type(value).__name__}")
    if not names:
        raise ConfigurationError(
            f"{option}: pass a model that names its provider, or a dict by provider, {option}={{name: ...}}"
        )
    if option in ("api_key", "auth"):
        # A list often ends with offline, which answers without a service.
        names = [name for name in names if name != "offline"] or names
    if len(set(names)) > 1:
        raise ConfigurationError(
            f"{option}: one value cannot serve {', '.join(dict.fromkeys(names))}; "
            f"name one as 'provider/model', or pass a dict by provider, {option}={{name: ...}}"
        )
    return dict.fromkeys(names, value)


def parse_model(model: Any) -> list[str]:
    """Return the names of a model or of a list of models; raise ConfigurationError if one cannot be a name."""
    names = [model] if isinstance(model, str) else model
    if not isinstance(names, Sequence):
        raise ConfigurationError(f"model: must be a name or a list of names, not {type(model).__name__}")
    if not names:
        raise ConfigurationError("model: the list is empty; name at least one")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ConfigurationError(f"model: must be 'provider/model', a provider or a model, not {name!r}")
        if not name.isprintable():
            raise ConfigurationError("model: the name holds a control character")
        if _KEY.match(name):
            raise ConfigurationError("model: this looks like an API key; pass it as api_key=")
        if "://" in name:
            raise ConfigurationError("model: this is a URL; pass it as base_url=, and the model as 'provider/model'")
    return list(names)


def _targets(name: str, keys: Mapping[str, Any]) -> Iterator[Target]:
    first, slash, rest = name.partition("/")
    if first in GROUPS:
        yield from _group(first, rest)
    elif first in registry:
        yield _target(registry[first], rest if slash else "")
    elif slash:
        raise _unknown_provider_error(first)
    else:
        yield from _listing(name, keys)


def _unknown_provider_error(provider: str) -> UnknownProviderError:
    return UnknownProviderError(f"there is no provider {provider!r}{provider_suggestion(provider)}")


def _group(group: str, model: str) -> Iterator[Target]:
    members = [registry[name] for name in GROUPS[group]]
    listing = [member for member in members if not model or model in member.models]
    if not listing:
        names = sorted({name for member in members for name in member.models})
        raise UnknownModelError(
            f"no provider of {group!r} lists {model!r}{suggestion(model, names)}; they list {', '.join(names)}"
        )
    for member in listing:
        yield _target(member, model)


def _target(provider: type[Provider], model: str) -> Target:
    if model and provider.checks_model and model not in provider.models:
        raise UnknownModelError(
            f"{provider.name} has no model {model!r}{suggestion(model, provider.models)}; "
            f"it has {', '.join(provider.models)}",
            provider=provider.name,
            model=model,
        )
    if not model and not provider.default_model:
        raise provider.missing_model()
    return Target(provider, model or provider.default_model, not model)


def _listing(model: str, keys: Mapping[str, Any]) -> Iterator[Target]:
    listing = _listing_providers(model)
    if not listing:
        raise _unknown_model_error(model)
    keyed = [provider for provider in listing if provider.name in keys or provider.find_key()]
    if not keyed:
        variables = ", ".join(name for provider in listing for name in provider.key_variables())
        raise MissingKeyError(
            f"no key for {model!r}; set one of {variables} in the environment or pass api_key=", model=model
        )
    for provider in keyed:
        yield Target(provider, model)


def _unknown_model_error(model: str) -> UnknownModelError:
    lower = model.strip().lower()
    # "GPT-6-Sol" and "gpt6-sol" are slips, not other models.
    spellings = [name for name in (lower, re.sub(r"(?<=[a-z])(?=[0-9])", "-", lower)) if _listing_providers(name)]
    if spellings:
        return UnknownModelError(f"no provider lists the model {model!r}; did you mean {spellings[0]!r}?", model=model)
    names = [listed for provider in _mainstream() for listed in provider.models]
    hint = provider_suggestion(model, names)
    if not hint or any(repr(name) in hint for name in names):
        hint += f"; name its provider as 'provider/{model}'"
    return UnknownModelError(f"no provider lists the model {model!r}{hint}", model=model)


def _listing_providers(model: str) -> list[type[Provider]]:
    """Return the mainstream providers that list a model, else those with a record of it: `models` has only a few."""
    mainstream = _mainstream()
    known = models.Catalog()
    return [provider for provider in mainstream if model in provider.models] or [
        provider for provider in mainstream if provider.models and known.find(provider.name, model) is not None
    ]


def no_model_error() -> ConfigurationError:
    """Return the error for a call without a model and without a key that could choose one."""
    mainstream = _mainstream()
    variables = ", ".join(
        name for provider in mainstream if provider.chosen_by_key for name in provider.key_variables()
    )
    by_name_only = [provider.name for provider in mainstream if not provider.chosen_by_key and provider.find_key()]
    hint = "".join(f"the key for {name} counts once you pass model={name!r}; " for name in by_name_only)
    return ConfigurationError(
        f"no model was chosen and no key was found; {hint}"
        f"pass model='provider/model', or set AICHATKIT_MODEL or one of {variables} (all were looked up); "
        "model='offline' answers without any service"
    )


def _mainstream() -> list[type[Provider]]:
    """Return the providers that a bare model name or a key may select, the best known first."""
    return sorted((provider for provider in registry.importable() if provider.rank), key=lambda provider: provider.rank)
