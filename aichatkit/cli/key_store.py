"""API keys stored by the user: in the system keyring if there is one, else in a file only the user can read.

Only the command line uses stored keys, for providers without a key in the environment. `Client` never reads them: pass
it a key yourself, as in `Client(api_key={"openai": keys.stored("openai")})` after `from aichatkit import keys`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aichatkit._reasons import reason_of
from aichatkit.call.targets import Model, named_providers, parse_key
from aichatkit.cli.paths import config_folder, write_private
from aichatkit.errors import ConfigurationError, UnknownProviderError
from aichatkit.providers.base import Provider
from aichatkit.registry import provider_suggestion, registry

__all__ = [
    "check_provider",
    "file_path",
    "keys_for",
    "names",
    "names_with_keys",
    "remove",
    "store",
    "stored",
    "variable_of",
]

_SERVICE = "aichatkit"


def store(provider: str, key: str) -> str:
    """Store the key of a provider, replacing any earlier one, and return a description of where it is kept."""
    check_provider(provider)
    parse_key(key, provider=provider)
    keys = _read()
    backend = _keyring()
    if backend is not None and _save_to_keyring(backend, provider, key):
        _write({**keys, provider: None})
        return "the system keyring"
    _write({**keys, provider: key})
    return str(file_path())


def check_provider(provider: str) -> None:
    """Raise an error unless `provider` exists and takes a key."""
    if provider not in registry:
        raise UnknownProviderError(f"there is no provider {provider!r}{provider_suggestion(provider)}")
    if not registry[provider].key_variables():
        raise ConfigurationError(f"{provider}: takes no key", provider=provider)


def stored(provider: str) -> str | None:
    """Return the stored key of a provider, None if there is none."""
    keys = _read()
    if keys.get(provider) is not None or provider not in keys:
        return keys.get(provider)
    backend = _keyring()
    if backend is None:
        raise ConfigurationError(
            f"{provider}: its key was put into the system keyring, which cannot be reached now; "
            f"set {registry[provider].key_variables()[0]}, or store the key again",
            provider=provider,
        )
    with _converting_keyring_errors(provider):
        key: str | None = backend.get_password(_SERVICE, provider)
    return key


def remove(provider: str) -> bool:
    """Delete the stored key of a provider, and return whether there was one; raise an error for an unknown provider."""
    keys = _read()
    if provider not in keys:
        check_provider(provider)
        return False
    backend = _keyring()
    if keys.pop(provider) is None and backend is not None:
        _delete_from_keyring(backend, provider)
    _write(keys)
    return True


def names() -> list[str]:
    """Return the names of the providers with a stored key, sorted."""
    return sorted(_read())


def names_with_keys() -> list[str]:
    """Return the names of the providers whose key is stored or set in the environment, sorted.

    The environment counts only for providers with a rank, which can be chosen by their key: a local server may ignore
    its key, and another provider may share its variable.
    """
    stored_names = names()
    return [
        provider_cls.name
        for provider_cls in registry.importable()
        if provider_cls.name in stored_names or (provider_cls.rank and provider_cls.find_key())
    ]


def variable_of(provider_cls: type[Provider]) -> str:
    """Return the environment variable that a provider's key is set in, "" if none is."""
    return next((name for name in provider_cls.key_variables() if os.environ.get(name)), "")


def keys_for(model: Model) -> dict[str, str]:
    """Return the stored keys that `model` may need, by provider, except those already set in the environment.

    With None, the model is chosen by the available keys, so all stored keys are included.
    """
    available = names()
    needed = (
        available if model is None or not available else [name for name in named_providers(model) if name in available]
    )
    keys = {name: stored(name) for name in needed if name in registry and registry[name].find_key() is None}
    return {name: key for name, key in keys.items() if key}


def file_path() -> Path:
    """Return the path of the key file."""
    return config_folder() / "keys.json"


def _read() -> dict[str, str | None]:
    """Return the content of the key file: keys by provider, None for those kept in the keyring."""
    path = file_path()
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({type(error).__name__})", reason=reason_of(error)) from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError(f"{path}: others can read it, so its keys are not used; run: chmod 600 {path}")
    reason = ""
    try:
        record = json.loads(text)
    except ValueError as error:
        record, reason = None, reason_of(error)
    if not isinstance(record, dict) or not all(isinstance(key, (str, type(None))) for key in record.values()):
        raise ConfigurationError(f"{path}: is not a file of keys; remove it and store them again", reason=reason)
    return record


def _write(keys: dict[str, str | None]) -> None:
    try:
        write_private(file_path(), json.dumps(keys, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigurationError(
            f"{file_path()}: cannot be written ({error.strerror})", reason=reason_of(error)
        ) from error


def _keyring() -> Any:
    """Return the system keyring, None if there is none or the extra is not installed."""
    try:
        import keyring
    except ImportError:
        return None
    backend = keyring.get_keyring()
    # The placeholder for a missing keyring has priority 0, and stores nothing.
    return backend if backend.priority > 0 else None


def _save_to_keyring(backend: Any, provider: str, key: str) -> bool:
    """Store a key in the keyring; return False if it is locked or broken, and the key must go to the file."""
    from keyring import errors

    try:
        backend.set_password(_SERVICE, provider, key)
    except errors.KeyringError:
        return False
    return True


def _delete_from_keyring(backend: Any, provider: str) -> None:
    from keyring import errors

    # The user may have deleted it by other means.
    with _converting_keyring_errors(provider), suppress(errors.PasswordDeleteError):
        backend.delete_password(_SERVICE, provider)


@contextmanager
def _converting_keyring_errors(provider: str) -> Iterator[None]:
    from keyring import errors

    try:
        yield
    except errors.KeyringError as error:
        raise ConfigurationError(
            f"{provider}: the system keyring does not open ({type(error).__name__}); unlock it and try again",
            provider=provider,
            reason=reason_of(error),
        ) from error
