"""Bytes -> events: JSON lines, one JSON document, or the elements of a JSON array."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aichatkit.events.lines import MAX_LINE, drop_bom, iter_runs, too_long_error
from aichatkit.events.sse import JSON_WHITESPACE, Event, TrailingEvent

__all__ = ["iter_json", "iter_json_array", "iter_json_lines"]


def iter_json_lines(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield one event per non-blank line; a `data:` prefix is removed.

    >>> [event.json() for event in iter_json_lines([b'{"n": 1}\n\n{"n"', b": 2}"])]
    [{'n': 1}, {'n': 2}]
    """
    for text, terminated in iter_runs(blocks, b"\n", max_line):
        event_cls = Event if terminated else TrailingEvent
        for line in text.split("\n"):
            if line[:5] == "data:":
                line = line[6:] if line[5:6] == " " else line[5:]
            if line.strip(JSON_WHITESPACE):
                yield event_cls(line)


def iter_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield the entire body as one event once it has ended; nothing for a blank body."""
    body = bytearray()
    for block in drop_bom(blocks):
        body += block
        if len(body) > max_line:
            raise too_long_error(max_line)
    text = body.decode("utf-8", "replace")
    if text.strip(JSON_WHITESPACE):
        yield TrailingEvent(text)


def iter_json_array(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield each element of a JSON array as soon as it is complete.

    A body that is an object instead of an array, as error bodies are, is one event.

    >>> [event.data for event in iter_json_array([b'[{"n": [1,', b' 2]},\n{"n": "}', b'"}', b"]"])]
    ['{"n": [1, 2]}', '{"n": "}"}']
    """
    scanner = _ArrayScanner()
    element = bytearray()
    for block in drop_bom(blocks):
        start = 0
        for end, next_start in scanner.iter_boundaries(block):
            element += block[start:end]
            start = next_start
            if text := _element_text(element, max_line):
                yield Event(text)
            element.clear()
        element += block[start:]
        if len(element) > max_line:
            raise too_long_error(max_line)
    if text := _element_text(element, max_line):
        yield TrailingEvent(text)


class _ArrayScanner:
    """Find where the elements of a JSON array end, looking at each byte of each block once."""

    def __init__(self) -> None:
        self._position = 0
        self._depth = 0
        self._in_array = False
        self._in_string = False
        self._token_in_string, self._token_outside = re.compile(rb'["\\]'), re.compile(rb'["\[\]{},]')

    def iter_boundaries(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield the end of each element in `block` and the start of what follows it."""
        while match := (self._token_in_string if self._in_string else self._token_outside).search(
            block, self._position
        ):
            token, self._position = match.group(), match.end()
            if token == b"\\":
                self._position += 1
            elif token == b'"':
                self._in_string = not self._in_string
            elif self._is_separator(token):
                self._in_array = True
                yield match.start(), match.end()
            elif token in b"[{":
                self._depth += 1
            elif token in b"]}":
                self._depth -= 1
                if not self._depth:
                    yield match.end(), match.end()
        # A backslash that ended the block escapes the first byte of the next one.
        self._position = max(0, self._position - len(block))

    def _is_separator(self, token: bytes) -> bool:
        return not self._depth and (token in b",]}" or (token == b"[" and not self._in_array))


def _element_text(element: bytearray, max_line: int) -> str:
    if len(element) > max_line:
        raise too_long_error(max_line)
    return element.decode("utf-8", "replace").strip(JSON_WHITESPACE)
