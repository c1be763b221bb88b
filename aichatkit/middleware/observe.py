"""Call -> observed answer: report a call to hooks, the call log and telemetry, from its start to its one end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Protocol

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit.call.call import Call
from aichatkit.errors import ChatError, StreamInterruptedError
from aichatkit.hooks import ChunkInfo, ErrorInfo, Hook, ReplyInfo, redact_error, run_hook
from aichatkit.reply import Attempt, Reply
from aichatkit.transport.secrets import hide

if TYPE_CHECKING:
    from aichatkit.call.answer_like import AnswerLike
    from aichatkit.middleware import telemetry as telemetries
else:
    # Needs OpenTelemetry.
    telemetries = lazy_module("aichatkit.middleware.telemetry")

__all__ = ["Hooks", "Observation", "ObservedAnswer", "Observer", "build_observers", "observe"]

logger = logging.getLogger(__name__)


class Observation:
    """A call as observers see it: the request and, at the end, the outcome.

    It ends with a `reply`, with an `error`, or with neither if the answer was closed early; `text` is the text received
    by then.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.started_at = time.time()
        self._started = call.policy.now()
        self.provider = call.targets[0].provider.name
        #: The model that was requested; `reply.model` is the one the service names.
        self.model = call.targets[0].model
        self.ended = False
        self.chunks = 0
        #: Seconds until the first text was received.
        self.first_text: float | None = None
        self.text = ""
        self.attempts: Sequence[Attempt] = ()
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        #: Entered while the call is opened, in the thread that opens it.
        self.opening = contextlib.ExitStack()
        #: The span of the call, for what its tools send; "" without telemetry.
        self.traceparent = ""
        self._secrets: list[str] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the call started."""
        return self.call.policy.now() - self._started

    @property
    def address(self) -> str:
        """The address of the provider."""
        provider_classes = [target.provider for target in self.call.targets]
        matches = [cls for cls in provider_classes if cls.name == self.provider]
        return self.call.context.provider((matches or provider_classes)[0]).url

    def hide_keys(self, text: str) -> str:
        """Return a text with every API key in it hidden."""
        if self._secrets is None:
            self._secrets = self.call.secrets()
        for secret in self._secrets:
            text = hide(secret, text)
        return text


class Observer(Protocol):
    """Observes calls; `on_chunk` is None if it does not need the chunks."""

    on_chunk: Hook | None

    def begin(self, observation: Observation) -> Any:
        """Record that a call begins, in the thread that makes it; the result is passed to `end` as `token`."""

    def end(self, observation: Observation, token: Any) -> None:
        """Record the end of a call, in the thread that reads or closes it."""


class Hooks:
    """The user's own hooks."""

    def __init__(self, hooks: Mapping[str, Hook]) -> None:
        self.on_chunk = hooks.get("chunk")
        self._on_reply = hooks.get("reply")
        self._on_error = hooks.get("error")

    def begin(self, observation: Observation) -> None:
        """Do nothing: the hooks for requests and waits are called elsewhere, as these happen."""

    def end(self, observation: Observation, token: Any) -> None:
        """Call the hook for the reply or the error."""
        source = (observation.provider, observation.model)
        if observation.reply is not None and self._on_reply is not None:
            run_hook("reply", self._on_reply, ReplyInfo(*source, observation.reply, observation.elapsed))
        if observation.error is not None and self._on_error is not None:
            redact_error(observation.error, observation.call.secrets())
            run_hook("error", self._on_error, ErrorInfo(*source, observation.error, observation.elapsed))


def build_observers(hooks: Mapping[str, Hook], log: Observer | None, telemetry: Any) -> list[Observer]:
    """Return the observers of a client, for the values of its options."""
    observers: list[Observer] = []
    if not hooks.keys() <= {"request", "wait"}:
        observers.append(Hooks(hooks))
    if log is not None:
        observers.append(log)
    if telemetry is not None and (observer := telemetries.Telemetry.of(telemetry)) is not None:
        observers.append(observer)
    return observers


class ObservedAnswer:
    """An answer whose chunks and end are reported to observers."""

    def __init__(
        self, answer: AnswerLike, observation: Observation, on_end: Callable[[], None], on_chunk: Sequence[Hook]
    ) -> None:
        self._answer = answer
        self._observation = observation
        self._on_end = on_end
        self._on_chunk = on_chunk
        self._chunks = self._read()
        self.when_complete = answer.when_complete
        self.when_closed = answer.when_closed
        self.when_failed = answer.when_failed

    @property
    def provider(self) -> Any:
        """The provider that answers."""
        return self._answer.provider

    @property
    def model(self) -> str:
        """The model that was requested."""
        return self._answer.model

    @property
    def text(self) -> str:
        """The text received so far."""
        return self._answer.text

    @property
    def reasoning(self) -> str:
        """The model's reasoning received so far."""
        return self._answer.reasoning

    @property
    def partial_data(self) -> Any:
        """The data of structured output received so far."""
        return self._answer.partial_data

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt so far, in order."""
        return self._answer.attempts

    @property
    def reply(self) -> Reply | None:
        """The finished reply."""
        return self._answer.reply

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._answer.closed

    def __iter__(self) -> Iterator[str]:
        return self._chunks

    def __next__(self) -> str:
        return next(self._chunks)

    def close(self) -> None:
        """Free the connection; an answer that is closed before its end has neither reply nor error."""
        self._answer.close()
        self._end()

    def cancel(self) -> None:
        """Wake up a reader in another thread, which then raises."""
        self._answer.cancel()

    def unfinished(self) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""
        return self._answer.unfinished()

    def _read(self) -> Iterator[str]:
        answer, observation = self._answer, self._observation
        try:
            for text in answer:
                for hook in self._on_chunk:
                    run_hook("chunk", hook, ChunkInfo(answer.provider.name, answer.model, text, observation.chunks))
                observation.chunks += 1
                yield text
        except GeneratorExit:
            raise
        except BaseException as error:
            observation.error = error
            self._end()
            raise
        self._end()

    def _end(self) -> None:
        observation, answer = self._observation, self._answer
        if observation.ended:
            return
        observation.provider, observation.model = answer.provider.name, answer.model
        observation.text, observation.attempts, observation.reply = answer.text, answer.attempts, answer.reply
        self._on_end()


def observe(call: Call, open_next: Callable[[Call], AnswerLike]) -> ObservedAnswer:
    """Open an answer and report it to the observers; an exception in one of them is logged, not raised."""
    observers = call.context.observers
    observation = Observation(call)
    pending = [[(observer, _call_guarded(observer.begin, observation)) for observer in observers]]

    def end() -> None:
        observation.ended = True
        # Only once: the thread that reads and another one that closes may get here at the same time.
        with contextlib.suppress(IndexError):
            for observer, token in pending.pop():
                _call_guarded(observer.end, observation, token)
            # An error holds the frames it passed through, which hold this.
            observation.error = None

    try:
        with observation.opening:
            span = observation.traceparent
            answer = open_next(replace(call, traceparent=span) if span else call)
        observation.first_text = observation.elapsed
    except BaseException as error:
        observation.error = error
        if isinstance(error, ChatError):
            observation.provider = error.provider or observation.provider
            observation.model = error.model or observation.model
            observation.text, observation.attempts = error.partial, error.attempts
        end()
        raise
    return ObservedAnswer(answer, observation, end, [observer.on_chunk for observer in observers if observer.on_chunk])


def _call_guarded(method: Callable[..., Any], *args: Any) -> Any:
    try:
        return method(*args)
    except Exception:
        logger.exception("a call could not be noted")
        return None
