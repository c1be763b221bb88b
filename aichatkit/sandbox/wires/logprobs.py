"""Tokens of an answer -> log probabilities, in the formats of the services; each part of the text is one token."""

from __future__ import annotations

import hashlib
import math
import string
from collections.abc import Iterable, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple

__all__ = ["Token", "cohere_entry", "gemini_result", "openai_entries", "tokens_of"]

#: Alternatives to a token, and to a single letter.
_WORDS = (
    *(" the", " a", " and", " you", " I", " to", " is", " it", " of", " that", " in", " are", " what", " not"),
    *(" do", " be", " so", " why", " how", " me", " my", "."),
)
_LETTERS = tuple(string.ascii_uppercase)


class Token(NamedTuple):
    """A token with its log probability, and those of the most likely tokens there, which include it."""

    text: str
    logprob: float
    top: Sequence[tuple[str, float]] = ()


def tokens_of(parts: Iterable[str], count: int = 0) -> list[Token]:
    """Return the tokens of an answer, each the likeliest at its place, with `count` alternatives.

    The numbers depend only on the text before and in a token.

    >>> tokens_of(["Hi"], 2)
    [Token(text='Hi', logprob=-0.5044, top=(('Hi', -0.5044), (' not', -1.6191)))]
    """
    tokens, digest = [], hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "replace"))
        first, second = digest.digest()[:2]
        probability = 0.5 + first / 520
        others = _alternatives(part, second, max(0, count - 1))
        # Each has half of what the ones before it leave, so the sum stays below 1.
        shares = [(1 - probability) * 0.5**number for number in range(1, len(others) + 1)]
        logprob = _log(probability)
        top = ((part, logprob), *((other, _log(share)) for other, share in zip(others, shares)))
        tokens.append(Token(part, logprob, top[:count]))
    return tokens


def openai_entries(tokens: Iterable[Token]) -> list[dict[str, Any]]:
    """Return tokens as OpenAI lists them, and services with its format."""
    return [
        {**_openai_entry(token.text, token.logprob), "top_logprobs": [_openai_entry(*other) for other in token.top]}
        for token in tokens
    ]


def gemini_result(tokens: Sequence[Token]) -> dict[str, Any]:
    """Return tokens as Gemini reports them: two lists of the same length."""
    return {
        "topCandidates": [{"candidates": [_gemini_entry(*other) for other in token.top]} for token in tokens],
        "chosenCandidates": [_gemini_entry(token.text, token.logprob) for token in tokens],
    }


def cohere_entry(token: Token) -> dict[str, Any]:
    """Return a token as Cohere reports it."""
    return {"token_ids": [_token_id(token.text)], "text": token.text, "logprobs": [token.logprob]}


def _alternatives(token: str, offset: int, count: int) -> list[str]:
    words = _LETTERS if token.strip() in _LETTERS else _WORDS
    others = [word for word in words if word != token.strip() and word != token]
    # The first letters are the options of a question.
    start = 0 if words is _LETTERS else offset % len(others)
    return [*others[start:], *others[:start]][:count]


def _openai_entry(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


def _gemini_entry(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "tokenId": _token_id(text), "logProbability": logprob}


def _token_id(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:2], "big")


def _log(probability: float) -> float:
    return round(math.log(probability), 4)
