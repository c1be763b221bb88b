"""Prompt -> reply, in our own threads or in any executor, which gets `answer_row`, the bound client and a prompt."""

from __future__ import annotations

import hashlib
import pickle
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextvars import copy_context
from functools import partial
from typing import Any, Callable

from aichatkit._reasons import reason_of
from aichatkit.errors import ChatError, ConfigurationError

__all__ = ["BoundAsk", "ThreadWorkers", "answer_row", "is_executor", "parse_executor"]

#: Bound `ask` methods of the clients in a worker process, by the hash of their pickles.
_clients: dict[bytes, Callable[..., Any]] = {}
_MAX_CLIENTS = 4


class BoundAsk:
    """The client's `ask` with the options that all rows share.

    Its pickle contains no API keys. A worker process creates the client once, however often the pickle arrives.
    """

    def __init__(self, ask: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self.ask = ask
        self.options = options
        self._pickled_ask = b""

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._pickled_ask:
            try:
                self._pickled_ask = pickle.dumps(self.ask)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                raise ConfigurationError(
                    f"executor: the client cannot be pickled ({error}); its hooks, and functions passed as api_key= or "
                    "auth=, must be functions of a module",
                    reason=reason_of(error),
                ) from None
        return _unpickle, (self._pickled_ask, self.options)


def answer_row(bound_ask: BoundAsk, prompt: Any, ticket: str) -> Any:
    """Send the prompt of one row and return its reply, or the `ChatError` it failed with.

    `ticket` is unique per call: Dask runs calls with equal arguments only once.
    """
    try:
        return bound_ask.ask(prompt, **bound_ask.options)
    except ChatError as error:
        # Tracebacks cannot be pickled, and would keep the objects in their frames alive.
        error.__traceback__ = None
        return error


class ThreadWorkers(Executor):
    """An executor with daemon threads, so that a second Ctrl-C ends the process immediately.

    It makes do with the threads it can get. Where there is none, as in a browser, `submit` runs the function itself.
    """

    def __init__(self, workers: int) -> None:
        self._tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers = workers
        self._threads: list[threading.Thread] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function in the next free thread."""
        future: Future[Any] = Future()
        # The caller's context variables apply in the thread as well, such as the parent span of telemetry.
        self._tasks.put((future, copy_context().run, (fn, *args), kwargs))
        if len(self._threads) < self._workers:
            self._start_thread()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads once all submitted calls have run."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"aichatkit-map-{len(self._threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            self._workers = max(len(self._threads), 1)
            if not self._threads:
                self._tasks.put(None)
                self._work()
        else:
            self._threads.append(thread)

    def _work(self) -> None:
        for future, fn, args, kwargs in iter(self._tasks.get, None):
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - re-raised by `Future.result`
                future.set_exception(error)


def parse_executor(executor: Any) -> Callable[[], Any] | None:
    """Return a function that returns the executor, or None for our own threads; reject anything else."""
    if executor is None:
        return None
    if is_executor(executor):
        return lambda: executor
    if callable(executor):
        return partial(_make_executor, executor)
    raise ConfigurationError(
        f"executor: must be a concurrent.futures.Executor or a function that makes one, not {type(executor).__name__}"
    )


def _make_executor(make: Callable[[], Any]) -> Any:
    executor = make()
    if not hasattr(executor, "submit") or not hasattr(executor, "shutdown"):
        raise ConfigurationError(
            f"executor: the function must return a concurrent.futures.Executor, not {type(executor).__name__}"
        )
    return executor


def is_executor(executor: Any) -> bool:
    """Return whether an executor was passed, which its owner shuts down, and not a class or function that makes one."""
    return hasattr(executor, "submit") and not isinstance(executor, type)


def _unpickle(pickled_ask: bytes, options: Mapping[str, Any]) -> BoundAsk:
    digest = hashlib.sha256(pickled_ask).digest()
    ask = _clients.get(digest)
    if ask is None:
        if len(_clients) >= _MAX_CLIENTS:
            _clients.pop(next(iter(_clients)), None)
        ask = _clients.setdefault(digest, pickle.loads(pickled_ask))
    return BoundAsk(ask, options)
