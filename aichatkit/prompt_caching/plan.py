"""What a request asks of the prompt cache of its service; providers turn it into the fields of their protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.errors import ConfigurationError

if TYPE_CHECKING:
    from aichatkit.messages import Message

__all__ = ["HEAD", "MODES", "CachePlan", "RowHead", "SharedHead", "parse_mode"]

#: The place of a mark after the tools and the system prompt; the others are positions of messages.
HEAD = -1
#: The values of `prompt_cache`.
MODES = ("auto", "safe", True, "1h", False)


class SharedHead(NamedTuple):
    """The beginning that all rows of a run have in common.

    It ends after `length` characters of the message at `place`, or after tools and system prompt if `length` is 0.
    With `is_certain`, more rows follow.
    """

    place: int
    length: int
    is_certain: bool


class RowHead(NamedTuple):
    """The beginning that the rows of a run have in common: so many characters of their last message, with this hash."""

    length: int
    digest: bytes
    is_certain: bool

    @classmethod
    def of(cls, text: str, *, is_certain: bool) -> RowHead:
        """Return the head of rows whose last message begins with a text."""
        return cls(len(text), _digest(text), is_certain)

    def place_in(self, messages: Sequence[Message]) -> SharedHead:
        """Return where it ends in the messages of a row; before the last one if that begins differently."""
        content = messages[-1].content
        begins = isinstance(content, str) and _digest(content[: self.length]) == self.digest
        return SharedHead(len(messages) - 1, self.length if begins else 0, self.is_certain)


class CachePlan(NamedTuple):
    """How a request uses the prompt cache of its service.

    The prompt is marked after the messages in `marks`, and in `part`, a message, after a number of its characters.
    With `writes_nothing`, the service does not write the prompt on its own either. `key` is the same for requests with
    the same beginning, empty if the service needs none; `is_off` if the caller wants no caching.
    """

    marks: Sequence[int] = ()
    part: tuple[int, int] | None = None
    is_long: bool = False
    writes_nothing: bool = False
    key: str = ""
    is_off: bool = False

    @property
    def has_marks(self) -> bool:
        """Whether anything is marked."""
        return bool(self.marks) or self.part is not None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def parse_mode(mode: Any) -> Any:
    """Return the value of `prompt_cache`; reject what is not one of its values.

    >>> parse_mode("1h"), parse_mode(True)
    ('1h', True)
    """
    if isinstance(mode, bool) or (isinstance(mode, str) and mode in MODES):
        return mode
    raise ConfigurationError(f"prompt_cache must be 'auto', 'safe', True, '1h' or False, got {mode!r}")
