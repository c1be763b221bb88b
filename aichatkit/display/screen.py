"""Stream -> screen: Markdown that grows in a notebook, plain text on standard output elsewhere; partial text stays."""

from __future__ import annotations

import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, Callable, Protocol

from aichatkit.display import markup
from aichatkit.display.reprs import running_shell
from aichatkit.errors import ChatError
from aichatkit.images import ImageResponse

if TYPE_CHECKING:
    from aichatkit.reply import Reply

__all__ = ["NotebookScreen", "Screen", "TextScreen", "in_notebook", "just_shown", "note_shown", "open_screen", "show"]

#: Seconds between two updates at least, and what each character adds: an update carries the whole text.
_INTERVAL = 0.1
_INTERVAL_PER_CHARACTER = 1e-5

_last_shown: list[tuple[weakref.ref[Any], int]] = []


def show(stream: Any, *, plain: bool = False, screen: Screen | None = None) -> Reply:
    """Read a stream to its end, show it meanwhile, and return its reply."""
    screen = open_screen(plain=plain) if screen is None else screen
    note = ""
    try:
        with stream:
            screen.think(stream.reasoning)
            screen.add(stream.text)
            for chunk in stream:
                screen.add(chunk)
            # With tools, more may have been thought in between.
            screen.think(stream.reasoning)
        reply: Reply = stream.read()
    except ChatError:
        note = "broken off"
        raise
    except KeyboardInterrupt as stop:
        note = "stopped"
        _explain(stop, stream.text)
        raise
    finally:
        screen.close(note)
    note_shown(reply)
    return reply


class Screen(Protocol):
    """Where an answer is shown while it comes."""

    def think(self, reasoning: str) -> None:
        """Show the model's reasoning so far."""

    def add(self, chunk: str) -> None:
        """Show a piece of text."""

    def close(self, note: str = "") -> None:
        """Show all there is, and a note under it."""


def in_notebook() -> bool:
    """Tell whether this runs in the kernel of a notebook."""
    return getattr(running_shell(), "kernel", None) is not None


def open_screen(*, plain: bool = False, live: bool = True) -> Screen:
    """Return the screen there is; one that is not `live` shows all at the end."""
    return NotebookScreen(live=live) if in_notebook() and not plain else TextScreen(live=live)


class TextScreen:
    """Plain text on standard output."""

    def __init__(self, *, live: bool = True) -> None:
        self._live = live
        self._held: list[str] = []
        self._end = "\n"

    def think(self, reasoning: str) -> None:
        """Leave it out: it is kept in the reply."""

    def add(self, chunk: str) -> None:
        """Write a piece of text at once."""
        if self._live:
            self._write(chunk)
        else:
            self._held.append(chunk)

    def close(self, note: str = "") -> None:
        """End the line, and write the note on one of its own."""
        self._write("".join(self._held))
        self._write("" if self._end == "\n" else "\n")
        self._write(f"({note})\n" if note else "")

    def _write(self, text: str) -> None:
        if text and sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._end = text[-1]


class NotebookScreen:
    """Markdown in a notebook, replaced by a longer one at most every tenth of a second; a long one less often."""

    def __init__(self, *, live: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._live = live
        self._clock = clock
        self._thoughts = ""
        self._folded = _Area()
        self._begin()

    def think(self, reasoning: str) -> None:
        """Show the model's reasoning, folded; it stays as open as its reader made it while the answer grows."""
        if reasoning != self._thoughts:
            self._thoughts = reasoning
            title = "Reasoning"
            self._folded.put(
                {
                    "text/html": markup.folded_html(reasoning, title),
                    "text/markdown": markup.folded(reasoning, title),
                    "text/plain": f"({title}: {reasoning})",
                }
            )

    def add(self, chunk: str) -> None:
        """Take a piece of text and show it when it is time; a picture at once, between what came before and after."""
        if isinstance(chunk, ImageResponse):
            self._put()
            _Area().put({"text/plain": str(chunk), **chunk._repr_mimebundle_()})
            self._begin()
            return
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._live and self._clock() >= self._next:
            self._put()

    def close(self, note: str = "") -> None:
        """Show what was held back, and the note."""
        self._put(f"*({note})*" if note else "")

    def _begin(self) -> None:
        self._area = _Area()
        self._parts: list[str] = []
        self._size = 0
        self._next = float("-inf")

    def _put(self, note: str = "") -> None:
        text = "".join(self._parts)
        if text or note:
            shown, told = ("\n\n".join(filter(None, [part, note])) for part in (markup.safe(text), text))
            self._area.put({"text/markdown": shown, "text/plain": told})
        self._parts = [text]
        self._next = self._clock() + max(_INTERVAL, self._size * _INTERVAL_PER_CHARACTER)


def note_shown(reply: Any) -> None:
    """Remember that a reply was shown in this cell, which shows its last value by itself."""
    shell = running_shell()
    if shell is not None:
        _last_shown[:] = [(weakref.ref(reply), shell.execution_count)]


def just_shown(reply: Any) -> bool:
    """Tell whether this cell has shown a reply already."""
    shell = running_shell()
    if shell is None or not _last_shown:
        return False
    shown, count = _last_shown[0]
    return shown() is reply and count == shell.execution_count


class _Area:
    """A place on the page, made when something is first put there."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._held: dict[str, Any] = {}

    def put(self, bundle: dict[str, Any]) -> None:
        """Show this, in the place of what was shown before."""
        from IPython import display

        show: Any = display.display
        if self._handle is None:
            self._handle = show(bundle, raw=True, display_id=True)
        elif bundle != self._held:
            self._handle.update(bundle, raw=True)
        self._held = bundle


def _explain(stop: Any, partial: str) -> None:
    """Keep the text on an interrupt, as errors do, and spare a notebook the way through our code."""
    stop.partial = partial
    told = f"KeyboardInterrupt: the answer was stopped after {len(partial):,} characters; its connection is closed"
    stop._render_traceback_ = lambda: [told]
