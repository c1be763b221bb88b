"""Many rows: paced, within a budget, journaled before they are told, and stopped in good order."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import threading
import time
from itertools import count
from types import SimpleNamespace

import pytest

from aichatkit import (
    AllProvidersFailedError,
    AuthenticationError,
    BudgetExceededError,
    ChatError,
    Client,
    ConfigurationError,
    ContentFilteredError,
    JournalError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    SchemaError,
)
from aichatkit.batch.journal import Journal
from aichatkit.batch.rows import read_rows
from aichatkit.batch.run import BatchRun
from aichatkit.batch.task_queue import TaskQueue
from aichatkit.limits.cooldowns import CooldownKey
from aichatkit.middleware.fingerprints import fingerprint
from aichatkit.reply import Reply
from aichatkit.sandbox import Sandbox


def asked(sandbox):
    """Return what the requests asked, in order."""
    return [request.json()["messages"][-1]["content"] for request in sandbox.requests]


def numbered(number):
    return [f"p{i}" for i in range(number)]


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "run.sqlite"


def answers_in(path):
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0]
    connection.close()
    return found


# Options.


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": 0}, "workers: must be an integer"),
        ({"workers": True}, "workers: must be an integer"),
        ({"workers": 2.5}, "workers: must be an integer"),
        ({"on_error": "ignore"}, "on_error: must be 'keep' or 'raise'"),
        ({"executor": 3}, "executor: must be a concurrent.futures.Executor"),
        ({"budget": -1}, "budget: must be a number"),
        ({"max_tokens_total": "9"}, "max_tokens_total: must be a number"),
        ({"temprature": 1}, "unknown option or parameter 'temprature'; did you mean 'temperature'"),
        ({"resum": "x.sqlite"}, "unknown option or parameter 'resum'; did you mean 'resume'"),
        ({"resume": 5}, "resume: must be the path of a journal"),
        ({"resume": ""}, "resume: must be the path of a journal"),
        ({"min_p": 1}, "openai does not take 'min_p'"),
        ({"model": "openai/unheard-of", "budget": 1}, "the price of openai/unheard-of is not known"),
        ({"model": "groq"}, "no key"),
        ({"template": "{x}{y}"}, "have no columns"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_first_call(client, sandbox, options, told):
    with pytest.raises(ConfigurationError, match=told):
        client.map(["Hi"], **options)
    assert sandbox.requests == []


def test_one_of_several_models_is_enough(client):
    assert client.map(["Hi"], model=["groq", "openai"]).text[0]


def test_the_options_of_ask_hold_for_every_row(client, sandbox):
    client.map(["a", "b"], system="Be brief.", temperature=0.5)
    for request in sandbox.requests:
        assert request.json()["messages"][0] == {"role": "system", "content": "Be brief."}
        assert request.json()["temperature"] == 0.5


@pytest.mark.usefixtures("patient")
def test_as_many_rows_are_under_way_as_there_are_workers():
    with Sandbox(delay=0.05) as sandbox, Client(model="openai", base_url=f"{sandbox.url}/v1") as client:
        client.map(numbered(12), workers=4)
        assert sandbox.connections == 4


# Rows that fail.


def test_a_row_that_fails_holds_its_error(client, sandbox):
    sandbox.script(None, "content-filter")
    results = client.map(numbered(3), workers=1)
    assert [type(error) for error in results.errors] == [type(None), ContentFilteredError, type(None)]
    assert results.stopped is None


def test_raise_ends_the_run_at_the_first_row_that_fails(client, sandbox):
    sandbox.script(None, "content-filter")
    with pytest.raises(ContentFilteredError) as caught:
        client.map(numbered(9), workers=1, on_error="raise")
    assert asked(sandbox) == ["p0", "p1"]
    assert caught.value.results[0].text


@pytest.mark.parametrize("error", [LookupError("no more"), KeyError("gone"), OSError(5, "disk"), ValueError("odd")])
@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("as_completed", [False, True])
def test_an_error_of_the_input_keeps_what_was_answered(client, sandbox, error, workers, as_completed):
    def prompts():
        yield "p0"
        yield "p1"
        yield "p2"
        raise error

    with pytest.raises(ChatError, match=f"prompts: the iterable raised {type(error).__name__}") as caught:
        list(client.map(prompts(), workers=workers, as_completed=as_completed))
    assert caught.value.__cause__ is error
    assert len(caught.value.results) == 3
    assert all(caught.value.results.text)
    assert sorted(asked(sandbox)) == ["p0", "p1", "p2"]
    assert caught.value.results.stopped is caught.value


def test_an_error_of_the_input_keeps_the_answers_of_a_journal_as_well(client, sandbox, journal):
    def prompts():
        yield from numbered(5)
        raise KeyError("gone")

    for _ in range(2):
        with pytest.raises(ChatError, match="KeyError") as caught:
            client.map(prompts(), workers=3, resume=journal)
        assert all(caught.value.results.text)
        assert len(caught.value.results) == 5
    assert len(sandbox.requests) == 5


def test_an_input_that_fails_at_once_has_no_results(client, sandbox):
    def prompts():
        raise KeyError("gone")
        yield

    with pytest.raises(ChatError, match="prompts: the iterable raised KeyError: 'gone'") as caught:
        client.map(prompts())
    assert len(caught.value.results) == 0
    assert sandbox.requests == []


@pytest.mark.parametrize("encoding", [None, "utf-8", "ascii"])
def test_a_file_in_another_encoding_is_refused_before_anything_is_sent(client, sandbox, tmp_path, encoding):
    (tmp_path / "in.csv").write_bytes(b"text\na\nb\n" + b"c\n" * 9000 + b"caf\xe9\n")
    with pytest.raises(ConfigurationError, match=r"pass (another )?encoding="):
        client.map(tmp_path / "in.csv", workers=8, encoding=encoding)
    assert sandbox.requests == []


def test_a_file_that_cannot_be_read_to_its_end_keeps_what_was_answered(client, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b'{"text": "a"}\n{"text": "b"}\n\n{"text":\n')
    with pytest.raises(ConfigurationError, match="line 4 cannot be read") as caught:
        client.map(tmp_path / "in.jsonl", workers=8)
    assert len(caught.value.results) == 2
    assert all(caught.value.results.text)


def test_a_row_that_may_have_been_charged_counts_against_the_budget(client, sandbox):
    sandbox.script(*["cut,after=2"] * 20)
    results = client.map(numbered(20), workers=1, retry=0, max_tokens=100, max_tokens_total=350)
    assert 2 <= len(sandbox.requests) <= 4
    assert isinstance(results.stopped, BudgetExceededError)
    partial = results.errors[0]
    assert partial.partial
    assert results.usage.total_tokens is None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limited_row_is_asked_after_those_that_are_ready(tmp_path, workers):
    source, journal = read_rows(numbered(4)), Journal(tmp_path / "j.sqlite")
    with Client(model="offline") as client:
        queue = TaskQueue(
            source,
            build_call=lambda prompt: client._build_call(prompt, 1),
            journal=journal,
            schema=None,
            batch_size=4,
        )
        limited = queue.next()
        queue.requeue_last(limited)
        order = [queue.next().row.prompt for _ in range(4)]
    journal.close()
    assert order == ["p1", "p2", "p3", "p0"]


@pytest.mark.parametrize(("fault", "kind"), [("quota", QuotaExceededError), ("unauthorized", AuthenticationError)])
def test_what_every_row_would_meet_ends_the_run(client, sandbox, fault, kind):
    sandbox.script(None, fault)
    results = client.map(numbered(9), workers=1)
    assert asked(sandbox) == ["p0", "p1"]
    assert results[0].text
    assert {type(error) for error in results.errors[1:]} == {kind}
    assert isinstance(results.stopped, kind)


def test_a_used_up_quota_moves_on_to_the_next_service(client, sandbox):
    sandbox.script("quota")
    results = client.map(numbered(5), workers=1, model=["openai/gpt-6-sol", "aichats"])
    assert [result.reply.provider for result in results] == ["aichats"] * 5
    assert results.stopped is None


def test_used_up_quotas_everywhere_end_the_run(client, sandbox, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "k")
    monkeypatch.setenv("GROQ_BASE_URL", f"{sandbox.url}/v1")
    sandbox.script("quota", "quota")
    results = client.map(numbered(5), workers=1, model=["openai", "groq"])
    assert len(sandbox.requests) == 2
    assert isinstance(results.stopped, AllProvidersFailedError)
    assert len(results.failed) == 5


def test_a_run_without_an_end_stops_drawing_when_it_stops(client, sandbox):
    sandbox.script(None, "quota")
    results = client.map((f"p{i}" for i in count()), workers=1)
    assert len(results) == 2


# Waits.


def test_a_row_that_meets_rate_limits_is_asked_again(client, sandbox):
    sandbox.script(*["rate-limit"] * 4)
    results = client.map(["a"], workers=1)
    assert results.errors == [None]
    assert len(sandbox.requests) == 5


def test_a_row_that_meets_nothing_but_rate_limits_fails_in_the_end(client, sandbox):
    sandbox.script(*["rate-limit"] * 99)
    with_one = client.map(["a"], workers=1, retry=0)
    assert isinstance(with_one.errors[0], RateLimitError)
    assert len(sandbox.requests) == 6


def test_a_pause_the_service_asks_for_holds_for_all_workers():
    clock, slept, lock = [100.0], [], threading.Lock()

    def sleep(seconds):
        with lock:
            slept.append(round(seconds))
            clock[0] += seconds

    policy = RetryPolicy(sleep=sleep, clock=lambda: clock[0], random=lambda: 0.0)
    with Sandbox() as sandbox, Client(model="openai", base_url=f"{sandbox.url}/v1", retry=policy) as client:
        # The one that was refused waits by its own retry; a call that comes later would not know.
        sandbox.script("rate-limit,retry_after=7")
        assert client.ask("first", retry=policy).text
        client._context.pauses.note(CooldownKey.of("openai", None, "gpt-6-luna"), 9.0)
        assert client.ask("patience is for rows").text
        assert slept == [7]
        assert client.map(["a", "b"], workers=1).errors == [None, None]
        assert slept == [7, 9]


def test_workers_look_at_the_pause_before_they_ask(client, sandbox, slept):
    sandbox.script("rate-limit,retry_after=3")
    results = client.map(numbered(6), workers=1)
    assert results.errors == [None] * 6
    assert max(slept) <= 3.3
    assert len(sandbox.requests) == 7


@pytest.mark.slow
def test_a_hint_slows_all_workers_and_not_one():
    # Slow answers, so that few are under way before the refusal has been read.
    with Sandbox(delay=0.05) as sandbox, Client(model="openai", base_url=f"{sandbox.url}/v1") as client:
        sandbox.script("rate-limit,retry_after_ms=500")
        results = client.map(numbered(24), workers=4, as_completed=True)
        thread = threading.Thread(target=results.finish)
        thread.start()
        time.sleep(0.35)
        during = len(sandbox.requests)
        thread.join(20)
        assert during <= 12
        assert len(sandbox.requests) == 25
        assert results.failed == []


def test_a_pause_is_shown_in_the_bar(client, capsys):
    pytest.importorskip("tqdm")
    client._context.pauses.note(CooldownKey.of("groq", None, "m"), 40)
    client.map(["a"], progress=True)
    assert re.search(r"pause=\d\ds", capsys.readouterr().err)


def test_a_wait_for_the_rate_of_the_client_is_shown_in_the_bar(sandbox, capsys):
    pytest.importorskip("tqdm")
    clock, shown = [0.0], []

    def sleep(seconds):
        shown.append(client._context.rate_limiter.longest())
        clock[0] += seconds

    policy = RetryPolicy(sleep=sleep, clock=lambda: clock[0])
    with Client(model="openai", base_url=f"{sandbox.url}/v1", rate="1/min", retry=policy) as client:
        client.map(["a", "b"], workers=1)
        assert (shown, client._context.rate_limiter.longest()) == ([60.0], 0.0)
        clock[0] -= 25
        client.map([""], progress=True)
    assert "pacing=25s" in capsys.readouterr().err


def test_a_pause_that_is_too_long_ends_the_run(client, sandbox, slept):
    sandbox.script("rate-limit,retry_after=3600")
    results = client.map(numbered(9), workers=1)
    assert len(sandbox.requests) == 1
    assert slept == []
    assert {type(error) for error in results.errors} == {RateLimitError}


def test_nobody_asks_during_a_pause_that_is_too_long(client, sandbox):
    client._context.pauses.note(CooldownKey.of("openai", "sk-test", "gpt-6-luna"), 3600)
    results = client.map(numbered(9), workers=1)
    assert sandbox.requests == []
    assert "asked for a pause" in str(results.errors[0])


def test_the_rate_of_the_client_holds_for_the_run(sandbox):
    clock, slept = [0.0], []

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds

    policy = RetryPolicy(sleep=sleep, clock=lambda: clock[0])
    with Client(model="openai", base_url=f"{sandbox.url}/v1", rate="2/min", retry=policy) as client:
        assert client.map(numbered(6), workers=1).errors == [None] * 6
    assert slept == [60.0, 60.0]


# Budgets.


def test_a_budget_is_not_passed(client, sandbox):
    sandbox.says("one two three four five")
    whole = client.map(numbered(1), model="openai/gpt-6-sol", max_tokens=5).cost
    sandbox.requests.clear()
    results = client.map(numbered(20), model="openai/gpt-6-sol", max_tokens=5, budget=whole * 8, workers=3)
    assert results.cost <= whole * 8
    assert 5 <= len(sandbox.requests) <= 8
    assert isinstance(results.stopped, BudgetExceededError)
    assert {type(error) for error in results.errors if error} == {BudgetExceededError}
    assert len(results) == 20


def test_tokens_are_not_passed(client, sandbox):
    results = client.map(numbered(50), max_tokens=10, max_tokens_total=100)
    assert results.usage.total_tokens <= 100
    assert isinstance(results.stopped, BudgetExceededError)
    assert len(sandbox.requests) == 50 - len(results.failed)


def test_rows_wait_for_what_those_under_way_leave_over(client, sandbox):
    sandbox.says("short")
    results = client.map(numbered(6), max_tokens=100, max_tokens_total=130, workers=3)
    assert results.errors == [None] * 6


def test_refused_rows_cost_nothing(client, sandbox):
    sandbox.script("content-filter", "content-filter")
    results = client.map(numbered(3), max_tokens=100, max_tokens_total=130, workers=1)
    assert results[2].text


def test_the_budget_of_the_client_holds_for_asking_and_for_runs(sandbox):
    prices = {"openai/gpt-6-luna": (0.0, 1_000_000.0)}
    sandbox.says("word")
    with Client(model="openai", base_url=f"{sandbox.url}/v1", budget=3, prices=prices, max_tokens=1, retry=0) as client:
        assert client.ask("a").cost == 1
        sandbox.script("content-filter")
        with pytest.raises(ContentFilteredError):
            client.ask("costs nothing")
        results = client.map(numbered(5), workers=1)
        assert [error is None for error in results.errors] == [True, True, False, False, False]
        with pytest.raises(BudgetExceededError, match=r"3\.0000 of 3 US dollars"):
            client.ask("b")
        with pytest.raises(BudgetExceededError):
            client.stream("b")


def test_an_answer_that_broke_off_counts_as_expected(sandbox):
    prices = {"openai/gpt-6-luna": (0.0, 1_000_000.0)}
    with Client(model="openai", base_url=f"{sandbox.url}/v1", budget=1, prices=prices, max_tokens=1, retry=0) as client:
        sandbox.script("cut,after=0")
        with pytest.raises(ChatError):
            client.ask("a")
        with pytest.raises(BudgetExceededError):
            client.ask("b")


@pytest.fixture
def spender(sandbox):
    """A client that pays a dollar for each token of an answer, and takes an answer to have fifty."""
    prices = {"openai/gpt-6-luna": (0.0, 1_000_000.0)}
    options = {"budget": 60, "prices": prices, "max_tokens": 50, "retry": 0}
    with Client(model="openai", api_key="sk-test", base_url=f"{sandbox.url}/v1", **options) as client:
        yield client


def test_an_answer_that_was_left_counts_what_had_come(spender, sandbox):
    sandbox.says("one two three four five six")
    with spender.stream("a") as stream:
        next(stream)
    spender.ask("b", max_tokens=50)


def test_an_answer_that_broke_off_after_its_first_text_counts_no_less_than_expected(spender, sandbox):
    sandbox.script("cut,after=1")
    with pytest.raises(ChatError):
        spender.ask("a")
    with pytest.raises(BudgetExceededError, match=r"50\.0000 of 60 US dollars"):
        spender.ask("b")


def test_rounds_that_were_left_count_those_that_were_whole(spender, sandbox):
    def add(a: int, b: int) -> int:
        return a + b

    stream = spender.stream('call add {"a": 1, "b": 2}', tools=[add])
    next(stream)
    stream.close()
    whole = spender._context.budget.spent.money
    assert 1 < whole < 50
    assert spender._context.budget._reserved.money == 0


def test_rounds_that_were_left_while_a_tool_ran_count_what_was_asked_until_then(spender, sandbox):
    def add(a: int, b: int) -> int:
        stream.close()
        return a + b

    sandbox.says("Nothing more.")
    stream = spender.stream('call add {"a": 1, "b": 2}', tools=[add])
    assert list(stream) == []
    assert 0 < spender._context.budget.spent.money < 50
    assert len(sandbox.requests) == 1


def test_rounds_that_are_whole_count_once(spender):
    def add(a: int, b: int) -> int:
        return a + b

    reply = spender.ask('call add {"a": 1, "b": 2}', tools=[add])
    assert spender._context.budget.spent.money == pytest.approx(reply.cost)


def test_a_client_with_a_budget_asks_nobody_without_a_price(sandbox):
    client = Client(model="openai/unheard-of", base_url=f"{sandbox.url}/v1", budget=1)
    with client, pytest.raises(ConfigurationError, match="price of openai/unheard-of is not known"):
        client.ask("a")


# Journals.


def test_a_second_run_asks_nothing(client, sandbox, journal):
    rows = ["a", "b", "a", "c"]
    first = client.map(rows, resume=journal)
    assert sorted(asked(sandbox)) == ["a", "a", "b", "c"]
    second = client.map(rows, resume=journal)
    assert len(sandbox.requests) == 4
    assert second.text == first.text
    assert [result.cost for result in second] == [result.cost for result in first]


def test_changed_rows_are_asked_anew_and_the_others_kept(client, sandbox, journal):
    client.map(["a", "b", "c"], resume=journal)
    sandbox.requests.clear()
    client.map(["b", "changed", "a", "a"], resume=journal)
    assert sorted(asked(sandbox)) == ["a", "changed"]


@pytest.mark.parametrize(
    "options",
    [{"model": "openai/gpt-6-sol"}, {"temperature": 0.5}, {"system": "Brief."}, {"schema": int}, {"extra": {"a": 1}}],
)
def test_another_model_or_parameter_is_another_question(client, sandbox, journal, options):
    sandbox.says("1")
    client.map(["a"], resume=journal)
    client.map(["a"], resume=journal, **options)
    assert len(sandbox.requests) == 2


def test_rows_that_failed_are_asked_again(client, sandbox, journal):
    sandbox.script(None, "content-filter")
    assert len(client.map(numbered(3), resume=journal, workers=1).failed) == 1
    assert client.map(numbered(3), resume=journal).failed == []
    assert len(sandbox.requests) == 4


def test_a_row_that_failed_is_free_for_others_at_once(client, sandbox, journal):
    sandbox.script("content-filter")
    results = client.map(["bad", "good"], resume=journal, workers=1, as_completed=True)
    assert next(iter(results)).error is not None
    with sqlite3.connect(journal) as connection:
        assert connection.execute("SELECT COUNT(*) FROM claims").fetchone() == (0,)
    connection.close()
    results.finish()


def test_a_run_that_was_ended_goes_on(client, sandbox, journal):
    sandbox.script(None, None, "quota")
    assert len(client.map(numbered(5), resume=journal, workers=1).failed) == 3
    sandbox.requests.clear()
    with Client(model="openai", api_key="sk-test", base_url=f"{sandbox.url}/v1") as other:
        assert other.map(numbered(5), resume=journal).failed == []
    assert sorted(asked(sandbox)) == ["p2", "p3", "p4"]


def test_rows_are_on_disk_before_they_are_told(client, journal):
    for told, _ in enumerate(client.map(numbered(30), resume=journal, as_completed=True, workers=3), 1):
        assert answers_in(journal) >= told


def test_data_of_kept_rows_is_made_again(client, sandbox, journal):
    sandbox.says("[1, 2]")
    assert client.map(["a"], resume=journal, schema=list[int]).data == [[1, 2]]
    assert client.map(["a"], resume=journal, schema=list[int]).data == [[1, 2]]
    assert len(sandbox.requests) == 1


def test_keys_and_headers_stay_out_of_the_journal(client, journal):
    client.map(["a"], resume=journal, headers={"X-Secret": "hush"})
    kept = b"".join(path.read_bytes() for path in journal.parent.iterdir())
    assert b"sk-test" not in kept
    assert b"hush" not in kept


def test_a_damaged_journal_is_told_before_the_first_call(client, sandbox, journal):
    journal.write_bytes(b"no database" * 100)
    with pytest.raises(JournalError, match="damaged"):
        client.map(["a"], resume=journal)
    assert sandbox.requests == []


def test_a_journal_that_cannot_be_written_ends_the_run_and_loses_nothing(client, sandbox, journal, monkeypatch):
    written = []
    write = Journal.write

    def full(self, answers):
        if len(written) == 2:
            raise JournalError("the disk is full")
        written.append(1)
        write(self, answers)

    monkeypatch.setattr(Journal, "write", full)
    with pytest.raises(JournalError, match="the disk is full") as caught:
        client.map(numbered(9), resume=journal, workers=1)
    results = caught.value.results
    assert [text is not None for text in results.text] == [True] * 3 + [False] * 6
    assert answers_in(journal) == 2


def test_two_runs_share_the_work(journal):
    with Sandbox(delay=0.002) as sandbox:
        clients = [Client(model="openai", base_url=f"{sandbox.url}/v1") for _ in range(2)]
        found = [None, None]

        def run(number):
            found[number] = clients[number].map(numbered(60), resume=journal, workers=4)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(asked(sandbox)) == sorted(numbered(60))
        assert found[0].text == found[1].text
        assert found[0].failed == found[1].failed == []


def test_rows_of_a_run_elsewhere_are_waited_for(client, sandbox, journal):
    other = Journal(journal)
    base = fingerprint(client._build_call("a", 1, model=None, schema=None))
    (key,) = other.assign_keys([base])
    assert other.claim([key]) == [None]
    threading.Timer(0.3, lambda: (other.write([(key, Reply("from there", "openai", "m"))]), other.close())).start()
    results = client.map(["a", "b"], resume=journal)
    assert results[0].text == "from there"
    assert asked(sandbox) == ["b"]


def test_a_row_that_cannot_be_asked_does_not_reach_the_journal(client, sandbox, journal):
    results = client.map(["a", "", "b"], resume=journal)
    assert [error is None for error in results.errors] == [True, False, True]
    assert answers_in(journal) == 2


def test_kept_answers_that_no_longer_make_data_hold_the_error(client, sandbox, journal):
    sandbox.says('{"a": "maker"}')
    client.map(["q"], resume=journal, schema={"type": "object"})
    with sqlite3.connect(journal) as connection:
        connection.execute('UPDATE answers SET record = replace(record, \'"text": "{\', \'"text": "\')')
    connection.close()
    assert isinstance(client.map(["q"], resume=journal, schema={"type": "object"}).errors[0], SchemaError)


# Memory.


def test_the_input_is_drawn_only_as_it_is_asked(client):
    drawn = []
    rows = (drawn.append(number) or f"p{number}" for number in range(200))
    for told, _ in enumerate(client.map(rows, workers=4, as_completed=True), 1):
        assert len(drawn) <= told + 16


# Ctrl-C.


def interrupt_after(sandbox, requests, times=1):
    def interrupt():
        end = time.monotonic() + 10
        while len(sandbox.requests) < requests and time.monotonic() < end:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(times - 1):
            # Two that come while the main thread is kept waiting would be one.
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


@pytest.mark.skipif(os.name != "posix", reason="signals are sent another way there")
def test_ctrl_c_finishes_what_is_under_way_and_returns_the_rest_unasked(journal):
    with Sandbox(delay=0.05) as sandbox, Client(model="openai", base_url=f"{sandbox.url}/v1") as client:
        thread = interrupt_after(sandbox, 5)
        results = client.map(numbered(100), workers=4, resume=journal)
        thread.join()
        answered = [result for result in results if result.reply is not None]
        assert len(answered) == len(sandbox.requests) == answers_in(journal)
        assert len(results) == 100
        assert results.interrupted
        assert "Ctrl-C" in str(results.stopped)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.skipif(os.name != "posix", reason="signals are sent another way there")
def test_a_second_ctrl_c_stops_at_once():
    with Sandbox(delay=1.0) as sandbox, Client(model="openai", base_url=f"{sandbox.url}/v1") as client:
        thread = interrupt_after(sandbox, 2, times=2)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.map(numbered(100), workers=2)
        assert time.monotonic() - started < 3
        thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_in_another_thread_leaves_signals_alone(client):
    found = []
    thread = threading.Thread(target=lambda: found.append(client.map(["a"]).text))
    thread.start()
    thread.join(20)
    assert len(found) == 1


# Costs of the run itself.


def test_nothing_is_printed(client, capsys):
    client.map(numbered(3))
    assert tuple(capsys.readouterr()) == ("", "")


def test_a_run_that_is_refused_makes_no_journal(client, tmp_path):
    with pytest.raises(ConfigurationError, match="progress"):
        client.map(["a"], progress="yes", resume=tmp_path / "run.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_rows_in_flight_are_collected_when_the_run_is_left():
    run = BatchRun.__new__(BatchRun)
    closed = []
    run._queue = SimpleNamespace(is_exhausted=True)
    run._options = SimpleNamespace(progress=SimpleNamespace(close=lambda: closed.append("progress")), journal=None)
    run._executor, run._interrupts, run._handles_interrupts, run._in_flight = None, 0, False, 2

    def collect():
        run._in_flight -= 1
        closed.append("row")

    run._collect = collect
    run._close()
    assert closed == ["row", "row", "progress"]
