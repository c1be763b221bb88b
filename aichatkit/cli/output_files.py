"""Option --out -> its file, checked before anything is sent: an answer that cannot be written has been paid for."""

from __future__ import annotations

import os
from pathlib import Path

from aichatkit.errors import ConfigurationError

__all__ = ["check_folder", "check_out"]


def check_out(source: str, out: Path) -> None:
    """Raise ConfigurationError if the output file cannot be written, or is the input file."""
    check_folder(out)
    if out.is_dir():
        raise ConfigurationError(f"--out: {str(out)!r} is a folder; name a file")
    if _is_same_file(source, out):
        raise ConfigurationError(f"--out: {str(out)!r} is the input file and would be overwritten; name another file")


def check_folder(out: Path) -> None:
    """Raise ConfigurationError if the folder of an output file does not exist."""
    if not out.parent.is_dir():
        raise ConfigurationError(f"--out: {str(out)!r} cannot be written: there is no folder {str(out.parent)!r}")


def _is_same_file(first: str, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        # One of them does not exist.
        return False
