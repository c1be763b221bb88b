"""Rows <-> lines of JSON: IDs of rows, files on disk in place of memory, and uploads that are read as they are sent."""

from __future__ import annotations

import secrets
import string
import tempfile
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["FileBody", "MultipartBody", "Spool", "iter_lines", "make_nonce", "parse_row_id", "row_id"]

_DIGITS = string.digits + string.ascii_lowercase
_NONCE_SIZE = 10
#: Bytes of a spool that stay in memory.
_MEMORY = 1 << 20
_BOM = b"\xef\xbb\xbf"


def make_nonce() -> str:
    """Return the random part of the IDs of one job."""
    return secrets.token_hex(_NONCE_SIZE // 2)


def row_id(nonce: str, n: int) -> str:
    """Return the ID of a row: unique over all jobs, and accepted by every service.

    >>> row_id("a1b2c3d4e5", 71)
    'a1b2c3d4e5-1z'
    """
    digits = ""
    while n or not digits:
        n, digit = divmod(n, 36)
        digits = _DIGITS[digit] + digits
    return f"{nonce}-{digits}"


def parse_row_id(nonce: str, text: Any) -> int | None:
    """Return the number of a row, None if the ID is not one of this job.

    >>> parse_row_id("a1b2c3d4e5", "a1b2c3d4e5-1z"), parse_row_id("a1b2c3d4e5", "request-7")
    (71, None)
    """
    prefix, dash, digits = text.partition("-") if isinstance(text, str) else ("", "", "")
    if prefix != nonce or not dash or not digits or len(digits) > 12 or not set(digits) <= set(_DIGITS):
        return None
    return int(digits, 36)


class Spool:
    """Lines in a temporary file that is deleted when it is closed; `joined` ones are separated by commas."""

    def __init__(self, *, joined: bool = False) -> None:
        self._joined = joined
        self.file: IO[bytes] = tempfile.SpooledTemporaryFile(_MEMORY)  # noqa: SIM115
        self.size = 0
        self.count = 0

    def add(self, line: bytes) -> None:
        """Append a line."""
        if not self._joined:
            self.write(line + b"\n")
        else:
            self.write(b"," + line if self.count else line)
        self.count += 1

    def write(self, block: bytes) -> None:
        """Append bytes as they are."""
        self.file.write(block)
        self.size += len(block)

    def close(self) -> None:
        """Delete the file."""
        self.file.close()


class FileBody:
    """The body of an upload: a file between two pieces of text, read in blocks as the connection takes them."""

    def __init__(self, spool: Spool, before: bytes = b"", after: bytes = b"") -> None:
        self._parts = (before, spool.file, after)
        self._length = len(before) + spool.size + len(after)
        self.rewind()

    def rewind(self) -> None:
        """Start again at the first byte."""
        self._pieces: list[Any] = list(self._parts)
        self._parts[1].seek(0)

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(65536), b"")

    def read(self, size: int = 65536) -> bytes:
        """Return the next bytes, at most `size`."""
        while self._pieces:
            piece = self._pieces[0]
            if isinstance(piece, bytes):
                block, self._pieces[0] = piece[:size], piece[size:]
            else:
                block = piece.read(size)
            if block:
                return block
            self._pieces.pop(0)
        return b""


class MultipartBody(FileBody):
    """A form with text fields and, last, a file."""

    def __init__(self, fields: dict[str, str], spool: Spool, *, filename: str, field: str = "file") -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        )
        super().__init__(spool, "".join([*parts, head]).encode(), f"\r\n--{boundary}--\r\n".encode())


def iter_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file of results from its start; only a line feed ends a line, and blank ones are skipped."""
    file.seek(0)
    is_first = True
    for line in file:
        if is_first and line.startswith(_BOM):
            line = line[len(_BOM) :]
        is_first = False
        if line.strip():
            yield line
