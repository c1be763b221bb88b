"""Runs in batch jobs against the sandbox: what each service may do to a job, with a clock that waits move."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

import job_server
import pytest

from aichatkit import Client, RetryPolicy
from aichatkit.batch_jobs.job import list_jobs
from aichatkit.sandbox import Sandbox

ROWS = [f"I am sad about {number}" for number in range(6)]
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


@contextmanager
def client_of(box, kind, **options):
    # A day in steps of a minute would take seconds.
    policy = RetryPolicy(sleep=lambda seconds: box.advance(20 * seconds), clock=box.now, random=lambda: 0.5, base=0)
    urls = {kind: box.url + job_server.PATHS.get(kind, "")}
    settings = {"model": job_server.MODELS[kind], "api_key": {kind: "sk-test"}, "base_url": urls, "retry": policy}
    with Client(**{**settings, **options}) as client:
        yield client


@pytest.fixture
def run(tmp_path):
    """Run `map` in batch jobs of a service that the sandbox plays."""

    def run(box, kind, rows=ROWS, **options):
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False, **options}
        with client_of(box, kind) as client:
            return client.map(rows, **options)

    return run


def answered(box):
    return Counter(row.prompt for row in box.ledger if row.state == "answered")


@pytest.mark.slow
@pytest.mark.parametrize("kind", job_server.SERVICES)
@pytest.mark.parametrize("fault", HARMLESS)
def test_every_row_is_answered_once_whatever_happens(sandbox, run, kind, fault):
    sandbox.script(fault)
    results = run(sandbox, kind)
    assert not results.failed
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)
    assert len(sandbox.jobs) == HARMLESS[fault]
    assert {job.service for job in sandbox.jobs} == {kind}


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_job_is_sent_now_and_collected_later(sandbox, run, kind):
    assert run(sandbox, kind, wait=False).pending == len(ROWS)
    sandbox.advance(61)
    results = run(sandbox, kind, wait=False)
    assert results.text == ["How long have you been sad?"] * len(ROWS)
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)
    assert not [request for request in sandbox.requests if request.path.endswith(("completions", "messages"))]


@pytest.mark.parametrize("kind", [kind for kind in job_server.SERVICES if kind != "anthropic"])
def test_of_two_jobs_that_one_request_made_the_second_is_cancelled(run, kind):
    with Sandbox(faults=["batch-twice"], batch_seconds=7200) as box:
        box.script("cut,on=batch-create")
        assert not run(box, kind).failed
        assert box.jobs[1].cancelled is not None
        assert answered(box) == dict.fromkeys(ROWS, 1)


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_job_that_lists_lack_at_first_is_not_made_again(run, kind):
    with Sandbox(faults=["batch-lag,seconds=60"]) as box:
        box.script("cut,on=batch-create")
        assert not run(box, kind).failed
        assert len(box.jobs) == 1


@pytest.mark.parametrize("kind", ["openai", "azure", "groq", "gemini"])
def test_rows_of_a_queue_that_is_full_are_sent_later(sandbox, run, kind):
    sandbox.script("batch-token-limit")
    assert not run(sandbox, kind).failed
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)
    assert [len(job.rows) for job in sandbox.jobs] == [6, 3, 3]


def test_rows_of_a_job_that_the_service_failed_are_sent_again(sandbox, run):
    sandbox.script("batch-fail", "batch-fail")
    assert not run(sandbox, "gemini").failed
    assert [len(job.rows) for job in sandbox.jobs] == [6, 6, 6]


def test_rows_of_a_job_that_failed_without_a_status_are_not_sent_again(sandbox, run):
    sandbox.script("batch-fail")
    assert len(run(sandbox, "mistral").failed) == 6
    assert len(sandbox.jobs) == 1


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_job_that_somebody_cancelled_keeps_its_answers(sandbox, run, kind):
    sandbox.script("batch-cancel")
    results = run(sandbox, kind)
    assert len(results.failed) == 3
    assert "was cancelled before this row was answered" in str(results.failed[0].error)


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_results_that_are_gone_are_not_asked_again(sandbox, run, kind):
    sandbox.script("batch-output-gone")
    results = run(sandbox, kind)
    assert [job.state for job in results.jobs] == ["gone"]
    assert len(sandbox.jobs) == 1


def test_a_line_of_many_megabytes_is_read(sandbox, run):
    sandbox.script("batch-long-line,megabytes=8")
    assert not run(sandbox, "openai").failed


def test_a_job_that_may_be_of_another_program_is_not_cancelled(sandbox, run, caplog, tmp_path):
    sandbox.script("cut,on=batch-create")
    run(sandbox, "anthropic", wait=False)
    (job,) = run(sandbox, "anthropic", wait=False).jobs
    assert job.state == "unsure"
    with client_of(sandbox, "anthropic") as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert job.cancel().note == "cancelled here"
    assert "may belong to another program" in caplog.text
    assert sandbox.jobs[0].cancelled is None
    sandbox.advance(61)
    assert not run(sandbox, "anthropic", wait=False).failed
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)


def test_another_key_cannot_collect(sandbox, run, tmp_path):
    run(sandbox, "openai", wait=False)
    sandbox.advance(61)
    with client_of(sandbox, "openai", api_key={"openai": "sk-other"}) as client:
        results = client.map(ROWS, batch=True, resume=tmp_path / "run.sqlite", progress=False, wait=False)
    assert results.pending == len(ROWS)
    assert len(sandbox.jobs) == 1
