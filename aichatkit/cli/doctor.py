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
        description="Check versions, proxies, certificates, keys, host names and the clock, and whether services can "
        "be reached. No prompt is sent, and no key and no password is shown.",
        epilog="exit codes: 0 no problems; 1 problems found; 2 unknown provider",
    )
    parser.add_argument(
        "service", nargs="*", help="providers or groups, such as openai or free; default: all that have a key"
    )
    return parser


def run(args: Namespace) -> int:
    """Run the checks and return the exit code."""
    failures = 0
    for finding in diagnose(args.service):
        write_stdout(f"{finding}\n")
        failures += finding.verdict == "bad"
    if failures:
        print_stderr(f"{failures} {'problem' if failures == 1 else 'problems'} found")
    return 1 if failures else 0
