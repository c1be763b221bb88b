"""Network -> patch: replaces the network and the clock for every client in the process during a test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from aichatkit import api
from aichatkit.call import attempt, targets
from aichatkit.errors import ChatError
from aichatkit.limits import retries
from aichatkit.limits.waits import Sleeper
from aichatkit.providers.base import Provider
from aichatkit.sandbox.memory import CONNECTION_ERRORS, TIMEOUTS, Clock, Steps, connection_aborted, open_response
from aichatkit.transport.pools import is_sending

__all__ = ["API_KEY", "NetworkPatch", "build_response"]

#: The fake API key of every service that needs one.
API_KEY = "fake-key"


class NetworkPatch:
    """Replace the transport adapter of every session.

    `choose_adapter` returns the adapter to use, given a function that returns the original one.
    Only requests sent by the package are affected, not others in the process.
    With a `clock`, waits return immediately, there is no jitter, and every service has a fake API key.
    `key_note` is added to the errors for a missing key.
    """

    def __init__(
        self,
        choose_adapter: Callable[[Callable[[], BaseAdapter]], BaseAdapter],
        *,
        clock: Clock | None = None,
        key_note: str = "",
    ) -> None:
        self._choose_adapter = choose_adapter
        self._clock = clock
        self._key_note = key_note
        self._undo: list[Callable[[], None]] = []

    def apply(self) -> None:
        """Apply the patch, also to existing clients; the shared client is replaced by a new one."""
        self._reset_default_client()
        original = requests.Session.get_adapter

        def get_adapter(session: Any, url: str) -> Any:
            return self._choose_adapter(lambda: original(session, url)) if is_sending() else original(session, url)

        self._patch(requests.Session, "get_adapter", get_adapter)
        if self._clock is not None:
            self._patch_clock(self._clock)
        if self._key_note:
            self._add_key_note(Provider, "missing_key")
            self._add_key_note(targets, "no_model_error")

    def remove(self) -> None:
        """Undo the patch."""
        while self._undo:
            self._undo.pop()()

    def _reset_default_client(self) -> None:
        original = list(api._default)
        api._default.clear()

        def restore() -> None:
            for created in api._default:
                created.close()
            api._default[:] = original

        self._undo.append(restore)

    def _patch_clock(self, clock: Clock) -> None:
        def sleep(sleeper: Sleeper, seconds: float) -> None:
            (sleeper.sleep_function or clock.sleep)(seconds)

        self._patch(Sleeper, "sleep", sleep)
        self._patch(retries, "time", SimpleNamespace(monotonic=clock.now))
        for module in (retries, attempt):
            self._patch(module, "random", SimpleNamespace(random=float))
        self._patch(Provider, "find_key", classmethod(lambda cls: API_KEY if cls.key_variables() else None))

    def _add_key_note(self, owner: Any, name: str) -> None:
        original: Any = vars(owner)[name]
        make_error = getattr(original, "__func__", original)

        def missing(*args: Any) -> ChatError:
            error: ChatError = make_error(*args)
            error.message += self._key_note
            return error

        self._patch(owner, name, classmethod(missing) if isinstance(original, classmethod) else missing)

    def _patch(self, owner: Any, name: str, value: Any) -> None:
        original = vars(owner)[name]
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, original))


def build_response(request: requests.PreparedRequest, steps: Steps, timeout: Any, clock: Clock) -> requests.Response:
    """Build the response from its steps, read as from a socket; raise the errors that `requests` would."""
    read_timeout = timeout[1] if isinstance(timeout, tuple) else timeout
    try:
        raw = open_response(steps, method=request.method or "POST", timeout=read_timeout, clock=clock)
    except TIMEOUTS as error:
        raise requests.ReadTimeout(connection_aborted(error), request=request) from error
    except CONNECTION_ERRORS as error:
        raise requests.ConnectionError(connection_aborted(error), request=request) from error
    response: requests.Response = HTTPAdapter().build_response(request, raw)
    return response
