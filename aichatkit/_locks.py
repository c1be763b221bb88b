"""Locks for a process that forks: a lock held by another thread of the parent has nobody in the child to release it."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Any, Callable

__all__ = ["Lock", "ReentrantLock", "renew_locks"]


class Lock:
    """A lock that a forked child finds free, whoever held it in the parent.

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

    def renew(self) -> None:
        """Forget who holds the lock."""
        self._lock = self._make()


class ReentrantLock(Lock):
    """A lock that the thread which holds it may take again."""

    _make = staticmethod(threading.RLock)


def renew_locks() -> None:
    """Free every lock; a forked child calls this before anything else."""
    for lock in list(_locks):
        lock.renew()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()

# Windows has no forks.
with contextlib.suppress(AttributeError):
    os.register_at_fork(after_in_child=renew_locks)
