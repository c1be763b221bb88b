"""SQLite files: one connection per process, atomic transactions, and errors that say what to do."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from aichatkit._locks import Lock
from aichatkit._reasons import reason_of
from aichatkit.errors import JournalError
from aichatkit.storage.private_files import create_private

__all__ = ["Database", "insert_rows", "iter_batches", "select_in"]

#: How long to wait for a file that another program has locked, in seconds.
_LOCK_TIMEOUT = 30.0
#: `PRAGMA application_id` of our files, so that another program's database is never written to.
_APPLICATION_ID = 0x41434B01
#: Rows per statement. Fewer statements mean fewer waits for the GIL, but SQLite may allow only 999 values in one.
_BATCH_SIZE = 300
_REASONS = (
    ("locked", "another program holds it locked; end that program, or wait for it"),
    ("full", "the disk is full; what was written before is kept"),
    ("disk I/O error", "the disk does not take it, or a limit on the size of files; what was written before is kept"),
    ("malformed", "it is damaged; move it away or delete it"),
    ("not a database", "it is not a database, or damaged; name another file, or move it away"),
    ("readonly", "it cannot be written; look at the rights of the file and its folder"),
    ("unable to open", "it cannot be opened; look at the folder and its rights"),
    # This message quotes content of the file.
    ("Could not decode", "it is damaged; move it away or delete it"),
)


class Database:
    """A SQLite file, opened on first use; the path "" is a private temporary file, deleted on close.

    `name` describes the file in error messages. `version` is its schema version, which a file that has a later one
    keeps; files with a later version than `readable` are refused.
    `page_size` is that of a new file, in bytes.
    """

    def __init__(
        self,
        path: Any,
        schema: str,
        *,
        name: str,
        version: int = 0,
        readable: int | None = None,
        lock_timeout: float = _LOCK_TIMEOUT,
        page_size: int = 4096,
    ) -> None:
        self.path = os.fspath(path) if path else ""
        self._schema = schema
        self._name = name
        self._version = version
        self._readable = version if readable is None else readable
        self._lock_timeout = lock_timeout
        self._page_size = page_size
        self._lock = Lock()
        #: Connections by process ID.
        self._connections: dict[int, sqlite3.Connection] = {}
        self._is_wal = False
        #: Whether writes on this connection currently survive a power failure.
        self._durable = True

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Commit the block atomically, or roll it back; the data is on disk when the block exits.

        Without `durable` the commit does not wait for the disk: it survives the end of this process, but not a crash
        of the machine.
        """
        with self._lock, self._converting_errors():
            connection = self._connection()
            if durable != self._durable:
                # NORMAL never corrupts the file with a write-ahead log; with a rollback journal it might.
                connection.execute(f"PRAGMA synchronous={'FULL' if durable or not self._is_wal else 'NORMAL'}")
                self._durable = durable
            with _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    @contextlib.contextmanager
    def scratch(self) -> Iterator[sqlite3.Connection]:
        """Write to temporary tables only, without locking the file."""
        with self._lock, self._converting_errors():
            connection = self._connection()
            with _transaction(connection, "BEGIN"):
                yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for reading."""
        with self._lock, self._converting_errors():
            yield self._connection()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            connection = self._connections.pop(os.getpid(), None)
            if connection is not None:
                # Everything is committed by now; a file deleted in the meantime must not fail the caller.
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def __del__(self) -> None:
        # Only this process's connection: a forked child must not close its parent's.
        connection = self.__dict__.get("_connections", {}).pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def damage_error(self, reason: str = "") -> JournalError:
        """Return the error for a record that cannot be read; it does not quote the record."""
        return JournalError(f"{self._label()}: a record in it is damaged; move it away or delete it", reason=reason)

    def _connection(self) -> sqlite3.Connection:
        # A connection must not be carried across a fork: the child opens its own and leaves the parent's untouched.
        connection = self._connections.get(os.getpid())
        if connection is None:
            connection = self._open()
            self._connections[os.getpid()] = connection
        return connection

    def _open(self) -> sqlite3.Connection:
        if self.path not in ("", ":memory:"):
            create_private(self.path)
        connection = sqlite3.connect(
            self.path, timeout=self._lock_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            # A file that exists keeps its own.
            connection.execute(f"PRAGMA page_size={self._page_size}")
            # Check and create in one transaction: other processes may be opening the same new file.
            connection.execute("BEGIN IMMEDIATE")
            is_ours = connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION_ID
            if not is_ours and connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise JournalError(f"{self._label()}: it is a database of another program; choose another path")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > self._readable:
                raise JournalError(
                    f"{self._label()}: a newer aichatkit made it (its version is {version}, this one knows up to "
                    f"{self._readable}); choose another path, or upgrade"
                )
            connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={max(version, self._version)}")
            for statement in self._schema.split(";"):
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA synchronous=FULL")
            self._durable = True
            # Temporary tables are useless after a crash, so their journal need not be on disk.
            connection.execute("PRAGMA temp.journal_mode=MEMORY")
            # Fails while another connection has the file open; the current journal mode works as well.
            with contextlib.suppress(sqlite3.OperationalError):
                self._is_wal = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal"
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _converting_errors(self) -> Iterator[None]:
        try:
            yield
            return
        except sqlite3.Error as error:
            message = str(error)
            reason = type(error).__name__ if "Could not decode" in message else reason_of(error)
        explanation = next((text for phrase, text in _REASONS if phrase in message), message)
        raise JournalError(f"{self._label()}: {explanation}", reason=reason)

    def _label(self) -> str:
        return f"{self._name} {self.path!r}" if self.path else self._name

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_connections")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock(), _connections={}, _is_wal=False, _durable=True)


def select_in(connection: sqlite3.Connection, statement: str, values: Sequence[bytes]) -> list[Any]:
    """Return the rows of a statement that ends with a column name, for the `values` of that column."""
    rows: list[Any] = []
    for batch in iter_batches(values):
        rows += connection.execute(f"{statement} IN ({', '.join('?' * len(batch))})", batch).fetchall()
    return rows


def insert_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert `rows` with a statement that ends with VALUES."""
    for batch in iter_batches(rows):
        placeholders = ", ".join([f"({', '.join('?' * len(batch[0]))})"] * len(batch))
        connection.execute(f"{statement} {placeholders}", [value for row in batch for value in row])


def iter_batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield slices that each fit into one SQL statement.

    >>> [len(batch) for batch in iter_batches(range(700))]
    [300, 300, 100]
    """
    return (items[start : start + _BATCH_SIZE] for start in range(0, len(items), _BATCH_SIZE))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
