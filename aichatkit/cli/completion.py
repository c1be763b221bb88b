"""`aichatkit completion`: the script that completes commands and options in a shell (extra `completion`)."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from typing import Any

from aichatkit.cli.commands import COMMANDS, load_command
from aichatkit.cli.output import write_stdout
from aichatkit.errors import ConfigurationError
from aichatkit.registry import GROUPS, registry

__all__ = ["build_parser", "run"]

_SHELLS = ("bash", "zsh", "fish")
_FILES = ("file", "input", "out", "path", "resume", "schema", "template")
_PROVIDERS = ("model", "provider", "service")
_EPILOG = (
    "bash: aichatkit completion bash > ~/.local/share/bash-completion/completions/aichatkit; "
    'zsh: aichatkit completion zsh > a file _aichatkit in one of "$fpath"; '
    "fish: aichatkit completion fish > ~/.config/fish/completions/aichatkit.fish"
)


def build_parser() -> ArgumentParser:
    """Return the parser of its words."""
    parser = ArgumentParser(
        prog="aichatkit completion",
        description="Print the script that completes commands, options, providers and files.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=_SHELLS)
    return parser


def run(args: Namespace) -> int:
    """Print the script, and return the exit code."""
    shtab = _shtab()
    every = ArgumentParser(
        prog="aichatkit", parents=[load_command("ask").build_parser()], conflict_handler="resolve", allow_abbrev=False
    )
    # A question has no completions, and would stand where the commands do.
    every._actions[:] = [action for action in every._actions if action.dest != "prompt"]
    commands = every.add_subparsers(metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = load_command(name).build_parser()
        commands.add_parser(name, help=summary, parents=[command], conflict_handler="resolve")
    _prepare(every, shtab.FILE)
    write_stdout(shtab.complete(every, shell=args.shell))
    return 0


def _prepare(parser: ArgumentParser, file: Any) -> None:
    """Tell where the name of a file stands, and where that of a provider."""
    names = [*registry, *GROUPS]
    for action in _actions(parser):
        if action.dest in _FILES:
            action.complete = file  # type: ignore[attr-defined]
        elif action.dest in _PROVIDERS:
            action.choices = names


def _actions(parser: ArgumentParser) -> list[Action]:
    found = []
    for action in parser._actions:
        found.append(action)
        if action.nargs == "A...":
            for inner in dict(action.choices or {}).values():
                found += _actions(inner)
    return found


def _shtab() -> Any:
    try:
        import shtab
    except ImportError:
        pass
    else:
        return shtab
    raise ConfigurationError("completion: needs the extra: pip install 'aichatkit[completion]'")
