"""The command line's `map`: a file in, a file out, and what happened to standard error."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import aichatkit
from aichatkit.cli import main
from aichatkit.sandbox import Sandbox


@pytest.fixture(autouse=True)
def folder(monkeypatch, sandbox, tmp_path):
    """A service with a key, which is the sandbox, and a folder with a file."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(aichatkit.__file__)), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text('id,text\n1,"one, {two}"\n2,three\n', encoding="utf-8")
    return tmp_path


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_answered(sandbox, capsys):
    sandbox.says("Eins.")
    assert main(["map", "in.csv", "--prompt", "Translate: {text}", "--out", "out.csv"]) == 0
    assert [(row["id"], row["text"], row["answer"]) for row in read("out.csv")] == [
        ("1", "one, {two}", "Eins."),
        ("2", "three", "Eins."),
    ]
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "aichatkit: 2 of 2 rows answered, written to out.csv\n")


def test_json_lines_go_in_and_out(folder):
    (folder / "in.jsonl").write_text('"Hi"\n{"prompt": "Ho", "id": 5}\n', encoding="utf-8")
    assert main(["map", "in.jsonl", "--out", "out.jsonl", "-m", "openai/gpt-6-sol", "-s", "Brief.", "-w", "2"]) == 0
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (rows[0]["prompt"], rows[1]["id"]) == ("Hi", 5)
    assert rows[0]["answer"]


@pytest.mark.parametrize(
    ("words", "journal"),
    [
        (["--resume"], "out.csv.sqlite"),
        (["--journal", "j.sqlite"], "j.sqlite"),
        (["--resume", "--journal", "j.sqlite"], "j.sqlite"),
    ],
)
def test_a_second_run_asks_nothing(sandbox, folder, words, journal):
    command = ["map", "in.csv", "-t", "{text}", "--out", "out.csv", *words]
    assert main(command) == 0
    assert main(command) == 0
    assert len(sandbox.requests) == 2
    assert (folder / journal).exists()


def test_resume_takes_no_word_from_the_input(sandbox):
    assert main(["map", "-t", "{text}", "--out", "out.csv", "--resume", "in.csv"]) == 0
    assert len(sandbox.requests) == 2


@pytest.mark.parametrize("out", ["in.csv", "./in.csv", "link.csv", "sub/../in.csv"])
def test_the_input_is_not_replaced(sandbox, folder, capsys, out):
    (folder / "sub").mkdir()
    (folder / "link.csv").symlink_to(folder / "in.csv")
    before = (folder / "in.csv").read_bytes()
    assert main(["map", "in.csv", "-t", "{text}", "--out", out]) == 2
    assert "is the input file and would be overwritten" in capsys.readouterr().err
    assert (folder / "in.csv").read_bytes() == before
    assert sandbox.requests == []


def test_rows_that_fail_are_told_and_written(sandbox, capsys):
    sandbox.script(None, "content-filter")
    assert main(["map", "in.csv", "-t", "{text}", "--out", "out.csv", "-w", "1"]) == 1
    assert [bool(row["error"]) for row in read("out.csv")] == [False, True]
    assert "1 of 2 rows answered" in (told := capsys.readouterr().err)
    assert "the first error: openai" in told


def test_a_run_that_stops_tells_why(capsys):
    assert main(["map", "in.csv", "-t", "{text}", "--out", "out.csv", "--budget", "0"]) == 1
    assert "not sent: the budget could be exceeded" in capsys.readouterr().err
    assert len(read("out.csv")) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["in.csv", "-t", "{txt}", "--out", "out.csv"], "did you mean 'text'"),
        (["in.csv", "-t", "{text}", "--out", "out.txt"], "must end in .csv"),
        (["in.csv", "-t", "{text}", "--out", "absent/out.csv"], "there is no folder 'absent'"),
        (["nowhere.csv", "-t", "{text}", "--out", "out.csv"], "cannot find the file"),
        (["in.csv", "-t", "{text}", "--out", "out.csv", "-w", "0"], "workers"),
        (["in.csv", "-t", "{text}", "--out", "out.csv", "--format", "jsonl"], "--format: is for -"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(sandbox, capsys, words, told):
    assert main(["map", *words]) == 2
    assert told in capsys.readouterr().err
    assert sandbox.requests == []


@pytest.fixture
def piped(monkeypatch, folder):
    """Put content behind standard input, as a redirected file does."""
    with contextlib.ExitStack() as opened:

        def pipe(content):
            (folder / "piped").write_bytes(content)
            monkeypatch.setattr(sys, "stdin", opened.enter_context(open(folder / "piped", encoding="utf-8")))

        yield pipe


@pytest.mark.parametrize(
    ("content", "words", "answers"),
    [
        (b'text\n"a, b"\n', [], 'text,answer,error\n"a, b",Eins.,\n'),
        (b'text,n\n"a\r\nb",1\n', [], 'text,n,answer,error\n"a\r\nb",1,Eins.,\n'),
        (b'\xef\xbb\xbf {"text": "a"}\n', [], '{"text": "a", "answer": "Eins.", "error": null, '),
        (b"text\na\n", ["--format", "csv"], "text,answer,error\na,Eins.,\n"),
    ],
)
def test_a_pipe_goes_in_and_out(sandbox, piped, capsys, content, words, answers):
    sandbox.says("Eins.")
    piped(content)
    assert main(["map", "-", "-t", "{text}", "--out", "-", *words]) == 0
    done = capsys.readouterr()
    columns = r"(,input_tokens,output_tokens,cost|,\d*,\d*,[\d.e-]*)$"
    assert re.sub(columns, "", done.out, flags=re.MULTILINE).startswith(answers)
    assert done.err == "aichatkit: 1 of 1 rows answered, written to standard output\n"


def test_a_file_goes_to_standard_output_in_another_format(sandbox, capsys):
    sandbox.says("Eins.")
    assert main(["map", "in.csv", "-t", "{text}", "--out", "-", "--format", "jsonl"]) == 0
    assert [json.loads(line)["answer"] for line in capsys.readouterr().out.splitlines()] == ["Eins."] * 2


def test_a_journal_for_standard_output_needs_a_name(sandbox, folder, capsys):
    words = ["map", "in.csv", "-t", "{text}", "--out", "-", "--resume"]
    assert main(words) == 2
    assert "--journal FILE" in capsys.readouterr().err
    assert sandbox.requests == []
    assert main([*words, "--journal", "j.sqlite"]) == 0
    assert (folder / "j.sqlite").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "out.csv"], "run the same command again\n"),
        (["--out", "out.csv", "--resume"], "run the same command again\n"),
        (["--out", "-"], "with --journal FILE, the same command could continue from here\n"),
    ],
)
def test_a_run_that_stops_says_how_to_continue(folder, capsys, words, message):
    assert main(["map", "in.csv", "-t", "{text}", "--budget", "0", *words]) == 1
    assert capsys.readouterr().err.endswith(message)
    # Nothing was answered, so there is nothing to keep.
    assert not (folder / "out.csv.part.sqlite").exists()


def test_the_same_command_sends_only_the_rows_that_failed(sandbox, folder, capsys):
    command = ["map", "in.csv", "-t", "{text}", "--out", "out.csv", "-w", "1"]
    sandbox.script(None, "content-filter")
    assert main(command) == 1
    assert "run the same command again; out.csv.part.sqlite keeps the answers until then" in capsys.readouterr().err
    assert main(command) == 0
    assert "continuing the last run: out.csv.part.sqlite has its answers" in capsys.readouterr().err
    assert len(sandbox.requests) == 3
    assert all(row["answer"] and not row["error"] for row in read("out.csv"))
    # Once all of them are answered, the next run is a new one.
    assert [path.name for path in folder.glob("out*")] == ["out.csv"]
    assert main(command) == 0
    assert len(sandbox.requests) == 5


@pytest.mark.parametrize("words", [["--resume"], ["--journal", "j.sqlite"]])
def test_a_journal_that_is_asked_for_later_takes_the_answers_over(sandbox, folder, words):
    command = ["map", "in.csv", "-t", "{text}", "--out", "out.csv", "-w", "1"]
    sandbox.script(None, "content-filter")
    assert main(command) == 1
    assert main([*command, *words]) == 0
    assert len(sandbox.requests) == 3
    assert not (folder / "out.csv.part.sqlite").exists()
    # A journal that exists is the one that counts.
    sandbox.script("content-filter")
    (folder / "in.csv").write_text("text\nfour\nfive\n", encoding="utf-8")
    assert main(command) == 1
    assert main([*command, *words]) == 0
    assert len(sandbox.requests) == 7
    assert (folder / "out.csv.part.sqlite").exists()


def test_a_run_without_a_place_for_its_journal_says_so_and_runs(sandbox, folder, capsys):
    (folder / "out.csv.part.sqlite").mkdir()
    assert main(["map", "in.csv", "-t", "{text}", "--out", "out.csv"]) == 0
    assert "without it, the answers are lost if this run is killed" in capsys.readouterr().err
    assert len(sandbox.requests) == 2


def test_a_journal_with_answers_that_cannot_be_read_is_an_error(sandbox, folder, capsys):
    (folder / "out.csv.part.sqlite").write_bytes(b"answers " * 1000)
    assert main(["map", "in.csv", "-t", "{text}", "--out", "out.csv"]) == 1
    assert "name another file, or move it away" in capsys.readouterr().err
    assert sandbox.requests == []


@pytest.mark.parametrize("out", ["out.csv", "-"])
def test_rows_before_an_input_that_cannot_be_read_are_written(sandbox, folder, capsys, out):
    sandbox.says("Eins.")
    (folder / "in.jsonl").write_text('{"text": "a"}\n' * 30 + "{\n", encoding="utf-8")
    command = ["map", "in.jsonl", "-t", "{text}", "--out", out, "--format", "csv", "-w", "2"]
    command = command if out == "-" else [word for word in command if word not in ("--format", "csv")]
    assert main(command) == 2
    told = capsys.readouterr()
    written = told.out if out == "-" else (folder / out).read_text(encoding="utf-8")
    assert written.count("Eins.") == len(sandbox.requests) > 0
    assert "rows answered, written to" in told.err
    assert "line 31" in told.err
    if out == "-":
        return
    assert "out.csv.part.sqlite keeps the answers" in told.err
    (folder / "in.jsonl").write_text('{"text": "a"}\n' * 30, encoding="utf-8")
    assert main(command) == 0
    assert len(sandbox.requests) == 30


def test_rows_that_cannot_be_written_are_kept_in_the_journal(sandbox, folder, capsys, monkeypatch):
    (folder / "in.jsonl").write_text('{"text": "a"}\n' * 30 + "{\n", encoding="utf-8")
    monkeypatch.setattr("aichatkit.batch.tables.replacing", failing)
    assert main(["map", "in.jsonl", "-t", "{text}", "--out", "out.csv", "-w", "2"]) == 2
    told = capsys.readouterr().err
    assert "cannot be written: No space left" in told
    assert "out.csv.part.sqlite keeps the answers" in told
    assert "line 31" in told


@contextlib.contextmanager
def failing(path, **options):
    raise OSError(28, "No space left on device")
    yield


def test_an_input_that_is_refused_leaves_no_journal(folder):
    (folder / "in.jsonl").write_text("{\n", encoding="utf-8")
    assert main(["map", "in.jsonl", "-t", "{text}", "--out", "out.csv"]) == 2
    assert [path.name for path in folder.glob("out*")] == []


@pytest.mark.skipif(os.name != "posix", reason="signals are sent another way there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_at_once_loses_nothing(folder, monkeypatch, number):
    (folder / "in.csv").write_text("text\n" + "word\n" * 60, encoding="utf-8")
    with Sandbox(delay=0.02) as slow:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{slow.url}/v1")
        words = ["map", "in.csv", "-t", "{text}", "--out", "out.csv", "-w", "4"]
        process = subprocess.Popen([sys.executable, "-m", "aichatkit", *words], stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while len(slow.requests) < 24 and time.monotonic() < end:
            time.sleep(0.005)
        process.send_signal(number)
        if number == signal.SIGINT:
            time.sleep(0.03)
            process.send_signal(number)
        _, told = process.communicate(timeout=20)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
        assert main(words) == 0
        # At most those that were in progress are sent again.
        assert 60 <= len(slow.requests) <= 64
    assert number != signal.SIGINT or "run the same command again" in told
    assert all(row["answer"] for row in read(folder / "out.csv"))


def test_options_schema_and_rate_reach_the_requests(sandbox):
    sandbox.says('{"word": "eins"}')
    words = ["-o", "temperature=0.2", "--schema", "word", "--rate", "1000/s"]
    assert main(["map", "in.csv", "-t", "{text}", "--out", "out.csv", "-m", "openai/gpt-6-luna", *words]) == 0
    assert all("response_format" in request.json() for request in sandbox.requests)
    assert [json.loads(row["data"]) for row in read("out.csv")] == [{"word": "eins"}] * 2


@pytest.mark.parametrize(
    "words", [["-o", "temperatur=1"], ["-o", "out.csv"], ["--rate", "often"], ["--schema", "name whatever"]]
)
def test_a_wrong_option_of_map_sends_nothing(sandbox, words):
    assert main(["map", "in.csv", "-t", "{text}", "--out", "out.csv", *words]) == 2
    assert sandbox.requests == []


@pytest.mark.skipif(os.name != "posix", reason="signals are sent another way there")
def test_ctrl_c_writes_what_is_there(folder, monkeypatch):
    (folder / "in.csv").write_text("text\n" + "word\n" * 200, encoding="utf-8")
    with Sandbox(delay=0.05) as slow:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{slow.url}/v1")
        command = [sys.executable, "-m", "aichatkit", "map", "in.csv", "-t", "{text}", "--out", "out.csv"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while len(slow.requests) < 9 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "stopped with Ctrl-C" in told
    rows = read(folder / "out.csv")
    assert len(rows) == 200
    assert len([row for row in rows if row["answer"]]) == len(slow.requests)


@pytest.mark.parametrize("delimiter", ["tab", "\\t", "\t"])
def test_the_encoding_and_the_delimiter_of_the_input_are_taken(tmp_path, capsys, delimiter):
    source, out = tmp_path / "in.csv", tmp_path / "out.tsv"
    source.write_bytes("text\tid\nGröße\t1\n".encode("cp1252"))
    command = ["map", str(source), "-t", "{text}", "-m", "offline", "--out", str(out)]
    assert main([*command, "--encoding", "cp1252", "--delimiter", delimiter]) == 0
    assert out.read_text(encoding="utf-8").startswith("text\tid\tanswer\t")
    assert "Größe" in out.read_text(encoding="utf-8")
    assert main([*command, "--encoding", "cp12"]) == 2
    assert "there is no encoding 'cp12'" in capsys.readouterr().err


def test_a_file_in_another_encoding_is_refused_with_the_option_of_the_command_line(sandbox, folder, capsys):
    (folder / "in.csv").write_bytes("text\nGröße\n".encode("cp1252"))
    assert main(["map", "in.csv", "--out", "out.csv"]) == 2
    assert "pass --encoding, such as 'cp1252', which reads it as 'Größe'" in capsys.readouterr().err
    assert sandbox.requests == []
    assert main(["map", "in.csv", "--out", "out.csv", "--encoding", "cp1252"]) == 0
    assert read("out.csv")[0]["text"] == "Größe"


def test_a_second_ctrl_c_says_how_to_continue(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(aichatkit.Client, "map", interrupted)
    assert main(["map", "in.csv", "-t", "{text}", "--out", "out.csv"]) == 130
    assert "run the same command again; out.csv.part.sqlite keeps the answers until then" in capsys.readouterr().err


def test_a_run_that_is_refused_prints_nothing(capsys):
    assert main(["map", "in.csv", "-t", "{txt}", "--out", "-"]) == 2
    assert capsys.readouterr().out == ""
