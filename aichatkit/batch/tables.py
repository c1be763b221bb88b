"""Results -> files and frames: the columns of the input, and those of the answers beside them."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from aichatkit.batch.templates import is_missing
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.reply import Reply

__all__ = ["Record", "frame", "outcome", "parse_path", "save"]

#: The columns of the input, the prompt, and the columns of the outcome.
Record = tuple[Optional[Mapping[str, Any]], Any, Mapping[str, Any]]
_SUFFIXES = (".csv", ".jsonl", ".ndjson")


def outcome(reply: Reply | None, error: ChatError | None) -> dict[str, Any]:
    """Return the columns that tell what came of a row."""
    usage = None if reply is None else reply.usage
    return {
        "answer": None if reply is None else reply.text,
        "data": None if reply is None else reply.data,
        "error": None if error is None else f"{type(error).__name__}: {error}",
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
        "cost": None if reply is None else reply.cost,
    }


def save(path: Any, records: Callable[[], Iterable[Record]]) -> None:
    """Write a CSV or JSON lines file by its suffix, whole or not at all; `records` may be called twice."""
    path = parse_path(path)
    names = _outcome_names(records())
    lines = ({**_input(record), **_named(record, names)} for record in records())
    with _replacing(path) as file:
        if path.suffix.lower() == ".csv":
            columns = list(dict.fromkeys(name for record in records() for name in _input(record)))
            writer = csv.DictWriter(file, [*columns, *names.values()], restval="")
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in line.items()} for line in lines)
        else:
            file.writelines(json.dumps(_plain(line), ensure_ascii=False, default=_plain) + "\n" for line in lines)


def frame(table: Any, records: Callable[[], Iterable[Record]], labels: list[Any]) -> Any:
    """Return a table with columns for the outcomes: the input's own kind, or a pandas frame of everything."""
    names = _outcome_names(records())
    columns: dict[str, list[Any]] = {name: [] for name in names.values()}
    for record in records():
        for name, value in _named(record, names).items():
            columns[name].append(value)
    if hasattr(table, "with_columns") or hasattr(table, "is_sorted"):
        return _polars_frame(table, columns)
    if hasattr(table, "iloc"):
        whole = (
            table if hasattr(table, "itertuples") else table.to_frame("prompt" if table.name is None else table.name)
        )
        return whole.assign(**columns)
    inputs = [_input(record) for record in records()]
    lines = [{**line, **dict(zip(columns, values))} for line, values in zip(inputs, zip(*columns.values()))]
    return _pandas().DataFrame(lines, index=labels)


def parse_path(path: Any) -> Path:
    """Return a path that results can be written to; its suffix says how."""
    if not isinstance(path, (str, os.PathLike)) or Path(path).suffix.lower() not in _SUFFIXES:
        raise ConfigurationError(f"save: the path must end in {', '.join(_SUFFIXES)}, not {str(path)[:60]!r}")
    return Path(path)


def _outcome_names(records: Iterable[Record]) -> dict[str, str]:
    """Return what the columns of the outcome are called: none of them hides a column of the input."""
    taken: set[str] = set()
    with_data = False
    for record in records:
        taken.update(_input(record))
        with_data = with_data or record[2]["data"] is not None
    names = {}
    for name in outcome(None, None):
        if name != "data" or with_data:
            names[name] = next(free for free in _numbered(name) if free not in taken)
    return names


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1


def _input(record: Record) -> dict[str, Any]:
    fields, prompt, _ = record
    return {"prompt": prompt} if fields is None else {str(name): value for name, value in fields.items()}


def _named(record: Record, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: record[2][own] for own, name in names.items()}


def _cell(value: Any) -> Any:
    if is_missing(value):
        return ""
    told = value if isinstance(value, (str, int, float, list, tuple, dict)) else _plain(value)
    return told if isinstance(told, (str, int, float)) else json.dumps(told, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return what JSON can hold in the place of a value."""
    if isinstance(value, dict):
        return {name: None if is_missing(item) else item for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    # What numpy has for numbers.
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


@contextmanager
def _replacing(path: Path) -> Iterator[Any]:
    """Open a file that takes the place of `path` when all is written."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        try:
            with unfinished.open("w", encoding="utf-8", newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
            return
        finally:
            with suppress(OSError):
                unfinished.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ConfigurationError(f"save: {str(path)!r} cannot be written: {reason}")


def _polars_frame(table: Any, columns: Mapping[str, list[Any]]) -> Any:
    polars = sys.modules["polars"]
    whole = table if hasattr(table, "with_columns") else table.to_frame()
    return whole.with_columns(**{name: polars.Series(name, values, strict=False) for name, values in columns.items()})


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ConfigurationError("to_frame: pandas is not installed; pip install pandas") from None
    return pandas
