"""Typed, pasted or piped lines -> one message at a time."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aichatkit._surrogates import UNDECODED
from aichatkit.cli.output import print_stderr
from aichatkit.cli.paths import private_umask
from aichatkit.errors import ConfigurationError

__all__ = ["input_history", "is_interactive", "read_input"]

# Line editing and history, on platforms that have readline.
readline: Any = import_module("readline") if find_spec("readline") else None

_PROMPT, _CONTINUATION = "> ", ". "
_QUOTES, _FENCES = '"""', ("```", "~~~")
_MAX_HISTORY = 1000


def is_interactive() -> bool:
    """Return whether both standard input and output are terminals."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()


def read_input() -> str | None:
    r"""Return one message, possibly of several lines; None at the end of input.

    A line ending in a backslash continues on the next line. A block between triple double quotes (removed) or code
    fences (kept) is one message, as is everything pasted in one go.
    """
    line = _read_line(_PROMPT)
    if line is None:
        return None
    opening = line.strip()
    if opening.startswith(_QUOTES):
        return _read_quoted(opening[len(_QUOTES) :])
    if opening.startswith(_FENCES):
        return "\n".join([line, *_read_until(opening[:3])])
    if opening.startswith("/"):
        # Lines typed after it while an answer was streaming are separate messages.
        return opening
    lines = [line]
    while lines[-1].endswith("\\") or _has_pending_line():
        next_line = _read_line(_CONTINUATION if lines[-1].endswith("\\") else "")
        lines[-1] = lines[-1][:-1] if lines[-1].endswith("\\") else lines[-1]
        if next_line is None:
            break
        lines.append(next_line)
    return "\n".join(lines).strip()


@contextmanager
def input_history(path: Path, completions: Sequence[str], *, save: bool) -> Iterator[None]:
    """Load the input history, and on exit save it to a file only its owner can read; Tab completes `completions`."""
    if readline is None or not is_interactive():
        yield
        return
    # The file is missing on first use, and unreadable if another line editing library wrote it.
    with suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(_MAX_HISTORY)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(lambda text, state: _complete(text, completions, state))
    for setting in ("tab: complete", "set enable-bracketed-paste on"):
        readline.parse_and_bind(setting)
    try:
        yield
    finally:
        readline.set_completer(None)
        if save:
            _write_history(path)


def _write_history(path: Path) -> None:
    try:
        with private_umask():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            readline.write_history_file(path)
    except OSError as error:
        print_stderr(f"the history of what was typed is not saved: {error}")


def _complete(text: str, completions: Sequence[str], state: int) -> str | None:
    matches = [f"{word} " for word in completions if text.startswith("/") and word.startswith(text)]
    return matches[state] if state < len(matches) else None


def _read_quoted(first: str) -> str:
    text = first if first.endswith(_QUOTES) else "\n".join([first, *_read_until(_QUOTES)]).rstrip()
    return (text[: -len(_QUOTES)] if text.endswith(_QUOTES) else text).strip()


def _read_until(delimiter: str) -> list[str]:
    """Return the lines up to and including the one that ends with the delimiter, or to the end of input."""
    lines: list[str] = []
    while not (lines and lines[-1].rstrip().endswith(delimiter)):
        line = _read_line(_CONTINUATION)
        if line is None:
            break
        lines.append(line)
    return lines


def _read_line(prompt: str) -> str | None:
    try:
        line = input(prompt) + "\n" if is_interactive() else sys.stdin.readline() if sys.stdin is not None else ""
    except EOFError:
        return None
    if UNDECODED.search(line):
        shown = UNDECODED.sub("?", line)[:60].strip()
        raise ConfigurationError(f"this line is not valid {sys.stdin.encoding} and was not sent: {shown}")
    return line.rstrip("\n") if line else None


def _has_pending_line() -> bool:
    """Return whether another line is already available, as in pasted text: typing is slower than this check."""
    if not is_interactive() or sys.platform == "win32":
        return False
    return bool(select.select([sys.stdin], [], [], 0.02)[0])
