"""Call -> cached answer: identical calls are answered from the cache; only complete answers are stored."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import replace
from aichatkit.call.base_answer import FinishedAnswer
from aichatkit.call.call import Call
from aichatkit.errors import ConfigurationError, ContentFilteredError, JournalError, SchemaError
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.params import is_number, parse_path
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode
from aichatkit.storage.sqlite import Database

if TYPE_CHECKING:
    from aichatkit.call.answer_like import AnswerLike
    from aichatkit.structured.forms import Form

__all__ = ["Cache", "CachedAnswer", "answer_from_cache", "find_cached", "parse_cache", "store_reply"]

logger = logging.getLogger(__name__)

_LAYOUT = """
CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, record TEXT NOT NULL,
    made REAL NOT NULL)
"""
_CACHEABLE_REASONS = (None, "stop", "length")


class Cache(MutableMapping[str, str]):
    """Answers in a SQLite file, for `Client(cache=...)`; threads and processes may share it.

    Answers expire after `expire` seconds; beyond `max_entries`, the oldest are dropped.
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
            if value is not None and not is_number(value, above=0):
                raise ConfigurationError(f"cache: {name} must be a number above 0, not {value!r}")
        if isinstance(max_entries, float) and not max_entries.is_integer():
            raise ConfigurationError(f"cache: max_entries must be a whole number, not {max_entries!r}")
        # An empty one is a cache in memory.
        path = parse_path(path, "cache: must be the path of a file") if path != "" else ""
        self._database = Database(path, _LAYOUT, name="the cache")
        self._expire = expire
        self._max_entries = max_entries
        self._clock = clock

    def __getitem__(self, key: str) -> str:
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT record FROM entries WHERE key = ? AND made > ?", (key, self._oldest())
            ).fetchone()
        if row is None:
            raise KeyError(key)
        return str(row[0])

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
        """Close the file; the next access opens it again."""
        self._database.close()

    def _oldest(self) -> float:
        return float("-inf") if self._expire is None else self._clock() - self._expire


class CachedAnswer(FinishedAnswer):
    """A cached reply that is read like an answer in progress."""

    def __init__(self, reply: Reply, schema: Form | None = None) -> None:
        self._schema = schema
        self._partial = None if schema is None else schema.partial_data()
        # Each word with the space before it, as services stream text.
        super().__init__(reply, filter(None, reply.text.replace(" ", "\0 ").split("\0")), [])

    @property
    def partial_data(self) -> Any:
        """The data received so far, at the end that of the reply."""
        return super().partial_data if self._partial is None else self._partial.value

    def _note(self, piece: str) -> None:
        if self._partial is not None:
            self._partial.add(piece)


def parse_cache(cache: Any) -> MutableMapping[str, str] | None:
    """Return the cache for a value that a user may pass: None, a path, a Cache or a mutable mapping."""
    if cache is None or isinstance(cache, MutableMapping):
        return cache
    return Cache(parse_path(cache, "cache: must be a path, a Cache or a dict"))


def answer_from_cache(call: Call, open_next: Callable[[Call], AnswerLike]) -> AnswerLike:
    """Return the cached answer of an identical call; else open one, and cache it when it is complete."""
    if not _is_deterministic(call):
        return open_next(call)
    key = _key_of(call)
    cached = _find(call, key)
    if cached is not None:
        return CachedAnswer(cached, call.schema)
    answer = open_next(call)
    answer.when_complete(partial(_store, call.context.cache, key))
    return answer


def find_cached(call: Call) -> Reply | None:
    """Return the reply of an identical call from the client's cache, None if there is none."""
    return _find(call, _key_of(call)) if _is_deterministic(call) else None


def store_reply(call: Call, reply: Reply) -> None:
    """Cache the reply of a call, if the client has a cache and an identical call would get the same answer."""
    if call.context.cache is not None and _is_deterministic(call):
        _store(call.context.cache, _key_of(call), reply)


def _key_of(call: Call) -> str:
    addresses = [call.context.provider(target.provider).url for target in call.targets]
    return fingerprint(call, addresses, call.strict).hex()


def _find(call: Call, key: str) -> Reply | None:
    assert call.context.cache is not None
    record = call.context.cache.get(key)
    return None if record is None else _decode_entry(record, call.schema)


def _is_deterministic(call: Call) -> bool:
    """Return whether an identical call may get the same answer: not with tools or a search, nor with sampling."""
    params: Mapping[str, Any] = call.options.params
    uses_tools = call.options.tools or call.options.has_tool_fields
    return not (uses_tools or call.keep_raw or (params.get("temperature") and params.get("seed") is None))


def _store(cache: Any, key: str, reply: Reply) -> None:
    """Cache a reply that is complete and consists only of text."""
    if reply.complete and reply.finish_reason in _CACHEABLE_REASONS and not reply.images and not reply.tool_calls:
        try:
            cache[key] = encode(reply)
        except JournalError as error:
            # The caller has the answer; a failing cache must not fail the call.
            logger.warning("an answer was not kept: %s", error)


def _decode_entry(record: str, schema: Form | None) -> Reply | None:
    try:
        reply = decode(record)
        if not isinstance(reply, Reply):
            return None
        reply = replace(reply, cached=True, cost=0.0, saved=0.0, elapsed=0.0)
        return replace(reply, data=None if schema is None else schema.parse(reply))
    except (ValueError, TypeError, SchemaError, ContentFilteredError):
        # An unusable entry counts as missing, and is replaced.
        return None
