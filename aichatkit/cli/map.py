"""`aichatkit map`: file of prompts -> the same file with answer columns added."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from aichatkit.batch.tables import parse_path
from aichatkit.cli.client_options import add_client_options, announce_offline, choose_model
from aichatkit.cli.error_text import in_words
from aichatkit.cli.jobs import RUNNING
from aichatkit.cli.key_store import keys_for
from aichatkit.cli.output import print_stderr
from aichatkit.cli.parser import Parser
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit map",
        description="Ask for every row of a CSV or JSON lines file, and write it with the answers beside.",
        epilog="Ctrl-C finishes what is under way and writes what is there; a second one stops at once.",
    )
    parser.add_argument("input", help="a .csv or .jsonl file")
    parser.add_argument("-p", "--prompt", help="such as 'Translate: {text}', where text is a column")
    parser.add_argument("-o", "--out", required=True, help="a .csv or .jsonl file, replaced when all is done")
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="instructions that go before every prompt")
    parser.add_argument("-w", "--workers", type=int, default=8, help="rows under way at once (default 8)")
    parser.add_argument(
        "--resume", action="store_true", help="keep a journal, OUT.sqlite, and send only the rows missing from it"
    )
    parser.add_argument("--journal", metavar="FILE", help="resume with this journal instead of OUT.sqlite")
    parser.add_argument(
        "--batch", action="store_true", help="send batch jobs: mostly half the price, within a day; implies --resume"
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="with --batch: send, collect what is there, and exit with 75 while jobs run; the same command goes on",
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="the most tokens of an answer; --budget with --batch needs it"
    )
    parser.add_argument("--budget", type=float, metavar="DOLLARS", help="do not spend more, by the price table")
    return parser


def run(args: Namespace) -> int:
    """Send the prompt of every row and return the exit code."""
    out = parse_path(args.out)
    resume = args.journal or (f"{out}.sqlite" if args.resume or args.batch else None)
    if args.no_wait and not args.batch:
        raise ConfigurationError("--no-wait is for --batch")
    if _is_same_file(args.input, out):
        raise ConfigurationError(f"-o: {str(out)!r} is the input file and would be overwritten; name another file")
    options: dict[str, Any] = {"system": args.system} if args.system else {}
    if args.max_tokens is not None:
        options["max_tokens"] = args.max_tokens
    if args.batch:
        options.update(batch=True, wait=not args.no_wait)
    model = choose_model(args)
    # No wait hook: the progress bar shows the waits.
    with Client(model=model, api_key=keys_for(model) or None, timeout=args.timeout, retry=args.retry) as client:
        results = client.map(
            args.input, args.prompt, workers=args.workers, resume=resume, budget=args.budget, **options
        )
        announce_offline(args)
        results.save(out)
        pending, failed = results.pending, results.failed
    print_stderr(f"{len(results) - len(failed)} of {len(results)} rows answered, written to {out}")
    if results.stopped is not None:
        print_stderr(in_words(results.stopped))
    elif failed:
        error = failed[0].error
        assert error is not None
        print_stderr(f"the first error: {in_words(error)}")
    if pending:
        print_stderr(
            f"{pending} rows are in batch jobs: the same command collects them, `aichatkit jobs {resume}` shows them"
        )
    if results.interrupted:
        return 130
    return RUNNING if pending else 1 if failed else 0


def _is_same_file(first: str, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        # One of them does not exist.
        return False
