"""Answers kept for identical calls: found before anything is sent, and kept only when they are complete."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any, Callable

from aichatkit._dataclasses import replace
from aichatkit.call.attempt import Call, CallContext, make_provider
from aichatkit.errors import ConfigurationError, JournalError, SchemaError, StreamInterruptedError
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.reply import Attempt, Reply
from aichatkit.storage.records import decode, encode
from aichatkit.storage.sqlite import Database
from aichatkit.structured.forms import Form

__all__ = ["Cache", "CachedAnswer", "Entry", "look_up", "parse_cache"]

logger = logging.getLogger(__name__)

_LAYOUT = """
CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, record TEXT NOT NULL,
    made REAL NOT NULL)
"""
_WHOLE = (None, "stop", "length")


class Cache(MutableMapping[str, str]):
    """Answers in a SQLite file, for `Client(cache=...)`; threads and processes may share it.

    `expire` is how long an answer is good, in seconds; of more than `max_entries` the oldest go.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        expire: float | None = None,
        max_entries: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, value in (("expire", expire), ("max_entries", max_entries)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
                raise ConfigurationError(f"cache: {name} must be a number above 0, not {value!r}")
        self._database = Database(path, _LAYOUT, name="the cache")
        self._expire = expire
        self._max_entries = max_entries
        self._clock = clock

    def __getitem__(self, key: str) -> str:
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT record FROM entries WHERE key = ? AND made > ?", (key, self._oldest())
            ).fetchone()
        if found is None:
            raise KeyError(key)
        return str(found[0])

    def __setitem__(self, key: str, record: str) -> None:
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM entries WHERE key = ? OR made <= ?", (key, self._oldest()))
            connection.execute("INSERT INTO entries (key, record, made) VALUES (?, ?, ?)", (key, record, self._clock()))
            if self._max_entries is not None:
                connection.execute(
                    "DELETE FROM entries WHERE id <= (SELECT id FROM entries ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (int(self._max_entries),),
                )

    def __delitem__(self, key: str) -> None:
        self[key]
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM entries WHERE key = ?", (key,))

    def __iter__(self) -> Iterator[str]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT key FROM entries WHERE made > ? ORDER BY id", (self._oldest(),)
            ).fetchall()
        return iter([key for (key,) in rows])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def close(self) -> None:
        """Let go of the file; the next answer opens it again."""
        self._database.close()

    def _oldest(self) -> float:
        return float("-inf") if self._expire is None else self._clock() - self._expire


class Entry:
    """The place of one call in a cache: its answer, or where that will go."""

    def __init__(self, store: MutableMapping[str, str], key: str, reply: Reply | None) -> None:
        self.reply = reply
        self._store = store
        self._key = key

    def keep(self, reply: Reply) -> None:
        """Keep an answer that is complete and says no more than its text."""
        if reply.complete and reply.finish_reason in _WHOLE and not reply.images and not reply.tool_calls:
            try:
                self._store[self._key] = encode(reply)
            except JournalError as error:
                # The answer is there: a cache that cannot take it must not spoil it.
                logger.warning("an answer was not kept: %s", error)


class CachedAnswer:
    """A kept answer that is read like one under way."""

    def __init__(self, reply: Reply) -> None:
        self.provider = SimpleNamespace(name=reply.provider)
        self.model = reply.model
        self.reasoning = reply.reasoning
        self.text = ""
        self.attempts: list[Attempt] = []
        self.closed = False
        self.reply: Reply | None = None
        self._whole = reply
        self._callbacks: list[Callable[[Reply], None]] = []
        self._chunks = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._chunks

    def __next__(self) -> str:
        return next(self._chunks)

    def when_complete(self, callback: Callable[[Reply], None]) -> None:
        """Call `callback` with the reply, now if it was read already."""
        if self.reply is not None:
            callback(self.reply)
        self._callbacks.append(callback)

    def close(self) -> None:
        """Leave the rest unread."""
        self.closed = True

    def cancel(self) -> None:
        """Leave the rest unread."""
        self.closed = True

    def unfinished(self) -> StreamInterruptedError:
        """Return the error for an answer that was closed before its end."""
        name = self.provider.name
        told = f"{name}: the stream was closed before the answer ended"
        return StreamInterruptedError(told, provider=name, model=self.model, partial=self.text)

    def _read(self) -> Iterator[str]:
        # Words with the blanks before them, as services cut them.
        words = self._whole.text.replace(" ", "\0 ").split("\0")
        for word in filter(None, words):
            if self.closed:
                return
            self.text += word
            yield word
        if self.closed:
            return
        self.closed, self.reply = True, self._whole
        for callback in self._callbacks:
            callback(self._whole)


def parse_cache(cache: Any) -> MutableMapping[str, str] | None:
    """Return what answers are kept in, for what a user may pass: None, a path, a Cache or a mapping."""
    if cache is None or isinstance(cache, MutableMapping):
        return cache
    if isinstance(cache, (str, os.PathLike)) and os.fspath(cache):
        return Cache(cache)
    raise ConfigurationError(f"cache: must be a path, a Cache or a dict, not {type(cache).__name__}")


def look_up(store: MutableMapping[str, str], call: Call, setup: CallContext, form: Form | None) -> Entry | None:
    """Return the place of a call, None for one whose answers are not to be the same."""
    if not _is_deterministic(call):
        return None
    addresses = [make_provider(target.provider, setup).url for target in call.targets]
    key = fingerprint(call, addresses, call.strict).hex()
    found = store.get(key)
    return Entry(store, key, None if found is None else _reply(found, form))


def _is_deterministic(call: Call) -> bool:
    """Tell whether the same question may get the same answer: not where chance is asked for, or tools act."""
    params: Mapping[str, Any] = call.options.params
    return not (call.options.tools or call.keep_raw or (params.get("temperature") and params.get("seed") is None))


def _reply(record: str, form: Form | None) -> Reply | None:
    try:
        reply = decode(record)
        if not isinstance(reply, Reply):
            return None
        return replace(reply, cached=True, cost=0.0, elapsed=0.0, data=None if form is None else form.parse(reply))
    except (ValueError, TypeError, SchemaError):
        # What cannot be used is asked for, and replaced.
        return None
