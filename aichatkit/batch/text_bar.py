"""A progress line for terminals without tqdm, with the part of its interface that `Progress` uses."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any, Callable

__all__ = ["TextBar"]

#: Seconds between two updates of the line.
_INTERVAL = 0.1


class TextBar:
    """One line on standard error that is rewritten in place: rows done, the time left if the total is known."""

    def __init__(self, total: int | None, unit: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._unit = unit
        self._clock = clock
        self._start = clock()
        self._drawn_at = self._start - _INTERVAL
        self._width = 0
        self._done = 0
        self._postfix: Mapping[str, Any] = {}

    def update(self, count: int) -> None:
        """Count finished rows."""
        self._done += count

    def set_postfix(self, postfix: Mapping[str, Any], *, refresh: bool) -> None:
        """Set the values shown at the end of the line, and redraw it if it is due or with `refresh`."""
        self._postfix = postfix
        if refresh or self._clock() - self._drawn_at >= _INTERVAL:
            self.refresh()

    def refresh(self) -> None:
        """Redraw the line."""
        self._drawn_at = self._clock()
        # A line as wide as the terminal would wrap.
        line = self._line()[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r{line.ljust(self._width)}")
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        """Draw the line a last time and end it."""
        self.refresh()
        sys.stderr.write("\n")

    def _line(self) -> str:
        elapsed = self._drawn_at - self._start
        parts = [f"{self._done}{'' if self._total is None else f'/{self._total}'} {self._unit}s"]
        if self._total is not None and self._done and elapsed:
            parts.append(f"{_duration(elapsed / self._done * (self._total - self._done))} left")
        parts += [f"{name}={value}" for name, value in self._postfix.items()]
        return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
