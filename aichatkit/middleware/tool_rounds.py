"""Several answers as one: rounds of tool calls, and a second try where an answer misses its schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Callable, TypeVar

from aichatkit._dataclasses import field_names, replace
from aichatkit.call.answer import Answer
from aichatkit.chunks import Usage
from aichatkit.errors import ChatError, ConfigurationError, SchemaError, StreamInterruptedError, ToolError
from aichatkit.messages import Message, ToolResultMessage
from aichatkit.providers.base import Provider
from aichatkit.reply import Attempt, Reply
from aichatkit.structured.forms import Form
from aichatkit.tools.functions import Toolbox

__all__ = ["ToolRounds"]

_Error = TypeVar("_Error", bound=ChatError)


class ToolRounds:
    """An answer that may take several: between them tools are run here, and their results sent back.

    `open_next` is given the messages and, but for the first round, the answer before.
    """

    def __init__(
        self,
        open_next: Callable[[Sequence[Message], Answer | None], Answer],
        messages: Sequence[Message],
        *,
        toolbox: Toolbox,
        max_rounds: int,
        form: Form | None = None,
        repairs: int = 0,
    ) -> None:
        if isinstance(max_rounds, bool) or not isinstance(max_rounds, int) or max_rounds < 0:
            raise ConfigurationError(f"max_rounds: must be a whole number from 0, not {max_rounds!r}")
        self._open_next = open_next
        self._messages = list(messages)
        self._toolbox = toolbox
        self._left = max_rounds
        self._form = form
        self._repairs = repairs
        self._replies: list[Reply] = []
        self._before = ""
        self._past: list[Attempt] = []
        self._given_up: Callable[[Answer], None] | None = None
        self._callbacks: list[Callable[[Reply], None]] = []
        self._leavers: list[Callable[[Reply | None], None]] = []
        self.reply: Reply | None = None
        self._answer = open_next(self._messages, None)
        self._chunks = self._read()

    @property
    def provider(self) -> Provider:
        """The provider that answers now."""
        return self._answer.provider

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self._answer.model

    @property
    def text(self) -> str:
        """The text so far, of all rounds."""
        return self._before + self._answer.text

    @property
    def reasoning(self) -> str:
        """The thoughts so far, of all rounds."""
        # The last of the replies is that of the answer, once it has ended.
        past = [reply.reasoning for reply in self._replies if reply is not self._answer.reply]
        return "\n\n".join(filter(None, [*past, self._answer.reasoning]))

    @property
    def attempts(self) -> list[Attempt]:
        """Every try so far, of all rounds."""
        return [*self._past, *self._answer.attempts]

    @property
    def closed(self) -> bool:
        """Whether the connection was given up."""
        return self._answer.closed

    def __iter__(self) -> Iterator[str]:
        return self._chunks

    def __next__(self) -> str:
        return next(self._chunks)

    @property
    def broken(self) -> bool:
        """Whether the answer under way ended with an error."""
        return self._answer.broken

    def progress(self) -> tuple[list[Reply], str]:
        """Return the replies that are whole, and what has come of the one that is not: thoughts and text."""
        return list(self._replies), "" if self._answer.reply is not None else self._answer.progress()[1]

    def close(self) -> None:
        """Free the connection, and open no other; closing twice is fine."""
        self._given_up = self._given_up or Answer.close
        self._answer.close()
        while self._leavers:
            self._leavers.pop()(self.reply)

    def cancel(self) -> None:
        """Wake a reader in another thread, which then raises; between two rounds it raises before the next."""
        self._given_up = Answer.cancel
        self._answer.cancel()

    def unfinished(self) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""
        return self._completed(self._answer.unfinished())

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the whole reply, now if it is there already."""
        if self.reply is not None:
            callback(self.reply)
        self._callbacks.append(callback)

    def when_closed(self, callback: Callable[[Reply | None], None]) -> None:
        """Call `callback` once when nothing more is read, with the reply where there is one."""
        self._leavers.append(callback)

    def _read(self) -> Iterator[str]:
        while True:
            yield from self._read_answer()
            reply = self._answer.reply
            if reply is None:
                return
            self._replies.append(reply)
            turns = self._next_turns(reply)
            if isinstance(turns, Reply):
                self.reply = turns
                break
            self._messages += turns
            # What missed its schema is replaced, not continued.
            before = self.text if reply.tool_calls else ""
            if not self._go_on(before):
                return
        for callback in self._callbacks:
            callback(self.reply)
        self.close()

    def _read_answer(self) -> Iterator[str]:
        gap = "\n\n" if self._before else ""
        try:
            for chunk in self._answer:
                if gap:
                    self._before += gap
                    yield gap
                    gap = ""
                yield chunk
        except ChatError as error:
            failure = error
        else:
            return
        raise self._completed(failure)

    def _go_on(self, before: str) -> bool:
        """Open the next answer, unless this one was given up while the tools ran."""
        if self._given_up is Answer.close:
            return False
        if self._given_up is not None:
            raise self.unfinished()
        past = self.attempts
        try:
            answer = self._open_next(self._messages, self._answer)
        except ChatError as error:
            failure = error
        else:
            self._answer, self._past, self._before = answer, past, before
            if self._given_up is not None:
                self._given_up(answer)
            return True
        failure.partial = self.text
        failure.attempts = [*past, *failure.attempts]
        raise failure

    def _next_turns(self, reply: Reply) -> list[Message] | Reply:
        """Return what the next round adds, or the whole reply where there is none."""
        if self._toolbox.can_run(reply.tool_calls):
            return self._run_tools(reply)
        whole = _whole(reply, self._replies, self.text, self.attempts)
        # Calls that are left to the caller come before an answer that could fit.
        if self._form is not None and not reply.tool_calls:
            try:
                whole = replace(whole, data=self._form.parse(reply))
            except SchemaError as error:
                if self._repairs and reply.finish_reason != "length":
                    return self._repair(reply, error.message)
                error.attempts = self.attempts
                raise
        return whole

    def _run_tools(self, reply: Reply) -> list[Message]:
        if not self._left:
            raise ToolError(
                f"{reply.provider}: the model still asks for tools when the rounds are used up; raise max_rounds",
                provider=reply.provider,
                model=reply.model,
                partial=self.text,
                attempts=self.attempts,
            )
        self._left -= 1
        return [reply.message, *(ToolResultMessage("tool", self._toolbox.run(call), call) for call in reply.tool_calls)]

    def _repair(self, reply: Reply, fault: str) -> list[Message]:
        self._repairs -= 1
        request = f"That cannot be used: {fault}. Answer again with nothing but JSON that fits the schema."
        return [Message("assistant", reply.text), Message("user", request)]

    def _completed(self, error: _Error) -> _Error:
        """Keep the text and the tries of the rounds before on an error of this one."""
        error.partial = self._before + error.partial
        error.attempts = [*self._past, *error.attempts]
        return error


def _whole(last: Reply, replies: Sequence[Reply], text: str, attempts: list[Attempt]) -> Reply:
    """Return the last reply with what all rounds brought and took."""
    costs = [reply.cost for reply in replies]
    moved = len(text) - len(last.text)
    return replace(
        last,
        text=text,
        images=[image for reply in replies for image in reply.images],
        citations=list(dict.fromkeys(citation for reply in replies for citation in reply.citations)),
        reasoning="\n\n".join(reply.reasoning for reply in replies if reply.reasoning),
        thoughts=[thought._replace(after_text=thought.after_text + moved) for thought in last.thoughts],
        raw=[record for reply in replies for record in reply.raw],
        usage=_total([reply.usage for reply in replies]),
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        attempts=attempts,
        elapsed=sum(reply.elapsed for reply in replies),
    )


def _total(usages: Sequence[Usage]) -> Usage:
    """Add up what the rounds took; a number one of them does not tell is not known for all."""
    names = field_names(Usage)
    columns = {name: [getattr(usage, name) for usage in usages] for name in names}
    return Usage(**{name: None if None in column else sum(column) for name, column in columns.items()})
