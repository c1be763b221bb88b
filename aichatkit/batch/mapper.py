"""Many prompts: what a client does with a list, a frame or a file of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aichatkit._lazy import lazy_module
from aichatkit.call.targets import Model
from aichatkit.errors import ConfigurationError
from aichatkit.limits.pauses import Pauses
from aichatkit.options import CALL_OPTIONS
from aichatkit.params import parse_params
from aichatkit.reply import Reply

if TYPE_CHECKING:
    from aichatkit.batch import journal, result_store, results, rows, run, task_queue
    from aichatkit.batch import progress as bars
    from aichatkit.batch import workers as jobs
    from aichatkit.call.attempt import Call
    from aichatkit.limits import rate_limits
    from aichatkit.middleware import budgets, estimates, tool_rounds
else:
    # Most scripts ask one prompt at a time.
    run = lazy_module("aichatkit.batch.run")
    budgets = lazy_module("aichatkit.middleware.budgets")
    estimates = lazy_module("aichatkit.middleware.estimates")
    task_queue = lazy_module("aichatkit.batch.task_queue")
    journal = lazy_module("aichatkit.batch.journal")
    bars = lazy_module("aichatkit.batch.progress")
    results = lazy_module("aichatkit.batch.results")
    tool_rounds = lazy_module("aichatkit.middleware.tool_rounds")
    rows = lazy_module("aichatkit.batch.rows")
    result_store = lazy_module("aichatkit.batch.result_store")
    jobs = lazy_module("aichatkit.batch.workers")

__all__ = ["Mapper"]

_ON_ERROR = ("keep", "raise")
#: What `map` takes beside the options of a call.
_OPTIONS = (
    "template",
    "workers",
    "progress",
    "resume",
    "executor",
    "on_error",
    "as_completed",
    "budget",
    "max_tokens_total",
)


class Mapper:
    """The side of a client that asks many prompts."""

    if TYPE_CHECKING:
        # What the other side has.
        _purse: budgets.Budget | None
        _pauses: Pauses
        _pacer: rate_limits.RateLimiter | None

        def _planned(self, prompt: Any, **options: Any) -> Call: ...

        def _answer(self, prompt: Any, **options: Any) -> Reply: ...

        def _check(self, call: Call) -> None: ...

    def map(
        self,
        prompts: Any,
        template: str | None = None,
        *,
        model: Model = None,
        workers: int = 8,
        progress: bool | None = None,
        resume: Any = None,
        executor: Any = None,
        schema: Any = None,
        on_error: str = "keep",
        as_completed: bool = False,
        budget: float | None = None,
        max_tokens_total: int | None = None,
        **options: Any,
    ) -> results.Results:
        """Ask every prompt of a list, iterable, dict, pandas or polars frame, CSV or JSON lines file.

        A row that fails holds its error. Ctrl-C ends the run in good order, a second one at once.

        Args:
            template: a text such as "Translate: {text}" that the columns of each row are put into.
            workers: rows under way at once.
            progress: a bar (extra `progress`); by default where a terminal or a notebook shows it.
            resume: path of a journal, by which a run that was ended asks only what is missing.
            executor: a `concurrent.futures.Executor`, or a function that makes one, to ask elsewhere; its processes
                take keys from their own environment.
            on_error: "raise" ends the run at the first row that fails; the error has the `results`.
            as_completed: return at once; the first loop over the results yields rows as they come.
            budget: US dollars, by the price table, that are not passed.
            max_tokens_total: tokens that are not passed.
            options: those of `ask`, the same for every row.

        Raises:
            ConfigurationError: nothing was sent; the call cannot be made as it stands.
            JournalError: the journal cannot be used; what is in it is kept.
        """
        if on_error not in _ON_ERROR:
            raise ConfigurationError(f"on_error: must be 'keep' or 'raise', not {on_error!r}")
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ConfigurationError(f"workers: must be a whole number from 1 on, not {workers!r}")
        own = {name: options[name] for name in options if name not in CALL_OPTIONS}
        parse_params(own, options=(*CALL_OPTIONS, *_OPTIONS))
        asked = {**options, "model": model, "schema": schema}
        purses = [purse for purse in (self._purse, budgets.Budget(budget, max_tokens_total)) if purse]
        sample, make_executor = self._planned("?", **asked), jobs.parse_executor(executor)
        if make_executor is None:
            self._check(sample)
        if any(purse.money is not None for purse in purses):
            estimates.check_priced(sample)
        source, form = rows.read_rows(prompts, template), tool_rounds.Form.of(schema)
        waits = {"pause": self._pauses.longest, **({} if self._pacer is None else {"pacing": self._pacer.longest})}
        bar = bars.Progress(progress, source.size, waits)
        book = None if resume is None else journal.Journal(resume)
        plan = run.RunOptions(
            jobs.BoundAsk(self._answer, asked),
            workers,
            book,
            purses,
            bar,
            on_error == "raise",
            sample.policy.max_wait,
            make_executor,
            owns_executor=not hasattr(executor, "submit"),
        )
        call_of = (lambda prompt: self._planned(prompt, **asked)) if book is not None or purses else None
        taken = task_queue.TaskQueue(
            source, build_call=call_of, journal=book, schema=form, batch_size=workers, has_budget=bool(purses)
        )
        shelf = result_store.DiskStore() if source.size is None else result_store.MemoryStore()
        found = results.Results(
            run.BatchRun(taken, plan), shelf, schema=form, table=source.table, as_completed=as_completed
        )
        return found if as_completed else found.finish()

    def estimate(self, prompts: Any, template: str | None = None, **options: Any) -> estimates.Estimate:
        """Return how many calls, tokens and US dollars `map` would take, without a call.

        Tokens are counted by tiktoken where it and its tables are installed, else taken to be four bytes each;
        an answer counts `max_tokens`, or 256 where that is not given. A row that cannot be asked counts nothing.
        """
        found = rows.read_rows(prompts, template).rows
        self._planned("?", **options)

        def calls() -> Iterator[Call]:
            for row in found:
                if row.error is None:
                    with suppress(ConfigurationError):
                        yield self._planned(row.prompt, **options)

        return estimates.estimate_calls(calls())
