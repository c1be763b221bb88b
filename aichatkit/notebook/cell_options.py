"""`%chat` line or cell -> options and question."""

from __future__ import annotations

import argparse
import ast
import re
from typing import Any, NoReturn

from aichatkit.call import option_hints, other_words
from aichatkit.errors import ConfigurationError
from aichatkit.params import PARAMS, suggestion

__all__ = ["flags", "parse_cell", "parse_line", "parse_param_options"]

_WORD = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[^\s"'])+)""")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")


def flags() -> list[str]:
    """Return every flag of `%chat`, in alphabetical order."""
    return sorted(_build_parser()._option_string_actions)


def parse_cell(line: str, cell: str) -> tuple[argparse.Namespace, str]:
    """Return the options on the first line of a cell, and the question below it."""
    words = [_unquote(match[1]) for match in _WORD.finditer(line)]
    if _WORD.sub("", line).strip():
        raise ConfigurationError(f"%%chat: a quote is not closed in {line.strip()!r}")
    parser = _build_parser()
    parser.add_argument("provider_model", nargs="?", metavar="MODEL")
    return _validate(parser.parse_args(words), cell)


def parse_line(line: str) -> tuple[argparse.Namespace, str]:
    """Return the options at the start of a line, and the question unchanged: it may contain any quotes."""
    parser = _build_parser()
    parser.set_defaults(provider_model=None)
    words: list[str] = []
    while line.lstrip().startswith("-"):
        word, line = _split_word(line)
        if word == "--":
            break
        words.append(word)
        if word not in _FLAGS and not _has_value(word):
            value, line = _split_word(line)
            words += [value] if value else []
    return _validate(parser.parse_args(words), line)


def parse_param_options(pairs: list[str]) -> dict[str, Any]:
    """Return the `name=value` pairs of -p as sampling parameters; values are Python literals, else text.

    >>> parse_param_options(["temperature=0.2", "stop=END"])
    {'temperature': 0.2, 'stop': 'END'}
    """
    params = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ConfigurationError(f"%chat: -p wants a name and a value, such as temperature=0.2, not {pair!r}")
        try:
            params[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            params[name] = value
    return params


def _validate(args: argparse.Namespace, question: str) -> tuple[argparse.Namespace, str]:
    if not question.strip():
        raise ConfigurationError("%chat: nothing was asked; write a question behind it, or in the cell under %%chat")
    if args.reset and args.chat is None:
        raise ConfigurationError("%chat: --reset starts a conversation again, and none is named; name it with -c")
    return args, question.strip()


def _has_value(word: str) -> bool:
    """Return whether an option has its value attached, as in `--model=openai` and `-mopenai`."""
    return "=" in word or (len(word) > 2 and not word.startswith("--") and word[:2] not in _FLAGS)


def _split_word(line: str) -> tuple[str, str]:
    """Return the first word of a line, without its quotes, and the rest."""
    match = _WORD.match(line)
    return (_unquote(match[1]), line[match.end() :]) if match else (line.strip(), "")


def _unquote(word: str) -> str:
    return _QUOTED.sub(lambda match: match[1] or match[2] or "", word)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        match = re.search(r"unrecognized arguments: (\S+)", message)
        names = [name for action in self._actions for name in action.option_strings]
        hint = _hint(match[1], names) if match else ""
        if match and not match[1].startswith("-"):
            hint = "; the question goes below the line of %%chat"
        raise ConfigurationError(f"%chat: {message}{hint}; %chat? shows all options")


def _hint(flag: str, flags: list[str]) -> str:
    """Return the hint for an unknown flag, which may be the name of an option, here or in another SDK."""
    name = flag.lstrip("-").partition("=")[0].replace("-", "_")
    option = other_words.option_for(name) or name
    if option in PARAMS:
        return f"; sampling parameters are set with -p, as in -p {option}=..."
    if name == "stream":
        return "; answers are streamed unless there is --no-stream"
    if option in _FLAG_OF:
        return f"; did you mean {_FLAG_OF[option]!r}?"
    if place := option_hints.place_of(option):
        return f"; {option}= belongs to {place}"
    if option != name:
        return f"; {option}= is an option of a client or a conversation, which are named with --client and -c"
    return suggestion(flag, flags)


#: Our option -> the flag for it.
_FLAG_OF = {"files": "--file", "history": "--chat", "model": "--model", "system": "--system"}
_FLAGS = ("-t", "--template", "--reset", "--plain", "--no-stream")


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="%chat", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("-o", "--out", type=_variable_name)
    parser.add_argument("-s", "--system")
    parser.add_argument("-f", "--file", action="append", default=[])
    parser.add_argument("-c", "--chat", type=_variable_name)
    parser.add_argument("-p", "--param", action="append", default=[])
    parser.add_argument("--client", type=_variable_name)
    parser.add_argument("-t", "--template", action="store_true")
    for flag in _FLAGS[2:]:
        parser.add_argument(flag, action="store_true")
    return parser


def _variable_name(text: str) -> str:
    if not text.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a variable")
    return text
