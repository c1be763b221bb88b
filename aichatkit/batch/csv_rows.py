"""CSV file -> column names and rows: the delimiter is detected, and a row of the wrong length fails on its own."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from aichatkit._locks import Lock
from aichatkit._reasons import reason_of
from aichatkit._surrogates import UNDECODED
from aichatkit.errors import ConfigurationError

__all__ = ["BadRow", "iter_lines", "read_csv"]

#: Comma first: it wins a tie.
_DELIMITERS = (",", ";", "\t", "|")
#: Characters and rows that the delimiter is detected from.
_SAMPLE_SIZE, _SAMPLE_ROWS = 1 << 16, 30
#: The longest cell; the default of the csv module is 128 KB, and any other limit applies to the whole process.
_MAX_CELL = (1 << 31) - 1
_cell_limit_lock = Lock()


class BadRow(NamedTuple):
    """A row that cannot be sent: the cells that have a column, and the error."""

    fields: Mapping[str, str]
    error: ConfigurationError


def read_csv(path: Path, wanted: Sequence[str]) -> Iterator[Any]:
    """Yield the list of column names, then a dict or `BadRow` per row; `wanted` are the columns of the template."""
    delimiter = _find_delimiter(path, wanted)
    reader = csv.reader(iter_lines(path, newline=""), delimiter=delimiter)
    columns: list[str] | None = None
    for line, cells in _iter_rows(reader, path):
        if columns is None:
            if not _is_separator_line(cells, delimiter):
                columns = cells
                yield columns
        elif len(cells) == len(columns):
            yield dict(zip(columns, cells))
        elif cells != [cells[0]] or cells[0].strip():
            yield BadRow(dict(zip(columns, cells)), _length_error(path, line, len(cells), len(columns)))
    if columns is None:
        yield []


def iter_lines(path: Path, **options: Any) -> Iterator[str]:
    """Yield the lines of a text file; the error for a line that is not UTF-8 gives its number."""
    # A strict decoder works in blocks, so its error would not give the line.
    with open_text(path, errors="surrogateescape", **options) as file:
        for number, line in enumerate(file, 1):
            bad = None if line.isascii() else UNDECODED.search(line)
            if bad:
                raise ConfigurationError(
                    f"{path}: line {number} cannot be read: its byte 0x{ord(bad[0]) - 0xDC00:02x} is not UTF-8; "
                    "save the file as UTF-8",
                    reason=f"UnicodeDecodeError: 'utf-8' codec can't decode byte 0x{ord(bad[0]) - 0xDC00:02x}",
                )
            yield line


def open_text(path: Path, **options: Any) -> Any:
    """Open a text file; raise ConfigurationError if that fails."""
    try:
        # Spreadsheets write a byte order mark before the name of the first column.
        return path.open(encoding="utf-8-sig", **options)
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
    return delimiter.join(cells).lower() == f"sep={delimiter}"


def _length_error(path: Path, line: int, count: int, expected: int) -> ConfigurationError:
    cells = f"{count} cell{'' if count == 1 else 's'}"
    columns = f"{expected} column{'' if expected == 1 else 's'}"
    hint = "; a cell that contains the delimiter must be in double quotes" if count > expected else ""
    return ConfigurationError(f"{path}: line {line} has {cells} for {columns}{hint}")


def _find_delimiter(path: Path, wanted: Sequence[str]) -> str:
    with open_text(path, errors="replace", newline="") as file:
        sample = file.read(_SAMPLE_SIZE)
    lines = sample.splitlines(keepends=True)
    if len(sample) == _SAMPLE_SIZE:
        # The last one may be incomplete.
        del lines[-1:]
    # A quote cannot be a delimiter.
    named = re.fullmatch('sep=([^"])', next((line.strip("\r\n") for line in lines if line.strip()), ""), re.IGNORECASE)
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
