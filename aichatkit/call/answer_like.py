"""The interface of an answer in progress, whether it is one response, several, or read from the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable, Protocol

from aichatkit.errors import ChatError, StreamInterruptedError
from aichatkit.reply import Attempt, Reply

__all__ = ["AnswerLike"]


class AnswerLike(Protocol):
    """An answer in progress: an iterator of text, with everything received so far."""

    @property
    def provider(self) -> Any:
        """The provider that answers; a provider object, or for a cached answer one with just its `name`."""

    @property
    def model(self) -> str:
        """The model that was requested."""

    @property
    def text(self) -> str:
        """The text received so far."""

    @property
    def reasoning(self) -> str:
        """The model's reasoning received so far."""

    @property
    def partial_data(self) -> Any:
        """The data of structured output received so far, as plain JSON; an error without a schema."""

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt so far, in order."""

    @property
    def reply(self) -> Reply | None:
        """The finished reply; None while the answer is in progress, and if it broke off."""

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, after the last text or earlier."""

    def __iter__(self) -> Iterator[str]: ...

    def __next__(self) -> str: ...

    def close(self) -> None:
        """Free the connection; closing twice is fine."""

    def cancel(self) -> None:
        """Wake up a reader in another thread, which then raises."""

    def unfinished(self) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the reply when the answer is complete, or now if it is already."""

    def when_closed(self, callback: Callable[[Reply | None], None]) -> None:
        """Call `callback` once when nothing more is read, with the reply if there is one."""

    def when_failed(self, callback: Callable[[ChatError], None]) -> None:
        """Call `callback` with the error that breaks the answer off."""
