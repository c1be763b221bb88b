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
    "aliases": "manage short names of models",
    "ask": "ask one question, even if its first word is the name of a command",
    "chat": "chat interactively",
    "chats": "list, show, search, export and delete saved conversations",
    "completion": "print the completion script for a shell",
    "decide": "answer closed questions about a text, with probabilities",
    "doctor": "check whether this machine can reach the services, and why not",
    "embed": "turn texts into vectors",
    "image": "generate an image and save it",
    "jobs": "list, cancel and release the batch jobs of a journal",
    "keys": "store, list and remove API keys",
    "logs": "log calls in a SQLite file, and list, search and show them",
    "map": "send a prompt for each row of a CSV or JSON Lines file",
    "mcp": "list and call the tools of an MCP server",
    "models": "list the models of a provider or all known ones; set the default model",
    "providers": "list the providers and whether their keys are set",
    "sandbox": "run a local test server that speaks the services' protocols",
    "templates": "list and show stored templates",
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
