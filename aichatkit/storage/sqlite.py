"""SQLite files: opened by each process for itself, written in whole transactions, with errors that say what to do."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from aichatkit._locks import Lock
from aichatkit.errors import JournalError

__all__ = ["Database", "pieces", "select", "write"]

#: How long another program may hold the file locked, in seconds.
_PATIENCE = 30.0
#: Marks the files as ours, so that no other program's database is written into.
_OWNER = 0x41434B01
#: Rows in one statement: SQLite takes 999 values, and each statement lets all the threads that ask go first.
_AT_ONCE = 300
_REASONS = (
    ("locked", "another program holds it locked; end that program, or wait for it"),
    ("full", "the disk is full; what was written before is kept"),
    ("disk I/O error", "the disk does not take it, or a limit on the size of files; what was written before is kept"),
    ("malformed", "it is damaged; move it away or delete it"),
    ("not a database", "it is damaged or no database; move it away or delete it"),
    ("readonly", "it cannot be written; look at the rights of the file and its folder"),
    ("unable to open", "it cannot be opened; look at the folder and its rights"),
)


class Database:
    """One SQLite file; the path "" is a private one on disk that vanishes when it is closed."""

    def __init__(
        self,
        path: Any,
        layout: str,
        *,
        name: str,
        version: int = 0,
        patience: float = _PATIENCE,
    ) -> None:
        self.path = os.fspath(path) if path else ""
        self._layout = layout
        self._name = name
        #: Of the layout; a file of a later one is left alone.
        self._version = version
        self._patience = patience
        self._lock = Lock()
        self._opened: dict[int, sqlite3.Connection] = {}
        self._ahead = False
        #: Whether this connection writes so that it outlives a power cut.
        self._durable = True

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Write all or nothing; it is on disk when the block has ended.

        What is not `durable` outlives this process as well, but not the machine: it need not wait for the disk.
        """
        with self._lock, self._explained():
            connection = self._connection()
            if durable != self._durable:
                # With a write-ahead log NORMAL never damages the file; with the older journal it might.
                connection.execute(f"PRAGMA synchronous={'FULL' if durable or not self._ahead else 'NORMAL'}")
                self._durable = durable
            with _whole(connection, "BEGIN IMMEDIATE"):
                yield connection

    @contextlib.contextmanager
    def scratch(self) -> Iterator[sqlite3.Connection]:
        """Write to temporary tables only, which keeps nobody else waiting."""
        with self._lock, self._explained():
            connection = self._connection()
            with _whole(connection, "BEGIN"):
                yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read what is there."""
        with self._lock, self._explained():
            yield self._connection()

    def close(self) -> None:
        """Let go of the file; what comes after opens it again."""
        with self._lock:
            connection = self._opened.pop(os.getpid(), None)
            if connection is not None:
                # What is written is written; a file that is gone by now is no reason to fail.
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def __del__(self) -> None:
        # Only that of this process: a forked child leaves those of its parent alone.
        connection = self.__dict__.get("_opened", {}).pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def damaged(self, reason: object) -> JournalError:
        """Return the error for content that is not ours to read."""
        return JournalError(f"{self._told()}: it is damaged ({reason}); move it away or delete it")

    def _connection(self) -> sqlite3.Connection:
        # A connection does not survive a fork: the child makes its own, and leaves the parent's as it is.
        connection = self._opened.get(os.getpid())
        if connection is None:
            connection = self._open()
            self._opened[os.getpid()] = connection
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=self._patience, isolation_level=None, check_same_thread=False)
        try:
            # Looked at and laid out in one step, as others may open the same new file now.
            connection.execute("BEGIN IMMEDIATE")
            owner = connection.execute("PRAGMA application_id").fetchone()[0]
            if owner != _OWNER and connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise JournalError(f"{self._told()}: it is a database of another program; choose another path")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > self._version:
                raise JournalError(
                    f"{self._told()}: a newer aichatkit made it (its version is {found}, this one knows up to "
                    f"{self._version}); choose another path, or upgrade"
                )
            connection.execute(f"PRAGMA application_id={_OWNER}")
            connection.execute(f"PRAGMA user_version={self._version}")
            for statement in self._layout.split(";"):
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA synchronous=FULL")
            self._durable = True
            # What is temporary is of no use after a crash.
            connection.execute("PRAGMA temp.journal_mode=MEMORY")
            # Where another has it open at this moment it stays as it is, which works as well.
            with contextlib.suppress(sqlite3.OperationalError):
                self._ahead = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal"
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
            return
        except sqlite3.Error as error:
            reason = str(error)
        told = next((told for sign, told in _REASONS if sign in reason), reason)
        raise JournalError(f"{self._told()}: {told}")

    def _told(self) -> str:
        return f"{self._name} {self.path!r}" if self.path else self._name

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_opened")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock(), _opened={}, _ahead=False, _durable=True)


def select(connection: sqlite3.Connection, statement: str, keys: Sequence[bytes]) -> list[Any]:
    """Return the rows of a statement that ends with the name of a column, for the values it may have."""
    found = []
    for some in pieces(keys):
        found += connection.execute(f"{statement} IN ({', '.join('?' * len(some))})", some).fetchall()
    return found


def write(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows by a statement that ends with VALUES."""
    for some in pieces(rows):
        marks = f"({', '.join('?' * len(some[0]))})"
        connection.execute(f"{statement} {', '.join([marks] * len(some))}", [value for row in some for value in row])


def pieces(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut what is too much for one statement.

    >>> [len(some) for some in pieces(range(700))]
    [300, 300, 100]
    """
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


@contextlib.contextmanager
def _whole(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
