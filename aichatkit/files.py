"""Whatever a user calls a file -> a `File` whose kind is told by its content, not by its name."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from aichatkit.errors import BadResponseError, ConfigurationError
from aichatkit.images import decode_uri, image_type
from aichatkit.messages import File, Message

__all__ = ["load_file", "with_files"]

#: First bytes -> kind and media type, beside those of pictures.
_SIGNATURES = (
    (b"%PDF-", "pdf", "application/pdf"),
    (b"ID3", "audio", "audio/mpeg"),
    (b"\xff\xfb", "audio", "audio/mpeg"),
    (b"\xff\xf3", "audio", "audio/mpeg"),
    (b"OggS", "audio", "audio/ogg"),
    (b"fLaC", "audio", "audio/flac"),
)
_TEXTS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".xml": "text/xml",
}
_BY_SUFFIX = {".pdf": ("pdf", "application/pdf"), ".mp3": ("audio", "audio/mpeg"), ".wav": ("audio", "audio/wav")}


def load_file(source: Any) -> File:
    """Return a File for a path, URL, data URI, bytes, open file, PIL image or matplotlib figure.

    Raises:
        ConfigurationError: the file is missing, empty, or of no kind a service takes; nothing is sent.
    """
    if isinstance(source, File):
        return source
    if isinstance(source, str) and source.startswith("data:"):
        return _from_bytes(_decode(source), "")
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return _from_url(source)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(Path(source))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), "")
    if hasattr(source, "savefig"):
        return _from_bytes(_saved(source.savefig, format="png"), "figure.png")
    if hasattr(source, "save") and hasattr(source, "mode"):
        return _from_bytes(_saved(source.save, format="PNG"), "image.png")
    if hasattr(source, "read"):
        return _from_open(source)
    raise ConfigurationError(f"files: cannot read a {type(source).__name__}; pass a path, URL, bytes or an open file")


def with_files(messages: Sequence[Message], files: Any = ()) -> list[Message]:
    """Return the messages with the files in the last of them, and the parts of OpenAI's form as files."""
    given = [files] if isinstance(files, (str, bytes, os.PathLike)) or not isinstance(files, Iterable) else list(files)
    found = [Message(message.role, _parts(message.content)) if _has_parts(message) else message for message in messages]
    if given:
        last = found[-1]
        parts = [{"type": "text", "text": last.content}] if isinstance(last.content, str) else list(last.content)
        found[-1] = Message(last.role, [*parts, *({"type": "file", "file": load_file(file)} for file in given)])
    return found


def _has_parts(message: Message) -> bool:
    return not isinstance(message.content, str)


def _parts(content: Any) -> list[dict[str, Any]]:
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    source: Any = None
    if kind == "image_url":
        source = part.get("image_url")
        source = source.get("url") if isinstance(source, Mapping) else source
    elif kind == "input_audio" and isinstance(part.get("input_audio"), Mapping):
        source = f"data:;base64,{part['input_audio'].get('data')}"
    elif kind == "file":
        inner = part.get("file")
        source = inner.get("file_data") if isinstance(inner, Mapping) else inner
    elif kind == "text":
        return dict(part)
    if source is None:
        raise ConfigurationError(f"message: a part of type {kind!r} cannot be read; use text parts and files=")
    return {"type": "file", "file": load_file(source)}


def _from_path(path: Path) -> File:
    try:
        return _from_bytes(path.read_bytes(), path.name)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ConfigurationError(f"files: cannot read {str(path)!r} ({reason})")


def _from_open(source: Any) -> File:
    content = source.read()
    if isinstance(content, str):
        content = content.encode()
    name = getattr(source, "name", "")
    return _from_bytes(content, os.path.basename(name) if isinstance(name, str) else "")


def _from_url(url: str) -> File:
    # The service fetches it: only the name can tell what it is, and most are pictures.
    name = PurePosixPath(urlsplit(url).path)
    kind, media_type = _BY_SUFFIX.get(name.suffix.lower(), ("image", "image/*"))
    return File(kind, media_type, name.name, url=url)


def _from_bytes(content: bytes, name: str) -> File:
    if not content:
        raise ConfigurationError(f"files: {name or 'the file'} is empty")
    try:
        media_type = image_type(content)[0]
    except BadResponseError:
        kind, media_type = _other_type(content, name)
        return File(kind, media_type, name, content)
    return File("image", media_type, name, content)


def _other_type(content: bytes, name: str) -> tuple[str, str]:
    for signature, kind, media_type in _SIGNATURES:
        if content.startswith(signature):
            return kind, media_type
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio", "audio/wav"
    if content[4:8] == b"ftyp":
        return "audio", "audio/mp4"
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigurationError(f"files: {name or 'the data'} is no picture, PDF, audio or text of a known kind")
    return "text", _TEXTS.get(Path(name).suffix.lower(), "text/plain")


def _decode(uri: str) -> bytes:
    try:
        return decode_uri(uri)
    except BadResponseError as error:
        reason = error.message
    raise ConfigurationError(f"files: {reason}")


def _saved(save: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **options)
    return buffer.getvalue()
