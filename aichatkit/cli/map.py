"""`aichatkit map`: file of prompts -> the same file with answer columns added."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from aichatkit.batch.tables import parse_path
from aichatkit.cli.client_options import add_client_options, add_param_option, announce_offline, open_client
from aichatkit.cli.error_text import in_words
from aichatkit.cli.output import print_stderr
from aichatkit.cli.parser import Parser
from aichatkit.cli.schema_option import parse_schema_option
from aichatkit.errors import ConfigurationError

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit map",
        description="Send a prompt for each row of a CSV or JSON Lines file, and add the answers as columns.",
        epilog="Ctrl-C waits for the requests in progress and writes the answers so far; a second one stops at once.",
    )
    parser.add_argument("input", help="a .csv or .jsonl file")
    parser.add_argument(
        "-t",
        "--template",
        "--prompt",
        dest="prompt",
        metavar="TEMPLATE",
        help="the prompt, such as 'Translate: {text}', where text is a column",
    )
    parser.add_argument("--out", required=True, help="a .csv or .jsonl file, replaced at the end of the run")
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="system prompt for every row")
    add_param_option(parser)
    parser.add_argument("--schema", help="answers in JSON of this shape, as with: aichatkit --schema")
    parser.add_argument("-w", "--workers", type=int, default=8, help="rows in progress at once (default 8)")
    parser.add_argument("--rate", help="limit of requests per provider, such as 60/min")
    parser.add_argument(
        "--resume", action="store_true", help="keep a journal, OUT.sqlite, and send only the rows missing from it"
    )
    parser.add_argument("--journal", metavar="FILE", help="resume with this journal instead of OUT.sqlite")
    parser.add_argument("--budget", type=float, metavar="DOLLARS", help="the most to spend, by the price table")
    return parser


def run(args: Namespace) -> int:
    """Send the prompt of every row and return the exit code."""
    out = parse_path(args.out)
    resume = args.journal or (f"{out}.sqlite" if args.resume else None)
    if _is_same_file(args.input, out):
        raise ConfigurationError(f"--out: {str(out)!r} is the input file and would be overwritten; name another file")
    options: dict[str, Any] = {"system": args.system} if args.system else {}
    if args.schema is not None:
        options["schema"] = parse_schema_option(args.schema)
    # No wait hook: the progress bar shows the waits.
    with open_client(args, hooks=None, rate=args.rate) as client:
        results = client.map(
            args.input, args.prompt, workers=args.workers, resume=resume, budget=args.budget, **options
        )
        announce_offline(args)
        results.save(out)
        failed = results.failed
    print_stderr(f"{len(results) - len(failed)} of {len(results)} rows answered, written to {out}")
    if results.stopped is not None:
        print_stderr(in_words(results.stopped))
    elif failed:
        error = failed[0].error
        assert error is not None
        print_stderr(f"the first error: {in_words(error)}")
    return 130 if results.interrupted else 1 if failed else 0


def _is_same_file(first: str, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        # One of them does not exist.
        return False
