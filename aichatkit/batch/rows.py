"""Prompts -> rows, lazily: from lists, iterators, dicts, pandas and polars frames, CSV and JSON Lines files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Callable

from aichatkit._dataclasses import NamedTuple, dataclass, field
from aichatkit._reasons import reason_of
from aichatkit.batch.csv_rows import BadRow, TextTable, iter_lines, read_csv
from aichatkit.batch.templates import Template, is_missing
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.messages import Message

__all__ = ["Row", "Source", "read_rows"]

_TABLES = (".csv", ".tsv")
_SUFFIXES = (*_TABLES, ".jsonl", ".ndjson")
#: Columns that hold the prompt if there is no template.
_PROMPT_COLUMNS = ("prompt", "messages")


class Row(NamedTuple):
    """One row of the input: its position and label (`index`), prompt, columns, and an error if it cannot be sent."""

    position: int
    index: Any
    prompt: Any
    fields: Mapping[str, Any] | None = None
    error: ChatError | None = None


@dataclass
class Source:
    """The rows of an input.

    `size` is None if unknown, `table` is the input if it is a frame or series, and `finite` is True if the rows are
    known to end. `count` returns the number of rows for a progress bar: of a file by reading it, None if unknown.
    """

    rows: Iterator[Row]
    size: int | None = None
    table: Any = field(default=None, repr=False)
    finite: bool = False
    count: Callable[[], int | None] = field(default=lambda: None, repr=False)


def read_rows(prompts: Any, template: str | None = None) -> Source:
    """Return the rows of any input that `map` accepts, without reading more than the first.

    Raises:
        ConfigurationError: the input is of an unsupported type, cannot be opened, or lacks a column that is needed.
    """
    parsed = None if template is None else Template(template)
    items, columns = _labeled_items(prompts, parsed.names if parsed else ())
    items = _convert_errors(items)
    if columns is not None:
        _check_columns(parsed, columns)
    else:
        items = _check_first_item(parsed, items)
    rows = (_build_row(position, index, item, parsed) for position, (index, item) in enumerate(items))
    is_file = isinstance(prompts, (str, os.PathLike))
    size = len(prompts) if isinstance(prompts, Sized) and not is_file else None
    is_table = hasattr(prompts, "iloc") or hasattr(prompts, "is_sorted") or hasattr(prompts, "with_columns")
    count = partial(_count_file, prompts) if is_file else lambda: size
    return Source(rows, size, prompts if is_table else None, size is not None or is_file, count)


def _count_file(path: Any) -> int | None:
    """Return the number of rows of a file; None if it cannot be read to its end."""
    try:
        return sum(1 for _ in _read_file(path, ())[0])
    except ConfigurationError:
        return None


def _labeled_items(prompts: Any, wanted: Sequence[str]) -> tuple[Iterator[tuple[Any, Any]], list[str] | None]:
    """Return pairs of label and item, and the column names if they are known without reading a row."""
    if isinstance(prompts, (str, os.PathLike)):
        return _read_file(prompts, wanted)
    if hasattr(prompts, "itertuples"):
        columns = [str(column) for column in prompts.columns]
        tuples = prompts.itertuples(index=True, name=None)
        return ((label, dict(zip(columns, values))) for label, *values in tuples), columns
    if hasattr(prompts, "iter_rows") and hasattr(prompts, "with_columns"):
        return enumerate(prompts.iter_rows(named=True)), list(prompts.columns)
    if hasattr(prompts, "collect") and hasattr(prompts, "with_columns"):
        raise ConfigurationError("prompts: a lazy frame has no rows yet; pass frame.collect()")
    if isinstance(prompts, Mapping) or (hasattr(prompts, "iloc") and hasattr(prompts, "items")):
        return iter(prompts.items()), None
    if isinstance(prompts, Iterable) and not isinstance(prompts, (bytes, bytearray, Message)):
        return enumerate(prompts), None
    raise ConfigurationError(
        f"prompts: must be a list, an iterable, a dict, a frame or a file's path, not {type(prompts).__name__}"
    )


def _check_columns(template: Template | None, columns: list[str]) -> None:
    duplicates = sorted({column for column in columns if columns.count(column) > 1})
    if duplicates:
        raise ConfigurationError(f"prompts: two columns are named {duplicates[0]!r}")
    if template is not None:
        template.check(columns)
    else:
        _prompt_column(columns)


def _check_first_item(template: Template | None, items: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """Check the columns of the first item, and return an iterator over all of them."""
    try:
        first = next(items, None)
    except ConfigurationError:
        raise
    except ChatError as error:
        # The run raises it, with the results so far.
        return _raise_later(error)
    if first is None:
        return iter(())
    item = first[1]
    if _is_record(item):
        _check_columns(template, [str(name) for name in item])
    elif template is not None:
        _single_name(template)
    return chain([first], items)


def _build_row(position: int, index: Any, item: Any, template: Template | None) -> Row:
    if isinstance(item, BadRow):
        return Row(position, index, None, item.fields, item.error)
    fields = item if _is_record(item) else None
    try:
        return Row(position, index, _build_prompt(item, fields, template), fields)
    except ConfigurationError as error:
        return Row(position, index, None, fields, ConfigurationError(f"row {position}: {error}"))


def _build_prompt(item: Any, fields: Mapping[str, Any] | None, template: Template | None) -> Any:
    if template is not None:
        if fields is None:
            return template.fill({_single_name(template): item})
        template.check(fields)
        return template.fill({str(name): value for name, value in fields.items()})
    prompt = item if fields is None else fields[_prompt_column(list(fields))]
    if is_missing(prompt):
        raise ConfigurationError("there is no prompt here")
    return prompt


def _is_record(item: Any) -> bool:
    """Return whether an item is a row with columns; a dict with a role is a message."""
    return isinstance(item, Mapping) and not ({"role", "from"} & set(item) and "content" in item)


def _single_name(template: Template) -> str:
    if len(template.names) != 1:
        raise ConfigurationError(
            f"template: it names {', '.join(template.names)}, but the prompts have no columns; pass dicts or a frame"
        )
    return template.names[0]


def _prompt_column(columns: list[Any]) -> Any:
    if len(columns) == 1:
        return columns[0]
    for name in _PROMPT_COLUMNS:
        if name in columns:
            return name
    raise ConfigurationError(
        f"prompts: there are the columns {', '.join(map(str, columns)) or 'none'}; "
        "pass a template such as 'Translate: {text}', or name one column prompt"
    )


def _read_file(path: Any, wanted: Sequence[str]) -> tuple[Iterator[tuple[Any, Any]], list[str] | None]:
    encoding, delimiter = (path.encoding, path.delimiter) if isinstance(path, TextTable) else (None, None)
    path = Path(os.fsdecode(path))
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigurationError(
            f"prompts: {str(path)[:60]!r} is not a path ending in {', '.join(_SUFFIXES)}; for a single prompt use ask"
        )
    if not path.is_file():
        raise ConfigurationError(f"prompts: cannot find the file {str(path)!r}")
    if path.suffix.lower() in _TABLES:
        lines = read_csv(path, wanted, encoding, delimiter)
        return enumerate(lines), next(lines)
    if delimiter is not None:
        raise ConfigurationError(f"delimiter: is for {' and '.join(_TABLES)} files, not for {path.suffix}")
    return enumerate(_read_json_lines(path, encoding)), None


def _read_json_lines(path: Path, encoding: str | None) -> Iterator[Any]:
    for number, line in enumerate(iter_lines(path, encoding), 1):
        if line.strip():
            yield _parse_json_line(line, path, number)


def _parse_json_line(line: str, path: Path, number: int) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        problem, reason = str(error), reason_of(error)
    raise ConfigurationError(f"{path}: line {number} cannot be read: {problem}", reason=reason)


def _convert_errors(items: Iterator[Any]) -> Iterator[Any]:
    """Yield the items; convert exceptions of the user's iterable to an error that can hold the results."""
    try:
        yield from items
        return
    except ChatError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        failure = ChatError(f"prompts: the iterable raised {type(error).__name__}: {error}", reason=reason_of(error))
        failure.__cause__ = error
    raise failure


def _raise_later(error: ChatError) -> Iterator[Any]:
    raise error
    yield
