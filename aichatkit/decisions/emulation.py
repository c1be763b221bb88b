"""Questions -> prompts for chat models, and their answers -> records, by token probabilities or structured output."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import replace
from aichatkit.chunks import dict_or_empty
from aichatkit.decisions.questions import NO, YES, Question
from aichatkit.decisions.services import max_logprobs
from aichatkit.messages import Message
from aichatkit.providers import logprobs
from aichatkit.providers.base import Provider
from aichatkit.reply import Reply

__all__ = [
    "LETTERS",
    "letter_messages",
    "letter_record",
    "read_values",
    "schema_messages",
    "schema_of_questions",
    "takes_letters",
]

#: The letters of options, in the order in which they were passed.
LETTERS = string.ascii_uppercase


def takes_letters(provider: Provider, record: Mapping[str, object] | None, questions: Sequence[Question]) -> bool:
    """Return whether a chat model is asked for letters, as it reports the probabilities of enough of them."""
    most = max(len(question.labels) for question in questions)
    return most <= min(max_logprobs(provider, record), len(LETTERS))


def letter_messages(messages: Sequence[Message], question: Question) -> list[Message]:
    """Return the prompt for one question, to be answered with a letter."""
    lines = [f"{letter}. {line}" for letter, line in zip(LETTERS, _option_lines(question))]
    text = "\n".join(["Answer this question about the above.", "", question.text, *lines, "", _LETTER_ONLY])
    return _with_text(messages, text)


def schema_messages(messages: Sequence[Message], questions: Sequence[Question]) -> list[Message]:
    """Return the prompt for all questions, to be answered in one object."""
    lines = ["Answer these questions about the above, each with one of its options.", ""]
    for key, question in zip(_keys_of(questions), questions):
        options = "" if question.kind == "predicate" else f" ({'; '.join(_option_lines(question))})"
        lines.append(f"- {key}: {question.text}{options}")
    return _with_text(messages, "\n".join(lines))


def schema_of_questions(questions: Sequence[Question]) -> dict[str, Any]:
    """Return the JSON schema of the answers."""
    keys = _keys_of(questions)
    properties = {
        key: {"type": "boolean"} if question.kind == "predicate" else {"type": "string", "enum": list(question.labels)}
        for key, question in zip(keys, questions)
    }
    return {"type": "object", "properties": properties, "required": keys, "additionalProperties": False}


def read_values(data: Mapping[str, Any], questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
    """Return the records for data that fits the schema; they have no probabilities."""
    return {question.name: _value_record(data[key], question) for key, question in zip(_keys_of(questions), questions)}


def letter_record(reply: Reply, question: Question) -> dict[str, Any] | None:
    """Return the record of an answer by its letter, None if the first token is none of the letters.

    The probabilities of the options are known only if the service reports those of all letters.
    """
    entries = _first_token(reply.raw)
    letters = list(LETTERS[: len(question.labels)])
    if entries is None or entries[0][0] not in letters:
        return None
    chosen = question.labels[letters.index(entries[0][0])]
    record: dict[str, Any] = {"source": "logprobs", "choice": chosen}
    # A letter with and without a blank before it is the same answer.
    found: dict[str, float] = {}
    for text, logprob in entries[1:]:
        if text in letters:
            found[text] = found.get(text, 0.0) + math.exp(logprob)
    total = sum(found.values())
    if len(found) == len(letters) and total > 0:
        shares = [found[letter] / total for letter in letters]
        record["probabilities"] = dict(zip(question.labels, shares))
        record["choice"] = question.labels[shares.index(max(shares))]
        record["unassigned"] = max(0.0, 1.0 - total)
    if question.kind == "score":
        record["score"] = _expected(record, question)
    return record


_LETTER_ONLY = "Answer with the letter of the option and nothing else."


def _value_record(value: Any, question: Question) -> dict[str, Any]:
    choice = (YES if value else NO) if question.kind == "predicate" else value
    record = {"source": "schema", "choice": choice}
    return {**record, "score": _expected(record, question)} if question.kind == "score" else record


def _expected(record: Mapping[str, Any], question: Question) -> float:
    """Return the expected level, without probabilities the one that was chosen."""
    probabilities = record.get("probabilities")
    if probabilities is None:
        return float(question.labels.index(record["choice"]))
    return float(sum(number * probabilities[label] for number, label in enumerate(question.labels)))


def _option_lines(question: Question) -> Iterator[str]:
    if question.kind == "predicate":
        yield from ("yes", "no")
        return
    for label, description in question.described():
        yield f"{label}: {description}" if description else label


def _keys_of(questions: Sequence[Question]) -> list[str]:
    """Return a key for each question that every service takes in a schema."""
    keys: list[str] = []
    for number, question in enumerate(questions, 1):
        key = re.sub(r"[^A-Za-z0-9]+", "_", question.name).strip("_")[:40] or f"question_{number}"
        while key in keys:
            key += f"_{number}"
        keys.append(key)
    return keys


def _with_text(messages: Sequence[Message], text: str) -> list[Message]:
    """Return the messages with a text after the last, in the same turn if that is the user's."""
    *others, last = messages
    if last.role != "user":
        return [*messages, Message("user", text)]
    content = last.content
    if isinstance(content, str):
        return [*others, replace(last, content=f"<input>\n{content}\n</input>\n\n{text}")]
    return [*others, replace(last, content=[*content, {"type": "text", "text": text}])]


def _first_token(records: Sequence[Any]) -> list[tuple[str, float]] | None:
    """Return the first token of an answer, and after it all tokens that could have been there, with logprobs."""
    for record in records:
        entry = _entry_in(record)
        if entry is not None:
            alternatives = [(_clean(other), _logprob_of(other)) for other in entry.get("top_logprobs") or ()]
            return [(_clean(entry), 0.0), *alternatives]
    return None


def _entry_in(record: Any) -> Any:
    """Return the entry of the first token in a record of a stream: OpenAI's chat completions, or Ollama's own."""
    record = dict_or_empty(record)
    choices = record.get("choices")
    holder = dict_or_empty(choices[0]) if isinstance(choices, list) and choices else record
    return next(iter(logprobs.entries_of(holder.get("logprobs"))), None)


def _logprob_of(entry: Mapping[str, Any]) -> float:
    logprob = logprobs.parse_logprob(entry["logprob"])
    if logprob is None:
        raise ValueError(f"{entry['logprob']!r} is not the logarithm of a probability")
    return logprob


def _clean(entry: Mapping[str, Any]) -> str:
    return str(entry["token"]).strip()
