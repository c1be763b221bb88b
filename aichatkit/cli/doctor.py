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
    parser.add_argument("--verify", metavar="FILE", help="CA bundle to trust, or 'system' for the operating system's")
    parser.add_argument("--cert", metavar="FILE", help="client certificate for mutual TLS, and its key")
    parser.add_argument("--cert-key", metavar="FILE", help="key of the client certificate, if it is in another file")
    return parser


def run(args: Namespace) -> int:
    """Run the checks and return the exit code."""
    failures = 0
    cert = (args.cert, args.cert_key) if args.cert and args.cert_key else args.cert
    for finding in diagnose(args.service, verify=args.verify, cert=cert):
        write_stdout(f"{finding}\n")
        failures += finding.verdict == "bad"
    if failures:
        print_stderr(f"{failures} {'problem' if failures == 1 else 'problems'} found")
    return 1 if failures else 0
