"""Headers and messages -> API keys: find them in headers, hide them in messages."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["hide", "is_secret", "keys_in"]

#: Shorter keys are placeholders for local servers, such as "ollama" or "x", and may be common words in messages.
_MIN_LENGTH = 7
#: Headers in which a user may pass a key.
_KEY_HEADERS = frozenset({"api-key", "authorization", "x-api-key", "x-goog-api-key"})
# These two are compiled on first use: at import they would take longer than the rest of the module.
_SECRET_NAME = r"(?i)auth|key|token|secret|cookie|passw|pwd|credential|session|signature|jwt|assertion"
_SECRET_VALUE = r"(?i)\s*(?:(?:bearer|basic|digest|token|negotiate|aws4-\S+)\s|(?:sk|gsk|xai|hf|AIza)[-_A-Za-z])"
#: Minimum length of a truncated key to hide: all keys of a service share a prefix of up to eight characters.
_PREFIX_LENGTH = 12


def keys_in(headers: Mapping[str, str]) -> list[str]:
    """Return the keys the user passed as headers, without a scheme such as Bearer."""
    return [value.split()[-1] for name, value in headers.items() if name.lower() in _KEY_HEADERS and value.split()]


def is_secret(name: str, value: str) -> bool:
    """Return whether a header is likely to contain a secret, judging by its name and the start of its value.

    >>> is_secret("X-Api-Key", "1"), is_secret("X-Mine", "Bearer 1"), is_secret("X-Mine", "yes")
    (True, True, False)
    """
    return re.search(_SECRET_NAME, name) is not None or re.match(_SECRET_VALUE, value) is not None


def hide(secret: str, text: str) -> str:
    """Replace a secret in a text, and also the start of one, as messages may be truncated anywhere.

    A short secret is a placeholder and is kept.
    """
    if len(secret) < _MIN_LENGTH:
        return text
    minimum = max(_MIN_LENGTH, min(_PREFIX_LENGTH, len(secret) // 2))
    if secret[:minimum] not in text:
        return text
    for end in range(len(secret), minimum - 1, -1):
        text = text.replace(secret[:end], "[key]")
    return text
