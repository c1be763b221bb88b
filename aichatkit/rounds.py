"""Several answers as one: rounds of tool calls, and a second try where an answer misses its schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Callable

from aichatkit import schemas
from aichatkit.answers import Answer
from aichatkit.chunks import Usage
from aichatkit.errors import ChatError, SchemaError, StreamInterruptedError, ToolError
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.base import Provider
from aichatkit.reply import Attempt, Reply
from aichatkit.tools import Toolbox

__all__ = ["Form", "Rounds"]


@dataclass(frozen=True)
class Form:
    """What an answer must look like: the schema as it is sent, and the type its data becomes.

    Services want an object at the root, so other types travel in the field `value` of one.
    """

    kind: Any
    schema: Mapping[str, Any]
    wrapped: bool

    @classmethod
    def of(cls, kind: Any) -> Form | None:
        """Return the form for what a user may pass as `schema=`; None for None."""
        if kind is None:
            return None
        schema = dict(kind) if isinstance(kind, Mapping) else schemas.schema_of(kind)
        if schema.get("type") == "object":
            return cls(kind, schema, False)
        inner = {
            "type": "object",
            "properties": {"value": schema},
            "required": ["value"],
            "additionalProperties": False,
        }
        if "$defs" in schema:
            inner["$defs"] = schema.pop("$defs")
        return cls(kind, inner, True)

    def read(self, reply: Reply) -> Any:
        """Return the data of an answer; raise SchemaError with its text where it does not fit."""
        value = reply.json()
        faults = schemas.check(value, self.schema)
        if not faults:
            try:
                value = value["value"] if self.wrapped else value
                return value if isinstance(self.kind, Mapping) else schemas.build(value, self.kind)
            except (ValueError, TypeError, LookupError) as error:
                faults = [str(error)]
        raise SchemaError(
            f"{reply.provider}: the answer does not fit the schema: {'; '.join(faults)}",
            provider=reply.provider,
            model=reply.model,
            partial=reply.text,
            attempts=reply.attempts,
        )


class Rounds:
    """An answer that may take several: between them tools are run here, and their results sent back."""

    def __init__(
        self,
        open_next: Callable[[Sequence[Message]], Answer],
        messages: Sequence[Message],
        *,
        toolbox: Toolbox,
        max_rounds: int,
        form: Form | None = None,
        repairs: int = 0,
    ) -> None:
        self._open_next = open_next
        self._messages = list(messages)
        self._toolbox = toolbox
        self._left = max_rounds
        self._form = form
        self._repairs = repairs
        self._replies: list[Reply] = []
        self._before = ""
        self._callbacks: list[Callable[[Reply], None]] = []
        self.reply: Reply | None = None
        self._answer = open_next(self._messages)
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
    def attempts(self) -> list[Attempt]:
        """Every try so far, of all rounds."""
        earlier = [attempt for reply in self._replies for attempt in reply.attempts]
        return [*earlier, *(() if self._answer.reply in self._replies else self._answer.attempts)]

    @property
    def closed(self) -> bool:
        """Whether the connection was given up."""
        return self._answer.closed

    def __iter__(self) -> Iterator[str]:
        return self._chunks

    def __next__(self) -> str:
        return next(self._chunks)

    def close(self) -> None:
        """Free the connection; closing twice is fine."""
        self._answer.close()

    def cancel(self) -> None:
        """Wake a reader in another thread, which then raises."""
        self._answer.cancel()

    def unfinished(self) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""
        return self._answer.unfinished()

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the reply of the last round, now if it is there already."""
        if self.reply is not None:
            callback(self.reply)
        self._callbacks.append(callback)

    def _read(self) -> Iterator[str]:
        while True:
            yield from self._answer
            reply = self._answer.reply
            if reply is None:
                return
            self._replies.append(reply)
            turns = self._next_turns(reply)
            if turns is None:
                break
            self._messages += turns
            gap = "\n\n" if self.text and reply.tool_calls else ""
            # What missed its schema is replaced, not continued.
            self._before = self.text + gap if reply.tool_calls else ""
            if gap:
                yield gap
            self._open()
        for callback in self._callbacks:
            if self.reply is not None:
                callback(self.reply)

    def _next_turns(self, reply: Reply) -> list[Message] | None:
        """Return what the next round adds, or None with the final reply in place."""
        if self._toolbox.runs(reply.tool_calls):
            return self._run_tools(reply)
        whole = self._whole(reply)
        if self._form is not None:
            try:
                whole = replace(whole, data=self._form.read(reply))
            except SchemaError as error:
                if not self._repairs:
                    raise
                fault = error.message
            else:
                self.reply = whole
                return None
            return self._repair(reply, fault)
        self.reply = whole
        return None

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
        calls = ToolCallsMessage("assistant", reply.text, tuple(reply.tool_calls), reply.reasoning)
        return [calls, *(ToolResultMessage("tool", self._toolbox.run(call), call) for call in reply.tool_calls)]

    def _repair(self, reply: Reply, fault: str) -> list[Message]:
        self._repairs -= 1
        request = f"That cannot be used: {fault}. Answer again with nothing but JSON that fits the schema."
        return [Message("assistant", reply.text), Message("user", request)]

    def _open(self) -> None:
        partial = self._before
        try:
            self._answer = self._open_next(self._messages)
        except ChatError as error:
            error.partial = error.partial or partial.strip()
            raise

    def _whole(self, last: Reply) -> Reply:
        costs = [reply.cost for reply in self._replies]
        return replace(
            last,
            text=self.text,
            usage=_total([reply.usage for reply in self._replies]),
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
            attempts=self.attempts,
            elapsed=sum(reply.elapsed for reply in self._replies),
        )


def _total(usages: Sequence[Usage]) -> Usage:
    """Add up what the rounds took; a number one of them does not tell is not known for all."""
    names = [field.name for field in fields(Usage)]
    columns = {name: [getattr(usage, name) for usage in usages] for name in names}
    return Usage(**{name: None if None in column else sum(column) for name, column in columns.items()})
