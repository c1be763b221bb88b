"""The journal of `aichatkit map`: each answer is on disk as soon as it arrives, in runs without --resume as well."""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING

from aichatkit.batch.journal import Journal
from aichatkit.cli.job_options import continues_jobs
from aichatkit.cli.output import print_stderr
from aichatkit.errors import ConfigurationError, JournalError

if TYPE_CHECKING:
    from aichatkit.batch.results import Results

__all__ = ["RunJournal"]

#: What SQLite keeps next to a file that was not closed.
_SUFFIXES = ("", "-wal", "-shm")


class RunJournal:
    """The journal of one run, which the same command continues.

    Without --resume and --journal it is temporary: `OUT.part.sqlite`, removed once every row is answered.
    `path` is None without a journal, as for standard output without --journal.
    """

    def __init__(self, args: Namespace) -> None:
        if args.resume and not args.journal and args.out == "-":
            raise ConfigurationError("--resume: with --out -, name the journal with --journal FILE")
        unfinished = f"{args.out}.part.sqlite"
        if not (args.resume or args.journal or args.out == "-"):
            args.resume = continues_jobs(f"{args.out}.sqlite")
        self.is_temporary = not (args.resume or args.journal or args.out == "-")
        self.path: str | None = args.journal or (f"{args.out}.sqlite" if args.resume else None)
        if self.is_temporary:
            self.path = unfinished
        elif self.path is not None and args.out != "-" and os.path.isfile(unfinished):
            _move(unfinished, self.path)
        self._is_new = self.path is None or not os.path.isfile(self.path)
        self._note = f"; {self.path} keeps the answers until then" if self.is_temporary else ""

    def run(self, send: Callable[[str | None], Results]) -> Results:
        """Call `send` with the path of the journal; a temporary one that cannot be created is left out, with a note."""
        if self.is_temporary and not self._is_new:
            print_stderr(f"continuing the last run: {self.path} has its answers; delete it to send every row again")
        try:
            return send(self.path)
        except JournalError as error:
            if not (self.is_temporary and self._is_new) or hasattr(error, "results"):
                raise
            print_stderr(f"{error}; without it, the answers are lost if this run is killed")
        self.path = None
        return send(None)

    def close(self, results: Results | None, *, failed: bool = False) -> None:
        """Remove a temporary journal that the same command has no use for.

        It is kept if it has answers and rows remain, or the run has `failed`; without `results`, nothing was sent.
        """
        is_kept = not self._is_new if results is None else any(results.text) and (failed or bool(results.failed))
        if self.is_temporary and not is_kept:
            for suffix in _SUFFIXES:
                with contextlib.suppress(OSError):
                    os.unlink(f"{self.path}{suffix}")
            self._note = ""

    def advice(self) -> str:
        """Return how to send the remaining rows, once the run has ended."""
        if self.path is None:
            return "with --journal FILE, the same command could continue from here"
        return f"to send the remaining rows, run the same command again{self._note}"


def _move(source: str, target: str) -> None:
    """Make the journal of an unfinished run the one that is named, unless that exists."""
    if not os.path.exists(target):
        # Opening and closing it leaves everything in a single file.
        Journal(source).close()
        os.replace(source, target)
