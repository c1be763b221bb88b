"""A conversation: a client and a history, into which a turn enters only when it is complete."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from aichatkit._lazy import lazy_module
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Message, Prompt, ToolCallsMessage, ToolResultMessage, parse_messages
from aichatkit.params import PARAMS
from aichatkit.reply import Reply
from aichatkit.streams import Stream

if TYPE_CHECKING:
    from aichatkit import _warnings, attachments, transcripts
    from aichatkit.chats import trimming
    from aichatkit.client import Client
    from aichatkit.display import reprs
    from aichatkit.storage import archive
else:
    # Most conversations stay in memory.
    archive = lazy_module("aichatkit.storage.archive")
    _warnings = lazy_module("aichatkit._warnings")
    attachments = lazy_module("aichatkit.attachments")
    reprs = lazy_module("aichatkit.display.reprs")
    transcripts = lazy_module("aichatkit.transcripts")
    trimming = lazy_module("aichatkit.chats.trimming")

__all__ = ["Chat"]

logger = logging.getLogger(__name__)

#: Options that a file holds; others may be secret, or no data.
_KEPT = PARAMS | {"trim"}


class Chat:
    """A conversation with one client; `history` holds its complete turns.

    Options of `ask` and `stream` are those of the client; the ones given here hold for every turn.
    With `trim=` a number of tokens, or "auto" for what the model takes, the oldest turns are not sent where all of them
    would not fit; a TrimmedWarning says so when that begins. The history keeps them.
    """

    #: Where a loaded conversation gets its client from; the client's module, which knows this one, puts it here.
    default_client: ClassVar[Callable[[], Client]]

    def __init__(
        self,
        client: Client,
        *,
        system: str | None = None,
        history: Sequence[Any] = (),
        model: Any = None,
        trim: int | str | None = None,
        **options: Any,
    ) -> None:
        client.check_options(options)
        self._trim = None if trim is None else trimming.parse_trim(trim)
        #: How many messages of the history the last question went without.
        self.trimmed = 0
        self.client = client
        self.system = system
        self.model = model
        self._options = options
        self._history = attachments.with_files(parse_messages(list(history))) if history else []
        self._lock = threading.Lock()

    @property
    def history(self) -> list[Message]:
        """The complete turns, oldest first, as a new list."""
        return list(self._history)

    def ask(self, prompt: Prompt, **options: Any) -> Reply:
        """Ask within the conversation and return the reply."""
        turns, asked = self._turn(prompt, options)
        reply = self.client.ask(self._sent(turns, asked), **asked)
        self._keep(turns, reply)
        return reply

    def stream(self, prompt: Prompt, **options: Any) -> Stream:
        """Ask within the conversation and return the stream; the turn enters the history when it has ended."""
        turns, asked = self._turn(prompt, options)
        stream = self.client.stream(self._sent(turns, asked), **asked)
        stream.when_complete(partial(self._keep, turns))
        return stream

    def show(self, prompt: Prompt, *, plain: bool = False, **options: Any) -> Reply:
        """Ask within the conversation and show the answer while it comes; see `Stream.show`."""
        return self.stream(prompt, **options).show(plain=plain)

    def undo(self) -> list[Message]:
        """Take the last question and its answer out of the history and return them."""
        with self._lock:
            start = trimming.last_turn(self._history)
            taken = self._history[start:]
            del self._history[start:]
        return taken

    def fork(self) -> Chat:
        """Return a second conversation that starts from the same history and goes its own way."""
        settings = {"system": self.system, "model": self.model, "trim": self._trim, **self._options}
        return Chat(self.client, history=self.history, **settings)

    def to_markdown(self) -> str:
        """Return the conversation as Markdown; files are named, not embedded."""
        return transcripts.messages_to_markdown(self.history, system=self.system)

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the conversation as Markdown, to be read by people; `save` writes what can be loaded again."""
        return archive.write_text(path, self.to_markdown())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the conversation as readable JSON, replacing the file in one step, and return its path.

        Sampling parameters are kept with it; files, too. Keys, headers and tools are not.
        """
        options = {**self._options, "trim": self._trim}
        record = {
            "system": self.system,
            "model": self.model,
            "options": {name: value for name, value in options.items() if name in _KEPT and value is not None},
            "messages": list(map(transcripts.message_to_dict, self.history)),
        }
        return archive.write_chat(path, record)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, client: Client | None = None) -> Chat:
        """Return a saved conversation, on the default client unless one is given.

        Raises:
            ConfigurationError: the file is no conversation, or was saved by a newer version.
        """
        record = archive.read_chat(path)
        options = {name: value for name, value in record["options"].items() if name in _KEPT}
        client = client or cls.default_client()
        try:
            return cls(client, system=record["system"], history=record["messages"], model=record["model"], **options)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        return f"<Chat of {len(self._history)} messages>"

    def _repr_markdown_(self) -> str:
        return reprs.chat_markdown(self.system, self._history)

    def _turn(self, prompt: Prompt, options: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
        """Return the turns for a prompt, with their files, and the options to ask with."""
        asked = {"system": self.system, "model": self.model, **self._options, **options}
        asked = {name: value for name, value in asked.items() if value is not None}
        history = self._history
        # The results of tools name calls that stand in the history.
        turns = parse_messages(prompt, history=history)[len(history) :]
        _check_results(history, turns)
        return attachments.with_files(turns, asked.pop("files", ())), asked

    def _sent(self, turns: Sequence[Message], asked: Mapping[str, Any]) -> list[Message]:
        """Return the history, as much of it as fits, and the turns."""
        history = self.history
        if self._trim is None:
            return [*history, *turns]
        call = self.client._planned([*history, *turns], **asked)
        kept = trimming.trimmed(history, turns, call, self._trim)
        before, self.trimmed = self.trimmed, len(history) - len(kept)
        if self.trimmed:
            told = f"{self.trimmed} of {len(history)} messages of the conversation, the oldest, are not sent"
            logger.info("%s (trim=%r)", told, self._trim)
            if not before:
                _warnings.warn_user(f"{told} (trim={self._trim!r}); its history keeps them", _warnings.TrimmedWarning)
        return [*kept, *turns]

    def _keep(self, turns: Sequence[Message], reply: Reply) -> None:
        # With the calls it asks for, so that the next turn can bring their results.
        if reply.text or reply.tool_calls:
            with self._lock:
                self._history += [*turns, reply.message]


def _check_results(history: Sequence[Message], turns: Sequence[Message]) -> None:
    """Refuse what no service could answer: a turn that goes on before the calls of the last one have their results."""
    last = max((i for i, message in enumerate(history) if isinstance(message, ToolCallsMessage)), default=None)
    if last is None:
        return
    waiting = {call.id: call.name for call in getattr(history[last], "calls", ())}
    for message in [*history[last + 1 :], *turns]:
        if not isinstance(message, ToolResultMessage):
            break
        waiting.pop(message.call.id, None)
    if waiting:
        key, name = next(iter(waiting.items()))
        raise ConfigurationError(
            f"chat: the model waits for what {name!r} returns; pass "
            f'[{{"role": "tool", "tool_call_id": {key!r}, "content": "..."}}] for each call, or undo() the question'
        )
