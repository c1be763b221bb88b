"""Output of the command line: answers go to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings

from aichatkit.display.plain import strip_control_characters

__all__ = ["discard_stdout", "print_stderr", "print_warnings", "replace_unencodable", "write_stdout"]


def write_stdout(text: str) -> None:
    """Write text to standard output and flush it."""
    if sys.stdout is None:  # closed by the parent process
        raise OSError("standard output is closed")
    sys.stdout.write(text)
    sys.stdout.flush()


def print_stderr(text: object) -> None:
    """Print a status or error line to standard error, prefixed with the command's name."""
    if sys.stderr is not None:
        sys.stderr.write(f"aichatkit: {strip_control_characters(str(text))}\n" if str(text) else "\n")


def print_warnings() -> None:
    """Print warnings like other messages, instead of with a line of the program that calls this one."""

    def show(message: Warning | str, *place: object, **options: object) -> None:
        print_stderr(message)

    warnings.showwarning = show


def discard_stdout() -> None:
    """Redirect standard output to the null device, so that the flush at interpreter exit cannot fail again."""
    # A stream without a file descriptor, as in a notebook, is not flushed at exit.
    with contextlib.suppress(io.UnsupportedOperation, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def replace_unencodable() -> None:
    """Replace characters that a terminal or pipe cannot encode, instead of failing: an answer may contain any."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Only a line with undecodable bytes is rejected, when it is read.
        sys.stdin.reconfigure(errors="surrogateescape")
