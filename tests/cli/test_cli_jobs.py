"""`map --batch` and `jobs`: sent, looked up, cancelled and collected from a shell, with exit codes for cron."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal

import job_server
import pytest

import aichatkit
from aichatkit.batch.journal import Journal
from aichatkit.cli import main
from aichatkit.cli.jobs import RUNNING

MAP = ["map", "in.csv", "-t", "{text}", "--out", "out.csv", "-m", "openai/gpt-6-luna", "--batch"]


@pytest.fixture
def service(monkeypatch, tmp_path):
    """OpenAI's batch service, in a folder with a file."""
    with job_server.JobServer("openai") as service:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{service.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setattr("aichatkit.batch_jobs.run_options._clock", lambda: service.now)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "in.csv").write_text("id,text\n1,one\n2,two\n", encoding="utf-8")
        yield service


def answers():
    with open("out.csv", encoding="utf-8", newline="") as file:
        return [row["answer"] for row in csv.DictReader(file)]


def test_a_batch_is_sent_and_collected_by_the_same_command(service, capsys):
    assert main([*MAP, "--no-wait"]) == RUNNING == 75
    assert "2 rows are in batch jobs" in capsys.readouterr().err
    assert main([*MAP, "--no-wait"]) == 75
    service.sleep(service.duration)
    assert main([*MAP, "--no-wait"]) == 0
    assert answers() == ["answer to one", "answer to two"]
    assert service.asked == {"one": 1, "two": 1}


def test_rows_that_failed_are_exit_code_1(service):
    service.fate = lambda prompt: (400, {"error": {"message": "no"}}) if prompt == "two" else None
    main([*MAP, "--no-wait", "-o", "max_tokens=50", "--budget", "1"])
    service.sleep(service.duration)
    assert main([*MAP, "--no-wait", "-o", "max_tokens=50", "--budget", "1"]) == 1


def test_jobs_are_listed_looked_up_and_cancelled(service, capsys):
    main([*MAP, "--no-wait"])
    capsys.readouterr()
    assert main(["jobs", "out.csv.sqlite"]) == 75
    line = capsys.readouterr().out
    assert line.startswith(
        "batch_2  openai/gpt-6-luna  running: 0 of 2 rows answered, 0 failed, $0.0000, ends by 2026-"
    )
    assert main(["jobs", "out.csv.sqlite", "batch_2", "--refresh"]) == 75
    assert main(["jobs", "out.csv.sqlite", "--release"]) == 75
    assert main(["jobs", "out.csv.sqlite", "--cancel"]) == 75
    service.sleep(service.duration)
    main([*MAP, "--no-wait"])
    capsys.readouterr()
    assert main(["jobs", "out.csv.sqlite", "--cancel"]) == 0
    assert "done (cancelled)" in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="there is no such signal there")
def test_ctrl_c_says_once_how_the_answers_are_collected(service, monkeypatch, capsys):
    monkeypatch.setattr("aichatkit.batch_jobs.run.JobRun._sleep", lambda run: os.kill(os.getpid(), signal.SIGINT))
    assert main(MAP) == 130
    message = capsys.readouterr().err
    assert "1 job goes on (2 rows); the same command collects the answers, and `aichatkit jobs out" in message
    assert "remaining rows" not in message


def test_ids_may_follow_options(service, capsys):
    main([*MAP, "--no-wait"])
    capsys.readouterr()
    assert main(["jobs", "out.csv.sqlite", "--cancel", "batch_2", "--base-url", f"{service.url}/v1"]) == 75
    assert "running (cancelled here)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["jobs", "out.csv.sqlite", "--cancel", "batch_2", "--baseurl", "x"])
    assert "unrecognized arguments: " in capsys.readouterr().err


def test_a_job_of_another_address_names_the_options(service, capsys):
    main([*MAP, "--no-wait"])
    capsys.readouterr()
    assert main(["jobs", "out.csv.sqlite", "--refresh", "--base-url", f"{service.url}/v2"]) == 2
    assert "another base_url; pass the same ones with --api-key-env and --base-url\n" in capsys.readouterr().err


def test_a_job_that_cannot_be_cancelled_does_not_keep_the_others(service, capsys, monkeypatch):
    monkeypatch.setattr("aichatkit.batch_jobs.planner._JOB_ROWS", 1)
    main([*MAP, "--no-wait"])
    service.fault = lambda method, path: 403 if path.endswith("batch_2/cancel") else None
    capsys.readouterr()
    assert main(["jobs", "out.csv.sqlite", "--cancel"]) == 1
    shown = capsys.readouterr()
    assert "aichatkit: batch_2: openai: " in shown.err
    assert [line.split()[0] for line in shown.out.splitlines()] == ["batch_2", "batch_4"]
    assert [bool(job.facts.get("cancelled")) for job in service.jobs.values()] == [False, True]


def test_rows_in_jobs_are_not_errors(service, capsys):
    with open("in.csv", "w", encoding="utf-8") as file:
        file.write("id,text\n1,one\n2,\n")
    main([*MAP, "--no-wait"])
    shown = capsys.readouterr().err
    assert "the first error: row 1: the column 'text' is empty here" in shown
    assert "1 row is in batch jobs" in shown
    with open("in.csv", "w", encoding="utf-8") as file:
        file.write("id,text\n1,one\n")
    main([*MAP, "--no-wait"])
    assert "error" not in capsys.readouterr().err


def test_a_job_named_by_its_id_is_released_once_it_is_cancelled(service, capsys):
    main([*MAP, "--no-wait"])
    assert main(["jobs", "out.csv.sqlite", "batch_2", "--release"]) == 2
    assert "cancel it first" in capsys.readouterr().err
    assert main(["jobs", "out.csv.sqlite", "--cancel"]) == 75
    assert "running (cancelled here)" in capsys.readouterr().out
    assert main(["jobs", "out.csv.sqlite", "batch_2", "--release"]) == 0


def test_a_job_that_is_gone_is_released(service, capsys):
    main([*MAP, "--no-wait"])
    for job in service.jobs.values():
        job.is_deleted = True
    assert main([*MAP, "--no-wait"]) == 1
    assert main(["jobs", "out.csv.sqlite", "--release"]) == 0
    assert "released" in capsys.readouterr().out
    assert main([*MAP, "--no-wait"]) == 75


def test_a_journal_without_jobs_says_so(service, capsys):
    Journal("none.sqlite").close()
    assert main(["jobs", "none.sqlite"]) == 0
    assert capsys.readouterr().err == "aichatkit: none.sqlite: no batch jobs\n"


def test_a_journal_that_does_not_exist_is_an_error(service, capsys):
    assert main(["jobs", "absent.sqlite"]) == 2
    assert "cannot find the journal 'absent.sqlite'; pass the file of --journal, or that" in capsys.readouterr().err


def test_an_unknown_job_is_an_error(service, capsys):
    main([*MAP, "--no-wait"])
    assert main(["jobs", "out.csv.sqlite", "batch_9"]) == 2
    assert "there is no job 'batch_9'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--no-wait"], ["--late", "live"]])
def test_what_is_for_batch_jobs_needs_a_batch(service, capsys, words):
    assert main([*MAP[:-1], *words]) == 2
    assert f"{words[0]} is for --batch" in capsys.readouterr().err


def test_jobs_are_managed_with_the_address_and_the_key_of_their_command(service, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setenv("OWN_KEY", "sk-own")
    access = ["--base-url", f"{service.url}/v1", "--api-key-env", "OWN_KEY"]
    assert main([*MAP, "--no-wait", *access]) == 75
    assert main(["jobs", "out.csv.sqlite", "--refresh"]) == 2
    assert "another API key or to another base_url" in capsys.readouterr().err
    assert main(["jobs", "out.csv.sqlite", "--refresh", *access]) == 75
    assert main(["jobs", "out.csv.sqlite", "--cancel", *access]) == 75
    assert "running (cancelled here)" in capsys.readouterr().out


def test_an_address_is_for_the_jobs_of_one_service(service, capsys, monkeypatch):
    main([*MAP, "--no-wait"])
    (job,) = aichatkit.jobs("out.csv.sqlite")
    both = [job, dataclasses.replace(job, provider="groq")]
    monkeypatch.setattr("aichatkit.cli.jobs.list_jobs", lambda path, client=None: both)
    assert main(["jobs", "out.csv.sqlite", "--cancel", "--base-url", "https://example.org"]) == 2
    assert "--base-url: applies to one provider; name the jobs of one by their IDs" in capsys.readouterr().err


def test_without_batch_the_journal_of_the_jobs_is_used_and_nothing_is_sent_twice(service, capsys):
    main([*MAP, "--no-wait"])
    capsys.readouterr()
    assert main(MAP[:-1]) == 75
    assert "continuing the last run: out.csv.sqlite has batch jobs" in capsys.readouterr().err
    assert not service.live
    service.sleep(service.duration)
    assert main(MAP[:-1]) == 0
    assert answers() == ["answer to one", "answer to two"]
    assert (service.asked, service.live) == ({"one": 1, "two": 1}, {})


def test_rows_that_no_job_ran_are_sent_live_or_fail(service, capsys):
    service.ending = lambda job: "expired"
    main([*MAP, "--no-wait", "--late", "fail"])
    service.sleep(service.duration)
    assert main([*MAP, "--no-wait", "--late", "fail"]) == 1
    assert "leave out --batch to send it live, or pass --late live" in capsys.readouterr().err
    main([*MAP, "--no-wait", "--late", "live"])
    service.sleep(service.duration)
    assert main([*MAP, "--no-wait", "--late", "live"]) == 0
    assert answers() == ["answer to one", "answer to two"]


@pytest.mark.parametrize("content", [b"text\none\n", b"x"])
def test_a_file_that_is_no_journal_is_named(tmp_path, monkeypatch, capsys, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out.csv").write_bytes(content)
    assert main(["jobs", "out.csv"]) == 2
    message = capsys.readouterr().err
    assert (
        "jobs: 'out.csv' is not a journal, or cannot be read; pass the file of --journal, or that of --out" in message
    )
    with pytest.raises(aichatkit.ConfigurationError, match="is not a journal, or cannot be read"):
        aichatkit.jobs(tmp_path)
    (tmp_path / "empty.sqlite").touch()
    assert aichatkit.jobs("empty.sqlite") == aichatkit.jobs("missing.sqlite") == []
