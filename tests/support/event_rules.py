"""Reference parsers for lines and events that work on complete bodies, and ways to split a body into blocks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any

BOM = b"\xef\xbb\xbf"


def text_of(body: bytes) -> str:
    return body[len(BOM) if body.startswith(BOM) else 0 :].decode("utf-8", "replace")


def lines_of(body: bytes) -> list[str]:
    """Return all terminated lines, followed by the unterminated rest, which may be empty."""
    return re.split("\r\n|\r|\n", text_of(body))


def sse_of(body: bytes, *, ended: bool = True) -> list[Any]:
    """Return the server-sent events of a body, only the complete ones unless it has `ended`.

    Beside the rules: blank data is none, a JSON object or a field `error` on a line is an event, and so is JSON after
    data that is complete.
    """
    lines = lines_of(body)
    # Nothing of a block is read before its blank line.
    blank = max((index for index, line in enumerate(lines[:-1]) if not line), default=-1)
    lines = [*lines, ""] if ended else lines[: blank + 1]
    events: list[Any] = []
    data: list[str] = []
    bare: list[str] = []
    kind, last_id = "", ""

    def flush(rows: list[str]) -> None:
        if "\n".join(rows).strip() or (rows and kind == "error"):
            events.append((kind or "message", "\n".join(rows), last_id))
        rows.clear()

    for line in lines:
        name, colon, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if line == "":
            flush(data)
            flush(bare)
            kind = ""
        elif (bare and name not in ("data", "event")) or line.lstrip(" \t").startswith("{"):
            bare.append(line)
            if is_json("\n".join(bare)):
                flush(bare)
        elif colon and not name:
            continue
        elif name == "data":
            if data and value.startswith(("{", "[")) and is_json("\n".join(data)):
                flush(data)
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "error":
            events.append(("error", value, last_id))
        elif name == "id" and "\0" not in value:
            last_id = value
    return events


def is_json(text: str) -> bool:
    try:
        json.loads(text.strip(" \t\r\n"))
    except (ValueError, RecursionError):
        return False
    return True


def json_lines_of(body: bytes, *, ended: bool = True) -> list[Any]:
    lines = lines_of(body)
    lines = lines if ended else lines[:-1]
    records = [re.sub("^data: ?", "", line) for line in lines]
    return [("message", record, "") for record in records if record.strip(" \t")]


def data_lines_of(body: bytes, *, ended: bool = True) -> list[Any]:
    lines = text_of(body).split("\n")
    lines = lines if ended else lines[:-1]
    return [("message", line[6:], "") for line in lines if line.startswith("data: ") and line != "data: "]


def read(reader: Callable[[Iterable[bytes]], Iterator[Any]], pieces: Iterable[bytes]) -> tuple[list[Any], list[int]]:
    """Return the events as plain tuples, and how many had been yielded whenever the next piece was read."""
    out: list[Any] = []
    counts: list[int] = []

    def blocks() -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            counts.append(len(out))

    for event in reader(blocks()):
        out.append(event if isinstance(event, str) else (event.type, event.data, event.id))
    return out, counts


def data_of(events: Iterable[Any]) -> list[str]:
    return [event.data for event in events]


def cut(body: bytes, *places: int) -> list[bytes]:
    edges = [0, *sorted(places), len(body)]
    return [body[start:end] for start, end in zip(edges, edges[1:])]


def all_cuts(body: bytes) -> Iterator[list[bytes]]:
    """Yield a body unsplit, split into bytes, and split at each position and each pair of positions."""
    yield [body]
    yield [body[index : index + 1] for index in range(len(body))]
    for place in range(len(body) + 1):
        yield cut(body, place)
    for first, second in combinations(range(len(body) + 1), 2):
        yield cut(body, first, second)
