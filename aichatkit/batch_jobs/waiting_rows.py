"""Rows in jobs -> a table by their keys: in memory, or on disk if the number of rows is unknown in advance."""

from __future__ import annotations

import marshal
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any, Union

from aichatkit.batch.rows import Row
from aichatkit.storage.sqlite import Database, iter_batches, select_in

__all__ = ["DiskRows", "MemoryRows", "WaitingRows"]

_SCHEMA = "CREATE TABLE IF NOT EXISTS waiting (n INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, row BLOB NOT NULL)"
#: Rows written to the file in one transaction, and the keys of a block.
_BUFFER_SIZE, _BLOCK = 512, 300
#: Types that come back from the file as they were.
_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))
_MAX_DEPTH = 20


class MemoryRows(dict[bytes, Row]):
    """Rows in memory: those of a list, which holds their prompts anyway."""

    def take(self, keys: Sequence[bytes]) -> list[tuple[Row, bytes]]:
        """Remove rows and return them with their keys, as far as they are here."""
        return [(self.pop(key), key) for key in keys if key in self]

    def blocks(self) -> Iterator[Sequence[bytes]]:
        """Yield the keys in blocks; rows may be added and removed meanwhile."""
        return iter_batches(list(self))

    def close(self) -> None:
        """Forget the rows."""
        self.clear()


class DiskRows(MutableMapping[bytes, Row]):
    """Rows in a temporary file that is deleted with them; a row that is not plain data stays in memory."""

    def __init__(self) -> None:
        self._database = Database("", _SCHEMA, name="the temporary file of the rows in jobs")
        #: Rows that are not plain data, those not written yet, and the number of the others.
        self._odd: dict[bytes, Row] = {}
        self._buffer: dict[bytes, bytes] = {}
        self._stored = 0

    def take(self, keys: Sequence[bytes]) -> list[tuple[Row, bytes]]:
        """Remove rows and return them with their keys, as far as they are here."""
        self._flush()
        found: dict[bytes, Row] = {key: self._odd.pop(key) for key in keys if key in self._odd}
        with self._database.transaction(durable=False) as connection:
            stored = select_in(connection, "SELECT key, row FROM waiting WHERE key", keys)
            connection.executemany("DELETE FROM waiting WHERE key = ?", [(key,) for key, _ in stored])
        self._stored -= len(stored)
        found.update((key, _decode(record)) for key, record in stored)
        return [(found[key], key) for key in keys if key in found]

    def blocks(self) -> Iterator[Sequence[bytes]]:
        """Yield the keys in blocks; rows may be added and removed meanwhile."""
        self._flush()
        yield from iter_batches(list(self._odd))
        with self._database.reading() as connection:
            end = connection.execute("SELECT COALESCE(MAX(n), 0) FROM waiting").fetchone()[0]
        last = 0
        while last < end:
            statement = "SELECT n, key FROM waiting WHERE n > ? AND n <= ? ORDER BY n LIMIT ?"
            with self._database.reading() as connection:
                found = connection.execute(statement, (last, end, _BLOCK)).fetchall()
            if not found:
                return
            last = found[-1][0]
            yield [key for _, key in found]

    def close(self) -> None:
        """Delete the file."""
        self._odd.clear()
        self._buffer.clear()
        self._stored = 0
        self._database.close()

    def __setitem__(self, key: bytes, row: Row) -> None:
        plain: Any = (row.position, row.index, row.prompt, row.fields)
        if not _is_plain(plain):
            self._odd[key] = row
            return
        self._buffer[key] = marshal.dumps(plain)
        if len(self._buffer) >= _BUFFER_SIZE:
            self._flush()

    def __getitem__(self, key: bytes) -> Row:
        if key in self._odd:
            return self._odd[key]
        record = self._buffer.get(key)
        if record is None and self._stored:
            with self._database.reading() as connection:
                found = connection.execute("SELECT row FROM waiting WHERE key = ?", (key,)).fetchone()
            record = None if found is None else found[0]
        if record is None:
            raise KeyError(key)
        return _decode(record)

    def __delitem__(self, key: bytes) -> None:
        if not self.take([key]):
            raise KeyError(key)

    def __iter__(self) -> Iterator[bytes]:
        for block in self.blocks():
            yield from block

    def __len__(self) -> int:
        return len(self._odd) + len(self._buffer) + self._stored

    def _flush(self) -> None:
        if not self._buffer:
            return
        with self._database.transaction(durable=False) as connection:
            connection.executemany("INSERT INTO waiting (key, row) VALUES (?, ?)", list(self._buffer.items()))
        self._stored += len(self._buffer)
        self._buffer.clear()


WaitingRows = Union[MemoryRows, DiskRows]


def _decode(record: bytes) -> Row:
    return Row(*marshal.loads(record))


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value comes back from the file as it was.

    >>> _is_plain(["a", {"b": 1.5}]), _is_plain({"b": object()})
    (True, False)
    """
    if type(value) in _PLAIN:
        return True
    if depth > _MAX_DEPTH:
        return False
    if type(value) in (list, tuple):
        return all(_is_plain(each, depth + 1) for each in value)
    return type(value) is dict and all(type(key) is str and _is_plain(each, depth + 1) for key, each in value.items())
