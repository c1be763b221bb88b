"""Request -> the beginnings of its prompt, each with a hash and an estimated token count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.prompt_caching.plan import HEAD, SharedHead
from aichatkit.providers.base import Options, Provider

__all__ = ["Beginning", "MeasuredPrompt", "measure"]

_INSTRUCTIONS = ("system", "developer")
#: Tokens assumed for a picture or another file without text.
_FILE_TOKENS = 1000
_BYTES_PER_TOKEN = 4


class Beginning(NamedTuple):
    """A prompt up to and including the message at `place`, or HEAD for its tools and system prompt."""

    place: int
    digest: bytes
    tokens: int


class MeasuredPrompt(NamedTuple):
    """The beginnings of a prompt; `shared` is the one that all rows of a run have."""

    head: Beginning
    messages: Sequence[Beginning]
    shared: Beginning | None = None

    @property
    def tokens(self) -> int:
        """The tokens of the whole prompt."""
        return self.messages[-1].tokens if self.messages else self.head.tokens

    @property
    def key(self) -> str:
        """Hexadecimal digits that prompts with the same beginning share; they reveal none of its text."""
        first = self.head if self.head.tokens or not self.messages else self.messages[0]
        return first.digest.hex()[:32]


class _Reader:
    """Hashes and counts what a prompt consists of, in its order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._bytes = 0
        self._file_tokens = 0

    def add(self, text: str, *, counts: bool = True) -> None:
        data = text.encode("utf-8", "surrogatepass")
        # The length keeps texts apart that would be the same if joined.
        self._hash.update(b"%d:" % len(data) + data)
        self._bytes += len(data) if counts else 0

    def add_file(self, file: File) -> None:
        self.add(f"{file.kind} {file.media_type} {file.url} {file.detail}", counts=False)
        self._hash.update(file.data)
        self._bytes += len(file.data) if file.kind == "text" else 0
        self._file_tokens += 0 if file.kind == "text" else _FILE_TOKENS

    def beginning(self, place: int) -> Beginning:
        return Beginning(place, self._hash.digest(), self._bytes // _BYTES_PER_TOKEN + self._file_tokens)

    def copy(self) -> _Reader:
        copy = _Reader()
        copy._hash, copy._bytes, copy._file_tokens = self._hash.copy(), self._bytes, self._file_tokens
        return copy


def measure(
    provider: Provider, model: str, messages: Sequence[Message], options: Options, shared: SharedHead | None = None
) -> MeasuredPrompt:
    """Return the beginnings of a prompt; whatever makes a service start over is part of the head."""
    reader = _Reader()
    settings = [provider.url, model, options.params.get("reasoning_effort"), options.schema, options.extra]
    reader.add(repr(settings), counts=False)
    for tool in options.tools:
        reader.add(repr([tool.name, tool.description, tool.parameters]))
    for message in messages:
        if message.role in _INSTRUCTIONS:
            _add_message(reader, message)
    head = reader.beginning(HEAD)
    found = head if shared is not None and not shared.length else None
    beginnings = []
    for place, message in enumerate(messages):
        if message.role in _INSTRUCTIONS:
            continue
        if shared is not None and shared.length and shared.place == place and isinstance(message.content, str):
            part = reader.copy()
            part.add(message.role, counts=False)
            part.add(message.content[: shared.length])
            found = part.beginning(place)
        _add_message(reader, message)
        beginnings.append(reader.beginning(place))
    return MeasuredPrompt(head, beginnings, found)


def _add_message(reader: _Reader, message: Message) -> None:
    reader.add(message.role, counts=False)
    for part in _parts(message):
        if isinstance(part, File):
            reader.add_file(part)
        else:
            reader.add(part)
    if isinstance(message, ToolCallsMessage):
        for call in message.calls:
            reader.add(repr([call.id, call.name, call.arguments]))
        reader.add(repr(list(message.thoughts)), counts=False)
    elif isinstance(message, ToolResultMessage):
        reader.add(message.call.id, counts=False)


def _parts(message: Message) -> Iterator[Any]:
    if isinstance(message.content, str):
        yield message.content
        return
    for part in message.content:
        yield part["file"] if isinstance(part.get("file"), File) else str(part.get("text") or part)
