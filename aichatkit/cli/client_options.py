"""Options shared by the commands that call a service -> their client."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from aichatkit.call.targets import model_from_environment, named_providers
from aichatkit.cli import settings
from aichatkit.cli.catalog_file import catalog_option
from aichatkit.cli.key_store import keys_for
from aichatkit.cli.key_values import parse_param_options
from aichatkit.cli.output import print_stderr
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError

__all__ = [
    "add_cache_option",
    "add_client_options",
    "add_param_option",
    "add_service_options",
    "announce_offline",
    "choose_model",
    "model_option",
    "open_client",
    "service_options",
]

#: The words of --prompt-cache, and the values of `prompt_cache` they stand for.
_CACHE_MODES: Mapping[str, Any] = {"auto": "auto", "safe": "safe", "on": True, "1h": "1h", "off": False}


def add_client_options(parser: ArgumentParser) -> None:
    """Add the options that `open_client` reads."""
    parser.add_argument("-m", "--model", action="append", help="provider/model or provider; repeat for fallbacks")
    add_service_options(parser)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and between chunks")
    parser.add_argument("--retry", type=int, metavar="N", help="retries after the first attempt (default 2)")


def add_service_options(parser: ArgumentParser) -> None:
    """Add the options that `service_options` reads."""
    parser.add_argument("--base-url", metavar="URL", help="address of the provider's API, if it is not the usual one")
    parser.add_argument("--api-key-env", metavar="VARIABLE", help="environment variable that holds the API key")


def add_param_option(parser: ArgumentParser) -> None:
    """Add -o for sampling parameters."""
    parser.add_argument(
        "-o", "--option", action="append", default=[], metavar="NAME=VALUE", help="such as temperature=0.2"
    )


def add_cache_option(parser: ArgumentParser) -> None:
    """Add the option for the prompt cache of the service."""
    parser.add_argument(
        "--prompt-cache",
        choices=tuple(_CACHE_MODES),
        help="which prompts are marked for the service's cache (default: those where that is likely to pay)",
    )


def open_client(args: Namespace, *, model: Any = None, **options: Any) -> Client:
    """Return a client for the model given with -m, else for `model`, else for the model of the environment.

    Keys come from --api-key-env, the environment, or the key store. Waits are reported on standard error. `options` are
    passed to `Client`.
    """
    model = choose_model(args, model)
    given: dict[str, Any] = {"hooks": {"wait": print_stderr}, **service_options(args, model), **options}
    if getattr(args, "prompt_cache", None) is not None:
        given["prompt_cache"] = _CACHE_MODES[args.prompt_cache]
    return Client(
        model=model,
        timeout=args.timeout,
        retry=args.retry,
        catalog=catalog_option(),
        log=settings.active_log(),
        **given,
        **parse_param_options(getattr(args, "option", ())),
    )


def service_options(
    args: Namespace, model: Any, *, hint: str = "name it with -m, such as -m openai/MODEL"
) -> dict[str, Any]:
    """Return the API keys and the base URL: those of the flags go to one provider only, and `hint` says which."""
    variable, base_url = getattr(args, "api_key_env", None), getattr(args, "base_url", None)
    keys = keys_for(model)
    if variable is None and base_url is None:
        return {"api_key": keys or None}
    flag = "--base-url" if variable is None else "--api-key-env"
    name = model or model_from_environment(keys)
    providers = named_providers(name) if name != "offline" else []
    if len(providers) != 1:
        raise ConfigurationError(f"{flag}: applies to one provider; {hint}")
    # Set by the first call, before a chat switches models.
    args.flag_provider = getattr(args, "flag_provider", providers[0])
    if args.flag_provider != providers[0]:
        raise ConfigurationError(
            f"{flag}: was given for {args.flag_provider} and is not used for {providers[0]}; start another chat for it"
        )
    if variable is not None:
        key = os.environ.get(variable)
        if not key:
            raise ConfigurationError(f"--api-key-env: the environment variable {variable!r} is not set")
        keys = {providers[0]: key}
    return {"api_key": keys or None, "base_url": {providers[0]: base_url} if base_url else None}


def model_option(args: Namespace) -> Any:
    """Return the value of -m: a model, a list of models if the option is repeated, None without it."""
    for name in args.model or ():
        if "," in name:
            raise ConfigurationError(f"-m: takes the name of one model, not {name!r}; for fallbacks repeat -m")
    names = [settings.resolve(name) for name in args.model or ()]
    return names[0] if len(names) == 1 else names or None


def choose_model(args: Namespace, model: Any = None) -> Any:
    """Return -m, else `model`, else the default model, else "offline" (ELIZA).

    The default is None if the environment names the model, then the stored one, then None to let the keys decide.
    """
    if args.model is not None or model is not None:
        return model if args.model is None else model_option(args)
    default = None if os.environ.get("AICHATKIT_MODEL") else settings.default_model()
    if default is not None:
        return default
    return None if model_from_environment(keys_for(None)) else "offline"


def announce_offline(args: Namespace, *, model: Any = None) -> None:
    """Print a notice if ELIZA will answer, so that it is not mistaken for a model; call once options are validated."""
    if args.model is None and model is None and not settings.default_model() and choose_model(args) == "offline":
        print_stderr("no key and no model is set, so the offline ELIZA answers; set a key or use -m")
