"""What a service says -> records: every number checked, so that nothing else has to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aichatkit.decisions.questions import Question
from aichatkit.decisions.wires import Told
from aichatkit.errors import BadResponseError

__all__ = ["check_told"]

#: How far the sum of probabilities may be from 1: some services round each to two decimals.
_ROUNDING, _TOLERANCE = 0.005, 1e-6


def check_told(told: Told, question: Question, *, provider: str, model: str, source: str) -> dict[str, Any]:
    """Return the record of one answer, by which it is stored and restored.

    Raises:
        BadResponseError: a number is missing, not finite or out of bounds, or an option was not asked.
    """
    if told.refused:
        return {"refused": True, "source": source}
    problem = _find_problem(told, question)
    if problem:
        raise BadResponseError(
            f"{provider}: the answer to {question.name!r} has {problem}", provider=provider, model=model
        )
    record: dict[str, Any] = {"source": source}
    probabilities: Mapping[str, float] | None = told.probabilities
    if probabilities is not None:
        record["probabilities"] = {label: float(probabilities[label]) for label in question.labels}
    if question.kind == "score":
        record["score"] = float(told.score)
    record["choice"] = told.choice if told.choice is not None else _likeliest(record, question)
    if told.confidence is not None:
        record["confidence"] = float(told.confidence)
    return record


def _likeliest(record: Mapping[str, Any], question: Question) -> str:
    probabilities: Mapping[str, float] | None = record.get("probabilities")
    if probabilities is None:
        position: int = round(record["score"])
        return question.labels[position]
    told: Mapping[str, float] = probabilities
    return max(question.labels, key=lambda label: told[label])


def _find_problem(told: Told, question: Question) -> str:
    """Return what is wrong with an answer, or an empty string."""
    if told.probabilities is not None:
        if not isinstance(told.probabilities, Mapping) or set(told.probabilities) != set(question.labels):
            return "probabilities of other options than those that were asked"
        for label, value in told.probabilities.items():
            if not _is_within(value, 1):
                return f"the probability {value!r} for {label!r}"
        total = sum(told.probabilities.values())
        if abs(total - 1) > _TOLERANCE + _ROUNDING * len(question.labels):
            return f"probabilities with the sum {total:.4g}"
    if question.kind == "choice" and told.choice not in question.labels:
        return f"the option {told.choice!r}, which was not asked"
    if question.kind == "score" and not _is_within(told.score, len(question.labels) - 1):
        return f"the score {told.score!r}, where 0 to {len(question.labels) - 1} is possible"
    if told.confidence is not None and not _is_within(told.confidence, 1):
        return f"the confidence {told.confidence!r}"
    return ""


def _is_within(value: Any, highest: float) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Rounding may carry a score over its end.
    return is_number and math.isfinite(value) and -_TOLERANCE <= value <= highest + _TOLERANCE
