"""What an MCP server asks the user -> fields typed at the terminal, one line each."""

from __future__ import annotations

import io
import select
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from aichatkit.cli.output import print_stderr
from aichatkit.structured.fit import fit_arguments
from aichatkit.structured.validation import find_errors

__all__ = ["FORMS", "Forms"]

# Windows has no termios, and its terminals cannot be waited for.
termios: Any = import_module("termios") if find_spec("termios") else None

#: How often a field may be answered wrongly, and the longest text of a server that is shown, in characters.
_TRIES, _SHOWN = 3, 1000
#: How often a question looks whether anybody still waits for its answer, in seconds.
_POLL_SECONDS = 0.1
_WORDS = {"y": True, "yes": True, "true": True, "n": False, "no": False, "false": False}


class _EndedError(Exception):
    """The input has ended, or the user has given up."""


class Forms:
    """Asks at the terminal; an instance is the function of `elicit=`."""

    def __init__(self) -> None:
        self._given_up = threading.Event()

    def __call__(self, message: str, schema: Mapping[str, Any]) -> dict[str, Any] | None:
        """Show the question of a server, and return the fields, or None if the user does not answer it."""
        server = getattr(message, "server", "") or "the server"
        fields = _fields_of(schema)
        print_stderr(f"{server} asks: {_shown(message)}")
        if fields:
            print_stderr(f"it wants: {', '.join(fields)}; never answer with passwords or keys")
        print_stderr("answer it? [y/N]")
        try:
            with _visible_typing():
                if not _WORDS.get(self._read().lower(), False):
                    return None
                answers = {name: self._ask(name, field, schema) for name, field in fields.items()}
        except _EndedError:
            return None
        return {name: answer for name, answer in answers.items() if answer is not None}

    def give_up(self) -> None:
        """End the question that is open in another thread: what is typed from now on is for the next prompt."""
        self._given_up.set()

    def reset(self) -> None:
        """Let servers ask again."""
        self._given_up.clear()

    def _ask(self, name: str, field: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
        """Return the value of a field, None to leave it out: the server then uses its default."""
        required = schema.get("required")
        may_skip = "default" in field or not (isinstance(required, list) and name in required)
        for _ in range(_TRIES):
            print_stderr(f"{_label(name, field, may_skip=may_skip)}:")
            text = self._read()
            if not text and may_skip:
                return None
            value = _parse(text, field)
            errors = find_errors({name: value}, {"properties": {name: field}}) if text else [f"{name}: is required"]
            if not errors:
                return value
            print_stderr("; ".join(errors))
        raise _EndedError

    def _read(self) -> str:
        while not _has_line():
            if self._given_up.is_set():
                raise _EndedError
        line = sys.stdin.readline()
        if not line:
            raise _EndedError
        return line.strip()


#: The questions of all servers of a command.
FORMS = Forms()


def _has_line() -> bool:
    """Wait a moment for a line: a thread that reads holds a lock, which neither an exit nor Ctrl-C would break."""
    try:
        if termios is not None:
            return bool(select.select([sys.stdin], [], [], _POLL_SECONDS)[0])
    except (io.UnsupportedOperation, ValueError):
        # It has no file descriptor.
        return True
    return True


@contextmanager
def _visible_typing() -> Iterator[None]:
    """Show what is typed, which is hidden while an answer is rendered."""
    try:
        previous = None if termios is None else termios.tcgetattr(sys.stdin)
    except (io.UnsupportedOperation, ValueError, termios.error):
        previous = None
    if previous is not None:
        settings = [*previous]
        settings[3] |= termios.ECHO
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, settings)
    try:
        yield
    finally:
        if previous is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, previous)


def _fields_of(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    properties = schema.get("properties")
    fields = properties.items() if isinstance(properties, Mapping) else ()
    return {str(name): field for name, field in fields if isinstance(field, Mapping)}


def _label(name: str, field: Mapping[str, Any], *, may_skip: bool) -> str:
    notes = [" | ".join(_choices(field))] if _choices(field) else []
    if field.get("type") == "boolean":
        notes.append("yes or no")
    elif field.get("type") == "array":
        notes.append("several with commas between them")
    elif not notes and field.get("type", "string") != "string":
        notes.append(str(field["type"]))
    if "format" in field:
        notes.append(str(field["format"]))
    if may_skip:
        notes.append(f"Enter for {field['default']}" if "default" in field else "optional")
    about, shown = field.get("description") or field.get("title"), f" ({'; '.join(notes)})" if notes else ""
    return _shown(f"{name}{f', {about}' if about else ''}{shown}")


def _choices(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a choice by their names."""
    items = field.get("items")
    field = items if field.get("type") == "array" and isinstance(items, Mapping) else field
    options = field.get("oneOf") or field.get("anyOf")
    if isinstance(options, list):
        named = [option for option in options if isinstance(option, Mapping) and "const" in option]
        return {str(option.get("title") or option["const"]): option["const"] for option in named}
    values, names = field.get("enum"), field.get("enumNames")
    values = values if isinstance(values, list) else []
    names = names if isinstance(names, list) and len(names) == len(values) else values
    return dict(zip(map(str, names), values))


def _parse(text: str, field: Mapping[str, Any]) -> Any:
    """Return the value that the user means; what does not fit is found later."""
    choices = _choices(field)
    if field.get("type") == "array":
        return [choices.get(part.strip(), part.strip()) for part in text.split(",")]
    if field.get("type") == "boolean":
        return _WORDS.get(text.lower(), text)
    return choices.get(text, fit_arguments({"value": text}, {"properties": {"value": field}})["value"])


def _shown(text: str) -> str:
    """Return a text of a server on one line, so that it cannot look like one of the program."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} ..."
