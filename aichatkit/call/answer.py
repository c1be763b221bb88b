"""Events -> chunks: read one response, hand out its text, and collect everything else for the reply."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Callable

from aichatkit import chunks
from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit._surrogates import join_pieces, repair
from aichatkit.call.base_answer import BaseAnswer
from aichatkit.call.collector import ADDERS, Collector
from aichatkit.call.cost import Charge, charge_of, utc_now
from aichatkit.catalog.models import Catalog
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
from aichatkit.reply import PAUSED, Attempt, Reply
from aichatkit.transport.responses import Response
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    from aichatkit import images
else:
    # Few models draw.
    images = lazy_module("aichatkit.images")

__all__ = ["Answer", "BaseAnswer"]

#: How many bytes of a body are inspected to detect an HTML page.
_SNIFF_SIZE = 512
#: Pieces of text kept before they are joined: a short string takes several times the memory of its text.
_MAX_PARTS = 500
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError)


class Answer(BaseAnswer):
    """One response being read: an iterator of text that remembers what it has received.

    `start` reads up to the first text, so that a failure before it can still be retried.
    """

    #: Returns why the service's prompt cache was not read, by the usage that it reported.
    explain_miss: Callable[[chunks.Usage], str] | None = None

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
        catalog: Catalog | None = None,
        keep_raw: bool = False,
        turn: int = 0,
        writes_long: bool = False,
    ) -> None:
        super().__init__()
        self.provider = provider
        self.model = model
        self.attempts: list[Attempt] = []
        self.closed = self._cancelled = False
        self._last_event: Event | None = None
        self._response = response
        self._http = http
        self._alt = alt
        self._started = started
        self._clock = clock
        self._catalog = catalog or Catalog()
        self._writes_long = writes_long
        self._raw: list[Any] | None = [] if keep_raw else None
        self._parts: list[str] = []
        self._collector = Collector(model, self._parts, turn=turn, limit=provider.max_answer)
        self._chunks = self._read()

    @property
    def text(self) -> str:
        """The text received so far."""
        return "".join(self._parts)

    @property
    def reasoning(self) -> str:
        """The model's reasoning received so far."""
        return repair("".join(self._collector.reasoning))

    def start(self) -> None:
        """Read up to the first text, or to the end of an answer that has none and needs none."""
        for first in self._chunks:
            self._parts.clear()
            self._chunks = chain(self._replay(first), self._chunks)
            return

    def when_closed(self, callback: Callable[[Reply | None], None]) -> None:
        """Call `callback` once when nothing more is read, or now if the answer is closed already."""
        if self.closed:
            callback(self.reply)
        else:
            super().when_closed(callback)

    def close(self) -> None:
        """Free the connection; closing twice is fine."""
        # All of it each time: an interrupt may have ended an earlier call halfway.
        self.closed = True
        self._response.close()
        self._notify_closed()

    def cancel(self) -> None:
        """Wake up a reader in another thread, which then raises."""
        self._cancelled = True
        self._response.cancel()

    def _replay(self, first: str) -> Iterator[str]:
        self._parts.append(first)
        yield first

    def _read(self) -> Iterator[str]:
        parts, joined, remaining, collector = self._parts, 0, self.provider.max_answer, self._collector
        try:
            for text in self._texts_without_notice():
                if self.closed:
                    return
                parts.append(text)
                if len(parts) > joined + _MAX_PARTS:
                    # In one step: another thread may be reading the text.
                    parts[joined:] = ["".join(parts[joined:])]
                    joined += 1
                remaining -= len(text)
                if remaining < collector.size:
                    raise BadResponseError(
                        f"{self.provider.name}: the answer is longer than {self.provider.max_answer} characters"
                    )
                yield text
            if not self.closed:
                self._finish()
            return
        except ChatError as error:
            failure = error
        except BaseException:
            self.close()
            raise
        raise self._break_off(failure)

    def _texts_without_notice(self) -> Iterator[str]:
        texts = join_pieces(self._texts())
        if not (self.provider.checks_notices or self.provider.trims_start):
            return texts
        return self._hold_back_start(texts)

    def _hold_back_start(self, texts: Iterator[str]) -> Iterator[str]:
        """Hold back text that may still turn out to be a limit notice, or that is only leading white space."""
        start, provider = "", self.provider
        for text in texts:
            start += text
            if provider.trims_start and not isinstance(text, images.ImageResponse):
                start = start.lstrip()
            if start and not (provider.checks_notices and classify.limit_notice(start, ended=False) is None):
                yield text if start == text else start
                yield from texts
                return
        if start and classify.limit_notice(start, ended=True):
            raise RateLimitError(
                f"{provider.name}: the site answered with a limit notice ({start.strip()!r}); "
                "ask later or ask another provider",
                status=self._response.status,
                action="next",
            )
        # White space alone is not an answer.
        if start.strip():
            yield start

    def _texts(self) -> Iterator[str]:
        parse, collector = self.provider.parse_event, self._collector
        event: Any = None
        try:
            events = self._events()
            for event in events:
                chunk = parse(event)
                if chunk.__class__ is str:
                    if chunk:
                        yield chunk
                elif chunk is not None:
                    # Some services yield a list for every event; most of its parts need no generator.
                    for part in chunk if chunk.__class__ is list else (chunk,):
                        if part.__class__ is str and part:
                            yield part
                        elif part.__class__ in ADDERS:
                            collector.add(part)
                        else:
                            yield from self._unpack(part)
                    if collector.ended:
                        break
            if not collector.last:
                # Events after an end marker show whether it was the real end.
                for event in events:
                    for text in self._unpack(parse(event) or ()):
                        collector.add_text()
                        yield text
                    if collector.last:
                        break
            self._last_event = event
            return self._check_end()
        except ChatError:
            raise
        except _UNREADABLE as error:
            failure = unreadable(self.provider.name, "answer", error, getattr(event, "data", ""))
        raise failure

    def _events(self) -> Iterator[Event]:
        events = self.provider.iter_events(self._blocks(), max_line=self.provider.max_line)
        return events if self._raw is None else _record_events(events, self._raw)

    def _blocks(self) -> Iterator[bytes]:
        response = self._response
        content_type = response.headers.get("Content-Type", "")
        first = block = response.read_block()
        while block and len(first) < _SNIFF_SIZE and classify.may_be_html(content_type, first):
            block = response.read_block()
            first += block
        if classify.is_html(content_type, first[:_SNIFF_SIZE]):
            body = first + response.read_error()
            raise classify.response_error(
                response.status,
                response.headers,
                body,
                provider=self.provider.name,
                model=self.model,
                rules=self.provider.rules,
            )
        return chain((first,), self._iter_blocks())

    def _iter_blocks(self) -> Iterator[bytes]:
        try:
            yield from iter(self._response.read_block, b"")
        except (StreamInterruptedError, TimedOutError):
            # Nothing of the answer is missing once its end marker is here.
            if self._cancelled or not self._collector.ended:
                raise

    def _unpack(self, chunk: Any) -> Iterator[str]:
        if isinstance(chunk, str):
            if chunk:
                yield chunk
        elif isinstance(chunk, chunks.Picture):
            yield self._load_image(chunk)
        elif type(chunk) in ADDERS:
            self._collector.add(chunk)
        elif isinstance(chunk, chunks.Refusal):
            self._collector.refused = True
            yield chunk.text
        elif isinstance(chunk, chunks.Whole):
            for part in self._collector.iter_new(chunk):
                yield from self._unpack(part)
        elif isinstance(chunk, Sequence):
            for part in chunk:
                yield from self._unpack(part)
        else:
            raise TypeError(f"parse_event returned {type(chunk).__name__}")

    def _load_image(self, picture: chunks.Picture) -> images.ImageResponse:
        image = picture.data or picture.url
        if picture.fetch:
            image = images.data_uri(self._http.download(picture.url))
        self._collector.images.append(image)
        urls = [picture.url] if picture.url else []
        return images.ImageResponse([image], alt=self._alt, urls=urls, fetch=self._http.fetch)

    def _check_end(self) -> None:
        collector = self._collector
        if collector.last:
            self._response.finish()
        elif not collector.ended and self.provider.requires_end and not self.closed:
            if not self._parts and (failure := self._reported_failure()):
                raise failure
            raise StreamInterruptedError(
                f"{self.provider.name}: the answer ended without its end marker, so it may be cut off; ask again",
                action="retry",
                maybe_processed=True,
            )

    def _finish(self) -> None:
        collector, name = self._collector, self.provider.name
        if collector.failed:
            raise ServerError(
                f"{name}: the service says the answer failed (finish reason {collector.failed})", maybe_processed=True
            )
        if not self._parts and not collector.calls and collector.reason != PAUSED:
            raise self._empty_error()
        if self.provider.draws(self.model) and not collector.images:
            raise BadResponseError(f"{name}: {self.model} answered with text and no image")
        text, usage = self.text, collector.total_usage()
        calls = collector.tool_calls(name)
        cost, saved = self._charge(usage, collector.total_bill())
        if text:
            # Keep one copy, not the pieces as well.
            self._parts[:] = [text]
        self.reply = Reply(
            text=text,
            provider=name,
            model=collector.model,
            complete=True if collector.ended else None,
            finish_reason=collector.finish_reason(),
            usage=usage,
            images=collector.images,
            reasoning=self.reasoning,
            citations=collector.placed_citations(text),
            searches=collector.searches(),
            logprobs=collector.logprobs,
            tool_calls=calls,
            thoughts=collector.thoughts(name),
            blocks=collector.sent_blocks(text, calls),
            attempts=self.attempts,
            headers=self._response.headers,
            elapsed=self._clock() - self._started,
            cost=cost,
            saved=saved,
            raw=self._raw or [],
            id=collector.id,
            cache_miss="" if self.explain_miss is None else self.explain_miss(usage),
        )
        self.close()
        self._notify_complete(self.reply)

    def _charge(self, usage: chunks.Usage, bill: chunks.Bill) -> Charge:
        models = (self._collector.model, self.model)
        if self._writes_long and bill.long_writes is None:
            # The service reports only the total, and writes were requested for longer than usual.
            bill = bill._replace(long_writes=usage.cache_write_tokens)
        bill = bill._replace(images=len(self._collector.images))
        return charge_of(self.provider, models, usage, self._catalog, bill, at=utc_now())

    def _empty_error(self) -> ChatError:
        collector, name = self._collector, self.provider.name
        if collector.reason == "content_filter":
            return ContentFilteredError(f"{name}: the answer was withheld by a content filter; change the prompt")
        if collector.notice:
            return classify.event_error(
                {"error": collector.notice}, provider=name, model=self.model, rules=self.provider.rules
            )
        if failure := self._reported_failure() or collector.unread:
            return failure
        if collector.reason == "length":
            return EmptyAnswerError(f"{name}: {collector.length_problem()}", action="stop")
        return EmptyAnswerError(f"{name}: the service answered with status {self._response.status} and no text")

    def _reported_failure(self) -> ChatError | None:
        """Return the error in a last record that is not part of an answer, with the service's message."""
        event = self._last_event
        try:
            record = event.json() if event is not None else None
        except (ValueError, StreamInterruptedError):
            return None
        if not isinstance(record, dict) or not classify.has_message(record):
            return None
        return classify.event_error(record, provider=self.provider.name, model=self.model, rules=self.provider.rules)

    def _break_off(self, error: ChatError) -> ChatError:
        """Close the answer and return its error, with the text received; once there is text, nothing is retried."""
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
                error = StreamStalledError(
                    error.message,
                    provider=error.provider,
                    model=error.model,
                    reason=error.reason,
                    maybe_processed=error.maybe_processed,
                )
            error.partial = self.text
            error.action = "stop"
            error.attempts = [*self.attempts[:-1], replace(self.attempts[-1], error=error)] if self.attempts else []
        self._notify_failed(error)
        self.close()
        return error


def _record_events(events: Iterator[Event], raw: list[Any]) -> Iterator[Event]:
    for event in events:
        try:
            raw.append(event.json())
        except (ValueError, StreamInterruptedError):
            raw.append(event.data)
        yield event
