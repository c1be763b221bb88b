"""Conversation <-> JSON file: written atomically, read in any earlier format version, searchable by words.

This is the file format of `Chat.save`, `Chat.load` and `search_saved`, for files at any path. Which files the command
line uses, and when it saves them, is decided in `cli.conversations`.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from aichatkit._dataclasses import NamedTuple, field_names
from aichatkit._reasons import reason_of
from aichatkit._surrogates import repair
from aichatkit.chunks import Usage
from aichatkit.errors import ConfigurationError
from aichatkit.params import is_integer, is_number, parse_path
from aichatkit.storage.private_files import replacing
from aichatkit.transcripts import searchable_text

__all__ = ["Saved", "read_chat", "read_totals", "search_saved", "totals_record", "write_chat", "write_text"]

logger = logging.getLogger(__name__)

#: Version 2 added the time of saving and the options of the conversation.
_VERSION = 2
_REQUIRED = {"system", "model", "messages"}
_TITLE_LENGTH = 60
#: Characters of a snippet on either side of the match.
_SNIPPET_CONTEXT = 40


class Saved(NamedTuple):
    """A saved conversation found by `search_saved`: its path, and a summary of its content.

    `title` is the beginning of its first prompt, `saved` the time of saving in local time, `messages` the number of its
    messages. `snippet` is the text around the first match, "" in a search without words.
    """

    path: Path
    title: str
    saved: datetime
    snippet: str
    messages: int

    def __str__(self) -> str:
        return f"{self.saved:%Y-%m-%d %H:%M}  {self.path.name}  {self.title}"


def search_saved(folder: str | os.PathLike[str], words: str | Sequence[str] = "") -> list[Saved]:
    """Return the saved conversations in a folder that contain all of the words, newest first; without words, all.

    Strings are split into words at whitespace. A word also matches inside a longer one, and case is ignored. System
    prompts, messages, file names and tool calls are searched. Files that are not saved conversations are skipped.

    Raises:
        OSError: the folder cannot be read.
    """
    patterns = [re.compile(re.escape(word), re.IGNORECASE) for word in _split(words)]
    matches = []
    for path in Path(parse_path(folder, "search_saved: must be given the path of a folder")).iterdir():
        if path.suffix != ".json" or not path.is_file():
            continue
        try:
            record = read_chat(path)
        except (ConfigurationError, OSError) as error:
            logger.info("passed over: %s", error)
            continue
        saved = _match(path, record, patterns)
        if saved is not None:
            matches.append(saved)
    return sorted(matches, key=lambda saved: (saved.saved, saved.path.name), reverse=True)


def write_chat(path: str | os.PathLike[str], record: Mapping[str, Any]) -> Path:
    """Write the record of a conversation, as built by `Chat.save`, as readable JSON and return the path."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    try:
        text = json.dumps({"aichatkit": _VERSION, "saved": now, **record}, ensure_ascii=False, indent=2)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: the conversation cannot be written as JSON ({error})", reason=reason_of(error)
        ) from error
    return write_text(path, text + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file atomically; only its owner can read a new file, and a replaced one keeps its permissions."""
    target = Path(path)
    with replacing(target) as file:
        file.write(repair(text))
    return target


def read_chat(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record of a saved conversation, written by this version or an older one.

    Raises:
        ConfigurationError: the file is not a saved conversation, or was written by a newer version.
        OSError: the file cannot be read.
    """
    reason = ""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        record, reason = None, reason_of(error)
    version = record.get("aichatkit") if isinstance(record, dict) else None
    if isinstance(version, int) and version > _VERSION:
        raise ConfigurationError(
            f"{path}: was saved by a newer aichatkit (its version is {version}, this one reads up to {_VERSION}); "
            "upgrade aichatkit to load it"
        )
    if not isinstance(record, dict) or not isinstance(version, int) or version < 1 or not set(record) >= _REQUIRED:
        raise ConfigurationError(f"{path}: is not a conversation saved by aichatkit", reason=reason)
    if not isinstance(record["messages"], list) or not isinstance(record.setdefault("options", {}), dict):
        raise ConfigurationError(f"{path}: is not a conversation saved by aichatkit, or was changed since")
    return record


def totals_record(usage: Usage, cost: float | None) -> dict[str, Any]:
    """Return the token usage and the cost of a conversation for its record, as far as they are known.

    >>> totals_record(Usage(input_tokens=5), None)
    {'usage': {'input_tokens': 5}}
    """
    counts = {name: count for name in field_names(Usage) if (count := getattr(usage, name)) is not None}
    return {**({"usage": counts} if counts else {}), **({} if cost is None else {"cost": cost})}


def read_totals(record: Mapping[str, Any]) -> tuple[Usage, float | None]:
    """Return the token usage and the cost in a record; a file that does not say what was paid has an unknown cost."""
    counts: Any = record.get("usage")
    cost: Any = record.get("cost")
    counts = counts if isinstance(counts, dict) else {}
    usage = {name: counts[name] for name in field_names(Usage) if is_integer(counts.get(name), minimum=0)}
    return Usage(**usage), float(cost) if is_number(cost) else None


def _match(path: Path, record: Mapping[str, Any], patterns: Sequence[re.Pattern[str]]) -> Saved | None:
    """Return a summary of a conversation if every pattern occurs in it, else None."""
    messages = [
        (message.get("role"), searchable_text(message)) for message in record["messages"] if isinstance(message, dict)
    ]
    texts = [str(record["system"] or ""), *(text for _, text in messages)]
    if not all(any(map(pattern.search, texts)) for pattern in patterns):
        return None
    prompt = next((text for role, text in messages if role == "user"), "")
    # A match in a message says more than one in the system prompt.
    snippet = _snippet(texts[1:] + texts[:1], patterns)
    return Saved(path, _shorten(prompt, _TITLE_LENGTH), _saved_at(path, record), snippet, len(messages))


def _snippet(texts: Sequence[str], patterns: Sequence[re.Pattern[str]]) -> str:
    """Return the text around the first match of the first word."""
    if not patterns:
        return ""
    text, match = next((text, match) for text in texts if (match := patterns[0].search(text)) is not None)
    start, end = max(0, match.start() - _SNIPPET_CONTEXT), match.end() + _SNIPPET_CONTEXT
    excerpt = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{excerpt}{'…' if end < len(text) else ''}"


def _saved_at(path: Path, record: Mapping[str, Any]) -> datetime:
    """Return the time of saving from the record, or else the file's modification time."""
    try:
        saved_at = datetime.fromisoformat(str(record.get("saved")))
    except ValueError:
        saved_at = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return (saved_at if saved_at.tzinfo else saved_at.replace(tzinfo=timezone.utc)).astimezone()


def _split(words: str | Sequence[str]) -> list[str]:
    parts = [words] if isinstance(words, str) else list(words) if isinstance(words, Iterable) else [words]
    if not all(isinstance(part, str) for part in parts):
        raise ConfigurationError(f"search_saved: the words must be a string or a list of strings, not {words!r:.60}")
    return [word for part in parts for word in part.split()]


def _shorten(text: str, max_length: int) -> str:
    line = " ".join(text.split())
    if len(line) <= max_length:
        return line
    return (line[:max_length].rpartition(" ")[0] or line[: max_length - 1]) + "…"
