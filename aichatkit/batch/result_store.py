"""Where the results of a run are kept: in memory, or on disk where nobody knows how many there will be."""

from __future__ import annotations

import json
from typing import Any, Protocol

from aichatkit.batch.rows import Row
from aichatkit.errors import ChatError
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode
from aichatkit.storage.sqlite import Database

__all__ = ["DiskStore", "MemoryStore", "ResultStore"]

_LAYOUT = "CREATE TABLE IF NOT EXISTS results (position INTEGER PRIMARY KEY, row TEXT NOT NULL, record TEXT NOT NULL)"
#: How many results go to the file at once.
_FRESH = 128


class ResultStore(Protocol):
    """Keeps rows with their outcomes, by position."""

    def put(self, row: Row, outcome: Reply | ChatError) -> None:
        """Keep one."""

    def get(self, position: int) -> tuple[Row, Reply | ChatError]:
        """Return one."""

    def __len__(self) -> int: ...


class MemoryStore:
    """Keep the results as they are."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Row, Reply | ChatError]] = {}

    def put(self, row: Row, outcome: Reply | ChatError) -> None:
        """Keep one."""
        self._kept[row.position] = row, outcome

    def get(self, position: int) -> tuple[Row, Reply | ChatError]:
        """Return one."""
        return self._kept[position]

    def __len__(self) -> int:
        return len(self._kept)


class DiskStore:
    """Keep the results in a file that vanishes with the shelf; prompts that are no JSON come back as text."""

    def __init__(self) -> None:
        self._database = Database("", _LAYOUT, name="the temporary file of the results")
        self._count = 0
        # The newest, as they go to the file: one by one they would cost as much as asking.
        self._fresh: dict[int, tuple[str, str]] = {}

    def put(self, row: Row, outcome: Reply | ChatError) -> None:
        """Keep one; where the file cannot take it, it is kept all the same."""
        # The columns mostly hold the prompt already.
        self._fresh[row.position] = json.dumps([row.index, row.prompt, row.fields], default=str), encode(outcome)
        self._count += 1
        if len(self._fresh) >= _FRESH:
            with self._database.transaction(durable=False) as connection:
                rows = ((position, *texts) for position, texts in self._fresh.items())
                connection.executemany("INSERT INTO results VALUES (?, ?, ?)", rows)
            self._fresh.clear()

    def get(self, position: int) -> tuple[Row, Reply | ChatError]:
        """Return one."""
        found = self._fresh.get(position)
        if found is None:
            with self._database.reading() as connection:
                found = connection.execute("SELECT row, record FROM results WHERE position = ?", (position,)).fetchone()
        if found is None:
            raise KeyError(position)
        return Row(position, *json.loads(found[0])), decode(found[1])

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("results that are kept on disk cannot be pickled; save them instead")
