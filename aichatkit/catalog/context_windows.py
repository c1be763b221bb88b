"""Context windows: the input tokens that a model accepts, by the catalog; None for a model it does not know."""

from __future__ import annotations

from aichatkit.catalog.layers import Record

__all__ = ["may_fit_more", "window_of"]


def window_of(record: Record | None) -> int | None:
    """Return the input tokens that a model accepts, None if that is not known.

    >>> window_of({"id": "openai/gpt-6-luna", "window": 922000}), window_of(None)
    (922000, None)
    """
    return (record or {}).get("window")


def may_fit_more(record: Record | None, than: Record | None) -> bool:
    """Return whether a model may accept a prompt that was too long for another one; True if a window is not known.

    >>> may_fit_more({"window": 8_192}, {"window": 128_000}), may_fit_more({}, {"window": 128_000})
    (False, True)
    """
    window, other = window_of(record), window_of(than)
    return window is None or other is None or window > other
