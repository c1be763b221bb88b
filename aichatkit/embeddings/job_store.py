"""The journal of `embed` with batch jobs: vectors where the journal of a run has its answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from aichatkit.batch_jobs import status
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.embeddings.store import SCHEMA, Stored, VectorTables
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.reply import Reply

__all__ = ["VectorJobJournal"]


class VectorJobJournal(JobJournal, VectorTables):
    """A journal of vectors that contains batch jobs; the data of its replies are `Stored`."""

    schema = f"{JobJournal.schema.rstrip()};{SCHEMA}"

    def __init__(self, path: Any, identity: str, **options: Any) -> None:
        super().__init__(path, **options)
        if self.jobs() and not self.holds_vectors():
            self.close()
            raise ConfigurationError(f"resume: {self.path!r} holds batch jobs of map; take another file")
        self.check_identity(identity)

    def assign_keys(self, fingerprints: Iterable[bytes]) -> list[bytes]:
        """Return the keys as they are: equal texts are one row."""
        return list(fingerprints)

    def pending(self, keys: Sequence[bytes]) -> dict[bytes, ChatError]:
        """Return the errors of texts that are in batch jobs which have not ended."""
        jobs = self.jobs_of(keys)
        return {key: status.pending_error(job, self.path, is_reachable=True) for key, job in jobs.items()}

    def _select_answers(self, connection: Any, keys: Sequence[bytes]) -> dict[bytes, Any]:
        return dict(self.select_vectors(connection, keys))

    def _parse_reply(self, record: Any) -> Reply:
        return Reply("", "", "", data=record)

    def _insert_answer(self, connection: sqlite3.Connection, key: bytes, reply: Reply) -> None:
        stored = reply.data
        assert isinstance(stored, Stored)
        self.insert_vectors(connection, [(key, stored)])
