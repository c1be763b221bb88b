"""`aichatkit chat`: a conversation, turn by turn, at a terminal or through a pipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.call.fallback import check_call
from aichatkit.chats.chat import Chat
from aichatkit.cli.client_options import (
    add_cache_option,
    add_client_options,
    add_param_option,
    announce_offline,
    model_option,
    open_client,
)
from aichatkit.cli.conversations import SavedChat, add_saving_options
from aichatkit.cli.error_text import in_words
from aichatkit.cli.json_output import format_sources, format_usage
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.parser import Parser
from aichatkit.cli.paths import data_folder
from aichatkit.cli.slash_commands import SLASH_COMMANDS, SlashCommands
from aichatkit.cli.terminal_input import input_history, is_interactive, read_input
from aichatkit.cli.tools_option import add_tools_option, tool_options
from aichatkit.cli.writers import add_writer_options, open_writer
from aichatkit.errors import ChatError

if TYPE_CHECKING:
    from aichatkit.cli import mcp_forms
else:
    # Few conversations have tools of a server.
    mcp_forms = lazy_module("aichatkit.cli.mcp_forms")

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Build the argument parser."""
    parser = Parser(
        prog="aichatkit chat",
        description="Chat interactively; Ctrl-C stops an answer, Ctrl-D or /quit leaves.",
        epilog="commands in the chat:\n"
        + "\n".join(f"  {name:<8} {summary}" for name, summary in SLASH_COMMANDS.items()),
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="system prompt")
    add_param_option(parser)
    add_cache_option(parser)
    add_saving_options(parser)
    add_tools_option(parser)
    parser.add_argument("--usage", action="store_true", help="print tokens, cost and time after each answer")
    add_writer_options(parser)
    return parser


def run(args: Namespace) -> int:
    """Run the conversation and return the exit code: 1 if a turn failed and input or output is not a terminal."""
    tools = tool_options(args)
    saved_chat = SavedChat(args)
    chat = saved_chat.open(open_client(args, model=saved_chat.model), model=model_option(args), system=args.system)
    try:
        # Report a missing key before anything is typed.
        check_call(chat.client._build_call("?", 0, model=chat.model, search=args.search))
        announce_offline(args, model=chat.model)
        # Import the renderer now: keys typed while it loads would be echoed into the first frame.
        open_writer(args)
        if is_interactive():
            turns = f", {len(chat.history)} messages so far" if chat.history else ""
            print_stderr(f"/help lists the commands, Ctrl-D leaves{turns}")
        with input_history(data_folder() / "history", list(SLASH_COMMANDS), save=saved_chat.autosave):
            failed = _converse(args, chat, saved_chat, tools)
    finally:
        chat.client.close()
    return 1 if failed and not is_interactive() else 0


def _converse(args: Namespace, chat: Chat, saved_chat: SavedChat, tools: dict[str, Any]) -> int:
    """Take turns until the end of input, and return how many questions and commands failed."""
    commands = SlashCommands(args, chat, saved_chat)
    failed = 0
    while True:
        try:
            text = read_input()
            if text is None:
                break
            if text.startswith("/") and not text.startswith("//"):
                if not commands.run(text):
                    return failed
            elif text:
                prompt = text[1:] if text.startswith("//") else text
                _answer(args, chat, saved_chat, commands, prompt, tools)
        except KeyboardInterrupt:
            if not is_interactive():
                raise
            # At the prompt, Ctrl-C discards the current line, as in a shell.
            write_stdout("\n")
        except ChatError as error:
            failed += 1
            print_stderr(in_words(error))
    if is_interactive():
        write_stdout("\n")
    return failed


def _answer(
    args: Namespace, chat: Chat, saved_chat: SavedChat, commands: SlashCommands, prompt: str, tools: dict[str, Any]
) -> None:
    length_before = len(chat.history)
    if args.mcp:
        mcp_forms.FORMS.reset()
    try:
        options: dict[str, Any] = {**tools, **({"files": commands.files} if commands.files else {})}
        # The writer comes first: rendering Markdown turns echo off, so that keys typed while waiting do not garble it.
        with open_writer(args) as writer, chat.stream(prompt, **options) as stream:
            for chunk in stream:
                writer.add(chunk)
            reply = stream.reply
    except KeyboardInterrupt:
        if args.mcp:
            mcp_forms.FORMS.give_up()
        if not is_interactive() or len(chat.history) > length_before:
            raise
        print_stderr("stopped; the conversation is as it was before this question")
        return
    commands.files = []
    saved_chat.save(chat)
    if args.search and reply is not None and reply.sources:
        print_stderr(format_sources(reply))
    if args.usage and reply is not None:
        print_stderr(format_usage(reply))
