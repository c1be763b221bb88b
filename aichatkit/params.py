"""The names of options and sampling parameters, and a helping hand with misspelt ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.errors import ConfigurationError

if TYPE_CHECKING:
    import difflib
else:
    # Only for who makes a mistake.
    difflib = lazy_module("difflib")

__all__ = ["PARAMS", "nearest", "parse_params", "refuse_unsupported"]

#: Sampling parameters by the field's names; each provider says which of them it takes and what it calls them.
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


def parse_params(params: Mapping[str, Any], *, options: Iterable[str]) -> dict[str, Any]:
    """Return the parameters that were given; refuse a name that is neither a parameter nor one of `options`."""
    for name in params:
        if name not in PARAMS:
            raise ConfigurationError(f"unknown option or parameter {name!r}{nearest(name, [*options, *PARAMS])}")
    return {name: value for name, value in params.items() if value is not None}


def refuse_unsupported(params: Mapping[str, Any], supported: Collection[str], *, provider: str) -> None:
    """Raise where a provider was given a parameter it does not take."""
    for name in params:
        if name not in supported:
            taken = sorted(supported)
            takes = f"it takes {', '.join(taken)}" if taken else "it takes no parameters"
            raise ConfigurationError(f"{provider} does not take {name!r}; {takes}", provider=provider, action="next")


def nearest(name: str, names: Iterable[str]) -> str:
    """Return "; did you mean ...?" for the closest of `names`, whatever the case, or nothing.

    >>> nearest("temprature", ["temperature", "top_p"])
    "; did you mean 'temperature'?"
    """
    known = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.strip().lower(), known, n=1)
    return f"; did you mean {known[close[0]]!r}?" if close else ""
