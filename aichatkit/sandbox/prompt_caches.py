"""Prompt -> tokens read from the service's prompt cache and written to it: entries by prefix, with lifetimes.

Each wire says where a prompt is marked and by which rules its service caches; the account of the money is `charges`.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit.catalog.rates import rates_of
from aichatkit.sandbox.exchange import Piece, Response, fragments

__all__ = ["Block", "CacheRules", "CacheUse", "Caching", "Charge", "Prompt", "PromptCaches", "block_of"]

#: Lifetimes above this many seconds are charged at the higher rate for writes.
_USUAL_LIFETIME = 1800.0
#: Characters after which a service may find the beginning of a text again.
_PART = 512
#: Fields whose values are not text of the prompt.
_NO_TEXT = frozenset(
    (
        *("type", "role", "id", "call_id", "tool_call_id", "tool_use_id", "signature"),
        *("source", "image_url", "file", "input_audio", "inlineData"),
    )
)


class Block(NamedTuple):
    """A part of a prompt; `lifetime` is that of the mark after it, in seconds, 0 without a mark."""

    content: str
    tokens: int
    lifetime: float = 0.0


class CacheRules(NamedTuple):
    """How a service caches.

    Prefixes of less than `minimum` tokens are not cached. From each mark, `lookback` blocks before it are searched.
    With `automatic`, every prompt is written without a mark and without a charge, and kept for that many seconds;
    `unit` is the number of tokens that such reads are rounded down to.
    """

    minimum: int = 1024
    lookback: int = 20
    automatic: float = 0.0
    unit: int = 1


class Prompt(NamedTuple):
    """A prompt as its service caches it: `account` names the service and model, `record` is the catalog's."""

    account: str
    blocks: Sequence[Block]
    rules: CacheRules = CacheRules()
    record: Mapping[str, Any] = {}


#: The beginning of accounts whose prompts are rows of batch jobs: these share nothing with live ones.
BATCH = "batch "


class CacheUse(NamedTuple):
    """The tokens of a prompt: all of them, those read and written, and those written for longer than usual."""

    total: int
    read: int = 0
    written: int = 0
    long_written: int = 0


class Charge(NamedTuple):
    """What the service charges for one answer, in US dollars; None for a model without a price."""

    account: str
    use: CacheUse
    output_tokens: int
    cost: float | None


class _Entry(NamedTuple):
    expires: float
    lifetime: float


class PromptCaches:
    """The prompt caches of all services, and `charges`, one for each answer.

    An entry can be read once the answer to the prompt that wrote it has begun.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        #: What was charged, in order.
        self.charges: list[Charge] = []
        self._clock = clock
        self._offset = 0.0
        self._entries: dict[bytes, _Entry] = {}
        self._lock = threading.Lock()

    @property
    def cost(self) -> float:
        """The total of the charges, in US dollars; models without a price count as free."""
        return sum(charge.cost or 0.0 for charge in self.charges)

    def skip(self, seconds: float) -> None:
        """Let time pass for the entries."""
        self._offset += seconds

    def clear(self) -> None:
        """Forget all entries and charges."""
        with self._lock:
            self._entries.clear()
            self.charges.clear()

    def use(self, prompt: Prompt) -> Caching:
        """Return what the prompt reads and writes; its entries are stored when the answer begins."""
        if prompt.rules.automatic:
            prompt = prompt._replace(blocks=[part for block in prompt.blocks for part in _parts(block)])
        digests = list(accumulate((block.content for block in prompt.blocks), _chain, initial=prompt.account.encode()))
        totals = list(accumulate((block.tokens for block in prompt.blocks), initial=0))
        now = self._clock() + self._offset
        with self._lock:
            live = {place for place, digest in enumerate(digests) if self._is_live(digest, now)}
        if prompt.rules.automatic:
            return self._use_automatic(prompt, digests, totals, live)
        marks = {
            place: block.lifetime
            for place, block in enumerate(prompt.blocks, 1)
            if block.lifetime and totals[place] >= prompt.rules.minimum
        }
        within = [place for mark in marks for place in range(max(0, mark - prompt.rules.lookback), mark + 1)]
        start = max((place for place in within if place in live), default=0)
        stored, written, long_written, end = dict.fromkeys(live & {*marks, start}, 0.0), 0, 0, start
        for place, lifetime in sorted(marks.items()):
            if place > end:
                tokens = totals[place] - totals[end]
                written += tokens
                long_written += tokens if lifetime > _USUAL_LIFETIME else 0
                end = place
                stored[place] = lifetime
        use = CacheUse(totals[-1], totals[start], written, long_written)
        return Caching(self, prompt, use, {digests[place]: lifetime for place, lifetime in stored.items() if place})

    def store(self, entries: Mapping[bytes, float], charge: Charge) -> None:
        """Store entries by their lifetimes, 0 for one that is renewed, and note the charge."""
        now = self._clock() + self._offset
        with self._lock:
            for digest, lifetime in entries.items():
                kept = lifetime or self._entries[digest].lifetime
                self._entries[digest] = _Entry(now + kept, kept)
            self.charges.append(charge)

    def _is_live(self, digest: bytes, now: float) -> bool:
        entry = self._entries.get(digest)
        return entry is not None and entry.expires > now

    def _use_automatic(self, prompt: Prompt, digests: list[bytes], totals: list[int], live: set[int]) -> Caching:
        rules = prompt.rules
        found = max((totals[place] for place in live), default=0)
        read = found // rules.unit * rules.unit if found >= rules.minimum else 0
        entries = dict.fromkeys(digests[1:], rules.automatic) if totals[-1] >= rules.minimum else {}
        return Caching(self, prompt, CacheUse(totals[-1], read), entries)


class Caching:
    """The use of one prompt; `begin` delays storing its entries until the answer has begun."""

    def __init__(self, caches: PromptCaches, prompt: Prompt, use: CacheUse, entries: Mapping[bytes, float]) -> None:
        self.use = use
        self.output_tokens = 0
        self._caches = caches
        self._prompt = prompt
        self._entries = entries

    def finish(self) -> None:
        """Store the entries of a row of a batch job, once the job has ended: its rows are asked at the same time."""
        self._store()

    def begin(self, response: Response) -> None:
        """Store the entries when the first text of the response is sent; an error response stores nothing."""
        if response.status != 200:
            return
        if response.framing == "chunked":
            response.pieces = self._deferred(response.pieces)
        else:
            self._store()

    def _deferred(self, pieces: Any) -> Iterator[Piece]:
        is_stored = False
        for piece in pieces:
            if not is_stored and piece.phase not in ("open", "error"):
                yield Piece(b"", piece.phase, piece.pause)
                self._store()
                is_stored, piece = True, replace(piece, pause=0.0)
            yield piece

    def _store(self) -> None:
        charge = Charge(self._prompt.account, self.use, self.output_tokens, self._cost())
        self._caches.store(self._entries, charge)

    def _cost(self) -> float | None:
        use = self.use
        rates = rates_of(self._prompt.record, use.total)
        if rates is None:
            return None
        counts = {
            "in": use.total - use.read - use.written,
            "read": use.read,
            "write": use.written - use.long_written,
            "write_long": use.long_written,
            "out": self.output_tokens,
        }
        share = self._prompt.record.get("batch", 1.0) if self._prompt.account.startswith(BATCH) else 1.0
        return share * sum(count * (rates.get(name) or 0.0) for name, count in counts.items() if count) / 1e6


@lru_cache(maxsize=256)
def _count(text: str) -> int:
    return len(fragments(text))


def block_of(content: Any, lifetime: float = 0.0) -> Block:
    """Return the block of a JSON value; its tokens are those of the texts in it."""
    return Block(json.dumps(content, sort_keys=True), sum(map(_count, _texts(content))), lifetime)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        yield from (text for name, value in content.items() if name not in _NO_TEXT for text in _texts(value))
    elif isinstance(content, list):
        yield from (text for value in content for text in _texts(value))


def _parts(block: Block) -> Iterator[Block]:
    """Yield a block in parts, as services that need no mark find any beginning again."""
    size = len(block.content)
    for start in range(0, size, _PART):
        end = min(size, start + _PART)
        tokens = block.tokens * end // size - block.tokens * start // size
        yield Block(block.content[start:end], tokens)


def _chain(before: bytes, content: str) -> bytes:
    return hashlib.sha256(before + content.encode("utf-8", "surrogatepass")).digest()
