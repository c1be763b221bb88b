"""Standard input -> the document that came through a pipe, without waiting for ever for one that never comes."""

from __future__ import annotations

import io
import os
import stat
import sys
import threading

from aichatkit.attachments import load_file
from aichatkit.cli.output import print_stderr
from aichatkit.errors import ConfigurationError
from aichatkit.messages import File

__all__ = ["STDIN_TIMEOUT", "read_stdin", "read_stdin_bytes"]

#: Seconds in which a pipe must bring something, or end, where there is a question without it.
#: Under cron, ssh and CI an inherited pipe may stay open and empty for ever.
STDIN_TIMEOUT = 3.0


def read_stdin(*, patience: float | None, asked: bool = False) -> str | File:
    """Return what came through standard input as text, or as a File where it is a picture, a PDF or audio."""
    content = read_stdin_bytes(patience=patience, asked=asked)
    if not content:
        return ""
    try:
        file = load_file(content)
    except ConfigurationError:
        # Text in the encoding of this system, perhaps a damaged one.
        encoding = getattr(sys.stdin, "encoding", None) or "utf-8"
        return io.TextIOWrapper(io.BytesIO(content), encoding=encoding, errors="replace").read()
    return file.data.decode() if file.kind == "text" else file


def read_stdin_bytes(*, patience: float | None, asked: bool = False) -> bytes:
    """Return the bytes of a pipe, a redirected file or a socket, to its end.

    `patience` bounds the wait for the first of them, None does not; a terminal is read only where it is `asked` for.
    """
    try:
        descriptor = sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError, AttributeError):
        if asked:
            raise ConfigurationError("-: standard input is closed") from None
        return b""
    if not (asked or stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return b""
    reader = _Reader(descriptor)
    reader.start()
    if not reader.began.wait(patience):
        print_stderr("nothing came through the pipe, so it is left alone; to wait for it, add - to the question")
        return b""
    reader.join()
    if reader.error is not None:
        raise reader.error
    return b"".join(reader.pieces)


class _Reader(threading.Thread):
    """Reads on its own, as no other way to bound the wait works on every system and for every kind of pipe."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(name="aichatkit-stdin", daemon=True)
        self._descriptor = descriptor
        self.began = threading.Event()
        self.pieces: list[bytes] = []
        self.error: OSError | None = None

    def run(self) -> None:
        """Read to the end; `began` tells of the first piece, or that there is none."""
        try:
            while piece := os.read(self._descriptor, 1 << 16):
                self.pieces.append(piece)
                self.began.set()
        except OSError as error:
            self.error = error
        self.began.set()
