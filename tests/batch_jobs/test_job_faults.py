"""Faults of services and of programs around batch jobs: what is told, what is sent again, and what never is."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from aichatkit import Client, RetryPolicy
from aichatkit.batch.base_run import BaseRun
from aichatkit.batch_jobs import engine as engines
from aichatkit.batch_jobs.job import list_jobs
from aichatkit.batch_jobs.journal import JobJournal
from aichatkit.batch_jobs.protocols.openai_files import OpenAIJobs
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BatchPendingError,
    ChatError,
    ConfigurationError,
    ContentFilteredError,
    EmptyAnswerError,
    QuotaExceededError,
)
from aichatkit.storage.sqlite import Database

ROWS = [f"row {number}" for number in range(6)]
CREATE = ("POST", "/v1/batches")


def once(service, *faults, at=CREATE):
    """Let requests meet faults, in order."""
    left = list(faults)
    service.fault = lambda method, path: left.pop(0) if left and (method, path) == at else None


def answers(rows=ROWS):
    return [f"answer to {row}" for row in rows]


def test_an_answer_without_text_is_asked_again_and_then_an_error(service, run):
    service.answer = lambda prompt: "" if prompt == "row 1" else f"answer to {prompt}"
    results = run(service, ROWS)
    assert isinstance(results.errors[1], EmptyAnswerError)
    assert [len(job.rows) for job in service.jobs.values()] == [6, 1, 1]


def test_a_body_that_is_no_answer_is_an_error_of_its_row(service, run):
    service.reply = lambda text, body: [] if "row 1" in text else type(service).reply(service, text, body)
    results = run(service, ROWS)
    assert [result.position for result in results.failed] == [1]


def test_a_refusal_of_the_model_is_a_content_filter(service, run):
    def reply(text, body):
        found = type(service).reply(service, text, body)
        found["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "No."}
        return found

    service.reply = reply
    assert isinstance(run(service, ["a"], schema=int).errors[0], ContentFilteredError)


def test_raw_keeps_the_line_of_the_results(service, run):
    (result,) = run(service, ["a"], raw=True)
    assert result.reply.raw[0]["response"]["status_code"] == 200


def test_a_row_too_large_for_any_job_fails_or_goes_live(service, run, monkeypatch):
    monkeypatch.setattr(OpenAIJobs, "max_bytes", 400)
    rows = ["a", "b" * 500, "c", "d", "e"]
    results = run(service, rows)
    assert isinstance(results.errors[1], ConfigurationError)
    assert "late='live'" in str(results.errors[1])
    assert [len(job.rows) for job in service.jobs.values()] == [2, 2]
    assert run(service, rows, late="live").text == answers(rows)
    assert service.live == {rows[1]: 1}


def test_jobs_are_cut_at_the_number_of_rows_that_the_service_takes(service, run, monkeypatch):
    monkeypatch.setattr(OpenAIJobs, "max_rows", 4)
    assert run(service, ROWS).text == answers()
    assert [len(job.rows) for job in service.jobs.values()] == [4, 2]


@pytest.mark.parametrize("at", [("POST", "/v1/files"), CREATE])
def test_a_body_that_is_too_large_is_halved(service, run, at):
    once(service, 413, at=at)
    assert run(service, ROWS).text == answers()
    assert [len(job.rows) for job in service.jobs.values()] == [3, 3]


def take_at_most(service, limit):
    """Let a service refuse every body about jobs that has more bytes."""
    handle = service.handle

    def handle_small(method, url, headers, body):
        if len(body) > limit and not url.endswith("completions"):
            return 413, {}, b'{"error": {"message": "too large"}}'
        return handle(method, url, headers, body)

    service.handle = handle_small


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_row_that_is_too_large_for_a_service_fails_alone(service_of, run, kind):
    service = service_of(kind)
    take_at_most(service, 3000)
    rows = [*ROWS, "x" * 5000, *(f"more {number}" for number in range(30))]
    results = run(service, rows)
    assert [error.status for error in results.errors if error] == [413]
    assert results.errors[6] is not None
    assert service.asked == {row: 1 for row in rows if len(row) < 5000}
    assert len(service.jobs) < 12
    assert all(len(job.rows) > 1 for job in list(service.jobs.values())[:-1])


def test_a_row_that_is_too_large_for_a_service_is_sent_live_when_late_is_live(service, run):
    take_at_most(service, 3000)
    rows = [*ROWS, "x" * 5000]
    assert run(service, rows, late="live").text == answers(rows)
    assert service.live == {rows[-1]: 1}


def test_a_body_that_is_too_large_at_the_second_try_is_halved(service_of, run):
    service = service_of("anthropic")
    statuses = [413, 429]
    path = "/v1/messages/batches"
    service.fault = lambda method, where: statuses.pop() if statuses and (method, where) == ("POST", path) else None
    assert run(service, ROWS).text == answers()
    assert [len(job.rows) for job in service.jobs.values()] == [3, 3]


def test_an_upload_that_fails_stops_the_run_and_leaves_the_rows_free(service, run):
    service.fault = lambda method, path: 503 if path == "/v1/files" else None
    results = run(service, ROWS)
    assert results.stopped is not None
    assert results.pending == 0
    service.fault = lambda method, path: None
    assert run(service, ROWS).text == answers()


def test_a_model_that_is_refused_at_the_creation_makes_way_for_the_next(service, run):
    once(service, 400)
    results = run(service, ROWS, model=["openai/gpt-6-luna", "openai/gpt-6-sol"])
    assert results.text == answers()
    assert {job.rows[0][1]["model"] for job in service.jobs.values()} == {"gpt-6-sol"}


def test_a_creation_that_is_refused_sends_rows_live_when_late_is_live(service, run):
    service.fault = lambda method, path: 400 if (method, path) == CREATE else None
    assert run(service, ROWS, late="live").text == answers()
    assert service.live == dict.fromkeys(ROWS, 1)


def test_an_input_that_breaks_off_ends_the_run_after_its_rows(service, run):
    def rows():
        yield from ROWS
        raise RuntimeError("the file is broken")

    with pytest.raises(ChatError, match="the file is broken") as raised:
        run(service, rows(), wait=True)
    assert len(raised.value.results) == 6


def test_what_a_service_does_not_support_fails_its_row_only(service_of, run):
    service = service_of("anthropic")
    rows = ["a", [{"role": "user", "content": [{"type": "video", "video": "x"}]}]]
    results = run(service, rows)
    assert results.text[0] == "answer to a"
    assert isinstance(results.errors[1], ConfigurationError)


def test_a_rate_limit_of_a_creation_with_rows_keeps_the_rows(service_of, run):
    service = service_of("anthropic")
    once(service, 429, 429, at=("POST", "/v1/messages/batches"))
    assert run(service, ROWS).text == answers()
    assert len(service.jobs) == 1


def test_a_rate_limit_of_a_creation_is_met_again_by_the_next_call(service_of, run):
    service = service_of("anthropic")
    once(service, 429, at=("POST", "/v1/messages/batches"))
    assert run(service, ROWS, wait=10).pending == 6
    assert run(service, ROWS).text == answers()
    assert len(service.jobs) == 1


def test_an_uploaded_file_is_not_created_as_a_job_by_a_live_call(service, run):
    once(service, 429)
    assert run(service, ROWS, wait=10).pending == 6
    assert run(service, ROWS, batch=False).text == answers()
    assert not service.jobs
    assert not service.files


def test_two_jobs_with_one_file_are_one_and_the_other_is_cancelled(service, run):
    def fault(method, path):
        if (method, path) == CREATE and not faults:
            faults.append(1)
            return "drop"
        return None

    faults = []
    service.fault = fault
    make_job = service.make_job

    def twice(rows, **facts):
        make_job(rows, **facts)
        return make_job(rows, **facts)

    service.make_job = twice
    assert run(service, ROWS).text == answers()
    first, second = service.jobs.values()
    assert not first.facts.get("cancelled")
    assert second.facts["cancelled"]


def test_a_twin_that_cannot_be_cancelled_is_logged(service, run, caplog):
    faults = []

    def fault(method, path):
        if (method, path) == CREATE and not faults:
            faults.append(1)
            return "drop"
        return 500 if path.endswith("cancel") else None

    service.fault = fault
    make_job = service.make_job
    service.make_job = lambda rows, **facts: [make_job(rows, **facts), make_job(rows, **facts)][1]
    assert run(service, ROWS).text == answers()
    assert "was not cancelled" in caplog.text


def test_a_search_that_fails_is_tried_again(service, run):
    faults = []

    def fault(method, path):
        if (method, path) == CREATE and not faults:
            faults.append(1)
            return "drop"
        if (method, path) == ("GET", "/v1/batches") and len(faults) < 5:
            faults.append(1)
            return 503
        return None

    service.fault = fault
    assert run(service, ROWS).text == answers()
    assert len(service.jobs) == 1


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/batches/batch_2"])
def test_a_key_that_is_no_longer_valid_stops_the_run_and_leaves_rows_pending(service, run, path):
    steps = {CREATE: "drop", ("GET", path): 503}
    service.fault = lambda method, at: steps.get((method, at)) if path == "/v1/batches" else None
    assert run(service, ROWS, wait=False).pending == 6
    service.fault = lambda method, at: 401 if (method, at) == ("GET", path) else None
    service.sleep(60)
    results = run(service, ROWS)
    assert isinstance(results.stopped, AuthenticationError)
    assert results.pending == 6
    service.fault = lambda method, at: None
    assert run(service, ROWS).text == answers()
    assert len(service.jobs) == 1


def test_an_input_that_cannot_be_deleted_changes_nothing(service, run):
    service.fault = lambda method, path: 500 if method == "DELETE" else None
    assert run(service, ROWS).text == answers()


def test_quota_that_ends_a_whole_job_stops_the_run(service, run):
    def ending(job):
        job.failure = [{"code": "insufficient_quota", "message": "You exceeded your current quota", "line": None}]
        return "failed"

    service.ending = ending
    results = run(service, ROWS)
    assert isinstance(results.stopped, QuotaExceededError)
    assert len(service.jobs) == 1


@pytest.mark.slow
def test_a_job_that_cannot_be_looked_up_is_waited_for_until_an_hour_after_its_deadline(service, run):
    run(service, ROWS, wait=False)
    start = service.now
    service.fault = lambda method, path: 503 if method == "GET" else None
    results = run(service, ROWS)
    assert results.pending == 6
    assert 25 * 3600 <= service.now - start <= 26 * 3600
    service.fault = lambda method, path: None
    assert run(service, ROWS).text == answers()


def test_jobs_before_they_run_can_be_cancelled(service, run, tmp_path, client_of):
    once(service, 429)
    run(service, ROWS, wait=10)
    with client_of(service) as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert job.state == "uploaded"
        assert job.cancel().state == "released"
    assert list_jobs(tmp_path / "run.sqlite") == []
    assert run(service, ROWS).text == answers()


def test_a_job_whose_creation_is_not_known_can_be_given_up(service, run, tmp_path, client_of):
    once(service, 500)
    run(service, ROWS, wait=1)
    with client_of(service) as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert (job.state, job.id.startswith("ak-")) == ("sending", True)
        assert job.cancel().release().state == "released"
        assert job.release().state == "released"
    assert run(service, ROWS).text == answers()


def test_a_job_cancelled_before_its_creation_is_known_is_cancelled_once_it_is_found(service, run, tmp_path, client_of):
    service.fault = lambda method, path: "drop" if method == "POST" and path.endswith("/batches") else None
    run(service, ROWS, wait=1)
    service.fault = lambda method, path: None
    with client_of(service) as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert job.state == "sending"
        job.cancel()
    assert len(run(service, ROWS).failed) == 3
    (created,) = service.jobs.values()
    assert created.facts["cancelled"]


def test_a_job_is_looked_after_with_its_own_key_only(service, run, tmp_path, client_of):
    run(service, ROWS, wait=False)
    path = tmp_path / "run.sqlite"
    for options in ({"api_key": {"openai": "sk-b"}}, {"base_url": {"openai": f"{service.url}/other"}}):
        with client_of(service, **options) as client, pytest.raises(ConfigurationError, match="another API key"):
            list_jobs(path, client)[0].refresh()
    with Client() as client, pytest.raises(ConfigurationError, match="another API key"):
        list_jobs(path, client)[0].refresh()


def test_a_job_that_another_run_looks_after_is_left_to_it(service, run, tmp_path, client_of):
    run(service, ROWS, wait=False)
    path = tmp_path / "run.sqlite"
    other = JobJournal(path)
    assert other.take_over()[0].owner == other.owner
    with client_of(service) as client, pytest.raises(ConfigurationError, match="another process looks after"):
        list_jobs(path, client)[0].refresh()
    results = run(service, ROWS, wait=20)
    assert {type(error) for error in results.errors} == {BatchPendingError}
    assert not any(method == "GET" and "batch_" in at for method, at in service.requests[3:])
    other.close()
    assert run(service, ROWS).text == answers()


def test_a_run_takes_over_the_jobs_of_one_that_ended_meanwhile(service, client_of, run, tmp_path):
    run(service, ROWS, wait=False)
    other = JobJournal(tmp_path / "run.sqlite")
    other.take_over()

    def sleep(seconds):
        service.sleep(seconds)
        other.close()

    assert run(service, ROWS, client={"retry": RetryPolicy(sleep=sleep)}).text == answers()
    assert len(service.jobs) == 1


def test_rows_that_another_process_asks_live_are_waited_for(service, run, tmp_path):
    other = JobJournal(tmp_path / "run.sqlite")
    assert run(service, ["a"], resume=tmp_path / "keys.sqlite", wait=False).pending == 1
    with JobJournal(tmp_path / "keys.sqlite")._database.reading() as connection:
        (key,) = connection.execute("SELECT key FROM claims").fetchone()
    other.claim([key])
    results = run(service, ["a", "b"], wait=False)
    assert "another process is working on this row" in str(results.errors[0])
    other.close()
    assert run(service, ["a", "b"]).text == answers(["a", "b"])


def test_the_bar_shows_jobs(service, run, capsys):
    pytest.importorskip("tqdm")
    run(service, ROWS, progress=True)
    shown = capsys.readouterr().err
    assert "jobs=0/1, 0/6 rows ready, ends by" in shown
    assert "next look=" in shown


@pytest.mark.skipif(os.name != "posix", reason="there is no such signal there")
def test_a_second_ctrl_c_ends_the_run_immediately(service, run):
    def sleep(seconds):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(service, ROWS, client={"retry": RetryPolicy(sleep=sleep)})
    assert run(service, ROWS).text == answers()


def test_closing_the_client_ends_the_wait(service, client_of, tmp_path, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.run_options._clock", time.time)
    with client_of(service, retry=RetryPolicy()) as client:
        service.fault = lambda method, path: threading.Timer(0.05, client.close).start() if method == "GET" else None
        monkeypatch.setattr(engines, "_FIRST", 0.01)
        results = client.map(ROWS, batch=True, resume=tmp_path / "run.sqlite", progress=False)
    assert "the client was closed" in str(results.stopped)
    assert results.pending == 6


def test_a_full_disk_ends_the_run_with_a_journal_error(service, run, monkeypatch):
    plan = JobJournal.plan

    def fail(self, *args):
        with self._database._converting_errors():
            import sqlite3

            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(JobJournal, "plan", fail)
    with pytest.raises(ChatError, match="the disk is full"):
        run(service, ROWS)
    monkeypatch.setattr(JobJournal, "plan", plan)
    assert run(service, ROWS).text == answers()


def test_a_damaged_error_in_the_journal_is_told(tmp_path):
    journal = JobJournal(tmp_path / "run.sqlite")
    assert journal.parse_error("") is None
    with pytest.raises(ChatError, match="damaged"):
        journal.parse_error('{"reply": {"text": "", "provider": "x", "model": "y"}}')
    journal.close()


def test_a_file_of_a_later_version_is_refused(tmp_path):
    Database(tmp_path / "later.sqlite", "CREATE TABLE t (x)", name="a", version=2).transaction().__enter__()
    with pytest.raises(ChatError, match="a newer aichatkit made it"):
        JobJournal(tmp_path / "later.sqlite")


def test_a_refused_file_is_not_left_at_the_service(service, run):
    service.fault = lambda method, path: 400 if (method, path) == CREATE else None
    assert isinstance(run(service, ROWS).stopped, BadRequestError)
    assert not service.files


def test_all_rows_go_live_once_no_model_is_left_that_has_jobs(service, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 2)
    service.fault = lambda method, path: 400 if (method, path) == CREATE else None
    assert run(service, ROWS, late="live").text == answers()
    assert service.requests.count(CREATE) == 1


def test_a_prompt_that_is_no_prompt_fails_its_row(service, run, client_of):
    results = run(service, ["a", [{"role": "nobody", "content": "x"}], 5])
    assert results.text[0] == "answer to a"
    assert all(isinstance(error, ConfigurationError) for error in results.errors[1:])
    with client_of(service) as client:
        assert client.estimate([{"a": "x"}, {"b": "y"}], "{a}", batch=True).calls == 1


def test_an_endless_input_ends_with_the_run(service, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 2)
    service.fault = lambda method, path: 401 if (method, path) == CREATE else None

    def rows():
        while True:
            yield "again"

    results = run(service, rows())
    assert isinstance(results.stopped, AuthenticationError)


def test_answers_that_did_not_fit_are_forgotten_when_their_rows_start_again(service, run):
    service.answer = lambda prompt: "seven"
    assert len(run(service, ["a"], schema=int).failed) == 1
    service.answer = lambda prompt: '{"value": 7}'
    results = run(service, ["a"], schema=int)
    assert results.data == [7]
    assert results.usage.total_tokens == 15


def test_a_budget_counts_a_documented_discount_if_the_catalog_has_no_batch_price(service_of, run):
    service = service_of("groq")
    results = run(service, ROWS, budget=1.0, max_tokens=100)
    assert results.text == answers()
    assert results.cost == pytest.approx(sum(job.cost for job in results.jobs))


def test_findings_count_once(service, run, tmp_path, monkeypatch):
    write = JobJournal.write_findings
    monkeypatch.setattr(
        JobJournal, "write_findings", lambda self, job, found: write(self, write(self, job, found), found)
    )
    results = run(service, ROWS)
    assert results.jobs[0].cost == pytest.approx(results.cost)
    assert results.jobs[0].answered == 6


def test_results_that_stay_out_of_reach_are_fetched_later(service, run):
    run(service, ROWS, wait=False)
    service.sleep(60)
    service.fault = lambda method, path: 500 if path.endswith("content") else None
    assert run(service, ROWS, wait=False).pending == 6
    service.fault = lambda method, path: None
    assert run(service, ROWS).text == answers()


def test_documents_that_are_no_objects_are_refused(service, run):
    handle = service.handle
    odd = [b"5", b"", b"{" * 5]

    def broken(method, url, headers, body):
        found = handle(method, url, headers, body)
        return (200, {}, odd.pop()) if odd and method == "GET" and "batch_" in url else found

    service.handle = broken
    assert run(service, ROWS).text == answers()


def test_a_download_that_is_a_web_page_or_breaks_off_starts_again(service, run, monkeypatch):
    handle, odd = service.handle, ["page", "cut"]

    def broken(method, url, headers, body):
        status, extra, data = handle(method, url, headers, body)
        if not url.endswith("content") or not odd:
            return status, extra, data
        if odd.pop() == "page":
            return 200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html>"
        return 200, {**extra, "Content-Length": len(data) + 10}, data

    service.handle = broken
    assert run(service, ROWS).text == answers()


def test_the_functions_of_the_package_use_the_default_client(service, run, tmp_path, monkeypatch):
    import aichatkit

    run(service, ROWS, wait=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{service.url}/v1")
    monkeypatch.setattr("aichatkit.api._default", [])
    assert aichatkit.jobs(tmp_path / "run.sqlite")[0].refresh().note == "in_progress"


def test_a_provider_that_is_no_longer_known_leaves_its_rows_pending(service, run, tmp_path):
    run(service, ROWS, wait=False)
    journal = JobJournal(tmp_path / "run.sqlite")
    journal.update(journal.jobs()[0], provider="gone")
    journal.close()
    assert run(service, ROWS).pending == 6


def test_a_job_without_results_is_no_one_of_ours(service_of, run):
    service = service_of("anthropic")
    stranger = [(f"x-{number}", {"model": "m", "messages": [{"content": "x"}]}) for number in range(6)]
    service.make_job(stranger)
    service.edit = lambda lines: [line for line in lines if not line["custom_id"].startswith("x-")]
    once(service, 500, at=("POST", "/v1/messages/batches"))
    assert run(service, ROWS).text == answers()


def test_planned_jobs_of_a_dead_process_are_planned_again(service_of, run, tmp_path):
    service = service_of("anthropic")
    once(service, 429, at=("POST", "/v1/messages/batches"))
    other = JobJournal(tmp_path / "run.sqlite")
    run(service, ROWS, wait=10)
    other.take_over()

    def sleep(seconds):
        service.sleep(seconds)
        other.close()

    assert run(service, ROWS, client={"retry": RetryPolicy(sleep=sleep)}).text == answers()
    assert len(service.jobs) == 1


def test_live_runs_on_a_journal_without_jobs_are_as_before(service, run):
    assert run(service, ROWS, batch=False).text == answers()
    assert run(service, ROWS, batch=False).text == answers()
    assert not service.asked


def test_results_are_written_in_blocks(service, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.collection._BLOCK", 2)
    assert run(service, ROWS).text == answers()


def test_a_lease_is_renewed_with_its_claims(service, run, tmp_path):
    run(service, ROWS, wait=False)
    journal = JobJournal(tmp_path / "run.sqlite")
    journal.take_over()
    with journal._database.transaction() as connection:
        journal._renew(connection, 5e9)
    assert journal.jobs()[0].until == 5e9
    journal.close()


def test_a_creation_that_is_refused_after_a_rate_limit_stops_the_run(service, run):
    once(service, 429, 400)
    results = run(service, ROWS)
    assert isinstance(results.stopped, BadRequestError)
    assert len(results.failed) == 6
    assert not service.files


def test_a_stopped_run_asks_nothing_live(service, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 3)
    service.ending = lambda job: "expired"
    error = (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})
    service.fate = lambda prompt: error if prompt in ROWS[3:] else None
    results = run(service, ROWS, late="live")
    assert isinstance(results.stopped, QuotaExceededError)
    assert not service.live


@pytest.fixture
def before_live(service, monkeypatch):
    """Let jobs expire halfway, and call a function before each row that is then asked live."""
    service.ending = lambda job: "expired"
    route_live = service.route_live

    def patch(function):
        monkeypatch.setattr(service, "route_live", lambda body: function() or route_live(body))

    return patch


@pytest.mark.skipif(os.name != "posix", reason="there is no such signal there")
@pytest.mark.parametrize("as_completed", [False, True])
def test_ctrl_c_finishes_the_live_row_in_flight_and_sends_no_more(
    service, run, before_live, client_of, tmp_path, as_completed
):
    before_live(lambda: os.kill(os.getpid(), signal.SIGINT))
    with client_of(service) as client:
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False, "workers": 1}
        results = client.map(ROWS, late="live", as_completed=as_completed, **options)
        assert len(list(results)) == 6
        assert results.interrupted
    assert "Ctrl-C" in str(results.stopped)
    assert sum(service.live.values()) == 1
    assert [len(results.failed), "2 not asked" in repr(results)] == [2, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name != "posix", reason="there is no such signal there")
def test_a_second_ctrl_c_does_not_wait_for_the_live_row_in_flight(service, run, before_live, monkeypatch):
    heard, ended = threading.Event(), threading.Event()
    handle = BaseRun._interrupt

    def hear(self, number, frame):
        heard.set()
        handle(self, number, frame)

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        assert heard.wait(20)
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait(20)

    monkeypatch.setattr(BaseRun, "_interrupt", hear)
    before_live(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(service, ROWS, late="live", workers=1)
    assert sum(service.live.values()) == 0
    ended.set()


def test_closing_the_results_sends_no_more_rows_live(service, before_live, client_of, tmp_path):
    before_live(lambda: None)
    with client_of(service) as client:
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False, "workers": 1}
        results = client.map(ROWS, late="live", as_completed=True, **options)
        for _ in results:
            if service.live:
                break
        results.close()
    assert sum(service.live.values()) == 1
    assert "closed" in str(results.stopped)


def test_what_stops_live_rows_stops_the_run(service, run, before_live):
    quota = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
    before_live(lambda: (429, {}, quota))
    results = run(service, ROWS, late="live", workers=1)
    assert isinstance(results.stopped, QuotaExceededError)
    assert len(results.failed) == 3


def test_a_journal_that_fails_while_jobs_run_ends_the_run(service, run, monkeypatch):
    def fail(self, job):
        from aichatkit.errors import JournalError

        raise JournalError("the disk is full")

    monkeypatch.setattr(engines.JobEngine, "advance", fail)
    with pytest.raises(ChatError, match="the disk is full") as raised:
        run(service, ROWS)
    assert raised.value.results.pending == 6


def test_a_journal_that_fails_at_the_start_is_an_error(service, run, monkeypatch):
    def fail(self, planned):
        from aichatkit.errors import JournalError

        planned.spool.close()
        raise JournalError("the disk is full")

    monkeypatch.setattr(engines.JobEngine, "send", fail)
    with pytest.raises(ChatError, match="the disk is full"):
        run(service, ROWS)


def test_a_job_of_another_key_does_not_keep_a_run_awake(service, run):
    run(service, ROWS[:3], wait=False)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        service.sleep(seconds)

    settings = {"api_key": {"openai": "sk-b"}, "retry": RetryPolicy(sleep=sleep, random=lambda: 0.5)}
    results = run(service, ROWS, client=settings)
    assert results.pending == 3
    assert results.text[3:] == answers()[3:]
    assert min(naps) >= 1
    assert [len(job.rows) for job in service.jobs.values()] == [3, 3]


def test_a_job_without_its_key_or_with_another_endpoint_stays_pending(service_of, run, tmp_path, client_of):
    service = service_of("azure")
    run(service, ROWS, wait=False)
    path = tmp_path / "run.sqlite"
    with client_of(service, api_key=None) as client, pytest.raises(ConfigurationError, match="another API key"):
        list_jobs(path, client)[0].refresh()
    journal = JobJournal(path)
    journal.update(journal.jobs()[0], api="/responses")
    journal.close()
    assert run(service, ROWS).pending == 6


def test_rows_go_through_the_responses_api_as_well(service, run):
    settings = {"api_key": {"openai-responses": "sk"}, "base_url": {"openai-responses": f"{service.url}/v1"}}
    results = run(service, ROWS, client={**settings, "model": "openai-responses/gpt-6-luna"})
    assert results.text == answers()
    assert next(iter(service.jobs.values())).facts["asked"]["endpoint"] == "/v1/responses"
    assert results.cost is not None


def test_a_loop_that_is_left_leaves_the_jobs_running(service, client_of, tmp_path, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 3)
    lengths = [10.0, 10_000.0]
    make_job = service.make_job

    def make(rows, **facts):
        job = make_job(rows, **facts)
        job.created += lengths.pop(0)
        return job

    service.make_job = make
    with client_of(service) as client:
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "as_completed": True, "progress": False}
        results = client.map(ROWS, **options)
        next(iter(results))
        results._outcomes.close()
    lengths += [0.0, 0.0]
    assert run(service, ROWS).text == answers()
    assert len(service.jobs) == 2
