"""`aichatkit sandbox`: serve the protocols of the chat services locally until Ctrl-C."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from aichatkit._reasons import reason_of
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.errors import ConfigurationError
from aichatkit.params import suggestion
from aichatkit.sandbox import Sandbox, serve

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit sandbox",
        description="Serve the chat services' protocols on this machine until Ctrl-C.",
    )
    parser.add_argument("--port", type=_parse_port, default=0, help="default: a free one")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="pause between pieces of text")
    parser.add_argument("--seed", type=int, default=0, help="for other answers")
    parser.add_argument("--fault", help="a fault for every answer, such as rate-limit or cut,after=3")
    return parser


def run(args: Namespace) -> int:
    """Serve until interrupted and return the exit code."""
    try:
        serve(args.port, host=args.host, delay=args.delay, seed=args.seed, fault=args.fault, announce=_announce)
    except OSError as error:
        print_stderr(error)
        return 1
    except ValueError as error:
        problem, reason = str(error), reason_of(error)
    else:
        return 0
    name = str(args.fault).partition(",")[0]
    hint = "" if name in Sandbox.faults() else suggestion(name, Sandbox.faults())
    raise ConfigurationError(f"--fault: {problem}{hint}", reason=reason)


def _announce(url: str) -> None:
    write_stdout(f"The sandbox answers at {url} (OpenAI's protocol at {url}/v1); stop it with Ctrl-C.\n")


def _parse_port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)
