"""Saved conversations: written in one step, read by their version, and found by their words."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from aichatkit.errors import ConfigurationError
from aichatkit.transcripts import searchable_text

__all__ = ["Saved", "read_chat", "search_saved", "write_chat", "write_text"]

logger = logging.getLogger(__name__)

#: Version 2 tells when it was saved and keeps the options of the conversation.
_VERSION = 2
_FIELDS = {"system", "model", "messages"}
_TITLE, _AROUND = 60, 40


class Saved(NamedTuple):
    """A saved conversation: where it is, its first question, when it was saved, and where the words were found."""

    path: Path
    title: str
    saved: datetime
    snippet: str
    messages: int

    def __str__(self) -> str:
        return f"{self.saved:%Y-%m-%d %H:%M}  {self.path.name}  {self.title}"


def search_saved(folder: str | os.PathLike[str], words: str | Sequence[str] = "") -> list[Saved]:
    """Return the saved conversations of a folder that hold all the words, the newest first; without words, all.

    Upper and lower case count as the same. What is no conversation is passed over.

    Raises:
        OSError: the folder cannot be read.
    """
    wanted = [re.compile(re.escape(word), re.IGNORECASE) for word in _split(words)]
    found = []
    for path in Path(folder).iterdir():
        if path.suffix != ".json" or not path.is_file():
            continue
        try:
            record = read_chat(path)
        except (ConfigurationError, OSError) as error:
            logger.info("passed over: %s", error)
            continue
        saved = _saved(path, record, wanted)
        if saved is not None:
            found.append(saved)
    return sorted(found, key=lambda saved: (saved.saved, saved.path.name), reverse=True)


def write_chat(path: str | os.PathLike[str], record: Mapping[str, Any]) -> Path:
    """Write a conversation as readable JSON and return its path."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    try:
        text = json.dumps({"aichatkit": _VERSION, "saved": now, **record}, ensure_ascii=False, indent=2)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: the conversation cannot be told in JSON ({error})") from error
    return write_text(path, text + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a file in one step: a reader sees the old one or the new one, whose rights stay as they were."""
    target = Path(path)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        unfinished.touch()
        with contextlib.suppress(FileNotFoundError):
            # Before there is anything to read in it.
            unfinished.chmod(target.stat().st_mode & 0o777)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return target


def read_chat(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record of a saved conversation, of this version or an older one."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        record = None
    version = record.get("aichatkit") if isinstance(record, dict) else None
    if isinstance(version, int) and version > _VERSION:
        raise ConfigurationError(
            f"{path}: was saved by a newer aichatkit (its version is {version}, this one reads up to {_VERSION}); "
            "upgrade aichatkit to load it"
        )
    if not isinstance(record, dict) or not isinstance(version, int) or version < 1 or not set(record) >= _FIELDS:
        raise ConfigurationError(f"{path}: is not a conversation saved by aichatkit")
    if not isinstance(record["messages"], list) or not isinstance(record.setdefault("options", {}), dict):
        raise ConfigurationError(f"{path}: is not a conversation saved by aichatkit, or was changed since")
    return record


def _saved(path: Path, record: Mapping[str, Any], wanted: Sequence[re.Pattern[str]]) -> Saved | None:
    turns = [(turn.get("role"), searchable_text(turn)) for turn in record["messages"] if isinstance(turn, dict)]
    texts = [str(record["system"] or ""), *(text for _, text in turns)]
    if not all(any(map(word.search, texts)) for word in wanted):
        return None
    asked = next((text for role, text in turns if role == "user"), "")
    snippet = _snippet(texts[1:] + texts[:1], wanted)
    return Saved(path, _cut(asked, _TITLE), _moment(path, record), snippet, len(turns))


def _snippet(texts: Sequence[str], wanted: Sequence[re.Pattern[str]]) -> str:
    """Return what stands around the first of the words, where it was found."""
    if not wanted:
        return ""
    text, place = next((text, place) for text in texts if (place := wanted[0].search(text)) is not None)
    start, end = max(0, place.start() - _AROUND), place.end() + _AROUND
    inside = " ".join(text[start:end].split())
    return f"{'…' if start else ''}{inside}{'…' if end < len(text) else ''}"


def _moment(path: Path, record: Mapping[str, Any]) -> datetime:
    """Return when it was saved: as it says itself, else by its file."""
    try:
        moment = datetime.fromisoformat(str(record.get("saved")))
    except ValueError:
        moment = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone()


def _split(words: str | Sequence[str]) -> list[str]:
    return [word for part in ([words] if isinstance(words, str) else words) for word in part.split()]


def _cut(text: str, most: int) -> str:
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return (line[:most].rpartition(" ")[0] or line[: most - 1]) + "…"
