"""`aichatkit map`: file of prompts -> the same file with answer columns added."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aichatkit.cli.client_options import (
    add_cache_option,
    add_client_options,
    add_param_option,
    announce_offline,
    open_client,
)
from aichatkit.cli.error_text import in_words
from aichatkit.cli.job_options import add_job_options, job_options
from aichatkit.cli.jobs import RUNNING
from aichatkit.cli.map_files import open_files
from aichatkit.cli.map_journal import RunJournal
from aichatkit.cli.output import print_stderr
from aichatkit.cli.parser import Parser
from aichatkit.cli.questions import EMULATE, HELP, add_emulate_option, parse_questions_option
from aichatkit.cli.schema_option import parse_schema_option
from aichatkit.cli.tools_option import add_search_option
from aichatkit.errors import BatchPendingError, ChatError, ConfigurationError

if TYPE_CHECKING:
    from aichatkit.batch.results import Results

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit map",
        description="Send a prompt for each row of a CSV or JSON Lines file, and add the answers as columns.",
        epilog="Ctrl-C waits for the requests in progress and writes the answers so far; a second one stops at once. "
        "A run that was stopped or killed is continued by the same command.",
    )
    parser.add_argument("input", help="a .csv, .tsv or .jsonl file, or - for standard input")
    parser.add_argument(
        "-t",
        "--template",
        "--prompt",
        dest="prompt",
        metavar="TEMPLATE",
        help="the prompt, such as 'Translate: {text}', where text is a column",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="a .csv, .tsv or .jsonl file, replaced at the end of the run, or - for standard output",
    )
    parser.add_argument(
        "--format",
        choices=("csv", "tsv", "jsonl"),
        help="format of - (default: input as detected, output as the input)",
    )
    parser.add_argument("--encoding", metavar="NAME", help="encoding of the input (default: UTF-8)")
    parser.add_argument("--delimiter", metavar="CHAR", help="delimiter of CSV input (default: as detected)")
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="system prompt for every row")
    add_param_option(parser)
    add_cache_option(parser)
    parser.add_argument("--schema", help="answers in JSON of this shape, as with: aichatkit --schema")
    add_search_option(parser)
    parser.add_argument("--decide", action="append", default=[], metavar="QUESTION", help=HELP)
    add_emulate_option(parser)
    parser.add_argument("-w", "--workers", type=int, default=8, help="rows in progress at once (default 8)")
    parser.add_argument("--rate", help="limit of requests per provider, such as 60/min")
    parser.add_argument(
        "--resume", action="store_true", help="keep the journal, OUT.sqlite, and send only the rows missing from it"
    )
    parser.add_argument("--journal", metavar="FILE", help="resume with this journal instead of OUT.sqlite")
    parser.add_argument(
        "--batch", action="store_true", help="send batch jobs: mostly half the price, within a day; implies --resume"
    )
    add_job_options(parser)
    parser.add_argument("--budget", type=float, metavar="DOLLARS", help="the most to spend, by the price table")
    return parser


def run(args: Namespace) -> int:
    """Send the prompt of every row and return the exit code."""
    in_jobs = job_options(args)
    args.resume = args.resume or args.batch
    journal = RunJournal(args)
    options: dict[str, Any] = {"system": args.system} if args.system else {}
    if args.schema is not None:
        options["schema"] = parse_schema_option(args.schema)
    if args.search:
        options["search"] = True
    if args.decide:
        options["decide"] = parse_questions_option(args.decide, "--decide")
    if args.emulate != "auto":
        options["emulate"] = EMULATE[args.emulate]
    options.update(encoding=args.encoding, delimiter={"tab": "\t", "\\t": "\t"}.get(args.delimiter, args.delimiter))
    options.update(in_jobs)
    # No wait hook: the progress bar shows the waits.
    with open_files(args) as (source, out), open_client(args, hooks=None, rate=args.rate) as client:

        def send(resume: str | None) -> Results:
            return client.map(source, args.prompt, workers=args.workers, resume=resume, budget=args.budget, **options)

        results: Results | None = None
        try:
            results = journal.run(send)
            announce_offline(args)
            results.save(out)
        except KeyboardInterrupt:
            print_stderr(journal.advice())
            raise
        except ChatError as error:
            partial = getattr(error, "results", None)
            if partial is not None:
                _save_partial(partial, args, out)
            journal.close(results or partial, failed=True)
            if results is not None or partial is not None:
                print_stderr(journal.advice())
            raise
    journal.close(results)
    return _report(results, args, journal)


def _save_partial(results: Results, args: Namespace, out: Path) -> None:
    """Write the answers of a run that an error has ended."""
    try:
        results.save(out)
    except ConfigurationError as error:
        print_stderr(error)
    else:
        _report_rows(results, args)


def _report_rows(results: Results, args: Namespace) -> None:
    place = "standard output" if args.out == "-" else args.out
    print_stderr(f"{len(results) - len(results.failed)} of {len(results)} rows answered, written to {place}")


def _report(results: Results, args: Namespace, journal: RunJournal) -> int:
    """Print a summary and return the exit code."""
    failed, pending = results.failed, results.pending
    error = next((each.error for each in failed if not isinstance(each.error, BatchPendingError)), None)
    _report_rows(results, args)
    if results.stopped is not None:
        print_stderr(in_words(results.stopped))
    elif error is not None:
        print_stderr(f"the first error: {in_words(error)}")
    if error is not None or (results.stopped is not None and not pending):
        print_stderr(journal.advice())
    if pending:
        rows = "1 row is" if pending == 1 else f"{pending} rows are"
        print_stderr(
            f"{rows} in batch jobs: the same command collects them, `aichatkit jobs {journal.path}` shows them"
        )
    return 130 if results.interrupted else RUNNING if pending else 1 if failed else 0
