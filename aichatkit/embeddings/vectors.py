"""Vectors -> `Embeddings`: a sequence of lists of numbers, each kept as 32-bit floats."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from aichatkit._dataclasses import NamedTuple
from aichatkit._reasons import reason_of
from aichatkit.chunks import Usage
from aichatkit.errors import BatchPendingError, ChatError, ConfigurationError
from aichatkit.params import is_integer

if TYPE_CHECKING:
    from aichatkit.batch_jobs.job import Job

__all__ = ["Embeddings", "Match", "Vector", "from_bytes", "unit"]

#: Numbers of a vector that notebooks show.
_SHOWN = 4


class Match(NamedTuple):
    """One result of `Embeddings.nearest`: the position of the text, and the cosine of the angle, -1 to 1."""

    position: int
    score: float


class Numbers(list[float]):
    """A list of numbers that notebooks show by its first ones."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        first = ", ".join(map(repr, self[:_SHOWN]))
        printer.text(f"[{first}, ... {len(self)} numbers]" if len(self) > _SHOWN else list.__repr__(self))


class Vector(Numbers):
    """The embedding of one text: a list of numbers, with what it used and cost."""

    provider: str
    model: str
    usage: Usage
    cost: float | None


class Embeddings(Sequence[Any]):
    """The embeddings of some texts, in their order: `embeddings[3]` is a list of numbers.

    A text that failed has an error in `errors`, and reading its vector raises that error.
    `usage` and `cost` cover all texts: those from a journal count with what they cost when they were sent, those from a
    cache cost nothing.
    """

    def __init__(
        self,
        rows: Sequence[bytes | ChatError],
        *,
        provider: str,
        model: str,
        tokens: int | None,
        cost: float | None,
        labels: Sequence[Any] | None = None,
        table: Any = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.usage = Usage(input_tokens=tokens, total_tokens=tokens)
        #: US dollars; None if the price or the tokens are not known.
        self.cost = cost
        #: The batch jobs of the journal, and whether Ctrl-C stopped the wait for them; see `batch=True`.
        self.jobs: list[Job] = []
        self.interrupted = False
        self._rows = list(rows)
        self._labels = labels
        self._table = table

    @property
    def dimensions(self) -> int:
        """The width of every vector; 0 if there is none."""
        return next((len(row) // 4 for row in self._rows if isinstance(row, bytes)), 0)

    @property
    def errors(self) -> list[ChatError | None]:
        """The error of each text, None for those that have a vector."""
        return [row if isinstance(row, ChatError) else None for row in self._rows]

    @property
    def pending(self) -> int:
        """The number of texts in batch jobs that have not ended; the error of such a text is a BatchPendingError."""
        return sum(isinstance(row, BatchPendingError) for row in self._rows)

    def array(self, *, missing: float | None = None) -> Any:
        """Return the vectors as a numpy array of float32, one row for each text.

        With `missing`, such as `math.nan`, the row of a text that failed consists of that number.

        Raises:
            ChatError: a text failed, and there is no `missing`; this is its error.
            ConfigurationError: numpy is not installed.
        """
        filler = b"" if missing is None else _pack_missing(missing)
        try:
            import numpy
        except ImportError as error:
            reason = reason_of(error)
        else:
            data = b"".join(self._filled(filler) if filler else map(self._bytes, range(len(self._rows))))
            return numpy.frombuffer(data, dtype="<f4").reshape(len(self._rows), -1 if data else 0).copy()
        raise ConfigurationError("array: numpy is not installed; pip install numpy", reason=reason)

    def nearest(self, vector: Sequence[float], k: int = 5) -> list[Match]:
        """Return the `k` texts whose vectors have the smallest angle to `vector`, the nearest first.

        Texts that failed are left out.

        Raises:
            ConfigurationError: a text, a vector of another width, or a `k` that is not an integer of at least 1.
        """
        if not is_integer(k, minimum=1):
            raise ConfigurationError(f"nearest: k must be an integer of at least 1, not {k!r}")
        wanted = _parse_numbers(vector)
        if self.dimensions and len(wanted) != self.dimensions:
            raise ConfigurationError(
                f"nearest: the vector has {len(wanted)} numbers and these have {self.dimensions}; use the same model "
                "and dimensions for both"
            )
        length = math.sqrt(sum(number * number for number in wanted)) or 1.0
        scores = []
        for position, row in enumerate(self._rows):
            if isinstance(row, bytes):
                numbers = from_bytes(row)
                own_length = math.sqrt(sum(number * number for number in numbers)) or 1.0
                dot = sum(a * b for a, b in zip(wanted, numbers))
                scores.append(Match(position, dot / length / own_length))
        scores.sort(key=lambda match: (-match.score, match.position))
        return scores[:k]

    def to_frame(self) -> Any:
        """Return a pandas frame with one row for each text and one column for each number.

        For texts from a polars frame or series, return that frame with the vectors as its last column, "embedding".
        The values of texts that failed are missing.
        """
        if hasattr(self._table, "with_columns") or hasattr(self._table, "is_sorted"):
            are_there = [isinstance(row, bytes) for row in self._rows]
            return _polars_frame(self._table, self.array(missing=math.nan), are_there)
        try:
            import pandas
        except ImportError as error:
            reason = reason_of(error)
        else:
            return pandas.DataFrame(self.array(missing=math.nan), index=self._labels)
        raise ConfigurationError("to_frame: pandas is not installed; pip install pandas", reason=reason)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[list[float]]:
        return (self[position] for position in range(len(self)))

    @overload
    def __getitem__(self, position: int) -> list[float]: ...
    @overload
    def __getitem__(self, position: slice) -> list[list[float]]: ...
    def __getitem__(self, position: int | slice) -> list[float] | list[list[float]]:
        if isinstance(position, slice):
            return [self[index] for index in range(*position.indices(len(self)))]
        return Numbers(from_bytes(self._bytes(position)).tolist())

    def __repr__(self) -> str:
        failed = sum(isinstance(row, ChatError) for row in self._rows) - self.pending
        tail = f", {failed} failed" if failed else ""
        tail += f", {self.pending} pending in batch jobs" if self.pending else ""
        return f"<Embeddings {self.provider}/{self.model}: {len(self)} of {self.dimensions} numbers{tail}>"

    def _filled(self, number: bytes) -> Iterator[bytes]:
        filler = number * self.dimensions
        return (row if isinstance(row, bytes) else filler for row in self._rows)

    def _bytes(self, position: int) -> bytes:
        row = self._rows[position]
        if isinstance(row, ChatError):
            raise row
        return row


def from_bytes(content: bytes) -> array[float]:
    """Return the numbers of a stored vector: 32-bit floats, the lowest byte first."""
    numbers = array("f", content)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def unit(numbers: Sequence[float]) -> Sequence[float]:
    """Return the vector with the same direction and the length 1."""
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


def _polars_frame(table: Any, vectors: Any, are_there: Sequence[bool]) -> Any:
    polars = sys.modules["polars"]
    frame = table if hasattr(table, "with_columns") else table.to_frame()
    name = "embedding"
    while name in frame.columns:
        name += "_"
    column = polars.Series(name, vectors, dtype=polars.Array(polars.Float32, vectors.shape[1]))
    if all(are_there):
        return frame.with_columns(column)
    return frame.with_columns(polars.when(polars.Series(are_there)).then(column).otherwise(None).alias(name))


def _pack_missing(missing: Any) -> bytes:
    try:
        if not isinstance(missing, bool):
            return struct.pack("<f", missing)
    except (struct.error, OverflowError):
        pass
    raise ConfigurationError(f"array: missing must be a 32-bit number, such as math.nan, not {missing!r:.60}")


def _parse_numbers(vector: Any) -> list[float]:
    found = [math.nan]
    try:
        # Digits, bytes and bools would count as numbers.
        if not any(isinstance(part, (str, bytes, bool)) for part in (vector, *vector)):
            found = [float(number) for number in vector]
    except (TypeError, ValueError, OverflowError):
        pass
    if not all(map(math.isfinite, found)):
        raise ConfigurationError("nearest: the vector must be a list of numbers, such as one of `embed`")
    return found
