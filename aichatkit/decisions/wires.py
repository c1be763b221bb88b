"""Questions -> request and answer -> records, in the three protocols for decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import requests

from aichatkit._dataclasses import NamedTuple
from aichatkit.chunks import Bill, Usage, dict_or_empty, parse_count
from aichatkit.decisions.questions import NO, YES, Question
from aichatkit.decisions.services import DecisionService
from aichatkit.errors import BadResponseError, ConfigurationError, ContentFilteredError
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import Provider
from aichatkit.providers.openai_usage import parse_charge
from aichatkit.providers.request_bodies import encode_base64, file_uri, iter_parts

__all__ = ["WIRES", "Reported", "build_request"]


class Reported(NamedTuple):
    """What a service says about one question, not checked yet; `probabilities` is by label, None if not reported."""

    probabilities: Any = None
    choice: Any = None
    confidence: Any = None
    score: Any = None
    refused: bool = False


class Parsed(NamedTuple):
    """An answer: what it says about each question, in order; the usage, the bill, and the model if it is named."""

    reported: Sequence[Reported]
    usage: Usage
    bill: Bill = Bill()
    model: str = ""


class Wire(Protocol):
    """One protocol: the body of a request, and what is in the answer."""

    def body(
        self, messages: Sequence[Message], questions: Sequence[Question], provider: Provider
    ) -> dict[str, Any]: ...
    def parse(self, record: Any, questions: Sequence[Question], provider: Provider) -> Parsed: ...


class _OpenAIWire:
    """OpenAI's `/v1/decisions`: a list of questions, and a list of answers in their order."""

    def body(self, messages: Sequence[Message], questions: Sequence[Question], provider: Provider) -> dict[str, Any]:
        text = _single_text(messages)
        items = [_openai_item(message, provider) for message in messages]
        return {"input": items if text is None else text, "questions": list(map(_openai_question, questions))}

    def parse(self, record: Any, questions: Sequence[Question], provider: Provider) -> Parsed:
        answers = record["answers"]
        if len(answers) != len(questions):
            raise _bad(provider, f"{len(answers)} answers to {len(questions)} questions")
        reported = []
        for answer, question in zip(answers, questions):
            kind = answer["type"]
            if answer.get("name") not in (None, question.name):
                raise _bad(provider, f"an answer to {answer['name']!r} where {question.name!r} was expected")
            if kind not in (question.kind, "refusal"):
                raise _bad(provider, f"an answer of type {kind!r} to a question of type {question.kind!r}")
            reported.append(Reported(refused=True) if kind == "refusal" else _openai_reported(answer, question))
        usage = dict_or_empty(record.get("usage"))
        details = dict_or_empty(usage.get("input_tokens_details"))
        counts = Usage(
            parse_count(usage.get("input_tokens")),
            parse_count(usage.get("output_tokens")),
            parse_count(usage.get("total_tokens")),
            cached_tokens=parse_count(details.get("cached_tokens")),
            cache_write_tokens=parse_count(details.get("cache_write_tokens")),
        )
        return Parsed(reported, counts, model=str(record.get("model") or ""))


class _SystemOneWire:
    """The System One protocol: questions by name, and answers by name; a refused one is missing."""

    def body(self, messages: Sequence[Message], questions: Sequence[Question], provider: Provider) -> dict[str, Any]:
        turns = [
            (message.role, "\n".join(part for part in _iter_parts(message, provider) if isinstance(part, str)))
            for message in messages
        ]
        is_text = len(turns) == 1 and turns[0][0] == "user"
        state: Any = turns[0][1] if is_text else [{"role": role, "content": text} for role, text in turns]
        images = [
            file_uri(part, provider=provider.name)
            for message in messages
            for part in _iter_parts(message, provider)
            if isinstance(part, File)
        ]
        asked = {question.name: _systemone_question(question) for question in questions}
        return {"state": state, "questions": asked, **({"images": images} if images else {})}

    def parse(self, record: Any, questions: Sequence[Question], provider: Provider) -> Parsed:
        # Some services wrap the answer.
        for wrapper in ("result", "response"):
            record = record[wrapper] if isinstance(record.get(wrapper), dict) else record
        reported = _by_name(record["answers"], {question.name: question for question in questions}, provider)
        usage = dict_or_empty(record.get("usage"))
        counts = Usage(
            parse_count(usage.get("input_tokens")),
            parse_count(usage.get("output_tokens")) or 0,
            cached_tokens=parse_count(usage.get("cached_input_tokens")),
        )
        return Parsed(reported, _with_total(counts), Bill(cost=parse_charge(usage)), str(record.get("model") or ""))


class _GoogleWire:
    """Gemini's `decisions`: System One's questions under other names, and an input that may be blocked as a whole."""

    def body(self, messages: Sequence[Message], questions: Sequence[Question], provider: Provider) -> dict[str, Any]:
        text = _single_text(messages)
        blocks = [block for message in messages for block in _google_blocks(message, provider, len(messages) > 1)]
        # The service takes few characters in names.
        asked = {f"q{number}": _google_question(question) for number, question in enumerate(questions)}
        return {"input": blocks if text is None else text, "questions": asked}

    def parse(self, record: Any, questions: Sequence[Question], provider: Provider) -> Parsed:
        answers, feedback = record.get("answers"), dict_or_empty(record.get("prompt_feedback"))
        if not answers and feedback:
            reason = feedback.get("block_reason_message") or feedback.get("block_reason") or "no reason"
            raise ContentFilteredError(f"{provider.name}: the input was blocked: {reason}", provider=provider.name)
        reported = _by_name(answers, {f"q{number}": question for number, question in enumerate(questions)}, provider)
        usage = dict_or_empty(record.get("usage"))
        counts = Usage(
            parse_count(usage.get("total_input_tokens")),
            parse_count(usage.get("total_output_tokens")) or 0,
            parse_count(usage.get("total_tokens")),
            cached_tokens=parse_count(usage.get("total_cached_tokens")),
        )
        return Parsed(reported, _with_total(counts))


WIRES: Mapping[str, Wire] = {"openai": _OpenAIWire(), "systemone": _SystemOneWire(), "google": _GoogleWire()}


def build_request(
    provider: Provider,
    service: DecisionService,
    model: str,
    messages: Sequence[Message],
    questions: Sequence[Question],
    extra: Mapping[str, Any],
    tokens: Mapping[str, str],
) -> requests.Request:
    """Return the request for the answers to some questions; `tokens` is what the provider's `prepare` returned."""
    body = WIRES[service.wire].body(messages, questions, provider)
    path_model = model if model.startswith("@") else service.prefix + model
    named = {"model": model.rpartition("/")[2] if service.prefix else model} if service.names_model else {}
    # The version of Azure's older API is a part of other URLs, and not a header.
    settings = {name: tokens[name] for name in provider.settings_env if name in tokens and name != "api-version"}
    base = tokens.get("url", provider.url).rstrip("/")
    base = base[: -len("/v1")] if base.endswith("/v1") else base
    return requests.Request(
        "POST",
        base + service.path.format(model=quote(path_model, safe="/@:")),
        json={**named, **body, **service.fields, **extra},
        headers={**provider.headers, **settings},
    )


def _single_text(messages: Sequence[Message]) -> str | None:
    """Return the text of an input that is nothing but one text."""
    (message, *others) = messages
    return message.content if not others and message.role == "user" and isinstance(message.content, str) else None


def _iter_parts(message: Message, provider: Provider) -> Iterator[str | File]:
    if isinstance(message, (ToolCallsMessage, ToolResultMessage)):
        raise ConfigurationError(
            f"decide: {provider.name} takes no tool calls here; pass the conversation as text", provider=provider.name
        )
    for part in iter_parts(message.content, provider=provider.name):
        if isinstance(part, File) and part.kind != "image":
            raise ConfigurationError(
                f"decide: {provider.name} takes text and images here, not {part.kind} files", provider=provider.name
            )
        yield part


def _openai_item(message: Message, provider: Provider) -> dict[str, Any]:
    is_own = message.role == "assistant"
    content = [
        {"type": "output_text" if is_own else "input_text", "text": part}
        if isinstance(part, str)
        else {"type": "input_image", "image_url": file_uri(part, provider=provider.name)}
        for part in _iter_parts(message, provider)
    ]
    return {"type": "message", "role": message.role, "content": content}


def _google_blocks(message: Message, provider: Provider, is_labeled: bool) -> Iterator[dict[str, Any]]:
    for part in _iter_parts(message, provider):
        if isinstance(part, str):
            yield {"type": "text", "text": f"{message.role}: {part}" if is_labeled else part}
        elif part.url:
            yield {"type": "image", "uri": part.url}
        else:
            data = encode_base64(part, provider=provider.name)
            yield {"type": "image", "data": data, "mime_type": part.media_type}


def _openai_question(question: Question) -> dict[str, Any]:
    record: dict[str, Any] = {"type": question.kind, "name": question.name, "instructions": question.text}
    if question.kind == "predicate":
        return record
    key, name = ("choices", "value") if question.kind == "choice" else ("levels", "label")
    record[key] = [{name: label, **({"description": text} if text else {})} for label, text in question.described()]
    return record


def _openai_reported(answer: Mapping[str, Any], question: Question) -> Reported:
    if question.kind == "predicate":
        return _predicate(answer["probability"])
    key = "value" if question.kind == "choice" else "label"
    entries = answer["probabilities"]
    probabilities = {entry[key]: entry["probability"] for entry in entries}
    if len(probabilities) != len(entries):
        probabilities = {}
    return Reported(probabilities, answer.get("choice"), answer.get("confidence"), answer.get("score"))


def _systemone_question(question: Question) -> dict[str, Any]:
    if question.kind == "predicate":
        return {"type": "noul", "instructions": question.text}
    labels: Any = list(question.labels) if question.kind == "score" else dict(question.described())
    return {"type": question.kind, "instructions": question.text, "criteria": labels}


def _google_question(question: Question) -> dict[str, Any]:
    record = _systemone_question(question)
    if question.kind == "choice":
        record["criteria"] = {label: text or "" for label, text in question.described()}
    return record


def _by_name(answers: Any, questions: Mapping[str, Question], provider: Provider) -> list[Reported]:
    unknown = next((name for name in answers if name not in questions), None)
    if unknown is not None:
        raise _bad(provider, f"an answer to {unknown!r}, which is not one of the questions")
    return [_systemone_reported(answers.get(name), question, provider) for name, question in questions.items()]


def _systemone_reported(answer: Any, question: Question, provider: Provider) -> Reported:
    if answer is None or answer.get("type") == "refusal":
        return Reported(refused=True)
    kind = "noul" if question.kind == "predicate" else question.kind
    if answer.get("type", kind) != kind:
        raise _bad(provider, f"an answer of type {answer['type']!r} to a question of type {kind!r}")
    if kind == "noul":
        reported = _predicate(answer["noul"] if "noul" in answer else answer["probability"])
        return reported._replace(confidence=answer.get("confidence"))
    probabilities, confidence = answer.get("probabilities"), answer.get("confidence")
    if kind == "choice":
        return Reported(probabilities, answer["choice"], confidence)
    if probabilities is not None:
        # By the number of the level, which is text.
        labels = {str(number): label for number, label in enumerate(question.labels)}
        probabilities = {labels.get(str(key), f"level {key}"): value for key, value in probabilities.items()}
    return Reported(probabilities, None, confidence, answer["score"])


def _predicate(probability: Any) -> Reported:
    return Reported({YES: probability, NO: 1 - probability if isinstance(probability, (int, float)) else None})


def _with_total(usage: Usage) -> Usage:
    if usage.total_tokens is not None or usage.input_tokens is None:
        return usage
    return Usage(
        usage.input_tokens,
        usage.output_tokens,
        usage.input_tokens + (usage.output_tokens or 0),
        cached_tokens=usage.cached_tokens,
    )


def _bad(provider: Provider, problem: str) -> BadResponseError:
    return BadResponseError(f"{provider.name} answered with {problem}", provider=provider.name)
