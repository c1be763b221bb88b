"""Questions about rows in batch jobs: the same answers and keys as live, in a line for each request of a row."""

from __future__ import annotations

from collections import Counter

import job_server
import pytest
from job_server import answer_questions
from sandbox_jobs import client_of as sandbox_client

from aichatkit import BatchPendingError, ConfigurationError, EmptyAnswerError, SchemaError
from aichatkit.batch_jobs.job import list_jobs
from aichatkit.cli import main

ROWS = [{"text": f"row {number}"} for number in range(5)]
QUESTIONS = {"refund?": bool, "anger": ["calm", "furious"]}
#: A model that has no token probabilities.
GPT = {"model": "openai/gpt-6-luna"}
#: A model whose token probabilities are used.
PRICES = {"openai/gpt-rosalind-research": {"input": 5, "output": 25, "batch": 0.5}}
LETTERS = {"model": "openai/gpt-rosalind-research", "prices": PRICES}


@pytest.fixture
def letters(service):
    answer_questions(service)
    return service


def decide(run, service, client=None, **options):
    options = {"template": "{text}", "decide": QUESTIONS, "emulate": True, **options}
    return run(service, ROWS, LETTERS if client is None else client, **options)


def lines(service):
    return [len(job.rows) for job in service.jobs.values()]


def test_a_question_with_letters_is_a_line_of_its_own(run, letters):
    results = decide(run, letters)
    assert lines(letters) == [10]
    assert not letters.live
    assert [result.data["refund?"].value for result in results] == [True, False, True, False, True]
    assert [result.data["anger"].label for result in results] == ["calm", "furious"] * 2 + ["calm"]
    decision = results[0].data["refund?"]
    assert (decision.source, round(decision.probability, 3)) == ("logprobs", 0.778)
    assert results[0].usage.input_tokens == 2 * job_server.TOKENS_IN
    assert set(letters.asked.values()) == {1}


def test_jobs_and_live_calls_have_the_same_keys_and_answers(run, letters, tmp_path):
    jobs = decide(run, letters)
    again = decide(run, letters, batch=False)
    assert not letters.live
    live = decide(run, letters, batch=False, resume=tmp_path / "live.sqlite")
    assert sum(letters.live.values()) == 10
    for other in (again, live):
        assert [result.text for result in other] == [result.text for result in jobs]
    decide(run, letters, resume=tmp_path / "live.sqlite")
    assert lines(letters) == [10]


def test_rows_in_jobs_are_not_sent_live(run, letters):
    decide(run, letters, wait=False)
    results = decide(run, letters, batch=False)
    assert all(isinstance(error, BatchPendingError) for error in results.errors)
    letters.sleep(letters.duration)
    results = decide(run, letters, batch=False)
    assert not results.failed
    assert not letters.live


def test_what_is_not_a_letter_is_asked_by_structured_output_in_the_next_job(run, service):
    answer_questions(service, odd=["refund"])
    results = decide(run, service)
    assert lines(service) == [10, 5]
    assert {result.data["refund?"].source for result in results} == {"schema"}
    assert {result.data["anger"].source for result in results} == {"logprobs"}
    assert results[1].usage.input_tokens == 3 * job_server.TOKENS_IN


def test_a_thought_in_place_of_a_letter_costs_what_is_not_known(run, service):
    answer_questions(service)
    reply = service.reply
    service.reply = lambda text, body: (
        {**reply(text, body), "choices": [{"index": 0, "message": {"content": ""}, "finish_reason": "length"}]}
        if body.get("logprobs")
        else reply(text, body)
    )
    results = decide(run, service)
    assert lines(service) == [10, 5]
    assert {result.data["refund?"].source for result in results} == {"schema"}
    assert results.cost is None


def test_a_threshold_needs_probabilities(run, service):
    answer_questions(service, odd=["refund"])
    results = decide(run, service, threshold=0.6)
    assert lines(service) == [10]
    assert "did not return the probabilities" in str(results[0].error)
    # What was answered is kept: only the others are sent again.
    answer_questions(service)
    assert not decide(run, service, threshold=0.6).failed
    assert lines(service) == [10, 5]


def test_without_a_letter_for_each_option_the_choice_counts_unless_probabilities_are_needed(run, service, tmp_path):
    answer_questions(service)
    reply = service.reply

    def without(text, body):
        answer = reply(text, body)
        for choice in answer["choices"]:
            for entry in (choice.get("logprobs") or {}).get("content", ()):
                entry["top_logprobs"] = entry["top_logprobs"][:1]
        return answer

    service.reply = without
    results = decide(run, service)
    assert results[0].data["refund?"].probability is None
    results = decide(run, service, threshold=0.6, resume=tmp_path / "other.sqlite")
    assert "did not return" in str(results[0].error)


def test_lines_that_a_job_did_not_run_are_the_only_ones_that_are_sent_again(run, letters):
    endings = ["completed", "expired"]
    letters.ending = lambda job: endings.pop()
    assert not decide(run, letters).failed
    assert lines(letters) == [10, 5]
    assert set(letters.asked.values()) == {1}


@pytest.mark.parametrize("late", ["live", "batch"])
def test_only_lines_that_a_job_did_not_run_are_sent_live(run, letters, late):
    letters.ending = lambda job: "expired"
    if late == "live":
        results = decide(run, letters, late="live")
    else:
        decide(run, letters, wait=False)
        letters.sleep(letters.duration)
        results = decide(run, letters, batch=False)
    assert lines(letters) == [10]
    assert not results.failed
    assert {decision.source for result in results for decision in result.data.values()} == {"logprobs"}
    assert set((letters.asked + letters.live).values()) == {1}
    assert [sum(counts.values()) for counts in (letters.asked, letters.live)] == [5, 5]
    assert {result.usage.input_tokens for result in results} == {2 * job_server.TOKENS_IN}
    again = decide(run, letters, batch=False)
    assert [result.text for result in again] == [result.text for result in results]
    assert sum(letters.live.values()) == 5


def test_after_an_answer_without_a_letter_the_rest_is_asked_live_by_structured_output(run, service):
    answer_questions(service, odd=["refund"])
    # The questions about anger are not run.
    service.edit = lambda lines: [line for line in lines if "refund" in prompts[line["custom_id"]]]
    prompts = {}
    service.ending = lambda job: (
        prompts.update((id, job_server.prompt_of(body)) for id, body in job.rows) or "completed"
    )
    results = decide(run, service, late="live")
    assert lines(service) == [10]
    assert {decision.source for result in results for decision in result.data.values()} == {"schema"}
    assert sum(service.live.values()) == 5


def test_a_refused_question_fails_its_row_and_is_sent_again_alone(run, letters):
    error = {"error": {"message": "bad content", "type": "invalid_request_error", "code": "content_filter"}}
    letters.fate = lambda prompt: (400, error) if "row 2" in prompt and "anger" in prompt else None
    results = decide(run, letters)
    assert [result.position for result in results.failed] == [2]
    letters.fate = lambda prompt: None
    assert not decide(run, letters).failed
    assert lines(letters) == [10, 1]


@pytest.mark.parametrize("kind", job_server.SERVICES)
def test_every_service_answers_by_structured_output(kind, sandbox, tmp_path):
    rows = ["I want a refund", "All is well"]
    options = {"decide": QUESTIONS, "progress": False, "emulate": True, "resume": tmp_path / "run.sqlite"}
    model = GPT if kind == "openai" else {}
    with sandbox_client(sandbox, kind, **model) as client:
        results = client.map(rows, batch=True, **options)
        assert {decision.source for each in results.data for decision in each.values()} == {"schema"}
        assert [len(job.rows) for job in sandbox.jobs] == [2]
        count = len(sandbox.requests)
        assert client.map(rows, **options).text == results.text
        assert len(sandbox.requests) == count


def test_an_answer_that_does_not_fit_fails_its_row(run, service):
    service.answer = lambda prompt: "no"
    results = decide(run, service, GPT)
    assert all(isinstance(error, SchemaError) for error in results.errors)
    assert lines(service) == [5]


def test_an_empty_answer_to_all_questions_fails_its_row(run, service):
    service.answer = lambda prompt: ""
    assert all(isinstance(error, EmptyAnswerError) for error in decide(run, service, GPT).errors)


def test_strict_calls_are_not_changed(run, letters):
    error = {"message": "Unsupported parameter: 'user'", "code": "unsupported_parameter", "param": "user"}
    letters.fate = lambda prompt: (400, {"error": {**error, "type": "invalid_request_error"}})
    assert len(decide(run, letters, {**LETTERS, "user": "me"}, strict=True).failed) == 5
    assert lines(letters) == [10]


def test_half_price_holds_for_questions(run, service, tmp_path):
    answer_questions(service)
    options = {"client": GPT}
    half = decide(run, service, **options).cost
    assert half > 0
    live = decide(run, service, batch=False, resume=tmp_path / "live.sqlite", **options).cost
    assert half == pytest.approx(live / 2)


def test_the_cache_has_the_answers_of_jobs(run, letters, tmp_path):
    client = {**LETTERS, "cache": {}}
    first = decide(run, letters, client)
    again = decide(run, letters, client, resume=tmp_path / "other.sqlite")
    assert again.text == first.text
    assert lines(letters) == [10]


def test_a_field_that_the_model_refuses_is_left_out_of_both_forms(run, letters):
    def refused(prompt):
        message = "Unsupported parameter: 'user' is not supported with this model."
        error = {"message": message, "code": "unsupported_parameter", "param": "user", "type": "invalid_request_error"}
        return (400, {"error": error}) if len(letters.jobs) == 1 else None

    letters.fate = refused
    with pytest.warns(UserWarning, match="user"):
        results = decide(run, letters, {**LETTERS, "user": "me"})
    assert not results.failed
    assert lines(letters) == [10, 10]
    assert all("user" not in body for _, body in list(letters.jobs.values())[1].rows)


def test_the_first_model_that_is_asked_must_be_a_chat_model_and_others_are_left_out(run, service):
    with pytest.raises(ConfigurationError, match="decide: gemini/gemini-decision-1 answers at a decisions endpoint"):
        decide(run, service, {"model": ["gemini/gemini-decision-1"], "api_key": "x", "base_url": None}, emulate=None)


@pytest.mark.parametrize("limit", [{"budget": 1.0}, {"max_tokens_total": 1000}])
def test_budgets_cannot_bound_questions_in_jobs(run, service, limit):
    with pytest.raises(ConfigurationError, match="budget: the length of answers to questions"):
        decide(run, service, **limit)


def test_the_budget_of_the_client_cannot_bound_them_either(run, service):
    with pytest.raises(ConfigurationError, match="budget: the length of answers to questions"):
        decide(run, service, {**LETTERS, "budget": 1.0})


def kill_everywhere(service_of, run, die_at, tmp_path, **options):
    moment = 0
    while True:
        service = service_of()
        answer_questions(service, **options)
        path = tmp_path / f"{moment}.sqlite"
        with die_at(moment) as death:
            decide(run, service, resume=path)
        if not death.is_dead:
            return moment
        results = decide(run, service, resume=path)
        assert not results.failed
        assert [result.data["anger"].label for result in results] == ["calm", "furious"] * 2 + ["calm"]
        assert set(service.asked.values()) == {1}
        assert not service.live
        assert sum(job.cost for job in list_jobs(path)) == pytest.approx(results.cost)
        moment += 1


@pytest.mark.slow
def test_a_run_that_dies_at_any_step_asks_no_question_twice(service_of, run, die_at, tmp_path):
    assert kill_everywhere(service_of, run, die_at, tmp_path) > 25


@pytest.mark.slow
def test_a_run_that_dies_at_any_step_of_two_jobs_asks_no_question_twice(service_of, run, die_at, tmp_path):
    assert kill_everywhere(service_of, run, die_at, tmp_path, odd=["refund"]) > 45


def test_the_answers_of_a_row_may_be_in_several_blocks(run, letters, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.collection._BLOCK", 3)
    assert not decide(run, letters).failed
    assert lines(letters) == [10]


def test_on_the_command_line(sandbox, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    (tmp_path / "in.csv").write_text("text\nI want a refund\nAll is well\n")
    out = tmp_path / "out.csv"
    words = ["map", str(tmp_path / "in.csv"), "-t", "{text}", "--out", str(out), "--decide", "refund?"]
    words += ["-m", "openai/gpt-6-luna", "--base-url", f"{sandbox.url}/v1", "--batch", "--no-wait"]
    assert main(words) == 2
    assert "with --emulate always" in capsys.readouterr().err
    assert main([*words, "--emulate", "always"]) == 75
    sandbox.advance(61)
    assert main([*words, "--emulate", "always"]) == 0
    assert out.read_text().startswith("text,refund,refund_p")
    assert Counter(row.state for row in sandbox.ledger) == {"answered": 2}
