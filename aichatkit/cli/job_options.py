"""Options of the commands that send batch jobs, and the journals in which earlier ones left jobs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from aichatkit.batch_jobs.journal import has_jobs
from aichatkit.cli.output import print_stderr
from aichatkit.errors import ConfigurationError

__all__ = ["add_job_options", "continues_jobs", "job_options"]


def add_job_options(parser: ArgumentParser) -> None:
    """Add the options that go with --batch."""
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="with --batch: send, collect what is there, and exit with 75 while jobs run; the same command goes on",
    )
    parser.add_argument(
        "--late",
        choices=("batch", "live", "fail"),
        help="with --batch: rows that a job did not run go into the next job (default), are sent live, or fail",
    )


def job_options(args: Namespace) -> dict[str, Any]:
    """Return the options of `Client.map` and `Client.embed` for batch jobs; none without --batch."""
    if args.batch:
        return {"batch": True, "wait": not args.no_wait, "late": args.late or "batch"}
    for flag, value in (("--no-wait", args.no_wait), ("--late", args.late)):
        if value:
            raise ConfigurationError(f"{flag} is for --batch")
    return {}


def continues_jobs(journal: str) -> bool:
    """Return whether a journal has batch jobs, with a notice: without --batch, it is used as well.

    What its jobs have answered is paid for, and what they have not must not be sent twice.
    """
    if not has_jobs(journal):
        return False
    print_stderr(f"continuing the last run: {journal} has batch jobs; delete it to send every row again")
    return True
