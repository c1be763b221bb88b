"""Options shared by the commands that call a service -> their client."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from aichatkit.call.targets import model_from_environment
from aichatkit.cli.catalog_file import catalog_option
from aichatkit.cli.key_store import keys_for
from aichatkit.cli.key_values import parse_param_options
from aichatkit.cli.output import print_stderr
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError

__all__ = ["add_client_options", "add_param_option", "announce_offline", "choose_model", "model_option", "open_client"]


def add_client_options(parser: ArgumentParser) -> None:
    """Add the options that `open_client` reads."""
    parser.add_argument("-m", "--model", action="append", help="provider/model or provider; repeat it for fallbacks")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and for silence")
    parser.add_argument("--retry", type=int, metavar="N", help="retries after the first attempt (default 2)")


def add_param_option(parser: ArgumentParser) -> None:
    """Add -o for sampling parameters, in commands that do not use -o for their output."""
    parser.add_argument(
        "-o", "--option", action="append", default=[], metavar="NAME=VALUE", help="such as temperature=0.2"
    )


def open_client(args: Namespace, *, model: Any = None) -> Client:
    """Return a client for the model given with -m, else for `model`, else for the model of the environment.

    Keys come from the environment, else from the key store. Waits are reported on standard error.
    """
    model = choose_model(args, model)
    return Client(
        model=model,
        api_key=keys_for(model) or None,
        timeout=args.timeout,
        retry=args.retry,
        catalog=catalog_option(),
        hooks={"wait": print_stderr},
        **parse_param_options(getattr(args, "option", ())),
    )


def model_option(args: Namespace) -> Any:
    """Return the value of -m: a model, a list of models if the option is repeated, None without it."""
    for name in args.model or ():
        if "," in name:
            raise ConfigurationError(f"-m: takes the name of one model, not {name!r}; for fallbacks repeat -m")
    return args.model[0] if args.model and len(args.model) == 1 else args.model


def choose_model(args: Namespace, model: Any = None) -> Any:
    """Return -m, else `model`, else None to let the environment and stored keys decide, else "offline" (ELIZA)."""
    if args.model is not None or model is not None:
        return model if args.model is None else model_option(args)
    return None if model_from_environment(keys_for(None)) else "offline"


def announce_offline(args: Namespace, *, model: Any = None) -> None:
    """Print a notice if ELIZA will answer, so that it is not mistaken for a model; call once options are validated."""
    if args.model is None and model is None and choose_model(args) == "offline":
        print_stderr("no key and no model is set, so this is the offline ELIZA; set a key or use -m")
