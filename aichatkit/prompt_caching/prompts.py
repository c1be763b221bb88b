"""Request -> the beginnings of its prompt, each with a hash and an estimated token count."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage
from aichatkit.prompt_caching.plan import HEAD, SharedHead
from aichatkit.providers.base import Options, Provider

__all__ = ["INSTRUCTIONS", "Beginning", "MeasuredPrompt", "common_length", "measure", "parts_of"]

#: The roles of messages that belong to the system prompt.
INSTRUCTIONS = ("system", "developer")
#: Tokens assumed for a picture or another file without text.
_FILE_TOKENS = 1000
_BYTES_PER_TOKEN = 4
#: Characters of the parts of a question, at first and once there are many.
_PART, _LARGE_PART, _MANY_PARTS = 4096, 16_384, 65_536
_LONGEST_WORD = 256


class Beginning(NamedTuple):
    """A prompt up to and including the message at `place`, or HEAD for its tools and system prompt.

    With `length`, it ends after so many characters of that message.
    """

    place: int
    digest: bytes
    tokens: int
    length: int = 0


class MeasuredPrompt(NamedTuple):
    """The beginnings of a prompt; `shared` is the one that all rows of a run have.

    `parts` are those that end in a long question, as other questions may be about the same document. `start` ends in
    the first message, where it is long enough to be cached.
    """

    head: Beginning
    messages: Sequence[Beginning]
    shared: Beginning | None = None
    parts: Sequence[Beginning] = ()
    start: Beginning | None = None

    @property
    def tokens(self) -> int:
        """The tokens of the whole prompt."""
        return self.messages[-1].tokens if self.messages else self.head.tokens

    @property
    def key(self) -> str:
        """Hexadecimal digits that prompts with the same beginning share; they reveal none of its text."""
        first = self.head if self.head.tokens or not self.messages else self.start or self.messages[0]
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

    def beginning(self, place: int, length: int = 0) -> Beginning:
        return Beginning(place, self._hash.digest(), self._bytes // _BYTES_PER_TOKEN + self._file_tokens, length)

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
    settings += [options.search, options.service_tools, options.tool_choice]
    reader.add(repr(settings), counts=False)
    for tool in options.tools:
        reader.add(repr([tool.name, tool.description, tool.parameters]))
    for message in messages:
        if message.role in INSTRUCTIONS:
            _add_message(reader, message)
    head = reader.beginning(HEAD)
    found = head if shared is not None and not shared.length else None
    beginnings: list[Beginning] = []
    parts: Sequence[Beginning] = ()
    start = None
    for place, message in enumerate(messages):
        if message.role in INSTRUCTIONS:
            continue
        if isinstance(message.content, str) and not beginnings:
            start = next(_cut(reader, place, message.content, _places_to_cut(message.content)), None)
        if isinstance(message.content, str) and shared is not None and shared.length and shared.place == place:
            (found,) = _cut(reader, place, message.content, [shared.length])
        elif isinstance(message.content, str) and shared is None and place == len(messages) - 1:
            parts = list(_cut(reader, place, message.content, _places_to_cut(message.content)))
        _add_message(reader, message)
        beginnings.append(reader.beginning(place))
    return MeasuredPrompt(head, beginnings, found, parts, start)


def _cut(reader: _Reader, place: int, content: str, lengths: Iterable[int]) -> Iterator[Beginning]:
    """Yield the beginnings of a prompt that end in a message."""
    reader, start = reader.copy(), 0
    for length in lengths:
        reader.add(content[start:length])
        yield reader.beginning(place, length)
        start = length


def _places_to_cut(content: str) -> Iterator[int]:
    """Yield where a long text may be cut, each place by the text before it alone: at the end of a word."""
    for end in (*range(_PART, _MANY_PARTS, _PART), *range(_MANY_PARTS, len(content), _LARGE_PART)):
        if end >= len(content):
            return
        space = max(content.rfind(space, end - _LONGEST_WORD, end) for space in " \n")
        yield end if space < 0 else space


def _add_message(reader: _Reader, message: Message) -> None:
    reader.add(message.role, counts=False)
    for part in parts_of(message):
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


def parts_of(message: Message) -> Iterator[Any]:
    """Yield the texts and the files of a message."""
    if isinstance(message.content, str):
        yield message.content
        return
    for part in message.content:
        yield part["file"] if isinstance(part.get("file"), File) else str(part.get("text") or part)


def common_length(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    low, high = 0, len(one)
    while low < high:
        middle = (low + high + 1) // 2
        if other.startswith(one[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low
