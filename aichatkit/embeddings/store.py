"""Vectors <-> journal and cache: a text that has been embedded is not sent again."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import ChatError, ConfigurationError, JournalError
from aichatkit.params import parse_path
from aichatkit.storage.sqlite import Database, insert_rows, select_in

__all__ = ["SCHEMA", "Stored", "VectorJournal", "VectorTables", "key_of", "read_cache", "write_cache"]

logger = logging.getLogger(__name__)

#: With row ids, as vectors among the keys of an index would take five times as long to write.
SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB NOT NULL PRIMARY KEY, vector BLOB NOT NULL, tokens INTEGER);
CREATE TABLE IF NOT EXISTS vector_model (name TEXT NOT NULL PRIMARY KEY);
CREATE TABLE IF NOT EXISTS vector_prices (key BLOB NOT NULL PRIMARY KEY, share REAL) WITHOUT ROWID
"""
#: Pages that hold some vectors, or most of one, take half as long to write as those of the usual size.
_PAGE_SIZE = 16_384
_SELECT = (
    "SELECT vectors.key, vector, tokens, vector_prices.key, share FROM vectors "
    "LEFT JOIN vector_prices ON vector_prices.key = vectors.key WHERE vectors.key"
)


class Stored(NamedTuple):
    """A vector, its share of the tokens of a request, and the share of the usual price that these cost.

    Tokens and price are None if they are not known.
    """

    vector: bytes
    tokens: int | None
    price_share: float | None = 1.0


def key_of(identity: str, text: str) -> bytes:
    """Return the key of a text for a model and its options."""
    return hashlib.sha256(f"{identity}\0{text}".encode()).digest()


class VectorTables:
    """The tables of vectors in a journal."""

    _database: Database

    def check_identity(self, identity: str) -> None:
        """Raise ConfigurationError if the journal has vectors of another model, or of other options."""
        with self._database.transaction() as connection:
            names = [str(name) for (name,) in connection.execute("SELECT name FROM vector_model")]
            if not names:
                connection.execute("INSERT INTO vector_model VALUES (?)", (identity,))
        if names not in ([], [identity]):
            self._database.close()
            raise ConfigurationError(
                f"resume: {self._database.path!r} holds vectors of {names[0]}, not of {identity}; vectors of different "
                "models or options cannot be compared, so take another file"
            )

    def read_vectors(self, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        """Return the vectors that are there."""
        with self._database.reading() as connection:
            return self.select_vectors(connection, keys)

    def select_vectors(self, connection: Any, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        """Return the vectors that are there, on an open connection."""
        found = {}
        for key, vector, tokens, is_priced, share in select_in(connection, _SELECT, keys):
            if not isinstance(vector, bytes) or not vector or len(vector) % 4:
                raise self._database.damage_error()
            found[key] = Stored(vector, tokens, share if is_priced else 1.0)
        return found

    def write_vectors(self, entries: Iterable[tuple[bytes, Stored]]) -> None:
        """Store vectors; they are on disk when this returns."""
        entries = list(entries)
        if entries:
            with self._database.transaction() as connection:
                self.insert_vectors(connection, entries)

    def insert_vectors(self, connection: Any, entries: Sequence[tuple[bytes, Stored]]) -> None:
        """Store vectors in an open transaction; those that are there stay."""
        unusual = [(key, stored.price_share) for key, stored in dict(entries).items() if stored.price_share != 1.0]
        known = self.select_vectors(connection, [key for key, _ in unusual])
        prices = [(key, share) for key, share in unusual if key not in known]
        insert_rows(connection, "INSERT OR REPLACE INTO vector_prices VALUES", prices)
        rows = [(key, stored.vector, stored.tokens) for key, stored in entries]
        insert_rows(connection, "INSERT OR IGNORE INTO vectors VALUES", rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def pending(self, keys: Sequence[bytes]) -> dict[bytes, ChatError]:
        """Return the errors of texts that are in batch jobs which have not ended."""
        return {}


class VectorJournal(VectorTables):
    """The journal of `embed`: vectors by key, all of one model with the options that `identity` names."""

    def __init__(self, path: Any, identity: str) -> None:
        path = parse_path(path, "resume: must be the path of a journal, such as 'vectors.sqlite'")
        self._database = Database(path, SCHEMA, name="the journal", readable=1, page_size=_PAGE_SIZE)
        self.check_identity(identity)


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
                found[key] = Stored(vector, 0)
        except (ValueError, LookupError, TypeError):
            logger.debug("an entry of the cache cannot be read")
    return found


def write_cache(cache: MutableMapping[str, str], url: str, entries: Iterable[tuple[bytes, Stored]]) -> None:
    """Add vectors to a client's cache; a cache that cannot be written is logged, and the vectors are returned."""
    try:
        for key, stored in entries:
            cache[_cache_key(url, key)] = json.dumps({"vector": base64.b64encode(stored.vector).decode("ascii")})
    except JournalError as error:
        logger.warning("embeddings were not kept: %s", error)


def _cache_key(url: str, key: bytes) -> str:
    return hashlib.sha256(url.encode() + b"\0" + key).hexdigest()
