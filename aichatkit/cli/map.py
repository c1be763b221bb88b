"""`aichatkit map`: file of prompts -> the same file with answer columns added."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.batch.tables import parse_path
from aichatkit.cli.client_options import add_client_options, announce_offline, choose_model
from aichatkit.cli.key_store import keys_for
from aichatkit.cli.output import print_stderr
from aichatkit.client import Client

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = ArgumentParser(
        prog="aichatkit map",
        description="Ask for every row of a CSV or JSON lines file, and write it with the answers beside.",
        epilog="Ctrl-C finishes what is under way and writes what is there; a second one stops at once.",
        allow_abbrev=False,
    )
    parser.add_argument("input", help="a .csv or .jsonl file")
    parser.add_argument("-p", "--prompt", help="such as 'Translate: {text}', where text is a column")
    parser.add_argument("-o", "--out", required=True, help="a .csv or .jsonl file, replaced when all is done")
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="instructions that go before every prompt")
    parser.add_argument("-w", "--workers", type=int, default=8, help="rows under way at once (default 8)")
    parser.add_argument(
        "--resume", nargs="?", const="", metavar="JOURNAL", help="ask only what is missing (default: OUT.sqlite)"
    )
    parser.add_argument("--budget", type=float, metavar="DOLLARS", help="do not spend more, by the price table")
    return parser


def run(args: Namespace) -> int:
    """Send the prompt of every row and return the exit code."""
    out = parse_path(args.out)
    resume = None if args.resume is None else args.resume or f"{out}.sqlite"
    options = {"system": args.system} if args.system else {}
    model = choose_model(args)
    # No wait hook: the progress bar shows the waits.
    with Client(model=model, api_key=keys_for(model) or None, timeout=args.timeout, retry=args.retry) as client:
        results = client.map(
            args.input, args.prompt, workers=args.workers, resume=resume, budget=args.budget, **options
        )
        announce_offline(args)
        results.save(out)
        failed = results.failed
    print_stderr(f"{len(results) - len(failed)} of {len(results)} rows answered, written to {out}")
    if results.stopped is not None:
        print_stderr(results.stopped)
    elif failed:
        print_stderr(f"the first that failed: {failed[0].error}")
    return 130 if results.interrupted else 1 if failed else 0
