"""Results -> CSV or JSON Lines files and frames: the columns of the input plus those of the outcomes."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from aichatkit import params
from aichatkit._reasons import reason_of
from aichatkit._surrogates import repair
from aichatkit.batch.templates import is_missing
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.reply import Reply
from aichatkit.storage.private_files import replacing

__all__ = ["Record", "build_frame", "outcome_columns", "parse_path", "save"]

#: The columns of the input, the prompt, and the columns of the outcome.
Record = tuple[Optional[Mapping[str, Any]], Any, Mapping[str, Any]]
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*_DELIMITERS, ".jsonl", ".ndjson")
#: A cell that begins with one of these may be run as a formula by a spreadsheet.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def outcome_columns(reply: Reply | None, error: ChatError | None, decided: Sequence[str] = ()) -> dict[str, Any]:
    """Return the output columns of a row by name: answer, data, error, tokens and cost.

    `decided` are the columns of its decisions, which are in place of answer and data.
    """
    usage = None if reply is None else reply.usage
    answer = {
        "answer": None if reply is None else reply.text,
        "data": None if reply is None else reply.data,
    }
    if decided:
        answer = dict.fromkeys(decided) if reply is None else reply.data.columns()
    return {
        **answer,
        "error": None if error is None else f"{type(error).__name__}: {error}",
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost": None if reply is None else reply.cost,
    }


def save(
    path: Any, records: Callable[[], Iterable[Record]], *, escape_formulas: bool = False, bom: bool = False
) -> None:
    """Write a CSV, TSV or JSON Lines file, by suffix, atomically; `records` is called more than once."""
    path = parse_path(path)
    delimiter = _DELIMITERS.get(path.suffix.lower())
    for option, value in (("escape_formulas", escape_formulas), ("bom", bom)):
        if value not in (True, False):
            raise ConfigurationError(f"save: {option} must be True or False, not {value!r}")
        if value and delimiter is None:
            raise ConfigurationError(f"save: {option} is for {' and '.join(_DELIMITERS)} files")
    to_cell = _safe_cell if escape_formulas else _cell
    names = _outcome_names(records())
    lines = ({**_input_columns(record), **_renamed_columns(record, names)} for record in records())
    with _open_atomically(path) as file:
        if delimiter is not None:
            file.write("\ufeff" if bom else "")
            columns = list(dict.fromkeys(name for record in records() for name in _input_columns(record)))
            header = {name: to_cell(name) for name in (*columns, *names.values())}
            writer = csv.DictWriter(file, header, restval="", delimiter=delimiter)
            writer.writerow(header)
            writer.writerows({name: to_cell(value) for name, value in line.items()} for line in lines)
        else:
            file.writelines(_json_text(_jsonable(line)) + "\n" for line in lines)


def build_frame(table: Any, records: Callable[[], Iterable[Record]], labels: list[Any]) -> Any:
    """Return the input frame with the output columns added; for other inputs, a pandas frame of everything."""
    names = _outcome_names(records())
    columns: dict[str, list[Any]] = {name: [] for name in names.values()}
    for record in records():
        for name, value in _renamed_columns(record, names).items():
            columns[name].append(value)
    if hasattr(table, "with_columns") or hasattr(table, "is_sorted"):
        return _polars_frame(table, columns)
    if hasattr(table, "iloc"):
        frame = (
            table if hasattr(table, "itertuples") else table.to_frame("prompt" if table.name is None else table.name)
        )
        return frame.assign(**columns)
    inputs = [_input_columns(record) for record in records()]
    lines = [{**line, **dict(zip(columns, values))} for line, values in zip(inputs, zip(*columns.values()))]
    return _pandas().DataFrame(lines, index=labels)


def parse_path(path: Any) -> Path:
    """Return `path` as a Path; raise ConfigurationError unless its suffix names a supported format."""
    message = f"save: the path must end in {', '.join(_SUFFIXES)}"
    found = Path(params.parse_path(path, message))
    if found.suffix.lower() not in _SUFFIXES:
        raise ConfigurationError(f"{message}, not {str(path)[:60]!r}")
    return found


def _outcome_names(records: Iterable[Record]) -> dict[str, str]:
    """Return the name of each output column in the file: numbered if the input has a column of that name."""
    input_names: set[str] = set()
    has_data = False
    output_names: Iterable[str] = outcome_columns(None, None)
    for record in records:
        input_names.update(_input_columns(record))
        has_data = has_data or record[2].get("data") is not None
        output_names = record[2]
    names: dict[str, str] = {}
    for name in output_names:
        if name != "data" or has_data:
            names[name] = next(candidate for candidate in _iter_candidates(name) if candidate not in input_names)
    return names


def _iter_candidates(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _input_columns(record: Record) -> dict[str, Any]:
    fields, prompt, _ = record
    return {"prompt": prompt} if fields is None else {str(name): value for name, value in fields.items()}


def _renamed_columns(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: record[2][column] for column, name in names.items()}


def _cell(value: Any) -> Any:
    if is_missing(value):
        return ""
    plain = value if isinstance(value, (str, int, float, list, tuple, dict)) else _jsonable(value)
    if isinstance(plain, str):
        return repair(plain)
    return plain if isinstance(plain, (int, float)) else _json_text(plain)


def _safe_cell(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula: text that could be one gets an apostrophe before it."""
    cell = _cell(value)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _json_text(value: Any) -> str:
    """Return standard JSON text, with null for NaN and infinities."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=_jsonable, allow_nan=False)
    except ValueError:
        parsed = json.loads(json.dumps(value, default=_jsonable), parse_constant=lambda name: None)
        text = json.dumps(parsed, ensure_ascii=False)
    return repair(text)


def _jsonable(value: Any) -> Any:
    """Return a JSON serializable equivalent of a value; missing values in a dict become None."""
    if isinstance(value, dict):
        return {name: None if is_missing(item) else item for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    # NumPy scalars and arrays.
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


@contextmanager
def _open_atomically(path: Path) -> Iterator[Any]:
    """Open a temporary file that replaces `path` once everything is written."""
    try:
        with replacing(path, newline="") as file:
            yield file
        return
    except OSError as error:
        problem, reason = error.strerror or type(error).__name__, reason_of(error)
    raise ConfigurationError(f"save: {str(path)!r} cannot be written: {problem}", reason=reason)


def _polars_frame(table: Any, columns: Mapping[str, list[Any]]) -> Any:
    polars = sys.modules["polars"]
    frame = table if hasattr(table, "with_columns") else table.to_frame()
    return frame.with_columns(**{name: polars.Series(name, values, strict=False) for name, values in columns.items()})


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ConfigurationError(
            "to_frame: pandas is not installed; pip install pandas", reason=reason_of(error)
        ) from None
    return pandas
