"""Fork-safe locks: a lock held by another thread at fork time would otherwise stay locked forever in the child."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Any, Callable

__all__ = ["Lock", "ReentrantLock", "reset_locks"]


class Lock:
    """A lock that is free in a forked child, even if another thread held it in the parent.

    >>> with Lock():
    ...     "held"
    'held'
    """

    _make: Callable[[], Any] = staticmethod(threading.Lock)

    def __init__(self) -> None:
        self._lock = self._make()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def reset(self) -> None:
        """Replace the underlying lock with a free one."""
        self._lock = self._make()


class ReentrantLock(Lock):
    """A lock that its owning thread may acquire again."""

    _make = staticmethod(threading.RLock)


def reset_locks() -> None:
    """Free every lock; runs first in a forked child."""
    for lock in list(_locks):
        lock.reset()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()

# Windows has no fork.
with contextlib.suppress(AttributeError):
    os.register_at_fork(after_in_child=reset_locks)
