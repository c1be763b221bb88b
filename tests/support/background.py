"""Calls in threads of their own."""

from __future__ import annotations

import threading
from typing import Any, Callable

from aichatkit.errors import ChatError


def in_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """Run a call in a thread; return a function that waits for its outcome, which may be an error of ours."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except ChatError as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(120)
        assert not thread.is_alive()
        return outcome[0]

    return result
