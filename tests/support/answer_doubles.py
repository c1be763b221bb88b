"""A provider that answers with scripted chunks, and doubles of the transport and its response."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import requests

from aichatkit.call.answer import Answer
from aichatkit.errors import ChatError
from aichatkit.events import Event
from aichatkit.providers.base import Provider


def one_event_each(blocks: Iterable[bytes], *, max_line: int) -> Iterable[Event]:
    """Yield one event per non-empty block."""
    return (Event(block.decode()) for block in blocks if block)


class Scripted(Provider):
    """A provider that answers with the given chunks, one event per entry."""

    name = "scripted"
    url = "https://scripted.example"
    path = "/chat"
    default_model = "scripted-1"
    needs_key = False
    iter_events = staticmethod(one_event_each)

    def __init__(self, *script: Any, **attributes: Any) -> None:
        super().__init__()
        self.script = list(script)
        for name, value in attributes.items():
            setattr(self, name, value)

    def build_request(self, messages: Any, model: str) -> requests.Request:
        return requests.Request("POST", self.api_endpoint, json={})

    def parse_event(self, event: Event) -> Any:
        return self.script[int(event.data)]


class FakeResponse:
    """A double of `transport.Response`: one block per entry of a script, then the end of the body or an error."""

    def __init__(self, blocks: Iterable[bytes], ending: ChatError | None = None, kind: str = "") -> None:
        self.status = 200
        self.headers = {"Content-Type": kind, "X-Id": "1"}
        self.done: list[str] = []
        self._blocks = iter(blocks)
        self._ending = ending

    def read_block(self) -> bytes:
        block = next(self._blocks, b"")
        if not block and self._ending is not None:
            raise self._ending
        return block

    def read_error(self) -> bytes:
        return b"".join(self._blocks)

    def finish(self) -> None:
        self.done.append("finish")

    def close(self) -> None:
        self.done.append("close")

    def cancel(self) -> None:
        self.done.append("cancel")


class FakeTransport:
    """A double of the part of `Transport` that an answer uses."""

    def __init__(self) -> None:
        self.scrubbed: list[ChatError] = []

    def scrub(self, error: ChatError) -> None:
        self.scrubbed.append(error)

    def download(self, url: str) -> bytes:
        return b"GIF89a" + url.encode()

    fetch = download


def answered(*script: Any, ending: ChatError | None = None, kind: str = "", **attributes: Any) -> Any:
    """Return an answer made of these chunks; the response it reads is `answer.fake`."""
    provider = Scripted(*script, **attributes)
    response: Any = FakeResponse((str(number).encode() for number in range(len(script))), ending, kind)
    http: Any = FakeTransport()
    answer: Any = Answer(provider, "asked-1", response, http=http, alt="a cat", started=1.0, clock=lambda: 3.5)
    answer.fake, answer.http = response, http
    return answer
