"""Files on disk: SQLite databases, stored replies and errors, saved conversations."""
