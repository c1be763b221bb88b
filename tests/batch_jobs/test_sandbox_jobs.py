"""Runs in batch jobs against the sandbox: what each service may do to a job, with a clock that waits move."""

from __future__ import annotations

import job_server
import pytest
from sandbox_jobs import ROWS, answered, client_of

from aichatkit.batch_jobs.job import list_jobs
from aichatkit.errors import BadRequestError
from aichatkit.sandbox import Sandbox

#: Services whose jobs are files; Anthropic checks the rows of a job as it is created.
FILES = [kind for kind in job_server.SERVICES if kind != "anthropic"]


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_job_is_sent_now_and_collected_later(sandbox, run_sandbox, kind):
    assert run_sandbox(sandbox, kind, wait=False).pending == len(ROWS)
    sandbox.advance(61)
    results = run_sandbox(sandbox, kind, wait=False)
    assert results.text == ["How long have you been sad?"] * len(ROWS)
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)
    assert not [request for request in sandbox.requests if request.path.endswith(("completions", "messages"))]


@pytest.mark.parametrize("kind", FILES)
def test_of_two_jobs_that_one_request_made_the_second_is_cancelled(run_sandbox, kind):
    with Sandbox(faults=["batch-twice"], batch_seconds=7200) as box:
        box.script("cut,on=batch-create")
        assert not run_sandbox(box, kind).failed
        assert box.jobs[1].cancelled is not None
        assert answered(box) == dict.fromkeys(ROWS, 1)


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_job_that_lists_lack_at_first_is_not_made_again(run_sandbox, kind):
    with Sandbox(faults=["batch-lag,seconds=60"]) as box:
        box.script("cut,on=batch-create")
        assert not run_sandbox(box, kind).failed
        assert len(box.jobs) == 1


@pytest.mark.parametrize("kind", ["openai", "azure", "groq", "gemini", "mistral", "xai", "together"])
def test_rows_of_a_queue_that_is_full_are_sent_later(sandbox, run_sandbox, kind):
    sandbox.script("batch-token-limit")
    assert not run_sandbox(sandbox, kind).failed
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)
    assert [len(job.rows) for job in sandbox.jobs] == [6, 3, 3]


@pytest.mark.parametrize("kind", FILES)
def test_rows_of_a_job_that_the_service_failed_are_sent_again(sandbox, run_sandbox, kind):
    sandbox.script("batch-fail", "batch-fail")
    assert not run_sandbox(sandbox, kind).failed
    assert [len(job.rows) for job in sandbox.jobs] == [6, 6, 6]


@pytest.mark.parametrize("kind", ["mistral", "xai", "together"])
def test_rows_of_a_job_that_was_refused_for_its_form_are_not_sent_again(sandbox, run_sandbox, kind):
    sandbox.script("batch-invalid,line=1")
    results = run_sandbox(sandbox, kind)
    assert {type(error) for error in results.errors} == {BadRequestError}
    assert f"{kind}: the job {sandbox.jobs[0].id} was refused: " in str(results.errors[0])
    assert len(sandbox.jobs) == 1


@pytest.mark.parametrize("kind", FILES)
def test_rows_of_a_model_that_has_no_jobs_are_sent_live(sandbox, run_sandbox, kind):
    sandbox.script("batch-model-refused")
    assert not run_sandbox(sandbox, kind, late="live").failed
    assert len(sandbox.jobs) == (kind != "gemini")
    assert not answered(sandbox)


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_job_that_somebody_cancelled_keeps_its_answers(sandbox, run_sandbox, kind):
    sandbox.script("batch-cancel")
    results = run_sandbox(sandbox, kind)
    assert len(results.failed) == 3
    assert "was cancelled before this row was answered" in str(results.failed[0].error)


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_results_that_are_gone_are_not_asked_again(sandbox, run_sandbox, kind):
    sandbox.script("batch-output-gone")
    results = run_sandbox(sandbox, kind)
    ((state, note),) = [(job.state, job.note) for job in results.jobs]
    assert state == "gone"
    assert note.startswith(f"{kind}: not found (404")
    assert len(sandbox.jobs) == 1


def test_a_line_of_many_megabytes_is_read(sandbox, run_sandbox):
    sandbox.script("batch-long-line,megabytes=8")
    assert not run_sandbox(sandbox, "openai").failed


def test_a_job_that_may_be_of_another_program_is_not_cancelled(sandbox, run_sandbox, caplog, tmp_path):
    sandbox.script("cut,on=batch-create")
    run_sandbox(sandbox, "anthropic", wait=False)
    (job,) = run_sandbox(sandbox, "anthropic", wait=False).jobs
    assert job.state == "unsure"
    with client_of(sandbox, "anthropic") as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert job.cancel().note == "cancelled here"
    assert "may belong to another program" in caplog.text
    assert sandbox.jobs[0].cancelled is None
    sandbox.advance(61)
    assert not run_sandbox(sandbox, "anthropic", wait=False).failed
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)


@pytest.mark.parametrize("kind", ["groq", "anthropic"])
def test_a_key_that_may_not_send_jobs_is_told_from_one_that_may_do_nothing(sandbox, run_sandbox, kind):
    sandbox.script("forbidden,on=batch-create", "forbidden,on=batch-create")
    results = run_sandbox(sandbox, kind)
    assert "if live calls work, batch jobs are not open to this key" in str(results.stopped)
    assert results.jobs[0].state == "refused"


def test_another_key_cannot_collect(sandbox, run_sandbox, tmp_path):
    run_sandbox(sandbox, "openai", wait=False)
    sandbox.advance(61)
    with client_of(sandbox, "openai", api_key={"openai": "sk-other"}) as client:
        results = client.map(ROWS, batch=True, resume=tmp_path / "run.sqlite", progress=False, wait=False)
    assert results.pending == len(ROWS)
    assert len(sandbox.jobs) == 1


@pytest.mark.parametrize("fault", ["batch-pending-file,seconds=30", "server-error,on=file", "forbidden,on=file"])
def test_a_file_that_is_checked_first_is_waited_for(sandbox, run_sandbox, fault):
    sandbox.script(fault, *[fault] * 2 * ("on=file" in fault))
    assert not run_sandbox(sandbox, "azure").failed
    assert answered(sandbox) == dict.fromkeys(ROWS, 1)
    (job,) = sandbox.jobs
    assert job.state == "completed"


def test_a_file_that_is_still_being_checked_keeps_its_rows(sandbox, run_sandbox):
    sandbox.script("batch-pending-file,seconds=30")
    results = run_sandbox(sandbox, "azure", wait=False)
    assert (results.pending, [job.state for job in results.jobs], sandbox.jobs) == (6, ["uploaded"], [])
    sandbox.advance(30)
    assert [job.state for job in run_sandbox(sandbox, "azure", wait=False).jobs] == ["running"]
