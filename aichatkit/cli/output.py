"""Output of the command line: answers go to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys

__all__ = ["discard_stdout", "print_stderr", "replace_unencodable", "strip_control_characters", "write_stdout"]

#: Control characters except tab and newline: text from a service must not send escape sequences to the terminal.
_CONTROL_CHARACTERS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


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


def strip_control_characters(text: str) -> str:
    r"""Return text without control characters, which could move the cursor or change colors.

    >>> strip_control_characters("\x1b[2Jred\r\n")
    '[2Jred\n'
    """
    return text.translate(_CONTROL_CHARACTERS)


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
        # A line with bytes that cannot be decoded is refused once it is read; the others are fine.
        sys.stdin.reconfigure(errors="surrogateescape")
