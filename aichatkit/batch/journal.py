"""Finished rows <-> SQLite file: a rerun sends only the missing rows, and several processes can share one run.

A row belongs to the process that claimed it until that process exits or, if that cannot be determined, as on another
machine, until its lease expires; written answers are never replaced.
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
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Callable, ClassVar

from aichatkit._reasons import reason_of
from aichatkit.errors import BatchPendingError, JournalError
from aichatkit.params import parse_path
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode
from aichatkit.storage.sqlite import Database, insert_rows, iter_batches, select_in

__all__ = ["CLAIMED_ELSEWHERE", "JOB_OWNER", "Journal"]

logger = logging.getLogger(__name__)

#: Marks a row that another process is working on.
CLAIMED_ELSEWHERE = object()
#: How the owner of a claim begins that is a batch job.
JOB_OWNER = "job:"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (key BLOB NOT NULL PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS claims (key BLOB NOT NULL PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL)
    WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS seen (base BLOB NOT NULL PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID
"""
#: How long a claim lasts unless it is renewed, in seconds.
_LEASE = 60.0
#: Bytes of the fingerprint that go into a key.
_FINGERPRINT_SIZE = 20
#: Owner IDs of the journals that are open in this process.
_open_owners: set[str] = set()


class Journal:
    """The journal of one run; `clock` returns wall-clock time, so that leases compare across machines."""

    #: What the file contains, and the version it gets: earlier releases refuse one that contains batch jobs.
    schema: ClassVar[str] = _SCHEMA
    version: ClassVar[int] = 0

    def __init__(self, path: Any, *, lease: float = _LEASE, clock: Callable[[], float] = time.time) -> None:
        path = parse_path(path, "resume: must be the path of a journal, such as 'run.sqlite'")
        self._database = Database(path, self.schema, name="the journal", version=self.version, readable=1)
        self.path = path
        self._lease = lease
        self._clock = clock
        self.owner = f"{platform.node()}:{os.getpid()}:{_start_time(os.getpid())}:{secrets.token_hex(4)}"
        self._closing = threading.Event()
        self._renewer: threading.Thread | None = None
        _open_owners.add(self.owner)
        # An unusable file must fail before the first row is sent.
        with self._database.transaction(durable=False):
            pass

    def assign_keys(self, fingerprints: Iterable[bytes]) -> list[bytes]:
        """Return a unique key for each row, from its fingerprint and the number of identical rows before it."""
        fingerprints = list(fingerprints)
        with self._database.scratch() as connection:
            counts = dict(select_in(connection, "SELECT base, count FROM seen WHERE base", fingerprints))
            keys = []
            for fingerprint in fingerprints:
                counts[fingerprint] = counts.get(fingerprint, -1) + 1
                keys.append(fingerprint[:_FINGERPRINT_SIZE] + counts[fingerprint].to_bytes(8, "big"))
            insert_rows(connection, "INSERT OR REPLACE INTO seen VALUES", list(counts.items()))
        return keys

    def claim(self, keys: Sequence[bytes]) -> list[Reply | BatchPendingError | object | None]:
        """Claim rows; return for each its stored reply, or None if it is now claimed here.

        A row that another process has claimed is `CLAIMED_ELSEWHERE`, and one in a batch job is an error.
        """
        if self._renewer is None:
            self._renewer = self._start_renewer()
        # Not durable: if the machine crashes, the process that owns the claim is gone as well.
        with self._database.transaction(durable=False) as connection:
            now = self._clock()
            records = self._select_answers(connection, keys)
            claims = select_in(
                connection, "SELECT key, CAST(owner AS TEXT), CAST(until AS REAL) FROM claims WHERE key", keys
            )
            claimed: dict[bytes, Any] = {
                key: CLAIMED_ELSEWHERE if not owner.startswith(JOB_OWNER) else self._in_job()
                for key, owner, until in claims
                if self._is_valid_elsewhere(owner, until, now)
            }
            free = [key for key in keys if key not in records and key not in claimed]
            until = now + self._lease
            insert_rows(connection, "INSERT OR REPLACE INTO claims VALUES", [(key, self.owner, until) for key in free])
        replies = {key: self._parse_reply(record) for key, record in records.items()}
        return [replies.get(key, claimed.get(key)) for key in keys]

    def write(self, replies: Iterable[tuple[bytes, Reply]]) -> None:
        """Store the replies of claimed rows; they are on disk when this returns."""
        records = [(key, encode(reply)) for key, reply in replies]
        if records:
            with self._database.transaction() as connection:
                # If a claim was lost and another process answered the row too, the first answer stays.
                insert_rows(connection, "INSERT OR IGNORE INTO answers VALUES", records)
                self._delete_claims(connection, [key for key, _ in records])

    def release(self, keys: Iterable[bytes]) -> None:
        """Release rows that were claimed but not answered."""
        keys = list(keys)
        if keys:
            with self._database.transaction(durable=False) as connection:
                self._delete_claims(connection, keys)

    def close(self) -> None:
        """Release every claim and close the file."""
        self._closing.set()
        if self._renewer is not None:
            self._renewer.join()
        # A claim that cannot be deleted expires with this process anyway.
        with contextlib.suppress(JournalError), self._database.transaction(durable=False) as connection:
            self._give_back(connection)
        _open_owners.discard(self.owner)
        self._database.close()

    def _select_answers(self, connection: Any, keys: Sequence[bytes]) -> dict[bytes, Any]:
        """Return the records of answers by their keys, for `_parse_reply`."""
        return dict(select_in(connection, "SELECT key, record FROM answers WHERE key", keys))

    def _in_job(self) -> BatchPendingError:
        return BatchPendingError(
            "the row is in a batch job that has not ended, or whose results are gone; the same call with batch=True "
            f"collects it, and `aichatkit jobs {self.path}` shows the jobs and gives them up"
        )

    def _renew(self, connection: Any, until: float) -> None:
        connection.execute("UPDATE claims SET until = ? WHERE owner = ?", (until, self.owner))

    def _give_back(self, connection: Any) -> None:
        connection.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))

    def _is_valid_elsewhere(self, owner: str, until: float, now: float) -> bool:
        # The clocks of two processes may differ by more than a lease, even on one machine, as in containers.
        alive = None if owner == self.owner else _is_alive(owner)
        return owner != self.owner and (until > now if alive is None else alive)

    def _delete_claims(self, connection: Any, keys: Sequence[bytes]) -> None:
        for batch in iter_batches(keys):
            placeholders = ", ".join("?" * len(batch))
            connection.execute(f"DELETE FROM claims WHERE owner = ? AND key IN ({placeholders})", [self.owner, *batch])

    def _parse_reply(self, record: Any) -> Reply:
        try:
            reply = decode(record)
        except (ValueError, TypeError) as error:
            # The messages of other errors may quote the record.
            reason = reason_of(error) if isinstance(error, JSONDecodeError) else type(error).__name__
        else:
            if isinstance(reply, Reply):
                return reply
            reason = ""
        raise self._database.damage_error(reason)

    def _start_renewer(self) -> threading.Thread | None:
        """Start the thread that renews the claims; without one, other machines may take rows over after the lease."""
        thread = threading.Thread(target=self._renew_claims, name="aichatkit-journal", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return None
        return thread

    def _renew_claims(self) -> None:
        while not self._closing.wait(self._lease / 3):
            try:
                with self._database.transaction(durable=False) as connection:
                    self._renew(connection, self._clock() + self._lease)
            except JournalError:
                logger.exception("the claims of this run were not renewed")


def _is_alive(owner: str) -> bool | None:
    """Return whether an owner is still running; None if unknown, as for owners on other machines."""
    host, pid, start_time, _ = [*owner.rsplit(":", 3), "", "", ""][:4]
    if host != platform.node() or not pid.isdecimal():
        return None
    if int(pid) == os.getpid():
        return owner in _open_owners
    return start_time == _start_time(int(pid)) if start_time else None


def _start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since boot, to detect a reused process ID; "" if unknown.

    A zombie has none: it has exited, but its parent has not read its exit code yet.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]
