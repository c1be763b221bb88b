"""Options that every command which asks has in common -> the client it asks with."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from aichatkit.cli.output import tell
from aichatkit.client import Client
from aichatkit.keys import keys_for
from aichatkit.targets import chosen_by_environment

__all__ = ["add_client_options", "announce", "choose_model", "open_client"]


def add_client_options(parser: ArgumentParser) -> None:
    """Add the options that `open_client` reads."""
    parser.add_argument("-m", "--model", action="append", help="provider/model or provider; repeat it for fallbacks")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and for silence")
    parser.add_argument("--retry", type=int, metavar="N", help="retries after the first attempt (default 2)")


def open_client(args: Namespace) -> Client:
    """Return a client with the options given, which tells its waits on standard error."""
    return Client(
        model=choose_model(args.model),
        api_key=keys_for(args.model) or None,
        timeout=args.timeout,
        retry=args.retry,
        hooks={"wait": tell},
    )


def choose_model(given: Sequence[str] | None) -> Any:
    """Return the model or models given, None where the environment chooses, else the offline ELIZA."""
    if given:
        return given[0] if len(given) == 1 else list(given)
    return None if chosen_by_environment(keys_for(None)) else "offline"


def announce(args: Namespace) -> None:
    """Say that nobody was chosen, so that ELIZA is not taken for a service; once all options are known to be good."""
    if not args.model and not chosen_by_environment(keys_for(None)):
        tell("no key and no model is set, so this is the offline ELIZA; set a key or use -m")
