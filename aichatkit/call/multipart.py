"""Fields and files -> the body of a form, as browsers send it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from aichatkit.errors import ConfigurationError

__all__ = ["encode_form"]

#: What would end a quoted name -> its replacement in HTML's form encoding.
_QUOTED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def encode_form(
    fields: Mapping[str, Any], files: Iterable[tuple[str, tuple[str, bytes, str]]], *, provider: str
) -> tuple[bytes, str]:
    """Return the body of a form and its content type; equal forms get equal bodies.

    Raises:
        ConfigurationError: a field is neither text, a number nor a boolean, which are all that a form has.
    """
    parts = [(_head(name), _plain(name, value, provider)) for name, value in fields.items()]
    for name, (filename, content, media_type) in files:
        head = f'{_head(name)}; filename="{_quote(filename)}"\r\nContent-Type: {media_type}'
        parts.append((head, content))
    digest = hashlib.sha256()
    for head, content in parts:
        digest.update(head.encode() + content)
    # It cannot be in the content whose digest it is.
    boundary = digest.hexdigest()[:32]
    body = b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _head(name: str) -> str:
    return f'Content-Disposition: form-data; name="{_quote(name)}"'


def _quote(name: str) -> str:
    return name.encode("utf-8", "replace").decode().translate(_QUOTED)


def _plain(name: str, value: Any, provider: str) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, (str, int, float)):
        return str(value).encode("utf-8", "replace")
    raise ConfigurationError(
        f"{provider}: {name} must be text, a number or a boolean, as images to edit are sent in a form, "
        f"got {type(value).__name__}",
        provider=provider,
    )
