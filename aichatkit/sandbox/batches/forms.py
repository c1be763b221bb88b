"""Body of an upload -> its fields and its file."""

from __future__ import annotations

from aichatkit._dataclasses import NamedTuple
from aichatkit.sandbox.exchange import APIError, Request
from aichatkit.sandbox.multipart import parse_parts

__all__ = ["Form", "parse_form"]


class Form(NamedTuple):
    """The text fields of a multipart form, and the one file that it has to contain."""

    fields: dict[str, str]
    filename: str
    data: bytes
    #: Whether the file is the last part.
    is_file_last: bool


def parse_form(request: Request) -> Form:
    """Parse a multipart form with a file."""
    parts = parse_parts(request)
    fields = {part.name: part.data.decode() for part in parts if part.filename is None}
    files = [part for part in parts if part.filename is not None]
    if not files:
        raise APIError("bad-request", "'file' is a required property")
    return Form(fields, files[-1].filename or "", files[-1].data, files[-1] is parts[-1])
