"""`aichatkit logs`."""

from __future__ import annotations

import pytest

from aichatkit.cli import main

pytestmark = pytest.mark.usefixtures("service")


@pytest.fixture
def logged(service, sandbox, capsys, tmp_path):
    """Two calls in the log, the second one with a file and without an answer."""
    assert main(["logs", "on"]) == 0
    sandbox.says("Rex is a dog.")
    main(["--no-save", "Who is\nRex?"])
    (tmp_path / "a.txt").write_text("Tom", encoding="utf-8")
    sandbox.script("content-filter")
    main(["--no-save", "-f", "a.txt", "And who is he?"])
    capsys.readouterr()


@pytest.mark.usefixtures("logged")
def test_calls_are_listed_newest_first(capsys):
    assert main(["logs", "list"]) == 0
    second, first = capsys.readouterr().out.splitlines()
    assert second.split()[:1] == ["2"]
    assert " error  openai/" in second
    assert " ok     openai/" in first
    assert first.endswith("Who is Rex?")
    assert main(["logs", "list", "-n", "1"]) == 0
    assert capsys.readouterr().out == f"{second}\n"


@pytest.mark.usefixtures("logged")
def test_calls_are_found_by_words_of_question_and_answer(capsys):
    assert main(["logs", "search", "rex", "DOG"]) == 0
    assert capsys.readouterr().out.split()[0] == "1"
    assert main(["logs", "search", "unicorn"]) == 1
    assert "no call contains" in capsys.readouterr().err


@pytest.mark.usefixtures("logged")
def test_a_call_is_shown(capsys):
    assert main(["logs", "show", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("call 1, ")
    assert " tokens" in shown
    assert "> Who is\nRex?\n\nRex is a dog.\n" in shown
    assert main(["logs", "show"]) == 0
    shown = capsys.readouterr().out
    assert "And who is he?" in shown
    assert "openai" in shown


@pytest.mark.usefixtures("logged")
def test_the_log_can_be_switched_off(capsys):
    assert main(["logs", "off"]) == 0
    assert "calls are not logged" in capsys.readouterr().err
    main(["--no-save", "A third"])
    capsys.readouterr()
    assert main(["logs", "search", "third"]) == 1


@pytest.mark.usefixtures("logged")
def test_the_log_holds_no_key(tmp_path, capsys):
    assert main(["logs", "path"]) == 0
    path = tmp_path / "data" / "aichatkit" / "calls.sqlite"
    assert capsys.readouterr().out == f"{path}\n"
    assert b"sk-test" not in b"".join(file.read_bytes() for file in path.parent.glob("calls.sqlite*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "7"], "the log has no call 7"),
        (["show", "9" * 30], f"the log has no call {'9' * 30}"),
        (["list", "-n", "0"], "-n: must be at least 1"),
    ],
)
@pytest.mark.usefixtures("logged")
def test_a_wrong_number_is_an_error(capsys, words, message):
    assert main(["logs", *words]) == 2
    assert message in capsys.readouterr().err


def test_without_a_log_the_command_that_starts_it_is_named(capsys):
    assert main(["logs", "list"]) == 2
    assert "aichatkit logs on" in capsys.readouterr().err


def test_a_log_without_calls_is_empty(capsys):
    main(["logs", "on"])
    main(["models", "openai"])
    assert main(["logs", "list"]) == 0
    assert main(["logs", "show"]) == 2
    assert "the log is empty" in capsys.readouterr().err


@pytest.mark.usefixtures("logged")
def test_a_count_larger_than_sqlite_takes_lists_all_calls(capsys):
    assert main(["logs", "list", "-n", "9" * 30]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
