"""Arguments of `Client.map` and `Client.estimate` -> the results of a batch run, or an estimate of its cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import replace
from aichatkit._lazy import lazy_module
from aichatkit.batch.csv_rows import with_format
from aichatkit.batch.journal import Journal
from aichatkit.batch.progress import Progress
from aichatkit.batch.result_store import DiskStore, MemoryStore
from aichatkit.batch.results import Results
from aichatkit.batch.rows import read_rows
from aichatkit.batch.run import BatchRun, RunOptions
from aichatkit.batch.task_queue import TaskQueue
from aichatkit.batch.templates import Template
from aichatkit.batch.workers import BoundAsk, is_executor, parse_executor
from aichatkit.call.call import Call
from aichatkit.call.fallback import check_call
from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Estimate, check_priced, estimate_calls
from aichatkit.middleware.pipeline import open_answer
from aichatkit.options import parse_flag
from aichatkit.params import is_integer
from aichatkit.prompt_caching import runs
from aichatkit.prompt_caching.plan import RowHead
from aichatkit.reply import Reply
from aichatkit.streams import Stream
from aichatkit.structured.forms import Form

if TYPE_CHECKING:
    from aichatkit.batch_jobs import mapper as batch_jobs
    from aichatkit.client import Client
    from aichatkit.decisions import decide as decisions
    from aichatkit.decisions import rows as decision_rows
else:
    decisions = lazy_module("aichatkit.decisions.decide")
    decision_rows = lazy_module("aichatkit.decisions.rows")
    # Few runs are batch jobs.
    batch_jobs = lazy_module("aichatkit.batch_jobs.mapper")

__all__ = ["ask_row", "estimate_prompts", "map_prompts"]

_ON_ERROR = ("keep", "raise")


def map_prompts(
    client: Client,
    prompts: Any,
    template: str | None,
    *,
    workers: int = 8,
    progress: bool | None = None,
    resume: Any = None,
    executor: Any = None,
    on_error: str = "keep",
    as_completed: bool = False,
    budget: float | None = None,
    max_tokens_total: int | None = None,
    batch: bool = False,
    wait: bool | float = True,
    late: str = "batch",
    encoding: str | None = None,
    delimiter: str | None = None,
    decide: Any = None,
    threshold: float | None = None,
    emulate: bool | None = None,
    **options: Any,
) -> Results:
    """Send every prompt and return the results; `options` are passed to `ask` for every row."""
    prompts = with_format(prompts, encoding, delimiter)
    if not isinstance(batch, bool):
        raise ConfigurationError(f"batch: must be True or False, not {batch!r}")
    _check_questions(decide, threshold, emulate)
    if not batch and (wait is not True or late != "batch"):
        raise ConfigurationError("wait and late are for batch=True")
    if on_error not in _ON_ERROR:
        raise ConfigurationError(f"on_error: must be 'keep' or 'raise', not {on_error!r}")
    as_completed = parse_flag("as_completed", as_completed)
    if not is_integer(workers, minimum=1):
        raise ConfigurationError(f"workers: must be an integer of at least 1, not {workers!r}")
    form: Form | None = None
    if decide is not None:
        form = decisions.parse_form(decide, threshold, emulate, options)
        options = {**options, "form": form}
    build_row_call = partial(_build_row_call, client, **options)
    find_beginning = partial(_find_beginning, prompts, template)
    work = {} if decide is None else {"make_work": decision_rows.DecisionWork}
    if batch:
        return batch_jobs.map_in_jobs(
            client,
            prompts,
            template,
            options,
            ask=BoundAsk(partial(ask_row, client), options),
            build_call=build_row_call,
            find_beginning=find_beginning,
            **work,
            wait=wait,
            late=late,
            workers=workers,
            progress=progress,
            resume=resume,
            executor=executor,
            on_error=on_error,
            as_completed=as_completed,
            budget=budget,
            max_tokens_total=max_tokens_total,
        )
    run_budget = Budget(budget, max_tokens_total)
    sample, make_executor = build_row_call("?"), parse_executor(executor)
    context = sample.context
    budgets = [limit for limit in (context.budget, run_budget) if limit]
    if make_executor is None:
        check_call(sample)
    if any(limit.money is not None for limit in budgets):
        check_priced(sample)
    source, form = read_rows(prompts, template), Form.of(options.get("schema")) if form is None else form
    waits = {"pause": context.pauses.longest}
    if context.rate_limiter is not None:
        waits["pacing"] = context.rate_limiter.longest
    bar = Progress(progress, source.count, waits)
    bound_ask, find_asks = BoundAsk(partial(ask_row, client), options), None
    if isinstance(resume, (str, os.PathLike)) and os.path.isfile(resume):
        find_asks = batch_jobs.collect_jobs(client, resume, ask=bound_ask, build_call=build_row_call, **work)
    journal = None if resume is None else Journal(resume)
    cache = (
        None if decide is not None else runs.plan_run(sample, find_beginning, size=source.size, is_finite=source.finite)
    )
    run_options = RunOptions(
        bound_ask,
        workers,
        journal,
        budgets,
        bar,
        on_error == "raise",
        sample.policy.max_wait,
        make_executor,
        owns_executor=not is_executor(executor),
        cache=cache,
        ask_cached=None if cache is None else BoundAsk(partial(ask_row, client, row_head=cache.head), options),
    )
    # Calls are built ahead only if a journal or a budget has to inspect them.
    build_call = build_row_call if journal is not None or budgets else None
    queue = TaskQueue(
        source,
        build_call=build_call,
        journal=journal,
        schema=form,
        batch_size=workers,
        has_budget=bool(budgets),
        find_asks=find_asks,
    )
    store = DiskStore() if source.size is None else MemoryStore()
    results = Results(BatchRun(queue, run_options), store, schema=form, table=source.table, as_completed=as_completed)
    return results if as_completed else results.finish()


def _check_questions(decide: Any, threshold: Any, emulate: Any) -> None:
    if decide is None and not (threshold is None and emulate is None):
        raise ConfigurationError("threshold and emulate are for decide=")


def _find_beginning(prompts: Any, template: str | None) -> str:
    """Return the text that all prompts begin with; of what can be read only once, only the template is known."""
    least = "" if template is None else Template(template).beginning
    is_frame = hasattr(prompts, "iloc") or hasattr(prompts, "with_columns")
    if is_frame or isinstance(prompts, (list, tuple, Mapping, str, os.PathLike)):
        # A row that cannot be read is reported by the run.
        with suppress(ChatError):
            rows = read_rows(prompts, template).rows
            return runs.common_beginning((row.prompt for row in rows if row.error is None), least)
    return least


def ask_row(
    client: Client,
    prompt: Any,
    /,
    *,
    row_head: RowHead | None = None,
    on_begun: Callable[[], None] | None = None,
    **options: Any,
) -> Reply:
    """Ask one row of a batch run and return its reply.

    `row_head` is the beginning that all rows share, and `on_begun` is called when the answer has begun.
    """
    call = replace(_build_row_call(client, prompt, **options), in_batch=True)
    if row_head is not None:
        call = replace(call, shared_head=row_head.place_in(call.messages))
    if on_begun is not None:
        call = replace(call, on_answer=lambda answer: on_begun())
    reply = Stream(open_answer(call)).read()
    # Decisions are part of no layer around the call.
    form = options.get("form")
    return reply if form is None else replace(reply, data=form.parse(reply))


def _build_row_call(client: Client, prompt: Any, /, *, form: Any = None, **options: Any) -> Call:
    """Return the call for one row; `form` has its questions, if it is to be decided."""
    if form is not None:
        return decisions.build_decision_call(client, prompt, form, **options)
    return client._build_call(prompt, 1, **options)


def estimate_prompts(
    client: Client,
    prompts: Any,
    template: str | None,
    *,
    batch: bool = False,
    decide: Any = None,
    threshold: float | None = None,
    emulate: bool | None = None,
    **options: Any,
) -> Estimate:
    """Return what `map` would use; a row that cannot be sent counts as nothing."""
    _check_questions(decide, threshold, emulate)
    if decide is not None:
        options = {**options, "form": decisions.parse_form(decide, threshold, emulate, options)}
    build_call = partial(_build_row_call, client, **options)
    if batch:
        work = {} if decide is None else {"make_work": decision_rows.DecisionWork}
        return batch_jobs.estimate_in_jobs(prompts, template, build_call=build_call, **work)
    rows, sample = read_rows(prompts, template).rows, build_call("?")
    if decide is not None:
        decisions.check_targets(sample)

    def calls() -> Iterator[Call]:
        for row in rows:
            if row.error is None:
                with suppress(ConfigurationError):
                    yield build_call(row.prompt)

    return estimate_calls(calls())
