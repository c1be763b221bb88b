"""`aichatkit providers`: who can be asked, and whether a key is set; never the key."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit import keys
from aichatkit.cli.output import write
from aichatkit.providers.base import Provider
from aichatkit.registry import GROUPS, registry

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Return the parser of its words."""
    return ArgumentParser(
        prog="aichatkit providers",
        description="List the providers with their keys, which are not shown, and the models they take by default.",
        allow_abbrev=False,
    )


def run(args: Namespace) -> int:
    """List them, and return the exit code."""
    stored = keys.names()
    for provider in registry.importable():
        note = "" if provider.working else "  (known not to answer today)"
        write(f"{provider.name:<22}{_key(provider, stored):<36}{provider.default_model}{note}".rstrip() + "\n")
    for name, members in GROUPS.items():
        write(f"{name:<22}{', '.join(members)}\n")
    return 0


def _key(provider: type[Provider], stored: list[str]) -> str:
    if provider.find_key():
        return "key set"
    if provider.name in stored:
        return "key stored"
    variables = provider.key_variables()
    if not variables:
        return "no key needed"
    return f"set {variables[0]}" if provider.needs_key else f"{variables[0]} if it wants one"
