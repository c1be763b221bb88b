"""`aichatkit ask`, and `aichatkit` without a command: question -> answer streamed to standard output."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit._version import __version__
from aichatkit.chats.chat import Chat
from aichatkit.cli.client_options import (
    add_cache_option,
    add_client_options,
    add_param_option,
    announce_offline,
    model_option,
    open_client,
)
from aichatkit.cli.commands import COMMANDS
from aichatkit.cli.conversations import SavedChat, add_saving_options
from aichatkit.cli.json_output import format_json, format_reply, format_sources, format_usage
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.cli.prompts import Prompt, add_prompt_options, build_prompt
from aichatkit.cli.schema_option import parse_schema_option
from aichatkit.cli.tools_option import add_tools_option, tool_options
from aichatkit.cli.writers import add_writer_options, open_writer
from aichatkit.errors import ConfigurationError
from aichatkit.reply import Reply

if TYPE_CHECKING:
    import difflib

    from aichatkit.cli import code_blocks
else:
    difflib = lazy_module("difflib")
    code_blocks = lazy_module("aichatkit.cli.code_blocks")

__all__ = ["build_parser", "run"]

_EPILOG = """\
The prompt may also come from a pipe; with both, the pipe is the document and the argument the question.
Without -m the model is AICHATKIT_MODEL, else the default model (aichatkit models default), else that of the first
service with a key, else the offline ELIZA.

commands ("aichatkit COMMAND --help" shows more; any other first word begins a question):
{commands}

exit codes: 0 answered, with map every row; 1 the call failed; 2 wrong usage; 75 batch jobs are still running;
130 stopped with Ctrl-C; 143 terminated by SIGTERM
"""


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    commands = "\n".join(f"  {name:<11} {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="aichatkit",
        usage="aichatkit [options] question ...\n       aichatkit COMMAND ...",
        description="Ask a chat service and print its answer as it comes.",
        epilog=_EPILOG.format(commands=commands),
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_prompt_options(parser)
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="system prompt")
    add_param_option(parser)
    add_cache_option(parser)
    add_saving_options(parser)
    parser.add_argument(
        "--schema", help="answer in JSON of this shape: 'name, age int', '[name, age int]', JSON, or a .json file"
    )
    add_tools_option(parser)
    parser.add_argument("--json", action="store_true", help="print the whole reply as one JSON object")
    parser.add_argument("--usage", action="store_true", help="print tokens, cost and time on standard error")
    parser.add_argument("--no-stream", action="store_true", help="print the answer when it is complete")
    parser.add_argument(
        "-x", "--extract", action="store_true", help="print only the first code block of the answer, without its fences"
    )
    add_writer_options(parser)
    parser.add_argument("--version", action="version", version=f"aichatkit {__version__}")
    return parser


def run(args: Namespace) -> int:
    """Send the question and return the exit code."""
    _note_near_command(args.prompt)
    if args.extract and (args.json or args.schema is not None):
        raise ConfigurationError(f"-x and {'--json' if args.json else '--schema'}: use only one of them")
    prompt = build_prompt(args)
    if not prompt.text:
        build_parser().print_usage(sys.stderr)
        print_stderr("there is no question; pass one as an argument or through a pipe")
        return 2
    options: dict[str, Any] = {"files": prompt.files} if prompt.files else {}
    if args.schema is not None:
        options["schema"] = parse_schema_option(args.schema)
    options.update(tool_options(args))
    saved_chat = SavedChat(args)
    with open_client(args, model=saved_chat.model) as client:
        chat = saved_chat.open(client, model=model_option(args), system=args.system)
        buffered = args.json or args.no_stream or args.extract or args.schema is not None
        reply = (_ask if buffered else _stream)(args, chat, prompt, options)
        saved_chat.save(chat)
    if args.search and not args.json and reply is not None and reply.sources:
        print_stderr(format_sources(reply))
    if args.usage and reply is not None:
        print_stderr(format_usage(reply))
    return 0


def _note_near_command(words: Sequence[str]) -> None:
    """Print a note if a one-word question resembles a command."""
    if len(words) != 1 or words[0] in COMMANDS:
        return
    word = words[0].lower()
    if word in ("help", "version"):
        meant = f"--{word}"
    else:
        meant = next(iter(difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.75)), "")
    if meant:
        print_stderr(f"{words[0]!r} is sent as a question; the command is: aichatkit {meant}")


def _ask(args: Namespace, chat: Chat, prompt: Prompt, options: dict[str, Any]) -> Reply:
    reply = chat.ask(prompt.text, **options)
    announce_offline(args, model=chat.model)
    if args.json:
        write_stdout(format_reply(reply))
    elif args.schema is not None:
        write_stdout(format_json(reply.data))
    else:
        code = code_blocks.extract_code(reply.text) if args.extract else None
        if args.extract and code is None:
            print_stderr("-x: the answer has no code block, so all of it is printed")
        if code is not None:
            write_stdout(code)
            return reply
        with open_writer(args) as writer:
            writer.add(reply.text if reply.text.endswith("\n") else f"{reply.text}\n")
    return reply


def _stream(args: Namespace, chat: Chat, prompt: Prompt, options: dict[str, Any]) -> Reply | None:
    with open_writer(args) as writer, chat.stream(prompt.text, **options) as stream:
        announce_offline(args, model=chat.model)
        for chunk in stream:
            writer.add(chunk)
        return stream.reply
