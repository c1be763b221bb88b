"""Settings of the command line in its config folder: the default model, aliases of models, and the log."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from aichatkit._reasons import reason_of
from aichatkit.call.targets import named_providers
from aichatkit.cli.paths import config_folder, data_folder, write_private
from aichatkit.errors import ConfigurationError, UnknownModelError
from aichatkit.params import suggestion
from aichatkit.registry import GROUPS, provider_suggestion, registry

__all__ = [
    "active_log",
    "aliases",
    "default_model",
    "log_path",
    "remove_alias",
    "resolve",
    "set_alias",
    "set_default_model",
    "set_logging",
]

_NAME = re.compile(r"\w[\w.-]{0,99}")
_ALIASES, _DEFAULT, _LOG = "aliases", "default_model", "log"


def aliases() -> dict[str, str]:
    """Return the model of each alias, sorted by alias."""
    stored = _read().get(_ALIASES, {})
    return {name: stored[name] for name in sorted(stored)}


def resolve(name: str) -> str:
    """Return the model of an alias; any other name is returned unchanged."""
    return aliases().get(name, name)


def set_alias(name: str, model: str) -> None:
    """Store an alias, replacing an earlier one; raise ConfigurationError for an invalid name or an unknown model."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"an alias consists of letters, digits, dots, - and _, not {name!r}")
    if name in registry or name in GROUPS:
        raise ConfigurationError(f"{name!r} is the name of a provider and cannot be an alias")
    _check_model(model)
    settings = _read()
    _write({**settings, _ALIASES: {**settings.get(_ALIASES, {}), name: model}})


def remove_alias(name: str) -> None:
    """Remove an alias; raise ConfigurationError if there is none of this name."""
    settings = _read()
    stored = dict(settings.get(_ALIASES, {}))
    if name not in stored:
        raise ConfigurationError(f"there is no alias {name!r}{suggestion(name, stored)}")
    del stored[name]
    _write({**settings, _ALIASES: stored})


def default_model() -> str | None:
    """Return the stored default model, with aliases resolved, None if none is set; raise an error if it is unknown."""
    name = _read().get(_DEFAULT)
    if name is None:
        return None
    try:
        _check_model(resolve(name))
    except ConfigurationError as error:
        # The name is not in the command, so say where it comes from.
        error.message = f"the default model {name!r} (change it with: aichatkit models default): {error.message}"
        error.args = (error.message,)
        raise
    return resolve(name)


def set_default_model(name: str | None) -> None:
    """Store the model used without -m and AICHATKIT_MODEL; None removes it. An unknown model is an error."""
    if name is not None:
        _check_model(resolve(name))
    _write({**_read(), _DEFAULT: name})


def set_logging(on: bool) -> None:
    """Switch the log of calls on or off."""
    _write({**_read(), _LOG: on})


def log_path() -> Path:
    """Return the path of the log of calls, which need not exist."""
    return data_folder() / "calls.sqlite"


def active_log() -> Path | None:
    """Return the path to log to, None if the log is off; its folder is created."""
    if not _read().get(_LOG):
        return None
    log_path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return log_path()


def _check_model(name: str) -> None:
    # An error for an unknown provider comes from `named_providers`; other names may be those of models.
    if not named_providers(name):
        raise UnknownModelError(f"no provider lists the model {name!r}{provider_suggestion(name)}; use provider/model")


def _path() -> Path:
    return config_folder() / "settings.json"


def _read() -> dict[str, Any]:
    path = _path()
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        problem, reason = getattr(error, "strerror", None) or str(error), reason_of(error)
    else:
        if _is_valid(settings):
            return dict(settings)
        problem, reason = "it must be an object with the default model, the aliases and the log", ""
    raise ConfigurationError(f"{path} cannot be read: {problem}; correct or delete it", reason=reason)


def _is_valid(settings: Any) -> bool:
    if not isinstance(settings, dict) or not isinstance(settings.get(_ALIASES, {}), dict):
        return False
    names = [*settings.get(_ALIASES, {}).values(), settings.get(_DEFAULT) or ""]
    return all(isinstance(name, str) for name in names) and isinstance(settings.get(_LOG, False), bool)


def _write(settings: dict[str, Any]) -> None:
    write_private(_path(), json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
