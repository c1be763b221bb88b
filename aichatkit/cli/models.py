"""`aichatkit models`: list model names for -m, with details on request."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from aichatkit.catalog.model_infos import ModelInfo
from aichatkit.cli import settings
from aichatkit.cli.catalog_file import update_catalog
from aichatkit.cli.client_options import open_client
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.display.plain import strip_control_characters
from aichatkit.errors import ConfigurationError
from aichatkit.registry import GROUPS

__all__ = ["build_parser", "run"]

_COLUMNS = ("model", "input", "output", "window", "max output", "retires", "use instead")


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit models",
        description="List models as -m takes them: the ones a service lists for your key, or all known ones.",
    )
    parser.add_argument("provider", nargs="?", help="the service to query; without it nothing is sent")
    parser.add_argument(
        "name", nargs="?", help="after the word default: the model to use without -m, or - for none; alone: show it"
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="also show prices (US dollars per million tokens), context windows and retirement dates",
    )
    parser.add_argument(
        "--update",
        nargs="?",
        const="",
        metavar="URL",
        help="download a newer model catalog from URL or AICHATKIT_CATALOG_URL, and list nothing",
    )
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for connecting and between chunks")
    parser.add_argument("--retry", type=int, metavar="N", help="retries after the first attempt (default 2)")
    return parser


def run(args: Namespace) -> int:
    """List the models, or show or set the default, and return the exit code."""
    if args.provider == "default":
        return _default(args.name)
    if args.name is not None:
        raise ConfigurationError("models: takes one provider; the default model is set with: aichatkit models default")
    args.model = None if args.provider is None else [args.provider]
    with open_client(args) as client:
        if args.update is not None:
            path, day = update_catalog(client, args.update)
            write_stdout(f"{path}\n")
            print_stderr(f"the command line now uses this catalog of {day}; in Python, set AICHATKIT_CATALOG={path}")
        elif args.details:
            _write_table(client.models(args.provider, details=True))
        else:
            for name in client.models(args.provider):
                is_qualified = args.provider in (None, *GROUPS)
                write_stdout(f"{name}\n" if is_qualified else f"{args.provider}/{strip_control_characters(name)}\n")
    return 0


def _default(name: str | None) -> int:
    if name is not None:
        settings.set_default_model(None if name == "-" else name)
    write_stdout(f"{settings.default_model() or 'no default model is set'}\n")
    return 0


def _write_table(infos: list[ModelInfo]) -> None:
    """Write one line per model, columns separated by tabs; an unknown value is empty."""
    write_stdout("\t".join(_COLUMNS) + "\n")
    for info in infos:
        cells = (
            f"{info.provider}/{info.name}",
            _number(info.prices.input),
            _number(info.prices.output),
            _number(info.context_window),
            _number(info.max_output),
            _retirement(info),
            info.successor or "",
        )
        write_stdout(strip_control_characters("\t".join(cells)).replace("\n", " ") + "\n")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _retirement(info: ModelInfo) -> str:
    if info.retires is None:
        return "gone" if info.retired else ""
    return f"{info.retires}{' (gone)' if info.retired else ''}"
