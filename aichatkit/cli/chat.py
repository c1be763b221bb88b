"""`aichatkit chat`: question and answer in turns, at a terminal or through a pipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter

from aichatkit.chats.chat import Chat
from aichatkit.cli.client_options import (
    add_client_options,
    add_param_option,
    announce_offline,
    model_option,
    open_client,
)
from aichatkit.cli.conversations import SavedChat, add_saving_options
from aichatkit.cli.json_output import format_usage
from aichatkit.cli.output import print_stderr, write_stdout
from aichatkit.cli.paths import data_folder
from aichatkit.cli.slash_commands import SLASH_COMMANDS, SlashCommands
from aichatkit.cli.terminal_input import input_history, is_interactive, read_input
from aichatkit.cli.writers import add_writer_options, open_writer
from aichatkit.errors import ChatError

__all__ = ["build_parser", "run"]


def build_parser() -> ArgumentParser:
    """Return the parser of its words."""
    parser = ArgumentParser(
        prog="aichatkit chat",
        description="Talk in turns; Ctrl-C stops an answer, Ctrl-D or /quit leaves.",
        epilog="commands inside:\n" + "\n".join(f"  {name:<8} {summary}" for name, summary in SLASH_COMMANDS.items()),
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_client_options(parser)
    parser.add_argument("-s", "--system", help="instructions that go before everything")
    add_param_option(parser)
    add_saving_options(parser)
    parser.add_argument("--usage", action="store_true", help="tell tokens, cost and time after each answer")
    add_writer_options(parser)
    return parser


def run(args: Namespace) -> int:
    """Talk, and return the exit code: 1 where nobody was there to see that an answer failed."""
    kept = SavedChat(args)
    chat = kept.open(open_client(args, model=kept.model), model=model_option(args), system=args.system)
    try:
        announce_offline(args, model=chat.model)
        # Loads what renders now: what is typed while it loads would get into the first picture.
        open_writer(args)
        if is_interactive():
            turns = f", {len(chat.history)} messages so far" if chat.history else ""
            print_stderr(f"/help tells the commands, Ctrl-D leaves{turns}")
        with input_history(data_folder() / "history", list(SLASH_COMMANDS), kept=kept.saving):
            failed = _talk(args, chat, kept)
    finally:
        chat.client.close()
    return 1 if failed and not is_interactive() else 0


def _talk(args: Namespace, chat: Chat, kept: SavedChat) -> int:
    """Go on until the end, and return how many questions and commands failed."""
    orders = SlashCommands(args, chat, kept)
    failed = 0
    while True:
        try:
            said = read_input()
            if said is None:
                break
            if said.startswith("/") and not said.startswith("//"):
                if not orders.run(said):
                    return failed
            elif said:
                _answer(args, chat, kept, orders, said[1:] if said.startswith("//") else said)
        except KeyboardInterrupt:
            if not is_interactive():
                raise
            # At the prompt it gives up what was typed, as in a shell.
            write_stdout("\n")
        except ChatError as error:
            failed += 1
            print_stderr(error)
    if is_interactive():
        write_stdout("\n")
    return failed


def _answer(args: Namespace, chat: Chat, kept: SavedChat, orders: SlashCommands, said: str) -> None:
    before = len(chat.history)
    try:
        options = {"files": orders.files} if orders.files else {}
        # First of all, so that nothing typed while the answer is waited for gets into its picture.
        with open_writer(args) as writer, chat.stream(said, **options) as stream:
            for chunk in stream:
                writer.add(chunk)
            reply = stream.reply
    except KeyboardInterrupt:
        if not is_interactive() or len(chat.history) > before:
            raise
        print_stderr("stopped; the conversation is as it was before this question")
        return
    orders.files = []
    kept.save(chat)
    if args.usage and reply is not None:
        print_stderr(format_usage(reply))
