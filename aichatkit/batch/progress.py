"""Outcomes -> a tqdm progress bar (extra `progress`); without tqdm, a line in a terminal, and `progress=True` fails."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.display.screen import in_notebook
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.reply import Reply

if TYPE_CHECKING:
    from aichatkit.batch import text_bar
else:
    text_bar = lazy_module("aichatkit.batch.text_bar")

__all__ = ["Progress"]


class Progress:
    """A progress bar: rows done and failed, rows per second, tokens, cost and current waits.

    `total` may be a function, which is called only if the bar is shown. `enabled` is True or False, or None to show the
    bar only in a terminal or notebook. `waits` maps the labels of waits to functions that return the seconds remaining,
    `notes` maps labels to functions that return a text.
    """

    def __init__(
        self,
        enabled: Any,
        total: int | Callable[[], int | None] | None,
        waits: Mapping[str, Callable[[], float]],
        notes: Mapping[str, Callable[[], str]] | None = None,
    ) -> None:
        if enabled not in (None, True, False):
            raise ConfigurationError(f"progress: must be True, False or None, not {enabled!r}")
        is_shown = enabled or (enabled is None and _is_interactive())
        self._bar_cls = _import_tqdm(required=enabled is True) if is_shown else None
        if is_shown and self._bar_cls is None and not in_notebook():
            self._bar_cls = text_bar.TextBar
        self._total = total
        self._bar: Any = None
        self._waits = waits
        self._notes = notes or {}
        self._failed = 0
        self._tokens = 0
        self._cost = 0.0

    def start(self) -> None:
        """Show the bar."""
        if self._bar_cls is not None:
            total = self._total() if callable(self._total) else self._total
            self._bar = self._bar_cls(total=total, unit="row")

    def add(self, outcome: Reply | ChatError) -> None:
        """Count one finished row."""
        if self._bar is None:
            return
        if isinstance(outcome, Reply):
            self._tokens += outcome.usage.total_tokens or 0
            self._cost += outcome.cost or 0.0
        else:
            self._failed += 1
        self._bar.update(1)
        self._set_postfix(self._bar)

    def tick(self) -> None:
        """Refresh the bar while no row finishes."""
        if self._bar is not None:
            self._set_postfix(self._bar)
            self._bar.refresh()

    def close(self) -> None:
        """Close the bar; it stays visible."""
        if self._bar is not None:
            self._bar.close()

    def _set_postfix(self, bar: Any) -> None:
        postfix: dict[str, Any] = {"failed": self._failed, "tokens": self._tokens, "cost": f"${self._cost:.4f}"}
        for label, remaining in self._waits.items():
            seconds = remaining()
            if seconds:
                postfix[label] = f"{seconds:.0f}s"
        postfix.update({label: text for label, note in self._notes.items() if (text := note())})
        bar.set_postfix(postfix, refresh=False)


def _import_tqdm(*, required: bool) -> Any:
    try:
        import tqdm.auto
    except ImportError as error:
        if not required:
            return None
        reason = reason_of(error)
    else:
        return tqdm.auto.tqdm
    raise ConfigurationError("progress: a bar needs the extra: pip install 'aichatkit[progress]'", reason=reason)


def _is_interactive() -> bool:
    return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())
