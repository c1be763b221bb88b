"""`aichatkit chat`: through a pipe, and at a real terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time

import pytest

from aichatkit import Chat
from aichatkit.cli import main
from aichatkit.cli import terminal_input as lines
from aichatkit.cli.terminal_input import input_history, read_input
from aichatkit.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("service")


@pytest.fixture
def say(monkeypatch):
    """Pipe lines into a conversation and return the exit code."""

    def say(*said, options=()):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in said)))
        return main(["chat", *options])

    return say


@pytest.fixture
def saved(tmp_path):
    """Read the saved conversations."""
    folder = tmp_path / "data" / "aichatkit" / "chats"
    return lambda: [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


# Turns.


def test_each_line_is_a_question_of_one_conversation(say, sandbox, asked, capsys):
    sandbox.says("Yes.")
    assert say("I am Rex.", "", "Who am I?", options=["-s", "Be brief."]) == 0
    assert capsys.readouterr().out == "Yes.\nYes.\n"
    assert [content for _, content in asked()] == ["Be brief.", "I am Rex.", "Yes.", "Who am I?"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["one \\", "two"], "one \ntwo"),
        (["one \\"], "one"),
        (['"""', "one", "", "two", '"""'], "one\n\ntwo"),
        (['"""one', 'two"""'], "one\ntwo"),
        (['"""one"""'], "one"),
        (['"""one', "two"], "one\ntwo"),
        (["```python", "x = 1", "```"], "```python\nx = 1\n```"),
        (["//etc is what?"], "/etc is what?"),
    ],
)
def test_a_question_may_have_several_lines(say, asked, typed, said):
    assert say(*typed) == 0
    assert asked() == [("user", said)]


def test_a_line_that_is_no_text_is_not_asked_and_the_others_are(sandbox, run, asked):
    done = run("chat", piped=b"Hi\ncaf\xe9 \x80\nHo\n", env={**os.environ, "PYTHONUTF8": "1"})
    assert done.returncode == 1
    assert b"this line is not valid utf-8 and was not sent: caf? ?" in done.stderr
    assert [content for role, content in asked() if role == "user"] == ["Hi", "Ho"]


def test_the_conversation_is_saved_after_each_turn_and_goes_on(say, saved, asked):
    say("I am Rex.")
    say("Who am I?", options=["-c"])
    (record,) = saved()
    assert len(record["messages"]) == 4
    assert len(asked()) == 3


def test_nothing_is_saved_where_that_is_not_wanted(say, saved):
    say("Hi", options=["--no-save"])
    assert saved() == []


def test_usage_is_told_after_each_answer(say, capsys):
    say("Hi", "Ho", options=["--usage"])
    assert capsys.readouterr().err.count(" in, ") == 2


def test_a_failed_turn_leaves_the_conversation_and_ends_in_code_1(say, sandbox, asked, capsys):
    sandbox.says("one two three four")
    sandbox.script(None, "cut,after=2")
    assert say("First", "Second", "Third") == 1
    assert [content for _, content in asked()] == ["First", "one two three four", "Third"]
    assert "aichatkit: openai" in capsys.readouterr().err


def test_the_offline_eliza_says_who_she_is(say, monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY")
    assert say("Hello!") == 0
    assert "offline ELIZA" in capsys.readouterr().err


# Commands.


def test_the_model_changes_and_the_history_stays(say, sandbox, asked, capsys):
    assert say("Hi", "/model", "/model openai/gpt-6-sol", "Ho", "/model openai/gpt-6.1-sol offline") == 0
    assert sandbox.requests[-1].json()["model"] == "gpt-6-sol"
    assert len(asked()) == 3
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"aichatkit: the model is {name}"
        for name in ("chosen by the keys", "openai/gpt-6-sol", "openai/gpt-6.1-sol, offline")
    ]


def test_the_instructions_change(say, asked, capsys):
    say("/system Be brief.", "Hi", "/system", "/system -", "Ho")
    assert [role for role, _ in asked()] == ["user", "assistant", "user"]
    assert "the system prompt is: Be brief." in capsys.readouterr().err


def test_undo_forgets_the_last_turn_also_on_disk(say, asked, saved):
    say("First", "Second", "/undo", "Third")
    assert [content for role, content in asked() if role == "user"] == ["First", "Third"]
    say("Fourth", "/undo", options=["-c"])
    assert [turn["content"] for turn in saved()[0]["messages"] if turn["role"] == "user"] == ["First", "Third"]


def test_a_file_goes_with_the_next_question_that_is_answered(say, sandbox, tmp_path, asked):
    (tmp_path / "my notes.txt").write_text("Rex is a dog.", encoding="utf-8")
    sandbox.script("quota")
    say('/file "my notes.txt"', "What is this?", "What is this?", "And?")
    sent = [request.json()["messages"][-1]["content"] for request in sandbox.requests]
    assert ["Rex is a dog." in str(content) for content in sent] == [True, True, False]


def test_save_gives_a_name(say, tmp_path, capsys):
    assert say("Hi", "/save dogs", "Ho", options=["--no-save"]) == 0
    assert [path.name for path in (tmp_path / "data" / "aichatkit" / "chats").iterdir()] == ["dogs.json"]
    assert "--chat 'dogs'" in capsys.readouterr().err


def test_save_that_fails_says_why(say, tmp_path, capsys):
    (tmp_path / "data").write_text("not a folder", encoding="utf-8")
    say("/save dogs")
    assert "the conversation is not saved" in capsys.readouterr().err


def test_quit_leaves_and_help_tells_the_commands(say, sandbox, capsys):
    assert say("/help", "/quit", "Hi") == 0
    assert sandbox.requests == []
    assert "/undo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/modle x", "there is no command /modle; did you mean '/model'?"),
        ("/model nope", "no provider lists the model 'nope'"),
        ("/file", "name a file"),
        ("/file nope.png", "cannot read 'nope.png'"),
        ("/undo", "nothing to undo"),
        ("/save ../x", "letters, digits"),
    ],
)
def test_a_command_that_cannot_be_done_is_told_and_ends_nothing(say, sandbox, capsys, line, told):
    assert say(line, "Hi") == 1
    assert told in capsys.readouterr().err
    assert len(sandbox.requests) == 1


# Ctrl-C without a terminal.


def test_ctrl_c_ends_it_where_nobody_types(say, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("aichatkit.chats.chat.Chat.stream", stop)
    assert say("Hi") == 130


# At a terminal.


class Terminal:
    """A person at a real terminal."""

    def __init__(self, *words):
        self._master, slave = os.openpty()
        command = [sys.executable, "-m", "aichatkit", *words]
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def wait_for(self, text, seconds=20.0):
        """Read on until a text has come since the last one that was waited for."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come, but {self.seen!r}"
            self._read(0.1)
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        os.write(self._master, text.encode())

    def stop(self):
        # There is no job control here: what a terminal does at Ctrl-C.
        self.process.send_signal(signal.SIGINT)

    def stop_at_the_prompt(self):
        """Stop until there is a new prompt: Python may miss a signal that comes just as it takes a key."""
        for _ in range(20):
            self.stop()
            with contextlib.suppress(AssertionError):
                self.wait_for("> ", 1.0)
                return
        raise AssertionError("there is no new prompt")

    def leave(self):
        """Read to the end and return the exit code."""
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.05)
        return self.process.wait(timeout=5)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self, seconds):
        if select.select([self._master], [], [], seconds)[0]:
            with contextlib.suppress(OSError):
                self.seen += os.read(self._master, 65536).decode(errors="replace").replace("\r", "")


@pytest.fixture
def terminal(monkeypatch):
    """Sit down at a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    sessions = []

    def sit_down(*words):
        sessions.append(Terminal(*words))
        return sessions[-1]

    yield sit_down
    for session in sessions:
        session.close()


pytestmark_posix = pytest.mark.skipif(os.name != "posix", reason="there is no pty")


@pytestmark_posix
@pytest.mark.parametrize("options", [[], ["--plain"]])
def test_ctrl_c_stops_the_answer_and_not_the_conversation(terminal, sandbox, saved, asked, options):
    sandbox.says("one two three four")
    sandbox.script(None, "stall,after=2")
    session = terminal("chat", *options)
    session.wait_for("Ctrl-D leaves")
    session.wait_for("> ")
    session.type("First\n")
    session.wait_for("four")
    session.wait_for("> ")
    session.type("Second\n")
    session.wait_for("one")
    session.stop()
    session.wait_for("stopped; the conversation is as it was")
    session.wait_for("> ")
    session.type("Third\n")
    session.wait_for("four")
    session.wait_for("> ")
    session.type("\x04")
    assert session.leave() == 0
    assert [content for role, content in asked() if role == "user"] == ["First", "Third"]
    assert [turn["content"] for turn in saved()[0]["messages"] if turn["role"] == "user"] == ["First", "Third"]


@pytestmark_posix
def test_ctrl_c_at_the_prompt_gives_up_what_was_typed(terminal, sandbox, asked):
    session = terminal("chat")
    session.wait_for("> ")
    session.type("nonsense")
    session.wait_for("nonsense")
    session.stop_at_the_prompt()
    session.type("Hi\n")
    session.wait_for("> ")
    session.type("/quit\n")
    assert session.leave() == 0
    assert asked() == [("user", "Hi")]


@pytestmark_posix
def test_what_was_pasted_is_one_question_and_what_was_typed_is_remembered(terminal, sandbox, asked, tmp_path):
    session = terminal("chat", "--plain")
    session.wait_for("> ")
    session.type("\x1b[200~one\ntwo\x1b[201~\n")
    session.wait_for("> ")
    assert asked() == [("user", "one\ntwo")]
    session.type("/sys\t Be brief.\n")
    session.wait_for("Be brief.")
    session.wait_for("the system prompt is: Be brief.")
    session.wait_for("> ")
    session.type("\x04")
    assert session.leave() == 0
    path = tmp_path / "data" / "aichatkit" / "history"
    assert "/system" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytestmark_posix
def test_a_conversation_that_goes_on_tells_how_long_it_is(terminal, say):
    say("Hi")
    session = terminal("chat", "-c", "--no-save")
    session.wait_for("2 messages so far")
    session.wait_for("> ")
    session.type("\x04")
    assert session.leave() == 0
    assert re.search(r"[Tt]raceback", session.seen) is None


# Lines.


class Keyboard(io.StringIO):
    """A person's standard input."""

    def isatty(self):
        return True


@pytest.fixture
def typing(monkeypatch, capsys):
    """Type lines, or what `input` raises, at a terminal without editing."""

    def typing(*typed, waiting=()):
        queue, ready = list(typed), list(waiting)

        def typed_next(prompt):
            line = queue.pop(0) if queue else EOFError
            if isinstance(line, str):
                return line
            raise line

        monkeypatch.setattr(sys, "stdin", Keyboard())
        monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
        monkeypatch.setattr("builtins.input", typed_next)
        monkeypatch.setattr("select.select", lambda *_: ([1] if ready and ready.pop(0) else [], [], []))

    return typing


def test_a_person_stops_answers_and_questions_and_goes_on(typing, monkeypatch, asked, capsys):
    def stop(*_, **__):
        monkeypatch.setattr("aichatkit.chats.chat.Chat.stream", stream)
        raise KeyboardInterrupt

    stream = Chat.stream
    monkeypatch.setattr("aichatkit.chats.chat.Chat.stream", stop)
    typing("First", KeyboardInterrupt, "Second", "/nope")
    assert main(["chat", "--plain"]) == 0
    assert asked() == [("user", "Second")]
    err = capsys.readouterr().err
    assert "Ctrl-D leaves" in err
    assert "stopped; the conversation is as it was" in err


def test_a_stop_after_the_last_word_loses_no_turn(typing, monkeypatch, saved):
    def interrupted(reply):
        raise KeyboardInterrupt

    monkeypatch.setattr("aichatkit.cli.chat.format_usage", interrupted)
    typing("First")
    assert main(["chat", "--plain", "--usage"]) == 0
    assert len(saved()[0]["messages"]) == 2


def test_lines_that_are_there_at_once_were_pasted(typing):
    typing("one", "two", "three", waiting=[True, False])
    assert read_input() == "one\ntwo"
    assert read_input() == "three"
    assert read_input() is None


def test_a_command_is_one_line_whatever_was_typed_after_it(typing):
    typing("/undo", "Hi", waiting=[True, False])
    assert read_input() == "/undo"
    assert read_input() == "Hi"


def test_windows_cannot_tell_what_was_pasted(typing, monkeypatch):
    typing("one", "two", waiting=[True, False])
    monkeypatch.setattr("sys.platform", "win32")
    assert read_input() == "one"


def test_no_input_at_all_is_the_end(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert read_input() is None


def test_without_readline_nothing_is_remembered(typing, monkeypatch, tmp_path):
    typing()
    monkeypatch.setattr(lines, "readline", None)
    with input_history(tmp_path / "history", [], save=True):
        pass
    assert not (tmp_path / "history").exists()


class Editor:
    """What `readline` offers, written down."""

    def __init__(self):
        self.completer = None
        self.written = []

    def read_history_file(self, path):
        raise FileNotFoundError(path)

    def write_history_file(self, path):
        path.touch(exist_ok=False)
        self.written.append(path)

    def set_completer(self, function):
        self.completer = function

    def parse_and_bind(self, setting):
        pass

    set_history_length = set_completer_delims = parse_and_bind


@pytest.fixture
def editor(monkeypatch, typing):
    typing()
    monkeypatch.setattr(lines, "readline", Editor())
    return lines.readline


def test_commands_are_completed(editor, tmp_path):
    with input_history(tmp_path / "history", ["/save", "/system", "/undo"], save=False):
        assert [editor.completer("/s", number) for number in range(3)] == ["/save ", "/system ", None]
        assert editor.completer("s", 0) is None
    assert editor.completer is None
    assert editor.written == []


def test_a_history_that_cannot_be_written_is_told(editor, tmp_path, capsys):
    (tmp_path / "history").touch()
    with input_history(tmp_path / "history", [], save=True):
        pass
    assert "is not saved" in capsys.readouterr().err


def test_a_line_that_is_not_text_is_not_asked(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), "utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=r"this line is not valid utf-8 and was not sent: caf\?"):
        read_input()
