"""Chunks -> Markdown rendered in a terminal while the answer streams (extra `rich`).

Finished blocks are printed once and scroll away like any other output. Only the last block is redrawn, and never more
of it than fits the screen: a terminal cannot redraw what has scrolled off.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable

from aichatkit.cli.writers import Writer
from aichatkit.display.plain import strip_control_characters

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MarkdownWriter", "split_blocks"]

# Windows has no termios, and does not echo keys typed during output.
termios: Any = import_module("termios") if find_spec("termios") else None

_REFRESHES_PER_SECOND = 8


class MarkdownWriter:
    """A writer that renders Markdown; needs `rich`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._text = ""
        self._is_first_block = True
        self._console = Console()
        self._live = Live(
            get_renderable=self._render_tail,
            console=self._console,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )
        self._clock = clock
        self._last_split = clock()

    def __enter__(self) -> Writer:
        self._terminal_settings = _disable_echo()
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()
        finished, rest = split_blocks(f"{self._text}\n")
        self._print(*finished, rest)
        if self._terminal_settings is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._terminal_settings)

    def add(self, chunk: str) -> None:
        """Add a chunk; it appears with the next refresh."""
        self._text += strip_control_characters(chunk)
        now = self._clock()
        if "\n" in self._text and now - self._last_split >= 1 / _REFRESHES_PER_SECOND:
            self._last_split = now
            finished, self._text = split_blocks(self._text)
            self._print(*finished)

    def _print(self, *texts: str) -> None:
        for text in texts:
            rendered = self._render(text)
            if rendered is not None:
                self._is_first_block = False
                self._console.print(rendered)

    def _render_tail(self) -> Any:
        """Return the end of the unfinished block, as much as fits the screen."""
        max_lines = max(self._console.size.height - 2, 1)
        return self._render(_shorten(self._text, max_lines), max_lines=max_lines) or ""

    def _render(self, text: str, *, max_lines: int | None = None) -> Any:
        """Return the last `max_lines` rendered lines of a block, after an empty line unless it is the first block."""
        from rich.segment import Segment, Segments

        lines = self._console.render_lines(_parse_markdown(text), pad=False)
        while lines and _is_blank(lines[0]):
            del lines[0]
        while lines and _is_blank(lines[-1]):
            del lines[-1]
        if not lines:
            return None
        if not self._is_first_block:
            lines.insert(0, [])
        end = Segment.line()
        return Segments([segment for line in lines[-max_lines if max_lines else 0 :] for segment in (*line, end)])


def _disable_echo() -> Any:
    """Turn off echo, so that keys typed meanwhile do not garble the output; return the previous terminal settings."""
    if termios is None or sys.stdin is None or not sys.stdin.isatty():
        return None
    previous = termios.tcgetattr(sys.stdin)
    settings = termios.tcgetattr(sys.stdin)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
    return previous


def split_blocks(text: str) -> tuple[list[str], str]:
    r"""Return the Markdown blocks that later text can no longer change, and the rest.

    >>> split_blocks("One.\n\nTwo.\n\nThr")
    (['One.\n\n'], 'Two.\n\nThr')
    """
    from markdown_it import MarkdownIt

    # An unfinished line may still turn into any type of block.
    complete_lines = text[: text.rfind("\n") + 1]
    lines = complete_lines.split("\n")
    tokens = MarkdownIt().enable("table").parse(complete_lines)
    starts = [0, *(token.map[0] for token in tokens if token.level == 0 and token.map is not None)]
    offsets = [sum(len(line) + 1 for line in lines[:start]) for start in dict.fromkeys(starts)]
    return [text[start:end] for start, end in zip(offsets, offsets[1:])], text[offsets[-1] :]


def _shorten(text: str, max_lines: int) -> str:
    """Return the last lines of a long block, after its code fence: rendering all of it at each refresh is too slow."""
    lines = text.splitlines()
    if len(lines) <= max_lines:
        return text
    fence = [lines[0]] if lines[0].lstrip().startswith(("```", "~~~")) else []
    return "\n".join([*fence, *lines[-max_lines:]])


def _is_blank(line: Iterable[Any]) -> bool:
    return not "".join(segment.text for segment in line).strip()


def _parse_markdown(text: str) -> Any:
    from rich.markdown import Markdown

    # URLs are written out: a link must not hide its target, and an image can only be shown as its URL.
    document = Markdown(text, code_theme="ansi_dark", hyperlinks=False)
    for token in document.parsed:
        for child in token.children or ():
            if child.type == "image":
                child.type, child.children = "text", None
                child.content = f"{child.content} ({child.attrs['src']})"
    return document
