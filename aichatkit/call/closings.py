"""Chunks that repeat earlier ones -> only what is new: services send much of an answer twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit import chunks

if TYPE_CHECKING:
    from aichatkit.call.collector import Collector

__all__ = ["Closings"]


class Closings:
    """Determines what a closing event adds to the pieces received before it."""

    def __init__(self, collector: Collector, texts: Sequence[str]) -> None:
        self._collector = collector
        self._texts = texts
        self._seen: set[Any] = set()
        #: How many characters belong to finished parts, and how many were received in closing events.
        self._closed = 0
        self._repeated = 0

    def begin(self, part: chunks.Part) -> None:
        """Note that pieces of a part follow."""
        if not self._seen.intersection(part.keys):
            self._closed = sum(map(len, self._texts))
        self._seen.update(part.keys)

    def iter_new(self, whole: chunks.Whole) -> Iterator[Any]:
        """Yield the chunks, without what was received before."""
        collector = self._collector
        if not whole.keys:
            collector.calls.forget_settled()
        reasoning = "".join(collector.reasoning)
        text = self._new_text(whole, "".join(_text_of(part) for part in whole.parts))
        for part in whole.parts:
            if isinstance(part, (str, chunks.Refusal)):
                if text:
                    yield part._replace(text=text) if isinstance(part, chunks.Refusal) else text
                text = ""
            elif isinstance(part, chunks.Reasoning):
                if part.text not in reasoning:
                    yield part._replace(text=part.text[len(reasoning) :]) if part.text.startswith(reasoning) else part
            elif not (isinstance(part, chunks.Picture) and (part.data or part.url) in collector.images):
                yield part

    def _new_text(self, whole: chunks.Whole, text: str) -> str:
        received = "".join(self._texts)
        is_repeated = bool(self._seen.intersection(whole.keys))
        since = received[self._closed :] if whole.keys else received
        if not is_repeated:
            self._collector.starts += [(key, self._closed) for key in whole.keys]
        self._seen.update(whole.keys)
        if not text or is_repeated or since.startswith(text):
            self._closed += len(text) if since.startswith(text) and not is_repeated else 0
            return ""
        if text.startswith(since):
            new = text[len(since) :]
        elif not whole.keys and self._repeated == len(received):
            # A service that sends pieces where others repeat the whole message.
            new = text
        else:
            # The text received in pieces is kept.
            new = ""
        self._closed = len(received) + len(new)
        self._repeated += len(new)
        return new


def _text_of(part: Any) -> str:
    return part.text if isinstance(part, chunks.Refusal) else part if isinstance(part, str) else ""
