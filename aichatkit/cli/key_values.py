"""`name=value` -> values: sampling parameters of `-o`, each of its type, and template fields of `-p`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aichatkit.errors import ConfigurationError
from aichatkit.params import parse_params

__all__ = ["parse_key_values", "parse_param_options"]

_NUMBERS = ("frequency_penalty", "min_p", "presence_penalty", "repetition_penalty", "temperature", "top_p")
_WHOLE = ("max_tokens", "seed", "top_k", "top_logprobs")
_SWITCHES = ("logprobs", "parallel_tool_calls")
_WORDS = ("reasoning_effort", "user", "verbosity")


def parse_key_values(texts: Sequence[str], *, option: str) -> dict[str, str]:
    """Return names and values; the last of a name counts.

    >>> parse_key_values(["tone=dry", "formula=a=b"], option="-p")
    {'tone': 'dry', 'formula': 'a=b'}
    """
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise ConfigurationError(f"{option}: must be name=value, not {text!r}")
        pairs[name.strip()] = value
    return pairs


def parse_param_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return sampling parameters with values of their types; refuse unknown names and values of another type.

    >>> parse_param_options(["temperature=0.2", "stop=END"])
    {'temperature': 0.2, 'stop': 'END'}
    """
    pairs = parse_key_values(texts, option="-o")
    parse_params(pairs, options=())
    return {name: _typed(name, text) for name, text in pairs.items()}


def _typed(name: str, text: str) -> Any:
    if name in _WORDS:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    for names, fits, wanted in (
        (_NUMBERS, number, "a number"),
        (_WHOLE, number and isinstance(value, int), "a whole number"),
        (_SWITCHES, isinstance(value, bool), "true or false"),
    ):
        if name in names and not fits:
            raise ConfigurationError(f"-o {name}: must be {wanted}, not {text!r}")
    return value
