"""A conversation: a client and a history, into which a turn enters only when it is complete."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ClassVar

from aichatkit.errors import ConfigurationError
from aichatkit.files import with_files
from aichatkit.messages import Content, File, Message, Prompt, ToolCallsMessage, ToolResultMessage, parse_messages
from aichatkit.reply import Reply
from aichatkit.streams import Stream

if TYPE_CHECKING:
    from aichatkit.client import Client

__all__ = ["Chat"]

_VERSION = 1
_FIELDS = {"system", "model", "messages"}


class Chat:
    """A conversation with one client; `history` holds its complete turns.

    Options of `ask` and `stream` are those of the client; the ones given here hold for every turn.
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
        **options: Any,
    ) -> None:
        client.check_options(options)
        self.client = client
        self.system = system
        self.model = model
        self._options = options
        self._history = with_files(parse_messages(list(history))) if history else []
        self._lock = threading.Lock()

    @property
    def history(self) -> list[Message]:
        """The complete turns, oldest first, as a new list."""
        return list(self._history)

    def ask(self, prompt: Prompt, **options: Any) -> Reply:
        """Ask within the conversation and return the reply."""
        turns, asked = self._turn(prompt, options)
        reply = self.client.ask([*self._history, *turns], **asked)
        self._keep(turns, reply)
        return reply

    def stream(self, prompt: Prompt, **options: Any) -> Stream:
        """Ask within the conversation and return the stream; the turn enters the history when it has ended."""
        turns, asked = self._turn(prompt, options)
        stream = self.client.stream([*self._history, *turns], **asked)
        stream.when_complete(partial(self._keep, turns))
        return stream

    def undo(self) -> list[Message]:
        """Take the last question and its answer out of the history and return them."""
        with self._lock:
            start = max((i for i, message in enumerate(self._history) if message.role == "user"), default=0)
            taken = self._history[start:]
            del self._history[start:]
        return taken

    def fork(self) -> Chat:
        """Return a second conversation that starts from the same history and goes its own way."""
        return Chat(self.client, system=self.system, history=self._history, model=self.model, **self._options)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the conversation as readable JSON, replacing the file in one step, and return its path."""
        target = Path(path)
        record = {
            "aichatkit": _VERSION,
            "system": self.system,
            "model": self.model,
            "messages": list(map(_plain_turn, self._history)),
        }
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
        unfinished.write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, target)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, client: Client | None = None) -> Chat:
        """Return a saved conversation, on the default client unless one is given."""
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError:
            record = None
        if not isinstance(record, dict) or record.get("aichatkit") != _VERSION or not set(record) >= _FIELDS:
            raise ConfigurationError(f"{path}: is not a conversation saved by this version")
        client = client or cls.default_client()
        return cls(client, system=record["system"], history=record["messages"], model=record["model"])

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        return f"<Chat of {len(self._history)} messages>"

    def _turn(self, prompt: Prompt, options: Mapping[str, Any]) -> tuple[list[Message], dict[str, Any]]:
        """Return the turns for a prompt, with their files, and the options to ask with."""
        asked = {"system": self.system, "model": self.model, **self._options, **options}
        asked = {name: value for name, value in asked.items() if value is not None}
        return with_files(parse_messages(prompt), asked.pop("files", ())), asked

    def _keep(self, turns: Sequence[Message], reply: Reply) -> None:
        # An answer that only asks for tools waits for their results, so its turn is not complete.
        if reply.text:
            with self._lock:
                self._history += [*turns, Message("assistant", reply.text)]


def _plain_turn(message: Message) -> dict[str, Any]:
    """Return a turn as JSON can hold it, in OpenAI's form."""
    turn = {"role": message.role, "content": _plain(message.content)}
    if isinstance(message, ToolCallsMessage):
        turn["tool_calls"] = [
            {"id": call.id, "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
            for call in message.calls
        ]
    if isinstance(message, ToolResultMessage):
        turn["tool_call_id"] = message.call.id
    return turn


def _plain(content: Content) -> Any:
    """Return a content as JSON can hold it, its files in OpenAI's form."""
    if isinstance(content, str):
        return content
    return [_plain_file(part["file"]) if isinstance(part.get("file"), File) else part for part in content]


def _plain_file(file: File) -> dict[str, Any]:
    data = file.url or f"data:{file.media_type};base64,{base64.b64encode(file.data).decode('ascii')}"
    return {"type": "file", "file": {"filename": file.name, "file_data": data}}
