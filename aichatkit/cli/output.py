"""What the command line writes: answers to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import io
import os
import sys

__all__ = ["drop_output", "forgive_encodings", "shown_safely", "tell", "write"]

#: What a terminal takes as an order rather than a sign; what a service says has no business giving any.
_ORDERS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)])


def write(text: str) -> None:
    """Write to standard output, at once."""
    if sys.stdout is None:  # whoever started this closed it
        raise OSError("standard output is closed")
    sys.stdout.write(text)
    sys.stdout.flush()


def tell(text: object) -> None:
    """Write a line about what happens to standard error, under the name of the command."""
    if sys.stderr is not None:
        sys.stderr.write(f"aichatkit: {shown_safely(str(text))}\n" if str(text) else "\n")


def shown_safely(text: str) -> str:
    r"""Return text without what would move the cursor, change colours or worse.

    >>> shown_safely("\x1b[2Jred\r\n")
    '[2Jred\n'
    """
    return text.translate(_ORDERS)


def drop_output() -> None:
    """Send what is left to nowhere: a second failure while the interpreter flushes would only make noise."""
    # What has no descriptor, as in a notebook, is flushed by nobody.
    with contextlib.suppress(io.UnsupportedOperation, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def forgive_encodings() -> None:
    """Show what a terminal or a pipe cannot hold as a question mark; an answer may hold any character."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
