"""`Client.embed(batch=True)`: the vectors and the journal of live calls, from batch jobs."""

from __future__ import annotations

import json
import os
import signal
import time

import job_server
import pytest
from job_server import TOKENS_IN, vector_of
from sandbox_jobs import client_of as sandbox_client

import aichatkit
from aichatkit import BatchExpiredError, BatchPendingError, ChatError, ConfigurationError, RetryPolicy
from aichatkit.batch_jobs.job import list_jobs
from aichatkit.cli import main
from aichatkit.embeddings import services

TEXTS = [f"text {number}" for number in range(5)]
MODELS = {kind: model for (task, kind), model in job_server.TASK_MODELS.items() if task == "embed"}
VECTORS = [vector_of(text) for text in TEXTS]


@pytest.fixture
def embed(tmp_path, client_of):
    """Embed texts in jobs, with the journal of the test."""

    def embed(service, texts=TEXTS, client=None, **options):
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "model": MODELS[service.kind], **options}
        with client_of(service, **(client or {})) as made:
            return made.embed(texts, **options)

    return embed


@pytest.mark.parametrize("kind", MODELS)
def test_every_service_embeds_in_a_job(service_of, embed, kind):
    service = service_of(kind)
    results = embed(service)
    assert list(results) == VECTORS
    assert results.usage.input_tokens == TOKENS_IN * 5
    assert [(job.state, job.rows, job.answered) for job in results.jobs] == [("done", 5, 5)]
    assert (results.pending, results.interrupted) == (0, False)
    assert service.asked == dict.fromkeys(TEXTS, 1)
    assert not service.live
    # Nothing is sent again, in jobs or live.
    count = service.creations()
    assert list(embed(service)) == VECTORS
    assert list(embed(service, batch=False)) == VECTORS
    assert (service.creations(), service.live) == (count, {})


@pytest.mark.parametrize(("kind", "price"), [("openai", 0.02), ("gemini", 0.15), ("mistral", 0.10)])
def test_a_job_costs_half_whoever_reads_it(service_of, embed, kind, price):
    service = service_of(kind)
    half = price * TOKENS_IN * 5 / 1e6 / 2
    first = embed(service)
    assert first.cost == pytest.approx(half)
    assert first.jobs[0].cost == pytest.approx(half)
    assert embed(service).cost == pytest.approx(half)
    assert embed(service, batch=False).cost == pytest.approx(half)


def test_texts_of_jobs_and_of_live_calls_cost_what_each_costs(service, embed):
    embed(service, TEXTS[:2], batch=False)
    results = embed(service)
    assert results.cost == pytest.approx(0.02 * TOKENS_IN * (2 + 3 / 2) / 1e6)
    assert service.asked == dict.fromkeys(TEXTS[2:], 1)
    assert service.live == dict.fromkeys(TEXTS[:2], 1)


def test_the_price_table_of_the_user_says_what_a_job_costs(service, embed):
    prices = {"openai/text-embedding-3-small": {"input": 1.0, "output": 0.0, "batch": 0.25}}
    assert embed(service, client={"prices": prices}).cost == pytest.approx(TOKENS_IN * 5 / 4 / 1e6)


def test_equal_texts_are_one_line(service, embed):
    results = embed(service, ["a", "b", "a"])
    assert list(results) == [vector_of("a"), vector_of("b"), vector_of("a")]
    assert service.asked == {"a": 1, "b": 1}


def test_a_single_text_is_a_vector(service, embed):
    vector = embed(service, "text 1")
    assert vector == vector_of("text 1")
    assert vector.cost > 0


def test_rows_of_a_generator_wait_on_disk(service, embed):
    assert list(embed(service, ({"text": text} for text in TEXTS), template="{text}")) == VECTORS


def test_options_are_part_of_each_line(service_of, embed):
    service = service_of("gemini")
    embed(service, dimensions=3, kind="query", extra={"title": "t"})
    ((_, body),) = [job.rows[0] for job in service.jobs.values()]
    content = {"parts": [{"text": "text 0"}]}
    assert body == {"content": content, "outputDimensionality": 3, "taskType": "RETRIEVAL_QUERY", "title": "t"}


def test_numbers_come_as_base64_from_openai(service, embed):
    embed(service)
    (job,) = service.jobs.values()
    assert job.rows[0][1]["encoding_format"] == "base64"
    assert job.facts["asked"]["endpoint"] == "/v1/embeddings"


def test_texts_in_jobs_are_pending_and_then_collected(service, embed):
    results = embed(service, wait=False)
    assert results.pending == 5
    assert repr(results).endswith(": 5 of 0 numbers, 5 pending in batch jobs>")
    with pytest.raises(BatchPendingError, match="has not ended"):
        results[0]
    assert embed(service, wait=30).pending == 5
    service.sleep(service.duration)
    assert list(embed(service, wait=False)) == VECTORS
    assert service.creations() == 1


def test_a_live_call_leaves_texts_that_are_in_jobs_there(service, embed):
    embed(service, TEXTS[:3], wait=False)
    with pytest.raises(BatchPendingError) as caught:
        embed(service, batch=False)
    assert service.live == dict.fromkeys(TEXTS[3:], 1)
    assert list(caught.value.results[3:]) == VECTORS[3:]
    kept = embed(service, batch=False, on_error="keep")
    assert kept.pending == 3
    service.sleep(service.duration)
    # It collects what the job has answered by now.
    assert list(embed(service, batch=False)) == VECTORS
    assert service.live == dict.fromkeys(TEXTS[3:], 1)


def expire_once(service):
    endings = ["completed", "expired"]
    service.ending = lambda job: endings.pop() if endings else "completed"


def test_texts_of_an_expired_job_go_into_the_next(service, embed):
    expire_once(service)
    results = embed(service)
    assert list(results) == VECTORS
    assert [job.rows for job in results.jobs] == [5, 3]
    assert service.asked == dict.fromkeys(TEXTS, 1)


def test_texts_of_an_expired_job_are_sent_live_if_wanted(service, embed):
    expire_once(service)
    results = embed(service, late="live")
    assert list(results) == VECTORS
    assert len(results.jobs) == 1
    assert sum(service.live.values()) == 3
    assert results.cost == pytest.approx(0.02 * TOKENS_IN * (3 + 2 / 2) / 1e6)


def test_a_live_request_that_fails_at_the_end_fails_its_texts(service, embed):
    expire_once(service)
    service.fault = lambda method, path: 401 if path.endswith("/embeddings") else None
    with pytest.raises(ChatError, match="401") as caught:
        embed(service, late="live")
    assert caught.value.results.errors.count(None) == 2
    assert list(embed(service)) == VECTORS


def test_texts_of_an_expired_job_may_fail(service, embed):
    expire_once(service)
    with pytest.raises(BatchExpiredError, match=r"expired before this row was answered.*\(row \d\)"):
        embed(service, late="fail")
    kept = embed(service, late="fail", on_error="keep", wait=False)
    assert kept.pending == 3


@pytest.mark.parametrize("ending", ["cancelled", "failed"])
def test_a_job_that_ended_otherwise_fails_its_texts(service, embed, ending):
    service.ending = lambda job: ending
    results = embed(service, on_error="keep")
    assert results.errors.count(None) == (2 if ending == "cancelled" else 0)
    service.ending = lambda job: "completed"
    assert list(embed(service)) == VECTORS
    assert service.asked == dict.fromkeys(TEXTS, 1)


def test_a_text_that_is_refused_fails_alone(service, embed):
    error = {"error": {"message": "too many tokens", "code": "context_length_exceeded"}}
    service.fate = lambda prompt: (400, error) if prompt == "text 2" else None
    with pytest.raises(ChatError, match=r"\(row 2\)") as caught:
        embed(service)
    assert caught.value.results.errors.count(None) == 4
    assert embed(service, on_error="keep", resume=None, batch=False).errors == [None] * 5


def test_a_vector_of_another_width_is_an_error(service, embed):
    plain = service.vectors

    def vectors(body):
        found = plain({**body, "encoding_format": "float"})
        if body["input"] == ["text 2"]:
            found["data"][0]["embedding"].append(1.0)
        return found

    service.vectors = vectors
    results = embed(service, on_error="keep")
    assert [error is None for error in results.errors].count(False) >= 1
    assert "numbers where" in str(next(filter(None, results.errors)))


def test_a_reply_without_a_vector_is_an_error(service_of, embed):
    service = service_of("gemini")
    service.vectors = lambda body: {"predictions": []}
    results = embed(service, on_error="keep")
    assert all(error is not None for error in results.errors)


def test_a_price_that_is_not_known_is_not_guessed(service_of, embed):
    assert embed(service_of("azure")).cost is None


def test_tokens_that_are_not_reported_are_not_guessed(service, embed):
    plain = service.vectors
    service.vectors = lambda body: {**plain(body), "usage": None}
    results = embed(service)
    assert (results.usage.input_tokens, results.cost) == (None, None)
    assert embed(service, batch=False).cost is None


def test_the_cache_has_the_vectors_of_jobs(service, embed, tmp_path):
    client = {"cache": {}}
    embed(service, client=client)
    again = embed(service, client=client, resume=tmp_path / "other.sqlite")
    assert list(again) == VECTORS
    assert again.cost == 0
    assert service.creations() == 1


def test_a_budget_bounds_what_is_in_jobs(service, embed, tmp_path):
    long = [f"{text} " + "word " * 100 for text in TEXTS]
    each = 0.02 * 141 / 2 / 1e6
    results = embed(service, long, client={"budget": 2.5 * each}, wait=False, on_error="keep")
    assert results.pending == 2
    assert [isinstance(error, aichatkit.BudgetExceededError) for error in results.errors[2:]] == [True] * 3
    assert [len(job.rows) for job in service.jobs.values()] == [2]
    # What a job cost in the end is less.
    embed(service, long, client={"budget": 2.5 * each})
    assert [len(job.rows) for job in service.jobs.values()] == [2, 2, 1]
    unknown = {"resume": tmp_path / "three.sqlite", "model": "openai/text-embedding-x"}
    with pytest.raises(ConfigurationError, match="budget: the price of openai/text-embedding-x is not known"):
        embed(service, client={"budget": 1.0}, **unknown)


def test_a_vector_in_the_journal_of_another_width_ends_the_run(service, embed, tmp_path):
    embed(service, TEXTS[:1])
    service.vectors = lambda body: {"data": [{"index": 0, "embedding": [1.0, 2.0]}]}
    with pytest.raises(ChatError, match="vectors of different widths cannot be compared"):
        embed(service)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": None}, "resume: batch=True needs the path"),
        ({"late": "soon"}, "late: must be 'batch'"),
        ({"wait": "x"}, "wait: must be True"),
        ({"batch": "yes"}, "batch: must be True or False"),
        ({"batch": False, "wait": False}, "wait and late are for batch=True"),
        ({"executor": object()}, "executor: rows of batch jobs"),
        ({"model": "together/bge"}, "together has no batch jobs for embeddings.*: openai, azure, gemini, mistral$"),
        (
            {"model": "ollama/bge"},
            "ollama is not supported: it runs models of your own.*openai, azure, gemini, mistral$",
        ),
        ({"model": "nebius/bge"}, "nebius has no batch jobs for embeddings here"),
    ],
)
def test_what_cannot_be_done_is_an_error_before_anything_is_sent(service, embed, options, words):
    with pytest.raises(ConfigurationError, match=words):
        embed(service, **options)
    assert not service.requests


def test_vectors_and_answers_have_journals_of_their_own(service, embed, run, tmp_path):
    embed(service, wait=False)
    for batch in (True, False):
        with pytest.raises(ConfigurationError, match="holds vectors and the jobs of embed"):
            run(service, ["a"], batch=batch)
    run(service, ["a"], resume=tmp_path / "answers.sqlite")
    for batch in (True, False):
        with pytest.raises(ConfigurationError, match="holds batch jobs of map"):
            embed(service, resume=tmp_path / "answers.sqlite", batch=batch)
    embed(service, resume=tmp_path / "other.sqlite", batch=False)
    with pytest.raises(ConfigurationError, match="holds vectors of openai/text-embedding-3-small, not of"):
        embed(service, resume=tmp_path / "other.sqlite", kind=None, dimensions=3)


def test_an_empty_text_ends_the_run(service, embed):
    texts = iter([*TEXTS, " "])
    with pytest.raises(ConfigurationError, match="row 5: the text is empty"):
        embed(service, texts, wait=False)
    assert service.creations() == 0


def test_jobs_of_a_journal_of_vectors_are_listed_cancelled_and_released(service, embed, client_of, tmp_path):
    embed(service, wait=False)
    with client_of(service) as client:
        (job,) = list_jobs(tmp_path / "run.sqlite", client)
        assert job.refresh().state == "running"
        assert job.cancel().note == "cancelled here"
        job.release()
    assert list(embed(service)) == VECTORS


def kill_everywhere(service_of, embed, die_at, tmp_path, kind):
    moment = 0
    while True:
        service = service_of(kind)
        path = tmp_path / f"{moment}.sqlite"
        with die_at(moment) as death:
            embed(service, resume=path)
        if not death.is_dead:
            return moment
        results = embed(service, resume=path)
        assert list(results) == VECTORS
        assert service.asked == dict.fromkeys(TEXTS, 1)
        assert not service.live
        if results.cost is not None:
            assert sum(job.cost for job in list_jobs(path)) == pytest.approx(results.cost)
        moment += 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS)
def test_a_run_that_dies_at_any_step_embeds_no_text_twice(service_of, embed, die_at, tmp_path, kind):
    assert kill_everywhere(service_of, embed, die_at, tmp_path, kind) > 25


@pytest.mark.parametrize("kind", MODELS)
def test_the_sandbox_embeds_in_jobs_as_it_does_live(sandbox, tmp_path, kind):
    options = {"model": MODELS[kind], "dimensions": 8}
    if kind == "mistral":
        options = {"model": "mistral/codestral-embed", "dimensions": 8}
    with sandbox_client(sandbox, kind, model=None) as client:
        jobs = client.embed(TEXTS, batch=True, resume=tmp_path / "run.sqlite", **options)
        live = client.embed(TEXTS, **options)
    assert [list(vector) for vector in jobs] == [pytest.approx(vector) for vector in live]
    assert sorted(row.prompt for row in sandbox.ledger) == TEXTS


def test_two_processes_share_a_journal(service, embed, client_of, tmp_path):
    service.lag = 0
    embed(service, wait=False)
    service.sleep(service.duration)
    assert list(embed(service, TEXTS[::-1], wait=False)) == VECTORS[::-1]


def test_ctrl_c_leaves_the_jobs_running(service, embed, monkeypatch):
    import _thread

    def sleep(seconds):
        _thread.interrupt_main()
        time.sleep(0.01)

    with pytest.raises(ChatError, match="stopped with Ctrl-C: 1 job goes on") as caught:
        embed(service, client={"retry": RetryPolicy(sleep=sleep)})
    assert caught.value.results.interrupted
    assert caught.value.results.pending == 5
    kept = embed(service, client={"retry": RetryPolicy(sleep=sleep)}, on_error="keep")
    assert kept.interrupted
    assert list(embed(service)) == VECTORS


def test_ctrl_c_while_texts_are_sent_live_sends_no_more(service, embed, monkeypatch):
    expire_once(service)
    monkeypatch.setitem(services._SERVICES, "openai", services.EmbeddingService(max_texts=1))

    def interrupt(method, path):
        if path.endswith("/embeddings"):
            os.kill(os.getpid(), signal.SIGINT)

    service.fault = interrupt
    with pytest.raises(ChatError, match="stopped with Ctrl-C; the same call sends the rest") as caught:
        embed(service, late="live", workers=1)
    assert caught.value.results.interrupted
    assert sum(service.live.values()) == 1
    service.fault = lambda method, path: None
    assert list(embed(service, batch=False)) == VECTORS
    assert sum(service.live.values()) == 3


def test_ctrl_c_on_the_command_line_says_how_to_go_on(sandbox, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setattr("aichatkit.batch_jobs.run.JobRun._sleep", lambda run: os.kill(os.getpid(), signal.SIGINT))
    out = tmp_path / "out.jsonl"
    words = ["embed", "red fox", "-m", "openai/text-embedding-3-small", "--base-url", f"{sandbox.url}/v1"]
    assert main([*words, "--batch", "--out", str(out)]) == 130
    assert f"`aichatkit jobs {out}.sqlite --cancel`" in capsys.readouterr().err
    assert not out.exists()


def test_a_field_that_the_model_refuses_is_not_left_out_of_vectors(service, embed):
    error = {"message": "This model does not support specifying dimensions.", "param": "dimensions"}
    error.update(code="unsupported_parameter", type="invalid_request_error")
    service.fate = lambda prompt: (400, {"error": error})
    with pytest.raises(ChatError, match="dimensions"):
        embed(service, dimensions=3)
    assert service.creations() == 1


def test_on_the_command_line(sandbox, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    (tmp_path / "in.csv").write_text("text\nred fox\ngrey wolf\n")
    out = tmp_path / "out.jsonl"
    words = ["embed", str(tmp_path / "in.csv"), "-t", "{text}", "-m", "openai/text-embedding-3-small", "-d", "4"]
    words += ["--base-url", f"{sandbox.url}/v1", "--batch"]
    assert main([*words[:-1], "--no-wait", "--out", str(out)]) == 2
    assert main(words) == 2
    assert "--journal FILE" in capsys.readouterr().err
    assert main([*words, "--out", str(out), "--no-wait"]) == 75
    assert "2 texts are in batch jobs: the same command collects them" in capsys.readouterr().err
    assert not out.exists()
    assert main(["jobs", f"{out}.sqlite"]) == 75
    sandbox.advance(61)
    assert main([*words, "--out", str(out), "--no-wait"]) == 0
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 2
    assert main([*words, "--journal", f"{out}.sqlite"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2
    assert len(sandbox.ledger) == 2


def test_a_single_text_in_jobs_on_the_command_line(sandbox, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    words = ["embed", "red fox", "-m", "openai/text-embedding-3-small", "--base-url", f"{sandbox.url}/v1", "--batch"]
    words += ["--no-wait", "--journal", str(tmp_path / "run.sqlite")]
    assert main(words) == 75
    assert "1 text is in batch jobs" in capsys.readouterr().err
    assert main([word for word in words if word not in ("--batch", "--no-wait")]) == 75
    assert "which has not ended; the same command collects it later" in capsys.readouterr().err


def test_a_text_that_was_refused_on_the_command_line(sandbox, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    sandbox.script("bad-request,on=batch-row")
    words = ["embed", "red fox", "-m", "openai/text-embedding-3-small", "--base-url", f"{sandbox.url}/v1", "--batch"]
    words += ["--no-wait", "--journal", str(tmp_path / "run.sqlite")]
    assert main(words) == 75
    sandbox.advance(61)
    assert main(words) == 1
