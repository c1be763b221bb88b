"""`aichatkit aliases`: short names of models for -m."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.cli import settings
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(prog="aichatkit aliases", description="Manage short names of models, to be used with -m.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|set|remove")
    actions.add_parser("list", help="list the aliases and their models", description="List the aliases.")
    add = actions.add_parser("set", help="add or replace an alias", description="Add or replace an alias.")
    add.add_argument("name", help="such as fast")
    add.add_argument("model", help="such as openai/gpt-6-luna")
    remove = actions.add_parser("remove", help="remove an alias", description="Remove an alias.")
    remove.add_argument("name")
    return parser


def run(args: Namespace) -> int:
    """Run the action and return the exit code."""
    if args.action == "set":
        settings.set_alias(args.name, args.model)
        print_stderr(f"{args.name} is now an alias of {args.model}")
    elif args.action == "remove":
        settings.remove_alias(args.name)
        print_stderr(f"removed the alias {args.name}")
    else:
        for name, model in settings.aliases().items():
            write_stdout(f"{name:<20} {model}\n")
    return 0
