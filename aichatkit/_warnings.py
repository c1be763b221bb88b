"""Warnings that name the user's own line, however deep in here they are given."""

from __future__ import annotations

import sys
import warnings

__all__ = ["TrimmedWarning", "warn_user"]

_OURS = frozenset({"aichatkit", "tenacity"})


class TrimmedWarning(UserWarning):
    """A conversation no longer fits, and its oldest turns are not sent any more."""


def warn_user(message: str, kind: type[UserWarning] = UserWarning) -> None:
    """Warn with the place of the first caller outside of the package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, kind, stacklevel=level)
