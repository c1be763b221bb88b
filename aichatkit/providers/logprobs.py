"""Logprobs as services report them -> the tokens of an answer with their log probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from aichatkit.chunks import Logprobs, TokenLogprob, dict_or_empty, dicts_in

__all__ = ["entries_of", "parse_entries", "parse_logprob", "parse_result", "parse_texts"]

#: What services send for a token that has no probability; JSON has no infinity.
_LOWEST = -9999.0
#: How far rounding may carry a probability over 1.
_ROUNDING = 1e-3


def entries_of(logprobs: Any) -> list[Any]:
    """Return the entries in the `logprobs` of a choice: OpenAI's list, or the columns of its older completions.

    >>> entries_of({"tokens": ["Hi"], "token_logprobs": [-0.5], "top_logprobs": [{"Hi": -0.5}]})
    [{'token': 'Hi', 'logprob': -0.5, 'top_logprobs': [{'token': 'Hi', 'logprob': -0.5}]}]
    """
    columns = dict_or_empty(logprobs)
    content = columns.get("content", logprobs)
    if isinstance(content, list):
        return content
    tokens, values, tops = (
        column if isinstance(column, list) else []
        for column in map(columns.get, ("tokens", "token_logprobs", "top_logprobs"))
    )
    return [
        {
            "token": token,
            "logprob": value,
            "top_logprobs": [{"token": other, "logprob": number} for other, number in dict_or_empty(top).items()],
        }
        for token, value, top in zip_longest(tokens, values, tops[: len(tokens)])
    ]


def parse_entries(entries: Any) -> Iterator[Logprobs]:
    """Yield the tokens in a list of OpenAI's, each with the tokens that were most likely instead of it."""
    tokens = []
    for entry in dicts_in(entries):
        top = tuple(pair for other in dicts_in(entry.get("top_logprobs")) for pair in _pairs(other, "logprob"))
        tokens += [TokenLogprob(*pair, top) for pair in _pairs(entry, "logprob")]
    if tokens:
        yield Logprobs(tokens)


def parse_result(result: Any) -> Iterator[Logprobs]:
    """Yield the tokens in the result of Gemini's, which has two lists of the same length."""
    result, tokens = dict_or_empty(result), []
    chosen, others = dicts_in(result.get("chosenCandidates")), dicts_in(result.get("topCandidates"))
    nothing: Mapping[str, Any] = {}
    for candidate, alternatives in zip_longest(chosen, others[: len(chosen)], fillvalue=nothing):
        likely = dicts_in(alternatives.get("candidates"))
        top = tuple(pair for other in likely for pair in _pairs(other, "logProbability"))
        tokens += [TokenLogprob(*pair, top) for pair in _pairs(candidate, "logProbability")]
    if tokens:
        yield Logprobs(tokens)


def parse_texts(entries: Any) -> Iterator[Logprobs]:
    """Yield the texts in a list of Cohere's; one that consists of several tokens has their sum."""
    tokens = []
    for entry in dicts_in(entries):
        text, values = entry.get("text"), entry.get("logprobs")
        values = values if isinstance(values, list) else []
        numbers = [pair[1] for value in values for pair in _pairs({"token": "", "logprob": value}, "logprob")]
        if isinstance(text, str) and numbers and len(numbers) == len(values):
            tokens.append(TokenLogprob(text, sum(numbers)))
    if tokens:
        yield Logprobs(tokens)


def parse_logprob(value: Any) -> float | None:
    """Return a log probability that a service reports, None for anything that is none.

    >>> parse_logprob(-0.5), parse_logprob(-1e9), parse_logprob(0.5), parse_logprob(True), parse_logprob("-0.5")
    (-0.5, -9999.0, None, None, None)
    """
    if value.__class__ in (int, float) and value <= _ROUNDING:
        return float(min(max(value, _LOWEST), 0.0))
    return None


def _pairs(entry: Mapping[str, Any], name: str) -> Iterator[tuple[str, float]]:
    token, logprob = entry.get("token"), parse_logprob(entry.get(name, 0.0 if name == "logProbability" else None))
    if isinstance(token, str) and logprob is not None:
        yield token, logprob
