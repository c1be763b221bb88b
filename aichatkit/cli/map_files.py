"""The input and output files of `aichatkit map`, either of which may be a pipe, written as -."""

from __future__ import annotations

import re
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aichatkit.batch.tables import parse_path
from aichatkit.cli.output import write_stdout
from aichatkit.cli.output_files import check_out
from aichatkit.cli.stdin import read_stdin_bytes
from aichatkit.errors import ConfigurationError

__all__ = ["open_files"]

#: A quoted CSV cell, or the end of a row; JSON Lines have no CR outside of strings, and none in them.
_CELL_OR_ROW_END = re.compile(r'("(?:[^"]|"")*")|\r\n')


@contextmanager
def open_files(args: Namespace) -> Iterator[tuple[Path, Path]]:
    """Yield the paths to read and to write; standard input and standard output are replaced by temporary files.

    On leaving, what was written for standard output is printed.
    """
    if args.format and "-" not in (args.input, args.out):
        raise ConfigurationError("--format: is for -; the format of a file is that of its name")
    out = None if args.out == "-" else parse_path(args.out)
    if out is not None:
        check_out(args.input, out)
    with tempfile.TemporaryDirectory(prefix="aichatkit-") as folder:
        source = _save_stdin(Path(folder), args.format) if args.input == "-" else Path(args.input)
        if out is not None:
            yield source, out
            return
        suffix = f".{args.format}" if args.format else source.suffix
        printed = parse_path(Path(folder, f"out{suffix}"))
        try:
            yield source, printed
        finally:
            # The answers so far, if the run has failed.
            if printed.exists():
                write_stdout(_read(printed))


def _save_stdin(folder: Path, format_name: str | None) -> Path:
    content = read_stdin_bytes(explicit=True)
    is_json = content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    path = folder / f"in.{format_name or ('jsonl' if is_json else 'csv')}"
    path.write_bytes(content)
    return path


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        # Rows end as the platform's pipes expect; line ends within cells are kept.
        return _CELL_OR_ROW_END.sub(lambda match: match[1] or "\n", file.read())
