"""Rows in batch jobs give the same results as live ones, however their jobs end."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sqlite3

import job_server
import pytest

import aichatkit
from aichatkit import RetryPolicy
from aichatkit.batch.workers import BoundAsk
from aichatkit.batch_jobs import protocols
from aichatkit.batch_jobs.job import list_jobs
from aichatkit.batch_jobs.work import ChatWork
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BatchExpiredError,
    BatchGoneError,
    BatchPendingError,
    BudgetExceededError,
    ChatError,
    ConfigurationError,
    ContentFilteredError,
    JournalError,
    QuotaExceededError,
    SchemaError,
    ServerError,
)
from aichatkit.registry import registry

ROWS = [f"row {number}" for number in range(6)]
REFUSED = (
    400,
    {"error": {"message": "this prompt was flagged", "code": "content_filter", "type": "invalid_request_error"}},
)


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_every_service_answers_in_input_order_and_live_calls_send_what_is_missing(service_of, run, kind):
    service = service_of(kind)
    results = run(service, [*ROWS, "row 1"])
    assert results.text == [f"answer to {row}" for row in [*ROWS, "row 1"]]
    assert results.usage.total_tokens == 15 * 7
    assert results.pending == 0
    assert [(job.rows, job.answered, job.failed, job.state) for job in results.jobs] == [(7, 7, 0, "done")]
    live = run(service, [*ROWS, "row 7"], batch=False)
    assert live.text[:6] == results.text[:6]
    assert service.live == {"row 7": 1}
    assert not service.files or kind not in ("openai",) or all("out" in name for name in service.files)


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_job_that_expires_keeps_its_answers_and_only_the_rest_is_sent_again(service_of, run, kind):
    service = service_of(kind)
    endings = ["expired"]
    service.ending = lambda job: endings.pop() if endings else "completed"
    results = run(service, ROWS)
    assert results.text == [f"answer to {row}" for row in ROWS]
    assert service.asked == dict.fromkeys(ROWS, 1)
    assert len(service.jobs) == 2


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_row_that_is_refused_has_its_error_and_the_others_their_answers(service_of, run, kind):
    service = service_of(kind)
    service.fate = lambda prompt: REFUSED if prompt == "row 2" else None
    results = run(service, ROWS)
    assert [result.position for result in results.failed] == [2]
    assert isinstance(results.errors[2], BadRequestError)
    assert results.errors[2].provider == kind
    assert service.creations() == 1


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_a_row_that_met_a_passing_failure_goes_into_the_next_job(service_of, run, kind):
    service = service_of(kind)
    failures = {"row 3": 1}

    def fate(prompt):
        if failures.get(prompt):
            failures[prompt] -= 1
            return 500, {"error": {"message": "internal error"}}
        return None

    service.fate = fate
    results = run(service, ROWS)
    assert results.text == [f"answer to {row}" for row in ROWS]
    assert [len(job.rows) for job in service.jobs.values()] == [6, 1]


def test_a_row_is_put_into_two_more_jobs_and_then_fails(service, run):
    service.fate = lambda prompt: (500, {"error": {"message": "broken"}}) if prompt == "row 3" else None
    results = run(service, ROWS)
    assert isinstance(results.errors[3], ServerError)
    assert [len(job.rows) for job in service.jobs.values()] == [6, 1, 1]


def test_a_job_whose_rows_all_failed_has_no_output_file(service, run):
    service.fate = lambda prompt: REFUSED
    results = run(service, ROWS)
    assert all(isinstance(error, (BadRequestError, ContentFilteredError)) for error in results.errors)
    assert next(iter(service.jobs.values())).facts["output"] is None


def test_rows_in_jobs_have_not_failed(service, run):
    service.fate = lambda prompt: REFUSED if prompt == "row 2" else None
    run(service, ROWS[:3], wait=False)
    service.sleep(service.duration)
    results = run(service, ROWS[:5], wait=False)
    assert repr(results) == "<Results of 5 rows, 1 failed, 2 pending in batch jobs>"
    assert "5 rows, 2 answered, 1 failed, 2 pending in batch jobs" in results._repr_html_()


def test_rows_that_never_ran_expire_when_late_is_fail(service, run):
    service.ending = lambda job: "expired"
    results = run(service, ROWS, late="fail")
    assert len(service.jobs) == 1
    assert {type(error) for error in results.errors if error} == {BatchExpiredError}
    assert len(results.failed) == 3
    assert results.failed[0].error.job in service.jobs


def test_rows_that_never_ran_expire_after_three_jobs(service, run):
    service.ending = lambda job: "expired"
    results = run(service, ["row 1"])
    assert len(service.jobs) == 3
    assert isinstance(results.errors[0], BatchExpiredError)


def test_rows_that_never_ran_are_asked_live_when_late_is_live(service, run):
    service.ending = lambda job: "expired"
    results = run(service, ROWS, late="live")
    assert results.text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 1
    assert service.asked + service.live == dict.fromkeys(ROWS, 1)


def test_rows_of_a_job_cancelled_elsewhere_fail_and_are_not_sent_again(service, run):
    service.ending = lambda job: "cancelled"
    results = run(service, ROWS)
    assert len(results.failed) == 3
    assert all("cancelled" in str(result.error) for result in results.failed)
    assert len(service.jobs) == 1


def test_results_that_are_missing_doubled_foreign_or_odd_change_no_other_row(service, run):
    def edit(lines):
        lines = [json.dumps(line).encode() + b"\n" for line in lines]
        foreign = json.dumps({"custom_id": "request-1", "response": {"status_code": 200, "body": {}}}).encode() + b"\n"
        return [b"\xef\xbb\xbf", lines[0], b"\n", lines[0], foreign, b"no json\n", b"[1]\n", *lines[1:]]

    service.edit = edit
    service.answer = lambda prompt: f"{prompt}\u2028\u0085 {'x' * (8 << 20 if prompt == 'row 4' else 1)}"
    skipped = ["row 1"]
    service.fate = lambda prompt: "skip" if prompt in skipped and not skipped.clear() else None
    results = run(service, ROWS)
    assert results.text == [service.answer(row) for row in ROWS]
    assert service.asked == dict.fromkeys(ROWS, 1)
    assert results.jobs[0].answered == 5


def test_raw_line_separators_in_results_do_not_cut_lines(service, run):
    service.edit = lambda lines: [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines]
    service.answer = lambda prompt: f"{prompt}\u2028\u0085\x0c"
    assert run(service, ROWS).text == [service.answer(row) for row in ROWS]


def test_a_line_separator_in_a_prompt_is_sent_in_ascii(service, run):
    run(service, ["a\u2028b"])
    assert list(service.asked) == ["a\u2028b"]


def test_without_waiting_rows_are_pending_and_the_same_call_collects_them(service, run):
    first = run(service, ROWS, wait=False)
    assert first.pending == 6
    assert {type(error) for error in first.errors} == {BatchPendingError}
    assert first.errors[0].job == first.jobs[0].id
    assert (first.jobs[0].state, first.jobs[0].rows) == ("running", 6)
    assert run(service, ROWS, wait=False).pending == 6
    service.sleep(service.duration)
    last = run(service, ROWS, wait=False)
    assert last.text == [f"answer to {row}" for row in ROWS]
    assert service.asked == dict.fromkeys(ROWS, 1)


def test_waiting_may_be_limited_to_seconds(service, run):
    start = service.now
    assert run(service, ROWS, wait=20).pending == 6
    assert 20 <= service.now - start < 21


def test_rows_in_a_job_are_not_asked_by_a_live_call(service, run):
    run(service, ROWS, wait=False)
    results = run(service, [*ROWS, "row 9"], batch=False)
    assert results.pending == 6
    assert results.text[6] == "answer to row 9"
    service.sleep(service.duration)
    assert run(service, ROWS, batch=False).text == [f"answer to {row}" for row in ROWS]
    assert service.live == {"row 9": 1}


def test_failed_rows_are_sent_again_only_once_no_job_is_running(service, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 3)
    service.fate = lambda prompt: REFUSED if prompt == "row 0" else None
    run(service, ROWS, wait=False)
    assert len(service.jobs) == 2
    list(service.jobs.values())[1].created += 1000
    service.sleep(service.duration)
    assert run(service, ROWS, wait=False).pending == 3
    assert len(service.jobs) == 2
    service.sleep(2000)
    last = run(service, ROWS, wait=False)
    assert len(service.jobs) == 2
    assert len(last.failed) == 1
    service.fate = lambda prompt: None
    assert not run(service, ROWS).failed


def test_a_structured_answer_that_does_not_fit_is_repaired_in_the_next_job(service, run):
    service.answer = lambda prompt: '{"value": 7}' if "cannot be used" in prompt else "seven"
    results = run(service, ["a", "b"], schema=int)
    assert results.data == [7, 7]
    assert results.usage.total_tokens == 60
    assert len(service.jobs) == 2
    assert results.cost == pytest.approx(sum(job.cost for job in results.jobs))
    assert run(service, ["a", "b"], schema=int, batch=False).data == [7, 7]


def test_a_structured_answer_that_never_fits_is_a_schema_error(service, run):
    results = run(service, ["a"], schema=int)
    assert isinstance(results.errors[0], SchemaError)
    assert len(service.jobs) == 2


def test_gemini_gets_schemas_in_the_form_that_jobs_heed(service_of, run):
    service = service_of("gemini")
    service.answer = lambda prompt: '{"value": 7}'
    assert run(service, ["a"], schema=int).data == [7]
    body = next(iter(service.jobs.values())).rows[0][1]
    assert "responseJsonSchema" not in body["generationConfig"]
    assert body["generationConfig"]["responseSchema"]["properties"] == {"value": {"type": "integer"}}


def test_a_budget_bounds_what_all_jobs_of_a_journal_may_cost(service, run, tmp_path):
    results = run(service, ROWS, budget=0.000128, max_tokens=500)
    assert 0 < len(results.failed) < 6
    assert isinstance(results.stopped, BudgetExceededError) or not results.failed
    assert results.cost < 0.000128
    assert sum(service.asked.values()) == 6 - len(results.failed)


def test_a_token_limit_bounds_the_run(service, run):
    results = run(service, ROWS, max_tokens_total=700, max_tokens=300)
    assert results.usage.total_tokens <= 700
    assert isinstance(results.stopped, BudgetExceededError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": None}, "resume: batch=True needs"),
        ({"tools": [len]}, "nobody to run tools"),
        ({"extra": {"stream": True}}, "do not take 'stream'"),
        ({"late": "life"}, "did you mean 'live'"),
        ({"wait": "yes"}, "wait: must be True"),
        ({"batch": 1}, "batch: must be True or False"),
        ({"batch": False, "wait": False}, "are for batch=True"),
        ({"executor": object()}, "executor: rows of batch jobs"),
        ({"budget": 1.0}, "pass max_tokens="),
        ({"on_error": "stop"}, "on_error: must be"),
        ({"workers": 0}, "workers: must be"),
        ({"temprature": 1}, "temprature"),
        ({"model": "openai/gpt-image-2.5-flare"}, "draws pictures"),
        ({"model": "azure/x", "budget": 1.0, "max_tokens": 5}, "batch price of azure/x is not known"),
    ],
)
def test_what_jobs_cannot_do_is_refused_before_anything_is_sent(service, run, options, message):
    with pytest.raises(ConfigurationError, match=message):
        run(service, ROWS, client={"api_key": {"openai": "sk-x", "azure": "k"}}, **options)
    assert not service.requests


def test_a_call_that_is_refused_makes_no_journal(service, run, tmp_path):
    with pytest.raises(ConfigurationError, match="progress"):
        run(service, ROWS, progress="yes")
    assert list(tmp_path.iterdir()) == []


def test_a_provider_without_jobs_is_refused_and_those_with_jobs_are_named(service, run):
    with pytest.raises(ConfigurationError, match=r"deepseek has no batch jobs here.*anthropic, gemini"):
        run(service, ROWS, client={"api_key": {"deepseek": "sk"}}, model="deepseek/deepseek-flash")


def test_rows_that_are_answered_are_yielded_before_the_input_is_read_to_its_end(service, client_of, tmp_path):
    answered = [f"answered {number}" for number in range(600)]
    options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False}
    with client_of(service) as client:
        client.map(answered, **options)
        rows = iter([*ROWS, *answered])
        results = iter(client.map(rows, as_completed=True, **options))
        first = [next(results).text for _ in range(200)]
        assert first == [service.answer(row) for row in answered[:200]]
        # What is not answered is already in a job that is not full yet.
        assert next(rows, None) is not None
        assert service.creations() == 1
        rest = [result.text for result in results]
    assert len(rest) == 399 + len(ROWS)
    assert [len(job.rows) for job in service.jobs.values()] == [600, len(ROWS)]


def test_a_run_that_is_left_while_a_job_is_filled_sends_nothing(service, client_of, tmp_path):
    answered = [f"answered {number}" for number in range(600)]
    options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False}
    with client_of(service) as client:
        client.map(answered, **options)
        results = client.map(iter([*ROWS, *answered]), as_completed=True, **options)
        for result in results:
            assert result.text
            break
        results.close()
        assert service.creations() == 1
        assert client.map(ROWS, **options).text == [service.answer(row) for row in ROWS]


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        ("fireworks", "the form of the results"),
        ("cohere", "Avro files whose records are not documented"),
        ("openrouter", "cannot be found"),
        ("ollama", "models of your own"),
    ],
)
def test_a_provider_whose_jobs_are_not_supported_is_refused_with_the_reason(service, run, provider, reason):
    with pytest.raises(ConfigurationError, match=f"{provider} is not supported: .*{reason}.*anthropic, gemini"):
        run(service, ROWS, client={"api_key": {provider: "sk"}}, model=f"{provider}/some-model")
    assert not service.requests


def test_reasons_are_for_providers_that_there_are_and_that_have_no_protocol():
    assert set(protocols._REASONS) <= set(registry)
    assert not set(protocols._REASONS) & set(protocols.PROVIDERS)


def test_earlier_releases_refuse_a_journal_with_jobs(service, run, tmp_path):
    run(service, ROWS)
    with sqlite3.connect(tmp_path / "run.sqlite") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_job_that_is_gone_is_not_asked_again_until_it_is_released(service, run, tmp_path, client_of):
    run(service, ROWS, wait=False)
    for job in service.jobs.values():
        job.is_deleted = True
    results = run(service, ROWS)
    assert {type(error) for error in results.errors} == {BatchGoneError}
    assert {type(error) for error in run(service, ROWS).errors} == {BatchGoneError}
    assert len(service.jobs) == 1
    with client_of(service) as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert job.state == "gone"
        assert job.release().state == "released"
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]


def test_results_that_are_gone_are_a_gone_job(service, run):
    run(service, ROWS, wait=False)
    service.sleep(service.duration)
    service.fault = lambda method, path: 404 if path.endswith("content") else None
    assert {type(error) for error in run(service, ROWS).errors} == {BatchGoneError}


def test_archived_results_of_anthropic_are_gone(service_of, run):
    service = service_of("anthropic")
    run(service, ROWS, wait=False)
    service.sleep(service.duration)
    for job in service.jobs.values():
        job.facts["archived"] = "2026-11-01T00:00:00Z"
    service.edit = lambda lines: []
    assert {type(error) for error in run(service, ROWS).errors} == {BatchGoneError}


def test_another_key_neither_finds_nor_loses_a_job(service, run):
    run(service, ROWS, wait=False)
    results = run(service, ROWS, client={"api_key": {"openai": "sk-other"}})
    assert results.pending == 6
    assert "another API key" in str(results.errors[0])
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 1


def test_several_keys_take_turns_and_each_job_remembers_its_own(service, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 3)
    keys = []
    handle = service.handle

    def noting(method, url, headers, body):
        keys.append((url, headers["Authorization"]))
        return handle(method, url, headers, body)

    service.handle = noting
    results = run(service, ROWS, client={"api_key": {"openai": ["sk-a", "sk-b"]}})
    assert results.text == [f"answer to {row}" for row in ROWS]
    for job in service.jobs:
        assert len({key for url, key in keys if job in url}) == 1
    assert {key for _, key in keys} == {"Bearer sk-a", "Bearer sk-b"}


def test_a_second_process_shares_a_journal(service, run, tmp_path):
    run(service, ROWS[:3], wait=False)
    results = run(service, ROWS, wait=False)
    assert results.pending == 6
    assert [len(job.rows) for job in service.jobs.values()] == [3, 3]


def test_the_first_error_is_raised_once_its_job_is_written_down(service, run):
    service.fate = lambda prompt: REFUSED if prompt == "row 2" else None
    with pytest.raises(BadRequestError) as raised:
        run(service, ROWS, on_error="raise")
    assert sum(result.error is None for result in raised.value.results) == 5


def test_quota_in_a_row_stops_the_run_and_leaves_the_row_free(service, run):
    error = (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}})
    service.fate = lambda prompt: error if prompt == "row 2" else None
    results = run(service, ROWS)
    assert isinstance(results.stopped, QuotaExceededError)
    assert len(results.failed) == 1
    service.fate = lambda prompt: None
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert service.asked == dict.fromkeys(ROWS, 1)


def test_a_key_that_is_refused_stops_the_run_before_any_job(service, run):
    service.fault = lambda method, path: 401
    results = run(service, ROWS)
    assert isinstance(results.stopped, AuthenticationError)
    assert not service.jobs
    assert len(results.failed) == 6


def test_a_full_queue_makes_jobs_smaller_and_sends_them_one_by_one(service, run):
    def ending(job):
        if len(job.rows) > 3:
            job.failure = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}]
            return "failed"
        return "completed"

    service.ending = ending
    results = run(service, ROWS)
    assert results.text == [f"answer to {row}" for row in ROWS]
    assert [len(job.rows) for job in service.jobs.values()] == [6, 3, 3]


def test_a_job_refused_for_a_line_fails_that_row_and_sends_the_others_again(service, run):
    def ending(job):
        if len(job.rows) == 6:
            job.failure = [{"code": "invalid_json_line", "message": "bad line", "line": 2}]
            return "failed"
        return "completed"

    service.ending = ending
    results = run(service, ROWS)
    assert "bad line" in str(results.errors[1])
    assert [result.position for result in results.failed] == [1]


@pytest.mark.parametrize("kind", ["xai", "mistral", "gemini"])
def test_a_job_refused_for_its_model_fails_with_the_reason(service_of, run, kind):
    service = service_of(kind)

    def ending(job):
        job.failure = "Model grok-4.3 is not supported for batch processing"
        return "failed"

    service.ending = ending
    results = run(service, ROWS)
    assert all("not supported for batch" in str(error) for error in results.errors)
    assert len(service.jobs) == 1


def test_rows_of_a_model_without_jobs_go_to_the_next_model(service_of, run):
    service = service_of("xai")

    def ending(job):
        if job.rows[0][1]["model"] == "grok-4.3":
            job.failure = "Model grok-4.3 is not supported for batch processing"
            return "failed"
        return "completed"

    service.ending = ending
    results = run(service, ROWS, model=["xai/grok-4.3", "xai/grok-4.6"])
    assert {result.reply.text for result in results} == {f"answer to {row}" for row in ROWS}
    assert {job.rows[0][1]["model"] for job in service.jobs.values()} == {"grok-4.3", "grok-4.6"}


def test_rows_of_a_model_without_jobs_go_live_when_late_is_live(service_of, run):
    service = service_of("xai")

    def ending(job):
        job.failure = "Model grok-4.3 is not supported for batch processing"
        return "failed"

    service.ending = ending
    assert run(service, ROWS, late="live").text == [f"answer to {row}" for row in ROWS]
    assert service.live == dict.fromkeys(ROWS, 1)


def test_a_parameter_that_rows_refuse_is_left_out_of_the_next_job(service, run):
    body = {
        "error": {
            "message": "Unsupported parameter: 'top_p' is not supported with this model.",
            "type": "invalid_request_error",
            "param": "top_p",
            "code": "unsupported_parameter",
        }
    }
    first = []

    def ending(job):
        first.append(job)
        return "completed"

    service.ending = ending
    service.fate = lambda prompt: (400, body) if len(first) == 1 else None
    with pytest.warns(UserWarning, match="does not take 'top_p'"):
        results = run(service, ROWS, top_p=0.5)
    assert results.text == [f"answer to {row}" for row in ROWS]
    assert "top_p" not in first[1].rows[0][1]


def test_answers_from_the_cache_are_in_no_job_and_those_of_jobs_are_cached(service, run, tmp_path):
    cache = {}
    run(service, ROWS[:3], client={"cache": cache})
    results = run(service, ROWS, client={"cache": cache}, resume=tmp_path / "other.sqlite")
    assert [result.reply.cached for result in results] == [True] * 3 + [False] * 3
    assert service.asked == dict.fromkeys(ROWS, 1)


def test_answers_that_are_sampled_are_not_taken_from_the_cache(service, run, tmp_path):
    cache = {}
    for name in ("one.sqlite", "other.sqlite"):
        results = run(service, ROWS, client={"cache": cache}, resume=tmp_path / name, temperature=1.0)
        assert [result.reply.cached for result in results] == [False] * 6
    assert service.asked == dict.fromkeys(ROWS, 2)


@pytest.mark.skipif(os.name != "posix", reason="there is no such signal there")
def test_ctrl_c_leaves_the_jobs_running_and_says_how_to_go_on(service, run, tmp_path):
    naps = []

    def sleep(seconds):
        service.sleep(seconds)
        naps.append(seconds)
        if len(naps) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    results = run(service, ROWS, client={"retry": RetryPolicy(sleep=sleep, random=lambda: 0.5)})
    assert results.interrupted
    assert "1 job goes on (6 rows)" in str(results.stopped)
    assert "--cancel" in str(results.stopped)
    assert results.pending == 6
    assert not any("cancel" in path for _, path in service.requests)
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 1


@pytest.mark.parametrize("status", [400, 409])
def test_a_job_that_has_ended_cannot_be_cancelled_and_says_so(service, run, tmp_path, client_of, status):
    run(service, ROWS, wait=False)
    service.fault = lambda method, path: status if path.endswith("/cancel") else None
    with client_of(service) as client:
        (job,) = client.jobs(tmp_path / "run.sqlite")
        with pytest.raises(ChatError):
            job.cancel()
        service.sleep(service.duration)
        assert job.cancel().state == job.cancel().state == "ended"
        service.fault = lambda method, path: 403 if path.endswith("/cancel") else None
        with pytest.raises(ChatError):
            client.jobs(tmp_path / "run.sqlite")[0].cancel()
    service.fault = lambda method, path: None
    assert not run(service, ROWS).failed
    asked = len(service.requests)
    with client_of(service) as client:
        assert client.jobs(tmp_path / "run.sqlite")[0].cancel().state == "done"
    assert len(service.requests) == asked


def test_a_row_that_is_no_decision_starts_again_where_it_goes_on_live():
    ask = BoundAsk(print, {})
    assert ChatWork(None, None).ask_rest(ask, {1: None}) is ask


def test_a_job_can_be_looked_up_and_cancelled(service, run, tmp_path, client_of, monkeypatch):
    run(service, ROWS, wait=False)
    with client_of(service) as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert (job.state, job.is_final, job.cost) == ("running", False, 0.0)
        assert job.refresh().note == "in_progress"
        assert job.cancel().note == "cancelled here"
        unknown = dataclasses.replace(job, _nonce="none")
        with pytest.raises(ConfigurationError, match="no longer has"):
            unknown.refresh()
    service.sleep(service.duration)
    results = run(service, ROWS)
    assert len(results.failed) == 3
    assert run(service, ROWS, batch=False).text == [f"answer to {row}" for row in ROWS]
    assert service.asked + service.live == dict.fromkeys(ROWS, 1)


def test_a_running_job_is_not_released(service, run, tmp_path, client_of):
    run(service, ROWS, wait=False)
    with client_of(service) as client, pytest.raises(ConfigurationError, match="cancel it first"):
        list_jobs(tmp_path / "run.sqlite", client)[0].release()


def test_jobs_of_a_file_without_jobs_are_none(tmp_path, run, service):
    assert aichatkit.jobs(tmp_path / "none.sqlite") == []
    run(service, ["a"], batch=False)
    assert aichatkit.jobs(tmp_path / "run.sqlite") == []


def test_an_estimate_uses_the_batch_price(service, client_of):
    with client_of(service) as client:
        usual, batch = client.estimate(ROWS, max_tokens=100), client.estimate(ROWS, max_tokens=100, batch=True)
    assert batch.cost == pytest.approx(usual.cost / 2)
    assert (batch.calls, batch.input_tokens, batch.output_tokens) == (6, usual.input_tokens, 600)


def test_a_creation_that_meets_a_rate_limit_is_sent_again_later(service, run):
    faults = [429, 429]
    service.fault = lambda method, path: faults.pop() if faults and (method, path) == ("POST", "/v1/batches") else None
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 1


def test_a_creation_that_is_refused_stops_the_run_and_its_file_is_deleted(service, run):
    service.fault = lambda method, path: 400 if (method, path) == ("POST", "/v1/batches") else None
    results = run(service, ROWS)
    assert isinstance(results.stopped, BadRequestError)
    assert not service.files
    assert not service.jobs


def test_a_creation_that_failed_is_not_repeated_but_searched_for(service, run):
    faults = [500]
    service.fault = lambda method, path: faults.pop() if faults and (method, path) == ("POST", "/v1/batches") else None
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 1
    assert service.requests.count(("GET", "/v1/batches")) == 3
    assert service.requests.count(("POST", "/v1/files")) == 2


def test_a_list_that_lags_behind_is_read_again(service, run):
    faults = ["drop"]
    service.lag = 50
    service.fault = lambda method, path: faults.pop() if faults and (method, path) == ("POST", "/v1/batches") else None
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 1


def test_a_service_that_confirms_and_lists_no_job_is_not_sent_jobs_for_ever(service, run):
    service.lag = 10**9
    service.fault = lambda method, path: "drop" if (method, path) == ("POST", "/v1/batches") else None
    results = run(service, ROWS)
    assert isinstance(results.stopped, ServerError)
    assert "3 jobs in a row were not confirmed" in str(results.stopped)
    assert (len(service.jobs), service.files, results.pending) == (3, {}, 6)


def test_a_stranger_with_as_many_rows_is_told_by_its_results(service_of, run):
    service = service_of("anthropic")
    rows = [(f"request-{number}", {"model": "m", "messages": [{"content": "x"}]}) for number in range(6)]
    service.make_job(rows)
    faults = [500]
    path = "/v1/messages/batches"
    service.fault = lambda method, at: faults.pop() if faults and (method, at) == ("POST", path) else None
    results = run(service, ROWS)
    assert results.text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 2


def test_polls_and_downloads_that_fail_are_tried_again(service, run):
    faults = [503, "html", "drop", 500, "refuse"] * 4
    service.fault = lambda method, path: faults.pop() if faults and method == "GET" else None
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert service.asked == dict.fromkeys(ROWS, 1)


def test_a_clock_that_jumps_changes_nothing(service, run):
    run(service, ROWS, wait=False)
    service.now -= 5000
    assert run(service, ROWS, wait=1).pending == 6
    service.now += 200_000
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 1


def test_results_and_jobs_can_be_pickled(service, run):
    import pickle

    results = pickle.loads(pickle.dumps(run(service, ROWS, wait=False)))
    assert results.pending == 6
    assert results.jobs[0].rows == 6


def test_a_journal_that_cannot_be_written_ends_the_run(service, run, tmp_path):
    (tmp_path / "run.sqlite").write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(JournalError):
        run(service, ROWS)


def test_rows_come_as_their_jobs_end(service, run, monkeypatch, client_of, tmp_path):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 2)
    with client_of(service) as client:
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "as_completed": True, "progress": False}
        results = client.map((row for row in ROWS), **options)
        assert sorted(result.text for result in results) == [f"answer to {row}" for row in ROWS]
    assert len(service.jobs) == 3


def test_leaving_results_early_leaves_the_jobs_running(service, client_of, tmp_path, run, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 2)
    with client_of(service) as client:
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "as_completed": True, "progress": False}
        results = client.map(ROWS, **options)
        next(iter(results))
        results.close()
    assert run(service, ROWS).text == [f"answer to {row}" for row in ROWS]
    assert service.asked == dict.fromkeys(ROWS, 1)


def test_a_row_with_an_error_of_its_own_is_in_no_job(service, run):
    results = run(service, [{"a": "x"}, {"b": "y"}], template="{a}")
    assert results.text[0] == "answer to x"
    assert isinstance(results.errors[1], ChatError)


@pytest.mark.parametrize("path", [None, 5])
def test_jobs_are_those_of_a_journal(path, tmp_path):
    with pytest.raises(ConfigurationError, match="jobs: the path must be that of a journal"):
        list_jobs(path)
    assert list_jobs(tmp_path / "missing.sqlite") == []
