"""`aichatkit keys`: store, list and remove keys; a key is typed or piped, never an argument, and never shown."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, Namespace

from aichatkit.cli import key_store
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.registry import registry

__all__ = ["build_parser", "run"]

_DESCRIPTION = """\
Store API keys in the system keyring (pip install 'aichatkit[keyring]') or, if there is none,
in a file that only you can read. The command line uses them if no environment variable holds a key.
"""
_EPILOG = (
    "The key is typed at a prompt or read from a pipe, because other users and the shell history can see arguments."
)


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(prog="aichatkit keys", description=_DESCRIPTION, epilog=_EPILOG)
    actions = parser.add_subparsers(dest="action", required=True, metavar="set|list|remove")
    for name, summary in (("set", "store the key of a service"), ("remove", "remove the key of a service")):
        action = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        action.add_argument("service", help="a provider's name, such as openai")
    actions.add_parser("list", help="list the stored keys and where they are", description="List the keys.")
    return parser


def run(args: Namespace) -> int:
    """Run the action and return the exit code."""
    if args.action == "list":
        return _list()
    if args.action == "remove":
        return _remove(args.service)
    return _set(args.service)


def _set(service: str) -> int:
    key_store.check_provider(service)
    key = _read_key(service).strip()
    if not key:
        print_stderr("no key was given, so nothing is stored")
        return 2
    print_stderr(f"the key of {service} is in {key_store.store(service, key)}")
    variable = key_store.variable_of(registry[service])
    if variable:
        print_stderr(f"{variable} is set as well, and counts before it")
    return 0


def _read_key(service: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        return sys.stdin.readline() if sys.stdin is not None else ""
    return getpass.getpass(f"Key of {service} (not shown): ")


def _list() -> int:
    stored = key_store.names()
    rows = dict.fromkeys(stored, "stored")
    for provider_cls in registry.importable():
        variable = key_store.variable_of(provider_cls)
        if variable:
            rows[provider_cls.name] = variable if provider_cls.name not in stored else f"{variable}, and stored"
    for name, source in sorted(rows.items()):
        write_stdout(f"{name:<16} {source}\n")
    if not rows:
        print_stderr("no key is set or stored; set one with: aichatkit keys set openai")
    return 0


def _remove(service: str) -> int:
    if key_store.remove(service):
        print_stderr(f"the key of {service} is forgotten")
        return 0
    print_stderr(f"no key of {service} is stored")
    return 1
