"""Keys that a user stored once: in the system's keyring where there is one, else in a file only the user can read.

The command line and the notebook's magics look here after the environment; `Client` itself takes no key from here
unless it is handed one: `Client(api_key={"openai": keys.stored("openai")})`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from aichatkit.call.targets import Model, named_providers, parse_key
from aichatkit.cli.paths import config_folder, write_private
from aichatkit.errors import ConfigurationError, UnknownProviderError
from aichatkit.params import nearest
from aichatkit.registry import registry

__all__ = ["check_provider", "file_path", "keys_for", "names", "remove", "store", "stored"]

_SERVICE = "aichatkit"


def store(provider: str, key: str) -> str:
    """Store the key of a provider and return where it now lies, in words; an earlier one is replaced."""
    check_provider(provider)
    parse_key(key, provider=provider)
    kept = _read()
    ring = _keyring()
    if ring is not None and _put(ring, provider, key):
        _write({**kept, provider: None})
        return "the system keyring"
    _write({**kept, provider: key})
    return str(file_path())


def check_provider(provider: str) -> None:
    """Refuse a name that is no provider's, and providers that take no key."""
    if provider not in registry:
        raise UnknownProviderError(f"there is no provider {provider!r}{nearest(provider, list(registry))}")
    if not registry[provider].key_variables():
        raise ConfigurationError(f"{provider}: takes no key", provider=provider)


def stored(provider: str) -> str | None:
    """Return the stored key of a provider, None where there is none."""
    kept = _read()
    if kept.get(provider) is not None or provider not in kept:
        return kept.get(provider)
    ring = _keyring()
    if ring is None:
        raise ConfigurationError(
            f"{provider}: its key was put into the system keyring, which cannot be reached now; "
            f"set {registry[provider].key_variables()[0]}, or store the key again",
            provider=provider,
        )
    with _unlocked(provider):
        found: str | None = ring.get_password(_SERVICE, provider)
    return found


def remove(provider: str) -> bool:
    """Forget the key of a provider; tell whether there was one."""
    kept = _read()
    if provider not in kept:
        return False
    ring = _keyring()
    if kept.pop(provider) is None and ring is not None:
        _take(ring, provider)
    _write(kept)
    return True


def names() -> list[str]:
    """Return the providers a key is stored for, by name."""
    return sorted(_read())


def keys_for(model: Model) -> dict[str, str]:
    """Return the stored keys that a model may need, by provider: those whose environment variables are not set.

    None stands for the model that is chosen by keys, so all of them count.
    """
    kept = names()
    wanted = kept if model is None or not kept else [name for name in named_providers(model) if name in kept]
    found = {name: stored(name) for name in wanted if name in registry and registry[name].find_key() is None}
    return {name: key for name, key in found.items() if key}


def file_path() -> Path:
    """Return the path of the file."""
    return config_folder() / "keys.json"


def _read() -> dict[str, str | None]:
    """Return what the file holds: keys by provider, None for those that lie in the keyring."""
    path = file_path()
    try:
        rights = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({type(error).__name__})") from error
    if os.name == "posix" and stat.S_IMODE(rights) & 0o077:
        raise ConfigurationError(f"{path}: others can read it, so its keys are not used; run: chmod 600 {path}")
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not all(isinstance(key, (str, type(None))) for key in record.values()):
        raise ConfigurationError(f"{path}: is no file of keys; remove it and store them again")
    return record


def _write(kept: dict[str, str | None]) -> None:
    try:
        write_private(file_path(), json.dumps(kept, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigurationError(f"{file_path()}: cannot be written ({error.strerror})") from error


def _keyring() -> Any:
    """Return the system's keyring, None where there is none or the extra is not installed."""
    try:
        import keyring
    except ImportError:
        return None
    ring = keyring.get_keyring()
    # What stands in for a missing keyring has no priority, and stores nothing.
    return ring if ring.priority > 0 else None


def _put(ring: Any, provider: str, key: str) -> bool:
    """Tell whether the keyring took it; one that is locked or broken leaves the key to the file."""
    from keyring import errors

    try:
        ring.set_password(_SERVICE, provider, key)
    except errors.KeyringError:
        return False
    return True


def _take(ring: Any, provider: str) -> None:
    from keyring import errors

    # The user may have taken it out by other means.
    with _unlocked(provider), suppress(errors.PasswordDeleteError):
        ring.delete_password(_SERVICE, provider)


@contextmanager
def _unlocked(provider: str) -> Iterator[None]:
    from keyring import errors

    try:
        yield
    except errors.KeyringError as error:
        raise ConfigurationError(
            f"{provider}: the system keyring does not open ({type(error).__name__}); unlock it and try again",
            provider=provider,
        ) from error
