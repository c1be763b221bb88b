"""`aichatkit jobs`: the batch jobs of a journal, listed, looked up, cancelled and released."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from aichatkit.batch_jobs.job import Job, list_jobs
from aichatkit.batch_jobs.records import CANCELLED
from aichatkit.cli.client_options import add_service_options, service_options
from aichatkit.cli.error_text import in_words
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.client import Client
from aichatkit.errors import ChatError, ConfigurationError

__all__ = ["RUNNING", "build_parser", "run"]

#: The exit code while jobs are running: try again later (EX_TEMPFAIL of sysexits.h).
RUNNING = 75


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit jobs",
        description="List the batch jobs of a journal of `aichatkit map --batch` or `map(batch=True)`.",
        epilog="The exit code is 75 while a job is running, 1 or 2 after an error, else 0. The call that sent jobs "
        "collects their answers.",
    )
    parser.add_argument("journal", help="the journal, such as out.csv.sqlite")
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these jobs; all of them by default")
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--refresh", action="store_true", help="look the jobs up at their services first")
    actions.add_argument("--cancel", action="store_true", help="cancel the jobs that are running")
    actions.add_argument(
        "--release",
        action="store_true",
        help="give up jobs that the service no longer has, or cancelled ones by their IDs, so that their rows are sent "
        "again",
    )
    add_service_options(parser)
    return parser


def run(args: Namespace) -> int:
    """List the jobs, after what is to be done with them, and return the exit code."""
    if not Path(args.journal).is_file():
        raise ConfigurationError(
            f"cannot find the journal {args.journal!r}; "
            "pass the file of --journal, or that of --out with .sqlite after it"
        )
    jobs = _select(list_jobs(args.journal), args.ids, args.journal)
    failures: list[ChatError] = []
    if args.refresh or args.cancel or args.release:
        providers = list(dict.fromkeys(job.provider for job in jobs if args.release or not job.is_final))
        options = service_options(args, providers, hint="name the jobs of one by their IDs") if providers else {}
        with Client(**options) as client:
            selected = _select(list_jobs(args.journal, client), args.ids, args.journal)
            jobs, failures = _change_all(selected, args)
    for line in _table(jobs):
        write_stdout(f"{line}\n")
    if not jobs:
        print_stderr(f"{args.journal}: no batch jobs")
    if failures:
        return 2 if all(isinstance(error, ConfigurationError) for error in failures) else 1
    return 0 if all(job.is_final for job in jobs) else RUNNING


def _change_all(jobs: Iterable[Job], args: Namespace) -> tuple[list[Job], list[ChatError]]:
    """Change one job after the other, report each that cannot be changed, and return all as they are now."""
    changed, failures = [], []
    for job in jobs:
        try:
            changed.append(_change(job, args))
        except ChatError as error:
            print_stderr(f"{job.id}: {in_words(error)}")
            changed.append(job)
            failures.append(error)
    return changed, failures


def _change(job: Job, args: Namespace) -> Job:
    if args.release:
        # Without IDs, those that the service no longer has.
        return job.release() if job.state == "gone" or args.ids else job
    if job.is_final:
        return job
    return job.cancel() if args.cancel else job.refresh()


def _select(jobs: list[Job], ids: Iterable[str], path: str) -> list[Job]:
    unknown = [id for id in ids if id not in {job.id for job in jobs}]
    if unknown:
        raise ConfigurationError(
            f"{path}: there is no job {unknown[0]!r}; list all with: aichatkit jobs {shlex.quote(path)}"
        )
    return [job for job in jobs if not ids or job.id in ids]


def _table(jobs: list[Job]) -> Iterable[str]:
    for job in jobs:
        cost = "-" if job.cost is None else f"${job.cost:.4f}"
        deadline = "" if job.deadline is None or job.is_final else f", ends by {job.deadline:%Y-%m-%d %H:%M} UTC"
        counts = f"{job.answered:,} of {job.rows:,} rows answered, {job.failed:,} failed"
        note = f" ({job.note})" if job.note and (job.state != "running" or job.note == CANCELLED) else ""
        yield f"{job.id}  {job.provider}/{job.model}  {job.state}{note}: {counts}, {cost}{deadline}"
