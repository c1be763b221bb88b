"""Chunks -> the screen or a pipe: plain text at once, or Markdown as a terminal can show it."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from aichatkit._lazy import lazy_module
from aichatkit.cli.output import strip_control_characters, write_stdout

if TYPE_CHECKING:
    from aichatkit.cli import markdown
else:
    markdown = lazy_module("aichatkit.cli.markdown")

__all__ = ["Writer", "add_writer_options", "open_writer"]


class Writer(Protocol):
    """Where an answer goes: pieces in, and its end, also where it broke off."""

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, chunk: str) -> None:
        """Show a piece of text."""


def add_writer_options(parser: ArgumentParser) -> None:
    """Add the option that `open_writer` reads."""
    parser.add_argument("--plain", action="store_true", help="the text as it came, also on a terminal")


def open_writer(args: Namespace) -> Writer:
    """Return Markdown for a terminal where the extra `rich` is installed, else plain text."""
    environment = os.environ
    plain = args.plain or environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    if plain or not stdout_is_terminal() or find_spec("rich") is None:
        return PlainWriter(safely=stdout_is_terminal())
    rendered: Writer = markdown.MarkdownWriter()
    return rendered


def stdout_is_terminal() -> bool:
    """Tell whether a person looks at standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


class PlainWriter:
    """Text as it came; on a terminal without the orders it may hold."""

    def __init__(self, *, safely: bool) -> None:
        self._safely = safely
        self._end = "\n"

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._end != "\n":
            write_stdout("\n")

    def add(self, chunk: str) -> None:
        """Write a piece of text, at once."""
        text = strip_control_characters(chunk) if self._safely else str(chunk)
        if text:
            # Before it is written: a Ctrl-C may come in between.
            self._end = text[-1]
            write_stdout(text)
