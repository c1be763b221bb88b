"""`aichatkit chats`: list, show, search, export and delete the saved conversations of the command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from aichatkit.chats.chat import Chat
from aichatkit.cli.conversations import chats_folder, find_chat_path, latest_chat_path
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.cli.writers import add_writer_options, open_writer
from aichatkit.client import Client
from aichatkit.display.plain import strip_control_characters
from aichatkit.errors import ConfigurationError
from aichatkit.storage.archive import Saved, search_saved

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit chats",
        description="Manage saved conversations; continue one with: aichatkit --chat NAME.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|search|export|delete")
    actions.add_parser("list", help="list them, newest first", description="List conversations, newest first.")
    search = actions.add_parser(
        "search", help="find those that contain all the words", description="Find conversations."
    )
    search.add_argument("words", nargs="+", help="words to look for; case is ignored")
    show = actions.add_parser("show", help="show one", description="Show a conversation.")
    show.add_argument("name", nargs="?", help="default: the last one")
    add_writer_options(show)
    export = actions.add_parser(
        "export", help="write one to a file", description="Write a conversation to a file, replacing it."
    )
    export.add_argument("name", help="a name from the list")
    export.add_argument("path", type=Path, help="a .md file for Markdown, or a .json file for Chat.load")
    delete = actions.add_parser("delete", help="delete some", description="Delete conversations.")
    delete.add_argument("name", nargs="+", help="names from the list")
    return parser


def run(args: Namespace) -> int:
    """Run the action and return the exit code: 1 if a search finds nothing, as with grep."""
    if args.action == "show":
        return _show(args)
    if args.action == "export":
        return _export(args.name, args.path)
    if args.action == "delete":
        return _delete(args.name)
    words = args.words if args.action == "search" else []
    matches = search_saved(chats_folder(), words) if chats_folder().is_dir() else []
    for saved in matches:
        write_stdout(_format_line(saved))
    if not matches:
        print_stderr("nothing was found" if words else f"there is no saved conversation in {chats_folder()}")
    return 0 if matches or not words else 1


def _format_line(saved: Saved) -> str:
    text = strip_control_characters(saved.snippet or saved.title)
    return f"{saved.saved:%Y-%m-%d %H:%M}  {saved.path.stem:<20}  {saved.messages:>3}  {text}\n"


def _show(args: Namespace) -> int:
    path = latest_chat_path() if args.name is None else find_chat_path(args.name)
    if path is None:
        raise ConfigurationError(f"there is no saved conversation in {chats_folder()}")
    with open_writer(args) as writer:
        writer.add(_load(path).to_markdown())
    return 0


def _export(name: str, path: Path) -> int:
    _load(find_chat_path(name)).export(path)
    print_stderr(f"written to {path}")
    return 0


def _delete(names: Sequence[str]) -> int:
    # A wrong name is reported before anything is deleted.
    for path in [find_chat_path(name) for name in dict.fromkeys(names)]:
        path.unlink()
        print_stderr(f"deleted {path.stem}")
    return 0


def _load(path: Path) -> Chat:
    # Nothing is sent, so any client will do.
    return Chat.load(path, client=Client())
