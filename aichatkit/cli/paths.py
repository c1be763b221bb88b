"""Where a user's own files lie, as each system wants it; nobody but the user may read what is written there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["config_folder", "data_folder", "write_private"]

_NAME = "aichatkit"


def config_folder() -> Path:
    """Return the folder of settings: below XDG_CONFIG_HOME, on Windows APPDATA, else `~/.config`."""
    return _folder("APPDATA", "XDG_CONFIG_HOME", Path(".config"))


def data_folder() -> Path:
    """Return the folder of what is kept: below XDG_DATA_HOME, on Windows LOCALAPPDATA, else `~/.local/share`."""
    return _folder("LOCALAPPDATA", "XDG_DATA_HOME", Path(".local", "share"))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step; a missing folder is made for the owner too."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    unfinished.unlink(missing_ok=True)
    # Made with its rights: a moment in which others can read it would be one too many.
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(unfinished, path)


def _folder(windows: str, elsewhere: str, usual: Path) -> Path:
    # A relative path in these is to be ignored (XDG Base Directory Specification).
    named = os.environ.get(windows if sys.platform == "win32" else elsewhere, "")
    return (Path(named) if Path(named).is_absolute() else Path.home() / usual) / _NAME
