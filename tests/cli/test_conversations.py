"""Conversations that go on, and what is told about a reply."""

from __future__ import annotations

import json
import os
import stat

import pytest

from aichatkit import Reply
from aichatkit.chunks import Usage
from aichatkit.cli import main
from aichatkit.cli.json_output import format_usage

pytestmark = pytest.mark.usefixtures("service")


@pytest.fixture
def files(tmp_path):
    """List the saved conversations."""
    return lambda: sorted((tmp_path / "data" / "aichatkit" / "chats").glob("*"))


# Saving and going on.


def test_the_last_conversation_goes_on(asked, sandbox):
    sandbox.says("Hello, Rex.")
    main(["-s", "Be brief.", "I am Rex."])
    assert main(["-c", "Who", "am", "I?"]) == 0
    assert asked() == [
        ("system", "Be brief."),
        ("user", "I am Rex."),
        ("assistant", "Hello, Rex."),
        ("user", "Who am I?"),
    ]


def test_a_conversation_goes_on_by_its_name(asked, sandbox, files):
    sandbox.says("Yes.")
    main(["--chat", "dogs", "I am Rex."])
    main(["--chat", "cats", "I am Tom."])
    main(["--chat", "dogs", "Who am I?"])
    assert [content for _, content in asked()] == ["I am Rex.", "Yes.", "Who am I?"]
    assert [path.name for path in files()] == ["cats.json", "dogs.json"]


def test_a_model_holds_for_the_conversation_until_another_is_given(sandbox):
    main(["-m", "openai/gpt-6-sol", "Hi"])
    main(["-c", "Ho"])
    assert sandbox.requests[-1].json()["model"] == "gpt-6-sol"
    main(["-c", "-m", "openai/gpt-6.1-sol", "Ho"])
    main(["-c", "Ho"])
    assert sandbox.requests[-1].json()["model"] == "gpt-6.1-sol"


def test_a_conversation_with_a_model_is_not_taken_for_one_without(monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    main(["-m", "offline", "Hi"])
    main(["-c", "Ho"])
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name != "posix", reason="rights are told otherwise there")
def test_only_the_owner_can_read_a_conversation(files, monkeypatch):
    before = os.umask(0)
    try:
        main(["Hi"])
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    (path,) = files()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("how", ["option", "environment"])
def test_nothing_is_saved_where_that_is_not_wanted(files, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("AICHATKIT_NO_SAVE", "1")
    assert main([*(["--no-save"] if how == "option" else []), "Hi"]) == 0
    assert files() == []


def test_an_answer_that_broke_off_leaves_the_conversation_as_it_was(asked, sandbox, files):
    sandbox.says("one two three four")
    main(["Hi"])
    before = files()[0].read_bytes()
    sandbox.script("cut,after=2")
    assert main(["-c", "Ho"]) == 1
    assert [path.read_bytes() for path in files()] == [before]


def test_a_folder_that_takes_nothing_costs_no_answer(tmp_path, sandbox, capsys):
    (tmp_path / "data").write_text("not a folder", encoding="utf-8")
    sandbox.says("Paris.")
    assert main(["Capital of France?"]) == 0
    out, err = capsys.readouterr()
    assert out == "Paris.\n"
    assert "the conversation is not saved" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-c", "Hi"], "there is no saved conversation"),
        (["-c", "--chat", "dogs", "Hi"], "use only one of them"),
        (["--chat", "../dogs", "Hi"], "letters, digits"),
        (["--chat", "dogs.", "Hi"], "letters, digits"),
        (["--chat", "broken", "Hi"], "is not a conversation"),
    ],
)
def test_a_conversation_that_cannot_go_on_is_told(sandbox, tmp_path, capsys, words, told):
    if "broken" in words:
        folder = tmp_path / "data" / "aichatkit" / "chats"
        folder.mkdir(parents=True)
        (folder / "broken.json").write_text("{}", encoding="utf-8")
    assert main(words) == 2
    assert told in capsys.readouterr().err
    assert sandbox.requests == []


# What is told about a reply.


def test_json_tells_the_whole_reply(sandbox, capsys):
    sandbox.says("Grüße.")
    sandbox.script("quota")
    assert main(["--json", "-m", "openai/gpt-6-sol", "-m", "offline", "Hello"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["provider"], record["model"], record["finish_reason"]) == ("offline", "eliza", "stop")
    assert record["usage"]["total_tokens"] > 0
    first, second = record["attempts"]
    assert first["error"].startswith("QuotaExceededError: openai")
    assert second["error"] is None


def test_json_holds_characters_and_data_as_they_are(sandbox, capsys):
    sandbox.says('{"name": "Grüße"}')
    assert main(["--json", "--schema", "name", "Hello"]) == 0
    out = capsys.readouterr().out
    assert "Grüße" in out
    assert json.loads(out)["data"] == {"name": "Grüße"}


def test_usage_is_told_in_one_line_on_standard_error(sandbox, capsys):
    sandbox.says("Paris.")
    assert main(["--usage", "-m", "openai/gpt-6-sol", "Capital of France?"]) == 0
    out, err = capsys.readouterr()
    assert out == "Paris.\n"
    assert err.startswith("aichatkit: openai/gpt-6-sol")
    assert " tokens in, " in err
    assert "$0.0" in err
    assert err.count("\n") == 1


def test_usage_tells_how_often_it_was_tried(sandbox, capsys):
    sandbox.script("rate-limit,retry_after_ms=5")
    main(["--usage", "Hi"])
    assert "2 tries" in capsys.readouterr().err


def test_counts_that_change_the_price_are_told():
    counts = Usage(12, 3, 15, cached_tokens=8, searches=1)
    told = format_usage(Reply("Yes.", "openai", "m", usage=counts, cost=0.5))
    assert told == "openai/m: 12 tokens in (8 cached), 3 out, 1 search, $0.5, 0.0 s"
    assert "2 searches" in format_usage(Reply("Yes.", "openai", "m", usage=Usage(searches=2)))


def test_what_a_service_does_not_tell_is_unknown(sandbox):
    assert format_usage(Reply("Yes.", "aichats", "gpt-4")) == "aichats/gpt-4: tokens unknown, cost unknown, 0.0 s"
