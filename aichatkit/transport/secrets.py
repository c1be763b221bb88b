"""Headers and messages -> API keys in them, found and hidden."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["hide", "keys_in"]

#: A shorter key is a placeholder for a local server, such as "ollama" or "x", and a word of many a message.
_SHORTEST_SECRET = 7
#: Where a user may put a key by hand.
_KEY_HEADERS = frozenset({"api-key", "authorization", "x-api-key", "x-goog-api-key"})
#: The start of a key that is hidden as well; services have prefixes of up to eight characters for all of theirs.
_LONGEST_START = 12


def keys_in(headers: Mapping[str, str]) -> list[str]:
    """Return the keys that the user gave as headers, without the word before them."""
    return [value.split()[-1] for name, value in headers.items() if name.lower() in _KEY_HEADERS and value.split()]


def hide(secret: str, text: str) -> str:
    """Put something else for a secret, also for the start of one, as messages are cut off anywhere.

    A shorter one is a placeholder and stays.
    """
    if len(secret) < _SHORTEST_SECRET:
        return text
    least = max(_SHORTEST_SECRET, min(_LONGEST_START, len(secret) // 2))
    if secret[:least] not in text:
        return text
    for end in range(len(secret), least - 1, -1):
        text = text.replace(secret[:end], "[key]")
    return text
