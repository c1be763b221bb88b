"""Whatever a user calls a file -> a `File` whose kind is told by its content, not by its name."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from aichatkit._dataclasses import replace
from aichatkit.errors import BadResponseError, ConfigurationError
from aichatkit.images import decode_uri, image_type
from aichatkit.messages import File, Message

__all__ = ["load_file", "with_files"]

#: First bytes, as a regular expression -> kind and media type, beside those of pictures.
_SIGNATURES = (
    (rb"%PDF-", "pdf", "application/pdf"),
    (rb"ID3[\x00-\x0f]", "audio", "audio/mpeg"),
    (rb"\xff[\xfa\xfb\xf2\xf3\xe2\xe3]", "audio", "audio/mpeg"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "audio", "audio/aac"),
    (rb"OggS\x00", "audio", "audio/ogg"),
    (rb"fLaC\x00", "audio", "audio/flac"),
    (rb"RIFF....WAVE", "audio", "audio/wav"),
    (rb"FORM....AIF[FC]", "audio", "audio/aiff"),
    (rb"....ftypM4[AB]", "audio", "audio/mp4"),
    (rb"....ftyp(?:hei[cxms]|hev[cx]|mif1|msf1)", "image", "image/heic"),
)
_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_TEXTS = {
    ".csv": "text/csv",
    ".htm": "text/html",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".xml": "text/xml",
}
_BY_SUFFIX = {
    ".flac": ("audio", "audio/flac"),
    ".gif": ("image", "image/gif"),
    ".jpeg": ("image", "image/jpeg"),
    ".jpg": ("image", "image/jpeg"),
    ".m4a": ("audio", "audio/mp4"),
    ".mp3": ("audio", "audio/mpeg"),
    ".ogg": ("audio", "audio/ogg"),
    ".pdf": ("pdf", "application/pdf"),
    ".png": ("image", "image/png"),
    ".wav": ("audio", "audio/wav"),
    ".webp": ("image", "image/webp"),
    **{suffix: ("text", media_type) for suffix, media_type in _TEXTS.items()},
}
_BYTES = (bytes, bytearray, memoryview)


def load_file(source: Any) -> File:
    """Return a File for a path, URL, data URI, bytes, open file, PIL image or matplotlib figure.

    Raises:
        ConfigurationError: the file is missing, empty, or of no kind a service takes; nothing is sent.
    """
    if isinstance(source, File):
        return source
    if isinstance(source, str) and re.match(r"data:|https?://", source, re.IGNORECASE):
        return _from_address(source)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fspath(source))
    if isinstance(source, _BYTES):
        return _from_bytes(bytes(source), "")
    if hasattr(source, "savefig"):
        return _from_bytes(_saved(source.savefig, format="png"), "figure.png")
    if hasattr(source, "save") and hasattr(source, "mode"):
        return _from_bytes(_saved(source.save, format="PNG"), "image.png")
    if hasattr(source, "read"):
        return _from_open(source)
    raise ConfigurationError(f"files: cannot read a {type(source).__name__}; pass a path, URL, bytes or an open file")


def with_files(messages: Sequence[Message], files: Any = ()) -> list[Message]:
    """Return the messages with the files in the last of them, and the parts of OpenAI's form as files.

    Parts of other types stay as they are, for the service that knows them.
    """
    found = [
        message if isinstance(message.content, str) else replace(message, content=list(map(_part, message.content)))
        for message in messages
    ]
    given = [{"type": "file", "file": load_file(file)} for file in _listed(files)]
    if given:
        content = found[-1].content
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found[-1] = replace(found[-1], content=[*parts, *given])
    return found


def _listed(files: Any) -> list[Any]:
    if files is None:
        return []
    # An open file is an iterable too, of its lines.
    single = isinstance(files, (str, os.PathLike, Mapping, *_BYTES)) or hasattr(files, "read")
    return [files] if single or not isinstance(files, Iterable) else list(files)


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with its file; what a message names is an address or data, never a path on this machine."""
    inner = part.get(part["type"])
    if part["type"] == "image_url":
        address = inner.get("url") if isinstance(inner, Mapping) else inner
    elif part["type"] == "input_audio" and isinstance(inner, Mapping):
        address = f"data:;base64,{inner.get('data')}"
    elif part["type"] == "file" and isinstance(inner, Mapping) and "file_data" in inner:
        address = inner["file_data"]
    else:
        return dict(part)
    if not isinstance(address, str) or not re.match(r"data:|https?://", address, re.IGNORECASE):
        raise ConfigurationError(
            f"message: a part of type {part['type']!r} needs a URL or a data URI; for paths use files="
        )
    file = _from_address(address)
    told = inner if isinstance(inner, Mapping) else {}
    name, detail = str(told.get("filename") or file.name), str(told.get("detail") or "")
    return {"type": "file", "file": replace(file, name=name, detail=detail)}


def _from_path(path: str) -> File:
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except (ValueError, RuntimeError) as error:  # no path at all; no home to expand to
        reason = str(error)
    else:
        return _from_bytes(content, os.path.basename(path))
    raise ConfigurationError(f"files: cannot read {path[:200]!r} ({reason})")


def _from_open(source: Any) -> File:
    try:
        content = source.read()
    except (OSError, ValueError) as error:  # closed, or text where there are bytes
        reason = str(error)
    else:
        name = getattr(source, "name", "")
        content = content.encode() if isinstance(content, str) else bytes(content or b"")
        return _from_bytes(content, os.path.basename(name) if isinstance(name, str) else "")
    raise ConfigurationError(f"files: cannot read the open file ({reason}); open it anew, in binary mode")


def _from_address(address: str) -> File:
    if address[:5].lower() == "data:":
        try:
            return _from_bytes(decode_uri(address), "")
        except BadResponseError:
            pass
        raise ConfigurationError("files: the data URI is damaged")
    # The service fetches it: only the name can tell what it is, and most are pictures.
    name = PurePosixPath(urlsplit(address).path)
    kind, media_type = _BY_SUFFIX.get(name.suffix.lower(), ("image", "image/*"))
    return File(kind, media_type, name.name, url=address)


def _from_bytes(content: bytes, name: str) -> File:
    if not content:
        raise ConfigurationError(f"files: {name or 'the file'} is empty, or was read to its end before")
    for signature, kind, media_type in _SIGNATURES:
        if re.match(signature, content, re.DOTALL):
            return File(kind, media_type, name, content)
    try:
        media_type = image_type(content)[0]
    except BadResponseError:
        media_type = ""
    text = _text(content) if media_type in ("", "image/bmp", "image/svg+xml") else None
    # A text may begin as a picture does, with "BM" for one; and a drawing made of text is taken as that.
    if text is not None:
        suffix = ".svg" if media_type == "image/svg+xml" else Path(name).suffix.lower()
        return File("text", _TEXTS.get(suffix, "text/plain"), name, text.encode())
    if not media_type:
        raise ConfigurationError(f"files: {name or 'the data'} is no picture, PDF, audio or UTF-8 text of a known kind")
    return File("image", media_type, name, content)


def _text(content: bytes) -> str | None:
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _saved(save: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        save(buffer, **options)
    except (OSError, ValueError) as error:
        reason = str(error)
    else:
        return buffer.getvalue()
    raise ConfigurationError(f"files: the picture cannot be saved as PNG ({reason})")
