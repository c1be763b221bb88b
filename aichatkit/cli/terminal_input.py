"""What a person types or pastes, or a pipe brings -> one thing said at a time."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aichatkit.cli.output import print_stderr

__all__ = ["input_history", "is_interactive", "read_input"]

# Editing and history come with this, where the system has it.
readline: Any = import_module("readline") if find_spec("readline") else None

_PROMPT, _MORE = "> ", ". "
_QUOTES, _FENCES = '"""', ("```", "~~~")
_LONGEST_HISTORY = 1000


def is_interactive() -> bool:
    """Tell whether a person types and reads."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()


def read_input() -> str | None:
    r"""Return what was said, perhaps in several lines; None at the end.

    A line that ends in a backslash goes on, as does a block between lines of three quotation marks, which are left out,
    or of three backquotes, which are kept; and what was pasted at once is one thing.
    """
    line = _read_line(_PROMPT)
    if line is None:
        return None
    opening = line.strip()
    if opening.startswith(_QUOTES):
        return _read_quoted(opening[len(_QUOTES) :])
    if opening.startswith(_FENCES):
        return "\n".join([line, *_read_to(opening[:3])])
    if opening.startswith("/"):
        # What was typed after it while an answer came is another thing.
        return opening
    lines = [line]
    while lines[-1].endswith("\\") or _is_pasted():
        following = _read_line(_MORE if lines[-1].endswith("\\") else "")
        lines[-1] = lines[-1][:-1] if lines[-1].endswith("\\") else lines[-1]
        if following is None:
            break
        lines.append(following)
    return "\n".join(lines).strip()


@contextmanager
def input_history(path: Path, words: Sequence[str], *, kept: bool) -> Iterator[None]:
    """Remember what was typed, in a file only its owner can read, and complete `words`."""
    if readline is None or not is_interactive():
        yield
        return
    # The first use has no file yet, and another library may have written it.
    with suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(_LONGEST_HISTORY)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(lambda text, number: _completed(text, words, number))
    for setting in ("tab: complete", "set enable-bracketed-paste on"):
        readline.parse_and_bind(setting)
    try:
        yield
    finally:
        readline.set_completer(None)
        if kept:
            _write_history(path)


def _write_history(path: Path) -> None:
    before = os.umask(0o077)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        readline.write_history_file(path)
    except OSError as error:
        print_stderr(f"the history of what was typed is not saved: {error}")
    finally:
        os.umask(before)


def _completed(text: str, words: Sequence[str], number: int) -> str | None:
    found = [f"{word} " for word in words if text.startswith("/") and word.startswith(text)]
    return found[number] if number < len(found) else None


def _read_quoted(first: str) -> str:
    text = first if first.endswith(_QUOTES) else "\n".join([first, *_read_to(_QUOTES)]).rstrip()
    return (text[: -len(_QUOTES)] if text.endswith(_QUOTES) else text).strip()


def _read_to(mark: str) -> list[str]:
    """Return the lines up to the one that ends with the mark, or to the end of all."""
    lines: list[str] = []
    while not (lines and lines[-1].rstrip().endswith(mark)):
        line = _read_line(_MORE)
        if line is None:
            break
        lines.append(line)
    return lines


def _read_line(prompt: str) -> str | None:
    if is_interactive():
        try:
            return input(prompt)
        except EOFError:
            return None
    line = sys.stdin.readline() if sys.stdin is not None else ""
    return line.rstrip("\n") if line else None


def _is_pasted() -> bool:
    """Tell whether a further line is there already; nobody types that fast."""
    if not is_interactive() or sys.platform == "win32":
        return False
    return bool(select.select([sys.stdin], [], [], 0.02)[0])
