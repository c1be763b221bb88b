"""Checks for every fault that raises: the exact error class, no key in it, no HTTP object reachable from it."""

from __future__ import annotations

import io
import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import pytest
import requests
from fault_wires import KEY

from aichatkit.errors import ChatError

_HTTP = (requests.Request, requests.PreparedRequest, requests.Response, requests.Session)
_PLAIN = (str, bytes, int, float, type(None), type, TracebackType)


@contextmanager
def fails(kind: type[ChatError], *, secrets: tuple[str, ...] = (KEY,)) -> Iterator[Any]:
    """Expect exactly this error class, and that the error can be printed, logged, pickled and stored safely."""
    with pytest.raises(ChatError) as caught:
        yield caught
    assert type(caught.value) is kind, traceback.format_exception(type(caught.value), caught.value, caught.tb)
    check_safe(caught.value, secrets=secrets)


def check_safe(error: ChatError, *, secrets: tuple[str, ...] = (KEY,)) -> None:
    """Check that no secret and no HTTP object can be reached from an error, its causes and its attempts."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.partial) == (type(error), str(error), error.partial)
    assert again.action == error.action
    written = io.StringIO()
    traceback.print_exception(type(error), error, error.__traceback__, file=written)
    shown = [str(error), repr(error), written.getvalue(), repr(error.__dict__)]
    for secret in secrets:
        assert secret.encode() not in pickle.dumps(error)
        assert not [text for text in shown if secret in text]
    held = list(_reachable(error))
    assert [item for item in held if isinstance(item, _HTTP)] == []
    for secret in secrets:
        assert [item for item in held if isinstance(item, str) and secret in item] == []


def _reachable(error: BaseException) -> Iterator[Any]:
    """Yield everything reachable from an error except the frames of tracebacks."""
    pending: list[Any] = [error]
    seen: set[int] = set()
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        if isinstance(item, _PLAIN):
            continue
        if isinstance(item, BaseException):
            pending += [item.__cause__, item.__context__, *item.args]
        if isinstance(item, dict):
            pending += [*item, *item.values()]
        elif isinstance(item, (list, tuple, set, frozenset)):
            pending += list(item)
        pending += list(getattr(item, "__dict__", {}).values())
