"""`-q` and `--decide` -> questions for `decide`: "refund?", "topic: bug | billing", "anger: calm < furious"."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from aichatkit.errors import ConfigurationError

__all__ = ["EMULATE", "HELP", "add_emulate_option", "parse_questions_option"]

HELP = (
    "a question to answer with yes or no, such as 'refund?' or 'urgent: Is it urgent?'; one with options, "
    "'topic: bug | billing'; or a scale, 'anger: calm < annoyed < furious' or 'stars: 1..5' (repeatable)"
)
#: The values of --emulate.
EMULATE = {"auto": None, "always": True, "never": False}
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")


def add_emulate_option(parser: ArgumentParser) -> None:
    """Add --emulate."""
    parser.add_argument(
        "--emulate",
        choices=tuple(EMULATE),
        default="auto",
        help="whether chat models answer questions (default auto: those that are not decision models)",
    )


def parse_questions_option(texts: Sequence[str], option: str) -> dict[str, Any]:
    """Return the questions by name.

    >>> parse_questions_option(["refund?", "anger: calm < furious", "stars: 1..5"], "-q")
    {'refund?': <class 'bool'>, 'anger': ['calm', 'furious'], 'stars': range(1, 6)}
    """
    questions: dict[str, Any] = {}
    for text in texts:
        name, colon, rest = (part.strip() for part in text.partition(":"))
        if not name or (colon and not rest):
            raise ConfigurationError(f"{option}: cannot read the question {text!r}; write {HELP}")
        if name in questions:
            raise ConfigurationError(f"{option}: two questions are named {name!r}")
        questions[name] = _parse_answers(rest, text, option) if colon else bool
    return questions


def _parse_answers(text: str, source: str, option: str) -> Any:
    match = _RANGE.fullmatch(text)
    if match is not None:
        return range(int(match[1]), int(match[2]) + 1)
    if "<" in text:
        return [level.strip() for level in text.split("<")]
    if "|" in text:
        return {choice.strip(): None for choice in text.split("|")}
    if text.endswith("?"):
        return (bool, text)
    raise ConfigurationError(f"{option}: cannot read the question {source!r}; write {HELP}")
