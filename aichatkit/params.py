"""Sampling parameters: their names, checks for the values of any option, and suggestions for misspelled names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._lazy import lazy_module
from aichatkit.errors import ConfigurationError

if TYPE_CHECKING:
    import difflib
    import numbers

    from aichatkit.call import option_hints
else:
    # Needed only after a typo, or for number types of other packages.
    difflib = lazy_module("difflib")
    numbers = lazy_module("numbers")
    option_hints = lazy_module("aichatkit.call.option_hints")

__all__ = [
    "EFFORTS",
    "INTEGERS",
    "NUMBERS",
    "PARAMS",
    "check_names",
    "is_integer",
    "is_number",
    "parse_params",
    "parse_path",
    "parse_value",
    "reject_unsupported",
    "suggestion",
    "unknown_option",
]

#: Values of `reasoning_effort`, from no reasoning to the most.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Words that other libraries use for an effort.
_EFFORT_WORDS = {
    **dict.fromkeys(("disabled", "false", "no", "off"), "none"),
    **dict.fromkeys(("extra-high", "extra_high", "very-high", "very_high", "x-high"), "xhigh"),
    **dict.fromkeys(("highest", "maximum", "ultra"), "max"),
    **dict.fromkeys(("lowest", "minimum"), "minimal"),
    **dict.fromkeys(("default", "enabled", "normal", "on", "true"), "medium"),
}

#: The parameters whose values are numbers, and integers.
NUMBERS = ("frequency_penalty", "min_p", "presence_penalty", "repetition_penalty", "temperature", "top_p")
INTEGERS = ("max_tokens", "seed", "top_k", "top_logprobs")
#: What services store an integer in.
_MAX_INTEGER = 2**63 - 1


def parse_params(params: Mapping[str, Any], *, options: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that are not None; reject unknown names, suggesting a parameter or one of `options`."""
    check_names(params, options=options)
    return {name: parse_value(name, value) for name, value in params.items() if value is not None}


def check_names(names: Iterable[str], *, options: Iterable[str]) -> None:
    """Raise ConfigurationError for a name that is not a parameter.

    The error suggests a parameter or one of `options`, or says where an option belongs.
    """
    for name in names:
        if name not in PARAMS:
            raise unknown_option(name, [*options, *PARAMS])


def unknown_option(name: str, accepted: Collection[str], function: str = "") -> ConfigurationError:
    """Return the error for an option that a function does not take; `accepted` are those it does."""
    hint = option_hints.hint_for(name, accepted, function) or suggestion(name, accepted)
    return ConfigurationError(f"unknown option or parameter {name!r}{hint}")


def parse_value(name: str, value: Any) -> Any:
    """Return the value of a parameter, with NumPy numbers and the like converted; reject what no service accepts.

    >>> parse_value("temperature", 0.2)
    0.2
    >>> parse_value("temperature", "hot")
    Traceback (most recent call last):
    ...
    aichatkit.errors.ConfigurationError: temperature must be a number, got 'hot'
    """
    return _PARSERS[name](name, value)


def reject_unsupported(params: Mapping[str, Any], supported: Collection[str], *, provider: str) -> None:
    """Raise ConfigurationError for a parameter that the provider does not support."""
    for name in params:
        if name not in supported:
            names = sorted(supported)
            hint = f"it takes {', '.join(names)}" if names else "it takes no parameters"
            raise ConfigurationError(f"{provider} does not take {name!r}; {hint}", provider=provider, action="next")


def is_integer(value: Any, *, minimum: int) -> bool:
    """Return whether a value is an integer of at least `minimum`; a bool is not an integer here.

    >>> is_integer(1, minimum=1), is_integer(0, minimum=1), is_integer(1.0, minimum=1), is_integer(True, minimum=1)
    (True, False, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def is_number(value: Any, *, minimum: float = 0, above: float | None = None) -> bool:
    """Return whether a value is a number of at least `minimum`, or greater than `above` if that is given.

    A bool or NaN is not a number here; infinity is.

    >>> is_number(0.0), is_number(0.0, above=0), is_number(True), is_number(float("nan"))
    (True, False, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value >= minimum if above is None else value > above


def parse_path(path: Any, message: str) -> str:
    """Return a path as text; raise ConfigurationError with `message` for what cannot be the path of a file.

    >>> parse_path("run.sqlite", "resume: must be the path of a journal")
    'run.sqlite'
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if isinstance(text, str) and text and "\0" not in text:
        try:
            os.fsencode(text)
        except UnicodeEncodeError:
            # Not a name in any file system.
            pass
        else:
            return text
    raise ConfigurationError(f"{message}, not {repr(path)[:100]}")


def suggestion(name: Any, names: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the closest of `names`, ignoring case, or an empty string.

    >>> suggestion("temprature", ["temperature", "top_p"])
    "; did you mean 'temperature'?"
    """
    originals = {original.lower(): original for original in names}
    matches = difflib.get_close_matches(str(name).strip().lower(), originals, n=1)
    return f"; did you mean {originals[matches[0]]!r}?" if matches else ""


def _parse_effort(name: str, value: Any) -> str:
    if value in EFFORTS:
        return str(value)
    word = str(value).strip().lower()
    meant = f"; did you mean {_EFFORT_WORDS[word]!r}?" if word in _EFFORT_WORDS else suggestion(word, EFFORTS)
    raise _wrong(name, f"one of {', '.join(EFFORTS)}", value, meant)


def _parse_verbosity(name: str, value: Any) -> str:
    if value in ("low", "medium", "high"):
        return str(value)
    raise _wrong(name, "low, medium or high", value)


def _number(minimum: float, maximum: float | None = None) -> Callable[[str, Any], Any]:
    def parse(name: str, value: Any) -> Any:
        number = _plain(value)
        if isinstance(number, bool) or not isinstance(number, (int, float)) or number - number != 0:
            raise _wrong(name, "a number", value)
        return _in_range(name, number, minimum, maximum)

    return parse


def _integer(minimum: int | None = None) -> Callable[[str, Any], Any]:
    def parse(name: str, value: Any) -> Any:
        number = _plain(value)
        if isinstance(number, bool) or not isinstance(number, int) or abs(number) > _MAX_INTEGER:
            raise _wrong(name, "an integer", value)
        return _in_range(name, number, minimum, None)

    return parse


def _in_range(name: str, number: float, minimum: float | None, maximum: float | None) -> float:
    is_low = minimum is not None and number < minimum
    if is_low or (maximum is not None and number > maximum):
        raise _wrong(name, f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}", number)
    return number


def _parse_bool(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(name, "True or False", value)


def _parse_logprobs(name: str, value: Any) -> Any:
    # Some services take the number of alternatives here.
    if isinstance(value, bool) or is_integer(value, minimum=0):
        return value
    raise _wrong(name, "True or False", value)


def _parse_stop(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value):
        return list(value)
    raise _wrong(name, "a string or a list of strings", value)


def _parse_text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _wrong(name, "a string", value)


def _parse_mapping(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return value
    hint = "; for a class or a JSON schema, use schema=" if name == "response_format" else ""
    raise _wrong(name, "a dict", value, hint)


def _plain(value: Any) -> Any:
    """Return a number of another package, such as NumPy, as an int or a float."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def _wrong(name: str, expected: str, value: Any, hint: str = "") -> ConfigurationError:
    return ConfigurationError(f"{name} must be {expected}, got {repr(value)[:100]}{hint}")


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "frequency_penalty": _number(-2, 2),
    "logit_bias": _parse_mapping,
    "logprobs": _parse_logprobs,
    "max_tokens": _integer(1),
    "min_p": _number(0, 1),
    "parallel_tool_calls": _parse_bool,
    "presence_penalty": _number(-2, 2),
    "reasoning_effort": _parse_effort,
    "repetition_penalty": _number(0),
    "response_format": _parse_mapping,
    "seed": _integer(),
    "stop": _parse_stop,
    "temperature": _number(0, 2),
    # Some servers take a negative number for no limit.
    "top_k": _integer(),
    "top_logprobs": _integer(0),
    "top_p": _number(0, 1),
    "user": _parse_text,
    "verbosity": _parse_verbosity,
}

#: Sampling parameters by their common names; each provider declares which it supports and what it calls them.
PARAMS = frozenset(_PARSERS)
