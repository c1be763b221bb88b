"""Whatever a service does to a job, at any step: every row is answered once, and paid once."""

from __future__ import annotations

import job_server
import pytest
from sandbox_jobs import ROWS, answered

#: Fault of the creation -> the jobs that the service then makes, and the rows that are answered.
HARMLESS = {
    "batch-ids,value=object": 1,
    "batch-ids,value=empty": 1,
    "batch-count-strings": 1,
    "batch-dates": 1,
    "batch-double-row": 1,
    "batch-foreign-row": 1,
    "batch-separator": 1,
    "batch-stuck": 2,
    "batch-expire": 2,
    "batch-all-errors,fault=overloaded": 2,
    "cut,on=batch-create": 1,
    "cut,on=batch-poll": 1,
    "reset,on=batch-results": 1,
    "html,on=batch-poll": 1,
    "server-error,on=batch-create": 1,
    "refuse,on=batch-create": 1,
    "rate-limit,on=batch-create,retry_after=5": 1,
    "rate-limit,on=batch-row": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", job_server.SERVICES)
@pytest.mark.parametrize("fault", HARMLESS)
def test_every_row_is_answered_once_whatever_happens(sandbox, run_sandbox, kind, fault):
    sandbox.script(fault)
    results = run_sandbox(sandbox, kind)
    assert not results.failed
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)
    assert len(sandbox.jobs) == HARMLESS[fault]
    assert {job.service for job in sandbox.jobs} == {kind}
