"""Finished rows on disk: what a run asks only once, and how several processes share one run.

A row belongs to who claimed it until its lease ends or its process does; an answer that is written stays.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable

from aichatkit.errors import ConfigurationError, JournalError
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode
from aichatkit.storage.sqlite import Database, pieces, select, write

__all__ = ["CLAIMED_ELSEWHERE", "Journal"]

logger = logging.getLogger(__name__)

#: Stands for a row that another process asks right now.
CLAIMED_ELSEWHERE = object()
_LAYOUT = """
CREATE TABLE IF NOT EXISTS answers (key BLOB NOT NULL PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS claims (key BLOB NOT NULL PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL)
    WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS seen (base BLOB NOT NULL PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID
"""
#: How long a claim holds without being renewed, in seconds.
_LEASE = 60.0
_KEY = 20
_ours: set[str] = set()


class Journal:
    """The journal of one run; `clock` tells the time of day, by which the leases of all machines go."""

    def __init__(self, path: Any, *, lease: float = _LEASE, clock: Callable[[], float] = time.time) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise ConfigurationError(f"resume: must be the path of a journal, such as 'run.sqlite', not {path!r}")
        self._database = Database(path, _LAYOUT, name="the journal")
        self._lease = lease
        self._clock = clock
        self.owner = f"{platform.node()}:{os.getpid()}:{_birth(os.getpid())}:{secrets.token_hex(4)}"
        self._closing = threading.Event()
        self._heart: threading.Thread | None = None
        _ours.add(self.owner)
        # A file that cannot be used is told before the first row is asked.
        with self._database.transaction(durable=False):
            pass

    def number(self, bases: Iterable[bytes]) -> list[bytes]:
        """Return a key for each row: equal rows are told apart by their order."""
        bases = list(bases)
        with self._database.scratch() as connection:
            counts = dict(select(connection, "SELECT base, count FROM seen WHERE base", bases))
            keys = []
            for base in bases:
                counts[base] = counts.get(base, -1) + 1
                keys.append(base[:_KEY] + counts[base].to_bytes(8, "big"))
            write(connection, "INSERT OR REPLACE INTO seen VALUES", list(counts.items()))
        return keys

    def take(self, keys: Sequence[bytes]) -> list[Reply | object | None]:
        """Return the answer of each row, CLAIMED_ELSEWHERE, or None: then it is claimed."""
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="aichatkit-journal", daemon=True)
            self._heart.start()
        # A claim that a crash of the machine forgets is one whose owner is gone.
        with self._database.transaction(durable=False) as connection:
            now = self._clock()
            records = dict(select(connection, "SELECT key, record FROM answers WHERE key", keys))
            claims = select(connection, "SELECT key, owner, until FROM claims WHERE key", keys)
            taken = {key for key, owner, until in claims if self._is_others(owner, until, now)}
            free = [key for key in keys if key not in records and key not in taken]
            until = now + self._lease
            write(connection, "INSERT OR REPLACE INTO claims VALUES", [(key, self.owner, until) for key in free])
        found = {key: self._read(record) for key, record in records.items()}
        return [found.get(key, CLAIMED_ELSEWHERE if key in taken else None) for key in keys]

    def write(self, answers: Iterable[tuple[bytes, Reply]]) -> None:
        """Keep the answers of claimed rows; they are on disk when this returns."""
        records = [(key, encode(reply)) for key, reply in answers]
        if records:
            with self._database.transaction() as connection:
                # Where a claim was lost and the row asked elsewhere as well, the first answer stays.
                write(connection, "INSERT OR IGNORE INTO answers VALUES", records)
                self._unclaim(connection, [key for key, _ in records])

    def free(self, keys: Iterable[bytes]) -> None:
        """Give back rows that were claimed and not answered."""
        keys = list(keys)
        if keys:
            with self._database.transaction(durable=False) as connection:
                self._unclaim(connection, keys)

    def close(self) -> None:
        """Give back every claim and let go of the file."""
        self._closing.set()
        if self._heart is not None:
            self._heart.join()
        # A claim that stays behind ends with this process.
        with contextlib.suppress(JournalError), self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
        _ours.discard(self.owner)
        self._database.close()

    def _is_others(self, owner: str, until: float, now: float) -> bool:
        return owner != self.owner and until > now and not _is_dead(owner)

    def _unclaim(self, connection: Any, keys: Sequence[bytes]) -> None:
        for some in pieces(keys):
            marks = ", ".join("?" * len(some))
            connection.execute(f"DELETE FROM claims WHERE owner = ? AND key IN ({marks})", [self.owner, *some])

    def _read(self, record: str) -> Reply:
        try:
            reply = decode(record)
        except (ValueError, TypeError) as error:
            reason = str(error)
        else:
            if isinstance(reply, Reply):
                return reply
            reason = "an error stands where an answer should"
        raise self._database.damaged(reason)

    def _beat(self) -> None:
        while not self._closing.wait(self._lease / 3):
            try:
                with self._database.transaction(durable=False) as connection:
                    connection.execute(
                        "UPDATE claims SET until = ? WHERE owner = ?", (self._clock() + self._lease, self.owner)
                    )
            except JournalError:
                logger.exception("the claims of this run were not renewed")


def _is_dead(owner: str) -> bool:
    """Tell whether a process of this machine is known to have ended; others are waited for until their lease ends."""
    host, pid, birth, _ = owner.rsplit(":", 3)
    if host != platform.node():
        return False
    if int(pid) == os.getpid():
        return owner not in _ours
    return birth != "" and birth != _birth(int(pid))


def _birth(pid: int) -> str:
    """Return when a process began, by the system's own count, so that its number used again is not taken for it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
