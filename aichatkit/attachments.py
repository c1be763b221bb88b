"""Anything a user may pass as a file -> `File`, its type detected from the content, not the name."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from aichatkit._dataclasses import replace
from aichatkit._reasons import reason_of
from aichatkit.errors import BadResponseError, ConfigurationError
from aichatkit.images import decode_data_uri, image_type
from aichatkit.messages import File, Message

__all__ = ["load_file", "with_files"]

#: First bytes (a regular expression), kind and media type; the other image formats are in `images`.
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
#: `%PDF-` may appear anywhere in this many bytes at the start of a file.
_PDF_START = 1024
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_TEXT_TYPES = {
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
    ".avif": ("image", "image/avif"),
    ".bmp": ("image", "image/bmp"),
    ".flac": ("audio", "audio/flac"),
    ".gif": ("image", "image/gif"),
    ".heic": ("image", "image/heic"),
    ".heif": ("image", "image/heif"),
    ".jpeg": ("image", "image/jpeg"),
    ".jpg": ("image", "image/jpeg"),
    ".m4a": ("audio", "audio/mp4"),
    ".mp3": ("audio", "audio/mpeg"),
    ".ogg": ("audio", "audio/ogg"),
    ".pdf": ("pdf", "application/pdf"),
    ".png": ("image", "image/png"),
    ".tif": ("image", "image/tiff"),
    ".tiff": ("image", "image/tiff"),
    ".wav": ("audio", "audio/wav"),
    ".webp": ("image", "image/webp"),
    **{suffix: ("text", media_type) for suffix, media_type in _TEXT_TYPES.items()},
}
#: The EXIF tag for how the camera was held, and PIL's transpose method that turns the picture upright.
_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
#: The modes of PNG, and replacements for PIL's other modes with transparency.
_PNG_MODES = frozenset(("1", "F", "I", "I;16", "L", "LA", "P", "RGB", "RGBA"))
_ALPHA_MODES = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
_BYTES_LIKE = (bytes, bytearray, memoryview)


def load_file(source: Any) -> File:
    """Return a File for a path, URL, data URI, bytes, open file, PIL image or matplotlib figure.

    Raises:
        ConfigurationError: the file is missing, empty, or of a type no service takes; nothing is sent.
    """
    if isinstance(source, File):
        return source
    if isinstance(source, str) and re.match(r"data:|https?://", source, re.IGNORECASE):
        return _from_url(source)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(os.fsdecode(source))
    if isinstance(source, _BYTES_LIKE):
        return _from_bytes(bytes(source), "")
    if hasattr(source, "savefig"):
        return _from_bytes(_save_image(source.savefig, format="png"), "figure.png")
    if hasattr(source, "save") and hasattr(source, "mode"):
        return _from_bytes(_save_image(partial(_save_upright, source), format="PNG"), "image.png")
    if hasattr(source, "read"):
        return _from_open_file(source)
    raise ConfigurationError(f"files: cannot read a {type(source).__name__}; pass a path, URL, bytes or an open file")


def with_files(messages: Sequence[Message], files: Any = ()) -> list[Message]:
    """Return the messages with the files attached to the last, and OpenAI-style file parts as `File` parts.

    Parts of other types pass through unchanged, for services that support them.
    """
    converted = [
        message
        if isinstance(message.content, str)
        else replace(message, content=list(map(_convert_part, message.content)))
        for message in messages
    ]
    attached = [{"type": "file", "file": load_file(file)} for file in _list_files(files)]
    if attached:
        content = converted[-1].content
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        converted[-1] = replace(converted[-1], content=[*parts, *attached])
    return converted


def _list_files(files: Any) -> list[Any]:
    if files is None:
        return []
    # An open file is also an iterable: of its lines.
    single = isinstance(files, (str, os.PathLike, Mapping, *_BYTES_LIKE)) or hasattr(files, "read")
    return [files] if single or not isinstance(files, Iterable) else list(files)


def _convert_part(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with its file loaded; a part may refer to a URL or data URI, never to a local path."""
    inner = part.get(part["type"])
    if part["type"] == "image_url":
        url = inner.get("url") if isinstance(inner, Mapping) else inner
    elif part["type"] == "input_audio" and isinstance(inner, Mapping):
        url = f"data:;base64,{inner.get('data')}"
    elif part["type"] == "file" and isinstance(inner, Mapping) and "file_data" in inner:
        url = inner["file_data"]
    else:
        return dict(part)
    if not isinstance(url, str) or not re.match(r"data:|https?://", url, re.IGNORECASE):
        raise ConfigurationError(
            f"message: a part of type {part['type']!r} needs a URL or a data URI; for paths use files="
        )
    file = _from_url(url)
    fields = inner if isinstance(inner, Mapping) else {}
    name, detail = str(fields.get("filename") or file.name), str(fields.get("detail") or "")
    return {"type": "file", "file": replace(file, name=name, detail=detail)}


def _from_path(path: str) -> File:
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        problem, reason = error.strerror or type(error).__name__, reason_of(error)
    except (ValueError, RuntimeError) as error:  # not a valid path; no home directory for "~"
        problem, reason = str(error), reason_of(error)
    else:
        return _from_bytes(content, os.path.basename(path))
    raise ConfigurationError(f"files: cannot read {path[:200]!r} ({problem})", reason=reason)


def _from_open_file(source: Any) -> File:
    try:
        content = source.read()
    except (OSError, ValueError) as error:  # closed, or a binary file opened as text
        problem, reason = str(error), reason_of(error)
    else:
        name = getattr(source, "name", "")
        content = content.encode() if isinstance(content, str) else bytes(content or b"")
        return _from_bytes(content, os.path.basename(name) if isinstance(name, str) else "")
    raise ConfigurationError(
        f"files: cannot read the open file ({problem}); open it again, in binary mode", reason=reason
    )


def _from_url(url: str) -> File:
    if url[:5].lower() == "data:":
        try:
            return _from_bytes(decode_data_uri(url), "")
        except BadResponseError as error:
            reason = error.reason
        raise ConfigurationError("files: the data URI is damaged", reason=reason)
    # The service downloads it, so the type can only be guessed from the name; most URLs are images.
    try:
        name = PurePosixPath(urlsplit(url).path)
    except ValueError as error:
        # Brackets without an address of IPv6.
        raise ConfigurationError(f"files: the URL is damaged ({error})", reason=reason_of(error)) from error
    kind, media_type = _BY_SUFFIX.get(name.suffix.lower(), ("image", "image/*"))
    return File(kind, media_type, name.name, url=url)


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
    text = _decode_text(content) if media_type in ("", "image/bmp", "image/svg+xml") else None
    if not media_type and _is_late_pdf(content, text, name):
        return File("pdf", "application/pdf", name, content)
    # Text may start like an image (a bitmap starts with "BM"), and SVG drawings are sent as text.
    if text is not None:
        suffix = ".svg" if media_type == "image/svg+xml" else Path(name).suffix.lower()
        return File("text", _TEXT_TYPES.get(suffix, "text/plain"), name, text.encode())
    if not media_type:
        raise ConfigurationError(
            f"files: {name or 'the data'} is not an image, PDF, audio or UTF-8 text of a known type"
        )
    return File("image", media_type, name, content)


def _is_late_pdf(content: bytes, text: str | None, name: str) -> bool:
    """Return whether a PDF starts somewhere in the first 1,024 bytes, as PDF readers allow.

    Text that merely mentions `%PDF-` is not a PDF.
    """
    start = content.find(b"%PDF-", 0, _PDF_START)
    is_padding = not content[: max(start, 0)].strip(b"\xef\xbb\xbf\x00 \t\r\n\f")
    return start >= 0 and (is_padding or text is None or name.lower().endswith(".pdf"))


def _decode_text(content: bytes) -> str | None:
    bom, encoding = next(((bom, name) for bom, name in _BYTE_ORDER_MARKS if content.startswith(bom)), (b"", "utf-8"))
    try:
        text = content[len(bom) :].decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _save_upright(picture: Any, buffer: Any, **options: Any) -> None:
    """Save a PIL image upright, in a color mode that PNG supports."""
    if not hasattr(picture, "getexif"):  # only resembles a PIL image
        picture.save(buffer, **options)
        return
    turn = _TURNS.get(picture.getexif().get(_ORIENTATION))
    if turn is not None:
        picture = picture.transpose(turn)
    if picture.mode not in _PNG_MODES:
        picture = picture.convert(_ALPHA_MODES.get(picture.mode, "RGB"))
    # With the orientation still set, viewers would turn it again.
    picture.save(buffer, exif=b"", **options)


def _save_image(save: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        save(buffer, **options)
    except (OSError, ValueError) as error:
        problem, reason = str(error), reason_of(error)
    else:
        return buffer.getvalue()
    raise ConfigurationError(f"files: the picture cannot be saved as PNG ({problem})", reason=reason)
