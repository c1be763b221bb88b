"""The argument parser of all commands: the error for a wrong flag suggests the right one."""

from __future__ import annotations

import re
import sys
from argparse import PARSER, ArgumentParser
from typing import Any, NoReturn

from aichatkit.call import other_words
from aichatkit.params import PARAMS, suggestion

__all__ = ["Parser"]

#: Our option, or a flag of other programs -> the equivalent here.
_ELSEWHERE = {
    "api_key": "keys are stored with: aichatkit keys set SERVICE; --api-key-env names a variable that holds one",
    "files": "files are attached with -f",
    "system": "the system prompt is set with --system",
    "retry": "retries are set with --retry",
    "workers": "the number of parallel requests is set with --workers",
    **dict.fromkeys(("stream", "streaming"), "answers are streamed unless there is --no-stream"),
    **dict.fromkeys(("format", "output_format"), "for JSON, use --json or --schema"),
}
#: Short flags that some commands do not have.
_SHORT = {"-o": "the output file is set with --out", "-p": "the prompt is set with --template"}
_EXAMPLES = {"temperature": "0.2", "top_p": "0.9", "max_tokens": "200", "seed": "1", "reasoning_effort": "low"}
_TYPE_NAMES = {"int": "a whole number", "float": "a number"}


class Parser(ArgumentParser):
    """An argument parser whose errors suggest the option that was probably meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; options may come between positional ones, as in `jobs out.csv.sqlite --cancel ID`."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if not unknown:
            return parsed
        words = list(sys.argv[1:] if args is None else args)
        has_commands = any(action.nargs == PARSER for action in self._actions)
        if has_commands or "--" in words or any(word.startswith("-") for word in unknown):
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error, and exit with code 2."""
        message = re.sub(
            r"invalid (int|float) value: (.*)",
            lambda match: f"must be {_TYPE_NAMES[match[1]]}, not {match[2]}",
            message,
        )
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            message += suggestion(choice[1], re.findall(r"[\w-]+", choice[2]))
        flag = re.search(r"unrecognized arguments: .*?(?<!\S)(-\S+)", message)
        super().error(message + (self._hint(flag[1]) if flag else ""))

    def _hint(self, text: str) -> str:
        flag, equals, value = text.partition("=")
        name = flag.lstrip("-").lower().replace("-", "_")
        flags = _flags(self)
        if flag in _SHORT and _SHORT[flag].rpartition(" ")[2] in flags:
            return f"; {_SHORT[flag]}"
        name = other_words.option_for(name) or name
        if name in PARAMS and "--option" in flags:
            example = value if equals else _EXAMPLES.get(name, "VALUE")
            return f"; sampling parameters are set with -o, as in -o {name}={example}"
        elsewhere = _ELSEWHERE.get(name, "")
        # Not every command has the option.
        needed = re.search(r"(?<!\S)--?[a-z][\w-]*$|--json", elsewhere)
        if elsewhere and (needed is None or needed[0] in flags):
            return f"; {elsewhere}"
        return suggestion(flag, flags)


def _flags(parser: ArgumentParser) -> list[str]:
    """Return the flags of a parser and its subparsers."""
    flags = [option for action in parser._actions for option in action.option_strings]
    nested = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
    return flags + [flag for choices in nested for action_parser in choices.values() for flag in _flags(action_parser)]
