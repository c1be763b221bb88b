"""Context windows in tokens, as published by the services; without an entry, a model's window is unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["may_fit_more", "window_of"]

CONTEXT_WINDOWS: Mapping[str, int] = {
    "anthropic/claude-haiku-4-5": 200_000,
    "anthropic/claude-opus-4-1": 200_000,
    "anthropic/claude-sonnet-4-5": 200_000,
    "gemini/gemini-2.0-flash": 1_048_576,
    "gemini/gemini-2.5-flash": 1_048_576,
    "gemini/gemini-2.5-flash-lite": 1_048_576,
    "gemini/gemini-2.5-pro": 1_048_576,
    "openai/gpt-3.5-turbo": 16_385,
    "openai/gpt-4": 8_192,
    "openai/gpt-4-turbo": 128_000,
    "openai/gpt-4.1": 1_047_576,
    "openai/gpt-4.1-mini": 1_047_576,
    "openai/gpt-4.1-nano": 1_047_576,
    "openai/gpt-4o": 128_000,
    "openai/gpt-4o-mini": 128_000,
    "openai/gpt-5": 400_000,
    "openai/gpt-5-mini": 400_000,
    "openai/gpt-5-nano": 400_000,
    "openai/o1": 200_000,
    "openai/o3": 200_000,
    "openai/o3-mini": 200_000,
    "openai/o4-mini": 200_000,
}

#: The date at the end of a pinned model version.
_DATE_SUFFIX = r"-\d{4}-?\d{2}-?\d{2}$"


def window_of(name: str) -> int | None:
    """Return the context window of "provider/model" in tokens, None if unknown.

    >>> window_of("openai/gpt-4o-2024-08-06"), window_of("openai/new")
    (128000, None)
    """
    return CONTEXT_WINDOWS.get(name) or CONTEXT_WINDOWS.get(re.sub(_DATE_SUFFIX, "", name))


def may_fit_more(name: str, than: str) -> bool:
    """Return whether "provider/model" may accept a prompt that was too long for `than`; True if a window is unknown.

    >>> may_fit_more("openai/gpt-4", "openai/gpt-4o"), may_fit_more("openai/gpt-4.1", "openai/gpt-4o")
    (False, True)
    """
    if name == than:
        return False
    window, other = window_of(name), window_of(than)
    return window is None or other is None or window > other
