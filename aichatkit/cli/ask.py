"""`aichatkit ask`, and `aichatkit` without a command: a question in, the answer streamed to standard output."""

from __future__ import annotations

import os
import stat
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any

from aichatkit._version import __version__
from aichatkit.cli.clients import add_client_options, announce, open_client
from aichatkit.cli.commands import COMMANDS
from aichatkit.cli.output import tell, write
from aichatkit.client import Client

__all__ = ["build_parser", "run"]

_EPILOG = """\
The prompt may also come from a pipe; with both, the pipe is the document and the argument the question.
Without -m the model is AICHATKIT_MODEL, else the first service whose key is set, else the offline ELIZA.

commands ("aichatkit COMMAND --help" tells more; any other first word begins a question):
{commands}

exit codes: 0 answered, with map every row; 1 the call failed; 2 wrong usage; 130 stopped with Ctrl-C
"""


def build_parser() -> ArgumentParser:
    """Return the parser of its words."""
    commands = "\n".join(f"  {name:<11} {summary}" for name, summary in COMMANDS.items())
    parser = ArgumentParser(
        prog="aichatkit",
        description="Ask a chat service and print its answer as it comes.",
        epilog=_EPILOG.format(commands=commands),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("prompt", nargs="*", help="the question; several words need no quotes")
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="instructions that go before the question")
    parser.add_argument("--no-stream", action="store_true", help="print the answer when it is complete")
    parser.add_argument("--version", action="version", version=f"aichatkit {__version__}")
    return parser


def run(args: Namespace) -> int:
    """Ask, and return the exit code."""
    prompt = _prompt(args.prompt)
    if not prompt:
        build_parser().print_usage(sys.stderr)
        tell("nothing was asked; give a question as an argument or through a pipe")
        return 2
    with open_client(args) as client:
        options = {"system": args.system} if args.system else {}
        if args.no_stream:
            answer = client.ask(prompt, **options).text
            announce(args)
            write(answer + "\n")
        else:
            _stream(args, client, prompt, options)
    return 0


def _stream(args: Namespace, client: Client, prompt: str, options: dict[str, Any]) -> None:
    with client.stream(prompt, **options) as stream:
        announce(args)
        try:
            for chunk in stream:
                write(chunk)
        finally:
            if stream.text and not stream.text.endswith("\n"):
                write("\n")


def _prompt(words: Sequence[str]) -> str:
    question, document = " ".join(words).strip(), _piped().strip()
    return "\n\n".join(part for part in (question, document) if part)


def _piped() -> str:
    """Return what a pipe or a redirected file holds; anything else, such as a terminal, is left alone."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return ""
    return sys.stdin.read() if stat.S_ISFIFO(mode) or stat.S_ISREG(mode) else ""
