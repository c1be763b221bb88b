"""What the rows of jobs ask for: rows -> bodies of lines, and results -> findings; here, for chats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Callable, ClassVar

from aichatkit import _warnings
from aichatkit._dataclasses import NamedTuple, replace
from aichatkit.batch.rows import Row
from aichatkit.batch.workers import BoundAsk
from aichatkit.batch_jobs.answers import read_body
from aichatkit.batch_jobs.journal import Finding
from aichatkit.batch_jobs.prices import highest_expense
from aichatkit.batch_jobs.protocols import CHAT
from aichatkit.batch_jobs.protocols.base import JobProtocol
from aichatkit.batch_jobs.records import JobRecord, JobRow, RowResult, RowState
from aichatkit.call import refusals
from aichatkit.call.attempt import TargetAttempts, open_transport
from aichatkit.call.call import Call, memoize
from aichatkit.call.request import ProviderRequest, build_http_request, encode_body
from aichatkit.call.targets import Target
from aichatkit.errors import ChatError, ConfigurationError, ContentFilteredError, SchemaError
from aichatkit.middleware.cache import find_cached, store_reply
from aichatkit.middleware.estimates import Expense
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.middleware.tool_rounds import combine_replies, repair_messages
from aichatkit.prompt_caching.plan import RowHead
from aichatkit.prompt_caching.policy import plan_for_job
from aichatkit.reply import Reply

__all__ = ["ChatWork", "PlannedRow", "RowLine", "RowRequest", "RowWork", "build_row", "encode_request"]

#: How often an answer that does not fit its schema is asked again.
_REPAIRS = 1


class PlannedRow(NamedTuple):
    """A row that is to go into a job; `drafts` are its earlier answers by their rounds, which are not all it needs."""

    row: Row
    key: bytes
    tries: int = 0
    drafts: Mapping[int, Reply] = {}


class RowRequest(NamedTuple):
    """The request of one line: what it asks, and the body that is sent."""

    request: ProviderRequest
    body: dict[str, Any]
    encoded: bytes


class RowLine(NamedTuple):
    """A line of a row: its round, and its body as JSON."""

    round: int
    encoded: bytes


class RowWork(ABC):
    """What the rows of a run in jobs ask for."""

    #: The endpoint of the services that the rows are for, as `find_protocol` names it.
    endpoint: ClassVar[str] = CHAT
    #: Whether the drafts of a row that failed are still of use.
    keeps_drafts: ClassVar[bool] = False
    #: Whether the beginning that rows share can be marked for the prompt cache.
    shares_beginning: ClassVar[bool] = False
    #: Whether it can be known what a row may use at most.
    is_bounded: ClassVar[bool] = True

    def __init__(self) -> None:
        #: Lines of the results of rows that were collected here, for calls with `raw=True`.
        self.raw: dict[bytes, list[Any]] = {}
        #: The beginning of the rows that is marked for the prompt cache.
        self.head: RowHead | None = None

    def refusal(self, target: Target) -> ConfigurationError | None:
        """Return why jobs of a target that has jobs cannot take the rows; None if they can."""
        return None

    @abstractmethod
    def fingerprint(self, row: Row) -> bytes:
        """Return the fingerprint of a row; raise ChatError if it cannot be sent."""

    def find_cached(self, planned: PlannedRow) -> Reply | None:
        """Return the answer that the client's cache has of a row."""
        return None

    @abstractmethod
    def build_lines(self, planned: PlannedRow, target: Target, protocol: JobProtocol) -> Sequence[RowLine]:
        """Return the lines of a row.

        Raises:
            ChatError: the service does not support an option of the call.
        """

    @abstractmethod
    def highest_expense(self, planned: PlannedRow, target: Target) -> Expense:
        """Return the most that a row may use."""

    @abstractmethod
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
        """Return what the body of a result says about a row; `waiting` is its row if this run has it.

        Raises:
            ChatError: it is not an answer.
        """

    def ask_rest(self, ask: BoundAsk, drafts: Mapping[int, Reply]) -> BoundAsk:
        """Return how a row is sent live that has some of its answers; here, it starts again."""
        return ask

    def heal(self, job: JobRecord, row: JobRow, error: ChatError, *, protocol: JobProtocol, waiting: Row) -> bool:
        """Leave out from now on what the model refuses, as live calls do; return whether that changes the row."""
        return False


class ChatWork(RowWork):
    """Rows that are prompts; `call` is a sample, `build_call` returns the call of a prompt."""

    shares_beginning = True

    def __init__(self, call: Call, build_call: Callable[[Any], Call]) -> None:
        super().__init__()
        self._call = call
        self._build_call = build_call

    def fingerprint(self, row: Row) -> bytes:
        return fingerprint(self._build_call(row.prompt))

    def find_cached(self, planned: PlannedRow) -> Reply | None:
        if planned.drafts or self._call.context.cache is None:
            return None
        return find_cached(self._build_call(planned.row.prompt))

    def build_lines(self, planned: PlannedRow, target: Target, protocol: JobProtocol) -> Sequence[RowLine]:
        built = build_row(self._call_of(planned), target, protocol, self.head)
        return [RowLine(len(planned.drafts) + 1, built.encoded)]

    def highest_expense(self, planned: PlannedRow, target: Target) -> Expense:
        return highest_expense(self._call_of(planned), target, is_marked=self.head is not None)

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
        reply = self._read_reply(job, result, protocol)
        cost, form = reply.cost, self._call.schema
        if form is not None:
            try:
                form.parse(reply)
            except (SchemaError, ContentFilteredError) as error:
                is_repairable = isinstance(error, SchemaError) and error.repairable and reply.finish_reason != "length"
                if is_repairable and row.round <= _REPAIRS:
                    return Finding(row, RowState.DRAFT, reply, error, cost)
                return Finding(row, RowState.FAILED, None, error, cost)
        if drafts:
            reply = combine_replies(reply, [*drafts.values(), reply], reply.text, reply.attempts)
        if waiting is not None and reply.raw:
            self.raw[row.key] = reply.raw
        if waiting is not None and self._call.context.cache is not None:
            store_reply(self._build_call(waiting.prompt), reply)
        return Finding(row, RowState.ANSWERED, reply, None, cost)

    def heal(self, job: JobRecord, row: JobRow, error: ChatError, *, protocol: JobProtocol, waiting: Row) -> bool:
        if self._call.strict:
            return False
        call = self._build_call(waiting.prompt)
        target = next((each for each in call.targets if each.model == job.model), call.targets[0])
        memo, key = call.context.refused_params, (job.provider, job.model)
        known = memo.get(key, ())
        original = self._original(replace(call, context=call.context), row, target, protocol)
        refusals.note_refusal(error, original.body, original.request)
        changes = refusals.take_changes(error)
        fresh = tuple(change for change in changes if change not in known)
        if fresh:
            memoize(memo, key, (*known, *fresh))
            for sentence in refusals.describe(fresh):
                _warnings.warn_user(f"{job.provider}: {job.model} {sentence}; strict=True forbids that")
        # A row that was sent before the first refusal was read is changed by what is known since.
        return bool(fresh) or (bool(known) and row.tries == 0)

    def _call_of(self, planned: PlannedRow) -> Call:
        """Return the call of a row, with the turns that ask for a better answer."""
        call = self._build_call(planned.row.prompt)
        messages = list(call.messages)
        for reply in planned.drafts.values():
            assert call.schema is not None
            try:
                call.schema.parse(reply)
            except SchemaError as error:
                messages += repair_messages(reply, error.message)
        return replace(call, messages=messages)

    def _original(self, call: Call, row: JobRow, target: Target, protocol: JobProtocol) -> RowRequest:
        """Return the request of a line, for what it asked."""
        return build_row(call, target, protocol)

    def _read_reply(self, job: JobRecord, result: RowResult, protocol: JobProtocol) -> Reply:
        return read_body(
            result.body,
            provider=protocol.provider,
            model=job.model,
            http=open_transport(protocol.provider, None, self._call),
            catalog=self._call.context.catalog,
            price_factor=protocol.price_factor,
            record=result.record if self._call.keep_raw else None,
        )


def build_row(call: Call, target: Target, protocol: JobProtocol, head: RowHead | None = None) -> RowRequest:
    """Return the request of a row.

    Raises:
        ConfigurationError: the service does not support an option of the call.
    """
    attempt = TargetAttempts(call, target, call.sleeper(), [])
    attempt.check()
    return encode_request(attempt.request, call, target, protocol, head)


def encode_request(
    original: ProviderRequest, call: Call, target: Target, protocol: JobProtocol, head: RowHead | None = None
) -> RowRequest:
    """Return a request as it goes into a job: without what the model refuses, and with a plan for its cache."""
    changes = () if call.strict else call.context.refused_params.get((target.provider.name, target.model), ())
    original = replace(original, changes=changes) if changes else original
    plan = plan_for_job(original.provider, target.model, original.messages, original.options, head)
    if plan is not None:
        original = replace(original, options=replace(original.options, cache=plan))
    http = open_transport(original.provider, None, call)
    request, http_request = build_http_request(original, http)
    body = protocol.adapt_body(http_request.json or {})
    http_request.json = body
    encoded = encode_body(http_request, request).data
    assert isinstance(encoded, bytes)
    return RowRequest(original, body, encoded)
