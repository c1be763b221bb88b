"""Arguments of `Client.map(batch=True)` -> the results of a run in batch jobs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from aichatkit.batch.progress import Progress
from aichatkit.batch.result_store import DiskStore, MemoryStore
from aichatkit.batch.results import Results
from aichatkit.batch.rows import Source, read_rows
from aichatkit.batch.run import BatchRun, RunOptions
from aichatkit.batch.task_queue import Task, TaskQueue
from aichatkit.batch_jobs import prices
from aichatkit.batch_jobs.job import Job
from aichatkit.batch_jobs.journal import JobJournal, has_jobs
from aichatkit.batch_jobs.planner import PlannedRow, Planner
from aichatkit.batch_jobs.protocols import PROVIDERS, find_protocol
from aichatkit.batch_jobs.records import FINAL
from aichatkit.batch_jobs.run import JobRun
from aichatkit.batch_jobs.run_options import JobRunOptions
from aichatkit.call.call import Call
from aichatkit.call.fallback import check_call
from aichatkit.call.targets import Target
from aichatkit.errors import ConfigurationError
from aichatkit.limits.retries import RetryPolicy
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Estimate, expected_expense, highest_cost
from aichatkit.params import is_number, suggestion
from aichatkit.structured.forms import Form

if TYPE_CHECKING:
    from aichatkit.batch.workers import BoundAsk
    from aichatkit.client import Client

__all__ = ["collect_jobs", "estimate_in_jobs", "map_in_jobs"]

#: The wall clock, by which jobs are looked up: it goes on while this program does not run.
_clock = time.time
_LATE = ("batch", "live", "fail")
#: Fields of a body that jobs do not take.
_NOT_IN_JOBS = ("stream", "stream_options", "background", "speed", "service_tier")


def map_in_jobs(
    client: Client,
    prompts: Any,
    template: str | None,
    options: Mapping[str, Any],
    *,
    ask: BoundAsk,
    wait: bool | float,
    late: str,
    workers: int,
    progress: bool | None,
    resume: Any,
    executor: Any,
    on_error: str,
    as_completed: bool,
    budget: float | None,
    max_tokens_total: int | None,
) -> Results:
    """Send every prompt in batch jobs and return the results; `ask` sends a row live."""
    seconds = _parse_wait(wait)
    _check_options(options, late=late, resume=resume, executor=executor)
    sample = client._build_call("?", 1, **options)
    targets = _targets_with_jobs(sample)
    check_call(sample)
    run_budget = Budget(budget, max_tokens_total)
    budgets = [limit for limit in (sample.context.budget, run_budget) if limit]
    _check_budgets(budgets, sample, targets)
    source, form = read_rows(prompts, template), Form.of(options.get("schema"))

    build_call = _call_builder(client, options)
    runs: list[JobRun] = []
    bar = Progress(
        progress,
        source.count,
        {"next look": lambda: runs[0].next_look() if runs else 0.0},
        {"jobs": lambda: runs[0].notes() if runs else ""},
    )
    journal = JobJournal(resume)
    planner = Planner(
        source,
        build_call=build_call,
        targets=targets,
        journal=journal,
        schema=form,
        budgets=budgets,
        keeps_failures=any(job.state not in FINAL for job in journal.jobs()),
        late=late,
    )

    def ask_live(rows: Sequence[PlannedRow]) -> BatchRun:
        # A journal of its own, as the live run closes it.
        own = JobJournal(resume)
        queue = TaskQueue(
            Source(iter(()), 0), build_call=build_call, journal=own, schema=form, batch_size=workers, has_budget=True
        )
        journal.release(planned.key for planned in rows)
        own.claim([planned.key for planned in rows])
        for planned in rows:
            call = build_call(planned.row.prompt)
            queue.requeue_last(Task(planned.row, planned.key, expected_expense(call), highest_cost(call)))
        live = RunOptions(ask, workers, own, budgets, Progress(False, 0, {}), False, sample.policy.max_wait)
        return BatchRun(queue, live)

    run = JobRun(
        planner,
        JobRunOptions(
            call=sample,
            journal=journal,
            budgets=budgets,
            run_budget=run_budget,
            progress=bar,
            raise_on_error=on_error == "raise",
            wait=seconds,
            late=late,
            make_job=partial(Job.of, path=journal.path, client=client),
            ask_live=ask_live,
            clock=_wall_clock(sample.policy),
        ),
    )
    runs.append(run)
    store = DiskStore() if source.size is None else MemoryStore()
    results = Results(run, store, schema=form, table=source.table, as_completed=as_completed)
    return results if as_completed else results.finish()


def collect_jobs(client: Client, options: Mapping[str, Any], resume: Any) -> None:
    """Collect what the jobs of a journal have answered by now, if it has any; called before rows are sent live."""
    if not has_jobs(resume):
        return
    sample = client._build_call("?", 1, **options)
    journal = JobJournal(resume)

    planner = Planner(
        Source(iter(()), 0),
        build_call=_call_builder(client, options),
        targets=sample.targets,
        journal=journal,
        schema=sample.schema,
        budgets=(),
        keeps_failures=False,
        late="batch",
    )
    job_options = JobRunOptions(
        call=sample,
        journal=journal,
        budgets=(),
        run_budget=Budget(),
        progress=Progress(False, 0, {}),
        raise_on_error=False,
        wait=0.0,
        late="batch",
        make_job=partial(Job.of, path=journal.path, client=client),
        sends=False,
        clock=_wall_clock(sample.policy),
    )
    run = JobRun(planner, job_options)
    deque(run, maxlen=0)


def estimate_in_jobs(client: Client, prompts: Any, template: str | None, options: Mapping[str, Any]) -> Estimate:
    """Return what `map(batch=True)` would use; a row that cannot be sent counts as nothing."""
    rows = read_rows(prompts, template).rows
    target = _targets_with_jobs(client._build_call("?", 1, **options))[0]

    def calls() -> Iterator[Call]:
        for row in rows:
            if row.error is None:
                with suppress(ConfigurationError):
                    yield client._build_call(row.prompt, 1, **options)

    return prices.estimate_jobs(calls(), target)


def _call_builder(client: Client, options: Mapping[str, Any]) -> Callable[[object], Call]:
    return lambda prompt: client._build_call(prompt, 1, **options)  # type: ignore[arg-type]


def _wall_clock(policy: RetryPolicy) -> Callable[[], float]:
    """Return the wall clock; if the policy has a clock, one that goes as that does from now on."""
    clock = policy.clock
    if clock is None:
        return _clock
    moved = _clock() - clock()
    return lambda: clock() + moved


def _parse_wait(wait: Any) -> float | None:
    """Return the seconds to wait for jobs, None without a limit."""
    if wait is True:
        return None
    if wait is False:
        return 0.0
    if is_number(wait, minimum=0) and wait < 1e9:
        return float(wait)
    raise ConfigurationError(f"wait: must be True, False or a number of seconds, not {wait!r}")


def _check_options(options: Mapping[str, Any], *, late: Any, resume: Any, executor: Any) -> None:
    if late not in _LATE:
        hint = suggestion(late, _LATE) if isinstance(late, str) else ""
        raise ConfigurationError(f"late: must be 'batch', 'live' or 'fail', not {late!r}{hint}")
    if resume is None:
        raise ConfigurationError(
            "resume: batch=True needs the path of a journal, such as resume='run.sqlite', as jobs outlive this program"
        )
    if executor is not None:
        raise ConfigurationError(
            "executor: rows of batch jobs are sent in files, not by an executor; leave out executor= or batch="
        )
    if options.get("search"):
        raise ConfigurationError(
            "search: batch jobs do not search the web, as an answer that searches may pause and has to be sent back to "
            "go on, which a job cannot do; leave search= or batch= out"
        )
    if options.get("tools"):
        raise ConfigurationError("tools: a batch job has nobody to run tools; leave tools= or batch= out")
    for name in _NOT_IN_JOBS:
        if name in (options.get("extra") or {}):
            raise ConfigurationError(f"extra: batch jobs do not take {name!r}; leave it or batch= out")


def _targets_with_jobs(call: Call) -> list[Target]:
    """Return the targets that have jobs; the first one must, as the others are for what it does not take."""
    first = call.targets[0]
    protocol = find_protocol(first.provider)
    if first.provider.draws(first.model):
        raise ConfigurationError(f"batch: {first.model} draws pictures, and batch jobs here are for text only")
    assert protocol is not None
    return [target for target in call.targets if target.provider.name in PROVIDERS]


def _check_budgets(budgets: Sequence[Budget], call: Call, targets: Sequence[Target]) -> None:
    if not budgets:
        return
    if not call.options.params.get("max_tokens"):
        raise ConfigurationError(
            "budget: a job cannot be stopped halfway, so its rows need an upper bound; pass max_tokens="
        )
    if any(budget.money is not None for budget in budgets):
        for target in targets:
            prices.check_priced(call, target)
