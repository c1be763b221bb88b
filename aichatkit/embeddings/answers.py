"""Answer -> vectors: every vector checked, at its place, and as 32-bit floats."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from aichatkit.classification import classify
from aichatkit.embeddings.vectors import from_bytes, unit
from aichatkit.embeddings.wires import Parsed, Wire
from aichatkit.errors import BadResponseError
from aichatkit.providers.base import Provider, parsing

__all__ = ["read_vectors"]

#: 0.0 and 1.0 as they are stored.
_ZERO, _ONE = struct.pack("<f", 0.0), struct.pack("<f", 1.0)
_NOT_KEPT = "; a server that ignores encoding_format sends such vectors"


def read_vectors(
    record: Any, wire: Wire, provider: Provider, model: str, count: int, *, width: int | None, normalize: bool
) -> tuple[list[bytes], int | None]:
    """Return the vectors of an answer in the order of its texts, and the tokens used; None if they are not reported.

    Raises:
        ChatError: the answer is an error after all, or its vectors are not those that were requested.
    """
    if isinstance(record, dict) and record.get("error"):
        raise classify.event_error(record, provider=provider.name, model=model, rules=provider.rules)
    with parsing(provider.name, "embeddings", lambda: record):
        parsed = wire.parse(record)
        vectors = [_decode(vector, provider, place) for place, vector in enumerate(_in_order(parsed, provider, count))]
        width = width or len(vectors[0])
        encode = struct.Struct(f"<{width}f").pack
        contents = [_encode(vector, provider, position, encode, width) for position, vector in enumerate(vectors)]
        return [encode(*unit(vector)) for vector in vectors] if normalize else contents, parsed.tokens


def _in_order(parsed: Parsed, provider: Provider, count: int) -> list[Any]:
    """Return the vectors by their positions; some services leave all positions out."""
    vectors = parsed.vectors
    if len(vectors) != count:
        raise _bad(provider, f"{len(vectors)} vector{'s' * (len(vectors) != 1)} for {count} text{'s' * (count != 1)}")
    positions = [position for position, _ in vectors]
    if all(position is None for position in positions):
        return [vector for _, vector in vectors]
    # True would count as 1.
    if set(map(type, positions)) != {int} or sorted(positions) != list(range(count)):
        raise _bad(provider, "vectors whose positions are not those of the texts")
    return [vector for _, vector in sorted(vectors, key=lambda pair: pair[0])]


def _decode(vector: Any, provider: Provider, position: int) -> Sequence[float]:
    """Return a vector as numbers; some services always send base64."""
    if not isinstance(vector, str):
        return vector  # type: ignore[no-any-return]
    content = base64.b64decode(vector, validate=True)
    if len(content) % 4:
        raise _bad(provider, f"a vector of {len(content)} bytes, not of 32-bit numbers (text {position}){_NOT_KEPT}")
    return from_bytes(content)


def _encode(
    vector: Sequence[float], provider: Provider, position: int, encode: Callable[..., bytes], width: int
) -> bytes:
    """Return a vector as 32-bit floats, as it is stored; this takes half the time of an array from a list."""
    if not vector:
        raise _bad(provider, f"an empty vector (text {position})")
    if len(vector) != width:
        hint = _NOT_KEPT if width % len(vector) == 0 or len(vector) % width == 0 else ""
        raise _bad(provider, f"a vector of {len(vector)} numbers where {width} were expected (text {position}){hint}")
    content, problem = b"", ""
    try:
        content = encode(*vector)
    except OverflowError:
        problem = "a number that is not finite"
    except struct.error:
        problem = "what is not a 32-bit number"
    # What fits into 32 bits has a sum that fits into 64, so it is finite if all numbers are.
    if content and not math.isfinite(sum(vector)):
        problem = "a number that is not finite"
    # False and True are stored as numbers; types are looked at only if there may be one, as that takes as long again.
    if (_ONE in content or _ZERO in content) and bool in map(type, vector):
        problem = "what is not a 32-bit number"
    if problem:
        raise _bad(provider, f"a vector with {problem} (text {position})")
    # Zeros have a sign.
    if not content.strip(b"\0\x80"):
        raise _bad(provider, f"a vector of zeros (text {position})")
    return content


def _bad(provider: Provider, problem: str) -> BadResponseError:
    return BadResponseError(f"{provider.name} answered with {problem}", provider=provider.name)
