"""Prompt + conversation history -> call, and its reply -> history: a turn is added only once it is complete."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.call.signatures import CallOptions, ChatOptions, with_signatures
from aichatkit.chunks import Usage
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Message, Prompt, ToolCallsMessage, ToolResultMessage, parse_messages
from aichatkit.params import PARAMS, parse_path
from aichatkit.reply import Reply, sum_known, sum_usage
from aichatkit.streams import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

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

#: Options that `save` writes; others may be secret, or not serializable.
_SAVED_OPTIONS = PARAMS | {"trim"}


@with_signatures
class Chat:
    """A conversation with one client, by default that of the package's functions.

    `history` holds the messages of its complete turns.
    `ask` and `stream` take the options of the client's methods; options passed here apply to every turn.
    `trim=` limits the tokens of each request: if the conversation exceeds it, the oldest turns are not sent.
    It is a number of tokens, or "auto" for the model's context window. The history keeps all turns,
    and a TrimmedWarning is issued when trimming starts.
    """

    def __init__(self, client: Client | None = None, **options: Unpack[ChatOptions]) -> None:
        if isinstance(client, str):
            raise ConfigurationError(f"Chat: takes a Client first; pass the model by name, model={client!r:.60}")
        client = _default_client() if client is None else client
        history: Any
        history, trim = options.pop("history", ()), options.pop("trim", None)
        self.system = options.pop("system", None)
        self.model = options.pop("model", None)
        client.check_options(options)
        history = () if history is None else history
        if isinstance(history, (str, bytes, Mapping)) or not isinstance(history, Iterable):
            raise ConfigurationError(f"history: must be a list of messages, not {type(history).__name__}")
        self._trim = None if trim is None else trimming.parse_trim(trim)
        #: How many messages of the history were not sent with the last prompt.
        self.trimmed = 0
        self.client = client
        self._options: dict[str, Any] = {**options}
        turns = list(history)
        self._history = attachments.with_files(parse_messages(turns)) if turns else []
        self._usage = Usage()
        self._cost: float | None = 0.0
        self._lock = threading.Lock()

    @property
    def history(self) -> list[Message]:
        """The messages of the complete turns, oldest first, as a new list."""
        return list(self._history)

    @property
    def messages(self) -> list[Message]:
        """The same as `history`."""
        return self.history

    @property
    def usage(self) -> Usage:
        """The total token usage of the replies, as far as services reported it; see `cost` for what counts."""
        return self._usage

    @property
    def cost(self) -> float | None:
        """The total cost of the replies in US dollars; None if the cost of any reply is unknown.

        It includes replies that were removed by `undo` or `clear`, and those from before a `fork`, or a `save` and
        `load`. The history that you pass and calls that failed are not counted, as there is no reply to them.
        """
        return self._cost

    def ask(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Reply:
        """Send a prompt with the conversation history and return the reply; if this fails, the history is unchanged."""
        messages, merged = self._prepare_turn(prompt, options)
        reply = self.client.ask(self._messages_to_send(messages, merged), **merged)
        self._add_turn(messages, reply)
        return reply

    def stream(self, prompt: Prompt, **options: Unpack[CallOptions]) -> Stream:
        """Send a prompt with the conversation history and return the stream.

        The turn is added to the history once the stream is complete; a partial answer is not kept.
        """
        messages, merged = self._prepare_turn(prompt, options)
        stream = self.client.stream(self._messages_to_send(messages, merged), **merged)
        stream.when_complete(partial(self._add_turn, messages))
        return stream

    def show(self, prompt: Prompt, *, plain: bool = False, **options: Unpack[CallOptions]) -> Reply:
        """Send a prompt with the conversation history and show the answer as it arrives; see `Stream.show`."""
        return self.stream(prompt, **options).show(plain=plain)

    def undo(self) -> list[Message]:
        """Remove the last turn, prompt and answer, from the history and return its messages; [] if there is none."""
        with self._lock:
            start = trimming.last_turn_start(self._history)
            removed = self._history[start:]
            del self._history[start:]
        return removed

    def clear(self) -> None:
        """Remove all turns from the history; the system prompt, options, usage and cost stay."""
        with self._lock:
            self._history.clear()
            self.trimmed = 0

    def fork(self) -> Chat:
        """Return an independent copy of the conversation, with the same client, history and options."""
        settings = {"system": self.system, "model": self.model, "trim": self._trim, **self._options}
        copy = Chat(self.client, history=self.history, **settings)
        copy._usage, copy._cost = self._usage, self._cost
        return copy

    def to_markdown(self) -> str:
        """Return the conversation as Markdown; attachments are named, not embedded."""
        return transcripts.messages_to_markdown(self.history, system=self.system)

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the conversation as Markdown to a .md file, or as `save` does to a .json file, and return the path.

        Raises:
            ConfigurationError: the path has another suffix; nothing is written.
        """
        path = parse_path(path, "export: must be the path of a file")
        suffix = Path(path).suffix.lower()
        if suffix == ".json":
            return self.save(path)
        if suffix not in (".md", ".markdown"):
            raise ConfigurationError(f"export: {path!r} must end in .md or .json")
        return archive.write_text(path, self.to_markdown())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Save the conversation as readable JSON, replacing the file atomically, and return the path.

        Attachments and sampling parameters are saved as well; API keys, headers and tools are not.
        """
        path = parse_path(path, "save: must be the path of a file")
        if Path(path).suffix.lower() not in ("", ".json"):
            raise ConfigurationError(f"save: {path!r} must end in .json; export writes .md")
        options = {**self._options, "trim": self._trim}
        record = {
            "system": self.system,
            "model": self.model,
            "options": {name: value for name, value in options.items() if name in _SAVED_OPTIONS and value is not None},
            **archive.totals_record(self._usage, self._cost),
            "messages": list(map(transcripts.message_to_dict, self.history)),
        }
        return archive.write_chat(path, record)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, client: Client | None = None) -> Chat:
        """Load a conversation written by `save`; without `client`, it uses the default client.

        Raises:
            ConfigurationError: the file is not a saved conversation, or was saved by a newer version.
            OSError: the file cannot be read.
        """
        record = archive.read_chat(parse_path(path, "load: must be the path of a file"))
        options = {name: value for name, value in record["options"].items() if name in _SAVED_OPTIONS}
        try:
            chat = cls(client, system=record["system"], history=record["messages"], model=record["model"], **options)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}", reason=error.reason) from error
        chat._usage, chat._cost = archive.read_totals(record)
        return chat

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __len__(self) -> int:
        """Return the number of messages in the history."""
        return len(self._history)

    def __bool__(self) -> bool:
        # Not whether there are messages: a new conversation is a conversation.
        return True

    def __repr__(self) -> str:
        return f"<Chat of {len(self._history)} messages>"

    def _repr_markdown_(self) -> str:
        return reprs.chat_markdown(self.system, self._history)

    def _prepare_turn(self, prompt: Prompt, options: Mapping[str, object]) -> tuple[list[Message], dict[str, Any]]:
        """Return the messages to add for a prompt, with their attachments, and the options of the call."""
        given = {"system": self.system, "model": self.model, **self._options, **options}
        merged: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        history = self._history
        # Tool results refer to calls in the history.
        messages = parse_messages(prompt, history=history)[len(history) :]
        _check_tool_results(history, messages)
        return attachments.with_files(messages, merged.pop("files", ())), merged

    def _messages_to_send(self, messages: Sequence[Message], options: Mapping[str, Any]) -> list[Message]:
        """Return the history, trimmed if necessary, and the new messages."""
        history = self.history
        if self._trim is None:
            return [*history, *messages]
        call = self.client._build_call([*history, *messages], 0, **options)
        remaining = trimming.trim_history(history, messages, call, self._trim)
        previously_trimmed, self.trimmed = self.trimmed, len(history) - len(remaining)
        if self.trimmed:
            notice = f"{self.trimmed} of {len(history)} messages of the conversation, the oldest, are not sent"
            logger.info("%s (trim=%r)", notice, self._trim)
            if not previously_trimmed:
                _warnings.warn_user(f"{notice} (trim={self._trim!r}); its history keeps them", _warnings.TrimmedWarning)
        return [*remaining, *messages]

    def _add_turn(self, messages: Sequence[Message], reply: Reply) -> None:
        # `reply.message` includes the tool calls, so that the next turn can supply their results.
        with self._lock:
            self._usage, self._cost = sum_usage([self._usage, reply.usage]), sum_known([self._cost, reply.cost])
            if reply.text or reply.tool_calls:
                self._history += [*messages, *(reply.turn or [reply.message])]


def _default_client() -> Client:
    # Imported here, as `api` is a later layer.
    from aichatkit.api import default_client

    return default_client()


def _check_tool_results(history: Sequence[Message], messages: Sequence[Message]) -> None:
    """Raise ConfigurationError if the latest tool calls lack results, as every service would reject the request."""
    last = max((i for i, message in enumerate(history) if isinstance(message, ToolCallsMessage)), default=None)
    if last is None:
        return
    pending = {call.id: call.name for call in getattr(history[last], "calls", ())}
    for message in [*history[last + 1 :], *messages]:
        if not isinstance(message, ToolResultMessage):
            break
        pending.pop(message.call.id, None)
    if pending:
        call_id, name = next(iter(pending.items()))
        raise ConfigurationError(
            f"chat: the model waits for what {name!r} returns; pass "
            f'[{{"role": "tool", "tool_call_id": {call_id!r}, "content": "..."}}] for each call, or undo() the question'
        )
