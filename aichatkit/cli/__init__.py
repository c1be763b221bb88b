"""The command line: arguments -> exit code.

Exit codes: 0 answered (with `map`, every row), 1 the call failed, 2 wrong usage, 130 interrupted with Ctrl-C,
143 terminated by SIGTERM, 129 by SIGHUP (the terminal was closed).
"""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from aichatkit._lazy import lazy_module
from aichatkit._version import __version__
from aichatkit.cli.commands import COMMANDS, Command, load_command
from aichatkit.cli.output import discard_stdout, print_stderr, print_warnings, replace_unencodable, write_stdout
from aichatkit.cli.signals import exit_on_signals

if TYPE_CHECKING:
    from aichatkit import errors
    from aichatkit.cli import error_text
else:
    errors = lazy_module("aichatkit.errors")
    error_text = lazy_module("aichatkit.cli.error_text")

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    replace_unencodable()
    if argv is None:
        print_warnings()
    try:
        if arguments == ["--version"]:
            write_stdout(f"aichatkit {__version__}\n")
            return 0
        command, args = _parse(arguments)
        with exit_on_signals():
            return command.run(args)
    except SystemExit:
        # argparse has already printed its help or its error.
        raise
    except KeyboardInterrupt:
        print_stderr("")
        return 130
    except BrokenPipeError:
        # The process that read our output has exited.
        discard_stdout()
        return 1
    except errors.ChatError as error:
        print_stderr(error_text.in_words(error))
        return 2 if isinstance(error, errors.ConfigurationError) else 1
    except OSError as error:
        discard_stdout()
        print_stderr(error)
        return 1


def _parse(arguments: Sequence[str]) -> tuple[Command, Namespace]:
    """Return the command and its parsed options; a first word that is not a command begins a question for `ask`."""
    for number, argument in enumerate(arguments, 1):
        # Python decodes bytes that are not valid in the locale's encoding to lone surrogates.
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise errors.ConfigurationError(
                f"argument {number} is not valid {sys.getfilesystemencoding().upper()} text: {argument[:40]!a}; "
                "convert it, or send text in another encoding through a pipe with --encoding"
            )
    for argument in takewhile("--".__ne__, arguments):
        # Before 3.13, Python takes it for an empty list.
        if re.fullmatch(r"(--\w[\w-]*=|-\w)--", argument):
            raise errors.ConfigurationError(f"{argument[:-2].rstrip('=')}: -- is not a value")
    is_command = bool(arguments) and arguments[0] in COMMANDS
    command = load_command(arguments[0] if is_command else "ask")
    return command, command.build_parser().parse_args(arguments[1:] if is_command else arguments)
