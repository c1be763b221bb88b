"""--continue and --chat -> the file that a conversation is loaded from and saved to after each turn.

The command line keeps one file per conversation in the user's data folder, readable by the user only. This module
chooses the file; `Chat.save` and `Chat.load` write and read it, in the format defined by `storage.archive`.
"""

from __future__ import annotations

import os
import re
import secrets
from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path
from typing import Any

from aichatkit.chats.chat import Chat
from aichatkit.cli.output import print_stderr
from aichatkit.cli.paths import data_folder, private_umask
from aichatkit.client import Client
from aichatkit.errors import ConfigurationError
from aichatkit.params import suggestion

__all__ = ["SavedChat", "add_saving_options", "chats_folder", "find_chat_path", "latest_chat_path", "saved_names"]

_NAME = re.compile(r"\w(?:[\w .-]{0,98}[\w-])?")
#: Files of these names are devices on Windows, whatever their suffix; a folder may be shared with one.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:\..*)?", re.IGNORECASE)


def add_saving_options(parser: ArgumentParser) -> None:
    """Add the options that `SavedChat` reads."""
    parser.add_argument(
        "-c", "--continue", action="store_true", dest="continued", help="continue the last conversation"
    )
    parser.add_argument("--chat", metavar="NAME", help="continue this conversation, or start one with this name")
    parser.add_argument(
        "--no-save",
        action="store_true",
        help="do not save the conversation; AICHATKIT_NO_SAVE=1 always does so",
    )


class SavedChat:
    """The file of the current conversation: loaded at the start, saved after each finished turn.

    `path` is None until a new conversation is first saved; `autosave` is False with --no-save or AICHATKIT_NO_SAVE.
    """

    def __init__(self, args: Namespace) -> None:
        if args.continued and args.chat is not None:
            raise ConfigurationError("--continue and --chat: use only one of them")
        self.autosave = not (args.no_save or os.environ.get("AICHATKIT_NO_SAVE"))
        if args.continued:
            self.path = latest_chat_path()
            if self.path is None:
                raise ConfigurationError(f"--continue: there is no saved conversation in {chats_folder()}")
        else:
            self.path = None if args.chat is None else chat_path(args.chat)
        # Loaded here, so that a conversation that cannot be continued is reported before anything is opened.
        self._loaded = Chat.load(self.path, client=Client()) if self.path is not None and self.path.exists() else None

    @property
    def model(self) -> Any:
        """The model of the loaded conversation, None for the model of the environment."""
        return None if self._loaded is None else self._loaded.model

    def open(self, client: Client, *, model: Any, system: str | None) -> Chat:
        """Return the loaded or a new conversation on `client`; `model` and `system` replace its own unless None."""
        chat = self._loaded or Chat(client)
        chat.client = client
        chat.model = model or chat.model
        chat.system = chat.system if system is None else system
        return chat

    def save(self, chat: Chat, *, name: str = "", force: bool = False) -> Path | None:
        """Save the conversation and return its path, None if it is not saved.

        With `force`, it is saved even if automatic saving is off; with `name`, under that name from now on.
        Write errors are printed, not raised, so that the answer is not lost.
        """
        if name:
            self.path = chat_path(name)
        elif not self.autosave and not force:
            return None
        elif self.path is None:
            self.path = _new_path()
        try:
            with private_umask():
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                chat.save(self.path)
        except OSError as error:
            print_stderr(f"the conversation is not saved: {error}")
            return None
        return self.path


def chats_folder() -> Path:
    """Return the folder of the command line's saved conversations."""
    return data_folder() / "chats"


def chat_path(name: str) -> Path:
    """Return the path for a conversation of this name, which need not exist.

    Raises:
        ConfigurationError: the name is not valid; the message says what a name may contain.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"the name of a conversation consists of letters, digits, spaces, dots, - and _, not {name!r}"
        )
    if _DEVICE.fullmatch(name):
        raise ConfigurationError(f"{name!r} cannot be the name of a conversation: Windows reserves it for a device")
    return chats_folder() / f"{name}.json"


def find_chat_path(name: str) -> Path:
    """Return the path of an existing conversation; raise ConfigurationError if there is none of this name."""
    path = chat_path(name)
    if not path.exists():
        raise ConfigurationError(f"there is no saved conversation {name!r}{suggestion(name, saved_names())}")
    return path


def saved_names() -> list[str]:
    """Return the names of the saved conversations."""
    return [saved.stem for saved in chats_folder().glob("*.json")]


def latest_chat_path() -> Path | None:
    """Return the path of the conversation saved last, None if there are none."""
    return max(chats_folder().glob("*.json"), key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def _new_path() -> Path:
    # The suffix distinguishes conversations that begin in the same second.
    return chats_folder() / f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}.json"
