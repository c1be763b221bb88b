"""Questions about the rows of batch jobs: a line for each request of a row, and the answers of all its lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import replace
from aichatkit.batch.rows import Row
from aichatkit.batch.workers import BoundAsk
from aichatkit.batch_jobs.journal import Finding
from aichatkit.batch_jobs.protocols.base import JobProtocol
from aichatkit.batch_jobs.records import JobRecord, JobRow, RowResult, RowState
from aichatkit.batch_jobs.work import ChatWork, PlannedRow, RowLine, RowRequest, encode_request
from aichatkit.call.call import Call
from aichatkit.call.request import ProviderRequest
from aichatkit.call.targets import Target
from aichatkit.decisions import emulation
from aichatkit.decisions.forms import DecisionForm, format_records, records_of
from aichatkit.decisions.questions import Question
from aichatkit.decisions.request import DecisionAttempts, combine, missing_probabilities, read_reply
from aichatkit.decisions.services import find_service
from aichatkit.errors import ConfigurationError, EmptyAnswerError, SchemaError
from aichatkit.middleware.cache import store_reply
from aichatkit.providers.base import parsing
from aichatkit.reply import Reply

__all__ = ["DecisionWork"]

#: The round of a line with all questions of a row, and of the line with its first question; the others follow it.
_VALUES, _LETTERS = 1, 1001


class DecisionWork(ChatWork):
    """Rows about which a chat model answers questions: in one line, or in a line for each question.

    The answers of lines are drafts, with records as the text of their replies, until the row has all of them.
    """

    keeps_drafts = True
    shares_beginning = False
    is_bounded = False

    def refusal(self, target: Target) -> ConfigurationError | None:
        form = self._form
        if find_service(target, emulate=form.emulate) is None:
            return None
        name = f"{target.provider.name}/{target.model}"
        hint = "; with emulate=True, a chat model answers in jobs" if form.emulate is None else ""
        return ConfigurationError(
            f"decide: {name} answers at a decisions endpoint, and no service is known to have batch jobs for that"
            f"{hint}; leave batch= out",
            provider=target.provider.name,
        )

    def build_lines(self, planned: PlannedRow, target: Target, protocol: JobProtocol) -> Sequence[RowLine]:
        call = self._build_call(planned.row.prompt)
        attempts = _checked(call, target)
        if not planned.drafts and attempts.parts[0].way == "logprobs":
            numbers = list(range(_LETTERS, _LETTERS + len(attempts.parts)))
        else:
            numbers = self._missing(planned.drafts)
        requests = [self._request(attempts, number, planned.drafts) for number in numbers]
        return [
            RowLine(number, encode_request(request, call, target, protocol).encoded)
            for number, request in zip(numbers, requests)
        ]

    def read(
        self,
        job: JobRecord,
        row: JobRow,
        result: RowResult,
        *,
        protocol: JobProtocol,
        drafts: Mapping[int, Reply],
        waiting: Row | None,
    ) -> Finding:
        try:
            reply = self._read_reply(job, result, protocol)
        except EmptyAnswerError:
            if row.round < _LETTERS:
                raise
            # A thought took the only token. What it cost is not known.
            reply = Reply("", job.provider, job.model)
        try:
            records = self._read_records(job, row, reply, result, drafts)
        except SchemaError as error:
            return Finding(row, RowState.FAILED, None, error, reply.cost)
        names = [question.name for question in self._form.questions.atoms]
        draft = replace(reply, text=format_records(records, names), turn=[], raw=[])
        known = {**records_of(drafts.values()), **records}
        if len(known) < len(names):
            return Finding(row, RowState.DRAFT, draft, None, reply.cost)
        whole = combine([*drafts.values(), draft], format_records(known, names))
        if waiting is not None and self._call.context.cache is not None:
            store_reply(self._build_call(waiting.prompt), whole)
        return Finding(row, RowState.ANSWERED, whole, None, reply.cost)

    def ask_rest(self, ask: BoundAsk, drafts: Mapping[int, Reply]) -> BoundAsk:
        form = replace(self._form, known=list(drafts.values()))
        return BoundAsk(ask.ask, {**ask.options, "form": form})

    @property
    def _form(self) -> DecisionForm:
        assert isinstance(self._call.schema, DecisionForm)
        return self._call.schema

    def _read_records(
        self, job: JobRecord, row: JobRow, reply: Reply, result: RowResult, drafts: Mapping[int, Reply]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return the records in the answer of a line; none if it is not one of the letters."""
        if row.round < _LETTERS:
            return read_reply(reply, self._open_questions(drafts))
        question = self._form.questions.atoms[row.round - _LETTERS]
        with parsing(job.provider, "logprobs"):
            record = emulation.letter_record(replace(reply, raw=[result.body]), question)
        if record is not None and "probabilities" not in record and self._form.needs_probabilities:
            record = None
        if record is None and self._form.needs_probabilities:
            raise missing_probabilities(job.provider, job.model)
        return {} if record is None else {question.name: record}

    def _missing(self, drafts: Mapping[int, Reply]) -> list[int]:
        """Return the rounds of the lines that a row lacks.

        If the answer to a question was not a letter, the rest is asked by structured output, as in live calls.
        """
        letters = [number for number in drafts if number >= _LETTERS]
        if not letters or any(not json.loads(drafts[number].text) for number in letters):
            return [_VALUES]
        return [
            number for number in range(_LETTERS, _LETTERS + len(self._form.questions.atoms)) if number not in drafts
        ]

    def _open_questions(self, drafts: Mapping[int, Reply]) -> list[Question]:
        known = records_of(drafts.values())
        return [question for question in self._form.questions.atoms if question.name not in known]

    def _request(self, attempts: DecisionAttempts, number: int, drafts: Mapping[int, Reply]) -> ProviderRequest:
        if number >= _LETTERS:
            return attempts.letter_request(attempts.request, self._form.questions.atoms[number - _LETTERS])
        return attempts.values_request(attempts.request, self._open_questions(drafts))

    def _original(self, call: Call, row: JobRow, target: Target, protocol: JobProtocol) -> RowRequest:
        return encode_request(self._request(_checked(call, target), row.round, {}), call, target, protocol)


def _checked(call: Call, target: Target) -> DecisionAttempts:
    attempts = DecisionAttempts(call, target, call.sleeper(), [])
    attempts.check()
    return attempts
