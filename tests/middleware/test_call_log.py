"""The log of calls: what a row holds, what it never holds, and that nothing wrong with it reaches a call."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import pickle
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from aichatkit import Client, ConfigurationError, JournalError, QuotaExceededError, StreamInterruptedError
from aichatkit.middleware.call_log import CallLog

SECRET = "sk-test-secret-key"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.sqlite"


@pytest.fixture
def make(sandbox, policy, path):
    """Make clients of the sandbox that log; they are closed at the end."""
    made = []

    def client(**options):
        options = {"model": "openai", "api_key": {"openai": SECRET}, "log": path, **options}
        made.append(Client(base_url={"openai": f"{sandbox.url}/v1"}, retry=policy, **options))
        return made[-1]

    yield client
    for each in made:
        each.close()


def rows(path):
    """Return the rows of a log as dicts, in order."""
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute("SELECT * FROM calls ORDER BY id")]
    connection.close()
    return found


def ask_in_a_process(path, url, number):
    with Client(model="openai", api_key=SECRET, base_url=url, log=path) as client:
        for count in range(5):
            client.ask(f"Question {number} {count}")


def test_an_answered_call_is_a_row_that_tells_all_of_it(make, sandbox, path):
    sandbox.says("Paris.")
    reply = make(system="Be brief.").ask("Capital of France?", temperature=0.5)
    (row,) = rows(path)
    assert row.pop("time").endswith("Z")
    assert 0 < row.pop("first_text") <= row.pop("elapsed") < 10
    (attempt,) = json.loads(row.pop("attempts"))
    assert (attempt["provider"], attempt["error"]) == ("openai", None)
    assert json.loads(row.pop("messages")) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Capital of France?"},
    ]
    assert row == {
        "id": 1,
        "status": "ok",
        "provider": "openai",
        "model": "gpt-6-luna",
        "answered_by": reply.model,
        "request_id": reply.request_id,
        "error": None,
        "http_status": None,
        "message": None,
        "params": '{"temperature": 0.5}',
        "text": "Paris.",
        "finish_reason": "stop",
        "input_tokens": reply.usage.input_tokens,
        "output_tokens": reply.usage.output_tokens,
        "total_tokens": reply.usage.total_tokens,
        "cached_tokens": reply.usage.cached_tokens,
        "reasoning_tokens": reply.usage.reasoning_tokens,
        "cache_write_tokens": reply.usage.cache_write_tokens,
        "searches": reply.usage.searches,
        "saved": reply.saved,
        "cost": reply.cost,
        "cached": 0,
    }


def test_times_are_those_of_utc_and_sqlite_understands_them(make, path):
    make().ask("Hi")
    with sqlite3.connect(path) as connection:
        (age,) = connection.execute("SELECT julianday('now') - julianday(time) FROM calls").fetchone()
    connection.close()
    assert abs(age) < 1 / 24


def test_a_failed_call_tells_its_error_and_every_try(make, sandbox, path):
    sandbox.script("overloaded", "quota")
    with pytest.raises(QuotaExceededError) as caught:
        make().ask("Hi")
    (row,) = rows(path)
    assert (row["status"], row["error"], row["http_status"]) == ("error", "QuotaExceededError", 429)
    assert row["message"] == str(caught.value)
    assert row["request_id"] == caught.value.request_id
    assert [attempt["error"] for attempt in json.loads(row["attempts"])] == ["OverloadedError", "QuotaExceededError"]


def test_an_answer_that_broke_off_keeps_its_text(make, sandbox, path):
    sandbox.says("one two three four")
    sandbox.script("cut,after=2")
    with pytest.raises(StreamInterruptedError) as caught:
        make().ask("Hi")
    (row,) = rows(path)
    assert (row["status"], row["text"]) == ("error", caught.value.partial)
    assert row["text"]


def test_a_stream_that_was_left_is_a_row_with_what_was_read(make, sandbox, path):
    sandbox.says("one two three four")
    with make().stream("Hi") as stream:
        text = next(stream)
    (row,) = rows(path)
    assert (row["status"], row["text"], row["error"]) == ("left", text, None)


def test_a_stream_that_was_dropped_is_a_row_as_well(make, sandbox, path):
    client = make()
    stream = client.stream("Hi")
    next(stream)
    del stream
    gc.collect()
    assert [row["status"] for row in rows(path)] == ["left"]


def test_an_error_of_another_kind_is_told_by_its_name(make, path, monkeypatch):
    client = make()
    monkeypatch.setattr("aichatkit.call.fallback.open_answer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.ask("Hi")
    assert [(row["error"], row["http_status"]) for row in rows(path)] == [("ZeroDivisionError", None)]


def test_a_kept_answer_is_marked_and_costs_nothing(make, path):
    client = make(cache={})
    client.ask("Hi")
    client.ask("Hi")
    assert [row["cached"] for row in rows(path)] == [0, 1]
    assert rows(path)[1]["cost"] == 0


def test_no_key_and_no_header_gets_into_the_file(make, sandbox, path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-environment")
    sandbox.says(f"You said {SECRET}.")
    client = make(headers={"Authorization": "Bearer own-bearer-token", "X-Token": "hidden-token"})
    client.ask(f"My key is {SECRET}, or sk-from-environment, or own-bearer-token.", headers={"X-Api-Key": "call-token"})
    sandbox.script("unauthorized")
    with pytest.raises(Exception, match="openai"):
        client.ask("call-token", headers={"X-Api-Key": "call-token"})
    client.close()
    data = b"".join(file.read_bytes() for file in path.parent.iterdir())
    for secret in (SECRET, "sk-from-environment", "own-bearer-token", "hidden-token", "call-token"):
        assert secret.encode() not in data
    assert "My key is [key], or [key], or [key]." in rows(path)[0]["messages"]


def test_files_are_told_by_name_and_size(make, path):
    picture = b"\x89PNG\r\n\x1a\n" + bytes(50_000)
    make().ask("Look", files=[picture, "https://me:pass@example.org/a.png?signature=abc"])
    held, named = json.loads(rows(path)[0]["messages"])[0]["content"][1:]
    assert held == {"type": "file", "file": {"filename": "", "media_type": "image/png", "bytes": 50_008}}
    assert named["file"]["url"] == "https://example.org/a.png"
    assert path.stat().st_size < 50_000


def test_rounds_of_tools_are_one_row(make, path):
    def stock(article: str) -> int:
        """Count the pieces of an article."""
        return 4

    make().ask('call stock {"article": "A-17"}', tools=[stock])
    assert len(rows(path)) == 1


def test_parts_that_are_no_files_are_kept_as_they_are(make, path):
    parts = [{"type": "text", "text": "Hi"}]
    make().ask([{"role": "user", "content": parts}])
    assert json.loads(rows(path)[0]["messages"])[0]["content"] == parts


def test_half_a_character_spoils_no_row(make, sandbox, path):
    make().ask("Half: \ud83d")
    assert "Half: \ufffd" in rows(path)[0]["messages"]


def test_every_row_of_a_map_is_logged(make, path):
    make().map([f"Question {number}" for number in range(20)], workers=4, progress=False)
    assert sorted(json.loads(row["messages"])[0]["content"] for row in rows(path)) == sorted(
        f"Question {number}" for number in range(20)
    )


def test_many_threads_write_one_log(make, path):
    client = make()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(client.ask, ["Hi"] * 40))
    assert len(rows(path)) == 40


@pytest.mark.slow
def test_processes_share_a_log(sandbox, path):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=ask_in_a_process, args=(str(path), f"{sandbox.url}/v1", number)) for number in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(rows(path)) == 15


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_only_its_owner_can_read_the_file(make, path):
    make().ask("Hi")
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_tells_its_version(make, path):
    make()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_log_of_an_earlier_version_gets_the_columns_it_lacks(make, path):
    make().close()
    added = ("cache_write_tokens", "searches", "saved")
    with sqlite3.connect(path) as connection:
        old = [row[1] for row in connection.execute("PRAGMA table_info(calls)") if row[1] not in added]
        connection.execute(f"CREATE TABLE earlier AS SELECT {', '.join(old)} FROM calls")
        connection.execute("DROP TABLE calls")
        connection.execute("ALTER TABLE earlier RENAME TO calls")
    connection.close()
    reply = make().ask("Hi")
    (row,) = rows(path)
    assert (row["cost"], row["saved"], row["searches"]) == (reply.cost, reply.saved, None)


def test_a_log_of_a_newer_version_is_refused_at_once(make, path):
    make().close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=2")
    connection.close()
    with pytest.raises(JournalError, match=r"newer aichatkit .* upgrade"):
        make()


def test_a_log_that_cannot_be_opened_is_told_at_once(make, tmp_path):
    with pytest.raises(JournalError, match="look at the folder"):
        make(log=tmp_path / "nowhere" / "calls.sqlite")


@pytest.mark.parametrize("log", ["", True, 5, {}])
def test_what_is_no_path_is_refused(log):
    with pytest.raises(ConfigurationError, match="log: must be the path of a file"):
        Client(log=log)


def test_a_log_that_fails_later_warns_once_and_fails_no_call(make, path, caplog):
    client = make()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE calls")
    connection.close()
    with pytest.warns(UserWarning, match="calls are not logged: the log"):
        assert client.ask("Hi").text
    # A second warning would be an error here.
    with caplog.at_level(logging.WARNING):
        assert client.ask("Ho").text
    assert "a call was not noted" in caplog.text


def test_without_a_log_nothing_is_written(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    client.ask("Hi")
    assert list(tmp_path.iterdir()) == []


def test_a_pickled_client_logs_to_the_same_file_from_anywhere(sandbox, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Client(model="openai", base_url=f"{sandbox.url}/v1", log="calls.sqlite") as client:
        data = pickle.dumps(client)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pickle.loads(data) as other:
        other.ask("Hi")
    assert len(rows(path)) == 1


def test_a_call_that_ends_while_another_is_written_is_left_to_it(path):
    book = CallLog(path)
    book._write_rows, write = (lambda: (book._write(), write())), book._write_rows
    book._pending.append(dict.fromkeys(rows_of(path), 0))
    book._write()
    assert len(rows(path)) == 1
    book.close()


def rows_of(path):
    """Return the names of the columns that are written."""
    with sqlite3.connect(path) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(calls)")]
    connection.close()
    return names[1:]


def test_a_log_is_used_on_after_its_client_was_closed_and_its_stream_ends_late(make, path):
    client = make()
    stream = client.stream("Hi")
    client.close()
    stream.close()
    assert [row["status"] for row in rows(path)] == ["left"]


def test_no_file_is_left_by_a_client_that_cannot_be_made(tmp_path):
    path = tmp_path / "calls.sqlite"
    with pytest.raises(ConfigurationError, match="api_key"):
        Client(model="openai", api_key="", log=path)
    assert not path.exists()
