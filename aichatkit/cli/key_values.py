"""`name=value` options -> values: typed sampling parameters for -o, template fields for -p."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aichatkit.call import other_words
from aichatkit.errors import ConfigurationError
from aichatkit.params import INTEGERS, NUMBERS, PARAMS, parse_value, suggestion

__all__ = ["parse_key_values", "parse_param_options"]

_BOOLEANS = ("logprobs", "parallel_tool_calls")
_STRINGS = ("reasoning_effort", "user", "verbosity")


def parse_key_values(texts: Sequence[str], *, option: str) -> dict[str, str]:
    """Return names and values as a dict; the last value of a name wins.

    >>> parse_key_values(["tone=dry", "formula=a=b"], option="-p")
    {'tone': 'dry', 'formula': 'a=b'}
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"{option}: must be name=value, not {text!r}")
        pairs[name.strip()] = value
    return pairs


def parse_param_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return sampling parameters converted to their types; reject unknown names and values of the wrong type.

    >>> parse_param_options(["temperature=0.2", "stop=END"])
    {'temperature': 0.2, 'stop': 'END'}
    """
    pairs = parse_key_values(texts, option="-o")
    for name in pairs:
        if name not in PARAMS:
            other = other_words.option_for(name)
            hint = f"; did you mean {other!r}?" if other in PARAMS else "" if other else suggestion(name, PARAMS)
            hint = hint or f"; it must be one of {', '.join(sorted(PARAMS))}"
            raise ConfigurationError(f"-o: unknown parameter {name!r}{hint}")
    return {name: _parse_value(name, text) for name, text in pairs.items()}


def _parse_value(name: str, text: str) -> Any:
    if name in _STRINGS:
        return parse_value(name, text)
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    for names, is_valid, expected in (
        (NUMBERS, is_number, "a number"),
        (INTEGERS, is_number and isinstance(value, int), "a whole number"),
        (_BOOLEANS, isinstance(value, bool), "true or false"),
    ):
        if name in names and not is_valid:
            raise ConfigurationError(f"-o {name}: must be {expected}, not {text!r}")
    return parse_value(name, text if name == "stop" and not isinstance(value, list) else value)
