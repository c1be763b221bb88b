"""Stream -> screen: an answer is shown while it comes, and what came of it stays when it breaks off."""

from __future__ import annotations

from typing import Any

from aichatkit.display.screen import Screen, note_shown, open_screen
from aichatkit.errors import ChatError
from aichatkit.reply import Reply

__all__ = ["show"]


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


def _explain(stop: Any, partial: str) -> None:
    """Keep the text on an interrupt, as errors do, and spare a notebook the way through our code."""
    stop.partial = partial
    told = f"KeyboardInterrupt: the answer was stopped after {len(partial):,} characters; its connection is closed"
    stop._render_traceback_ = lambda: [told]
