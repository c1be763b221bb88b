"""Body of an upload -> its fields and its file."""

from __future__ import annotations

import re
from typing import NamedTuple

from aichatkit.sandbox.exchange import APIError, Request

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
    found = re.search(r'multipart/form-data;.*boundary="?([^";]+)', request.headers.get("content-type", ""))
    if found is None:
        raise APIError("wrong-type", "The content type has to be multipart/form-data.", status=400)
    mark = b"--" + found[1].encode()
    parts = request.body.split(mark)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise APIError("bad-request", "We could not parse the multipart form data of your request.")
    fields: dict[str, str] = {}
    file: tuple[str, bytes, bool] | None = None
    for number, part in enumerate(parts[1:-1], 1):
        head, _, data = part.partition(b"\r\n\r\n")
        name = re.search(rb'[ ;]name="([^"]*)"', head)
        filename = re.search(rb'filename="([^"]*)"', head)
        content = data[: -len(b"\r\n")]
        if filename is not None:
            file = (filename[1].decode(), content, number == len(parts) - 2)
        elif name is not None:
            fields[name[1].decode()] = content.decode()
    if file is None:
        raise APIError("bad-request", "'file' is a required property")
    return Form(fields, *file)
