"""Events -> chunks: read one response, hand out its text, and gather everything else for the reply."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable

from aichatkit import chunks
from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit.call.collector import COLLECTED, Collector
from aichatkit.catalog.prices import Price, cost_of
from aichatkit.classification import classify
from aichatkit.errors import (
    APIError,
    BadResponseError,
    ChatError,
    ContentFilteredError,
    EmptyAnswerError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    StreamStalledError,
    TimedOutError,
)
from aichatkit.events import Event
from aichatkit.providers.base import Provider, unreadable
from aichatkit.reply import Attempt, Reply
from aichatkit.transport.responses import Response
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    from aichatkit import images
else:
    # Few models draw.
    images = lazy_module("aichatkit.images")

__all__ = ["Answer"]

#: How much of a body has to tell whether it is a page, in bytes.
_START = 512
#: How many pieces of text are kept apart: a small string takes several times the memory of its text.
_PARTS = 500
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)


class Answer:
    """An answer that is being read: an iterator of text that knows what it has seen.

    `start` reads up to the first text, so that a failure before it can still be retried.
    """

    def __init__(
        self,
        provider: Provider,
        model: str,
        response: Response,
        *,
        http: Transport,
        alt: str = "",
        started: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        prices: Mapping[str, Price] | None = None,
        keep_raw: bool = False,
        turn: int = 0,
    ) -> None:
        self.provider = provider
        self.model = model
        self.attempts: list[Attempt] = []
        self.closed = False
        #: Whether it ended with an error.
        self.broken = False
        self.reply: Reply | None = None
        self._response = response
        self._http = http
        self._alt = alt
        self._started = started
        self._clock = clock
        self._prices = prices or {}
        self._raw: list[Any] | None = [] if keep_raw else None
        self._parts: list[str] = []
        self._callbacks: list[Callable[[Reply], None]] = []
        self._leavers: list[Callable[[Reply | None], None]] = []
        self._mourners: list[Callable[[ChatError], None]] = []
        self._seen = Collector(model, self._parts, turn=turn)
        self._chunks: Iterator[str] = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._chunks

    def __next__(self) -> str:
        return next(self._chunks)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    @property
    def reasoning(self) -> str:
        """The model's thoughts so far."""
        return "".join(self._seen.reasoning)

    def progress(self) -> tuple[list[Reply], str]:
        """Return the replies that are whole, and what has come of the one that is not: thoughts and text."""
        return ([], self.reasoning + self.text) if self.reply is None else ([self.reply], "")

    def start(self) -> None:
        """Read up to the first text, or to the end of an answer that has none and needs none."""
        for first in self._chunks:
            self._parts.clear()
            self._chunks = chain(self._again(first), self._chunks)
            return

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the reply, now if it is there already."""
        if self.reply is not None:
            callback(self.reply)
        self._callbacks.append(callback)

    def when_closed(self, callback: Callable[[Reply | None], None]) -> None:
        """Call `callback` once when the connection is no longer needed, with the reply where there is one."""
        self._leavers.append(callback)

    def when_failed(self, callback: Callable[[ChatError], None]) -> None:
        """Call `callback` with the error that breaks the answer off."""
        self._mourners.append(callback)

    def close(self) -> None:
        """Free the connection; closing twice is fine."""
        self.closed = True
        self._response.close()
        while self._leavers:
            self._leavers.pop()(self.reply)

    def cancel(self) -> None:
        """Wake a reader in another thread, which then raises."""
        self._response.cancel()

    def unfinished(self) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""
        return StreamInterruptedError(
            f"{self.provider.name}: the stream was closed before the answer ended",
            provider=self.provider.name,
            model=self.model,
            partial=self.text,
            attempts=self.attempts,
        )

    def _again(self, first: str) -> Iterator[str]:
        self._parts.append(first)
        yield first

    def _read(self) -> Iterator[str]:
        parts, joined, left = self._parts, 0, self.provider.max_answer
        try:
            for text in self._screened():
                if self.closed:
                    return
                parts.append(text)
                if len(parts) > joined + _PARTS:
                    # In one step: another thread may be looking at the text.
                    parts[joined:] = ["".join(parts[joined:])]
                    joined += 1
                left -= len(text)
                if left < 0:
                    raise BadResponseError(
                        f"{self.provider.name}: the answer is longer than {self.provider.max_answer} characters"
                    )
                yield text
            if not self.closed:
                self._conclude()
            return
        except ChatError as error:
            failure = error
        except BaseException:
            self.close()
            raise
        raise self._completed(failure)

    def _screened(self) -> Iterator[str]:
        texts = self._texts()
        if not (self.provider.checks_notices or self.provider.trims_start):
            return texts
        return self._beginning(texts)

    def _beginning(self, texts: Iterator[str]) -> Iterator[str]:
        """Hold text back while it may still turn out to be a limit notice, or is only leading white space."""
        held, provider = "", self.provider
        for text in texts:
            held += text
            if provider.trims_start and not isinstance(text, images.ImageResponse):
                held = held.lstrip()
            if held and not (provider.checks_notices and classify.limit_notice(held, ended=False) is None):
                yield text if held == text else held
                yield from texts
                return
        if held and classify.limit_notice(held, ended=True):
            raise RateLimitError(
                f"{provider.name}: the site answered with a limit notice ({held.strip()!r}); "
                "ask later or ask another provider",
                status=self._response.status,
                action="next",
            )
        # Blanks alone are no answer.
        if held.strip():
            yield held

    def _texts(self) -> Iterator[str]:
        parse, seen = self.provider.parse_event, self._seen
        event: Any = None
        try:
            for event in self._events():
                chunk = parse(event)
                if chunk.__class__ is str:
                    if chunk:
                        yield chunk
                elif chunk is not None:
                    # Some services send a list for every piece: most of it needs no generator of its own.
                    for part in chunk if chunk.__class__ is list else (chunk,):
                        if part.__class__ is str and part:
                            yield part
                        elif part.__class__ in COLLECTED:
                            seen.add(part)
                        else:
                            yield from self._take(part)
                    if seen.last:
                        break
            return self._check_end()
        except ChatError:
            raise
        except _UNREADABLE as error:
            cause = type(error).__name__
        raise unreadable(self.provider.name, "answer", cause, getattr(event, "data", ""))

    def _events(self) -> Iterator[Event]:
        events = self.provider.iter_events(self._blocks(), max_line=self.provider.max_line)
        return events if self._raw is None else _kept(events, self._raw)

    def _blocks(self) -> Iterator[bytes]:
        response = self._response
        kind = response.headers.get("Content-Type", "")
        first = block = response.read_block()
        while block and len(first) < _START and classify.may_be_html(kind, first):
            block = response.read_block()
            first += block
        if classify.is_html(kind, first[:_START]):
            body = first + response.read_error()
            raise classify.response_error(
                response.status,
                response.headers,
                body,
                provider=self.provider.name,
                model=self.model,
                rules=self.provider.rules,
            )
        return chain((first,), iter(response.read_block, b""))

    def _take(self, chunk: Any) -> Iterator[str]:
        if isinstance(chunk, str):
            if chunk:
                yield chunk
        elif isinstance(chunk, chunks.Picture):
            yield self._draw(chunk)
        elif type(chunk) in COLLECTED:
            self._seen.add(chunk)
        elif isinstance(chunk, Sequence):
            for part in chunk:
                yield from self._take(part)
        else:
            raise TypeError(f"parse_event returned {type(chunk).__name__}")

    def _draw(self, picture: chunks.Picture) -> images.ImageResponse:
        image = picture.data or picture.url
        if picture.fetch:
            image = images.data_uri(self._http.download(picture.url))
        self._seen.images.append(image)
        urls = [picture.url] if picture.url else []
        return images.ImageResponse([image], alt=self._alt, urls=urls, fetch=self._http.fetch)

    def _check_end(self) -> None:
        seen = self._seen
        if seen.last:
            self._response.finish()
        elif not seen.ended and self.provider.requires_end and not self.closed:
            raise StreamInterruptedError(
                f"{self.provider.name}: the answer ended without its end marker, so it may be cut off; ask again",
                action="retry",
                maybe_processed=True,
            )

    def _conclude(self) -> None:
        seen, name = self._seen, self.provider.name
        if seen.reason == "error":
            raise ServerError(f"{name}: the service says the answer failed (finish reason error)", maybe_processed=True)
        if not self._parts and not seen.calls:
            raise self._empty()
        if self.provider.draws(self.model) and not seen.images:
            raise BadResponseError(f"{name}: {self.model} answered with text and no picture")
        usage, text = seen.total_usage(), self.text
        if text:
            # Kept once, not in pieces and whole.
            self._parts[:] = [text]
        self.reply = Reply(
            text=text,
            provider=name,
            model=seen.model,
            complete=True if seen.ended else None,
            finish_reason=seen.finish_reason(),
            usage=usage,
            images=seen.images,
            reasoning="".join(seen.reasoning),
            citations=seen.citations,
            tool_calls=seen.tool_calls(name),
            thoughts=seen.thoughts(name),
            attempts=self.attempts,
            headers=self._response.headers,
            elapsed=self._clock() - self._started,
            cost=self._cost(usage),
            raw=self._raw or [],
            id=seen.id,
        )
        self.close()
        for callback in self._callbacks:
            callback(self.reply)

    def _cost(self, usage: chunks.Usage) -> float | None:
        """Price the answer by the model that answered, else by the one that was asked for."""
        names = dict.fromkeys((self._seen.model, self.model))
        costs = (cost_of(self.provider.priced_as or self.provider.name, name, usage, self._prices) for name in names)
        return next((cost for cost in costs if cost is not None), None)

    def _empty(self) -> ChatError:
        seen, name = self._seen, self.provider.name
        if seen.reason == "content_filter":
            return ContentFilteredError(f"{name}: the answer was withheld by a content filter; change the prompt")
        if seen.notice:
            return classify.event_error(
                {"error": seen.notice}, provider=name, model=self.model, rules=self.provider.rules
            )
        if seen.reason == "length":
            return EmptyAnswerError(f"{name}: no text came before the length limit; raise max_tokens", action="stop")
        return EmptyAnswerError(f"{name}: the service answered with status {self._response.status} and no text")

    def _completed(self, error: ChatError) -> ChatError:
        """Complete an error: where the answer had begun nothing is tried again, and the text is kept on it."""
        self.broken = True
        self.close()
        self._http.scrub(error)
        if not error.message.startswith(self.provider.name):
            error.message = f"{self.provider.name}: {error.message}"
            error.args = (error.message,)
        error.provider = error.provider or self.provider.name
        error.model = error.model or self.model
        if error.status is None and isinstance(error, (APIError, BadResponseError)):
            error.status = self._response.status
        if self._parts:
            if type(error) is TimedOutError:
                error = StreamStalledError(error.message, provider=error.provider, model=error.model)
            error.partial = self.text
            error.action = "stop"
            error.attempts = [*self.attempts[:-1], replace(self.attempts[-1], error=error)] if self.attempts else []
        for callback in self._mourners:
            callback(error)
        return error


def _kept(events: Iterator[Event], raw: list[Any]) -> Iterator[Event]:
    for event in events:
        try:
            raw.append(event.json())
        except ValueError:
            raw.append(event.data)
        yield event
