"""`aichatkit image`: description -> image file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from aichatkit.cli.client_options import add_client_options, open_client
from aichatkit.cli.output import write_stdout
from aichatkit.cli.output_files import check_folder
from aichatkit.cli.parser import Parser
from aichatkit.errors import BadResponseError, ConfigurationError
from aichatkit.images import ImageResponse

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit image",
        description="Generate or edit images and save them; the path of each file written is printed.",
    )
    parser.add_argument("prompt", nargs="+", help="the description; several words need no quotes")
    parser.add_argument(
        "-f", "--file", action="append", default=[], help="an image to edit: a path or a URL; several are possible"
    )
    parser.add_argument("--size", help="such as 1024x1024; at some services 16:9, 2K or '16:9 2K'")
    parser.add_argument("--quality", help="such as low, medium or high")
    parser.add_argument("-n", "--number", type=int, default=1, help="how many images to generate")
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
        options = {"size": args.size, "quality": args.quality, "n": args.number, "files": args.file}
        try:
            _save(client.image(" ".join(args.prompt), **options), args.out)
        except BadResponseError as error:
            if isinstance(error.partial, ImageResponse):
                # Fewer than requested; they are paid for.
                _save(error.partial, args.out)
            raise
    return 0


def _save(response: ImageResponse, out: str) -> None:
    for path in response.save(out):
        write_stdout(f"{path}\n")
