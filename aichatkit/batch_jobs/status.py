"""Jobs -> what a user reads about them: in the progress bar, and in the errors of rows that have no answer yet."""

from __future__ import annotations

import time
from collections.abc import Sequence

from aichatkit.batch_jobs.records import FINAL, JobRecord
from aichatkit.errors import BatchGoneError, BatchPendingError, ChatError

__all__ = ["interrupted_error", "next_look", "pending_error", "progress_note"]


def progress_note(jobs: Sequence[JobRecord], now: float) -> str:
    """Return how many jobs have ended, and what is known about the others."""
    if not jobs:
        return ""
    active = [job for job in jobs if job.state not in FINAL]
    deadlines = [job.deadline for job in active if job.deadline]
    until = f", ends by {_clock_time(max(deadlines), now)}" if deadlines else ""
    answered = sum(job.answered for job in active)
    rows = sum(job.rows for job in active)
    return f"{len(jobs) - len(active)}/{len(jobs)}, {answered:,}/{rows:,} rows ready{until}"


def _clock_time(seconds: float, now: float) -> str:
    """Return a time of this machine's time zone, with its day if that is not today."""
    moment = time.localtime(seconds)
    is_today = moment[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if is_today else "%a %H:%M", moment)


def next_look(jobs: Sequence[JobRecord], now: float) -> float:
    """Return the seconds until one of the jobs is looked up again."""
    times = [job.next_poll for job in jobs if job.state not in FINAL]
    return max(0.0, min(times) - now) if times else 0.0


def interrupted_error(jobs: Sequence[JobRecord], path: str) -> ChatError:
    """Return why a run ended that Ctrl-C stopped, and how to go on."""
    active = [job for job in jobs if job.state not in FINAL]
    rows = sum(job.rows for job in active)
    count = f"{len(active)} job{'s go' if len(active) != 1 else ' goes'} on ({rows:,} rows)"
    return ChatError(
        f"stopped with Ctrl-C: {count}; the same call collects the answers, and `aichatkit jobs {path} --cancel` "
        "cancels what is running"
    )


def pending_error(job: JobRecord | None, path: str, *, is_reachable: bool) -> ChatError:
    """Return the error of a row without an outcome; `job` is None if another process is working on it."""
    if job is None:
        return BatchPendingError("another process is working on this row; the same call collects its answer later")
    if job.state == "gone":
        return BatchGoneError(
            f"{job.provider}: the service no longer has the job {job.id} or its results; "
            f"`aichatkit jobs {path} --release` sends its rows again",
            job=job.id,
            provider=job.provider,
            model=job.model,
        )
    hint = "" if is_reachable else "; it was sent with another API key or to another base_url, so use the same ones"
    return BatchPendingError(
        f"{job.provider}: the row is in the job {job.id}, which has not ended; the same call collects it later{hint}",
        job=job.id,
        provider=job.provider,
        model=job.model,
    )
