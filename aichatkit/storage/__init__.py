"""Files on disk: SQLite databases, records, saved conversations."""
