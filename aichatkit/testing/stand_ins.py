"""Network -> stand-in: what every client of the process talks to while a test runs, and the time it does so in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from aichatkit import api
from aichatkit.call import attempt as asking
from aichatkit.limits import retries
from aichatkit.limits.waits import Sleeper
from aichatkit.providers.base import Provider
from aichatkit.sandbox.memory import BROKEN, TIMED_OUT, Clock, Steps, broken, open_response
from aichatkit.transport.pools import is_sending

__all__ = ["KEY", "StandIn", "respond"]

#: The key of every service that wants one.
KEY = "fake-key"


class StandIn:
    """A place in front of the network: `choose` returns the adapter for a Session and an address.

    Only what the package sends goes to it; other requests of the process are left alone.
    With a `clock`, waits pass at once, jitter is none, and every service has a key, which is no real one.
    """

    def __init__(
        self, choose: Callable[[Callable[[], BaseAdapter]], BaseAdapter], *, clock: Clock | None = None
    ) -> None:
        self._choose = choose
        self._clock = clock
        self._undo: list[Callable[[], None]] = []

    def put(self) -> None:
        """Stand in from now on, also for clients that are there already; the shared client is made anew."""
        self._fill_in()
        usual = requests.Session.get_adapter

        def get_adapter(session: Any, url: str) -> Any:
            return self._choose(lambda: usual(session, url)) if is_sending() else usual(session, url)

        self._replace(requests.Session, "get_adapter", get_adapter)
        if self._clock is not None:
            self._pass_time(self._clock)

    def remove(self) -> None:
        """Leave everything as it was before."""
        while self._undo:
            self._undo.pop()()

    def _fill_in(self) -> None:
        shared = list(api._default)
        api._default.clear()

        def give_back() -> None:
            for made in api._default:
                made.close()
            api._default[:] = shared

        self._undo.append(give_back)

    def _pass_time(self, clock: Clock) -> None:
        def sleep(waiting: Sleeper, seconds: float) -> None:
            (waiting.sleep_function or clock.sleep)(seconds)

        self._replace(Sleeper, "sleep", sleep)
        self._replace(retries, "time", SimpleNamespace(monotonic=clock.now))
        for module in (retries, asking):
            self._replace(module, "random", SimpleNamespace(random=float))
        self._replace(Provider, "find_key", classmethod(lambda kind: KEY if kind.key_variables() else None))

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        before = vars(owner)[name]
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, before))


def respond(request: requests.PreparedRequest, steps: Steps, timeout: Any, clock: Clock) -> requests.Response:
    """Return the response that the steps are, read as from a socket, or raise what `requests` would."""
    read = timeout[1] if isinstance(timeout, tuple) else timeout
    try:
        raw = open_response(steps, method=request.method or "POST", timeout=read, clock=clock)
    except TIMED_OUT as error:
        raise requests.ReadTimeout(broken(error), request=request) from error
    except BROKEN as error:
        raise requests.ConnectionError(broken(error), request=request) from error
    response: requests.Response = HTTPAdapter().build_response(request, raw)
    return response
