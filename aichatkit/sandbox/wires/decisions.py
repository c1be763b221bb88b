"""Decisions, in the protocols of OpenAI, System One and Google: a hash, and words that the input and an option share.

An option that is named in the input is the likeliest, so that examples look sensible; the numbers are otherwise
arbitrary, and the same for the same input and question.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.sandbox.exchange import APIError, Request, Response, json_response
from aichatkit.sandbox.wires.base import Call, Route, parse_json
from aichatkit.sandbox.wires.gemini import Gemini
from aichatkit.sandbox.wires.ollama import Ollama
from aichatkit.sandbox.wires.openai import OpenAIWire

__all__ = ["GoogleDecisions", "OpenAIDecisions", "SystemOne"]

_BASE = r"(?:/[\w.-]+)*"
_KINDS = ("predicate", "choice", "score")
_MAX_QUESTIONS, _MAX_GOOGLE_QUESTIONS, _MAX_SYSTEMONE_QUESTIONS = 400, 1000, 200
_MAX_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class OpenAIDecisions(OpenAIWire):
    """OpenAI's endpoint; a body with `state` is answered as System One, as some services do at this path."""

    name = "openai-decisions"
    routes = (Route("POST", f"{_BASE}/v1/decisions", "decide", "decisions"),)

    def match(self, request: Request) -> tuple[Route | None, list[str]]:
        """Leave requests with Google's key header to Google's endpoint."""
        return (None, []) if "x-goog-api-key" in request.headers else super().match(request)

    def decide(self, call: Call) -> Response:
        """Answer each question, in order."""
        self.check_key(call)
        record = parse_json(call.request)
        if "state" in record:
            return json_response(_systemone_answer(record))
        if not isinstance(record.get("model"), str) or not record["model"]:
            raise APIError("bad-request", "you must provide a model parameter")
        questions = record.get("questions")
        if not isinstance(questions, list) or not 1 <= len(questions) <= _MAX_QUESTIONS:
            raise APIError(
                "bad-request",
                f"Invalid 'questions': expected an array with 1 to {_MAX_QUESTIONS} items.",
                param="questions",
            )
        if not record.get("input") or not isinstance(record["input"], (str, list)):
            raise APIError("bad-request", "Invalid 'input': expected a string or an array.", param="input")
        text = _text_of(record["input"])
        answers = [_openai_answer(text, question, number) for number, question in enumerate(questions)]
        tokens = _count(record["input"], questions)
        usage = {
            "input_tokens": tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": tokens,
        }
        return json_response({"model": record["model"], "answers": answers, "usage": usage})


class SystemOne(Ollama):
    """The System One endpoints of Ollama and of other services."""

    name = "systemone"
    routes = tuple(
        Route("POST", f"{_BASE}{path}", "decide", "decisions")
        for path in (
            "/v1/systemone",
            "/alpha/decisions",
            r"/ai/run/[\w./@-]+",
            r"/serving-endpoints/[\w.-]+/invocations",
            "/api/2.0/ai-functions/ai-decide",
        )
    )

    def decide(self, call: Call) -> Response:
        """Answer the questions by name."""
        answer = _systemone_answer(parse_json(call.request))
        if call.request.path.endswith("/ai-decide"):
            # A yes or no has its probability under another name there.
            for each in answer["answers"].values():
                each.update({"probability": each.pop("noul")} if "noul" in each else {})
            return json_response({"response": answer})
        return json_response({"result": answer, "success": True} if "/ai/run/" in call.request.path else answer)


class GoogleDecisions(Gemini):
    """Google's endpoint, which takes other names for the parts of a question, and few characters in its name."""

    name = "google-decisions"
    routes = (Route("POST", r"/v1(?:beta)?/decisions", "decide", "decisions"),)

    def match(self, request: Request) -> tuple[Route | None, list[str]]:
        """Match only requests with Google's key header: the path is that of other services as well."""
        return super().match(request) if "x-goog-api-key" in request.headers else (None, [])

    def decide(self, call: Call) -> Response:
        """Answer the questions by name."""
        self.check_key(call)
        record = parse_json(call.request)
        questions = _questions_by_name(record, _MAX_GOOGLE_QUESTIONS)
        for name, question in questions.items():
            criteria = question.get("criteria")
            if not _MAX_NAME.fullmatch(name):
                raise APIError("bad-request", f"* questions: the name '{name}' has characters that are not allowed")
            if question["type"] == "choice" and not all(isinstance(text, str) for text in criteria.values()):
                raise APIError("bad-request", f"* questions.{name}.criteria: values must be strings")
        text = _text_of(record["input"])
        answers = {name: _google_answer(text, question) for name, question in questions.items()}
        tokens = _count(record["input"], questions)
        usage = {"total_input_tokens": tokens, "total_output_tokens": 0, "total_tokens": tokens}
        return json_response({"answers": answers, "usage": {**usage, "total_cached_tokens": 0}})


def weights_of(text: str, question: str, labels: Sequence[str]) -> list[float]:
    """Return a probability for each label; a label with a word of the text has the most.

    >>> weights_of("I want a refund", "What?", ["refund", "advice"])[0] > 0.9
    True
    """
    words = set(re.findall(r"\w+", text.lower()))
    weights = []
    for label in labels:
        digest = hashlib.sha256(f"{text}\0{question}\0{label}".encode("utf-8", "surrogatepass")).digest()
        has_word = any(word in words for word in re.findall(r"\w{3,}", label.lower()))
        weights.append((1 + digest[0] / 256) * (40 if has_word else 1))
    return [weight / sum(weights) for weight in weights]


def _probability(text: str, question: str) -> float:
    """Return the probability of a statement: high if the text has one of its longer words."""
    words = {word.rstrip("s") for word in re.findall(r"\w{4,}", question.lower())}
    found = any(word.rstrip("s") in words for word in re.findall(r"\w{4,}", text.lower()))
    share = hashlib.sha256(f"{text}\0{question}".encode("utf-8", "surrogatepass")).digest()[0] / 256
    return round(0.75 + share / 5 if found else 0.05 + share / 5, 4)


def _openai_answer(text: str, question: Any, number: int) -> dict[str, Any]:
    kind = question.get("type") if isinstance(question, dict) else None
    is_text = isinstance(question, dict) and isinstance(question.get("name", ""), str) and _has_instructions(question)
    if kind not in _KINDS or not is_text:
        raise APIError("bad-request", f"Invalid value for 'questions[{number}]'.", param=f"questions[{number}]")
    asked, head = str(question["instructions"]), {"type": kind, "name": question.get("name")}
    if kind == "predicate":
        return {**head, "probability": _probability(text, asked)}
    if kind == "choice":
        labels = [choice["value"] for choice in question["choices"]]
        _check_count(labels, 255)
        weights = weights_of(text, asked, list(map(str, labels)))
        best = max(weights)
        reported = [{"value": label, "probability": weight} for label, weight in zip(labels, weights)]
        return {**head, "choice": labels[weights.index(best)], "confidence": best, "probabilities": reported}
    labels = [level["label"] for level in question["levels"]]
    _check_count(labels, 10)
    weights = weights_of(text, asked, labels)
    reported = [
        {"value": value, "label": label, "probability": weight}
        for value, (label, weight) in enumerate(zip(labels, weights))
    ]
    return {**head, "score": _expected(weights), "confidence": max(weights), "probabilities": reported}


def _systemone_answer(record: Mapping[str, Any]) -> dict[str, Any]:
    questions = _questions_by_name(record, _MAX_SYSTEMONE_QUESTIONS)
    if not record.get("state"):
        raise APIError("bad-request", "state is required")
    text = _text_of(record["state"])
    answers = {name: _named_answer(text, question) for name, question in questions.items()}
    usage = {"input_tokens": _count(record["state"], questions), "output_tokens": 0}
    # Parallel repeats its mode.
    mode = {"mode": record["mode"]} if "mode" in record else {}
    return {"model": record.get("model", "decision"), **mode, "answers": answers, "usage": usage}


def _google_answer(text: str, question: Mapping[str, Any]) -> dict[str, Any]:
    answer = _named_answer(text, question)
    if question["type"] != "noul":
        return {**answer, "confidence": max(answer["probabilities"].values())}
    probability = min(0.99, max(0.01, answer["noul"]))
    return {**answer, "noul": probability, "confidence": max(probability, 1 - probability)}


def _named_answer(text: str, question: Mapping[str, Any]) -> dict[str, Any]:
    kind, asked, criteria = question["type"], question["instructions"], question.get("criteria")
    if kind == "noul":
        return {"type": kind, "noul": _probability(text, asked)}
    labels = list(criteria or ())
    _check_count(labels, 255)
    weights = weights_of(text, asked, labels)
    best = max(weights)
    if kind == "choice":
        reported = dict(zip(labels, weights))
        return {"type": kind, "choice": labels[weights.index(best)], "confidence": best, "probabilities": reported}
    legend = {str(number): label for number, label in enumerate(labels)}
    reported = dict(zip(legend, weights))
    return {"type": kind, "score": _expected(weights), "confidence": best, "legend": legend, "probabilities": reported}


def _questions_by_name(record: Mapping[str, Any], limit: int) -> dict[str, Any]:
    questions = record.get("questions")
    if not isinstance(questions, dict) or not 1 <= len(questions) <= limit:
        raise APIError("bad-request", f"questions: must be an object with 1 to {limit} questions")
    for name, question in questions.items():
        if question.get("type") not in ("noul", "choice", "score") or not _has_instructions(question):
            raise APIError("bad-request", f"questions.{name}: type and instructions are required")
    return questions


def _has_instructions(question: Mapping[str, Any]) -> bool:
    return isinstance(question.get("instructions"), str) and bool(question["instructions"])


def _check_count(labels: Sequence[Any], limit: int) -> None:
    are_texts = all(isinstance(label, str) for label in labels)
    if not are_texts or not 2 <= len(labels) <= limit or len(set(labels)) != len(labels):
        raise APIError("bad-request", f"Expected 2 to {limit} different options.")


def _expected(weights: Sequence[float]) -> float:
    return sum(number * weight for number, weight in enumerate(weights))


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _count(*parts: Any) -> int:
    return math.ceil(sum(len(_text_of(part).encode("utf-8", "surrogatepass")) for part in parts) / 4)
