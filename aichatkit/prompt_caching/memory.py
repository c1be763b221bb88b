"""What a client has sent -> which prompts are likely to be read again, and whether marking has paid so far.

Prompts are known by hashes of their beginnings; no text is kept.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, TypeVar

from aichatkit._dataclasses import NamedTuple
from aichatkit._locks import Lock

if TYPE_CHECKING:
    from aichatkit.prompt_caching.misses import Trace

__all__ = ["Group", "Outcome", "PromptMemory", "Seen"]

_Key = TypeVar("_Key")
_Entry = TypeVar("_Entry")

#: Beginnings kept; a conversation has two, and the one not seen for the longest time goes first.
_MAX_SIGHTS = 10_000
_MAX_GROUPS = 1_000
#: Services, and the requests to each, with which later ones are compared.
_MAX_SERVICES, _MAX_TRACES = 20, 16
#: How often in a row a prompt that should be in the cache may be missing before marking stops.
MAX_MISSES = 3
#: Seconds after which a request that was to write a prompt no longer keeps others from it: it may have failed.
_CLAIM = 60.0
#: Requests a minute with one key beyond which a service sends them to machines without its cache, and the requests
#: after which another key is worth the prompt that its machine must process first.
_REQUESTS_A_MINUTE, _WORTH_A_KEY = 15, 50
#: A little less than the lifetime that a service promises.
_SAFETY = 0.95


class Seen(NamedTuple):
    """How often a beginning was sent in succession, each within its lifetime, and whether it is in the cache."""

    streak: int = 0
    is_cached: bool = False


class _Sight:
    __slots__ = ("cached_until", "claimed_until", "sent_until", "streak")

    def __init__(self) -> None:
        self.sent_until = float("-inf")
        self.cached_until = float("-inf")
        self.claimed_until = float("-inf")
        self.streak = 0


class _Shares:
    """How often a key was used: in all, and in this minute and the one before."""

    __slots__ = ("before", "count", "minute", "now")

    def __init__(self) -> None:
        self.count = self.now = self.before = 0
        self.minute = float("-inf")


class Group:
    """Prompts of one model with the same tools and system prompt: what marking them has cost and saved.

    `unread_heads` and `unread_tails` count writes in succession that were not read again. `balance` is in tokens at
    the input price.
    """

    __slots__ = ("balance", "is_stopped", "misses", "unread_heads", "unread_tails")

    def __init__(self) -> None:
        self.unread_heads = 0
        self.unread_tails = 0
        self.misses = 0
        self.balance = 0.0
        self.is_stopped = False


class Outcome(NamedTuple):
    """What became of the marks of a prompt: `gain` is in tokens at the input price."""

    read: int
    gain: float
    was_expected: bool
    has_tail: bool


class PromptMemory:
    """The beginnings of the prompts that a client has sent lately; many threads share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sights: OrderedDict[bytes, _Sight] = OrderedDict()
        self._groups: OrderedDict[bytes, Group] = OrderedDict()
        self._shares: OrderedDict[str, _Shares] = OrderedDict()
        self._traces: OrderedDict[str, deque[Trace]] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, object]:
        # Another process has prompts of its own.
        return {"_clock": self._clock}

    def __setstate__(self, state: dict[str, Callable[[], float]]) -> None:
        self.__init__(state["_clock"])  # type: ignore[misc]

    def now(self) -> float:
        """Return the time."""
        return self._clock()

    def trace(self, service: str, trace: Trace) -> Sequence[Trace]:
        """Keep a request that is sent to a service, and return those before it."""
        with self._lock:
            traces = _entry(self._traces, service, deque, _MAX_SERVICES)
            earlier = list(traces)
            traces.append(trace)
            if len(traces) > _MAX_TRACES:
                traces.popleft()
        return earlier

    def find(self, digests: Sequence[bytes]) -> list[Seen]:
        """Return what is known about each beginning."""
        now = self._clock()
        with self._lock:
            sights = [self._sights.get(digest) for digest in digests]
            return [
                Seen()
                if sight is None
                else Seen(sight.streak if sight.sent_until > now else 0, sight.cached_until > now)
                for sight in sights
            ]

    def group(self, digest: bytes) -> Group:
        """Return the group of prompts with a head."""
        with self._lock:
            return _entry(self._groups, digest, Group, _MAX_GROUPS)

    def share_of(self, key: str) -> str:
        """Return the key for a row of a run: one of several if there are more rows a minute than a key may have.

        At most one row in fifty is the first with its key, and so finds nothing in the cache.
        """
        now = self._clock()
        with self._lock:
            shares = _entry(self._shares, key, _Shares, _MAX_GROUPS)
            if now - shares.minute >= 60.0:
                shares.before = shares.now if now - shares.minute < 120.0 else 0
                shares.minute, shares.now = now, 0
            rate = max(shares.before, shares.now)
            number = shares.count % min(rate // _REQUESTS_A_MINUTE + 1, shares.count // _WORTH_A_KEY + 1)
            shares.now += 1
            shares.count += 1
        return f"{key}-{number}" if number else key

    def note_sent(self, digest: bytes, streak: int, lifetime: float) -> None:
        """Note that a prompt with this beginning was sent now."""
        until = self._clock() + lifetime * _SAFETY
        with self._lock:
            sight = _entry(self._sights, digest, _Sight, _MAX_SIGHTS)
            sight.sent_until, sight.streak = until, streak

    def claim(self, digests: Sequence[bytes]) -> bool:
        """Return whether these beginnings may be written now: not while another request is about to write one."""
        now = self._clock()
        with self._lock:
            sights = [_entry(self._sights, digest, _Sight, _MAX_SIGHTS) for digest in digests]
            if any(sight.claimed_until > now for sight in sights):
                return False
            for sight in sights:
                sight.claimed_until = now + _CLAIM
        return True

    def note_cached(self, digests: Sequence[bytes], lifetime: float) -> None:
        """Note that the service has these beginnings in its cache from now on; with `lifetime` 0, that it has not."""
        until = self._clock() + lifetime * _SAFETY
        with self._lock:
            for digest in digests:
                sight = _entry(self._sights, digest, _Sight, _MAX_SIGHTS)
                sight.cached_until, sight.claimed_until = until, float("-inf")

    def settle(self, group: Group, outcome: Outcome) -> bool:
        """Count what an answer read and wrote; return whether marking stops here."""
        with self._lock:
            group.balance += outcome.gain
            if outcome.read and outcome.was_expected:
                group.misses = 0
                group.unread_heads = 0
                group.unread_tails = 0 if outcome.has_tail else group.unread_tails
            elif outcome.was_expected:
                group.misses += 1
                stops = group.misses >= MAX_MISSES and not group.is_stopped
                group.is_stopped = group.is_stopped or stops
                return stops
            elif outcome.has_tail:
                group.unread_tails += 1
            else:
                group.unread_heads += 1
        return False


def _entry(entries: OrderedDict[_Key, _Entry], key: _Key, make: type[_Entry], limit: int) -> _Entry:
    """Return an entry, made if it is missing; the one not used for the longest time makes room."""
    if key in entries:
        entries.move_to_end(key)
    else:
        if len(entries) >= limit:
            entries.popitem(last=False)
        entries[key] = make()
    return entries[key]
