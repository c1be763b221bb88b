"""`aichatkit embed`: texts -> vectors, one JSON line for each."""

from __future__ import annotations

import contextlib
import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aichatkit.cli.client_options import add_client_options, model_option, open_client
from aichatkit.cli.error_text import in_words
from aichatkit.cli.job_options import add_job_options, continues_jobs, job_options
from aichatkit.cli.jobs import RUNNING
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.output_files import check_out
from aichatkit.cli.parser import Parser
from aichatkit.cli.stdin import read_stdin
from aichatkit.embeddings.services import KINDS
from aichatkit.errors import BatchPendingError, ChatError, ConfigurationError, JournalError
from aichatkit.storage.private_files import replacing

__all__ = ["build_parser", "run"]

_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit embed",
        description="Turn a text, or each row of a CSV, TSV or JSON Lines file, into a vector, one JSON line each.",
    )
    parser.add_argument("input", help="a .csv, .tsv or .jsonl file, or a text; - reads the pipe as one text")
    parser.add_argument(
        "-t",
        "--template",
        "--prompt",
        dest="prompt",
        metavar="TEMPLATE",
        help="text for each row, such as '{title}: {body}' with column names",
    )
    parser.add_argument("--out", metavar="FILE", help="write to this file instead of standard output")
    add_client_options(parser)
    parser.add_argument("-d", "--dimensions", type=int, metavar="N", help="shorter vectors, if the model supports it")
    parser.add_argument("--kind", choices=KINDS, help="whether the texts are stored or search for stored ones")
    parser.add_argument("--normalize", action="store_true", help="scale every vector to length 1")
    parser.add_argument("--truncate", action="store_true", help="let the service cut texts that are too long")
    parser.add_argument("-w", "--workers", type=int, default=8, help="requests in progress at once (default 8)")
    parser.add_argument("--journal", metavar="FILE", help="send only what is missing from this journal")
    parser.add_argument(
        "--batch",
        action="store_true",
        help="send batch jobs: half the price, within a day; the journal is OUT.sqlite unless named",
    )
    add_job_options(parser)
    return parser


def run(args: Namespace) -> int:
    """Embed the texts and return the exit code."""
    model = model_option(args)
    if not isinstance(model, str):
        raise ConfigurationError("embed: name one embedding model, such as -m openai/text-embedding-3-small")
    is_file = Path(args.input).suffix.lower() in _SUFFIXES
    if args.prompt and not is_file:
        raise ConfigurationError("-t: a template needs a file with columns")
    job_options(args)
    to_file = args.out not in (None, "-")
    if to_file and not args.journal and (args.batch or continues_jobs(f"{args.out}.sqlite")):
        args.journal = f"{args.out}.sqlite"
    if args.batch and args.journal is None:
        raise ConfigurationError("--batch: without --out, name the journal with --journal FILE")
    texts = Path(args.input) if is_file else [_read_text(args.input)]
    try:
        if not to_file:
            for line in _lines(_embed(args, texts, model, args.journal)):
                write_stdout(line)
            return 0
        out = Path(args.out)
        check_out(args.input, out)
        # Opened first: vectors that cannot be written would have been paid for.
        with replacing(out) as file:
            vectors = _embed_kept(args, texts, model)
            file.writelines(_lines(vectors))
    except BatchPendingError as error:
        if not args.batch:
            print_stderr(in_words(error))
        return RUNNING
    except ChatError as error:
        if not getattr(getattr(error, "results", None), "interrupted", False):
            raise
        print_stderr(in_words(error))
        return 130
    _remove(_part_of(args))
    print_stderr(_summary(args, vectors))
    return 0


def _read_text(text: str) -> str:
    """Return the text to embed: that of the pipe for a dash."""
    if text != "-":
        if Path(text).is_file():
            raise ConfigurationError(
                f"{text!r} is a file: embed takes {', '.join(_SUFFIXES)} files with a text in each row; to embed all "
                f"of it as one text: aichatkit embed - < {text}"
            )
        return text
    piped = read_stdin(explicit=True)
    if isinstance(piped, str):
        return piped
    raise ConfigurationError("-: only text can be embedded, and the pipe has a file of another type")


def _part_of(args: Namespace) -> str:
    """Return the path of the journal of an unfinished run, where none is named."""
    return f"{args.out}.part.sqlite"


def _embed_kept(args: Namespace, texts: Any, model: str) -> Any:
    """Embed with a journal in any case: without --journal it is temporary, and the same command continues it."""
    if args.journal is not None:
        return _embed(args, texts, model, args.journal)
    part = _part_of(args)
    is_new = not os.path.isfile(part)
    if not is_new:
        print_stderr(f"continuing the last run: {part} has its vectors; delete it to send every text again")
    try:
        return _embed(args, texts, model, part)
    except ChatError as error:
        results = getattr(error, "results", None)
        if is_new and (results is None or not results.dimensions):
            _remove(part)
        elif results is not None:
            print_stderr(f"to send the rest, run the same command again; {part} keeps the vectors until then")
        if not isinstance(error, JournalError) or not is_new or results is not None:
            raise
        print_stderr(f"{error}; without it, the vectors are lost if this run is killed")
    return _embed(args, texts, model, None)


def _remove(journal: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            os.unlink(f"{journal}{suffix}")


def _embed(args: Namespace, texts: Any, model: str, journal: str | None) -> Any:
    with open_client(args) as client:
        vectors = client.embed(
            texts,
            args.prompt,
            model=model,
            dimensions=args.dimensions,
            kind=args.kind,
            normalize=args.normalize or None,
            truncate=args.truncate,
            workers=args.workers,
            resume=journal,
            **job_options(args),
        )
    if args.batch and vectors.pending:
        count = "1 text is" if vectors.pending == 1 else f"{vectors.pending} texts are"
        print_stderr(
            f"{count} in batch jobs: the same command collects them, `aichatkit jobs {args.journal}` shows them"
        )
    return vectors


def _lines(vectors: Any) -> Iterator[str]:
    return (json.dumps(vector) + "\n" for vector in vectors)


def _summary(args: Namespace, vectors: Any) -> str:
    cost = "" if vectors.cost is None else f", ${vectors.cost:.6f}"
    return f"{len(vectors)} vectors of {vectors.dimensions} numbers written to {args.out}{cost}"
