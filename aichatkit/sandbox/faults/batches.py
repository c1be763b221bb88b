"""Faults of batch jobs, most of them by the request that creates one: how it goes, what is wrong with its results."""

from __future__ import annotations

from typing import Any

from aichatkit.sandbox.exchange import Response
from aichatkit.sandbox.faults.base import Respond, fault
from aichatkit.sandbox.wires import Call

_ON = "batch-create"


@fault(on="batch-upload")
def batch_pending_file(respond: Respond, call: Call, seconds: float = 30.0) -> Response:
    """The uploaded file is checked for some time, and no job can be created from it before, as at Azure."""
    return _with_quirk(respond, call, "batch-pending-file", seconds)


@fault(on=_ON)
def batch_invalid(respond: Respond, call: Call, line: int = 1) -> Response:
    """The job fails, as one of its lines is not valid."""
    return _with_quirk(respond, call, "batch-invalid", line)


@fault(on=_ON)
def batch_token_limit(respond: Respond, call: Call) -> Response:
    """The job fails, as too many tokens wait in the service's queue."""
    return _with_quirk(respond, call, "batch-token-limit")


@fault(on=_ON)
def batch_model_refused(respond: Respond, call: Call) -> Response:
    """The job fails, as its model does not support batches (Anthropic: no effect)."""
    return _with_quirk(respond, call, "batch-model-refused")


@fault(on=_ON)
def batch_fail(respond: Respond, call: Call) -> Response:
    """The job fails, for a reason of the service (Anthropic: no effect)."""
    return _with_quirk(respond, call, "batch-fail")


@fault(on=_ON)
def batch_stuck(respond: Respond, call: Call) -> Response:
    """The job is never begun, and expires."""
    return _with_quirk(respond, call, "batch-stuck")


@fault(on=_ON)
def batch_expire(respond: Respond, call: Call, share: float = 0.5) -> Response:
    """The job expires after 24 hours, with a share of its rows answered."""
    return _with_quirk(respond, call, "batch-expire", share)


@fault(on=_ON)
def batch_cancel(respond: Respond, call: Call, share: float = 0.5) -> Response:
    """The job is cancelled by somebody, with a share of its rows answered."""
    return _with_quirk(respond, call, "batch-cancel", share)


@fault(on=_ON)
def batch_all_errors(respond: Respond, call: Call, fault: str = "bad-request") -> Response:
    """The job completes, and every row of it was refused with a fault."""
    return _with_quirk(respond, call, "batch-all-errors", fault)


@fault(on=_ON)
def batch_ids(respond: Respond, call: Call, value: str = "null") -> Response:
    """The ID of a file that there is not: null, empty, object or absent."""
    return _with_quirk(respond, call, "batch-ids", value)


@fault(on=_ON)
def batch_count_strings(respond: Respond, call: Call) -> Response:
    """The counts of the job are text."""
    return _with_quirk(respond, call, "batch-count-strings")


@fault(on=_ON)
def batch_dates(respond: Respond, call: Call) -> Response:
    """The times of the job are dates without an hour."""
    return _with_quirk(respond, call, "batch-dates")


@fault(on=_ON)
def batch_inline(respond: Respond, call: Call) -> Response:
    """Gemini: the results are in the job, although its rows are a file."""
    return _with_quirk(respond, call, "batch-inline")


@fault(on=_ON)
def batch_archived(respond: Respond, call: Call) -> Response:
    """Anthropic: the results are archived as soon as the job has ended."""
    return _with_quirk(respond, call, "batch-archived")


@fault(on=_ON)
def batch_missing_row(respond: Respond, call: Call) -> Response:
    """The results lack a row."""
    return _with_quirk(respond, call, "batch-missing-row")


@fault(on=_ON)
def batch_double_row(respond: Respond, call: Call) -> Response:
    """The results have a row twice."""
    return _with_quirk(respond, call, "batch-double-row")


@fault(on=_ON)
def batch_foreign_row(respond: Respond, call: Call) -> Response:
    """The results have a row that the job did not have."""
    return _with_quirk(respond, call, "batch-foreign-row")


@fault(on=_ON)
def batch_separator(respond: Respond, call: Call) -> Response:
    """A line of the results contains line separators of Unicode."""
    return _with_quirk(respond, call, "batch-separator")


@fault(on=_ON)
def batch_long_line(respond: Respond, call: Call, megabytes: int = 8) -> Response:
    """A line of the results is very long."""
    return _with_quirk(respond, call, "batch-long-line", megabytes)


@fault(on=_ON)
def batch_status_zero(respond: Respond, call: Call) -> Response:
    """A row of the results has the status 0 and no body."""
    return _with_quirk(respond, call, "batch-status-zero")


@fault(on=_ON)
def batch_output_gone(respond: Respond, call: Call) -> Response:
    """The results are gone."""
    return _with_quirk(respond, call, "batch-output-gone")


@fault(on=_ON)
def batch_lag(respond: Respond, call: Call, seconds: float = 60.0) -> Response:
    """The job is missing from lists at first."""
    return _with_quirk(respond, call, "batch-lag", seconds)


@fault(on=_ON)
def batch_twice(respond: Respond, call: Call) -> Response:
    """The request creates two jobs."""
    return _with_quirk(respond, call, "batch-twice")


def _with_quirk(respond: Respond, call: Call, name: str, value: Any = True) -> Response:
    call.overrides[name] = value
    return respond()
