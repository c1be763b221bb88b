"""Call -> several answers as one: rounds of tool calls, and a retry if an answer does not fit its schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, TypeVar

from aichatkit._dataclasses import field_names, replace
from aichatkit.call.answer import BaseAnswer
from aichatkit.call.call import Call
from aichatkit.call.targets import Target
from aichatkit.chunks import Citation, Search, Usage
from aichatkit.errors import ChatError, SchemaError, StreamInterruptedError, ToolError
from aichatkit.messages import Message, ToolResultMessage
from aichatkit.reply import PAUSED, Attempt, Reply, sum_known
from aichatkit.tools.sources import running_for

if TYPE_CHECKING:
    from aichatkit.call.answer_like import AnswerLike
    from aichatkit.providers.base import Options, Provider
    from aichatkit.tools.functions import Toolbox

__all__ = ["ToolRounds", "combine_replies", "repair_messages"]

#: Counts that services may leave out if they are zero.
_PARTS = ("cached_tokens", "reasoning_tokens", "cache_write_tokens", "searches")
_Error = TypeVar("_Error", bound=ChatError)
#: How often an answer in which the service runs tools may pause before it is given up.
_MAX_PAUSES = 10
#: More calls in one answer come from a model that repeats itself.
_MAX_CALLS = 256


class ToolRounds(BaseAnswer):
    """One or more answers as one: between them, tools run here and their results are sent back.

    `open_next` opens the answer of each round.
    """

    def __init__(self, call: Call, open_next: Callable[[Call], AnswerLike]) -> None:
        super().__init__()
        assert call.toolbox is not None
        self._call = call
        self._open_next = open_next
        self._messages = list(call.messages)
        self._toolbox: Toolbox = call.toolbox
        self._remaining = call.max_rounds
        self._pauses = _MAX_PAUSES
        self._paused: list[Reply] = []
        self._schema = call.schema
        self._repairs = call.repairs
        self._partial = None if call.schema is None else call.schema.partial_data()
        self._replies: list[Reply] = []
        #: Where the text of each reply begins in the whole, None if it is not part of it.
        self._offsets: list[int | None] = []
        self._gap = ""
        #: The calls and results of the rounds so far, for the history of a chat.
        self._turn: list[Message] = []
        #: Text and attempts of the rounds before the current one.
        self._earlier_text = ""
        self._earlier_attempts: list[Attempt] = []
        #: "close" or "cancel" once the reader has given up.
        self._given_up = ""
        self._answer = open_next(call)
        self._chunks = self._read()

    @property
    def provider(self) -> Provider:
        """The provider that answers the current round."""
        return self._answer.provider  # type: ignore[no-any-return]

    @property
    def model(self) -> str:
        """The model that was requested."""
        return self._answer.model

    @property
    def text(self) -> str:
        """The text of all rounds received so far."""
        return self._earlier_text + self._answer.text

    @property
    def reasoning(self) -> str:
        """The reasoning of all rounds received so far."""
        # Once the current answer has ended, its reply is the last of the replies.
        earlier = [reply.reasoning for reply in self._replies if reply is not self._answer.reply]
        return "\n\n".join(filter(None, [*earlier, self._answer.reasoning]))

    @property
    def partial_data(self) -> Any:
        """The data of the current round received so far, at the end that of the reply."""
        return super().partial_data if self._partial is None else self._partial.value

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt of all rounds so far, in order."""
        return [*self._earlier_attempts, *self._answer.attempts]

    @property
    def closed(self) -> bool:
        """Whether the connection of the current round is closed."""
        return self._answer.closed

    def close(self) -> None:
        """Free the connection and start no further round; closing twice is fine."""
        self._given_up = self._given_up or "close"
        self._answer.close()
        self._notify_closed()

    def cancel(self) -> None:
        """Wake up a reader in another thread, which then raises; between two rounds it raises before the next."""
        self._given_up = "cancel"
        self._answer.cancel()

    def unfinished(self) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""
        return self._with_earlier(self._answer.unfinished())

    def _read(self) -> Iterator[str]:
        try:
            while True:
                yield from self._read_round()
                reply = self._answer.reply
                if reply is None:
                    return
                self._replies.append(reply)
                self._offsets.append(len(self._earlier_text))
                messages = self._next_messages(reply)
                if isinstance(messages, Reply):
                    self.reply = messages
                    break
                self._messages += messages
                # An answer that does not fit the schema is replaced, not continued.
                is_paused = reply.finish_reason == PAUSED
                earlier_text = self.text if reply.tool_calls or is_paused else ""
                if not earlier_text:
                    self._offsets = [None] * len(self._offsets)
                self._gap = "" if is_paused else "\n\n"
                if not self._open_round(earlier_text):
                    return
        except ChatError as error:
            self._notify_failed(error)
            raise
        self._notify_complete(self.reply)
        self.close()

    def _read_round(self) -> Iterator[str]:
        gap = self._gap if self._earlier_text else ""
        try:
            for chunk in self._answer:
                if gap:
                    self._earlier_text += gap
                    yield gap
                    gap = ""
                if self._partial is not None:
                    self._partial.add(chunk)
                yield chunk
        except ChatError as error:
            failure = error
        else:
            return
        raise self._with_earlier(failure)

    def _open_round(self, earlier_text: str) -> bool:
        """Open the next answer, unless the reader gave up while the tools ran."""
        if self._given_up == "close":
            return False
        if self._given_up:
            raise self.unfinished()
        if self._partial is not None and self._replies[-1].finish_reason != PAUSED:
            self._partial.restart()
        attempts = self.attempts
        targets = _prefer_current(self._answer, self._call.targets)
        if self._replies[-1].finish_reason == PAUSED:
            # Only the service itself can go on.
            targets = targets[:1]
        try:
            if self._call.before_round is not None:
                self._call.before_round()
            options = _next_options(self._call.options, self._replies)
            call = replace(self._call, messages=list(self._messages), targets=targets, options=options)
            answer = self._open_next(call)
        except ChatError as error:
            failure = error
        else:
            self._answer, self._earlier_attempts, self._earlier_text = answer, attempts, earlier_text
            if self._given_up:
                # While this answer was opened.
                answer.close() if self._given_up == "close" else answer.cancel()
            return True
        failure.partial = self.text
        failure.attempts = [*attempts, *failure.attempts]
        raise failure

    def _next_messages(self, reply: Reply) -> list[Message] | Reply:
        """Return the messages that the next round adds, or the complete reply if there is no next round."""
        if self._toolbox.can_run(reply.tool_calls):
            return self._run_tools(reply)
        if reply.finish_reason == PAUSED and reply.blocks and not reply.tool_calls:
            return self._resume(reply)
        complete = combine_replies(reply, self._replies, self.text, self.attempts, self._offsets)
        complete = replace(complete, blocks=_join_pauses(reply, self._paused).blocks)
        found = self._toolbox.findings(complete.text)
        if found.searches or found.citations:
            searches, citations = [*complete.searches, *found.searches], [*complete.citations, *found.citations]
            complete = replace(complete, searches=searches, citations=citations)
        if self._turn:
            complete = replace(complete, turn=[*self._turn, self._message_of(reply)])
        # Tool calls that the caller has to run come before the answer that has to fit the schema.
        if self._schema is not None and self._partial is not None and not reply.tool_calls:
            try:
                complete = replace(complete, data=self._schema.parse(reply))
                self._partial.end_with(partial(self._schema.plain_data, reply))
            except SchemaError as error:
                if self._repairs and error.repairable and reply.finish_reason != "length":
                    return self._repair(reply, error.message)
                error.attempts = self.attempts
                raise
        return complete

    def _run_tools(self, reply: Reply) -> list[Message]:
        if not self._remaining:
            raise self._tool_error(
                reply, "the model still asks for tools when the rounds are used up; raise max_rounds"
            )
        count = len(reply.tool_calls)
        if count > _MAX_CALLS:
            raise self._tool_error(
                reply, f"the model asks for {count:,} tool calls at once, and at most {_MAX_CALLS} are run"
            )
        self._remaining -= 1
        try:
            with running_for(self._call.traceparent):
                results = [ToolResultMessage("tool", self._toolbox.run(call), call) for call in reply.tool_calls]
        except ChatError as error:
            error.partial, error.attempts = self.text, self.attempts
            raise
        self._turn += [self._message_of(reply), *results]
        return [reply.message, *results]

    def _resume(self, reply: Reply) -> list[Message]:
        """Return the message that makes the service go on with an answer that it paused."""
        if not self._pauses:
            error = StreamInterruptedError(
                f"{reply.provider}: the answer was paused {_MAX_PAUSES + 1} times and is not complete; "
                "ask for less, or limit the search with search={'max_searches': ...}",
                provider=reply.provider,
                model=reply.model,
                partial=self.text,
                attempts=self.attempts,
            )
            error.action = "stop"
            raise error
        self._pauses -= 1
        self._paused.append(reply)
        return [reply.message]

    def _message_of(self, reply: Reply) -> Message:
        """Return a reply as one message, together with the pauses before it."""
        paused, self._paused = self._paused, []
        return _join_pauses(reply, paused).message

    def _tool_error(self, reply: Reply, problem: str) -> ToolError:
        return ToolError(
            f"{reply.provider}: {problem}",
            provider=reply.provider,
            model=reply.model,
            partial=self.text,
            attempts=self.attempts,
        )

    def _repair(self, reply: Reply, problem: str) -> list[Message]:
        self._repairs -= 1
        return repair_messages(reply, problem)

    def _with_earlier(self, error: _Error) -> _Error:
        """Add the text and attempts of the earlier rounds to an error of the current one."""
        error.partial = self._earlier_text + error.partial
        error.attempts = [*self._earlier_attempts, *error.attempts]
        return error


def repair_messages(reply: Reply, problem: str) -> list[Message]:
    """Return the turns that ask for another answer in place of one that does not fit the schema."""
    request = f"That cannot be used: {problem}. Answer again with nothing but JSON that fits the schema."
    return [Message("assistant", reply.text), Message("user", request)]


def _prefer_current(answer: AnswerLike, targets: Sequence[Target]) -> Sequence[Target]:
    """Put the target of the current answer first, as it made the tool calls."""
    current = (answer.provider.name, answer.model)
    return sorted(targets, key=lambda target: (target.provider.name, target.model) != current)


def combine_replies(
    last: Reply,
    replies: Sequence[Reply],
    text: str,
    attempts: list[Attempt],
    offsets: Sequence[int | None] | None = None,
) -> Reply:
    """Return the last reply with the text, images, usage and cost of all rounds.

    `offsets` says where the text of each reply begins in the whole; by default only that of the last is in it.
    """
    offset = len(text) - len(last.text)
    starts: list[int | None] = [None] * len(replies) if offsets is None else list(offsets)
    starts[-1:] = [offset]
    return replace(
        last,
        text=text,
        images=[image for reply in replies for image in reply.images],
        citations=list(
            dict.fromkeys(
                _moved(citation, start) for reply, start in zip(replies, starts) for citation in reply.citations
            )
        ),
        searches=_join_searches(replies),
        logprobs=[token for reply in replies for token in reply.logprobs],
        reasoning="\n\n".join(reply.reasoning for reply in replies if reply.reasoning),
        thoughts=[thought._replace(after_text=thought.after_text + offset) for thought in last.thoughts],
        raw=[record for reply in replies for record in reply.raw],
        usage=_total_usage([reply.usage for reply in replies]),
        cost=sum_known([reply.cost for reply in replies]),
        saved=sum_known([reply.saved for reply in replies]),
        attempts=attempts,
        elapsed=sum(reply.elapsed for reply in replies),
    )


def _join_pauses(reply: Reply, paused: Sequence[Reply]) -> Reply:
    """Return a reply with the text and the blocks of the pauses before it."""
    if not paused:
        return reply
    replies = [*paused, reply]
    return replace(
        reply,
        text="".join(reply.text for reply in replies),
        blocks=[block for reply in replies for block in reply.blocks],
        citations=[],
    )


def _moved(citation: Citation, offset: int | None) -> Citation:
    """Return a citation with its place in the text of all rounds, without a place if its text is not in it."""
    if offset is None or citation.start is None or citation.end is None:
        return citation._replace(start=None, end=None)
    return citation._replace(start=citation.start + offset, end=citation.end + offset)


def _join_searches(replies: Sequence[Reply]) -> list[Search]:
    """Return the searches of all rounds; one whose results come after a pause is one search."""
    searches: list[Search] = []
    is_paused = False
    for reply in replies:
        new = list(reply.searches)
        if is_paused and searches and new and not (new[0].query or searches[-1].results or searches[-1].error):
            searches[-1] = new.pop(0)._replace(query=searches[-1].query)
        searches += new
        is_paused = reply.finish_reason == PAUSED
    return searches


def _next_options(options: Options, replies: Sequence[Reply]) -> Options:
    """Return the options of the next round: no tool is forced again, and searches so far count."""
    if options.tool_choice is not None and any(reply.tool_calls for reply in replies):
        options = replace(options, tool_choice=None)
    search = options.search
    if search is not None and search.max_searches is not None:
        used = sum(reply.usage.searches or len(reply.searches) for reply in replies)
        # The service requires at least one.
        options = replace(options, search=search._replace(max_searches=max(1, search.max_searches - used)))
    return options


def _total_usage(usages: Sequence[Usage]) -> Usage:
    """Return the usage of all rounds; a total that one of them lacks is None, a part counts where it is reported."""
    columns = {name: [getattr(usage, name) for usage in usages] for name in field_names(Usage)}
    totals = {name: column for name, column in columns.items() if name not in _PARTS or column == [None] * len(column)}
    parts = {name: sum(filter(None, column)) for name, column in columns.items() if name not in totals}
    return Usage(**parts, **{name: None if None in column else sum(column) for name, column in totals.items()})
