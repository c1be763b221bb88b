"""Observation -> row of a SQLite file: the log of calls, without keys and headers; its errors never fail a call."""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import replace
from aichatkit._locks import ReentrantLock
from aichatkit._warnings import warn_user
from aichatkit.errors import ChatError, JournalError
from aichatkit.hooks import Hook, redact_url
from aichatkit.messages import File, Message
from aichatkit.params import parse_path
from aichatkit.storage.sqlite import Database
from aichatkit.transcripts import message_to_dict

if TYPE_CHECKING:
    import sqlite3

    from aichatkit.middleware.observe import Observation
    from aichatkit.reply import Attempt

__all__ = ["CallLog"]

logger = logging.getLogger(__name__)

_VERSION = 1
_COLUMNS = {
    "time": "TEXT NOT NULL",
    "status": "TEXT NOT NULL",
    "provider": "TEXT NOT NULL",
    "model": "TEXT NOT NULL",
    "answered_by": "TEXT",
    "request_id": "TEXT",
    "error": "TEXT",
    "http_status": "INTEGER",
    "message": "TEXT",
    "messages": "TEXT NOT NULL",
    "params": "TEXT NOT NULL",
    "text": "TEXT NOT NULL",
    "finish_reason": "TEXT",
    "input_tokens": "INTEGER",
    "output_tokens": "INTEGER",
    "total_tokens": "INTEGER",
    "cached_tokens": "INTEGER",
    "reasoning_tokens": "INTEGER",
    "cost": "REAL",
    "cached": "INTEGER NOT NULL",
    "elapsed": "REAL NOT NULL",
    "first_text": "REAL",
    "attempts": "TEXT NOT NULL",
}
#: Columns that files of earlier versions lack; both versions can write to a file that has them.
_LATER_COLUMNS = {"cache_write_tokens": "INTEGER", "searches": "INTEGER", "saved": "REAL"}
_COLUMNS.update(_LATER_COLUMNS)
_LAYOUT = f"""
CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY, {", ".join(map(" ".join, _COLUMNS.items()))});
CREATE INDEX IF NOT EXISTS calls_by_time ON calls (time)
"""
_INSERT = f"INSERT INTO calls ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
_USAGE = (
    *("input_tokens", "output_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"),
    *("cache_write_tokens", "searches"),
)
#: Seconds to wait for another program that has locked the file before a row is dropped.
_LOCK_TIMEOUT = 5.0


class CallLog:
    """A SQLite file that gets a row for each call at its end; threads and processes may share it."""

    on_chunk: Hook | None = None

    def __init__(self, path: Any) -> None:
        # Other processes may have another working directory.
        self._path = os.path.abspath(parse_path(path, "log: must be the path of a file"))
        self._database = Database(self._path, _LAYOUT, name="the log", version=_VERSION, lock_timeout=_LOCK_TIMEOUT)
        self._pending: deque[dict[str, Any]] = deque()
        self._lock = ReentrantLock()
        self._writing = False
        self._warned = False
        # A file that cannot be used is reported before anything is sent.
        with self._database.reading() as connection:
            missing = _missing_columns(connection)
        if missing:
            self._add_columns()

    def begin(self, observation: Observation) -> None:
        """Do nothing: the row is written at the end."""

    def end(self, observation: Observation, token: Any) -> None:
        """Write the row of a call that has ended."""
        self._pending.append(_row(observation))
        self._write()

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._database.close()

    def _add_columns(self) -> None:
        with self._database.transaction() as connection:
            # Another process may have added them in the meantime.
            for name in _missing_columns(connection):
                connection.execute(f"ALTER TABLE calls ADD COLUMN {name} {_LATER_COLUMNS[name]}")

    def _write(self) -> None:
        """Write the pending rows.

        A dropped stream ends when it is garbage collected, possibly in the middle of this; its row is then left to the
        writer that is already at work.
        """
        while self._pending:
            with self._lock:
                if self._writing:
                    return
                self._writing = True
                try:
                    self._write_rows()
                finally:
                    self._writing = False

    def _write_rows(self) -> None:
        try:
            with self._database.transaction(durable=False) as connection:
                while self._pending:
                    connection.execute(_INSERT, self._pending.popleft())
        except JournalError as error:
            logger.warning("a call was not noted: %s", error)
            if not self._warned:
                self._warned = True
                warn_user(f"calls are not logged: {error}")

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_database": self._database}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _pending=deque(), _lock=ReentrantLock(), _writing=False, _warned=False)


def _missing_columns(connection: sqlite3.Connection) -> list[str]:
    present = {row[1] for row in connection.execute("PRAGMA table_info(calls)")}
    return [name for name in _LATER_COLUMNS if name not in present]


def _row(observation: Observation) -> dict[str, Any]:
    reply, error, call = observation.reply, observation.error, observation.call
    started_at = datetime.fromtimestamp(observation.started_at, timezone.utc).replace(tzinfo=None)
    row: dict[str, Any] = {
        **dict.fromkeys(_COLUMNS),
        "time": f"{started_at.isoformat(timespec='milliseconds')}Z",
        "status": "error" if error is not None else "left" if reply is None else "ok",
        "provider": observation.provider,
        "model": observation.model,
        "messages": _json([message_to_dict(_without_bytes(message)) for message in call.messages]),
        "params": _json(call.options.params),
        "text": observation.text,
        "cached": 0,
        "elapsed": round(observation.elapsed, 6),
        "first_text": observation.first_text,
        "attempts": _json([_attempt(attempt) for attempt in observation.attempts]),
    }
    if reply is not None:
        row.update({name: getattr(reply.usage, name) for name in _USAGE})
        row.update(answered_by=reply.model, request_id=reply.request_id, finish_reason=reply.finish_reason)
        row.update(text=reply.text, cost=reply.cost, saved=reply.saved, cached=int(reply.cached))
    if error is not None:
        row.update(error=type(error).__name__, message=str(error))
    if isinstance(error, ChatError):
        row.update(http_status=error.status, request_id=error.request_id)
    # SQLite refuses lone surrogates, which services send now and then.
    return {
        name: observation.hide_keys(value).encode("utf-8", "replace").decode("utf-8")
        if isinstance(value, str)
        else value
        for name, value in row.items()
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    error = None if attempt.error is None else type(attempt.error).__name__
    return {
        "provider": attempt.provider,
        "model": attempt.model,
        "error": error,
        "wait": round(attempt.wait, 6),
        "elapsed": round(attempt.elapsed, 6),
    }


def _without_bytes(message: Message) -> Message:
    """Replace files by their names and sizes."""
    if isinstance(message.content, str):
        return message
    return replace(message, content=[_part(part) for part in message.content])


def _part(part: dict[str, Any]) -> dict[str, Any]:
    file = part.get("file")
    if not isinstance(file, File):
        return part
    content = {"url": redact_url(file.url)} if file.url else {"bytes": len(file.data)}
    return {"type": "file", "file": {"filename": file.name, "media_type": file.media_type, **content}}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
