"""`aichatkit models`: list model names for -m."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.cli.client_options import open_client
from aichatkit.cli.output import write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.display.plain import strip_control_characters
from aichatkit.registry import GROUPS

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit models",
        description="List models as -m takes them: those a service tells for your key, or all that are known here.",
    )
    parser.add_argument("provider", nargs="?", help="the service to ask; without it nothing is sent")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and for silence")
    parser.add_argument("--retry", type=int, metavar="N", help="retries after the first attempt (default 2)")
    return parser


def run(args: Namespace) -> int:
    """List the models and return the exit code."""
    args.model = None if args.provider is None else [args.provider]
    with open_client(args) as client:
        for name in client.models(args.provider):
            is_qualified = args.provider in (None, *GROUPS)
            write_stdout(f"{name}\n" if is_qualified else f"{args.provider}/{strip_control_characters(name)}\n")
    return 0
