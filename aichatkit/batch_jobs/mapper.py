"""Arguments of `Client.map(batch=True)` -> the results of a run in batch jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from aichatkit.batch.progress import Progress
from aichatkit.batch.result_store import DiskStore, MemoryStore
from aichatkit.batch.results import Results
from aichatkit.batch.rows import Source, read_rows
from aichatkit.batch.run import BatchRun, RunOptions
from aichatkit.batch.task_queue import Task, TaskQueue
from aichatkit.batch.workers import BoundAsk
from aichatkit.batch_jobs import prices
from aichatkit.batch_jobs.first_row import plan_first_row
from aichatkit.batch_jobs.job import Job
from aichatkit.batch_jobs.journal import JobJournal, has_jobs
from aichatkit.batch_jobs.planner import Planner
from aichatkit.batch_jobs.protocols import PROVIDERS, find_protocol
from aichatkit.batch_jobs.records import FINAL
from aichatkit.batch_jobs.run import JobRun
from aichatkit.batch_jobs.run_options import JobRunOptions, check_options, parse_wait, wall_clock
from aichatkit.batch_jobs.work import ChatWork, PlannedRow, RowWork
from aichatkit.call.call import Call
from aichatkit.call.fallback import check_call
from aichatkit.call.targets import Target
from aichatkit.errors import ConfigurationError
from aichatkit.middleware.budgets import Budget
from aichatkit.middleware.estimates import Estimate, expected_expense, highest_cost

if TYPE_CHECKING:
    from aichatkit.client import Client

__all__ = ["collect_jobs", "estimate_in_jobs", "map_in_jobs"]

#: Keys of rows -> how those are sent live that have some of their answers.
FindAsks = Callable[[Sequence[bytes]], Mapping[bytes, BoundAsk]]
#: Fields of a body that jobs do not take.
_NOT_IN_JOBS = ("stream", "stream_options", "background", "speed", "service_tier")


def map_in_jobs(
    client: Client,
    prompts: Any,
    template: str | None,
    options: Mapping[str, Any],
    *,
    ask: BoundAsk,
    build_call: Callable[[Any], Call],
    find_beginning: Callable[[], str],
    make_work: Callable[[Call, Callable[[Any], Call]], RowWork] = ChatWork,
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
    """Send every prompt in batch jobs and return the results; `ask` sends a row live, `build_call` returns its call."""
    seconds = parse_wait(wait)
    check_options(late=late, resume=resume, executor=executor)
    _check_options(options)
    sample = build_call("?")
    work = make_work(sample, build_call)
    targets = _targets_with_jobs(sample, work)
    check_call(sample)
    run_budget = Budget(budget, max_tokens_total)
    budgets = [limit for limit in (sample.context.budget, run_budget) if limit]
    _check_budgets(budgets, sample, targets, work)
    source, form = read_rows(prompts, template), sample.schema

    runs: list[JobRun] = []
    bar = Progress(
        progress,
        source.count,
        {"next look": lambda: runs[0].next_look() if runs else 0.0},
        {"jobs": lambda: runs[0].notes() if runs else ""},
    )
    journal = _open_journal(resume)
    planner = Planner(
        source,
        work=work,
        call=sample,
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
            task = Task(planned.row, planned.key, expected_expense(call), highest_cost(call))
            task.ask = work.ask_rest(ask, planned.drafts) if planned.drafts else None
            queue.requeue_last(task)
        live = RunOptions(ask, workers, own, budgets, Progress(False, 0, {}), False, sample.policy.max_wait)
        return BatchRun(queue, live)

    clock = wall_clock(sample.policy)
    first_row = None
    if work.shares_beginning:
        first_row = plan_first_row(
            sample, targets[0], work, find_beginning, size=source.size, is_finite=source.finite, clock=clock
        )
    run = JobRun(
        planner,
        JobRunOptions(
            call=sample,
            work=work,
            journal=journal,
            budgets=budgets,
            run_budget=run_budget,
            progress=bar,
            raise_on_error=on_error == "raise",
            wait=seconds,
            late=late,
            make_job=partial(Job.of, path=journal.path, client=client),
            ask_live=ask_live,
            first_row=first_row,
            clock=clock,
        ),
    )
    runs.append(run)
    store = DiskStore() if source.size is None else MemoryStore()
    results = Results(run, store, schema=form, table=source.table, as_completed=as_completed)
    return results if as_completed else results.finish()


def collect_jobs(
    client: Client,
    resume: Any,
    *,
    ask: BoundAsk,
    build_call: Callable[[Any], Call],
    make_work: Callable[[Call, Callable[[Any], Call]], RowWork] = ChatWork,
) -> FindAsks | None:
    """Collect what the jobs of a journal have answered by now, if it has any; called before rows are sent live.

    Return a function that finds rows by their keys of which some answers are there, and how the rest is sent.
    """
    if not has_jobs(resume):
        return None
    sample, journal = build_call("?"), _open_journal(resume)
    work = make_work(sample, build_call)
    planner = Planner(
        Source(iter(()), 0),
        work=work,
        call=sample,
        targets=sample.targets,
        journal=journal,
        schema=sample.schema,
        budgets=(),
        keeps_failures=False,
        late="batch",
    )
    job_options = JobRunOptions(
        call=sample,
        work=work,
        journal=journal,
        budgets=(),
        run_budget=Budget(),
        progress=Progress(False, 0, {}),
        raise_on_error=False,
        wait=0.0,
        late="batch",
        make_job=partial(Job.of, path=journal.path, client=client),
        sends=False,
        clock=wall_clock(sample.policy),
    )
    run = JobRun(planner, job_options)
    deque(run, maxlen=0)

    def find_asks(keys: Sequence[bytes]) -> Mapping[bytes, BoundAsk]:
        with closing(JobJournal(resume)) as own:
            return {key: work.ask_rest(ask, drafts) for key, drafts in own.drafts(keys).items()}

    return find_asks if work.keeps_drafts else None


def estimate_in_jobs(
    prompts: Any,
    template: str | None,
    *,
    build_call: Callable[[Any], Call],
    make_work: Callable[[Call, Callable[[Any], Call]], RowWork] = ChatWork,
) -> Estimate:
    """Return what `map(batch=True)` would use; a row that cannot be sent counts as nothing."""
    rows, sample = read_rows(prompts, template).rows, build_call("?")
    target = _targets_with_jobs(sample, make_work(sample, build_call))[0]

    def calls() -> Iterator[Call]:
        for row in rows:
            if row.error is None:
                with suppress(ConfigurationError):
                    yield build_call(row.prompt)

    return prices.estimate_jobs(calls(), target)


def _open_journal(path: Any) -> JobJournal:
    journal = JobJournal(path)
    if journal.holds_vectors():
        journal.close()
        raise ConfigurationError(f"resume: {journal.path!r} holds vectors and the jobs of embed; take another file")
    return journal


def _check_options(options: Mapping[str, Any]) -> None:
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


def _targets_with_jobs(call: Call, work: RowWork) -> list[Target]:
    """Return the targets that have jobs; the first one must, as the others are for what it does not take."""
    first = call.targets[0]
    find_protocol(first.provider)
    if first.provider.draws(first.model):
        raise ConfigurationError(f"batch: {first.model} draws pictures, and batch jobs here are for text only")
    problem = work.refusal(first)
    if problem is not None:
        raise problem
    return [target for target in call.targets if target.provider.name in PROVIDERS and work.refusal(target) is None]


def _check_budgets(budgets: Sequence[Budget], call: Call, targets: Sequence[Target], work: RowWork) -> None:
    if not budgets:
        return
    if not work.is_bounded:
        raise ConfigurationError(
            "budget: the length of answers to questions has no upper bound, and a job cannot be stopped halfway; "
            "leave out budget= or batch="
        )
    if not call.options.params.get("max_tokens"):
        raise ConfigurationError(
            "budget: a job cannot be stopped halfway, so its rows need an upper bound; pass max_tokens="
        )
    if any(budget.money is not None for budget in budgets):
        for target in targets:
            prices.check_priced(call, target)
