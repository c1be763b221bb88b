"""Questions of a call <-> its reply: the text of a reply has the checked answers as JSON, from which it is restored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import dataclass
from aichatkit.decisions.questions import Questions, parse_questions
from aichatkit.decisions.results import Decisions, build_decisions, columns_of
from aichatkit.errors import ConfigurationError, SchemaError
from aichatkit.params import is_number
from aichatkit.reply import Reply
from aichatkit.structured.forms import Form

__all__ = ["DecisionForm", "format_records", "records_of"]


@dataclass(frozen=True)
class DecisionForm(Form):
    """The questions of a call, in place of a schema: `parse` returns the `Decisions` in a reply.

    `known` are replies with the records of questions that batch jobs have answered; only the others are sent.
    """

    questions: Questions
    threshold: float | None
    emulate: bool | None
    known: Sequence[Reply] = ()

    @classmethod
    def build(cls, questions: Any, text: str | None, threshold: Any, emulate: Any) -> DecisionForm:
        """Return the form for the arguments of `decide`; raise ConfigurationError if one is invalid."""
        if threshold is not None and not (is_number(threshold, above=0) and threshold < 1):
            raise ConfigurationError(f"threshold: must be a number between 0 and 1, not {threshold!r}")
        if emulate is not None and not isinstance(emulate, bool):
            raise ConfigurationError(f"emulate: must be True, False or None, not {emulate!r}")
        parsed = parse_questions(questions, text)
        # What decides the answer; it is part of the fingerprint of a call.
        identity = {"questions": [list(question) for question in parsed.atoms], "emulate": emulate}
        return cls(questions, identity, False, parsed, threshold, emulate)

    @property
    def needs_probabilities(self) -> bool:
        """Whether a value without its probability would be of no use."""
        return self.threshold is not None or any(field.shape == "likelihood" for field in self.questions.fields)

    @property
    def columns(self) -> list[str]:
        """The columns of a row in frames and files."""
        return [column for field in self.questions.fields for column in columns_of(field)]

    def parse(self, reply: Reply) -> Decisions:
        """Return the decisions in the reply of a call, or of a journal or cache."""
        problem = ""
        try:
            records = json.loads(reply.text)
            if self.needs_probabilities and self._lacks_probabilities(records):
                raise LookupError
            return build_decisions(self.questions, records, reply, self.threshold)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            problem = type(error).__name__
        raise SchemaError(
            f"{reply.provider}: the reply does not have the answers to these questions ({problem})",
            provider=reply.provider,
            model=reply.model,
            partial=reply.text,
        )

    def _lacks_probabilities(self, records: Mapping[str, Any]) -> bool:
        """Return whether the record of a yes or no has only the answer, as those of other calls may."""
        flags = [records[question.name] for question in self.questions.atoms if question.kind == "predicate"]
        return any("probabilities" not in record and not record.get("refused") for record in flags)


def records_of(replies: Iterable[Reply]) -> dict[str, Any]:
    """Return the records in some replies, by the names of their questions."""
    records: dict[str, Any] = {}
    for reply in replies:
        records.update(json.loads(reply.text))
    return records


def format_records(records: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return the text of a reply with these records, in the order of the questions."""
    return json.dumps({name: records[name] for name in names if name in records}, ensure_ascii=False)
