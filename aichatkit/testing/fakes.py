"""Script -> answers: a fake of every service, in its own protocol, without sockets."""

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
from aichatkit.sandbox.exchange import Headers, Piece, Request, Response
from aichatkit.sandbox.http1 import response_steps
from aichatkit.sandbox.memory import Clock, connection_refused
from aichatkit.sandbox.playground import route_request
from aichatkit.sandbox.wires import WIRES, Call, Settings, Wire
from aichatkit.testing.patches import API_KEY, NetworkPatch, build_response
from aichatkit.testing.steps import Fault, Raw, Unreachable, apply_step, parse_step

__all__ = ["Asked", "Fake"]


@dataclass(frozen=True)
class Asked:
    """A request that the fake received; `prompt` is the user's last message."""

    prompt: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body parsed as JSON."""
        return Request("POST", "", {}, Headers(), self.body, 0).json()


class Fake:
    """Replace every service with scripted answers.

    `answers` is a list consumed in order, a dict of answers by words in the prompt, a function of the prompt,
    or one answer for every request. An answer is a text, data, or a step of this package such as `RateLimit()`.
    Everything between the caller and the socket is real: requests, retries, streaming, parsing, errors.
    Waits take no time; `waits` lists them in seconds, `requests` the requests sent, `prompts` their prompts.

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
        self._position = 0
        self._failures: list[str] = []
        self._clock = Clock()
        self._lock = Lock()
        self._wires: dict[str, list[Wire]] = {}
        self._adapter = _FakeAdapter(self)
        self._patches: list[NetworkPatch] = []

    @property
    def prompts(self) -> list[str]:
        """The user's last message in each request, including retries."""
        return [request.prompt for request in self.requests]

    @property
    def waits(self) -> list[float]:
        """The length of each wait in seconds; waits return immediately."""
        return self._clock.slept

    def client(self, **options: Any) -> Client:
        """Return a client that uses this fake for all services; `model` defaults to `openai`."""
        if options.get("session") is not None:
            raise ConfigurationError("session: a fake client has one of its own; with yours, use Fake(...).installed()")
        return _FakeClient(self, options)

    def install(self) -> Fake:
        """Replace the network for every client in the process, until `remove`."""
        patch = NetworkPatch(lambda original: self._adapter, clock=self._clock)
        patch.apply()
        self._patches.append(patch)
        return self

    def remove(self) -> None:
        """Restore the network."""
        if self._patches:
            self._patches.pop().remove()

    @contextmanager
    def installed(self) -> Iterator[Fake]:
        """Replace the network inside a with statement, then call `assert_done`."""
        self.install()
        try:
            yield self
        finally:
            self.remove()
        self.assert_done()

    def assert_done(self) -> None:
        """Raise AssertionError unless every answer of the list was used, and none was missing."""
        if self._failures:
            raise AssertionError(self._failures[0])
        if self._script is not None and self._position < len(self._script):
            unused = self._script[self._position :]
            raise AssertionError(
                f"{len(unused)} of {len(self._script)} answers of the fake were not asked for; "
                f"the next is {unused[0]!r}"
            )

    def policy(self, retry: Any) -> RetryPolicy:
        """Return the retry policy for a client of this fake: `retry`, but without real waits."""
        policy = RetryPolicy.of(retry)
        sleep = policy.sleep or self._clock.sleep
        return replace(policy, sleep=sleep, clock=policy.clock or self._clock.now, random=policy.random or float)

    def respond(self, request: requests.PreparedRequest, timeout: Any) -> requests.Response:
        """Answer one request."""
        parts = urlsplit(str(request.url))
        parsed = _parse_request(request)
        response = self._respond(f"{parts.scheme}://{parts.netloc}", parsed, str(request.url))
        return build_response(request, response_steps(response, parsed), timeout, self._clock)

    def _respond(self, origin: str, request: Request, url: str) -> Response:
        call = self._route(origin, request)
        if isinstance(call, Response):
            return self._respond_unknown(request, url)
        if call.route.endpoint != "chat":
            return call.wire.respond(call)
        call.on_turns = _raise_prompt
        try:
            response = call.wire.respond(call)
        except _PromptReceived as received:
            prompt = received.prompt
        else:
            # A request that the real service would also reject uses no scripted answer, unless the next one is
            # raw bytes: then the request is for another service with the same path.
            self.requests.append(Asked("", url, request.headers, request.body))
            return _raw_response(self._take_step("")) if self._is_raw_next() else response
        self.requests.append(Asked(prompt, url, request.headers, request.body))
        return self._play_step(self._take_step(prompt), origin, request)

    def _respond_unknown(self, request: Request, url: str) -> Response:
        self.requests.append(Asked("", url, request.headers, request.body))
        step = self._take_step("")
        if not isinstance(step, Raw):
            self._fail(
                f"the fake knows no protocol at {url}, so it can answer with Raw(b'...') only, not with {step!r}"
            )
        return _raw_response(step)

    def _play_step(self, step: Any, origin: str, request: Request) -> Response:
        if isinstance(step, Raw):
            return _raw_response(step)
        call = self._route(origin, request)
        assert isinstance(call, Call)
        if not isinstance(step, Fault):
            apply_step(step, call)
            return call.wire.respond(call)
        call.text = step.text
        return step.plan.apply(partial(call.wire.respond, call), call)

    def _route(self, origin: str, request: Request) -> Call | Response:
        with self._lock:
            wires = self._wires.setdefault(origin, [wire_cls(Settings(url=origin)) for wire_cls in WIRES])
        return route_request(wires, request, _compose)

    def _take_step(self, prompt: str) -> Any:
        step = self._next_answer(prompt)
        while callable(step) and not isinstance(step, type):
            step = parse_step(step(prompt))
        if isinstance(step, Unreachable):
            raise requests.ConnectionError(connection_refused())
        if isinstance(step, BaseException):
            raise step
        return step

    def _next_answer(self, prompt: str) -> Any:
        if isinstance(self._answers, Mapping):
            matches = [words for words in self._answers if words in prompt]
            if not matches:
                self._fail(f"the fake has no answer for {prompt!r}; it knows {', '.join(map(repr, self._answers))}")
            return self._answers[max(matches, key=len)]
        if self._script is None:
            return self._answers
        with self._lock:
            index, self._position = self._position, min(self._position + 1, len(self._script))
        if index == len(self._script):
            self._fail(f"the fake has no answer left, its {index} are used up, and this was asked: {prompt!r}")
        return self._script[index]

    def _is_raw_next(self) -> bool:
        if self._script is None:
            return isinstance(self._answers, Raw)
        with self._lock:
            return isinstance(next(iter(self._script[self._position :]), None), Raw)

    def _fail(self, message: str) -> None:
        # Also recorded: code under test that catches every exception must not hide the failure.
        self._failures.append(message)
        raise AssertionError(message)


class _FakeClient(Client):
    """A client that uses a fake for every service, with its clock."""

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
                self._context.keys.setdefault(name, [API_KEY])
        return super()._targets(model)


class _FakeAdapter(BaseAdapter):
    """The transport adapter of a session that uses the fake."""

    def __init__(self, fake: Fake) -> None:
        super().__init__()
        self._fake = fake

    def send(self, request: requests.PreparedRequest, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        return self._fake.respond(request, timeout)

    def close(self) -> None:
        """Do nothing: there are no connections to close."""


class _PromptReceived(Exception):
    """The prompt of a request, raised as soon as the wire has parsed it."""

    def __init__(self, prompt: str) -> None:
        super().__init__(prompt)
        self.prompt = prompt


def _raise_prompt(call: Call, turns: Sequence[str]) -> None:
    raise _PromptReceived(turns[-1] if turns else "")


def _compose(turns: Sequence[str], default: str | None) -> str:
    return eliza(turns) if default is None else default


def _parse_request(request: requests.PreparedRequest) -> Request:
    parts = urlsplit(str(request.url))
    body: Any = request.body or b""
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    content = body.encode() if isinstance(body, str) else b"".join(body) if not isinstance(body, bytes) else body
    return Request(request.method or "POST", parts.path or "/", query, Headers(request.headers.items()), content, 1)


def _raw_response(step: Raw) -> Response:
    headers = list(step.headers.items())
    return Response(step.status, headers, [Piece(piece) for piece in step.pieces], framing="chunked")
