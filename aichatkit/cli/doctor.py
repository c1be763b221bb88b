"""`aichatkit doctor`: find what keeps this machine from reaching the services, and say how to fix it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.cli.diagnostics import diagnose
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit doctor",
        description="Look at versions, proxies, certificates, keys, names and the clock, and whether services can be "
        "reached. No prompt is sent, and no key and no password is shown.",
        epilog="exit codes: 0 nothing is wrong; 1 something is",
    )
    parser.add_argument(
        "service", nargs="*", help="providers or groups, such as openai or free; without it all that a key is known for"
    )
    return parser


def run(args: Namespace) -> int:
    """Run the checks and return the exit code."""
    failures = 0
    for finding in diagnose(args.service):
        write_stdout(f"{finding}\n")
        failures += finding.verdict == "bad"
    if failures:
        print_stderr(f"{failures} {'thing is' if failures == 1 else 'things are'} wrong")
    return 1 if failures else 0
