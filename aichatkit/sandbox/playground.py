"""Listener, wires, faults and ELIZA -> the `Sandbox` that users start."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from aichatkit._dataclasses import replace
from aichatkit.sandbox.batches import BATCH_WIRES, Batches, BatchJob, BatchRow
from aichatkit.sandbox.eliza import eliza
from aichatkit.sandbox.exchange import APIError, Request, Response, json_response
from aichatkit.sandbox.faults import FAULTS, Fault, Plan, parse_plan, split_prefix
from aichatkit.sandbox.http1 import serve_requests
from aichatkit.sandbox.prompt_caches import PromptCaches
from aichatkit.sandbox.server import Connection, Listener, LocalServer
from aichatkit.sandbox.wires import WIRES, Call, Settings, Wire

# Bounds the memory use of a sandbox that runs for days.
_MAX_REQUESTS = 20_000
#: How long a batch job takes if nobody moves the clock of the sandbox, in seconds.
_BATCH_SECONDS, _SERVED_BATCH_SECONDS = 60.0, 3.0


class Sandbox(LocalServer):
    """A local server that speaks every protocol of the package and injects faults on request.

    Use it as a context manager, or call `start` and `close`.
    `delay` is the delay before each piece of text, in seconds.
    `api_keys` are the only keys accepted; with None, keys are neither required nor checked.
    `faults` apply to every request; `script` adds faults for the next ones.
    `secret` and `password` are those of AIChatFree.
    `batch_seconds` is how long a batch job takes, by a clock that `advance` moves.
    """

    _label = "sandbox"

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        seed: int = 0,
        delay: float = 0.0,
        api_keys: Iterable[str] | None = None,
        tls: ssl.SSLContext | None = None,
        faults: Iterable[str] = (),
        secret: str = "",
        password: str | None = None,
        batch_seconds: float = _BATCH_SECONDS,
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.delay = delay
        self.requests: list[Request] = []
        keys = None if api_keys is None else frozenset(api_keys)
        #: The prompt caches of the services, and what they charge.
        self.prompt_caches = PromptCaches()
        self._settings = Settings(
            seed=seed, api_keys=keys, secret=secret, password=password, prompt_caches=self.prompt_caches
        )
        self._plans = [parse_plan(text) for text in faults]
        self._script: deque[Plan | None] = deque()
        self._texts: deque[str] | str | None = None
        self._hits: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._wires: list[Wire] = []
        self._batches = Batches(self._answer_row, seconds=batch_seconds, seed=seed)

    @staticmethod
    def faults() -> Mapping[str, Fault]:
        """Return every fault by name, with its description and options."""
        return dict(FAULTS)

    def start(self) -> Sandbox:
        """Start listening."""
        if self._listener is None:
            self._listener = Listener(self._serve, host=self.host, port=self.port, tls=self.tls)
            self.port = self._listener.port
            settings = replace(self._settings, url=self._listener.url)
            batch_wires = [wire_cls(settings, self._batches) for wire_cls in BATCH_WIRES]
            self._wires = [*batch_wires, *(wire_cls(settings) for wire_cls in WIRES)]
        return self

    def close(self) -> None:
        """Stop listening, and close all connections."""
        if self._listener is not None:
            self._listener.close()

    def script(self, *faults: str | None) -> None:
        """Queue faults for the next chat requests, in order; None answers a request normally.

        A fault is written as `name` or `name,option=value`; an option such as `on=token` selects another endpoint.
        """
        plans = [None if text is None else parse_plan(text) for text in faults]
        with self._lock:
            self._script.extend(plans)

    def says(self, text: str | Sequence[str] | None) -> None:
        """Answer with this text instead of ELIZA's; a list has one text per answer, None restores ELIZA."""
        with self._lock:
            self._texts = text if text is None or isinstance(text, str) else deque(text)

    def now(self) -> float:
        """Return the time by the sandbox's clock, in seconds since 1970."""
        return self._batches.now()

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock, by which batch jobs run: those whose time is up end at once."""
        self._batches.advance(seconds)

    @property
    def jobs(self) -> list[BatchJob]:
        """Every batch job that was created, in order."""
        return list(self._batches.jobs)

    @property
    def ledger(self) -> list[BatchRow]:
        """Every row of every batch job: one that was sent twice is here twice."""
        return [row for job in self._batches.jobs for row in job.rows]

    def _serve(self, connection: Connection) -> None:
        serve_requests(connection, self._respond)

    def _respond(self, request: Request) -> Response:
        names, path = split_prefix(request.path)
        request = replace(request, path=path, prefix=request.path[: len(request.path) - len(path)])
        self.requests.append(request)
        del self.requests[:-_MAX_REQUESTS]
        try:
            plans = [parse_plan(text) for text in names]
        except ValueError as error:
            return json_response({"error": {"message": str(error)}}, 400)
        call = route_request(self._wires, request, self._compose)
        if isinstance(call, Response):
            return call
        response = self._add_delay(self._apply_plans(call, self._select_plans(call, plans)))
        if call.caching is not None:
            call.caching.begin(response)
        return response

    def _select_plans(self, call: Call, url_plans: Sequence[Plan]) -> list[Plan]:
        selected = [plan for plan in self._plans if plan.applies_to(call)]
        endpoint = call.route.endpoint
        with self._lock:
            for plan in url_plans:
                self._hits[f"{plan} {endpoint}"] += plan.applies_to(call)
                if plan.applies_to(call) and (plan.times is None or self._hits[f"{plan} {endpoint}"] <= plan.times):
                    selected.append(plan)
            if self._script and (self._script[0].applies_to(call) if self._script[0] else endpoint == "chat"):
                scripted = self._script.popleft()
                selected += [scripted] if scripted else []
        return selected

    def _apply_plans(self, call: Call, plans: Iterable[Plan]) -> Response:
        respond: Callable[[], Response] = partial(call.wire.respond, call)
        for plan in plans:
            respond = partial(plan.apply, respond, call)
        return respond()

    def _answer_row(self, request: Request, row: BatchRow, fault: str) -> Response:
        call = route_request(self._wires, request, self._compose)
        if isinstance(call, Response):
            return call
        call.route = replace(call.route, endpoint="batch-row")
        call.on_turns = lambda _, turns: setattr(row, "prompt", turns[-1] if turns else "")
        plans = [parse_plan(fault)] if fault else self._select_plans(call, ())
        response = self._apply_plans(call, plans)
        if call.caching is not None and response.status == 200:
            row.finish = call.caching.finish
        return response

    def _add_delay(self, response: Response) -> Response:
        if self.delay and response.framing == "chunked":
            response.pieces = (
                replace(piece, pause=piece.pause or self.delay) if piece.phase == "text" else piece
                for piece in response.pieces
            )
        return response

    def _compose(self, turns: Sequence[str], default: str | None) -> str:
        with self._lock:
            if isinstance(self._texts, str):
                return self._texts
            if self._texts:
                return self._texts.popleft()
        return eliza(turns, self._settings.seed) if default is None else default


def route_request(
    wires: Iterable[Wire], request: Request, compose: Callable[[Sequence[str], str | None], str]
) -> Call | Response:
    """Match a request to a route of the wires; return an error response if there is none."""
    for wire in wires:
        route, methods = wire.match(request)
        if route is not None:
            return Call(request, wire, route, compose)
        if methods:
            return wire.error_response(APIError("wrong-method", headers=[("Allow", ", ".join(methods))]), request)
    return json_response({"error": {"message": f"The sandbox has nothing at {request.path}."}}, 404)


def serve(
    port: int,
    *,
    host: str = "127.0.0.1",
    delay: float = 0.0,
    seed: int = 0,
    fault: str | None = None,
    announce: Callable[[str], object],
) -> None:
    """Run a sandbox until Ctrl-C; `announce` is called with its URL."""
    faults = [fault] if fault else ()
    with Sandbox(
        port, host=host, delay=delay, seed=seed, faults=faults, batch_seconds=_SERVED_BATCH_SECONDS
    ) as sandbox:
        try:
            announce(sandbox.url)
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return
