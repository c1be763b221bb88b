"""Listener, wires, faults and ELIZA -> the sandbox that users start."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType

from aichatkit._dataclasses import replace
from aichatkit.sandbox.eliza import eliza
from aichatkit.sandbox.exchange import Answer, Request, Trouble, json_answer
from aichatkit.sandbox.faults import FAULTS, Fault, Plan, parse_plan, split_prefix
from aichatkit.sandbox.http1 import serve_requests
from aichatkit.sandbox.server import Connection, Listener
from aichatkit.sandbox.wires import WIRES, Call, Settings, Wire

# A sandbox may be left running for days.
_REQUESTS_KEPT = 20_000


class Sandbox:
    """A loopback server that speaks every wire of the package and spoils answers on request.

    Use it as a context manager, or call `start` and `close`.
    `delay` is waited before each piece of text; `api_keys` are the only keys taken, None takes any and none.
    `faults` are in force on every request; `script` names faults for the next ones.
    `secret` and `password` are those of AIChatFree.
    """

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
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.delay = delay
        self.requests: list[Request] = []
        keys = None if api_keys is None else frozenset(api_keys)
        self._settings = Settings(seed=seed, api_keys=keys, secret=secret, password=password)
        self._standing = [parse_plan(text) for text in faults]
        self._script: deque[Plan | None] = deque()
        self._sayings: deque[str] | str | None = None
        self._met: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._wires: list[Wire] = []
        self._listener: Listener | None = None

    @staticmethod
    def faults() -> Mapping[str, Fault]:
        """List every fault by name, with description and options."""
        return dict(FAULTS)

    def start(self) -> Sandbox:
        """Listen from now on."""
        if self._listener is None:
            self._listener = Listener(self._serve, host=self.host, port=self.port, tls=self.tls)
            self.port = self._listener.port
            settings = replace(self._settings, url=self._listener.url)
            self._wires = [wire(settings) for wire in WIRES]
        return self

    def close(self) -> None:
        """Stop, and end every open connection."""
        if self._listener is not None:
            self._listener.close()

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The address, without a slash at the end."""
        return self._running.url

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._running.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self._running.open_connections

    def wait_closed(self, timeout: float = 5.0) -> bool:
        """Wait until every client has closed; False when `timeout` seconds were not enough."""
        return self._running.wait_closed(timeout)

    def script(self, *faults: str | None) -> None:
        """Name faults for the next chat requests, in order; None answers one normally.

        A fault is written `name` or `name,option=value`; `on=token` and the like aim it at another kind of request.
        """
        plans = [None if text is None else parse_plan(text) for text in faults]
        with self._lock:
            self._script.extend(plans)

    def says(self, text: str | Sequence[str] | None) -> None:
        """Answer with this text instead of ELIZA's; a list holds one text for each answer, None gives ELIZA back."""
        with self._lock:
            self._sayings = text if text is None or isinstance(text, str) else deque(text)

    @property
    def _running(self) -> Listener:
        if self._listener is None:
            raise RuntimeError("the sandbox is not started: use it in a with statement or call start()")
        return self._listener

    def _serve(self, connection: Connection) -> None:
        serve_requests(connection, self._respond)

    def _respond(self, request: Request) -> Answer:
        chosen, path = split_prefix(request.path)
        request = replace(request, path=path, prefix=request.path[: len(request.path) - len(path)])
        self.requests.append(request)
        del self.requests[:-_REQUESTS_KEPT]
        try:
            plans = [parse_plan(text) for text in chosen]
        except ValueError as error:
            return json_answer({"error": {"message": str(error)}}, 400)
        call = find_call(self._wires, request, self._compose)
        if isinstance(call, Answer):
            return call
        answer = self._spoiled(call, self._due(call, plans, request))
        return self._paced(answer)

    def _due(self, call: Call, from_url: Sequence[Plan], request: Request) -> list[Plan]:
        due = [plan for plan in self._standing if plan.fits(call)]
        with self._lock:
            for plan in from_url:
                self._met[f"{plan} {call.route.kind}"] += plan.fits(call)
                if plan.fits(call) and (plan.times is None or self._met[f"{plan} {call.route.kind}"] <= plan.times):
                    due.append(plan)
            if self._script and (self._script[0].fits(call) if self._script[0] else call.route.kind == "chat"):
                scripted = self._script.popleft()
                due += [scripted] if scripted else []
        return due

    def _spoiled(self, call: Call, plans: Iterable[Plan]) -> Answer:
        reply: Callable[[], Answer] = partial(call.wire.answer, call)
        for plan in plans:
            reply = partial(plan.spoil, reply, call)
        return reply()

    def _paced(self, answer: Answer) -> Answer:
        if self.delay and answer.framing == "chunked":
            answer.pieces = (
                replace(piece, pause=piece.pause or self.delay) if piece.kind == "text" else piece
                for piece in answer.pieces
            )
        return answer

    def _compose(self, turns: Sequence[str], otherwise: str | None) -> str:
        with self._lock:
            if isinstance(self._sayings, str):
                return self._sayings
            if self._sayings:
                return self._sayings.popleft()
        return eliza(turns, self._settings.seed) if otherwise is None else otherwise


def find_call(
    wires: Iterable[Wire], request: Request, compose: Callable[[Sequence[str], str | None], str]
) -> Call | Answer:
    """Return the call that a request is to one of the wires, else the answer that there is none."""
    for wire in wires:
        route, methods = wire.find(request)
        if route is not None:
            return Call(request, wire, route, compose)
        if methods:
            return wire.refuse(Trouble("wrong-method", headers=[("Allow", ", ".join(methods))]), request)
    return json_answer({"error": {"message": f"The sandbox has nothing at {request.path}."}}, 404)


def serve(
    port: int,
    *,
    host: str = "127.0.0.1",
    delay: float = 0.0,
    seed: int = 0,
    fault: str | None = None,
    announce: Callable[[str], object],
) -> None:
    """Run a sandbox until interrupted from the keyboard; `announce` is told its address."""
    with Sandbox(port, host=host, delay=delay, seed=seed, faults=[fault] if fault else ()) as sandbox:
        try:
            announce(sandbox.url)
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return
