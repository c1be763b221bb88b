"""Vectors <-> journal and cache: a text that has been embedded is not sent again."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any

from aichatkit.errors import ConfigurationError, JournalError
from aichatkit.storage.sqlite import Database, insert_rows, select_in

__all__ = ["Stored", "VectorJournal", "key_of", "read_cache", "write_cache"]

logger = logging.getLogger(__name__)

#: A vector and its share of the tokens, None if these are not known.
Stored = tuple[bytes, "int | None"]
#: With row ids, as vectors among the keys of an index would take five times as long to write.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB NOT NULL PRIMARY KEY, vector BLOB NOT NULL, tokens INTEGER);
CREATE TABLE IF NOT EXISTS vector_model (name TEXT NOT NULL PRIMARY KEY)
"""


def key_of(identity: str, text: str) -> bytes:
    """Return the key of a text for a model and its options."""
    return hashlib.sha256(f"{identity}\0{text}".encode()).digest()


class VectorJournal:
    """The journal of `embed`: vectors by key, all of one model with the options that `identity` names."""

    def __init__(self, path: Any, identity: str) -> None:
        if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
            raise ConfigurationError(f"resume: must be the path of a journal, such as 'vectors.sqlite', not {path!r}")
        self._database = Database(path, _SCHEMA, name="the journal")
        with self._database.transaction() as connection:
            names = [str(name) for (name,) in connection.execute("SELECT name FROM vector_model")]
            if not names:
                connection.execute("INSERT INTO vector_model VALUES (?)", (identity,))
        if names not in ([], [identity]):
            self._database.close()
            raise ConfigurationError(
                f"resume: {os.fspath(path)!r} holds vectors of {names[0]}, not of {identity}; vectors of different "
                "models or options cannot be compared, so take another file"
            )

    def read(self, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        """Return the vectors that are there."""
        with self._database.reading() as connection:
            rows = select_in(connection, "SELECT key, vector, tokens FROM vectors WHERE key", keys)
        for row in rows:
            if not isinstance(row[1], bytes) or not row[1] or len(row[1]) % 4:
                raise self._database.damage_error()
        return {key: (vector, tokens) for key, vector, tokens in rows}

    def write(self, entries: Iterable[tuple[bytes, Stored]]) -> None:
        """Store vectors; they are on disk when this returns."""
        rows = [(key, vector, tokens) for key, (vector, tokens) in entries]
        if rows:
            with self._database.transaction() as connection:
                insert_rows(connection, "INSERT OR IGNORE INTO vectors VALUES", rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def read_cache(cache: MutableMapping[str, str], url: str, keys: Iterable[bytes]) -> dict[bytes, Stored]:
    """Return the vectors that a client's cache has of a server; an unusable entry counts as missing."""
    found: dict[bytes, Stored] = {}
    for key in keys:
        record = cache.get(_cache_key(url, key))
        if record is None:
            continue
        try:
            entry = json.loads(record)
            vector = base64.b64decode(entry["vector"], validate=True)
            if vector and len(vector) % 4 == 0:
                # The tokens were paid for when it was stored.
                found[key] = (vector, 0)
        except (ValueError, LookupError, TypeError):
            logger.debug("an entry of the cache cannot be read")
    return found


def write_cache(cache: MutableMapping[str, str], url: str, entries: Iterable[tuple[bytes, Stored]]) -> None:
    """Add vectors to a client's cache; a cache that cannot be written is logged, and the vectors are returned."""
    try:
        for key, (vector, _) in entries:
            cache[_cache_key(url, key)] = json.dumps({"vector": base64.b64encode(vector).decode("ascii")})
    except JournalError as error:
        logger.warning("embeddings were not kept: %s", error)


def _cache_key(url: str, key: bytes) -> str:
    return hashlib.sha256(url.encode() + b"\0" + key).hexdigest()
