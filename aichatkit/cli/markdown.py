"""Chunks -> Markdown in a terminal, while it comes (extra `rich`).

Finished blocks are printed for good and scroll away as any output does; only the last one is drawn anew, and of it no
more than fits the screen, since a terminal cannot draw again what has left it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from aichatkit.cli.writers import Writer, shown_safely

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Markdown", "finished_length"]

_PER_SECOND = 8


class Markdown:
    """A writer that renders; made where `rich` is installed only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(
            get_renderable=self._tail, console=self._console, refresh_per_second=_PER_SECOND, transient=True
        )
        self._clock = clock
        self._looked = clock()
        self._text = ""
        self._first = True

    def __enter__(self) -> Writer:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()
        self._print(self._text)

    def add(self, chunk: str) -> None:
        """Take a piece of text; the screen shows it with its next picture."""
        self._text += shown_safely(chunk)
        now = self._clock()
        if "\n" in self._text and now - self._looked >= 1 / _PER_SECOND:
            self._looked = now
            length = finished_length(self._text)
            done, self._text = self._text[:length], self._text[length:]
            self._print(done)

    def _print(self, text: str) -> None:
        if text.strip():
            if not self._first:
                self._console.print()
            self._first = False
            self._console.print(_rendered(text))

    def _tail(self) -> Any:
        return _Tail(self._text, apart=not self._first)


def finished_length(text: str) -> int:
    """Return how much of a text holds Markdown blocks that nothing which comes later can change.

    >>> finished_length("One.\\n\\nTwo")
    0
    >>> finished_length("One.\\n\\nTwo.\\n\\n")
    6
    """
    from markdown_it import MarkdownIt

    lines = text.splitlines(keepends=True)
    if not text.endswith("\n"):
        # The start of a line does not tell yet what it will be.
        del lines[-1]
    tokens = MarkdownIt().enable("table").parse("".join(lines))
    starts = [token.map[0] for token in tokens if token.level == 0 and token.map is not None]
    return sum(map(len, lines[: starts[-1]])) if starts else 0


class _Tail:
    """The last block, as far down as it has come."""

    def __init__(self, text: str, *, apart: bool) -> None:
        self._text = text
        self._apart = apart

    def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
        from rich.segment import Segment

        most = max(console.size.height - 2, 1)
        drawn = console.render_lines(_rendered(_shortened(self._text, most)), options, pad=False)
        if self._apart and self._text.strip():
            drawn.insert(0, [])
        for line in drawn[-most:]:
            yield from line
            yield Segment.line()


def _shortened(text: str, most: int) -> str:
    """Return the end of a long block: a program of a thousand lines must not be coloured eight times a second."""
    lines = text.splitlines()
    if len(lines) <= most:
        return text
    fence = [lines[0]] if lines[0].lstrip().startswith(("```", "~~~")) else []
    return "\n".join([*fence, *lines[-most:]])


def _rendered(text: str) -> Any:
    from rich.markdown import ImageItem
    from rich.markdown import Markdown as Rendered
    from rich.text import Text

    class Picture(ImageItem):
        """A picture with its address, which is all that a terminal can show of it."""

        def __rich_console__(self, console: Any, options: Any) -> Iterable[Any]:
            yield Text(f"{self.text} ({self.destination})", end="")

    class Shown(Rendered):
        elements: ClassVar[Any] = {**Rendered.elements, "image": Picture}

    # Addresses are written out: a link that hides where it leads is no help.
    return Shown(text, code_theme="ansi_dark", hyperlinks=False)
