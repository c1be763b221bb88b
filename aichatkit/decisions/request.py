"""Questions -> answers at one target: the requests it takes, with the keys, limits and retries of a call."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit._warnings import warn_user
from aichatkit.call.attempt import TargetAttempts
from aichatkit.call.base_answer import FinishedAnswer
from aichatkit.call.call import Call
from aichatkit.call.cost import charge_of, utc_now
from aichatkit.call.request import ProviderRequest, encode_body, fetch_json, prepare
from aichatkit.call.targets import Target
from aichatkit.classification import classify
from aichatkit.decisions import emulation
from aichatkit.decisions.answers import check_reported
from aichatkit.decisions.forms import DecisionForm, format_records, records_of
from aichatkit.decisions.questions import Question
from aichatkit.decisions.services import DecisionService, find_service, max_logprobs, no_service_error
from aichatkit.decisions.wires import WIRES, build_request
from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ConfigurationError,
    EmptyAnswerError,
    ModelNotFoundError,
    SchemaError,
)
from aichatkit.limits.waits import Sleeper
from aichatkit.providers.base import Provider, parsing
from aichatkit.reply import Attempt, Reply, sum_known, sum_usage
from aichatkit.streams import Stream
from aichatkit.structured.forms import Form
from aichatkit.transport.transport import Transport

__all__ = ["DecisionAttempts", "Part", "check_emulation", "combine", "missing_probabilities", "read_reply"]

_MAX_BYTES = 64 << 20
_NEEDS = "a threshold and a likelihood need probabilities"


class Part(NamedTuple):
    """The questions of one request, and how they are asked: "decision", "logprobs" or "schema"."""

    way: str
    questions: Sequence[Question]


class _Received:
    """The reply to one request, for `TargetAttempts`, which manages the slots of rate limits."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def when_closed(self, callback: Callable[[Reply | None], None]) -> None:
        """Call back at once: the answer is complete."""
        callback(self.reply)

    def when_failed(self, callback: Callable[[ChatError], None]) -> None:
        """Do nothing: the answer is complete."""


class DecisionAnswer(FinishedAnswer):
    """The answers to all questions, which are read as the text of a reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply, [reply.text], reply.attempts)


class DecisionAttempts(TargetAttempts):
    """The attempts to get the answers at one target; requests that succeeded are not sent again."""

    def __init__(self, call: Call, target: Target, sleeper: Sleeper, attempts: list[Attempt]) -> None:
        assert isinstance(call.schema, DecisionForm)
        self._form = call.schema
        self._service = find_service(target, emulate=self._form.emulate)
        # The questions are not the schema of a chat, and a decision model takes no sampling parameters.
        params = {} if self._service is not None else call.options.params
        options = replace(call.options, schema=None, params=params)
        super().__init__(replace(call, options=options), target, sleeper, attempts)
        self._records: dict[str, dict[str, Any]] = records_of(self._form.known)
        self._replies: list[Reply] = list(self._form.known)
        #: The requests that it takes, once they have been checked.
        self.parts: list[Part] = []

    def check(self) -> None:
        """Find out how the target answers; raise if it cannot. Nothing is sent."""
        super().check()
        service = self._service
        atoms = [question for question in self._form.questions.atoms if question.name not in self._records]
        if service is not None:
            self._check_limits(service, atoms)
            size = service.questions
            self.parts = [Part("decision", atoms[start : start + size]) for start in range(0, len(atoms), size)]
            # What cannot be sent is an error now.
            WIRES[service.wire].body(self.call.messages, atoms, self.provider)
            return
        self.parts = self._plan_emulation(atoms)

    def open(self) -> Any:
        """Send what is missing, one request after the other, and return the answer."""
        started = self.state.clock()
        while self.parts:
            received: Any = super().open()
            self._replies.append(received.reply)
            self.parts.pop(0)
        return DecisionAnswer(self._whole_reply(started))

    def give_up(self, error: BaseException) -> None:
        """Complete the final error with the answers so far."""
        super().give_up(error)
        if not isinstance(error, ChatError):
            return
        if self._records and not error.partial:
            error.partial = self._text()
        # Some services have another status for a model that does not decide.
        says_so = error.status == 400 and "decision" in error.message.lower()
        is_missing = isinstance(error, ModelNotFoundError) or error.status == 404 or says_so
        if is_missing and self._service is not None and self._form.emulate is None:
            error.message += "; with emulate=True, a chat model answers instead"
            error.args = (error.message,)

    def values_request(self, request: ProviderRequest, questions: Sequence[Question]) -> ProviderRequest:
        """Return the request that asks a chat model questions by structured output."""
        options = replace(request.options, schema=emulation.schema_of_questions(questions))
        return replace(request, messages=emulation.schema_messages(request.messages, questions), options=options)

    def letter_request(self, request: ProviderRequest, question: Question) -> ProviderRequest:
        """Return the request that asks a chat model for the letter of an option and its probabilities."""
        count = max_logprobs(self.provider, self.context.record(self.target))
        fields = {**request.options.extra, "logprobs": True, "top_logprobs": count}
        params = {**request.options.params, "max_tokens": 1, "temperature": 0}
        options = replace(request.options, params=params, extra=fields)
        messages = emulation.letter_messages(request.messages, question)
        return replace(request, messages=messages, options=options, keep_raw=True)

    def _check_limits(self, service: DecisionService, atoms: Sequence[Question]) -> None:
        for question in atoms:
            limit = service.levels if question.kind == "score" else service.options
            if len(question.labels) > limit:
                noun = "levels" if question.kind == "score" else "options"
                raise ConfigurationError(
                    f"decide: {question.name!r} has {len(question.labels)} {noun}, and {self.provider.name} takes "
                    f"{limit}; gemini takes 255, and so does structured output with emulate=True",
                    provider=self.provider.name,
                    action="next",
                )

    def _plan_emulation(self, atoms: Sequence[Question]) -> list[Part]:
        """Return the requests to a chat model: one for each question with its letters, or one for all of them."""
        name = f"{self.provider.name}/{self.target.model}"
        if check_emulation(self._form, self.provider, self.target.model, self.context.record(self.target)):
            self._report_emulation(name, "with a request for each question")
            return [Part("logprobs", [question]) for question in atoms]
        self._report_emulation(name, "with structured output, which has no probabilities")
        return [Part("schema", atoms)]

    def _report_emulation(self, name: str, way: str) -> None:
        key = (self.provider.name, self.target.model, "decide")
        if self._form.emulate is None and key not in self.context.warned:
            self.context.warned[key] = True
            warn_user(f"{name} is a chat model, so decide asks it {way}, and its output is charged; see emulate=")

    def _send(self, request: ProviderRequest, http: Transport) -> Any:
        part = self.parts[0]
        if part.way == "decision":
            return _Received(self._ask_service(part.questions, http))
        if part.way == "schema":
            return _Received(self._ask_values(request, part.questions, http))
        try:
            reply = self._ask_letter(request, part.questions[0], http)
        except EmptyAnswerError:
            # A thought took the only token. What it cost is not known.
            is_free = self.provider.is_free(self.target.model)
            reply = Reply("", self.provider.name, self.target.model, cost=0.0 if is_free else None)
        if part.questions[0].name not in self._records:
            # The first token was a thought, or came without its probabilities: the same will be true of the others.
            rest = [question for each in self.parts for question in each.questions]
            self._check_needs()
            self.parts[:] = [part, Part("schema", rest)]
        return _Received(reply)

    def _check_needs(self) -> None:
        if self._form.needs_probabilities:
            raise missing_probabilities(self.provider.name, self.target.model)

    def _ask_service(self, questions: Sequence[Question], http: Transport) -> Reply:
        provider, model, service = self.provider, self.target.model, self._service
        assert service is not None
        tokens = prepare(provider, http)
        http_request = build_request(
            provider, service, model, self.call.messages, questions, self.call.options.extra, tokens
        )
        http_request = encode_body(http_request, self._request)
        if self.context.on_request is not None:
            self._emit_request(http_request)
        record, headers = fetch_json(
            http, http_request, provider=provider, model=model, limit=_MAX_BYTES, what="the answers"
        )
        if not isinstance(record, dict):
            raise BadResponseError(
                f"{provider.name}: expected a JSON object and got: {json.dumps(record)[:100]}", provider=provider.name
            )
        if record.get("error"):
            raise classify.event_error(record, provider=provider.name, model=model, rules=provider.rules)
        with parsing(provider.name, "decisions", lambda: record):
            parsed = WIRES[service.wire].parse(record, questions, provider)
            records = {
                question.name: check_reported(
                    reported, question, provider=provider.name, model=model, source="decision"
                )
                for question, reported in zip(questions, parsed.reported)
            }
        self._records.update(records)
        answered = parsed.model or model
        charge = charge_of(provider, [answered, model], parsed.usage, self.context.catalog, parsed.bill, at=utc_now())
        return Reply(
            "",
            provider.name,
            answered,
            usage=parsed.usage,
            cost=charge.cost,
            saved=charge.saved,
            headers=headers,
        )

    def _ask_values(self, request: ProviderRequest, questions: Sequence[Question], http: Transport) -> Reply:
        reply = self._chat(self.values_request(request, questions), http)
        try:
            self._records.update(read_reply(reply, questions))
        except SchemaError as error:
            error.action = "next"
            raise
        return reply

    def _ask_letter(self, request: ProviderRequest, question: Question, http: Transport) -> Reply:
        reply = self._chat(self.letter_request(request, question), http)
        with parsing(self.provider.name, "logprobs"):
            record = emulation.letter_record(reply, question)
        if record is not None and not (self._form.needs_probabilities and "probabilities" not in record):
            self._records[question.name] = record
        return reply

    def _chat(self, request: ProviderRequest, http: Transport) -> Reply:
        return Stream(super()._send(request, http)).read()

    def _text(self) -> str:
        return format_records(self._records, [question.name for question in self._form.questions.atoms])

    def _whole_reply(self, started: float) -> Reply:
        whole = combine(self._replies, self._text())
        return replace(whole, elapsed=self.state.clock() - started, attempts=[])


def check_emulation(form: DecisionForm, provider: Provider, model: str, record: Mapping[str, object] | None) -> bool:
    """Return whether a chat model is asked for letters; raise ConfigurationError if it cannot stand in."""
    if form.emulate is False:
        raise no_service_error(provider.name)
    # An answer without a record was not a letter: the same would be true of the others.
    has_letters = all(records_of([reply]) for reply in form.known)
    if has_letters and emulation.takes_letters(provider, record, form.questions.atoms):
        return True
    if form.needs_probabilities:
        raise ConfigurationError(
            f"decide: {provider.name}/{model} has no probabilities, and {_NEEDS}; a decision model has them, such as "
            "'openai/gpt-6-luna' or 'gemini/gemini-decision-1'",
            provider=provider.name,
            action="next",
        )
    return False


def read_reply(reply: Reply, questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
    """Return the records in an answer by structured output; raise SchemaError if it does not have them."""
    form = Form.of(emulation.schema_of_questions(questions))
    assert form is not None
    return emulation.read_values(form.parse(reply), questions)


def combine(replies: Sequence[Reply], text: str) -> Reply:
    """Return the reply with the answers of several requests, `text`, and what they used and cost together."""
    return replace(
        replies[-1],
        text=text,
        complete=True,
        finish_reason="stop",
        usage=sum_usage(reply.usage for reply in replies),
        cost=sum_known(reply.cost for reply in replies),
        saved=sum_known(reply.saved for reply in replies),
        reasoning="",
        thoughts=[],
        citations=[],
        turn=[],
        raw=[],
    )


def missing_probabilities(provider: str, model: str) -> BadResponseError:
    """Return the error for an answer without the probabilities that its questions need."""
    return BadResponseError(
        f"{provider}: {model} did not return the probabilities of the options, and {_NEEDS}",
        provider=provider,
        model=model,
    )
