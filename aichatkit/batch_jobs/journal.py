"""Jobs and their rows <-> the journal of a run: each step is one durable transaction before the next request.

A row in a job is claimed by the job, without an end, so that neither another run nor another job sends it. A job
belongs to the process that holds its lease.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.batch.journal import JOB_OWNER, Journal
from aichatkit.batch_jobs.records import FINAL, JobRecord, JobRow, RowState
from aichatkit.errors import ChatError
from aichatkit.reply import Reply
from aichatkit.storage.records import decode, encode
from aichatkit.storage.sqlite import iter_batches, select_in

__all__ = ["Finding", "JobJournal", "has_jobs"]

#: The end of a claim that does not end, in seconds since 1970; SQLite has no infinity that other programs can read.
_ENDLESS = 1e15
_COLUMNS = ", ".join(JobRecord._fields)
_TABLES = """;
CREATE TABLE IF NOT EXISTS jobs (job INTEGER PRIMARY KEY, nonce TEXT NOT NULL UNIQUE, provider TEXT NOT NULL,
    place TEXT NOT NULL, account TEXT NOT NULL, api TEXT NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL,
    remote TEXT NOT NULL, input_ref TEXT NOT NULL, output_ref TEXT NOT NULL, error_ref TEXT NOT NULL,
    rows INTEGER NOT NULL, answered INTEGER NOT NULL, failed INTEGER NOT NULL, bytes INTEGER NOT NULL,
    tokens INTEGER NOT NULL, held REAL NOT NULL, cost REAL, tried INTEGER NOT NULL, created REAL NOT NULL, sent REAL,
    deadline REAL, next_poll REAL NOT NULL, owner TEXT NOT NULL, until REAL NOT NULL, note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS job_rows (job INTEGER NOT NULL, n INTEGER NOT NULL, key BLOB NOT NULL,
    round INTEGER NOT NULL, tries INTEGER NOT NULL, state TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (job, n))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rows_by_key ON job_rows (key);
CREATE TABLE IF NOT EXISTS drafts (key BLOB NOT NULL, round INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (key, round)) WITHOUT ROWID
"""


class Finding(NamedTuple):
    """What a result says about a row of a job: its new state, and a reply or an error."""

    row: JobRow
    state: str
    reply: Reply | None = None
    error: ChatError | None = None
    #: What the answer cost; `reply` may contain the cost of earlier ones as well.
    cost: float | None = 0.0


class JobJournal(Journal):
    """A journal that contains batch jobs; earlier releases refuse it, as they would send the rows again."""

    schema = Journal.schema.rstrip() + _TABLES
    version = 1

    def plan(self, job: JobRecord, rows: Sequence[JobRow]) -> JobRecord:
        """Write a job and its rows, which the job claims from here on, and return it with its number."""
        with self._database.transaction() as connection:
            values = job._replace(owner=self.owner, until=self._clock() + self._lease)[1:]
            marks = ", ".join("?" * len(values))
            columns = ", ".join(JobRecord._fields[1:])
            number = connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({marks})", values).lastrowid
            for batch in iter_batches(rows):
                connection.executemany(
                    "INSERT INTO job_rows VALUES (?, ?, ?, ?, ?, ?, ?)", [(number, *row) for row in batch]
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)",
                    [(row.key, _owner(job), _ENDLESS) for row in batch],
                )
        return job._replace(job=int(number or 0), owner=self.owner)

    def update(self, job: JobRecord, **fields: Any) -> JobRecord:
        """Write fields of a job, durably, and return it as it is now."""
        names = ", ".join(f"{name} = ?" for name in fields)
        with self._database.transaction() as connection:
            connection.execute(f"UPDATE jobs SET {names} WHERE job = ?", [*fields.values(), job.job])
        return job._replace(**fields)

    def drop(self, job: JobRecord) -> None:
        """Forget a job that no service has accepted; its rows are free again."""
        with self._database.transaction() as connection:
            self._free(connection, job)
            connection.execute("DELETE FROM job_rows WHERE job = ?", (job.job,))
            connection.execute("DELETE FROM jobs WHERE job = ?", (job.job,))

    def write_findings(self, job: JobRecord, findings: Sequence[Finding]) -> JobRecord:
        """Store what results say about rows that are still out; what was stored before stays, and counts once."""
        answered = failed = 0
        with self._database.transaction() as connection:
            cost = connection.execute("SELECT cost FROM jobs WHERE job = ?", (job.job,)).fetchone()[0]
            out = self._out(connection, job, [finding.row.n for finding in findings])
            for finding in findings:
                row, reply = finding.row, finding.reply
                if row.n not in out:
                    continue
                out.discard(row.n)
                record = "" if finding.error is None else encode(finding.error)
                if reply is not None and finding.state == RowState.DRAFT:
                    connection.execute(
                        "INSERT OR REPLACE INTO drafts VALUES (?, ?, ?)", (row.key, row.round, encode(reply))
                    )
                elif reply is not None and finding.state == RowState.ANSWERED:
                    self._insert_answer(connection, row.key, reply)
                cost = None if cost is None or finding.cost is None else cost + finding.cost
                answered += finding.state in (RowState.ANSWERED, RowState.DRAFT)
                failed += finding.state in (RowState.FAILED, RowState.UNRUN)
                connection.execute(
                    "UPDATE job_rows SET state = ?, record = ? WHERE job = ? AND n = ?",
                    (finding.state, record, job.job, row.n),
                )
            connection.execute("UPDATE jobs SET cost = ? WHERE job = ?", (cost, job.job))
        return job._replace(cost=cost)

    def finish(
        self,
        job: JobRecord,
        *,
        state: str = "done",
        note: str = "",
        error: ChatError | None = None,
        max_tries: float = math.inf,
    ) -> None:
        """End a job and release its claims; rows without a result were not run, or failed after too many tries."""
        record = "" if error is None else encode(error)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE job_rows SET state = CASE WHEN tries >= ? THEN ? ELSE ? END, record = ? "
                "WHERE job = ? AND state = ?",
                (max_tries, RowState.FAILED, RowState.UNRUN, record, job.job, RowState.OUT),
            )
            if state != "gone":
                self._free(connection, job)
            counts = dict(
                connection.execute("SELECT state, COUNT(*) FROM job_rows WHERE job = ? GROUP BY state", (job.job,))
            )
            answered = counts.get(RowState.ANSWERED, 0) + counts.get(RowState.DRAFT, 0)
            failed = counts.get(RowState.FAILED, 0) + counts.get(RowState.UNRUN, 0)
            connection.execute(
                "UPDATE jobs SET state = ?, note = ?, owner = '', held = 0, answered = ?, failed = ? WHERE job = ?",
                (state, note, answered, failed, job.job),
            )

    def take_over(self) -> list[JobRecord]:
        """Take the lease of every job that has not ended and belongs to no other living process; return all jobs."""
        with self._database.transaction() as connection:
            jobs = self._select(connection)
            now = self._clock()
            for job in jobs:
                if job.state not in FINAL and not (job.owner and self._is_valid_elsewhere(job.owner, job.until, now)):
                    connection.execute(
                        "UPDATE jobs SET owner = ?, until = ? WHERE job = ?", (self.owner, now + self._lease, job.job)
                    )
            return self._select(connection)

    def jobs(self) -> list[JobRecord]:
        """Return every job, in the order in which they were planned."""
        with self._database.reading() as connection:
            return self._select(connection)

    def holds_vectors(self) -> bool:
        """Return whether it is the journal of `embed`."""
        with self._database.reading() as connection:
            names = "SELECT COUNT(*) FROM sqlite_master WHERE name = 'vector_model'"
            if not connection.execute(names).fetchone()[0]:
                return False
            return bool(connection.execute("SELECT COUNT(*) FROM vector_model").fetchone()[0])

    def find_job(self, nonce: str) -> JobRecord | None:
        """Return a job by its nonce, None if it was dropped."""
        return next((job for job in self.jobs() if job.nonce == nonce), None)

    def iter_rows(self, job: JobRecord) -> Iterator[list[JobRow]]:
        """Yield the rows of a job in blocks."""
        last = -1
        while True:
            with self._database.reading() as connection:
                found = connection.execute(
                    "SELECT n, key, round, tries, state, record FROM job_rows WHERE job = ? AND n > ? ORDER BY n "
                    "LIMIT 300",
                    (job.job, last),
                ).fetchall()
            if not found:
                return
            rows = [JobRow(*row) for row in found]
            last = rows[-1].n
            yield rows

    def rows_at(self, job: JobRecord, numbers: Sequence[int]) -> dict[int, JobRow]:
        """Return rows of a job by their numbers."""
        found: dict[int, JobRow] = {}
        with self._database.reading() as connection:
            for batch in iter_batches(numbers):
                marks = ", ".join("?" * len(batch))
                for row in connection.execute(
                    f"SELECT n, key, round, tries, state, record FROM job_rows WHERE job = ? AND n IN ({marks})",
                    [job.job, *batch],
                ):
                    found[row[0]] = JobRow(*row)
        return found

    def drafts(self, keys: Sequence[bytes]) -> dict[bytes, dict[int, Reply]]:
        """Return the answers of rows that are not all they need, by their keys and rounds, in the order of these."""
        with self._database.reading() as connection:
            records = select_in(connection, "SELECT key, round, record FROM drafts WHERE key", keys)
        found: dict[bytes, dict[int, Reply]] = {}
        for key, number, record in sorted(records):
            found.setdefault(key, {})[number] = self._parse_reply(record)
        return found

    def forget_drafts(self, keys: Sequence[bytes]) -> None:
        """Delete the drafts of rows that start from their first round again."""
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM drafts WHERE key = ?", [(key,) for key in keys])

    def latest_rows(self, keys: Sequence[bytes]) -> dict[bytes, JobRow]:
        """Return how rows ended in the last of their jobs, by their keys; of several lines, the worst counts."""
        with self._database.reading() as connection:
            statement = "SELECT job, n, key, round, tries, state, record FROM job_rows WHERE key"
            found = select_in(connection, statement, keys)
        ends = {RowState.FAILED: 2, RowState.UNRUN: 1}
        found.sort(key=lambda line: (line[0], ends.get(line[5], 0), line[1]))
        return {line[2]: JobRow(*line[1:]) for line in found}

    def jobs_of(self, keys: Sequence[bytes]) -> dict[bytes, JobRecord]:
        """Return the jobs that hold rows, by their keys."""
        with self._database.reading() as connection:
            owners = select_in(connection, "SELECT key, CAST(owner AS TEXT) FROM claims WHERE key", keys)
        nonces = {key: owner[len(JOB_OWNER) :] for key, owner in owners if owner.startswith(JOB_OWNER)}
        jobs = {job.nonce: job for job in self.jobs()} if nonces else {}
        return {key: jobs[nonce] for key, nonce in nonces.items() if nonce in jobs}

    def release_job(self, job: JobRecord, *, note: str) -> None:
        """Give up a job: its rows are free, and whatever it still answers is not collected."""
        self.finish(job, state="released", note=note)

    def parse_error(self, record: str) -> ChatError | None:
        """Return the stored error of a row, None if it has none."""
        if not record:
            return None
        with suppress(ValueError, TypeError):
            error = decode(record)
            if isinstance(error, ChatError):
                return error
        raise self._database.damage_error()

    def _insert_answer(self, connection: sqlite3.Connection, key: bytes, reply: Reply) -> None:
        """Store an answer; one that is there stays."""
        connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", (key, encode(reply)))

    def _select(self, connection: sqlite3.Connection) -> list[JobRecord]:
        return [JobRecord(*row) for row in connection.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY job")]

    def _out(self, connection: sqlite3.Connection, job: JobRecord, numbers: Sequence[int]) -> set[int]:
        out: set[int] = set()
        for batch in iter_batches(numbers):
            marks = ", ".join("?" * len(batch))
            out.update(
                row[0]
                for row in connection.execute(
                    f"SELECT n FROM job_rows WHERE job = ? AND state = ? AND n IN ({marks})",
                    [job.job, RowState.OUT, *batch],
                )
            )
        return out

    def _free(self, connection: sqlite3.Connection, job: JobRecord) -> None:
        connection.execute("DELETE FROM claims WHERE owner = ?", (_owner(job),))

    def _renew(self, connection: Any, until: float) -> None:
        super()._renew(connection, until)
        connection.execute("UPDATE jobs SET until = ? WHERE owner = ?", (until, self.owner))

    def _give_back(self, connection: Any) -> None:
        super()._give_back(connection)
        connection.execute("UPDATE jobs SET owner = '' WHERE owner = ?", (self.owner,))


def has_jobs(path: Any) -> bool:
    """Return whether a file is a journal that contains batch jobs; it is not created."""
    if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(path):
        return False
    with suppress(sqlite3.Error), closing(sqlite3.connect(os.fspath(path), timeout=30.0)) as connection:
        found = connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'job_rows'").fetchone()[0]
        return bool(found) and bool(connection.execute("SELECT COUNT(*) FROM jobs").fetchone()[0])
    return False


def _owner(job: JobRecord) -> str:
    return f"{JOB_OWNER}{job.nonce}"
