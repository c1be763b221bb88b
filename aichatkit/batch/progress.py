"""How far a run is, as tqdm's bar shows it (extra `progress`); without tqdm nothing is shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Callable

from aichatkit.display.screen import in_notebook
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.reply import Reply

__all__ = ["Progress"]


class Progress:
    """A bar with rows done and failed, rate, tokens, cost and current waits.

    `asked` is True or False, or None for a bar where a terminal shows it; `waits` are functions that return the seconds
    of a wait, by what it is called in the bar.
    """

    def __init__(self, asked: Any, total: int | None, waits: Mapping[str, Callable[[], float]]) -> None:
        if asked not in (None, True, False):
            raise ConfigurationError(f"progress: must be True, False or None, not {asked!r}")
        shown = asked or (asked is None and _is_seen())
        self._make = _bar(needed=asked is True) if shown else None
        self._total = total
        self._bar: Any = None
        self._waits = waits
        self._failed = 0
        self._tokens = 0
        self._cost = 0.0

    def start(self) -> None:
        """Show the bar."""
        if self._make is not None:
            self._bar = self._make(total=self._total, unit="row")

    def add(self, outcome: Reply | ChatError) -> None:
        """Count one row."""
        if self._bar is None:
            return
        if isinstance(outcome, Reply):
            self._tokens += outcome.usage.total_tokens or 0
            self._cost += outcome.cost or 0.0
        else:
            self._failed += 1
        self._bar.update(1)
        self._tell(self._bar)

    def tick(self) -> None:
        """Show that the run is alive while no row ends."""
        if self._bar is not None:
            self._tell(self._bar)
            self._bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()

    def _tell(self, bar: Any) -> None:
        told: dict[str, Any] = {"failed": self._failed, "tokens": self._tokens, "cost": f"${self._cost:.4f}"}
        for name, left in self._waits.items():
            seconds = left()
            if seconds:
                told[name] = f"{seconds:.0f}s"
        bar.set_postfix(told, refresh=False)


def _bar(*, needed: bool) -> Any:
    try:
        import tqdm.auto
    except ImportError:
        if not needed:
            return None
    else:
        return tqdm.auto.tqdm
    raise ConfigurationError("progress: a bar needs the extra: pip install 'aichatkit[progress]'")


def _is_seen() -> bool:
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())
