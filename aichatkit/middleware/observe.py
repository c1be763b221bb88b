"""One call, observed: what hooks, the log and telemetry are told of it, from its beginning to its one end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Protocol

from aichatkit.call.attempt import Call, CallContext, make_provider
from aichatkit.errors import ChatError
from aichatkit.hooks import ChunkInfo, ErrorInfo, Hook, ReplyInfo, tell
from aichatkit.reply import Attempt, Reply
from aichatkit.transport.secrets import hide, keys_in

if TYPE_CHECKING:
    from aichatkit.call.answer import Answer
    from aichatkit.middleware.cache import CachedAnswer
    from aichatkit.middleware.tool_rounds import ToolRounds

__all__ = ["Hooks", "Observation", "ObservedAnswer", "Observer", "observe"]

logger = logging.getLogger(__name__)


class Observation:
    """How one call goes: what it asks and, at its end, what came of it.

    It ends with a `reply`, with an `error`, or with neither where the reader left; `text` is what was read by then.
    """

    def __init__(self, call: Call, setup: CallContext) -> None:
        self.call = call
        self.setup = setup
        self.began = time.time()
        self._started = call.policy.now()
        self.provider = call.targets[0].provider.name
        #: What was asked for; `reply.model` is what the service says.
        self.model = call.targets[0].model
        self.ended = False
        self.chunks = 0
        #: Seconds until the first text was in hand.
        self.first: float | None = None
        self.text = ""
        self.attempts: Sequence[Attempt] = ()
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        #: What holds while the call is opened, in the thread that opens it.
        self.opening = contextlib.ExitStack()
        self._secrets: list[str] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self.call.policy.now() - self._started

    @property
    def address(self) -> str:
        """The address of the provider."""
        kinds = [target.provider for target in self.call.targets]
        kind = next((kind for kind in kinds if kind.name == self.provider), kinds[0])
        return make_provider(kind, self.setup).url

    def hidden(self, text: str) -> str:
        """Return a text without the keys that may stand in it."""
        if self._secrets is None:
            given = [key for keys in self.setup.keys.values() for key in keys]
            found = [key for target in self.call.targets if (key := target.provider.find_key())]
            headers = (self.setup.connections.headers, self.call.headers)
            self._secrets = [*given, *found, *(key for part in headers for key in keys_in(part))]
        for secret in self._secrets:
            text = hide(secret, text)
        return text


class Observer(Protocol):
    """Who is told: `end` gets back what `begin` returned; the hook `on_chunk` is None where chunks do not matter."""

    on_chunk: Hook | None

    def begin(self, course: Observation) -> Any:
        """Take note that a call begins, in the thread that makes it."""

    def end(self, course: Observation, begun: Any) -> None:
        """Take note of its end, in the thread that reads it."""


class Hooks:
    """The user's own hooks."""

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        self.on_chunk = hooks.get("chunk")
        self._on_reply = hooks.get("reply")
        self._on_error = hooks.get("error")

    def begin(self, course: Observation) -> None:
        """Note nothing: what is sent the other hooks see."""

    def end(self, course: Observation, begun: Any) -> None:
        """Tell the reply or the error."""
        if course.reply is not None and self._on_reply is not None:
            tell("reply", self._on_reply, ReplyInfo(course.provider, course.model, course.reply, course.elapsed))
        if course.error is not None and self._on_error is not None:
            tell("error", self._on_error, ErrorInfo(course.provider, course.model, course.error, course.elapsed))


class ObservedAnswer:
    """An answer whose course is told; in all else it is the answer."""

    def __init__(
        self, answer: Answer | ToolRounds | CachedAnswer, course: Observation, end: Callable[[], None], on_chunk: Any
    ) -> None:
        self._answer = answer
        self._course = course
        self._end = end
        self._on_chunk = on_chunk
        self._chunks = self._read()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._answer, name)

    def __iter__(self) -> Iterator[str]:
        return self._chunks

    def __next__(self) -> str:
        return next(self._chunks)

    def close(self) -> None:
        """Free the connection; before its end the answer counts as left."""
        self._answer.close()
        self._note()

    def _read(self) -> Iterator[str]:
        course = self._course
        try:
            for text in self._answer:
                for hook in self._on_chunk:
                    answer = self._answer
                    tell("chunk", hook, ChunkInfo(answer.provider.name, answer.model, text, course.chunks))
                course.chunks += 1
                yield text
        except GeneratorExit:
            raise
        except BaseException as error:
            course.error = error
            self._note()
            raise
        self._note()

    def _note(self) -> None:
        course, answer = self._course, self._answer
        if course.ended:
            return
        course.provider, course.model = answer.provider.name, answer.model
        course.text, course.attempts, course.reply = answer.text, answer.attempts, answer.reply
        self._end()


def observe(
    open_answer: Callable[[], Answer | ToolRounds | CachedAnswer],
    call: Call,
    setup: CallContext,
    observers: Sequence[Observer],
) -> ObservedAnswer:
    """Open an answer and tell the observers of it; what fails in them is logged and ends nothing."""
    course = Observation(call, setup)
    told = [[(observer, _guarded(observer.begin, course)) for observer in observers]]

    def end() -> None:
        course.ended = True
        # Once, whoever comes first: the reader, or the thread that closes.
        with contextlib.suppress(IndexError):
            for observer, begun in told.pop():
                _guarded(observer.end, course, begun)
            # An error holds the frames it passed, which hold this.
            course.error = None

    try:
        with course.opening:
            answer = open_answer()
        course.first = course.elapsed
    except BaseException as error:
        course.error = error
        if isinstance(error, ChatError):
            course.provider, course.model = error.provider or course.provider, error.model or course.model
            course.text, course.attempts = error.partial, error.attempts
        end()
        raise
    return ObservedAnswer(answer, course, end, [observer.on_chunk for observer in observers if observer.on_chunk])


def _guarded(note: Callable[..., Any], *args: Any) -> Any:
    try:
        return note(*args)
    except Exception:
        logger.exception("a call could not be noted")
        return None
