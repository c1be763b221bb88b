"""Stream -> screen: live Markdown in a notebook, plain text on standard output elsewhere; partial text stays."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable, Protocol

from aichatkit.display import markup
from aichatkit.display.plain import strip_control_characters, write_encodable
from aichatkit.display.reprs import running_shell
from aichatkit.errors import ChatError
from aichatkit.images import ImageResponse

if TYPE_CHECKING:
    from aichatkit.reply import Reply

__all__ = ["NotebookScreen", "Screen", "TextScreen", "in_notebook", "just_shown", "mark_shown", "open_screen", "show"]

#: Minimum seconds between two updates, plus seconds per character: every update sends the complete text.
_INTERVAL = 0.1
_INTERVAL_PER_CHARACTER = 1e-5

_last_shown: list[tuple[weakref.ref[Any], int]] = []


def show(stream: Any, *, plain: bool = False, screen: Screen | None = None) -> Reply:
    """Read a stream to its end, showing it as it arrives, and return the reply."""
    screen = open_screen(plain=plain) if screen is None else screen
    note = ""
    try:
        with stream:
            screen.show_reasoning(stream.reasoning)
            screen.add(stream.text)
            for chunk in stream:
                screen.add(chunk)
            # With tools, more reasoning may have arrived between rounds.
            screen.show_reasoning(stream.reasoning)
        reply: Reply = stream.read()
    except ChatError:
        note = "broken off"
        raise
    except KeyboardInterrupt as interrupt:
        note = "stopped"
        _attach_partial(interrupt, stream.text)
        raise
    finally:
        screen.close(note)
    if reply.sources:
        screen.show_sources(reply.sources)
    mark_shown(reply)
    return reply


class Screen(Protocol):
    """A display that shows an answer while it streams."""

    def show_reasoning(self, reasoning: str) -> None:
        """Show the model's reasoning received up to now."""

    def add(self, chunk: str) -> None:
        """Show a chunk."""

    def close(self, note: str = "") -> None:
        """Show the remaining text, and a note below it."""

    def show_sources(self, sources: Sequence[tuple[str, str]]) -> None:
        """Show the pages that the answer cites, below the text."""


def in_notebook() -> bool:
    """Return whether this code runs in a notebook kernel."""
    return getattr(running_shell(), "kernel", None) is not None


def open_screen(*, plain: bool = False, live: bool = True) -> Screen:
    """Return a screen for the current environment; without `live` it shows everything at the end."""
    return NotebookScreen(live=live) if in_notebook() and not plain else TextScreen(live=live)


class TextScreen:
    """Plain text on standard output."""

    def __init__(self, *, live: bool = True) -> None:
        self._live = live
        self._buffer: list[str] = []
        self._end = "\n"

    def show_reasoning(self, reasoning: str) -> None:
        """Show nothing: the reasoning is in the reply."""

    def add(self, chunk: str) -> None:
        """Write a chunk immediately, or buffer it if the screen is not live."""
        if self._live:
            self._write(chunk)
        else:
            self._buffer.append(chunk)

    def close(self, note: str = "") -> None:
        """Write the buffered text, end the line, and write the note on a separate line."""
        self._write("".join(self._buffer))
        self._write("" if self._end == "\n" else "\n")
        self._write(f"({note})\n" if note else "")

    def show_sources(self, sources: Sequence[tuple[str, str]]) -> None:
        """Show nothing: the sources are in the reply."""

    def _write(self, text: str) -> None:
        text = strip_control_characters(text)
        if text and sys.stdout is not None:
            write_encodable(sys.stdout, text)
            sys.stdout.flush()
            self._end = text[-1]


class NotebookScreen:
    """Markdown in a notebook, updated at most every tenth of a second, less often as it gets longer."""

    def __init__(self, *, live: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._clock = clock
        self._reasoning = ""
        self._reasoning_area = _Area()
        self._start_text()

    def show_reasoning(self, reasoning: str) -> None:
        """Show the reasoning in a collapsed section; if the user opens it, it stays open while the answer grows."""
        if reasoning != self._reasoning:
            self._reasoning = reasoning
            title = "Reasoning"
            self._reasoning_area.put(
                {
                    "text/html": markup.collapsible_html(reasoning, title),
                    "text/markdown": markup.collapsible(reasoning, title),
                    "text/plain": f"({title}: {strip_control_characters(reasoning)})",
                }
            )

    def add(self, chunk: str) -> None:
        """Add a chunk, shown with the next update; an image is shown immediately, after the text before it."""
        if isinstance(chunk, ImageResponse):
            self._update()
            _Area().put({"text/plain": str(chunk), **chunk._repr_mimebundle_()})
            self._start_text()
            return
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._live and self._clock() >= self._next_update:
            self._update()

    def close(self, note: str = "") -> None:
        """Show the text not shown yet, and the note below it."""
        self._update(f"*({note})*" if note else "")

    def show_sources(self, sources: Sequence[tuple[str, str]]) -> None:
        """Show the pages as a list of links."""
        plain = "\n".join(f"{number}. {title} {url}" for number, (url, title) in enumerate(sources, 1))
        shown = {
            "text/markdown": f"**Sources**\n\n{markup.source_list(sources)}",
            "text/plain": f"Sources\n{strip_control_characters(plain)}",
        }
        _Area().put(shown)

    def _start_text(self) -> None:
        self._area = _Area()
        self._parts: list[str] = []
        self._size = 0
        self._next_update = float("-inf")

    def _update(self, note: str = "") -> None:
        text = "".join(self._parts)
        if text or note:
            rendered, plain = (
                "\n\n".join(filter(None, [part, note]))
                for part in (markup.sanitize(text), strip_control_characters(text))
            )
            self._area.put({"text/markdown": rendered, "text/plain": plain})
        self._parts = [text]
        self._next_update = self._clock() + max(_INTERVAL, self._size * _INTERVAL_PER_CHARACTER)


def mark_shown(reply: Any) -> None:
    """Remember that this cell has shown a reply, so that IPython does not show it again as the cell's last value."""
    shell = running_shell()
    if shell is not None:
        _last_shown[:] = [(weakref.ref(reply), shell.execution_count)]


def just_shown(reply: Any) -> bool:
    """Return whether the current cell has already shown this reply."""
    shell = running_shell()
    if shell is None or not _last_shown:
        return False
    reply_ref, execution_count = _last_shown[0]
    return reply_ref() is reply and execution_count == shell.execution_count


class _Area:
    """An output area of a cell, created when it is first filled."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._bundle: dict[str, Any] = {}

    def put(self, bundle: dict[str, Any]) -> None:
        """Show a MIME bundle, replacing the previous one."""
        from IPython import display

        show: Any = display.display
        if self._handle is None:
            self._handle = show(bundle, raw=True, display_id=True)
        elif bundle != self._bundle:
            self._handle.update(bundle, raw=True)
        self._bundle = bundle


def _attach_partial(interrupt: Any, partial: str) -> None:
    """Keep the text received as `interrupt.partial`, as errors do, and hide the traceback in a notebook."""
    interrupt.partial = partial
    message = f"KeyboardInterrupt: the answer was stopped after {len(partial):,} characters; its connection is closed"
    interrupt._render_traceback_ = lambda: [message]
