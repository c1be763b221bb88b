"""Pieces of tool calls -> tool calls: a call is whole, or its arguments are kept as broken text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aichatkit import chunks

__all__ = ["CallAssembler", "OpenCall"]


class OpenCall:
    """A call as far as its pieces have arrived."""

    __slots__ = ("_pieces", "fields", "id", "name", "position", "signature", "unfinished")

    def __init__(self, position: int | None) -> None:
        self.position = position
        self.id = self.name = self.signature = ""
        #: Arguments that arrive field by field, and whether more of them were announced.
        self.fields: dict[str, Any] | None = None
        self.unfinished = False
        self._pieces: list[str] = []

    @property
    def arguments(self) -> str:
        """The text of the arguments received so far."""
        if len(self._pieces) > 1:
            self._pieces[:] = ["".join(self._pieces)]
        text = self._pieces[0] if self._pieces else ""
        if self.fields is None:
            return text
        whole = json.dumps(self.fields)
        return whole[:-1] if self.unfinished else whole

    @arguments.setter
    def arguments(self, text: str) -> None:
        self._pieces[:] = [text]

    @property
    def has_arguments(self) -> bool:
        """Whether any arguments have arrived."""
        return self.fields is not None or any(self._pieces)

    @property
    def may_lack_arguments(self) -> bool:
        """Whether arguments may be missing: there are none, or they are fields, of which any number is valid."""
        return self.fields is not None or _is_empty(self.arguments)

    def append(self, part: chunks.ToolCallPart) -> None:
        """Add a piece."""
        self.id = self.id or part.id
        self.signature = self.signature or part.signature
        if part.name != self.name and not (self.name and self.has_arguments):
            # Some services send the name in pieces, others repeat all of it with every piece.
            self.name += part.name
        if part.arguments:
            self._pieces.append(part.arguments)

    def complete(self, part: chunks.ToolCallPart) -> None:
        """Take from a piece that holds the whole call what the pieces before it did not have."""
        self.id = self.id or part.id
        self.name = part.name or self.name
        self.signature = self.signature or part.signature
        received = self.arguments
        if not part.arguments or _same(received, part.arguments) or _is_empty(part.arguments):
            return
        # If two texts contradict each other, neither can be trusted: joined, they do not parse.
        extends = not received or part.arguments.startswith(received) or _parse(received) is None
        self.arguments = part.arguments if extends else received + part.arguments


class CallAssembler:
    """Assembles the calls of one answer; `size` is the length of all their text."""

    def __init__(self) -> None:
        self.calls: list[OpenCall] = []
        self.size = 0
        self._lost = ""
        self._foreign: set[int | None] = set()
        self._open: dict[int | None, OpenCall] = {}
        self._settled: list[OpenCall] = []

    def __bool__(self) -> bool:
        return bool(self.calls)

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def lost(self) -> str:
        """The arguments that belong to no call, or to one that was never named; empty ones do not count."""
        lost = self._lost + "".join(call.arguments for call in self.calls if not call.name)
        return "" if _is_empty(lost) else lost

    def add(self, part: chunks.ToolCallPart) -> None:
        """Append a piece to its call; some services do not number calls, or number each of them 0."""
        if not isinstance(part.name, str) or not isinstance(part.arguments, str):
            raise TypeError("a piece of a call is not text")
        if not isinstance(part.id, str) or not isinstance(part.signature, str):
            id, signature = (text if isinstance(text, str) else "" for text in (part.id, part.signature))
            part = part._replace(id=id, signature=signature)
        self.size += len(part.arguments) + len(part.name)
        if part.foreign:
            self._foreign.add(part.position)
            return
        if part.whole:
            self._complete(part)
            return
        call = self._open.get(part.position) or self._find_by_id(part)
        if call is not None and _continues(call, part):
            call.append(part)
        elif part.name or (part.id and call is None):
            self._begin(part)
        elif part.position not in self._foreign:
            self._lost += part.arguments

    def add_fields(self, part: chunks.ArgumentFields) -> None:
        """Add fields of the latest call's arguments."""
        call = self._open.get(None)
        if call is None:
            text = json.dumps(part.fields) if part.fields else ""
            self.size += len(text)
            self._lost += text
            return
        if call.fields is None and (part.fields or part.more):
            call.fields = {}
        for path, value in part.fields:
            self.size += len(value) if isinstance(value, str) else 1
            _set_field(call.fields, path, value)
        call.unfinished = part.more

    def forget_settled(self) -> None:
        """Begin a new list of whole calls: each of them settles one call at most."""
        self._settled.clear()

    def _begin(self, part: chunks.ToolCallPart) -> OpenCall:
        call = self._open[part.position] = OpenCall(part.position)
        self.calls.append(call)
        call.append(part)
        return call

    def _find_by_id(self, part: chunks.ToolCallPart) -> OpenCall | None:
        """Return the call that a piece under a new index continues, as its ID says, and open it under that index."""
        for call in self.calls:
            is_named_again = part.name == call.name and not call.has_arguments
            if part.id and part.arguments and part.id == call.id and (not part.name or is_named_again):
                return self._open.setdefault(part.position, call)
        return None

    def _complete(self, part: chunks.ToolCallPart) -> None:
        call = self._find(part)
        if call is None:
            call = self._begin(part)
        else:
            call.complete(part)
        self._settled.append(call)

    def _find(self, part: chunks.ToolCallPart) -> OpenCall | None:
        """Return the call that a whole one repeats, by the most reliable match: services change ids and numbers."""
        for call in self.calls:
            if part.id and call.id == part.id and (_agrees(call, part) or not self._is_settled(call)):
                return call
        for call in self.calls:
            if call.position == part.position is not None and _agrees(call, part):
                return call
        for call in self.calls:
            is_other = bool(part.id and call.id) and not _same(call.arguments, part.arguments)
            if not is_other and _agrees(call, part) and not self._is_settled(call):
                return call
        return None

    def _is_settled(self, call: OpenCall) -> bool:
        return any(call is settled for settled in self._settled)


def _agrees(call: OpenCall, part: chunks.ToolCallPart) -> bool:
    received = call.arguments
    return (not part.name or part.name.startswith(call.name)) and (
        not received or not part.arguments or part.arguments.startswith(received) or _same(received, part.arguments)
    )


def _continues(call: OpenCall, part: chunks.ToolCallPart) -> bool:
    """Return whether a piece belongs to the call; to begin another one, it has to name it."""
    if not part.name or (part.id and part.id == call.id):
        return True
    changes_id = bool(part.id) and bool(call.id)
    if not call.name:
        return not changes_id
    if not call.has_arguments:
        # A tool must not run without its arguments just because they have another id.
        if part.name == call.name:
            return not changes_id or part.position is not None or bool(part.arguments)
        return not changes_id and (part.position is not None or (bool(call.id) and not part.arguments))
    is_cut = part.name == call.name and not part.arguments.lstrip().startswith("{")
    return is_cut and _parse(call.arguments) is None


def _set_field(target: Any, path: Sequence[str | int], value: Any) -> None:
    *parents, last = path
    for step, following in zip(parents, path[1:]):
        target = _child(target, step, [] if isinstance(following, int) else {})
    if isinstance(value, str):
        value = _child(target, last, "") + value
    _put(target, last, value)


def _child(target: Any, step: str | int, default: Any) -> Any:
    if isinstance(target, list):
        return target[step] if isinstance(step, int) and step < len(target) else _put(target, step, default)
    return target.setdefault(step, default)


def _put(target: Any, step: str | int, value: Any) -> Any:
    if isinstance(target, list) and step == len(target):
        target.append(value)
    else:
        target[step] = value
    return value


def _parse(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _same(text: str, other: str) -> bool:
    return text == other or (_parse(text) is not None and _parse(text) == _parse(other))


def _is_empty(text: str) -> bool:
    return text.strip() in ("", "null", "{}")
