"""Body of a form -> its parts."""

from __future__ import annotations

import re

from aichatkit._dataclasses import NamedTuple
from aichatkit.sandbox.exchange import APIError, Request

__all__ = ["Part", "is_form", "parse_parts"]


class Part(NamedTuple):
    """A part of a form; `filename` is None for a text field."""

    name: str
    filename: str | None
    media_type: str
    data: bytes


def is_form(request: Request) -> bool:
    """Return whether the body is a form by its content type."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def parse_parts(request: Request) -> list[Part]:
    """Return the parts of a form, in their order."""
    found = re.search(r'multipart/form-data;.*boundary="?([^";]+)', request.headers.get("content-type", ""))
    if found is None:
        raise APIError("wrong-type", "The content type has to be multipart/form-data.", status=400)
    pieces = request.body.split(b"--" + found[1].encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise APIError("bad-request", "We could not parse the multipart form data of your request.")
    return [part for piece in pieces[1:-1] for part in _parse_part(piece)]


def _parse_part(piece: bytes) -> list[Part]:
    """Return the part, none if it has no name."""
    head, _, data = piece.partition(b"\r\n\r\n")
    name, filename, media_type = (
        re.search(pattern, head, re.IGNORECASE)
        for pattern in (rb'[ ;]name="([^"]*)"', rb'filename="([^"]*)"', rb"content-type: *([^\r\n]+)")
    )
    if name is None:
        return []
    label = None if filename is None else filename[1].decode()
    kind = "" if media_type is None else media_type[1].decode()
    return [Part(name[1].decode(), label, kind, data[: -len(b"\r\n")])]
