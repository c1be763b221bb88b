"""`aichatkit providers`: list providers and whether a key is set (never the key); --check sends each a prompt."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.checks import DEFAULT_TIMEOUT
from aichatkit.cli import key_store
from aichatkit.cli.output import write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Provider
from aichatkit.registry import GROUPS, registry
from aichatkit.transport.timeouts import Timeout

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit providers",
        description="List the providers, whether their keys are set, and their default models. No key is shown.",
        epilog="A check costs what a short answer costs. exit codes with --check: 0 all answered; 1 one did not",
    )
    parser.add_argument(
        "name", nargs="*", help="with --check: providers, models or groups; default: all that have a key"
    )
    parser.add_argument("--check", action="store_true", help="send each of them a short question, in parallel")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="limit for each check (default 30)")
    return parser


def run(args: Namespace) -> int:
    """List or check the providers and return the exit code."""
    stored = key_store.names()
    if args.check:
        return _check(args.name or _checkable_names(), args.timeout)
    if args.name or args.timeout is not None:
        raise ConfigurationError("providers: names and --timeout need --check")
    for provider_cls in registry.importable():
        note = "" if provider_cls.working else "  (known to be down)"
        status = _key_status(provider_cls, stored)
        write_stdout(f"{provider_cls.name:<22}{status:<36}{provider_cls.default_model}{note}".rstrip() + "\n")
    for name, members in GROUPS.items():
        write_stdout(f"{name:<22}{', '.join(members)}\n")
    return 0


def _checkable_names() -> list[str]:
    # Without a default model, there is nothing to send the prompt to.
    return [name for name in key_store.names_with_keys() if registry[name].default_model]


def _check(names: list[str], seconds: float | None) -> int:
    if not names:
        raise ConfigurationError("providers: no key is set or stored; name a provider to check, such as ollama or free")
    timeout = DEFAULT_TIMEOUT if seconds is None else Timeout(total=seconds)
    with Client(model=names, api_key=key_store.keys_for(names) or None) as client:
        checks = client.check(timeout=timeout)
    for check in checks:
        write_stdout(f"{'ok' if check.ok else 'bad':<5} {check}\n")
    return 0 if all(check.ok for check in checks) else 1


def _key_status(provider_cls: type[Provider], stored: list[str]) -> str:
    if provider_cls.find_key():
        return "key set"
    if provider_cls.name in stored:
        return "key stored"
    variables = provider_cls.key_variables()
    if not variables:
        return "no key needed"
    return f"set {variables[0]}" if provider_cls.needs_key else f"{variables[0]} if it needs one"
