"""Who asks the rows: threads of this process, or any executor; what travels is a function, a client and a prompt."""

from __future__ import annotations

import hashlib
import pickle
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextvars import copy_context
from typing import Any, Callable

from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.reply import Reply

__all__ = ["BoundAsk", "ThreadWorkers", "answer_row", "parse_executor"]

#: Clients of a worker process, by the hash of what arrived.
_clients: dict[bytes, Callable[..., Reply]] = {}
_MOST_CLIENTS = 4


class BoundAsk:
    """What is asked of every row: by whom, with which options.

    It pickles without keys; a process that gets it many times makes the client once.
    """

    def __init__(self, ask: Callable[..., Reply], options: Mapping[str, Any]) -> None:
        self.ask = ask
        self.options = options
        self._frozen = b""

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._frozen:
            try:
                self._frozen = pickle.dumps(self.ask)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                raise ConfigurationError(
                    f"executor: the client cannot be pickled ({error}); its hooks must be functions of a module"
                ) from None
        return _thaw, (self._frozen, self.options)


def answer_row(bound_ask: BoundAsk, prompt: Any, ticket: str) -> Reply | ChatError:
    """Ask one row; an error of the package is its outcome.

    Each `ticket` is another: Dask would ask equal rows only once.
    """
    try:
        return bound_ask.ask(prompt, **bound_ask.options)
    except ChatError as error:
        # Frames do not travel, and would keep everything alive here.
        error.__traceback__ = None
        return error


class ThreadWorkers(Executor):
    """Threads that end with the process, so that a second Ctrl-C is obeyed at once."""

    def __init__(self, workers: int) -> None:
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers = workers
        self._threads: list[threading.Thread] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a function called by the next thread that is free."""
        future: Future[Any] = Future()
        # What holds for the caller holds there, such as the span that telemetry goes below.
        self._tasks.put((future, copy_context().run, (fn, *args), kwargs))
        if len(self._threads) < self._workers:
            thread = threading.Thread(target=self._work, name=f"aichatkit-map-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when they have done what they were given."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        for future, fn, args, kwargs in iter(self._tasks.get, None):
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - the future carries it to the one who waits
                future.set_exception(error)


def parse_executor(executor: Any) -> Callable[[], Any] | None:
    """Return a function that makes the executor, None for threads of our own; refuse what is neither."""
    if executor is None:
        return None
    if hasattr(executor, "submit"):
        return lambda: executor
    if callable(executor):
        return executor  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"executor: must be a concurrent.futures.Executor or a function that makes one, not {type(executor).__name__}"
    )


def _thaw(frozen: bytes, options: Mapping[str, Any]) -> BoundAsk:
    name = hashlib.sha256(frozen).digest()
    ask = _clients.get(name)
    if ask is None:
        if len(_clients) >= _MOST_CLIENTS:
            _clients.pop(next(iter(_clients)), None)
        ask = _clients.setdefault(name, pickle.loads(frozen))
    return BoundAsk(ask, options)
