"""Slash commands of `aichatkit chat`: a line that begins with a slash -> its effect on the conversation."""

from __future__ import annotations

from argparse import Namespace

from aichatkit.attachments import load_file
from aichatkit.call.targets import find_targets
from aichatkit.chats.chat import Chat
from aichatkit.cli import settings
from aichatkit.cli.client_options import choose_model, open_client
from aichatkit.cli.conversations import SavedChat
from aichatkit.cli.key_store import keys_for
from aichatkit.cli.output import print_stderr
from aichatkit.errors import ConfigurationError
from aichatkit.messages import File
from aichatkit.params import suggestion

__all__ = ["SLASH_COMMANDS", "SlashCommands"]

#: Command -> summary, as shown by /help.
SLASH_COMMANDS = {
    "/help": "list the commands",
    "/model": "[PROVIDER/MODEL ...] switch to another model, with fallbacks; alone: show the current one",
    "/system": "[TEXT] set the system prompt, - for none; alone: show it",
    "/file": "PATH attach a file or URL to the next question",
    "/undo": "remove the last question and its answer",
    "/save": "[NAME] save the conversation, under a name if given",
    "/quit": "leave, like Ctrl-D",
}
_HELP_NOTES = """\
Ctrl-C stops an answer. A line that ends in \\ continues on the next; so does a block between lines of \"\"\" or ```.
To send a question that begins with a slash, type two slashes.
"""


class SlashCommands:
    """Runs the slash commands of a conversation; `files` are to be attached to the next question."""

    def __init__(self, args: Namespace, chat: Chat, saved_chat: SavedChat) -> None:
        self._args = args
        self._chat = chat
        self._saved_chat = saved_chat
        self.files: list[File] = []

    def run(self, line: str) -> bool:
        """Run one command and return whether the conversation goes on; raise ConfigurationError if it is invalid."""
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        if name in ("/quit", "/exit"):
            return False
        if name == "/help":
            self._help()
        elif name == "/model":
            self._model(rest)
        elif name == "/system":
            self._system(rest)
        elif name == "/file":
            self._file(rest)
        elif name == "/undo":
            self._undo()
        elif name == "/save":
            self._save(rest)
        else:
            raise ConfigurationError(
                f"there is no command {name}{suggestion(name, SLASH_COMMANDS)}; /help lists them; "
                "to send a question that begins with a slash, type two slashes"
            )
        return True

    def _help(self) -> None:
        for name, summary in SLASH_COMMANDS.items():
            print_stderr(f"{name:<8} {summary}")
        for line in _HELP_NOTES.splitlines():
            print_stderr(line)

    def _model(self, names: str) -> None:
        if names:
            models = [settings.resolve(name) for name in names.split()]
            find_targets(models, keys=keys_for(models))
            previous = self._chat.client
            # Another service may need a different stored key, and must not get a key that was meant for the first.
            self._chat.client = open_client(Namespace(**{**vars(self._args), "model": models}))
            self._args.model = models
            self._chat.model = models[0] if len(models) == 1 else models
            previous.close()
        model = choose_model(self._args, self._chat.model) or "chosen by the keys"
        print_stderr(f"the model is {model if isinstance(model, str) else ', '.join(model)}")

    def _system(self, text: str) -> None:
        if text:
            self._chat.system = None if text == "-" else text
        print_stderr(f"the system prompt is: {self._chat.system}" if self._chat.system else "there is no system prompt")

    def _file(self, path: str) -> None:
        if not path:
            raise ConfigurationError("/file: name a file or a URL")
        self.files.append(load_file(path.strip("'\"")))
        print_stderr(f"{self.files[-1].name or path} will be sent with the next question")

    def _undo(self) -> None:
        removed = self._chat.undo()
        if not removed:
            raise ConfigurationError("/undo: there is nothing to undo")
        self._saved_chat.save(self._chat)
        print_stderr("removed the last question and its answer")

    def _save(self, name: str) -> None:
        path = self._saved_chat.save(self._chat, name=name, force=True)
        if path is not None:
            print_stderr(f"saved; continue it with: aichatkit chat --chat '{path.stem}'")
