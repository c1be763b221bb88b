"""Chunks -> Markdown in a terminal, while it comes (extra `rich`).

Finished blocks are printed for good and scroll away as any output does; only the last one is drawn anew, and of it no
more than fits the screen, since a terminal cannot draw again what has left it.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Callable

from aichatkit.cli.output import strip_control_characters
from aichatkit.cli.writers import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MarkdownWriter", "split_blocks"]

# Windows has none, and echoes nothing there.
termios: Any = import_module("termios") if find_spec("termios") else None

_PER_SECOND = 8


class MarkdownWriter:
    """A writer that renders; made where `rich` is installed only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._text = ""
        self._first = True
        self._console = Console()
        self._live = Live(
            get_renderable=self._tail, console=self._console, refresh_per_second=_PER_SECOND, transient=True
        )
        self._clock = clock
        self._looked = clock()

    def __enter__(self) -> Writer:
        self._echo = _hush()
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()
        finished, rest = split_blocks(f"{self._text}\n")
        self._print(*finished, rest)
        if self._echo is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._echo)

    def add(self, chunk: str) -> None:
        """Take a piece of text; the screen shows it with its next picture."""
        self._text += strip_control_characters(chunk)
        now = self._clock()
        if "\n" in self._text and now - self._looked >= 1 / _PER_SECOND:
            self._looked = now
            finished, self._text = split_blocks(self._text)
            self._print(*finished)

    def _print(self, *texts: str) -> None:
        for text in texts:
            drawn = self._drawn(text)
            if drawn is not None:
                self._first = False
                self._console.print(drawn)

    def _tail(self) -> Any:
        """Return the picture of the last block, as far down as it has come."""
        most = max(self._console.size.height - 2, 1)
        return self._drawn(_shortened(self._text, most), most=most) or ""

    def _drawn(self, text: str, *, most: int | None = None) -> Any:
        """Return the lines of a text, at most the last so many, with one empty line before each but the first block."""
        from rich.segment import Segment, Segments

        lines = self._console.render_lines(_rendered(text), pad=False)
        while lines and _is_blank(lines[0]):
            del lines[0]
        while lines and _is_blank(lines[-1]):
            del lines[-1]
        if not lines:
            return None
        if not self._first:
            lines.insert(0, [])
        end = Segment.line()
        return Segments([segment for line in lines[-most if most else 0 :] for segment in (*line, end)])


def _hush() -> Any:
    """Keep what is typed meanwhile out of the picture, and return the settings of the terminal before."""
    if termios is None or sys.stdin is None or not sys.stdin.isatty():
        return None
    before = termios.tcgetattr(sys.stdin)
    quiet = termios.tcgetattr(sys.stdin)
    quiet[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    return before


def split_blocks(text: str) -> tuple[list[str], str]:
    r"""Return the Markdown blocks that nothing which comes later can change, and the rest.

    >>> split_blocks("One.\n\nTwo.\n\nThr")
    (['One.\n\n'], 'Two.\n\nThr')
    """
    from markdown_it import MarkdownIt

    # The start of a line does not tell yet what it will be.
    whole = text[: text.rfind("\n") + 1]
    lines = whole.split("\n")
    tokens = MarkdownIt().enable("table").parse(whole)
    starts = [0, *(token.map[0] for token in tokens if token.level == 0 and token.map is not None)]
    offsets = [sum(len(line) + 1 for line in lines[:start]) for start in dict.fromkeys(starts)]
    return [text[start:end] for start, end in zip(offsets, offsets[1:])], text[offsets[-1] :]


def _shortened(text: str, most: int) -> str:
    """Return the end of a long block: a program of a thousand lines must not be coloured eight times a second."""
    lines = text.splitlines()
    if len(lines) <= most:
        return text
    fence = [lines[0]] if lines[0].lstrip().startswith(("```", "~~~")) else []
    return "\n".join([*fence, *lines[-most:]])


def _is_blank(line: Iterable[Any]) -> bool:
    return not "".join(segment.text for segment in line).strip()


def _rendered(text: str) -> Any:
    from rich.markdown import Markdown

    # Addresses are written out: a link that hides where it leads is no help, and a picture is its address here.
    rendered = Markdown(text, code_theme="ansi_dark", hyperlinks=False)
    for token in rendered.parsed:
        for inner in token.children or ():
            if inner.type == "image":
                inner.type, inner.children = "text", None
                inner.content = f"{inner.content} ({inner.attrs['src']})"
    return rendered
