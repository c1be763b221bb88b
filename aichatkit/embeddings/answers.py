"""Answer -> vectors: every vector checked, at its place, and as 32-bit floats."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Sequence
from typing import Any

from aichatkit.classification import classify
from aichatkit.embeddings.vectors import from_bytes, to_bytes, unit
from aichatkit.embeddings.wires import Parsed, Wire
from aichatkit.errors import BadResponseError
from aichatkit.params import is_integer
from aichatkit.providers.base import Provider, parsing

__all__ = ["read_vectors"]


def read_vectors(
    record: Any, wire: Wire, provider: Provider, model: str, count: int, *, width: int | None, normalize: bool
) -> tuple[list[bytes], int | None]:
    """Return the vectors of an answer in the order of its texts, and the tokens used; None if they are not reported.

    Raises:
        ChatError: the answer is an error after all, or its vectors are not what was asked for.
    """
    if isinstance(record, dict) and record.get("error"):
        raise classify.event_error(record, provider=provider.name, model=model, rules=provider.rules)
    with parsing(provider.name, "embeddings", lambda: record):
        parsed = wire.parse(record)
        vectors = [_decode(vector) for vector in _in_order(parsed, provider, count)]
        for position, vector in enumerate(vectors):
            _check(vector, provider, position, width or len(vectors[0]))
        return [to_bytes(unit(vector) if normalize else vector) for vector in vectors], parsed.tokens


def _in_order(parsed: Parsed, provider: Provider, count: int) -> list[Any]:
    """Return the vectors by their positions; some services leave all positions out."""
    vectors = parsed.vectors
    if len(vectors) != count:
        raise _bad(provider, f"{len(vectors)} vector{'s' * (len(vectors) != 1)} for {count} text{'s' * (count != 1)}")
    positions = [position for position, _ in vectors]
    if all(position is None for position in positions):
        return [vector for _, vector in vectors]
    is_valid = all(is_integer(position, minimum=0) for position in positions)
    if not is_valid or sorted(positions) != list(range(count)):
        raise _bad(provider, "vectors whose positions are not those of the texts")
    return [vector for _, vector in sorted(vectors, key=lambda pair: pair[0])]


def _decode(vector: Any) -> Sequence[float]:
    """Return a vector's numbers as 32-bit floats, as they are stored; some services always send these as base64."""
    if not isinstance(vector, str):
        return array("f", vector)
    return from_bytes(base64.b64decode(vector, validate=True))


def _check(vector: Sequence[float], provider: Provider, position: int, width: int) -> None:
    if len(vector) != width:
        hint = ""
        if vector and (width % len(vector) == 0 or len(vector) % width == 0):
            hint = "; a server that ignores encoding_format sends such vectors"
        raise _bad(provider, f"a vector of {len(vector)} numbers where {width} were expected (text {position}){hint}")
    # A sum of 32-bit floats cannot overflow, so it is finite if all of them are.
    if not math.isfinite(sum(vector)):
        raise _bad(provider, f"a vector with a number that is not finite (text {position})")
    if not any(vector):
        raise _bad(provider, f"a vector of zeros (text {position})")


def _bad(provider: Provider, problem: str) -> BadResponseError:
    return BadResponseError(f"{provider.name} answered with {problem}", provider=provider.name)
