"""Fixtures of the fault matrix: a scripted server, a client pointed at it, and the waits that were asked for."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

import pytest
import trustme
from fault_wires import KEY, OPENAI, OVER_TLS, PLAIN, Wire

from aichatkit import Client, RetryPolicy
from aichatkit.sandbox import raw
from aichatkit.sandbox.exchange import Request
from aichatkit.sandbox.raw import RawServer


class Fault:
    """One scripted service, the client that asks it, what it was asked, and what the client slept."""

    def __init__(self, wire: Wire, scripts: tuple[Any, ...], tls: ssl.SSLContext | None) -> None:
        self.wire = wire
        self.asked: list[Request] = []
        self.slept: list[float] = []
        self._scripts = scripts
        self.server = RawServer(self._answer, tls=tls)
        self.client: Client

    @property
    def url(self) -> str:
        return self.server.url + self.wire.base

    def policy(self, **options: Any) -> RetryPolicy:
        """A policy that only writes down its waits, with random numbers in the middle."""
        return RetryPolicy(**{"sleep": self.slept.append, "random": lambda: 0.5, **options})

    def _answer(self, request: Request) -> Any:
        if self.wire.handshake and request.method == "GET":
            return [self.wire.handshake]
        self.asked.append(request)
        script = self._scripts[min(len(self.asked), len(self._scripts)) - 1]
        return script(request) if callable(script) else script


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


@pytest.fixture(scope="session")
def tls(authority: tuple[trustme.CA, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a silent server give up at last, so that a client that waits for ever fails the test and does not hang it."""
    monkeypatch.setattr(raw, "_WAIT_CLOSE_SECONDS", 10.0)


@pytest.fixture
def faults(authority: tuple[trustme.CA, Path], tls: ssl.SSLContext) -> Iterator[Callable[..., Fault]]:
    """Make a scripted service and its client: `faults(wire, script, script, ..., option=value)`."""
    with ExitStack() as stack:

        def make(wire: Wire = OPENAI, *scripts: Any, tries: dict[str, Any] | None = None, **options: Any) -> Fault:
            fault = Fault(wire, scripts, tls if OVER_TLS else None)
            stack.enter_context(fault.server)
            keys = {wire.provider: KEY} if wire.keyed else None
            fault.client = Client(
                **{
                    "model": wire.provider,
                    "api_key": keys,
                    "base_url": {wire.provider: fault.url},
                    "retry": fault.policy(**(tries or {})),
                    # Far longer than anything takes here, far shorter than the default: a bug fails, it does not hang.
                    "timeout": (5, 5),
                    "verify": str(authority[1]) if OVER_TLS else None,
                    **options,
                }
            )
            stack.callback(fault.client.close)
            return fault

        yield make


@pytest.fixture
def pair(faults: Callable[..., Fault]) -> Callable[..., tuple[Fault, Fault, Client]]:
    """Make two services and one client that asks the first (OpenAI's) and then the second (AIChatFree)."""

    def make(first: list[Any], second: list[Any] | None = None, **options: Any) -> tuple[Fault, Fault, Client]:
        one = faults(OPENAI, *first)
        two = faults(PLAIN, *(second or [PLAIN.whole("second")]))
        one.client.close()
        both = faults(
            OPENAI,
            model=["openai", "aichatfree"],
            base_url={"openai": one.url, "aichatfree": two.url},
            **{"retry": one.policy(), **options},
        )
        return one, two, both.client

    return make
