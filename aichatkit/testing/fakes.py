"""Script -> answers: a fake in front of every service, in their own protocols, without a socket."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.adapters import BaseAdapter

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit._locks import Lock
from aichatkit.call.targets import Target, named_providers
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError
from aichatkit.limits.retries import RetryPolicy
from aichatkit.registry import registry
from aichatkit.sandbox.eliza import eliza
from aichatkit.sandbox.exchange import Answer, Headers, Piece, Request
from aichatkit.sandbox.http1 import answer_steps
from aichatkit.sandbox.memory import Clock, refused
from aichatkit.sandbox.playground import find_call
from aichatkit.sandbox.wires import WIRES, Call, Settings, Wire
from aichatkit.testing.stand_ins import KEY, StandIn, respond
from aichatkit.testing.steps import Fault, Raw, Unreachable, parse_step, told

__all__ = ["Asked", "Fake"]


@dataclass(frozen=True)
class Asked:
    """A request the fake was sent; `prompt` is what the user said last."""

    prompt: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body read as JSON."""
        return Request("POST", "", {}, Headers(), self.body, 0).json()


class Fake:
    """Answer what a test says, in the place of every service.

    `answers` is a list that is used up in order, a dict of answers by words of the prompt, a function of the prompt,
    or one answer for everything. An answer is a text, data, or a step of this package such as `RateLimit()`.
    Everything between the caller and the socket is real: requests, retries, streams, parsing, errors.
    Waits take no time; `waits` lists them in seconds, `requests` what was sent, `prompts` what was asked.

    Example:
        >>> from aichatkit.testing import Fake, RateLimit
        >>> fake = Fake([RateLimit(retry_after=2), "Paris."])
        >>> fake.client().ask("Capital of France?").text, fake.waits
        ('Paris.', [2.0])
    """

    def __init__(self, answers: Any) -> None:
        self.requests: list[Asked] = []
        self._script = list(answers) if isinstance(answers, (list, tuple)) else None
        self._answers = answers
        for step in self._script or (answers.values() if isinstance(answers, Mapping) else []):
            parse_step(step)
        if self._script is None and not isinstance(answers, Mapping):
            parse_step(answers)
        self._used = 0
        self._missed: list[str] = []
        self._clock = Clock()
        self._lock = Lock()
        self._wires: dict[str, list[Wire]] = {}
        self._adapter = _Adapter(self)
        self._standing: list[StandIn] = []

    @property
    def prompts(self) -> list[str]:
        """What the user said last in each request, retries included."""
        return [asked.prompt for asked in self.requests]

    @property
    def waits(self) -> list[float]:
        """The seconds of each wait, none of which was waited."""
        return self._clock.slept

    def client(self, **options: Any) -> Client:
        """Return a client whose services are all this fake; it asks `openai` unless `model` says otherwise."""
        if options.get("session") is not None:
            raise ConfigurationError("session: a fake client has one of its own; with yours, use Fake(...).installed()")
        return _FakeClient(self, options)

    def install(self) -> Fake:
        """Answer in the place of the network for every client of the process, until `remove`."""
        stand_in = StandIn(lambda usual: self._adapter, clock=self._clock)
        stand_in.put()
        self._standing.append(stand_in)
        return self

    def remove(self) -> None:
        """Give the network back."""
        if self._standing:
            self._standing.pop().remove()

    @contextmanager
    def installed(self) -> Iterator[Fake]:
        """Stand in inside a with statement, and complain at its end about answers nobody asked for."""
        self.install()
        try:
            yield self
        finally:
            self.remove()
        self.assert_done()

    def assert_done(self) -> None:
        """Raise AssertionError unless every answer of the list was used, and none was missing."""
        if self._missed:
            raise AssertionError(self._missed[0])
        if self._script is not None and self._used < len(self._script):
            left = self._script[self._used :]
            raise AssertionError(
                f"{len(left)} of {len(self._script)} answers of the fake were not asked for; the next is {left[0]!r}"
            )

    def policy(self, retry: Any) -> RetryPolicy:
        """Return how a client of this fake retries: as told, without taking time."""
        policy = RetryPolicy.of(retry)
        sleep = policy.sleep or self._clock.sleep
        return replace(policy, sleep=sleep, clock=policy.clock or self._clock.now, random=policy.random or float)

    def respond(self, request: requests.PreparedRequest, timeout: Any) -> requests.Response:
        """Answer one request."""
        parts = urlsplit(str(request.url))
        read = _read(request)
        answer = self._answer(f"{parts.scheme}://{parts.netloc}", read, str(request.url))
        return respond(request, answer_steps(answer, read), timeout, self._clock)

    def _answer(self, origin: str, request: Request, url: str) -> Answer:
        call = self._call(origin, request)
        if isinstance(call, Answer):
            return self._strange(request, url)
        if call.route.kind != "chat":
            return call.wire.answer(call)
        call.decide = _decide
        try:
            refusal = call.wire.answer(call)
        except _Turns as turns:
            prompt = turns.prompt
        else:
            # A request that the real service would refuse as well takes no answer from the script, unless the script
            # says in bytes what comes: then it is for another service that has the same path.
            self.requests.append(Asked("", url, request.headers, request.body))
            return _raw(self._take("")) if self._is_raw_next() else refusal
        self.requests.append(Asked(prompt, url, request.headers, request.body))
        return self._play(self._take(prompt), origin, request)

    def _strange(self, request: Request, url: str) -> Answer:
        self.requests.append(Asked("", url, request.headers, request.body))
        step = self._take("")
        if not isinstance(step, Raw):
            self._miss(
                f"the fake knows no protocol at {url}, so it can answer with Raw(b'...') only, not with {step!r}"
            )
        return _raw(step)

    def _play(self, step: Any, origin: str, request: Request) -> Answer:
        if isinstance(step, Raw):
            return _raw(step)
        call = self._call(origin, request)
        assert isinstance(call, Call)
        if not isinstance(step, Fault):
            told(step, call)
            return call.wire.answer(call)
        call.text = step.text
        return step.plan.spoil(partial(call.wire.answer, call), call)

    def _call(self, origin: str, request: Request) -> Call | Answer:
        with self._lock:
            wires = self._wires.setdefault(origin, [wire(Settings(url=origin)) for wire in WIRES])
        return find_call(wires, request, _compose)

    def _take(self, prompt: str) -> Any:
        step = self._next(prompt)
        while callable(step) and not isinstance(step, type):
            step = parse_step(step(prompt))
        if isinstance(step, Unreachable):
            raise requests.ConnectionError(refused())
        if isinstance(step, BaseException):
            raise step
        return step

    def _next(self, prompt: str) -> Any:
        if isinstance(self._answers, Mapping):
            found = [words for words in self._answers if words in prompt]
            if not found:
                self._miss(f"the fake has no answer for {prompt!r}; it knows {', '.join(map(repr, self._answers))}")
            return self._answers[max(found, key=len)]
        if self._script is None:
            return self._answers
        with self._lock:
            place, self._used = self._used, min(self._used + 1, len(self._script))
        if place == len(self._script):
            self._miss(f"the fake has no answer left, its {place} are used up, and this was asked: {prompt!r}")
        return self._script[place]

    def _is_raw_next(self) -> bool:
        if self._script is None:
            return isinstance(self._answers, Raw)
        with self._lock:
            return isinstance(next(iter(self._script[self._used :]), None), Raw)

    def _miss(self, what: str) -> None:
        # Kept as well: code that catches everything must not hide it from the test.
        self._missed.append(what)
        raise AssertionError(what)


class _FakeClient(Client):
    """A client whose every call goes to one fake, at its pace."""

    def __init__(self, fake: Fake, options: dict[str, Any]) -> None:
        super().__init__(**{"model": "openai", **options, "retry": fake.policy(options.get("retry"))})
        self._fake = fake
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, fake._adapter)

    def _build_call(self, prompt: Any, repairs: int, /, *, retry: Any = None, **options: Any) -> Any:
        return super()._build_call(
            prompt, repairs, retry=None if retry is None else self._fake.policy(retry), **options
        )

    def _targets(self, model: Any) -> list[Target]:
        for name in named_providers(model):
            if registry[name].key_variables():
                self._context.keys.setdefault(name, [KEY])
        return super()._targets(model)


class _Adapter(BaseAdapter):
    """Where a Session sends its requests."""

    def __init__(self, fake: Fake) -> None:
        super().__init__()
        self._fake = fake

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        return self._fake.respond(request, timeout)

    def close(self) -> None:
        """Hold nothing, so there is nothing to close."""


class _Turns(Exception):
    """What the user said, told as soon as a wire has read it."""

    def __init__(self, prompt: str) -> None:
        super().__init__(prompt)
        self.prompt = prompt


def _decide(call: Call, turns: Sequence[str]) -> None:
    raise _Turns(turns[-1] if turns else "")


def _compose(turns: Sequence[str], otherwise: str | None) -> str:
    return eliza(turns) if otherwise is None else otherwise


def _read(request: requests.PreparedRequest) -> Request:
    parts = urlsplit(str(request.url))
    body: Any = request.body or b""
    fields = dict(parse_qsl(parts.query, keep_blank_values=True))
    content = body.encode() if isinstance(body, str) else b"".join(body) if not isinstance(body, bytes) else body
    return Request(request.method or "POST", parts.path or "/", fields, Headers(request.headers.items()), content, 1)


def _raw(step: Raw) -> Answer:
    headers = list(step.headers.items())
    return Answer(step.status, headers, [Piece(piece) for piece in step.pieces], framing="chunked")
