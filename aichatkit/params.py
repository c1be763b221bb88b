"""Sampling parameters: their names, checks for the values of any option, and suggestions for misspelled names."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from aichatkit._lazy import lazy_module
from aichatkit.errors import ConfigurationError

if TYPE_CHECKING:
    import difflib

    from aichatkit import option_hints
else:
    # Needed only after a typo.
    difflib = lazy_module("difflib")
    option_hints = lazy_module("aichatkit.option_hints")

__all__ = [
    "INTEGERS",
    "NUMBERS",
    "PARAMS",
    "is_integer",
    "is_number",
    "parse_params",
    "reject_unsupported",
    "suggestion",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type)

#: Sampling parameters by their common names; each provider declares which it supports and what it calls them.
PARAMS = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "min_p",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Those whose values are numbers, and whole numbers.
NUMBERS = ("frequency_penalty", "min_p", "presence_penalty", "repetition_penalty", "temperature", "top_p")
INTEGERS = ("max_tokens", "seed", "top_k", "top_logprobs")


def parse_params(params: Mapping[str, Any], *, options: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that are not None; reject unknown names.

    The error suggests a parameter or one of `options`, or says where an option belongs.
    """
    for name in params:
        if name not in PARAMS:
            hint = option_hints.hint_for(name) or suggestion(name, [*options, *PARAMS])
            raise ConfigurationError(f"unknown option or parameter {name!r}{hint}")
    effort = params.get("reasoning_effort")
    if isinstance(effort, str) and effort not in _EFFORTS:
        _check_effort(effort)
    return {name: value for name, value in params.items() if value is not None}


def _check_effort(effort: str) -> None:
    """Raise ConfigurationError for a misspelled effort; words that a service may have of its own pass."""
    if not any(known in effort for known in _EFFORTS):
        nearest = difflib.get_close_matches(effort.lower(), _EFFORTS, n=1, cutoff=0.75)
        if nearest:
            raise ConfigurationError(f"reasoning_effort: there is no {effort!r}; did you mean {nearest[0]!r}?")


def reject_unsupported(params: Mapping[str, Any], supported: Collection[str], *, provider: str) -> None:
    """Raise ConfigurationError for a parameter that the provider does not support."""
    for name in params:
        if name not in supported:
            names = sorted(supported)
            hint = f"it takes {', '.join(names)}" if names else "it takes no parameters"
            raise ConfigurationError(f"{provider} does not take {name!r}; {hint}", provider=provider, action="next")


def with_operand(function: _Function) -> _Function:
    """Return the function with an error of ours where its prompt is missing or an option is passed without a name."""
    code: Any = function.__code__
    wants_self = code.co_varnames[:1] == ("self",)
    count, takes_prompt = code.co_argcount, "prompt" in code.co_varnames[: code.co_argcount]

    @functools.wraps(function)
    def call(*operands: Any, **options: Any) -> Any:
        if len(operands) > count or (takes_prompt and len(operands) < count and "prompt" not in options):
            name = "Client" if function.__name__ == "__init__" else function.__name__
            raise ConfigurationError(f"{name}: {option_hints.operand_hint(name, operands[wants_self:])}")
        return function(*operands, **options)

    # Read for suggestions.
    call.__kwdefaults__ = function.__kwdefaults__  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def with_operands(cls: _Class) -> _Class:
    """Return the class with `with_operand` on the methods that take a prompt, and on a constructor without operands."""
    for name in ("ask", "stream", "show", "chat", "__init__"):
        method = vars(cls).get(name)
        if method is not None and (name != "__init__" or method.__code__.co_argcount == 1):
            setattr(cls, name, with_operand(method))
    return cls


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


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the closest of `names`, ignoring case, or an empty string.

    >>> suggestion("temprature", ["temperature", "top_p"])
    "; did you mean 'temperature'?"
    """
    originals = {original.lower(): original for original in names}
    matches = difflib.get_close_matches(name.strip().lower(), originals, n=1)
    return f"; did you mean {originals[matches[0]]!r}?" if matches else ""
