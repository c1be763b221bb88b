"""Fakes and recordings for testing code that calls chat services."""

from __future__ import annotations

from aichatkit.testing.fakes import Asked, Fake
from aichatkit.testing.replays import Replay
from aichatkit.testing.steps import (
    BadRequest,
    Blocked,
    Cut,
    Empty,
    Failure,
    Fault,
    Filtered,
    NoModel,
    Overloaded,
    Quota,
    RateLimit,
    Raw,
    Says,
    Silence,
    Stall,
    TooLong,
    Unreachable,
    UseTool,
    WebPage,
    WrongKey,
)

__all__ = [
    "Asked",
    "BadRequest",
    "Blocked",
    "Cut",
    "Empty",
    "Failure",
    "Fake",
    "Fault",
    "Filtered",
    "NoModel",
    "Overloaded",
    "Quota",
    "RateLimit",
    "Raw",
    "Replay",
    "Says",
    "Silence",
    "Stall",
    "TooLong",
    "Unreachable",
    "UseTool",
    "WebPage",
    "WrongKey",
]
