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

from aichatkit.databases import Database
from aichatkit.errors import JournalError
from aichatkit.records import decode, encode
from aichatkit.reply import Reply

__all__ = ["TAKEN", "Journal"]

logger = logging.getLogger(__name__)

#: Stands for a row that another process asks right now.
TAKEN = object()
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
        self._database = Database(path, _LAYOUT, name="the journal")
        self._lease = lease
        self._clock = clock
        self.owner = f"{platform.node()}:{os.getpid()}:{_birth(os.getpid())}:{secrets.token_hex(4)}"
        self._closing = threading.Event()
        self._heart: threading.Thread | None = None
        _ours.add(self.owner)
        # A file that cannot be used is told before the first row is asked.
        self.free(())

    def number(self, bases: Iterable[bytes]) -> list[bytes]:
        """Return a key for each row: equal rows are told apart by their order."""
        keys = []
        with self._database.transaction() as connection:
            for base in bases:
                found = connection.execute("SELECT count FROM seen WHERE base = ?", (base,)).fetchone()
                count = found[0] + 1 if found else 0
                connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (base, count))
                keys.append(base[:_KEY] + count.to_bytes(8, "big"))
        return keys

    def take(self, keys: Sequence[bytes]) -> list[Reply | object | None]:
        """Return the answer of each row, TAKEN where another process asks it, or None: then it is claimed."""
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="aichatkit-journal", daemon=True)
            self._heart.start()
        with self._database.transaction() as connection:
            now = self._clock()
            return [self._take(connection, key, now) for key in keys]

    def write(self, answers: Iterable[tuple[bytes, Reply]]) -> None:
        """Keep the answers of claimed rows; they are on disk when this returns."""
        with self._database.transaction() as connection:
            for key, reply in answers:
                # Where a claim was lost and the row asked elsewhere as well, the first answer stays.
                connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, encode(reply)))
                connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self.owner))

    def free(self, keys: Iterable[bytes]) -> None:
        """Give back rows that were claimed and not answered."""
        with self._database.transaction() as connection:
            for key in keys:
                connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self.owner))

    def close(self) -> None:
        """Give back every claim and let go of the file."""
        self._closing.set()
        if self._heart is not None:
            self._heart.join()
        # A claim that stays behind ends with this process.
        with contextlib.suppress(JournalError), self._database.transaction() as connection:
            connection.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
        _ours.discard(self.owner)
        self._database.close()

    def _take(self, connection: Any, key: bytes, now: float) -> Reply | object | None:
        found = connection.execute("SELECT record FROM answers WHERE key = ?", (key,)).fetchone()
        if found is not None:
            return self._read(found[0])
        claim = connection.execute("SELECT owner, until FROM claims WHERE key = ?", (key,)).fetchone()
        if claim is not None and claim[0] != self.owner and claim[1] > now and not _is_dead(claim[0]):
            return TAKEN
        connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (key, self.owner, now + self._lease))
        return None

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
                with self._database.transaction() as connection:
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
