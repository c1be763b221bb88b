"""Bytes -> events: JSON lines, one JSON document, or the elements of a JSON array."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from aichatkit.events.event import JSON_WHITESPACE, Event, TrailingEvent
from aichatkit.events.lines import MAX_LINE, drop_bom, iter_stretches, too_long

__all__ = ["iter_json", "iter_json_array", "iter_json_lines"]


def iter_json_lines(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield one event for each line that is not blank, without the prefix `data:` if it has one.

    >>> [event.json() for event in iter_json_lines([b'{"n": 1}\n\n{"n"', b": 2}"])]
    [{'n': 1}, {'n': 2}]
    """
    for text, whole in iter_stretches(blocks, b"\n", max_line):
        make = Event if whole else TrailingEvent
        for line in text.split("\n"):
            if line[:5] == "data:":
                line = line[6:] if line[5:6] == " " else line[5:]
            if line.strip(JSON_WHITESPACE):
                yield make(line)


def iter_json(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    """Yield the whole body as one event when it has ended, and nothing for a blank body."""
    body = bytearray()
    for block in drop_bom(blocks):
        body += block
        if len(body) > max_line:
            raise too_long(max_line)
    text = body.decode("utf-8", "replace")
    if text.strip(JSON_WHITESPACE):
        yield TrailingEvent(text)


def iter_json_array(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield each element of a JSON array as soon as it is complete.

    A body that is an object and no array, as errors are, is one event.

    >>> [event.data for event in iter_json_array([b'[{"n": [1,', b' 2]},\n{"n": "}', b'"}', b"]"])]
    ['{"n": [1, 2]}', '{"n": "}"}']
    """
    brackets = _Brackets()
    element = bytearray()
    for block in drop_bom(blocks):
        done = 0
        for end, following in brackets.cuts(block):
            element += block[done:end]
            done = following
            if text := _element_text(element, max_line):
                yield Event(text)
            element.clear()
        element += block[done:]
        if len(element) > max_line:
            raise too_long(max_line)
    if text := _element_text(element, max_line):
        yield TrailingEvent(text)


class _Brackets:
    """Follows JSON through blocks, looking at each byte once, and tells where elements end."""

    def __init__(self) -> None:
        self._at = 0
        self._depth = 0
        self._in_array = False
        self._in_string = False
        self._inside, self._outside = re.compile(rb'["\\]'), re.compile(rb'["\[\]{},]')

    def cuts(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each element of `block` ends and where what follows it starts."""
        while match := (self._inside if self._in_string else self._outside).search(block, self._at):
            sign, self._at = match.group(), match.end()
            if sign == b"\\":
                self._at += 1
            elif sign == b'"':
                self._in_string = not self._in_string
            elif self._is_between(sign):
                self._in_array = True
                yield match.start(), match.end()
            elif sign in b"[{":
                self._depth += 1
            elif sign in b"]}":
                self._depth -= 1
                if not self._depth:
                    yield match.end(), match.end()
        # A backslash that ended the block escapes the first byte of the next one.
        self._at = max(0, self._at - len(block))

    def _is_between(self, sign: bytes) -> bool:
        return not self._depth and (sign in b",]}" or (sign == b"[" and not self._in_array))


def _element_text(element: bytearray, max_line: int) -> str:
    if len(element) > max_line:
        raise too_long(max_line)
    return element.decode("utf-8", "replace").strip(JSON_WHITESPACE)
