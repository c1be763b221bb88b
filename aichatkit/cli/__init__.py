"""The command line: words in, an exit code out.

Exit codes: 0 answered, with `map` every row, 1 an error of the call, 2 wrong usage, 130 stopped with Ctrl-C, 143 ended
by SIGTERM, 129 by a terminal that was closed.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aichatkit._lazy import lazy_module
from aichatkit._version import __version__
from aichatkit.cli.commands import COMMANDS, Command, load_command
from aichatkit.cli.output import discard_stdout, print_stderr, replace_unencodable, write_stdout
from aichatkit.cli.signals import exit_on_signals

if TYPE_CHECKING:
    from aichatkit import errors
else:
    errors = lazy_module("aichatkit.errors")

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    replace_unencodable()
    try:
        if words == ["--version"]:
            write_stdout(f"aichatkit {__version__}\n")
            return 0
        command, args = _parsed(words)
        with exit_on_signals():
            return command.run(args)
    except SystemExit:
        # The parser has told its help, or what it could not read.
        raise
    except KeyboardInterrupt:
        print_stderr("")
        return 130
    except BrokenPipeError:
        # Whoever read our output has left.
        discard_stdout()
        return 1
    except errors.ConfigurationError as error:
        print_stderr(error)
        return 2
    except errors.ChatError as error:
        print_stderr(error)
        return 1
    except OSError as error:
        discard_stdout()
        print_stderr(error)
        return 1


def _parsed(words: Sequence[str]) -> tuple[Command, Namespace]:
    """Return the command that the first word names, and its options; any other word begins a question."""
    named = bool(words) and words[0] in COMMANDS
    command = load_command(words[0] if named else "ask")
    return command, command.build_parser().parse_args(words[1:] if named else words)
