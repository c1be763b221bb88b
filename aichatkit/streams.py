"""Answer -> stream: what the caller holds while an answer comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Callable, NoReturn

from aichatkit._lazy import lazy_module
from aichatkit.reply import Attempt, Reply

if TYPE_CHECKING:
    from aichatkit.call.answer import Answer
    from aichatkit.display import screen
    from aichatkit.middleware.cache import CachedAnswer
    from aichatkit.middleware.observe import ObservedAnswer
    from aichatkit.middleware.tool_rounds import ToolRounds
else:
    screen = lazy_module("aichatkit.display.screen")

__all__ = ["Stream"]


class Stream(Iterator[str]):
    """An answer under way: iterate over its text, or join it with `read`.

    It is open when you get it, and closes itself at its end, when the loop is left, when dropped and after `with`.
    `text` holds what has come, also after an error.
    """

    def __init__(self, answer: Answer | ToolRounds | CachedAnswer | ObservedAnswer) -> None:
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
        # Missing where the constructor failed.
        answer = self.__dict__.get("_answer")
        if answer is not None:
            answer.close()

    def __reduce__(self) -> NoReturn:
        # What pickle would do by itself is to read the rest of the answer away.
        raise TypeError("a Stream holds a connection and cannot be copied or pickled; take stream.text or stream.reply")

    def __repr__(self) -> str:
        state = "finished" if self.reply is not None else "closed" if self._answer.closed else "open"
        return f"<Stream {state}, {len(self.text)} characters from {self.provider}/{self.model}>"

    @property
    def text(self) -> str:
        """The text so far."""
        return self._answer.text

    @property
    def reasoning(self) -> str:
        """What the model thought so far, where the service tells it."""
        return self._answer.reasoning

    @property
    def reply(self) -> Reply | None:
        """The finished answer; None while it is under way and where it broke off."""
        return self._answer.reply

    @property
    def attempts(self) -> list[Attempt]:
        """Every try of the call so far, in order."""
        return self._answer.attempts

    @property
    def provider(self) -> str:
        """The name of the provider that answers."""
        return self._answer.provider.name

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self._answer.model

    def read(self) -> Reply:
        """Read on to the end and return the finished answer."""
        for _ in self:
            pass
        reply = self.reply
        if reply is None:
            raise self._answer.unfinished()
        return reply

    def show(self, *, plain: bool = False) -> Reply:
        """Show the answer while it comes and return it: as Markdown in a notebook, else as text on standard output.

        Markdown grows at most every tenth of a second, with the model's reasoning folded above it; HTML in it is shown
        and not run, and pictures from elsewhere are links. `plain=True` prints the text in a notebook as well.
        Where the answer breaks off or is interrupted what came stays, and `text` keeps it.
        """
        return screen.show(self, plain=plain)

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the reply when the answer has ended; never for one that broke off or was left."""
        self._answer.when_complete(callback)

    def close(self) -> None:
        """Free the connection; closing twice is fine."""
        self._answer.close()

    def cancel(self) -> None:
        """End the answer from another thread: whoever reads it gets a StreamInterruptedError."""
        self._answer.cancel()
