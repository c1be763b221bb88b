"""Faults of decisions: numbers that cannot be, answers that are missing or to other questions, refusals and limits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from aichatkit.sandbox.exchange import APIError, Response, json_response
from aichatkit.sandbox.faults.base import Respond, fault
from aichatkit.sandbox.wires import Call


def _edit(respond: Respond, edit: Callable[[Any], Any]) -> Response:
    """Change the answers of a response: a list in OpenAI's protocol, a dict in the others."""
    response = respond()
    if response.status != 200:
        return response
    record = json.loads(response.body)
    inner = record.get("result", record)
    inner["answers"] = edit(inner["answers"])
    return json_response(record)


def _each(respond: Respond, change: Callable[[dict[str, Any]], Any]) -> Response:
    """Change each answer."""

    def change_all(answers: Any) -> Any:
        if isinstance(answers, list):
            return [change(answer) for answer in answers]
        return {name: change(answer) for name, answer in answers.items()}

    return _edit(respond, change_all)


def _with_numbers(answer: dict[str, Any], change: Callable[[float], Any]) -> dict[str, Any]:
    """Change every probability of an answer."""
    changed = dict(answer)
    for name in ("probability", "noul"):
        if name in changed:
            changed[name] = change(changed[name])
    reported = changed.get("probabilities")
    if isinstance(reported, list):
        changed["probabilities"] = [{**entry, "probability": change(entry["probability"])} for entry in reported]
    elif reported is not None:
        changed["probabilities"] = {name: change(value) for name, value in reported.items()}
    return changed


@fault(on="decisions")
def rounded_probabilities(respond: Respond, call: Call) -> Response:
    """Probabilities that are rounded to two decimals."""
    return _each(respond, lambda answer: _with_numbers(answer, lambda number: round(number, 2)))


@fault(on="decisions")
def odd_sum(respond: Respond, call: Call, factor: float = 1.2) -> Response:
    """Probabilities times a factor, so that their sum is not 1."""
    return _each(respond, lambda answer: _with_numbers(answer, lambda number: number * factor))


@fault(on="decisions")
def odd_probability(respond: Respond, call: Call, value: str = "null") -> Response:
    """Every probability is this value: a number, null or nan."""
    number = {"null": None, "nan": math.nan}.get(value)
    return _each(
        respond,
        lambda answer: _with_numbers(answer, lambda _: number if value in ("null", "nan") else float(value)),
    )


@fault(on="decisions")
def refuse_question(respond: Respond, call: Call, number: int = 0) -> Response:
    """One question is refused: with an answer that says so in OpenAI's protocol, else without an answer."""

    def refuse(answers: Any) -> Any:
        if isinstance(answers, list):
            refusal = {"type": "refusal", "name": answers[number]["name"]}
            return [*answers[:number], refusal, *answers[number + 1 :]]
        return {name: answer for index, (name, answer) in enumerate(answers.items()) if index != number}

    return _edit(respond, refuse)


@fault(on="decisions")
def refusal_answer(respond: Respond, call: Call) -> Response:
    """Every question is refused by an answer of that type."""
    return _each(respond, lambda answer: {"type": "refusal", **({"name": answer["name"]} if "name" in answer else {})})


@fault(on="decisions")
def answer_missing(respond: Respond, call: Call) -> Response:
    """The last answer is missing."""
    return _edit(
        respond, lambda answers: answers[:-1] if isinstance(answers, list) else dict(list(answers.items())[:-1])
    )


@fault(on="decisions")
def answers_shuffled(respond: Respond, call: Call) -> Response:
    """The last answer first."""
    return _edit(
        respond, lambda answers: answers[::-1] if isinstance(answers, list) else dict(list(answers.items())[::-1])
    )


@fault(on="decisions")
def unknown_answer(respond: Respond, call: Call) -> Response:
    """An answer to a question that was not asked."""
    extra = {"type": "noul", "noul": 0.5}
    return _edit(
        respond, lambda answers: [*answers, extra] if isinstance(answers, list) else {**answers, "other": extra}
    )


@fault(on="decisions")
def answer_type(respond: Respond, call: Call, value: str = "box") -> Response:
    """Answers of another type."""
    return _each(respond, lambda answer: {**answer, "type": value})


@fault(on="decisions")
def other_option(respond: Respond, call: Call) -> Response:
    """A choice that was not among the options."""
    return _each(respond, lambda answer: {**answer, "choice": "something else"} if "choice" in answer else answer)


@fault(on="decisions")
def odd_score(respond: Respond, call: Call, value: float = 99.0) -> Response:
    """Scores of this value."""
    return _each(respond, lambda answer: {**answer, "score": value} if "score" in answer else answer)


@fault(on="decisions")
def legend_list(respond: Respond, call: Call) -> Response:
    """The legend of a score as a list."""
    return _each(
        respond,
        lambda answer: {**answer, "legend": list(answer["legend"].values())} if "legend" in answer else answer,
    )


@fault(on="decisions")
def only_values(respond: Respond, call: Call) -> Response:
    """Answers without confidence, probabilities and legend, as from some gateways."""
    dropped = ("confidence", "probabilities", "legend")
    return _each(respond, lambda answer: {name: value for name, value in answer.items() if name not in dropped})


@fault(on="decisions")
def odd_confidence(respond: Respond, call: Call, value: float = 7.0) -> Response:
    """A confidence of this value."""
    return _each(respond, lambda answer: {**answer, "confidence": value})


@fault(on="decisions")
def billed_cost(respond: Respond, call: Call, cost: float = 0.25) -> Response:
    """The cost of the request in its usage, as OpenRouter reports it."""
    record = json.loads(respond().body)
    return json_response({**record, "usage": {**record["usage"], "cost": cost}})


@fault(on="decisions")
def input_blocked(respond: Respond, call: Call) -> Response:
    """No answers at all, but the reason why the input was blocked, as Google reports it."""
    return json_response({"prompt_feedback": {"block_reason": "safety"}, "usage": {"total_input_tokens": 1}})


@fault(on="decisions")
def question_limit(respond: Respond, call: Call, limit: int = 128) -> Response:
    """A service that takes fewer questions."""
    if len(call.request.json()["questions"]) <= limit:
        return respond()
    return call.wire.error_response(APIError("bad-request", f"questions: at most {limit} are allowed"), call.request)


@fault(on="decisions")
def no_decisions(respond: Respond, call: Call) -> Response:
    """A model, or a server, that does not decide."""
    return call.wire.error_response(APIError("model-not-found"), call.request)
