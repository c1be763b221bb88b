"""`aichatkit doctor`: look for what stands between this machine and the services, and say what to do."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.cli.diagnostics import diagnose
from aichatkit.cli.output import print_stderr, write_stdout

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Return the parser of its words."""
    parser = ArgumentParser(
        prog="aichatkit doctor",
        description="Look at versions, proxies, certificates, keys, names and the clock, and whether services can be "
        "reached. No prompt is sent, and no key and no password is shown.",
        epilog="exit codes: 0 nothing is wrong; 1 something is",
        allow_abbrev=False,
    )
    parser.add_argument(
        "service", nargs="*", help="providers or groups, such as openai or free; without it all that a key is known for"
    )
    return parser


def run(args: Namespace) -> int:
    """Look, and return the exit code."""
    bad = 0
    for finding in diagnose(args.service):
        write_stdout(f"{finding}\n")
        bad += finding.verdict == "bad"
    if bad:
        print_stderr(f"{bad} {'thing is' if bad == 1 else 'things are'} wrong")
    return 1 if bad else 0
