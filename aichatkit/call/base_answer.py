"""What answers in progress share: iteration, and callbacks for their end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

from aichatkit.errors import ChatError, ConfigurationError, StreamInterruptedError
from aichatkit.reply import Attempt, Reply

if TYPE_CHECKING:
    from aichatkit.call.answer_like import AnswerLike

__all__ = ["BaseAnswer", "FinishedAnswer"]


class BaseAnswer:
    """What answers in progress share: iteration and callbacks. `reply` is None until the answer is complete."""

    reply: Reply | None = None
    _chunks: Iterator[str]

    def __init__(self) -> None:
        self._on_complete: list[Callable[[Reply], None]] = []
        self._on_closed: list[Callable[[Reply | None], None]] = []
        self._on_failed: list[Callable[[ChatError], None]] = []

    def __iter__(self) -> Iterator[str]:
        return self._chunks

    def __next__(self) -> str:
        return next(self._chunks)

    @property
    def partial_data(self) -> Any:
        """The data received so far; a call with a schema has a class of its own for its answer."""
        raise ConfigurationError(
            "partial_data is the data of structured output: pass schema=, as in stream(prompt, schema=Invoice)"
        )

    def unfinished(self: AnswerLike) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""
        return StreamInterruptedError(
            f"{self.provider.name}: the stream was closed before the answer ended",
            provider=self.provider.name,
            model=self.model,
            partial=self.text,
            attempts=self.attempts,
        )

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the reply when the answer is complete, or now if it is already."""
        if self.reply is None:
            self._on_complete.append(callback)
        else:
            callback(self.reply)

    def when_closed(self, callback: Callable[[Reply | None], None]) -> None:
        """Call `callback` once when nothing more is read, with the reply if there is one."""
        self._on_closed.append(callback)

    def when_failed(self, callback: Callable[[ChatError], None]) -> None:
        """Call `callback` with the error that breaks the answer off."""
        self._on_failed.append(callback)

    def _notify_complete(self, reply: Reply) -> None:
        for callback in self._on_complete:
            callback(reply)

    def _notify_closed(self) -> None:
        while self._on_closed:
            self._on_closed.pop()(self.reply)

    def _notify_failed(self, error: ChatError) -> None:
        for callback in self._on_failed:
            callback(error)


class FinishedAnswer(BaseAnswer):
    """A finished reply that is read like an answer in progress, in `pieces` of its text."""

    def __init__(self, reply: Reply, pieces: Iterable[str], attempts: list[Attempt]) -> None:
        super().__init__()
        self.provider = SimpleNamespace(name=reply.provider)
        self.model = reply.model
        self.reasoning = reply.reasoning
        self.text = ""
        self.attempts = attempts
        self.closed = False
        self._finished = reply
        self._chunks = self._read(pieces)

    def close(self) -> None:
        """Skip the rest."""
        self.closed = True
        self._notify_closed()

    def cancel(self) -> None:
        """Skip the rest."""
        self.closed = True

    def _note(self, piece: str) -> None:
        """Do what a subclass does with a piece before it is handed out."""

    def _read(self, pieces: Iterable[str]) -> Iterator[str]:
        for piece in pieces:
            if self.closed:
                return
            self.text += piece
            self._note(piece)
            yield piece
        if self.closed:
            return
        self.reply = self._finished
        self.close()
        self._notify_complete(self.reply)
