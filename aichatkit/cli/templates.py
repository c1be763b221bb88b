"""`aichatkit templates`: the stored templates for -t."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.cli.stored_templates import load_template, read_template, stored_templates, templates_folder
from aichatkit.errors import ConfigurationError
from aichatkit.params import suggestion

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit templates",
        description="List and show stored templates: .txt and .md files in one folder, to be used with -t NAME.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|path")
    actions.add_parser("list", help="list the templates", description="List the stored templates.")
    show = actions.add_parser("show", help="print a template", description="Print a stored template.")
    show.add_argument("name")
    actions.add_parser("path", help="print the folder", description="Print the folder of the templates.")
    return parser


def run(args: Namespace) -> int:
    """Run the action and return the exit code."""
    stored = stored_templates()
    if args.action == "path":
        write_stdout(f"{templates_folder()}\n")
    elif args.action == "show":
        if args.name not in stored:
            raise ConfigurationError(f"templates: there is no template {args.name!r}{suggestion(args.name, stored)}")
        write_stdout(read_template(args.name))
    else:
        for name in stored:
            try:
                write_stdout(_format_line(name))
            except ConfigurationError as error:
                # The others are listed all the same.
                print_stderr(error)
        if not stored:
            print_stderr(f"there are no templates in {templates_folder()}")
    return 0


def _format_line(name: str) -> str:
    template = load_template(name)
    settings = ", ".join(f"{key}: {value}" for key, value in template.settings.items())
    first = next(filter(None, map(str.strip, template.text.splitlines())), "")
    return f"{name:<20} {first[:60]}{f'  ({settings[:60]})' if settings else ''}\n"
