"""`aichatkit image`: description -> image file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from aichatkit.cli.client_options import add_client_options, open_client
from aichatkit.cli.output import write_stdout
from aichatkit.cli.output_files import check_folder
from aichatkit.cli.parser import Parser
from aichatkit.errors import ConfigurationError

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit image",
        description="Generate an image and save it; the path of the file written is printed.",
    )
    parser.add_argument("prompt", nargs="+", help="the description; several words need no quotes")
    parser.add_argument(
        "--out", default="image", help="the file, which is replaced; its extension is changed to that of the image"
    )
    add_client_options(parser)
    return parser


def run(args: Namespace) -> int:
    """Generate and save the image, and return the exit code."""
    if not args.model:
        raise ConfigurationError("image: name a model that generates images, such as -m openai/gpt-image-2.5-flare")
    check_folder(Path(args.out))
    with open_client(args) as client:
        for path in client.image(" ".join(args.prompt)).save(args.out):
            write_stdout(f"{path}\n")
    return 0
