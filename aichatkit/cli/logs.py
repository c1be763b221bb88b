"""`aichatkit logs`: switch the log of calls on and off, and list, search and show what it contains."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.cli import settings
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.display.plain import strip_control_characters
from aichatkit.errors import ConfigurationError
from aichatkit.storage.sqlite import Database

__all__ = ["build_parser", "run"]

_COLUMNS = ("id", "time", "status", "provider", "model", "messages", "text", "message", "total_tokens", "cost")
#: Characters of a question in a list.
_MAX_QUESTION = 60
#: The largest integer that SQLite takes.
_MAX_INTEGER = 2**63 - 1


class _Entry(NamedTuple):
    """One call of the log; `question` is the text of the last message."""

    id: int
    time: str
    status: str
    model: str
    question: str
    text: str
    error: str
    total_tokens: int | None
    cost: float | None


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit logs",
        description="Log the calls of the command line in a SQLite file, with prompts, answers, usage and costs but "
        "without keys. The log is off until it is switched on.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="on|off|path|list|search|show")
    for name, summary in (
        ("on", "log calls from now on"),
        ("off", "stop logging; the file is kept"),
        ("path", "print the path of the file"),
    ):
        actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    entries = actions.add_parser("list", help="list the last calls", description="List the last calls, newest first.")
    entries.add_argument("-n", "--count", type=int, default=20, metavar="N", help="how many (default 20)")
    search = actions.add_parser("search", help="find calls that contain all the words", description="Find calls.")
    search.add_argument("words", nargs="+", help="words to look for in questions and answers; case is ignored")
    show = actions.add_parser("show", help="show one call", description="Show the question and answer of a call.")
    show.add_argument("id", nargs="?", type=int, help="a number from the list (default: the last call)")
    return parser


def run(args: Namespace) -> int:
    """Run the action and return the exit code: 1 if a search finds nothing, as with grep."""
    if args.action in ("on", "off"):
        settings.set_logging(args.action == "on")
        print_stderr(f"calls are {'' if args.action == 'on' else 'not '}logged in {settings.log_path()}")
    elif args.action == "path":
        write_stdout(f"{settings.log_path()}\n")
    elif args.action == "show":
        _show(args.id)
    elif args.action == "list":
        if args.count < 1:
            raise ConfigurationError(f"-n: must be at least 1, not {args.count}")
        _list(_read("ORDER BY id DESC LIMIT ?", min(args.count, _MAX_INTEGER)))
    else:
        matches = [entry for entry in _read("ORDER BY id DESC") if _contains(entry, args.words)]
        _list(matches)
        if not matches:
            print_stderr("no call contains all the words")
            return 1
    return 0


def _list(entries: Sequence[_Entry]) -> None:
    for entry in entries:
        question = " ".join(strip_control_characters(entry.question).split())[:_MAX_QUESTION]
        model = strip_control_characters(entry.model)
        write_stdout(
            f"{entry.id:>5}  {entry.time[:16].replace('T', ' ')}  {entry.status:<5}  {model:<30}  {question}\n"
        )


def _show(number: int | None) -> None:
    entries = _read("ORDER BY id DESC LIMIT 1") if number is None else _read("WHERE id = ?", str(number))
    if not entries:
        raise ConfigurationError("the log is empty" if number is None else f"the log has no call {number}")
    entry = entries[0]
    details = [f"call {entry.id}", entry.time, entry.model, entry.status]
    details += [f"{entry.total_tokens} tokens"] if entry.total_tokens is not None else []
    details += [f"${entry.cost:.6f}"] if entry.cost is not None else []
    blocks = [", ".join(details), f"> {entry.question}", entry.text, entry.error]
    write_stdout(strip_control_characters("\n\n".join(block for block in blocks if block)) + "\n")


def _contains(entry: _Entry, words: Sequence[str]) -> bool:
    text = f"{entry.question}\n{entry.text}".casefold()
    return all(word.casefold() in text for word in words)


def _read(clause: str, *values: Any) -> list[_Entry]:
    path = settings.log_path()
    if not path.exists():
        raise ConfigurationError("there is no log yet; switch it on with: aichatkit logs on")
    database = Database(path, "", name="the log", version=1)
    try:
        with database.reading() as connection:
            rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM calls {clause}", values)
            return list(_entries(rows))
    finally:
        database.close()


def _entries(rows: Any) -> Iterator[_Entry]:
    for number, time, status, provider, model, messages, text, error, tokens, cost in rows:
        question = _text_of(json.loads(messages)[-1]["content"])
        name = f"{provider}/{model}" if model else provider
        yield _Entry(number, time, status, name, question, text, error or "", tokens, cost)


def _text_of(content: Any) -> str:
    if not isinstance(content, list):
        return str(content or "")
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
