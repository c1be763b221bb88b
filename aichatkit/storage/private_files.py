"""Files that only their owner can read, from the moment they are created; they are replaced atomically."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["create_private", "replacing"]

_NEW = os.O_CREAT | os.O_EXCL


def create_private(path: str) -> None:
    """Create an empty file that only its owner can read, unless it exists; opening it will report any error."""
    with contextlib.suppress(OSError):
        # A dangling link counts as well: its target is created.
        os.close(os.open(os.path.realpath(path), _NEW, 0o600))


@contextlib.contextmanager
def replacing(path: Path, *, newline: str | None = None) -> Iterator[Any]:
    """Open a temporary text file that replaces `path` once the block ends: readers see the old or the new content.

    Only the owner can read a new file; a file that is replaced keeps its permissions.

    Raises:
        OSError: the file cannot be written; the error names `path`, and the temporary file is removed.
    """
    # An unpredictable name, and never an existing file: in a shared folder, someone may have created a link there.
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | _NEW, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8", newline=newline) as file:
                with contextlib.suppress(FileNotFoundError):
                    # Before any content is written.
                    temporary.chmod(path.stat().st_mode & 0o777)
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        number, problem = error.errno, error.strerror or str(error)
    else:
        return
    raise OSError(number, problem, str(path))
