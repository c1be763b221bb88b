"""Faults of embeddings: vectors in another order, missing, of another width or form, and without usage."""

from __future__ import annotations

import base64
import json
import struct
from array import array
from collections.abc import Callable
from typing import Any

from aichatkit.sandbox.exchange import Response, json_response
from aichatkit.sandbox.faults.base import Respond, fault
from aichatkit.sandbox.wires import Call


def _edit(respond: Respond, edit: Callable[[list[Any]], list[Any]]) -> Response:
    """Change the list of vectors in an answer; each entry is an object, or for Cohere and Ollama a list of numbers."""
    response = respond()
    if response.status != 200:
        return response
    record = json.loads(response.body)
    if "data" in record:
        record["data"] = edit(record["data"])
    elif isinstance(record["embeddings"], dict):
        record["embeddings"]["float"] = edit(record["embeddings"]["float"])
    else:
        record["embeddings"] = edit(record["embeddings"])
    return json_response(record)


def _each(respond: Respond, change: Callable[[Any], Any]) -> Response:
    """Change the numbers of each vector."""

    def change_entry(entry: Any) -> Any:
        if isinstance(entry, list):
            return change(entry)
        name = "embedding" if "embedding" in entry else "values"
        return {**entry, name: change(entry[name])}

    return _edit(respond, lambda entries: [change_entry(entry) for entry in entries])


@fault(on="embeddings")
def vectors_reversed(respond: Respond, call: Call) -> Response:
    """The last vector first, each with its position where the protocol has one."""
    return _edit(respond, lambda entries: entries[::-1])


@fault(on="embeddings")
def no_positions(respond: Respond, call: Call, one: str = "") -> Response:
    """Vectors without their positions (one=yes: only the first)."""
    return _edit(
        respond,
        lambda entries: [{**entry, "index": index if one and index else None} for index, entry in enumerate(entries)],
    )


@fault(on="embeddings")
def same_position(respond: Respond, call: Call) -> Response:
    """Every vector with the position of the first."""
    return _edit(respond, lambda entries: [{**entry, "index": 0} for entry in entries])


@fault(on="embeddings")
def vector_missing(respond: Respond, call: Call) -> Response:
    """One vector too few."""
    return _edit(respond, lambda entries: entries[1:])


@fault(on="embeddings")
def one_vector(respond: Respond, call: Call) -> Response:
    """One vector for all texts."""
    return _edit(respond, lambda entries: entries[:1])


@fault(on="embeddings")
def no_vectors(respond: Respond, call: Call) -> Response:
    """An empty list of vectors."""
    return _edit(respond, lambda entries: [])


@fault(on="embeddings")
def quarter_width(respond: Respond, call: Call) -> Response:
    """Vectors of a quarter of their width, as from a server that ignores how they are to be encoded."""
    return _each(respond, lambda numbers: numbers[: len(numbers) // 4])


@fault(on="embeddings")
def base64_vectors(respond: Respond, call: Call, double: str = "") -> Response:
    """Vectors as base64 although numbers were requested (double=yes: of 64-bit numbers)."""
    letter = "d" if double else "f"
    return _each(
        respond,
        lambda numbers: base64.b64encode(struct.pack(f"<{len(numbers)}{letter}", *numbers)).decode("ascii"),
    )


@fault(on="embeddings")
def base64_ignored(respond: Respond, call: Call) -> Response:
    """Vectors as numbers although base64 was requested."""
    return _each(
        respond,
        lambda text: list(array("f", base64.b64decode(text))) if isinstance(text, str) else text,
    )


@fault(on="embeddings")
def dimensions_ignored(respond: Respond, call: Call) -> Response:
    """Vectors twice as wide as requested."""
    return _each(respond, lambda numbers: [*numbers, *numbers])


@fault(on="embeddings")
def not_a_number(respond: Respond, call: Call) -> Response:
    """Vectors with a number that is not finite."""
    return _each(respond, lambda numbers: [float("nan"), *numbers[1:]])


@fault(on="embeddings")
def zeros(respond: Respond, call: Call) -> Response:
    """Vectors of zeros."""
    return _each(respond, lambda numbers: [0.0] * len(numbers))


@fault(on="embeddings")
def no_usage(respond: Respond, call: Call) -> Response:
    """An answer that does not say how many tokens were used."""
    response = respond()
    record = json.loads(response.body)
    for name in ("usage", "meta", "prompt_eval_count"):
        record.pop(name, None)
    return json_response(record, response.status)
