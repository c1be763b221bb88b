"""What answers in progress share: iteration, and callbacks for their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable

from aichatkit.errors import ChatError, StreamInterruptedError
from aichatkit.reply import Reply

if TYPE_CHECKING:
    from aichatkit.call.answer_like import AnswerLike

__all__ = ["BaseAnswer"]


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
