"""Conversations of the command line, each a file in the user's data folder that nobody else can read."""

from __future__ import annotations

import os
import re
import secrets
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from aichatkit.chats.chat import Chat
from aichatkit.cli.output import print_stderr
from aichatkit.cli.paths import data_folder
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError
from aichatkit.params import nearest

__all__ = ["SavedChat", "add_saving_options", "chats_folder", "find_chat_path", "latest_chat_path"]

_NAME = re.compile(r"\w[\w .-]{0,99}")


def add_saving_options(parser: ArgumentParser) -> None:
    """Add the options that `SavedChat` reads."""
    parser.add_argument(
        "-c", "--continue", action="store_true", dest="continued", help="go on with the last conversation"
    )
    parser.add_argument("--chat", metavar="NAME", help="go on with this conversation, or begin one of this name")
    parser.add_argument(
        "--no-save", action="store_true", help="keep no conversation; AICHATKIT_NO_SAVE=1 does so for every call"
    )


class SavedChat:
    """Where a conversation comes from, and where it goes after each finished turn."""

    def __init__(self, args: Namespace) -> None:
        if args.continued and args.chat is not None:
            raise ConfigurationError("--continue and --chat: give one of the two")
        self.saving = not (args.no_save or os.environ.get("AICHATKIT_NO_SAVE"))
        if args.continued:
            self.path = latest_chat_path()
            if self.path is None:
                raise ConfigurationError(f"--continue: there is no saved conversation in {chats_folder()}")
        else:
            self.path = None if args.chat is None else chat_path(args.chat)
        # Read at once, so that what cannot be gone on with is told before anything is opened.
        self._before = Chat.load(self.path, client=Client()) if self.path is not None and self.path.exists() else None

    @property
    def model(self) -> Any:
        """The model of the conversation so far, None for that of the environment."""
        return None if self._before is None else self._before.model

    def open(self, client: Client, *, model: Any, system: str | None) -> Chat:
        """Return the conversation on a client; a model and system text given now are from now on its own."""
        chat = self._before or Chat(client)
        chat.client = client
        chat.model = model or chat.model
        chat.system = chat.system if system is None else system
        return chat

    def save(self, chat: Chat, *, name: str = "", asked: bool = False) -> Path | None:
        """Write the conversation, also where it is not saved by itself if it is `asked` for, and return its path.

        A `name` is where it lies from now on. A disk that does not take it costs no answer.
        """
        if name:
            self.path = chat_path(name)
        elif not self.saving and not asked:
            return None
        elif self.path is None:
            self.path = _unused()
        try:
            with _private():
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                chat.save(self.path)
        except OSError as error:
            print_stderr(f"the conversation is not saved: {error}")
            return None
        return self.path


def chats_folder() -> Path:
    """Return the folder of saved conversations."""
    return data_folder() / "chats"


def chat_path(name: str) -> Path:
    """Return where a conversation of this name lies, whether or not there is one."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise ConfigurationError(
            f"the name of a conversation has letters, digits, blanks, dots, - and _ only, not {name!r}"
        )
    return chats_folder() / f"{name}.json"


def find_chat_path(name: str) -> Path:
    """Return a saved conversation by its name."""
    path = chat_path(name)
    if not path.exists():
        names = [known.stem for known in chats_folder().glob("*.json")]
        raise ConfigurationError(f"there is no saved conversation {name!r}{nearest(name, names)}")
    return path


def latest_chat_path() -> Path | None:
    """Return the conversation that was saved last."""
    return max(chats_folder().glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def _unused() -> Path:
    # The end tells apart what begins in the same second.
    return chats_folder() / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}.json"


@contextmanager
def _private() -> Iterator[None]:
    """What is made here is for its owner alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
