"""`aichatkit completion`: print a shell completion script (extra `completion`)."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aichatkit._reasons import reason_of
from aichatkit.cli.commands import COMMANDS, load_command
from aichatkit.cli.conversations import saved_names
from aichatkit.cli.output import write_stdout
from aichatkit.cli.settings import aliases
from aichatkit.cli.stored_templates import stored_templates
from aichatkit.errors import ConfigurationError
from aichatkit.registry import GROUPS, registry

__all__ = ["build_parser", "run"]

_SHELLS = ("bash", "zsh", "fish")
#: Names that change while the script is installed: it runs `aichatkit completion chats` for them.
_LISTS: dict[str, Callable[[], Iterable[str]]] = {"chats": saved_names, "templates": stored_templates}
_FILE_ARGUMENTS = ("file", "input", "journal", "out", "path", "schema")
_PROVIDER_ARGUMENTS = ("model", "provider", "service")
#: Shell -> the functions that complete stored names. Bash would expand `$(...)` in the words of `compgen -W`, and a
#: template may have any name. The word "files" makes shtab's script quote what the second function of bash prints.
_FUNCTIONS = {
    "bash": r"""
_aichatkit_names() {
  local name quoted
  aichatkit completion "$1" 2>/dev/null | while IFS= read -r name; do
    printf -v quoted %q "$name"
    if [[ "$name" == "$3"* || "$quoted" == "$3"* ]]; then printf "$2\n" "$name"; fi
  done
}
_aichatkit_chats() {
  _aichatkit_names chats %q "$1"
}
_aichatkit_templates_files() {
  _aichatkit_names templates %s "$1"
  compgen -f -- "$1"
}
""",
    "zsh": r"""
_aichatkit_chats() {
  local -a names
  names=(${(f)"$(aichatkit completion chats 2>/dev/null)"})
  compadd -a names
}
_aichatkit_templates() {
  local -a names
  names=(${(f)"$(aichatkit completion templates 2>/dev/null)"})
  compadd -a names
  _files
}
""",
}
_COMPLETERS = {
    "chats": {
        "bash": "_aichatkit_chats",
        "zsh": "_aichatkit_chats",
        "fish": "(aichatkit completion chats 2>/dev/null)",
    },
    "templates": {
        "bash": "_aichatkit_templates_files",
        "zsh": "_aichatkit_templates",
        "fish": "(aichatkit completion templates 2>/dev/null; __fish_complete_path (commandline -ct))",
    },
}
_EPILOG = """\
bash: aichatkit completion bash > ~/.local/share/bash-completion/completions/aichatkit
zsh:  aichatkit completion zsh > a file named _aichatkit in a folder of $fpath
fish: aichatkit completion fish > ~/.config/fish/completions/aichatkit.fish
"""


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = ArgumentParser(
        prog="aichatkit completion",
        description="Print the script that completes commands, options, providers, aliases, conversations, templates\n"
        "and files.",
        epilog=_EPILOG,
        # A command that is wrapped cannot be copied.
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "shell", choices=[*_SHELLS, *_LISTS], help="a shell; chats and templates print the names that the script offers"
    )
    return parser


def run(args: Namespace) -> int:
    """Print the script, or a list of names, and return the exit code."""
    if args.shell in _LISTS:
        write_stdout("".join(f"{name}\n" for name in sorted(_LISTS[args.shell]()) if name.isprintable()))
        return 0
    shtab = _import_shtab()
    combined = ArgumentParser(
        prog="aichatkit", parents=[load_command("ask").build_parser()], conflict_handler="resolve", allow_abbrev=False
    )
    # A question has no completions, and its positional argument would come before the command.
    combined._actions[:] = [action for action in combined._actions if action.dest != "prompt"]
    commands = combined.add_subparsers(metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = load_command(name).build_parser()
        commands.add_parser(name, help=summary, parents=[command], conflict_handler="resolve")
    _annotate(combined, shtab.FILE)
    write_stdout(shtab.complete(combined, shell=args.shell, preamble=_FUNCTIONS))
    return 0


def _annotate(parser: ArgumentParser, file_completer: Any) -> None:
    """Mark the arguments that take a file, a stored name, or the name of a provider or an alias."""
    names = [*registry, *GROUPS, *aliases()]
    for command, action in _iter_actions(parser):
        completer = file_completer if action.dest in _FILE_ARGUMENTS else _COMPLETERS.get(_list_of(command, action))
        if completer is not None:
            action.complete = completer  # type: ignore[attr-defined]
        elif action.dest in _PROVIDER_ARGUMENTS:
            action.choices = names


def _list_of(command: str, action: Action) -> str:
    """Return which of `_LISTS` an argument of a command takes a name of, or an empty string."""
    if action.dest == "name":
        return command
    if action.dest == "chat":
        return "chats"
    # The template of `map` and `embed` is called prompt; the words of a question have no option.
    return "templates" if action.dest == "template" or (action.dest == "prompt" and action.option_strings) else ""


def _iter_actions(parser: ArgumentParser, command: str = "") -> Iterator[tuple[str, Action]]:
    """Yield every argument, with the name of its command, or an empty string."""
    for action in parser._actions:
        yield command, action
        if action.nargs == "A...":
            for name, subparser in dict(action.choices or {}).items():
                yield from _iter_actions(subparser, command or name)


def _import_shtab() -> Any:
    try:
        import shtab
    except ImportError as error:
        reason = reason_of(error)
    else:
        return shtab
    raise ConfigurationError("completion: needs the extra: pip install 'aichatkit[completion]'", reason=reason)
