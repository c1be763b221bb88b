"""Bytes -> events: plain text, or the text after `data: ` on each line."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from aichatkit.events.lines import MAX_LINE, drop_bom, iter_runs
from aichatkit.events.sse import Event

__all__ = ["iter_data_lines", "iter_text"]


def iter_text(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield plain text as it arrives, one event per block that completes a character.

    There are no lines to limit, so `max_line` has no effect; limit the length of the answer instead.

    >>> [event.data for event in iter_text([b"caf\xc3", b"\xa9!\n", b"\xe2"])]
    ['caf', 'é!\n', '\ufffd']
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for block in drop_bom(blocks):
        if piece := decoder.decode(block):
            yield Event(piece)
    if piece := decoder.decode(b"", True):
        yield Event(piece)


def iter_data_lines(blocks: Iterable[bytes], *, max_line: int = MAX_LINE) -> Iterator[Event]:
    r"""Yield the text after `data: ` on each line that has any; the prefix must match exactly.

    These are not server-sent events: only LF ends a line, so further spaces and a CR are part of the text.
    A line that is a JSON object is an event of type "json", a field `error` one of type "error", and so is the text
    after a line `event: error`; others are skipped.

    >>> [event.data for event in iter_data_lines([b"data: a\ndata:  b\r\ndata:c\ndata: \n"])]
    ['a', ' b\r']
    """
    event_type = "message"
    for text, _ in iter_runs(blocks, b"\n", max_line, universal_newlines=False):
        for line in text.split("\n"):
            if line[:6] == "data: " and len(line) > 6:
                yield Event(line[6:], event_type)
            elif line[:6] == "event:":
                event_type = "error" if line[6:].strip() == "error" else "message"
            elif line[:1] == "{":
                yield Event(line, "json")
            elif line[:6] == "error:":
                yield Event(line[6:].strip(), "error")
