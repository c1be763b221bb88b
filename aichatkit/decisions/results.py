"""Answers to questions -> `Decisions`: a mapping of names to typed answers with their probabilities."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic

from aichatkit._reasons import reason_of
from aichatkit.chunks import Usage
from aichatkit.decisions.questions import Field, Questions
from aichatkit.display import markup, reply_record
from aichatkit.errors import ContentFilteredError, SchemaError
from aichatkit.reply import Attempt, Reply

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Value = TypeVar("Value", default=Any)
    Data = TypeVar("Data", default=Any)
else:
    from typing import TypeVar

    Value, Data = TypeVar("Value"), TypeVar("Data")

__all__ = ["DEFAULT_THRESHOLD", "Decision", "Decisions", "build_decisions"]

DEFAULT_THRESHOLD = 0.5


class Decision(Generic[Value]):
    """The answer to one question.

    `value` is the answer as the type that was passed. `probability` is that of the value, for a bool that of True; for
    levels, that of `label`, the likeliest level. `probabilities` has the probability of every option by its value.
    Both are None if the service does not report them.
    `source` says what they come from: "decision" for a decision model; "logprobs" for a chat model's probabilities of
    the letters of the options; "schema" for structured output of a chat model, which has no probabilities.
    `confidence` is the service's own measure, which means something else at each service; None if it reports none.
    `score` is the expected level, which may lie between two; for a list of levels, counted from 0.
    `unassigned` is the probability that a chat model gave to other words than the options.
    `usage` and `cost` are those of the call, if it asked one question only.
    A service may refuse a question: then `refused` is True, and reading `value` raises ContentFilteredError.
    """

    def __init__(
        self,
        name: str,
        value: Any = None,
        *,
        probability: float | None = None,
        probabilities: Mapping[Any, float] | None = None,
        confidence: float | None = None,
        score: float | None = None,
        label: Any = None,
        unassigned: float | None = None,
        refused: bool = False,
        source: str = "decision",
        provider: str = "",
        model: str = "",
    ) -> None:
        self.name = name
        self._value = value
        self.probability = probability
        self.probabilities = probabilities
        self.confidence = confidence
        self.score = score
        self.label = label
        self.unassigned = unassigned
        self.refused = refused
        self.source = source
        self.provider = provider
        self.model = model
        self.usage = Usage()
        self.cost: float | None = None

    @property
    def value(self) -> Value:
        """The answer, as the type that was passed; raises ContentFilteredError if the service refused the question."""
        if self.refused:
            raise ContentFilteredError(
                f"{self.provider}: {self.model} refused the question {self.name!r}",
                provider=self.provider,
                model=self.model,
            )
        return self._value  # type: ignore[no-any-return]

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain data that `json.dumps` takes; keys without a value are left out.

        Keys: value, probability, probabilities, confidence, score, label, unassigned, refused, source.
        """
        record: dict[str, Any] = {"value": self._value}
        record.update(probability=self.probability, probabilities=self.probabilities, confidence=self.confidence)
        record.update(score=self.score, label=self.label, unassigned=self.unassigned, refused=self.refused or None)
        known = {name: value for name, value in record.items() if value is not None or name == "value"}
        plain: dict[str, Any] = reply_record.plain({**known, "source": self.source})
        return plain

    _to_plain = to_dict

    def __bool__(self) -> bool:
        # A refused or a negative answer would count as true.
        raise TypeError("a Decision is neither true nor false; take its value")

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if isinstance(other, Decision) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        if self.refused:
            return f"<Decision {self.name!r}: refused by {self.provider}/{self.model}>"
        probability = "" if self.probability is None else f", probability {self.probability:.3g}"
        return f"<Decision {self.name!r}: {self._value!r}{probability}, from {self.source}>"

    def _repr_html_(self) -> str:
        return _table([self])


class Decisions(Mapping[str, Decision[Value]], Generic[Data, Value]):
    """The answers to all questions of a call, by name; a question mark at the end of a name may be left out.

    `data` has the values in the form of what was passed: a dict, or an instance of the class.
    `usage` and `cost` are those of the call; `cost` is in US dollars, None if it is not known.
    """

    def __init__(self, decisions: Mapping[str, Decision[Any]], questions: Questions, reply: Reply) -> None:
        self._decisions = dict(decisions)
        self._questions = questions
        self.provider = reply.provider
        self.model = reply.model
        self.usage = reply.usage
        self.cost = reply.cost
        self.cached = reply.cached
        self.elapsed = reply.elapsed
        self.attempts: Sequence[Attempt] = reply.attempts

    @property
    def data(self) -> Data:
        """The values, as a dict or an instance of the class.

        Raises:
            ContentFilteredError: a question was refused.
            SchemaError: the class does not take the values.
        """
        values = {name: decision.value for name, decision in self._decisions.items()}
        try:
            return self._questions.build(values)  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001 - the user's class may raise anything
            problem, reason = f"{type(error).__name__}: {error}", reason_of(error)
        raise SchemaError(
            f"{self.provider}: the answers do not fit the class: {problem}",
            provider=self.provider,
            model=self.model,
            partial=json.dumps(self.to_dict()),
            reason=reason,
        )

    @property
    def refused(self) -> list[str]:
        """The names of the questions that the service refused."""
        return [name for name, decision in self._decisions.items() if decision.refused]

    def to_dict(self) -> dict[str, Any]:
        """Return the answers by name as plain data that `json.dumps` takes, as `Decision.to_dict` does."""
        return {name: decision.to_dict() for name, decision in self._decisions.items()}

    _to_plain = to_dict

    def columns(self) -> dict[str, Any]:
        """Return the columns of a row: for each question its value and "_p", its probability.

        A question with several labels has the probability of each.
        """
        columns: dict[str, Any] = {}
        for field in self._questions.fields:
            decision = self._decisions[field.name]
            probability = decision.probabilities if field.shape == "many" else decision.probability
            values = (decision._value, probability, decision.label)
            columns.update(zip(columns_of(field), map(reply_record.plain, values)))
        return columns

    def __getitem__(self, name: str) -> Decision[Value]:
        found = self._decisions.get(name)
        return self._decisions[f"{name}?"] if found is None and f"{name}?" in self._decisions else self._decisions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decisions)

    def __len__(self) -> int:
        return len(self._decisions)

    def __repr__(self) -> str:
        parts = [f"{name}={'refused' if each.refused else repr(each._value)}" for name, each in self.items()]
        return f"<Decisions {', '.join(parts)} from {self.provider}/{self.model}>"

    def _repr_html_(self) -> str:
        return _table(self.values())


def columns_of(field: Field) -> list[str]:
    """Return the names of the columns of a question."""
    names = [field.column, f"{field.column}_p"]
    return [*names, f"{field.column}_label"] if field.shape in ("score", "level") else names


def build_decisions(
    questions: Questions, records: Mapping[str, Mapping[str, Any]], reply: Reply, threshold: float | None
) -> Decisions:
    """Return the decisions for the checked records of all questions."""
    source = {"provider": reply.provider, "model": reply.model}
    limit = DEFAULT_THRESHOLD if threshold is None else threshold
    decisions = {
        field.name: _decide(field, [records[question.name] for question in field.questions], limit, source)
        for field in questions.fields
    }
    if questions.is_single:
        (single,) = decisions.values()
        single.usage, single.cost = reply.usage, reply.cost
    return Decisions(decisions, questions, reply)


def _decide(
    field: Field, records: Sequence[Mapping[str, Any]], threshold: float, source: Mapping[str, str]
) -> Decision:
    common = {"source": records[0]["source"], **source}
    if any(record.get("refused") for record in records):
        return Decision(field.name, refused=True, **common)
    if field.shape == "many":
        return _decide_many(field, records, threshold, common)
    record, question = records[0], field.questions[0]
    reported = record.get("probabilities")
    probabilities = (
        None if reported is None else dict(zip(field.members, (reported[label] for label in question.labels)))
    )
    extra = {"confidence": record.get("confidence"), "unassigned": record.get("unassigned"), **common}
    if question.kind == "predicate":
        return _decide_predicate(field, record, probabilities, threshold, extra)
    chosen = field.members[question.labels.index(record["choice"])]
    probability = None if probabilities is None else probabilities[chosen]
    if field.shape == "choice":
        return Decision(field.name, chosen, probability=probability, probabilities=probabilities, **extra)
    score = field.base + record["score"]
    return Decision(
        field.name,
        chosen if field.shape == "level" else score,
        probability=probability,
        probabilities=probabilities,
        score=score,
        label=chosen,
        **extra,
    )


def _decide_predicate(
    field: Field,
    record: Mapping[str, Any],
    probabilities: Mapping[Any, float] | None,
    threshold: float,
    extra: Mapping[str, Any],
) -> Decision:
    yes, no = field.members
    probability = None if probabilities is None else probabilities[yes]
    if field.shape == "likelihood":
        # Without its probability, the form has rejected the record.
        assert probability is not None
        return Decision(field.name, probability * field.scale, probability=probability, **extra)
    is_true = record["choice"] == field.questions[0].labels[0] if probability is None else probability >= threshold
    return Decision(field.name, yes if is_true else no, probability=probability, probabilities=probabilities, **extra)


def _decide_many(
    field: Field, records: Sequence[Mapping[str, Any]], threshold: float, common: Mapping[str, Any]
) -> Decision:
    flags, known = {}, {}
    for member, question, record in zip(field.members, field.questions, records):
        reported = record.get("probabilities")
        yes = question.labels[0]
        flags[member] = record["choice"] == yes if reported is None else reported[yes] >= threshold
        known[member] = None if reported is None else reported[yes]
    probabilities: Any = None if None in known.values() else known
    value = flags if field.container is dict else field.container(member for member in flags if flags[member])
    return Decision(field.name, value, probabilities=probabilities, **common)


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.1%}"


def _table(decisions: Iterable[Decision[Any]]) -> str:
    rows = [
        (each.name, "refused" if each.refused else repr(each._value), _percent(each.probability), each.source)
        for each in decisions
    ]
    head = "".join(f"<th>{title}</th>" for title in ("question", "answer", "probability", "source"))
    body = "".join("<tr>" + "".join(f"<td>{markup.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table {markup.NO_MATH}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
