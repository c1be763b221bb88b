"""Rows with their outcomes, by position: in memory, or on disk if the number of rows is unknown in advance."""

from __future__ import annotations

import json
from typing import Any, Protocol

from aichatkit.batch.rows import Row
from aichatkit.errors import ChatError
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode
from aichatkit.storage.sqlite import Database

__all__ = ["DiskStore", "MemoryStore", "ResultStore"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS results (position INTEGER PRIMARY KEY, row TEXT NOT NULL, record TEXT NOT NULL)"
#: Results written to the file in one transaction.
_BUFFER_SIZE = 128


class ResultStore(Protocol):
    """Stores rows with their outcomes, by position."""

    def put(self, row: Row, outcome: Reply | ChatError) -> None:
        """Store a row with its outcome."""

    def get(self, position: int) -> tuple[Row, Reply | ChatError]:
        """Return the row at `position` with its outcome."""

    def __len__(self) -> int: ...


class MemoryStore:
    """Keeps the results in memory."""

    def __init__(self) -> None:
        self._results: dict[int, tuple[Row, Reply | ChatError]] = {}

    def put(self, row: Row, outcome: Reply | ChatError) -> None:
        """Store a row with its outcome."""
        self._results[row.position] = row, outcome

    def get(self, position: int) -> tuple[Row, Reply | ChatError]:
        """Return the row at `position` with its outcome."""
        return self._results[position]

    def __len__(self) -> int:
        return len(self._results)


class DiskStore:
    """Keeps the results in a temporary file that is deleted with the store.

    Prompts that are not JSON serializable come back as text.
    """

    def __init__(self) -> None:
        self._database = Database("", _SCHEMA, name="the temporary file of the results")
        self._count = 0
        # A transaction per result would take as long as the request itself.
        self._buffer: dict[int, tuple[str, str]] = {}

    def put(self, row: Row, outcome: Reply | ChatError) -> None:
        """Store a row with its outcome; if the file cannot be written, the result stays in memory."""
        self._buffer[row.position] = json.dumps([row.index, row.prompt, row.fields], default=str), encode(outcome)
        self._count += 1
        if len(self._buffer) >= _BUFFER_SIZE:
            with self._database.transaction(durable=False) as connection:
                rows = ((position, *texts) for position, texts in self._buffer.items())
                connection.executemany("INSERT INTO results VALUES (?, ?, ?)", rows)
            self._buffer.clear()

    def get(self, position: int) -> tuple[Row, Reply | ChatError]:
        """Return the row at `position` with its outcome."""
        texts = self._buffer.get(position)
        if texts is None:
            with self._database.reading() as connection:
                texts = connection.execute("SELECT row, record FROM results WHERE position = ?", (position,)).fetchone()
        if texts is None:
            raise KeyError(position)
        return Row(position, *json.loads(texts[0])), decode(texts[1])

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("results that are kept on disk cannot be pickled; save them instead")
