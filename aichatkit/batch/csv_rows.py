"""CSV file -> column names and rows: the delimiter is detected, and a row of the wrong length fails on its own.

A file is UTF-8, or UTF-16 or UTF-32 with a byte order mark, unless its encoding is passed.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit._locks import Lock
from aichatkit._reasons import reason_of
from aichatkit._surrogates import UNDECODED
from aichatkit.errors import ConfigurationError

__all__ = ["BadRow", "TextTable", "iter_lines", "read_csv", "with_format"]

#: Comma first: it wins a tie.
_DELIMITERS = (",", ";", "\t", "|")
#: Characters and rows that the delimiter is detected from.
_SAMPLE_SIZE, _SAMPLE_ROWS = 1 << 16, 30
#: The longest cell; the default of the csv module is 128 KB, and any other limit applies to the whole process.
_MAX_CELL = (1 << 31) - 1
_cell_limit_lock = Lock()


class TextTable(os.PathLike):  # type: ignore[type-arg]
    """The path of a file of rows, with the encoding and delimiter that were passed for it."""

    def __init__(self, path: Any, encoding: str | None, delimiter: str | None) -> None:
        self._path = os.fspath(path)
        self.encoding = encoding
        self.delimiter = delimiter

    def __fspath__(self) -> str:
        return self._path  # type: ignore[no-any-return]


class BadRow(NamedTuple):
    """A row that cannot be sent: the cells that have a column, and the error."""

    fields: Mapping[str, str]
    error: ConfigurationError


def with_format(prompts: Any, encoding: Any, delimiter: Any) -> Any:
    """Return prompts that are read with this encoding and delimiter, if any; raise ConfigurationError for a bad one."""
    if encoding is None and delimiter is None:
        return prompts
    name = "delimiter" if encoding is None else "encoding"
    if not isinstance(prompts, (str, os.PathLike)):
        raise ConfigurationError(f"{name}: is for a file; the prompts are {type(prompts).__name__}")
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ConfigurationError(f"delimiter: must be a single character such as ';', not {delimiter!r}")
    if encoding is not None and not _is_encoding(encoding):
        raise ConfigurationError(f"encoding: there is no encoding {encoding!r}; use a name such as 'utf-8' or 'cp1252'")
    return TextTable(prompts, encoding, delimiter)


def _is_encoding(name: Any) -> bool:
    try:
        return isinstance(name, str) and bool(codecs.lookup(name)._is_text_encoding)
    except (LookupError, ValueError):
        return False


def read_csv(
    path: Path, wanted: Sequence[str], encoding: str | None = None, delimiter: str | None = None
) -> Iterator[Any]:
    """Yield the list of column names, then a dict or `BadRow` per row; `wanted` are the columns of the template."""
    delimiter = delimiter or ("\t" if path.suffix.lower() == ".tsv" else _find_delimiter(path, wanted, encoding))
    reader = csv.reader(iter_lines(path, encoding, newline=""), delimiter=delimiter)
    columns: list[str] | None = None
    for line, cells in _iter_rows(reader, path):
        if columns is None:
            if not _is_separator_line(cells, delimiter):
                columns = cells
                yield columns
        elif len(cells) == len(columns):
            # An empty cell is a missing value, as in a frame that was read from the same file.
            yield {name: cell or None for name, cell in zip(columns, cells)}
        elif cells != [cells[0]] or cells[0].strip():
            yield BadRow(dict(zip(columns, cells)), _length_error(path, line, len(cells), len(columns)))
    if columns is None:
        yield []


def iter_lines(path: Path, encoding: str | None = None, **options: Any) -> Iterator[str]:
    """Yield the lines of a text file; the error for a line that cannot be decoded gives its number.

    The whole file is decoded before the first line is yielded: rows that were sent have been paid for.
    """
    encoding = encoding or _find_encoding(path)
    iter_decoded = _iter_utf8 if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig") else _iter_other
    for _ in iter_decoded(path, encoding, **options):
        pass
    yield from iter_decoded(path, encoding, **options)


def _iter_utf8(path: Path, encoding: str, **options: Any) -> Iterator[str]:
    # A strict decoder works in blocks, so its error would not give the line.
    with open_text(path, errors="surrogateescape", **options) as file:
        for number, line in enumerate(file, 1):
            bad = None if line.isascii() else UNDECODED.search(line)
            if bad:
                raise ConfigurationError(
                    f"{path}: line {number} cannot be read: its byte 0x{ord(bad[0]) - 0xDC00:02x} is not UTF-8; "
                    f"save the file as UTF-8, or pass encoding=, such as 'cp1252'{_preview(line, bad.start())}",
                    reason=f"UnicodeDecodeError: 'utf-8' codec can't decode byte 0x{ord(bad[0]) - 0xDC00:02x}",
                )
            yield line


def _preview(line: str, position: int) -> str:
    """Return what Windows' Western encoding makes of the text around a byte, for the reader to judge.

    It is not used without being asked for: other encodings read the same bytes as other letters, with no error.
    """
    content = line.encode("utf-8", "surrogateescape")
    start = max(0, len(line[:position].encode("utf-8", "surrogateescape")) - 20)
    try:
        return f", which reads it as {content[start : start + 40].decode('cp1252').strip()!r}"
    except UnicodeDecodeError:
        return ""


def _iter_other(path: Path, encoding: str, **options: Any) -> Iterator[str]:
    number = 0
    with open_text(path, encoding, errors="strict", **options) as file:
        try:
            for number, line in enumerate(file, 1):  # noqa: B007 - it is for the error
                yield line
            return
        except UnicodeError as error:
            reason = reason_of(error)
    raise ConfigurationError(
        f"{path}: the text after line {number} cannot be decoded as {encoding}; pass another encoding=", reason=reason
    )


def _find_encoding(path: Path) -> str:
    """Return the encoding of a byte order mark, else UTF-8."""
    with open_text(path, errors="surrogateescape", newline="") as file:
        head = file.buffer.read(4)
    # The mark of UTF-32 begins with that of UTF-16.
    if head in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    return "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def open_text(path: Path, encoding: str | None = None, **options: Any) -> Any:
    """Open a text file; raise ConfigurationError if that fails."""
    try:
        # Spreadsheets write a byte order mark before the name of the first column.
        return path.open(encoding=encoding or "utf-8-sig", **options)
    except OSError as error:
        problem, reason = error.strerror or type(error).__name__, reason_of(error)
    raise ConfigurationError(f"prompts: {str(path)!r} cannot be opened: {problem}", reason=reason)


def _iter_rows(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the number of its first line."""
    while True:
        line = reader.line_num + 1
        try:
            cells = _next_row(reader)
        except csv.Error as error:
            problem, reason = str(error), reason_of(error)
            break
        if cells is None:
            return
        if cells:
            yield line, cells
    raise ConfigurationError(f"{path}: line {line} cannot be read: {problem}", reason=reason)


def _next_row(reader: Any) -> list[str] | None:
    with _cell_limit_lock:
        limit = csv.field_size_limit(_MAX_CELL)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(limit)


def _is_separator_line(cells: Sequence[str], delimiter: str) -> bool:
    """Return whether a line only declares the delimiter for spreadsheets; it is not the header."""
    # A spreadsheet pads it with a delimiter for each further column.
    return delimiter.join(cells).lower().rstrip(delimiter) in (f"sep={delimiter}", "sep=")


def _length_error(path: Path, line: int, count: int, expected: int) -> ConfigurationError:
    cells = f"{count} cell{'' if count == 1 else 's'}"
    columns = f"{expected} column{'' if expected == 1 else 's'}"
    hint = "; a cell that contains the delimiter must be in double quotes" if count > expected else ""
    return ConfigurationError(f"{path}: line {line} has {cells} for {columns}{hint}")


def _find_delimiter(path: Path, wanted: Sequence[str], encoding: str | None) -> str:
    with open_text(path, encoding or _find_encoding(path), errors="replace", newline="") as file:
        sample = file.read(_SAMPLE_SIZE)
    lines = sample.splitlines(keepends=True)
    if len(sample) == _SAMPLE_SIZE:
        # The last one may be incomplete.
        del lines[-1:]
    # A quote cannot be a delimiter.
    named = re.fullmatch(
        r'sep=([^"])\1*', next((line.strip("\r\n") for line in lines if line.strip()), ""), re.IGNORECASE
    )
    if named:
        return named[1]
    scores = {delimiter: _score(lines, delimiter, wanted) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=scores.__getitem__)


def _score(lines: Iterable[str], delimiter: str, wanted: Sequence[str]) -> tuple[bool, bool]:
    """Return whether a delimiter yields the columns in the template, and whether most rows fit several columns."""
    try:
        rows = [cells for cells in islice(csv.reader(lines, delimiter=delimiter), _SAMPLE_ROWS) if cells]
    except csv.Error:
        return False, False
    if not rows:
        return False, False
    columns, *rest = rows
    fitting = sum(len(cells) == len(columns) for cells in rest)
    return bool(wanted) and {*wanted} <= {*columns}, len(columns) > 1 and 2 * fitting >= len(rest)
