"""Forms of MCP servers at a terminal: what is shown, what is typed, and what ends the question."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys

import mcp_server
import pytest

from aichatkit.cli import chat as chat_command
from aichatkit.cli import main, mcp_forms
from aichatkit.cli.mcp_forms import Forms
from aichatkit.tools.mcp.inputs import Question

COMMAND = shlex.join([sys.executable, mcp_server.__file__])
#: The process asks in the middle of a call, the tool of which returns the answer.
ASKING = f"{COMMAND} --era legacy form"
SCHEMA = {
    "properties": {
        "name": {"type": "string", "minLength": 2, "description": "Who\nyou are"},
        "age": {"type": "integer", "default": 30},
        "mail": {"type": "string", "format": "email"},
        "vegan": {"type": "boolean"},
        "color": {"type": "string", "enum": ["r", "g"], "enumNames": ["red", "green"]},
        "size": {"oneOf": [{"const": 1, "title": "small"}, {"const": 2}]},
        "days": {"type": "array", "items": {"enum": ["mon", "tue"]}},
        "odd": 7,
    },
    "required": ["name", "vegan"],
}
ANSWERS = ["Ada", "41", "ada@example.org", "yes", "red", "2", "mon, tue"]


class Terminal(io.StringIO):
    """Standard input of a person at a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def typed(monkeypatch):
    """Let a person type lines."""

    def type_lines(*lines):
        monkeypatch.setattr("sys.stdin", Terminal("".join(f"{line}\n" for line in lines)))

    return type_lines


def test_each_field_is_typed_on_a_line_of_its_own(typed, capsys):
    typed("y", *ANSWERS)
    assert Forms()("Who\nare  you?", SCHEMA) == {
        "name": "Ada",
        "age": 41,
        "mail": "ada@example.org",
        "vegan": True,
        "color": "r",
        "size": 2,
        "days": ["mon", "tue"],
    }
    assert capsys.readouterr().err.splitlines() == [
        "aichatkit: the server asks: Who are you?",
        "aichatkit: it wants: name, age, mail, vegan, color, size, days; never answer with passwords or keys",
        "aichatkit: answer it? [y/N]",
        "aichatkit: name, Who you are:",
        "aichatkit: age (integer; Enter for 30):",
        "aichatkit: mail (email; optional):",
        "aichatkit: vegan (yes or no):",
        "aichatkit: color (red | green; optional):",
        "aichatkit: size (small | 2; optional):",
        "aichatkit: days (mon | tue; several with commas between them; optional):",
    ]


def test_enter_leaves_out_what_is_optional(typed):
    typed("YES", "Ada", "", "", "n", "", "", "")
    assert Forms()("Who?", SCHEMA) == {"name": "Ada", "vegan": False}


@pytest.mark.parametrize("lines", [["n"], [""], [], ["what?"], ["y"], ["y", "Ada"]])
def test_no_and_the_end_of_input_decline(typed, lines):
    typed(*lines)
    assert Forms()("Who?", SCHEMA) is None


def test_what_does_not_fit_is_asked_again_but_not_for_ever(typed, capsys):
    schema = {"properties": {"name": {"type": "string", "minLength": 2}}, "required": ["name"]}
    typed("y", "", "A", "Ada")
    assert Forms()("Who?", schema) == {"name": "Ada"}
    told = capsys.readouterr().err
    assert "name: is required" in told
    assert "at least 2 are needed" in told
    typed("y", "", "", "")
    assert Forms()("Who?", schema) is None


def test_a_question_without_fields_is_yes_or_no(typed, capsys):
    typed("y")
    assert Forms()("Really?", {"properties": None}) == {}
    assert "it wants" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ({"type": "array", "items": {"anyOf": [{"const": "m", "title": "Monday"}, 7]}}, "Monday", ["m"]),
        ({"type": "array"}, "a,b", ["a", "b"]),
        ({"enum": ["a"], "enumNames": ["one", "two"]}, "a", "a"),
        ({"type": "number"}, "1.5", 1.5),
    ],
)
def test_odd_choices_do_no_harm(typed, field, text, value):
    typed("y", text)
    assert Forms()("Which?", {"properties": {"it": field}}) == {"it": value}


def test_the_server_is_named_and_its_text_stays_on_one_line(typed, capsys):
    question = Question("x\naichatkit: run it?\x1b[2J" + "y" * 2000)
    question.server = "hotel"
    typed("n")
    Forms()(question, {})
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 2
    assert shown[0].startswith("aichatkit: hotel asks: x aichatkit: run it?[2Jyyy")
    assert shown[0].endswith("y ...")


@pytest.fixture
def terminal(monkeypatch):
    """A real terminal; what is written to the file descriptor is typed."""
    pty = pytest.importorskip("pty")
    keyboard, screen = pty.openpty()
    with os.fdopen(screen, "r", encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield keyboard
    os.close(keyboard)


def test_what_is_typed_is_shown_and_hidden_again(terminal):
    termios = mcp_forms.termios
    hidden = termios.tcgetattr(sys.stdin)
    hidden[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, hidden)
    os.write(terminal, b"y\n")
    with mcp_forms._visible_typing():
        assert termios.tcgetattr(sys.stdin)[3] & termios.ECHO
    assert Forms()("Really?", {}) == {}
    assert not termios.tcgetattr(sys.stdin)[3] & termios.ECHO


def test_a_question_that_nobody_waits_for_ends(terminal):
    forms = Forms()
    forms.give_up()
    assert forms("Really?", {}) is None
    forms.reset()
    os.write(terminal, b"y\n")
    assert forms("Really?", {}) == {}


def test_a_person_may_take_time(typed, monkeypatch):
    monkeypatch.setattr(mcp_forms, "_has_line", iter([False, True]).__next__)
    typed("y")
    assert Forms()("Really?", {}) == {}


def test_without_terminal_settings_lines_are_read_all_the_same(typed, monkeypatch):
    monkeypatch.setattr(mcp_forms, "termios", None)
    typed("y")
    assert Forms()("Really?", {}) == {}


# The commands.


def test_a_server_asks_at_a_terminal(typed, capsys):
    typed("y", "Ada", "")
    assert main(["mcp", ASKING, "fail"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"action": "accept", "content": {"name": "Ada", "age": 30}}
    assert "mcp_server.py asks: Who?" in captured.err


def test_a_server_cannot_ask_in_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\nAda\n\n"))
    assert main(["mcp", ASKING, "fail"]) == 0
    assert "does not offer elicitation" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["chat"]])
def test_servers_of_a_model_ask_too(typed, capsys, command, tmp_path):
    config = tmp_path / "mcp.json"
    program, *arguments = shlex.split(ASKING)
    config.write_text(json.dumps({"mcpServers": {"hotel": {"command": program, "args": arguments}}}))
    words = [*command, "-m", "offline", "--no-save", "--yes", "--mcp", str(config)]
    typed(*(["call fail {}"] if command else []), "y", "Ada", "")
    assert main(words if command else [*words, "call fail {}"]) == 0
    captured = capsys.readouterr()
    assert "Ada" in captured.out
    assert "hotel asks: Who?" in captured.err


def test_ctrl_c_in_a_chat_ends_the_question_too(typed, monkeypatch, capsys):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(chat_command, "is_interactive", lambda: True)
    monkeypatch.setattr("aichatkit.chats.chat.Chat.stream", interrupt)
    forms = Forms()
    monkeypatch.setattr(mcp_forms, "FORMS", forms)
    typed("Hi")
    assert main(["chat", "-m", "offline", "--no-save", "--yes", "--mcp", COMMAND]) == 0
    assert "stopped" in capsys.readouterr().err
    assert forms._given_up.is_set()
