"""Name of a template, file or text -> its text, and the model, system prompt and parameters that it sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from aichatkit._dataclasses import NamedTuple
from aichatkit._reasons import reason_of
from aichatkit.cli.paths import config_folder
from aichatkit.errors import ConfigurationError
from aichatkit.params import PARAMS, suggestion

__all__ = ["StoredTemplate", "load_template", "read_template", "stored_templates", "templates_folder"]

#: Lines of `name: value` between two lines of three dashes, at the start of a file.
_HEAD = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_NAMES = ("model", "system")


class StoredTemplate(NamedTuple):
    """A template: `label` names it in error messages, `settings` are those at its head."""

    label: str
    text: str
    settings: Mapping[str, str]


def templates_folder() -> Path:
    """Return the folder of the stored templates."""
    return config_folder() / "templates"


def stored_templates() -> dict[str, Path]:
    """Return the files of the stored templates by name."""
    folder = templates_folder()
    paths = sorted([*folder.glob("*.txt"), *folder.glob("*.md")])
    return {path.stem: path for path in paths if path.is_file()}


def load_template(name: str) -> StoredTemplate:
    """Return a template by its name, the path of its file, or its text with fields."""
    if "{" in name and name not in stored_templates():
        return StoredTemplate("the template", name, {})
    return _parse(f"the template {name!r}", read_template(name))


def read_template(name: str) -> str:
    """Return the whole text of a template by its name or the path of its file."""
    stored = stored_templates()
    path = stored.get(name, Path(name))
    try:
        # Editors on Windows write a byte order mark.
        return path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:
        problem, reason = getattr(error, "strerror", None) or str(error), reason_of(error)
        exists = name in stored or isinstance(error, UnicodeDecodeError)
    if exists:
        raise ConfigurationError(f"-t: the template {name!r} cannot be read: {problem}", reason=reason)
    raise ConfigurationError(
        f"-t: there is no template {name!r} ({problem}){suggestion(name, stored)}; "
        f"it may be a file, a text with {{fields}}, or the name of a .txt or .md file in {templates_folder()}",
        reason=reason,
    )


def _parse(label: str, text: str) -> StoredTemplate:
    head = _HEAD.match(text)
    if head is None:
        return StoredTemplate(label, text, {})
    settings = {}
    for line in filter(str.strip, head[1].splitlines()):
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not (name in _NAMES or name in PARAMS):
            hint = suggestion(name, [*_NAMES, *PARAMS])
            raise ConfigurationError(
                f"{label}: its head has the line {line.strip()!r}{hint}; a line is 'model: ...', 'system: ...' or a "
                "parameter such as 'temperature: 0.2'"
            )
        settings[name] = value.strip()
    return StoredTemplate(label, text[head.end() :], settings)
