"""Answer -> stream: what the caller reads while the answer is in progress."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Callable, NoReturn

from aichatkit._lazy import lazy_module
from aichatkit.reply import Attempt, Reply

if TYPE_CHECKING:
    from aichatkit.call.answer_like import AnswerLike
    from aichatkit.display import screen
else:
    screen = lazy_module("aichatkit.display.screen")

__all__ = ["Stream"]


class Stream(Iterator[str]):
    """An answer in progress: iterate over its text, or read all of it with `read`.

    It is open when you get it, and closes itself at its end, when a loop over it is left, when it is garbage collected,
    and at the end of a `with` block.
    `text` holds the text received so far, also after an error.
    """

    def __init__(self, answer: AnswerLike) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[str]:
        try:
            yield from self._answer
        finally:
            self.close()

    def __next__(self) -> str:
        return next(self._answer)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Missing if the constructor failed.
        answer = self.__dict__.get("_answer")
        if answer is not None:
            answer.close()

    def __reduce__(self) -> NoReturn:
        # By default, pickle would consume the rest of the answer.
        raise TypeError("a Stream holds a connection and cannot be copied or pickled; take stream.text or stream.reply")

    def __repr__(self) -> str:
        state = "finished" if self.reply is not None else "closed" if self._answer.closed else "open"
        return f"<Stream {state}, {len(self.text)} characters from {self.provider}/{self.model}>"

    @property
    def text(self) -> str:
        """The text received so far."""
        return self._answer.text

    @property
    def partial_data(self) -> Any:
        """The data of structured output received so far: what `schema` asked for as plain dicts, lists and values.

        A text may still be incomplete; a number, a field or an item is there once it is complete. It is None before the
        first of it, and the same dict or list each time, which grows: copy it to keep it. At the end it is the data of
        the reply as plain JSON. `stream.reply.data` has it in its type.

        Raises:
            ConfigurationError: the stream has no `schema`.
        """
        return self._answer.partial_data

    @property
    def reasoning(self) -> str:
        """The model's reasoning received so far, if the service sends it."""
        return self._answer.reasoning

    @property
    def reply(self) -> Reply | None:
        """The finished reply; None while the answer is in progress, and if it broke off."""
        return self._answer.reply

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt of the call so far, in order."""
        return self._answer.attempts

    @property
    def provider(self) -> str:
        """The name of the provider that answers."""
        return str(self._answer.provider.name)

    @property
    def model(self) -> str:
        """The model that was requested."""
        return self._answer.model

    def read(self) -> Reply:
        """Read to the end and return the finished reply."""
        try:
            for _ in self._answer:
                pass
        finally:
            self.close()
        reply = self.reply
        if reply is None:
            raise self._answer.unfinished()
        return reply

    def show(self, *, plain: bool = False) -> Reply:
        """Display the answer as it arrives and return the reply: Markdown in a notebook, else text on standard output.

        Markdown is updated at most every tenth of a second, with the model's reasoning collapsed above it; HTML in it
        is shown as text, and images on other hosts are shown as links. `plain=True` prints plain text in a notebook
        too. If the answer breaks off or is interrupted, the text received stays visible and in `text`.
        """
        return screen.show(self, plain=plain)

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the reply when the answer is complete; never if it breaks off or is closed early."""
        self._answer.when_complete(callback)

    def close(self) -> None:
        """Free the connection; closing twice is fine."""
        self._answer.close()

    def cancel(self) -> None:
        """End the answer from another thread; the thread that reads it gets a StreamInterruptedError."""
        self._answer.cancel()
