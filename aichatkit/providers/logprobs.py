"""Logprobs as services report them -> the tokens of an answer with their log probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any

from aichatkit.chunks import Logprobs, TokenLogprob, dict_or_empty, dicts_in

__all__ = ["parse_entries", "parse_result"]

#: What services send for a token that has no probability; JSON has no infinity.
_LOWEST = -9999.0


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


def _pairs(entry: Mapping[str, Any], name: str) -> Iterator[tuple[str, float]]:
    token, logprob = entry.get("token"), entry.get(name, 0.0 if name == "logProbability" else None)
    if isinstance(token, str) and logprob.__class__ in (int, float) and logprob <= 0.0:
        yield token, max(float(logprob), _LOWEST)
