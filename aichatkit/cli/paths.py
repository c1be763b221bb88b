"""The user's config and data folders on each platform, and files in them that only the user can read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["config_folder", "data_folder", "private_umask", "write_private"]

_NAME = "aichatkit"


def config_folder() -> Path:
    """Return the config folder: below XDG_CONFIG_HOME, on Windows APPDATA, else `~/.config`."""
    return _folder("APPDATA", "XDG_CONFIG_HOME", Path(".config"))


def data_folder() -> Path:
    """Return the data folder: below XDG_DATA_HOME, on Windows LOCALAPPDATA, else `~/.local/share`."""
    return _folder("LOCALAPPDATA", "XDG_DATA_HOME", Path(".local", "share"))


def write_private(path: Path, text: str) -> None:
    """Atomically write a file that only its owner can read; a missing folder is created with the same restriction."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    # Created with its final permissions, so that others cannot read it even for a moment.
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


@contextmanager
def private_umask() -> Iterator[None]:
    """Make files and folders created in this context accessible to their owner only."""
    previous = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(previous)


def _folder(windows_variable: str, xdg_variable: str, default: Path) -> Path:
    # Relative paths in these variables must be ignored (XDG Base Directory Specification).
    folder = os.environ.get(windows_variable if sys.platform == "win32" else xdg_variable, "")
    return (Path(folder) if Path(folder).is_absolute() else Path.home() / default) / _NAME
