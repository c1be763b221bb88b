"""The table of commands; a command's module is imported only when it runs, so that the others cost nothing.

A command NAME is a line in the table below and a module `cli/NAME.py` with two functions: `build_parser()` returns its
`ArgumentParser`, and `run(args)` does the work and returns the exit code.
Commands let the package's errors propagate: `main` prints each as one line and chooses the exit code.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

__all__ = ["COMMANDS", "Command", "load_command"]

#: Name -> summary, as shown in the help.
COMMANDS: Mapping[str, str] = {
    "ask": "ask one question, also where its first word is the name of a command",
    "chat": "talk in turns",
    "chats": "list, show, search and export the conversations so far",
    "completion": "print what completes these commands in a shell",
    "doctor": "look for what stands between this machine and the services",
    "embed": "turn texts into vectors",
    "image": "have a picture made and save it",
    "jobs": "list, cancel and release the batch jobs of a journal",
    "keys": "store, list and remove keys of services",
    "map": "ask for every row of a CSV or JSON lines file",
    "models": "list the models of a provider, or all that are known here",
    "providers": "list the providers, and whether a key is set for them",
    "sandbox": "serve the chat services' protocols on this machine, for tests",
}


class Command(Protocol):
    """The interface of a command module."""

    def build_parser(self) -> ArgumentParser:
        """Build the argument parser."""

    def run(self, args: Namespace) -> int:
        """Run the command and return the exit code."""


def load_command(name: str) -> Command:
    """Import and return the module of a command."""
    return cast(Command, import_module(f"aichatkit.cli.{name}"))
