"""Chunks -> terminal or pipe: plain text immediately, or Markdown rendered for a terminal."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from aichatkit._lazy import lazy_module
from aichatkit.cli.output import write_stdout
from aichatkit.display.plain import strip_control_characters

if TYPE_CHECKING:
    from aichatkit.cli import markdown
else:
    markdown = lazy_module("aichatkit.cli.markdown")

__all__ = ["Writer", "add_writer_options", "open_writer"]


class Writer(Protocol):
    """Shows one answer chunk by chunk; on exit it completes the output, even if the answer broke off."""

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def add(self, chunk: str) -> None:
        """Show a chunk."""


def add_writer_options(parser: ArgumentParser) -> None:
    """Add the option that `open_writer` reads."""
    parser.add_argument("--plain", action="store_true", help="print plain text, even on a terminal")


def open_writer(args: Namespace) -> Writer:
    """Return a Markdown writer for a terminal if the extra `rich` is installed, else a plain text writer."""
    environment = os.environ
    plain = args.plain or environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    if plain or not stdout_is_terminal() or find_spec("rich") is None:
        return PlainWriter(sanitize=stdout_is_terminal())
    writer: Writer = markdown.MarkdownWriter()
    return writer


def stdout_is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


class PlainWriter:
    """Plain text; `sanitize` removes control characters, for a terminal."""

    def __init__(self, *, sanitize: bool) -> None:
        self._sanitize = sanitize
        self._end = "\n"

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._end != "\n":
            write_stdout("\n")

    def add(self, chunk: str) -> None:
        """Write a chunk immediately."""
        text = strip_control_characters(chunk) if self._sanitize else str(chunk)
        if text:
            # Set before the write, which Ctrl-C may interrupt.
            self._end = text[-1]
            write_stdout(text)
