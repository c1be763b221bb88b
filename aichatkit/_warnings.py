"""Warnings attributed to the user's line of code, however deep in the package they are issued."""

from __future__ import annotations

import sys
import warnings

__all__ = ["RetiredModelWarning", "SkippedServerWarning", "TrimmedWarning", "warn_user"]

_INTERNAL = frozenset({"aichatkit", "tenacity"})


class RetiredModelWarning(UserWarning):
    """A model is retired or will be within 60 days; the message names its successor."""


class SkippedServerWarning(UserWarning):
    """An MCP server with `optional=True` cannot be started or reached, so its tools are left out."""


class TrimmedWarning(UserWarning):
    """A conversation exceeds its limit, so its oldest turns are no longer sent."""


def warn_user(message: str, category: type[UserWarning] = UserWarning) -> None:
    """Issue a warning at the first caller outside the package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INTERNAL:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
