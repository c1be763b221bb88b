"""What a service says -> records: every number checked, so that nothing else has to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aichatkit.decisions.questions import Question
from aichatkit.decisions.wires import Reported
from aichatkit.errors import BadResponseError

__all__ = ["check_reported"]

#: How far the sum of probabilities may be from 1: some services round each to two decimals.
_ROUNDING, _TOLERANCE = 0.005, 1e-6


def check_reported(reported: Reported, question: Question, *, provider: str, model: str, source: str) -> dict[str, Any]:
    """Return the record of one answer, by which it is stored and restored.

    Raises:
        BadResponseError: a number is missing, not finite or out of bounds, or an option is not one of the question.
    """
    if reported.refused:
        return {"refused": True, "source": source}
    problem = _find_problem(reported, question)
    if problem:
        raise BadResponseError(
            f"{provider}: the answer to {question.name!r} has {problem}", provider=provider, model=model
        )
    record: dict[str, Any] = {"source": source}
    probabilities: Mapping[str, float] | None = reported.probabilities
    if probabilities is not None:
        record["probabilities"] = {label: float(probabilities[label]) for label in question.labels}
    if question.kind == "score":
        record["score"] = float(reported.score)
    record["choice"] = reported.choice if reported.choice is not None else _likeliest(record, question)
    if reported.confidence is not None:
        record["confidence"] = float(reported.confidence)
    return record


def _likeliest(record: Mapping[str, Any], question: Question) -> str:
    probabilities: Mapping[str, float] | None = record.get("probabilities")
    if probabilities is None:
        position: int = round(record["score"])
        return question.labels[position]
    reported: Mapping[str, float] = probabilities
    return max(question.labels, key=lambda label: reported[label])


def _find_problem(reported: Reported, question: Question) -> str:
    """Return what is wrong with an answer, or an empty string."""
    if reported.probabilities is not None:
        if not isinstance(reported.probabilities, Mapping) or set(reported.probabilities) != set(question.labels):
            return "probabilities of other options than those of the question"
        for label, value in reported.probabilities.items():
            if not _is_within(value, 1):
                return f"the probability {value!r} for {label!r}"
        total = sum(reported.probabilities.values())
        if abs(total - 1) > _TOLERANCE + _ROUNDING * len(question.labels):
            return f"probabilities with the sum {total:.4g}"
    if question.kind == "choice" and reported.choice not in question.labels:
        return f"the option {reported.choice!r}, which the question does not have"
    if question.kind == "score" and not _is_within(reported.score, len(question.labels) - 1):
        return f"the score {reported.score!r}, where 0 to {len(question.labels) - 1} is possible"
    if reported.confidence is not None and not _is_within(reported.confidence, 1):
        return f"the confidence {reported.confidence!r}"
    return ""


def _is_within(value: Any, highest: float) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Rounding may carry a score over its end; NaN is not between any two numbers.
    return is_number and -_TOLERANCE <= value <= highest + _TOLERANCE
