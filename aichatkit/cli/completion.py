"""`aichatkit completion`: print a shell completion script (extra `completion`)."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from typing import Any

from aichatkit._reasons import reason_of
from aichatkit.cli.commands import COMMANDS, load_command
from aichatkit.cli.output import write_stdout
from aichatkit.cli.settings import aliases
from aichatkit.errors import ConfigurationError
from aichatkit.registry import GROUPS, registry

__all__ = ["build_parser", "run"]

_SHELLS = ("bash", "zsh", "fish")
_FILE_ARGUMENTS = ("file", "input", "journal", "out", "path", "schema", "template")
_PROVIDER_ARGUMENTS = ("model", "provider", "service")
_EPILOG = (
    "bash: aichatkit completion bash > ~/.local/share/bash-completion/completions/aichatkit; "
    'zsh: aichatkit completion zsh > a file _aichatkit in one of "$fpath"; '
    "fish: aichatkit completion fish > ~/.config/fish/completions/aichatkit.fish"
)


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = ArgumentParser(
        prog="aichatkit completion",
        description="Print the script that completes commands, options, providers, aliases and files.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=_SHELLS)
    return parser


def run(args: Namespace) -> int:
    """Print the script and return the exit code."""
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
    write_stdout(shtab.complete(combined, shell=args.shell))
    return 0


def _annotate(parser: ArgumentParser, file_completer: Any) -> None:
    """Mark the arguments that take a file, or the name of a provider or an alias."""
    names = [*registry, *GROUPS, *aliases()]
    for action in _collect_actions(parser):
        if action.dest in _FILE_ARGUMENTS:
            action.complete = file_completer  # type: ignore[attr-defined]
        elif action.dest in _PROVIDER_ARGUMENTS:
            action.choices = names


def _collect_actions(parser: ArgumentParser) -> list[Action]:
    actions = []
    for action in parser._actions:
        actions.append(action)
        if action.nargs == "A...":
            for subparser in dict(action.choices or {}).values():
                actions += _collect_actions(subparser)
    return actions


def _import_shtab() -> Any:
    try:
        import shtab
    except ImportError as error:
        reason = reason_of(error)
    else:
        return shtab
    raise ConfigurationError("completion: needs the extra: pip install 'aichatkit[completion]'", reason=reason)
