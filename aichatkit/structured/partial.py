"""Text of an answer, piece by piece -> the JSON read so far; every character is looked at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

from aichatkit._locks import Lock
from aichatkit.structured.validation import resolve

__all__ = ["JSONReader", "PartialData"]

_NOTHING: Any = object()
_SPACE = re.compile(r"[ \t\r\n]*")
_START = re.compile(r"[{\[]")
_RUN = re.compile(r'[^"\\]*')
_NUMBER_RUN = re.compile(r"[-+0-9.eE]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
#: Reasoning that some models write into the text before the answer, and its end.
_THOUGHTS = {"<think>": "</think>", "<thinking>": "</thinking>"}
#: A longer number is not one.
_MAX_NUMBER = 4000
#: What a state returns if it needs more text.
_MORE = -1


class PartialData:
    """The data of an answer in progress: pieces are added as they arrive, and read when someone looks."""

    def __init__(self, make_reader: Callable[[], JSONReader]) -> None:
        self._make_reader = make_reader
        self._lock = Lock()
        self.restart()

    def restart(self) -> None:
        """Forget everything, as another answer begins."""
        self._pending: list[str] = []
        self._reader = self._make_reader()
        self._find_final: Callable[[], Any] | None = None
        self._final: Any = None
        self._is_final = False

    def end_with(self, find_final: Callable[[], Any]) -> None:
        """Set what returns the data of the answer that is complete; it is called if someone looks."""
        self._find_final = find_final

    def add(self, piece: str) -> None:
        """Add a piece of the text."""
        self._pending.append(piece)

    @property
    def value(self) -> Any:
        """The data read so far; the same dict or list each time, which grows."""
        with self._lock:
            if self._find_final is not None:
                self._final, self._find_final = self._find_final(), None
                self._is_final = True
            if self._is_final:
                return self._final
            pieces = self._pending[:]
            # Another thread may be adding some.
            del self._pending[: len(pieces)]
            self._reader.feed("".join(pieces))
            return self._reader.value


class JSONReader:
    """Reads the JSON value in a text that arrives in pieces.

    A text may be a prefix of the final one. Everything else that is not complete is left out, and so is a text where
    the schema has none, as that may be a list or an object that was written as text.

    `json_text` is the name of the field whose text holds the data, "" if there is none; with `is_wrapped`, the data is
    in the field "value" of an object.

    >>> reader = JSONReader({})
    >>> for piece in ('{"city": "Par', 'is", "size": 1', '05}'):
    ...     reader.feed(piece)
    ...     print(reader.value)
    {'city': 'Par'}
    {'city': 'Paris'}
    {'city': 'Paris', 'size': 105}
    """

    def __init__(self, schema: Mapping[str, Any], *, is_wrapped: bool = False, json_text: str = "") -> None:
        self._schema = schema
        self._is_wrapped = is_wrapped
        self._json_text = json_text
        wrapped = schema.get("properties", {}).get("value") if is_wrapped else None
        self._takes_list = wrapped is not None and _type_of(resolve(wrapped, schema)) == ["array"]
        self._root: Any = _NOTHING
        #: The containers that are open, each with its schema.
        self._open: list[tuple[Any, Any]] = []
        self._key = ""
        self._key_pieces: list[str] = []
        #: Where the pieces of the current text go.
        self._write: Callable[[str], None] = _ignore
        self._in_key = False
        self._inner: JSONReader | None = None
        self._closing = ""
        self._rest = ""
        self._state: Callable[[str, int], int] = self._begin

    def feed(self, text: str) -> None:
        """Read the next piece."""
        text, position = self._rest + text, 0
        while position < len(text):
            after = self._state(text, position)
            if after == _MORE:
                break
            position = after
        self._rest = text[position:]

    @property
    def value(self) -> Any:
        """The data read so far, None if there is none yet or the text turned out to hold something else."""
        if self._inner is not None:
            return self._inner.value
        if self._root is _NOTHING:
            return None
        if self._is_wrapped and isinstance(self._root, dict):
            return self._root.get("value")
        return self._root

    # The states: each reads from a position and returns the next one.

    def _begin(self, text: str, position: int) -> int:
        start = _skip_space(text, position)
        if start > position:
            return start
        for opening, closing in _THOUGHTS.items():
            if text.startswith(opening, start):
                self._closing, self._state = closing, self._skip_thoughts
                return start + len(opening)
        if any(opening.startswith(text[start:]) for opening in _THOUGHTS):
            return _MORE
        self._state = self._seek
        return start

    def _skip_thoughts(self, text: str, position: int) -> int:
        found = text.find(self._closing, position)
        if found >= 0:
            self._state = self._seek
            return found + len(self._closing)
        # The end may have begun.
        kept = len(text) - len(self._closing) + 1
        return kept if kept > position else _MORE

    def _seek(self, text: str, position: int) -> int:
        match = _START.search(text, position)
        if match is None:
            return len(text)
        if match[0] == "[" and not self._takes_list:
            return match.end()
        is_list = match[0] == "["
        self._root = [] if is_list else {}
        schema = self._schema["properties"]["value"] if is_list else self._schema
        self._enter(self._root, schema)
        return match.end()

    def _skip(self, text: str, position: int) -> int:
        return len(text)

    def _read_first_key(self, text: str, position: int) -> int:
        start = _skip_space(text, position)
        if start < len(text):
            if text[start] == "}":
                return self._leave(start)
            self._state = self._read_key
        return start

    def _read_key(self, text: str, position: int) -> int:
        start = _skip_space(text, position)
        if start == len(text):
            return start
        if text[start] != '"':
            return self._fail(start)
        self._key_pieces, self._in_key = [], True
        self._write = self._key_pieces.append
        self._state = self._read_text
        return start + 1

    def _read_colon(self, text: str, position: int) -> int:
        start = _skip_space(text, position)
        if start == len(text):
            return start
        if text[start] != ":":
            return self._fail(start)
        self._state = self._read_value
        return start + 1

    def _read_first_item(self, text: str, position: int) -> int:
        start = _skip_space(text, position)
        if start < len(text):
            if text[start] == "]":
                return self._leave(start)
            self._state = self._read_value
        return start

    def _read_value(self, text: str, position: int) -> int:
        start = _skip_space(text, position)
        if start == len(text):
            return start
        first = text[start]
        if first == '"':
            self._begin_text()
            return start + 1
        if first in "{[":
            container: Any = {} if first == "{" else []
            schema = self._schema_here()
            self._put(container)
            self._enter(container, schema)
            return start + 1
        return self._read_number(text, start) if first in "-0123456789" else self._read_word(text, start)

    def _read_number(self, text: str, start: int) -> int:
        end = _NUMBER_RUN.match(text, start).end()  # type: ignore[union-attr]
        if end - start > _MAX_NUMBER:
            return self._fail(end)
        if end == len(text):
            return _MORE
        match = _NUMBER.fullmatch(text, start, end)
        number = None if match is None else float(match[0]) if match[1] or match[2] else int(match[0])
        if number is None or number in (float("inf"), float("-inf")):
            return self._fail(end)
        self._put(number)
        self._state = self._read_end
        return end

    def _read_word(self, text: str, start: int) -> int:
        for word, value in _WORDS.items():
            if text.startswith(word, start):
                self._put(value)
                self._state = self._read_end
                return start + len(word)
        if any(word.startswith(text[start:]) for word in _WORDS):
            return _MORE
        return self._fail(start)

    def _read_text(self, text: str, position: int) -> int:
        end = _RUN.match(text, position).end()  # type: ignore[union-attr]
        if end > position:
            self._write(text[position:end])
            return end
        if text[position] == '"':
            if self._in_key:
                self._key, self._in_key = "".join(self._key_pieces), False
                self._state = self._read_colon
            else:
                self._state = self._read_end
            return position + 1
        return self._read_escape(text, position)

    def _read_escape(self, text: str, position: int) -> int:
        kind = text[position + 1 : position + 2]
        if kind == "u":
            return self._read_code(text, position)
        if kind:
            if kind not in _ESCAPES:
                return self._fail(position)
            self._write(_ESCAPES[kind])
            return position + 2
        return _MORE

    def _read_code(self, text: str, position: int) -> int:
        code = _code_at(text, position)
        if code is None:
            return _MORE if len(text) < position + 6 else self._fail(position)
        after = position + 6
        if 0xD800 <= code < 0xDC00 and "\\u".startswith(text[after : after + 2]):
            # Half of a character: the other half decides.
            other = _code_at(text, after)
            if other is None and len(text) < after + 6:
                return _MORE
            if other is not None and 0xDC00 <= other < 0xE000:
                self._write(chr(0x10000 + ((code - 0xD800) << 10) + other - 0xDC00))
                return after + 6
        self._write("\ufffd" if 0xD800 <= code < 0xE000 else chr(code))
        return after

    def _read_end(self, text: str, position: int) -> int:
        start = _skip_space(text, position)
        if start == len(text):
            return start
        is_object = isinstance(self._open[-1][0], dict)
        if text[start] == ",":
            self._state = self._read_key if is_object else self._read_value
            return start + 1
        return self._leave(start) if text[start] == ("}" if is_object else "]") else self._fail(start)

    # What the states do.

    def _enter(self, container: Any, schema: Any) -> None:
        self._open.append((container, resolve(schema, self._schema)))
        self._state = self._read_first_key if isinstance(container, dict) else self._read_first_item

    def _leave(self, position: int) -> int:
        self._open.pop()
        self._state = self._read_end if self._open else self._skip
        return position + 1

    def _fail(self, position: int) -> int:
        """Look for another start if nothing was shown yet, else give up: it is not what it seemed to be."""
        self._state = self._skip if self._root else self._seek
        self._root, self._open, self._inner = _NOTHING, [], None
        return position

    def _put(self, value: Any) -> None:
        container = self._open[-1][0]
        if isinstance(container, dict):
            container[self._key] = value
        else:
            container.append(value)

    def _begin_text(self) -> None:
        self._state, self._write = self._read_text, _ignore
        if len(self._open) == 1 and self._key == self._json_text != "":
            self._inner = JSONReader(self._schema, is_wrapped=self._is_wrapped)
            self._write = self._inner.feed
        elif _takes_text(self._schema_here(), self._schema):
            self._put("")
            self._write = self._write_text

    def _write_text(self, piece: str) -> None:
        container: Any = self._open[-1][0]
        place: Any = self._key if isinstance(container, dict) else -1
        # The only reference to a text grows in place.
        text, container[place] = container[place], None
        text += piece
        container[place] = text

    def _schema_here(self) -> Any:
        """Return the schema of the value that is read next."""
        container, schema = self._open[-1]
        if not isinstance(schema, Mapping):
            return True
        if isinstance(container, dict):
            return schema.get("properties", {}).get(self._key, schema.get("additionalProperties", True))
        prefix = schema.get("prefixItems", ())
        return prefix[len(container)] if len(container) < len(prefix) else schema.get("items", True)


def _ignore(piece: str) -> None:
    """Do nothing with a piece of a text that is not shown."""


def _skip_space(text: str, position: int) -> int:
    return _SPACE.match(text, position).end()  # type: ignore[union-attr]


def _code_at(text: str, position: int) -> int | None:
    """Return the number of the escape at a position, None if it is not complete or none."""
    match = _HEX.match(text, position + 2)
    return int(match[0], 16) if match and text.startswith("\\u", position) else None


def _type_of(schema: Any) -> list[str]:
    names = schema.get("type") if isinstance(schema, Mapping) else None
    return [names] if isinstance(names, str) else list(names or ())


def _takes_text(schema: Any, root: Any, depth: int = 8) -> bool:
    """Return whether a text may fit a schema."""
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping) or not depth:
        return True
    options = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
    if options:
        return any(_takes_text(option, root, depth - 1) for option in options)
    types = _type_of(schema)
    return not types or "string" in types
