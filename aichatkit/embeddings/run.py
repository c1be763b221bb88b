"""Rows -> batches -> vectors: limited concurrency and budgets; journaled before anything can fail."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import count
from typing import Any

from aichatkit._dataclasses import NamedTuple, dataclass, replace
from aichatkit._reasons import reason_of
from aichatkit.batch.rows import Row, Source
from aichatkit.batch.workers import BoundAsk, answer_row
from aichatkit.catalog.tokens import estimate_tokens
from aichatkit.embeddings.request import Vectors
from aichatkit.embeddings.services import EmbeddingService
from aichatkit.embeddings.store import Stored, VectorJournal, VectorTables, key_of, read_cache, write_cache
from aichatkit.embeddings.vectors import Embeddings
from aichatkit.errors import (
    AuthenticationError,
    BadResponseError,
    BudgetExceededError,
    ChatError,
    ConfigurationError,
    MissingKeyError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
)
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Expense

__all__ = ["EmbeddingRun", "RunSettings", "Text", "iter_batches", "problem_of"]

#: How much of a request's limit a batch may fill, as tokens are estimated.
_FILL = 0.75
#: Errors that every other batch would run into as well.
_FATAL = (
    *(AuthenticationError, BudgetExceededError, MissingKeyError, ModelNotFoundError, PermissionDeniedError),
    QuotaExceededError,
)
_UNIT = 1_000_000
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class RunSettings:
    """How the texts are embedded; `price` is in US dollars per million tokens, None if it is not known."""

    ask: BoundAsk
    service: EmbeddingService
    identity: str
    url: str
    provider: str
    model: str
    price: float | None
    workers: int
    make_executor: Callable[[], Any]
    owns_executor: bool
    journal: VectorTables | None
    cache: MutableMapping[str, str] | None
    budget: Budget | None
    raises: bool
    max_wait: float

    def with_journal(self, path: Any) -> RunSettings:
        """Return the settings with the journal at a path; None is none."""
        return self if path is None else replace(self, journal=VectorJournal(path, self.identity))


class Text(NamedTuple):
    """A text that is to be sent, with the key it is stored under."""

    key: bytes
    text: str
    tokens: int


class EmbeddingRun:
    """One run of `embed`."""

    def __init__(self, source: Source, settings: RunSettings) -> None:
        self._source = source
        self._settings = settings
        #: The key of each row, or the error why it has none.
        self._rows: list[bytes | ChatError] = []
        #: The indexes of the rows; None while each is the position of its row.
        self._labels: list[Any] | None = None
        #: The vector or the error of each key, None while it is on its way.
        self._outcomes: dict[bytes, bytes | ChatError | None] = {}
        #: The tokens of all vectors, and those that cost the usual price, None if those of one are not known.
        self._tokens: int | None = 0
        self._priced: float | None = 0.0
        self._in_flight: dict[Future[Any], tuple[list[Text], Expense | None]] = {}
        #: The error that ended the run, and whether it is raised even with on_error="keep".
        self._failure: ChatError | None = None
        self._must_raise = settings.raises
        #: An error that is raised once all other texts are done.
        self._late_error: ChatError | None = None
        #: The texts whose errors do not name their row yet.
        self._unnamed: set[bytes] = set()
        #: The bytes of a vector, the same for all.
        self._width = 0
        self._tickets = count()

    def finish(self) -> Embeddings:
        """Embed every text and return the embeddings.

        An error that ends the run has those that are done as `error.results`.
        """
        settings = self._settings
        executor = settings.make_executor()
        with contextlib.ExitStack() as stack:
            if settings.journal is not None:
                stack.callback(settings.journal.close)
            if settings.owns_executor:
                stack.callback(executor.shutdown, wait=False)
            # What is on its way is paid for, whatever ends the run.
            stack.callback(self._drain)
            try:
                self._send_all(executor)
            except ChatError as error:
                self._fail(error)
        self._name_rows()
        self._failure = self._failure or self._late_error
        embeddings = self._embeddings()
        if self._failure is not None and self._must_raise:
            self._failure.results = embeddings  # type: ignore[attr-defined]
            raise self._failure
        return embeddings

    def _send_all(self, executor: Any) -> None:
        self._send_texts(executor, self._new_texts())

    def _send_texts(self, executor: Any, texts: Iterable[Text]) -> None:
        for batch in iter_batches(texts, self._settings.service):
            while len(self._in_flight) >= self._settings.workers:
                self._collect()
            if self._failure is None:
                self._submit(executor, batch)
            if self._failure is not None:
                return

    def _drain(self) -> None:
        while self._in_flight:
            try:
                self._collect()
            except ChatError as error:
                self._fail(error)

    def _new_texts(self) -> Iterator[Text]:
        """Yield the texts that are neither known nor on their way."""
        block: list[Text] = []
        for row in self._source.rows:
            self._add_label(row.index)
            text = self._parse(row)
            if text is None:
                continue
            self._rows.append(text.key)
            if text.key not in self._outcomes:
                self._outcomes[text.key] = None
                block.append(text)
            if len(block) == self._settings.service.max_texts:
                yield from self._unknown(block)
                block = []
        yield from self._unknown(block)

    def _add_label(self, label: Any) -> None:
        position = len(self._rows)
        if self._labels is None and (type(label) is not int or label != position):
            self._labels = list(range(position))
        if self._labels is not None:
            self._labels.append(label)

    def _parse(self, row: Row) -> Text | None:
        problem, text = problem_of(row), row.prompt
        if problem is None:
            return Text(key_of(self._settings.identity, text), text, estimate_tokens(text))
        if self._settings.raises:
            raise problem
        self._rows.append(problem)
        return None

    def _unknown(self, block: list[Text]) -> list[Text]:
        """Take what the journal and the cache have, and return the rest."""
        settings = self._settings
        keys = [text.key for text in block]
        known: dict[bytes, Stored] = {} if settings.journal is None else settings.journal.read_vectors(keys)
        if settings.cache is not None:
            cached = read_cache(settings.cache, settings.url, [key for key in keys if key not in known])
            if settings.journal is not None:
                settings.journal.write_vectors(cached.items())
            known.update(cached)
        for stored in known.values():
            self._check_width(stored)
        self._keep(known.items())
        pending = self._pending([key for key in keys if key not in known])
        self._outcomes.update(pending)
        return [text for text in block if self._outcomes[text.key] is None]

    def _pending(self, keys: Sequence[bytes]) -> Mapping[bytes, ChatError]:
        """Return the errors of texts that are in batch jobs, which a live call leaves there."""
        pending = {} if self._settings.journal is None else self._settings.journal.pending(keys)
        if pending and self._settings.raises:
            self._late_error = next(iter(pending.values()))
        return pending

    def _check_width(self, stored: Stored) -> None:
        if self._width not in (0, len(stored.vector)):
            raise self._width_error(len(stored.vector))
        self._width = len(stored.vector)

    def _submit(self, executor: Any, batch: list[Text]) -> None:
        settings = self._settings
        reserved = None
        if settings.budget is not None:
            tokens = sum(text.tokens for text in batch)
            if settings.price is None and settings.budget.money is not None:
                name = f"{settings.provider}/{settings.model}"
                self._fail(
                    ConfigurationError(f"budget: the price of {name} is not known; pass prices={{{name!r}: (in, 0)}}")
                )
                return
            expected = Expense(tokens * (settings.price or 0.0) / _UNIT, tokens)
            reserved = settings.budget.reserve(expected)
            while reserved is None and self._in_flight:
                self._collect()
                reserved = settings.budget.reserve(expected)
            if reserved is None:
                self._stop(settings.budget.exceeded())
                return
        try:
            texts = [text.text for text in batch]
            future = executor.submit(answer_row, settings.ask, texts, f"embed:{next(self._tickets)}")
        except RuntimeError as error:
            self._settle(reserved, 0)
            self._fail(ConfigurationError(f"executor: it takes no more work ({error})", reason=reason_of(error)))
            return
        self._in_flight[future] = (batch, reserved)

    def _collect(self) -> None:
        """Wait for at least one batch, and store its result before anything else."""
        done, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
        for future in done:
            # One by one: an error while one is stored must not lose the others.
            batch, reserved = self._in_flight.pop(future)
            error = future.exception()
            outcome: Any = error if error is not None else future.result()
            if isinstance(outcome, Vectors):
                self._settle(reserved, outcome.tokens)
                self._store(batch, outcome)
                continue
            if not isinstance(outcome, ChatError):
                reason = reason_of(outcome)
                outcome = ChatError(f"executor: a batch was lost ({type(outcome).__name__}: {outcome})", reason=reason)
            # What a batch that failed has cost is not known if the service may have processed it.
            self._settle(reserved, None if outcome.maybe_processed else 0)
            self._outcomes.update((text.key, outcome) for text in batch)
            waits_too_long = (
                isinstance(outcome, RateLimitError) and (outcome.retry_after or 0) > self._settings.max_wait
            )
            if self._settings.raises or waits_too_long or isinstance(outcome, _FATAL):
                self._stop(outcome)

    def _store(self, batch: Sequence[Text], vectors: Vectors) -> None:
        settings = self._settings
        shares = _shares(vectors.tokens, [text.tokens for text in batch])
        entries: list[tuple[bytes, Stored]] = []
        for text, row, tokens in zip(batch, vectors.rows, shares):
            if isinstance(row, ChatError):
                self._outcomes[text.key] = row
                self._unnamed.add(text.key)
                if settings.raises:
                    self._stop(row)
            elif self._width not in (0, len(row)):
                self._fail(self._width_error(len(row)))
                return
            else:
                self._width = len(row)
                entries.append((text.key, Stored(row, tokens)))
        # In memory first: a journal that cannot be written must not lose them.
        self._keep(entries)
        if settings.journal is not None:
            settings.journal.write_vectors(entries)
        if settings.cache is not None:
            write_cache(settings.cache, settings.url, entries)

    def _name_rows(self) -> None:
        """Add the first row of each text that failed alone to its error."""
        for position, key in enumerate(self._rows if self._unnamed else ()):
            if isinstance(key, bytes) and key in self._unnamed:
                self._unnamed.remove(key)
                error: Any = self._outcomes[key]
                error.message += f" (row {position})"
                error.args = (error.message,)

    def _keep(self, entries: Iterable[tuple[bytes, Stored]]) -> None:
        for key, (vector, tokens, share) in entries:
            self._outcomes[key] = vector
            self._tokens = None if tokens is None or self._tokens is None else self._tokens + tokens
            is_unknown = tokens is None or share is None or self._priced is None
            self._priced = None if is_unknown else (self._priced or 0.0) + (tokens or 0) * (share or 0.0)

    def _width_error(self, size: int) -> BadResponseError:
        provider, model = self._settings.provider, self._settings.model
        return BadResponseError(
            f"{provider}: {model} answered with vectors of {size // 4} and of {self._width // 4} numbers; vectors of "
            "different widths cannot be compared, so look at which model the server runs",
            provider=provider,
            model=model,
        )

    def _settle(self, reserved: Expense | None, tokens: int | None) -> None:
        budget, price = self._settings.budget, self._settings.price
        if budget is not None and reserved is not None:
            spent = reserved if tokens is None else Expense(tokens * (price or 0.0) / _UNIT, tokens)
            budget.settle(reserved, spent)

    def _stop(self, error: ChatError) -> None:
        """Send no more; the error is that of the texts that were not sent."""
        self._failure = self._failure or error

    def _fail(self, error: ChatError) -> None:
        """Send no more, and raise the error at the end."""
        self._stop(error)
        self._must_raise = True

    def _embeddings(self) -> Embeddings:
        settings = self._settings
        unasked = self._failure or ChatError("not sent: the run ended before")
        rows = [self._outcomes[row] or unasked if isinstance(row, bytes) else row for row in self._rows]
        return Embeddings(
            rows,
            provider=settings.provider,
            model=settings.model,
            tokens=self._tokens,
            cost=_cost(self._priced, settings.price),
            labels=self._labels,
            table=self._source.table,
        )


def iter_batches(texts: Iterable[Text], service: EmbeddingService) -> Iterator[list[Text]]:
    """Yield batches of texts within the limits of a request."""
    batch: list[Text] = []
    tokens = 0
    for text in texts:
        is_full = len(batch) == service.max_texts or tokens + text.tokens > service.max_tokens * _FILL
        if batch and is_full:
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += text.tokens
    if batch:
        yield batch


def problem_of(row: Row) -> ChatError | None:
    """Return why the text of a row cannot be embedded, None if it can."""
    text = row.prompt
    if row.error is not None:
        return row.error
    if not isinstance(text, str):
        return ConfigurationError(
            f"row {row.position}: {type(text).__name__} is not a text; only texts can be embedded"
        )
    if not text.strip():
        return ConfigurationError(f"row {row.position}: the text is empty; leave it out")
    if not text.isascii() and _SURROGATE.search(text):
        return ConfigurationError(f"row {row.position}: the text has a lone surrogate, which is not a character")
    return None


def _cost(tokens: float | None, price: float | None) -> float | None:
    if price == 0:
        return 0.0
    return None if tokens is None or price is None else tokens * price / _UNIT


def _shares(total: int | None, weights: Sequence[int]) -> list[int | None]:
    """Return the share of each text in the tokens of its batch; the shares add up to the total.

    >>> _shares(10, [1, 1, 1])
    [3, 3, 4]
    """
    if total is None:
        return [None] * len(weights)
    shares: list[int | None] = []
    before, weight_so_far, all_weights = 0, 0, sum(weights)
    for weight in weights:
        weight_so_far += weight
        upto = total * weight_so_far // all_weights
        shares.append(upto - before)
        before = upto
    return shares
