"""Answers on a terminal: Markdown as it comes, and nothing that a terminal would obey."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace

import pytest

from aichatkit.cli import main, writers
from aichatkit.cli.markdown import MarkdownWriter, split_blocks
from aichatkit.cli.writers import PlainWriter, open_writer

pytestmark = pytest.mark.usefixtures("service")

pytest.importorskip("rich")


@pytest.fixture
def screen(monkeypatch, capsys):
    """A terminal of 40 columns and 12 lines; calling it returns what was written to it."""
    for name, value in (("TERM", "xterm"), ("COLUMNS", "40"), ("LINES", "12")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    return lambda: capsys.readouterr().out


def seen(text):
    """Return the lines as a terminal shows them: it follows the cursor up, and clears what it is told to."""
    lines, row = [""], 0
    while text:
        sign, text = text[0], text[1:]
        if sign == "\x1b":
            order, text = re.match(r"\[([?\d;]*[A-Za-z])(.*)", text, re.DOTALL).groups()
            if order.endswith("A"):
                row -= int(order[:-1] or 1)
            elif order == "2K":
                lines[row] = ""
        elif sign == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif sign != "\r":
            lines[row] += sign
    return [line.rstrip() for line in lines[: row + 1]]


def shown(pieces, screen, clock=None):
    with MarkdownWriter(clock) if clock else MarkdownWriter() as writer:
        for piece in pieces:
            writer.add(piece)
    return seen(screen())


# Which of the two.


def test_markdown_is_rendered_on_a_terminal(sandbox, screen):
    sandbox.says("# Paris\n\nIt is **big**.")
    assert main(["Hi"]) == 0
    assert [line.strip() for line in seen(screen())] == ["Paris", "", "It is big.", ""]


@pytest.mark.parametrize("why", ["--plain", "NO_COLOR", "TERM", "no rich", "pipe"])
def test_the_text_is_plain_where_it_should_be(sandbox, screen, monkeypatch, why):
    if why == "no rich":
        monkeypatch.setattr(writers, "find_spec", lambda name: None)
    elif why == "pipe":
        monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: False)
    elif why != "--plain":
        monkeypatch.setenv(why, "dumb")
    sandbox.says("It is **big**.")
    assert main(["Hi", *(["--plain"] if why == "--plain" else [])]) == 0
    assert screen() == "It is **big**.\n"


def test_a_whole_answer_is_rendered_too(sandbox, screen):
    sandbox.says("It is **big**.")
    main(["--no-stream", "Hi"])
    assert seen(screen()) == ["It is big.", ""]


def test_a_failed_call_leaves_the_terminal_clean(sandbox, screen):
    sandbox.script("quota")
    assert main(["Hi"]) == 1
    written = screen()
    assert "".join(seen(written)) == ""
    # The cursor is shown again.
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")


# Orders to the terminal.


@pytest.mark.parametrize("options", [[], ["--plain"]])
def test_an_answer_cannot_order_the_terminal_about(sandbox, screen, options):
    sandbox.says("a\x1b]0;owned\x07b\x1b[31mc\x9b2Jd\r\n\te")
    main([*options, "Hi"])
    written = screen()
    assert [order for order in ("\x1b]0", "\x9b", "\x1b[31m", "\x07") if order in written] == []
    assert "c2Jd" in written


def test_an_error_cannot_order_the_terminal_about_either(capsys):
    main(["-m", "openai/gpt-6-sol\x1b[2J", "-t", "\x1b[2J", "Hi"])
    assert "\x1b" not in capsys.readouterr().err


def test_a_pipe_gets_every_sign(capsys):
    with PlainWriter(sanitize=False) as writer:
        writer.add("\x1b[31m")
    assert capsys.readouterr().out == "\x1b[31m\n"


def test_what_holds_only_orders_writes_nothing(screen):
    with open_writer(Namespace(plain=True)) as writer:
        writer.add("\x1b")
    assert screen() == ""


# Rendering.


def test_every_block_is_shown_once_and_in_its_order(screen):
    text = "# One\n\nTwo is\nlong.\n\n1. a\n2. b\n\n```python\nx = 1\n\ny = 2\n```\n\n| a |\n|---|\n| 1 |\n\nEnd"
    ticks = iter(range(1000))
    lines = [line.strip() for line in shown(text, screen, lambda: float(next(ticks)))]
    assert [line for line in lines if line] == [
        *("One", "Two is long.", "1 a", "2 b", "x = 1", "y = 2", "a", "\N{BOX DRAWINGS LIGHT HORIZONTAL}", "1"),
        "End",
    ]
    assert "\n\n\n" not in "\n".join(lines)


def test_a_program_longer_than_the_screen_comes_out_whole(screen):
    program = [f"line_{number} = {number}" for number in range(50)]
    text = "```python\n" + "\n".join(program) + "\n```\n\nEnd"
    ticks = iter(range(10000))
    lines = [line.strip() for line in shown(text, screen, lambda: float(next(ticks)))]
    assert [line for line in lines if line] == [*program, "End"]


def test_what_is_drawn_again_and_again_fits_the_screen(screen):
    writer = MarkdownWriter()
    for text in ("word " * 400, "```\n" + "x\n" * 400, "- item\n" * 400):
        writer._text = text
        drawn = "".join(segment.text for segment in writer._render_tail().segments)
        assert 8 <= drawn.count("\n") <= 10
    writer._text = " "
    assert writer._render_tail() == ""


def test_addresses_are_written_out(screen):
    with MarkdownWriter() as writer:
        writer.add("See [here](https://a.example) and ![cat](https://b.example)!")
    written = screen()
    words = ["See", "here", "(https://a.example)", "and", "cat", "(https://b.example)!"]
    assert " ".join(seen(written)).split() == words
    assert "\x1b]8" not in written


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("", ""),
        ("One.\n\n", ""),
        ("One.\nmore\n\nTwo", ""),
        ("One.\n\nTwo\n", "One.\n\n"),
        ("One.\n#hash", ""),
        ("- a\n\n- b\n", ""),
        ("- a\n\nEnd\n", "- a\n\n"),
        ("```\n# no heading\n\nno end\n", ""),
        ("```\nx\n```\ntext\n", "```\nx\n```\n"),
        ("| a |\n|---|\n| 1 |\n", ""),
    ],
)
def test_a_block_is_finished_where_nothing_can_change_it(text, done):
    blocks, rest = split_blocks(text)
    assert ("".join(blocks), rest) == (done, text[len(done) :])


def test_what_is_typed_meanwhile_is_not_echoed_into_the_picture(screen, monkeypatch):
    termios = pytest.importorskip("termios")
    master, slave = os.openpty()
    with os.fdopen(slave, encoding="utf-8") as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        before = termios.tcgetattr(slave)
        with MarkdownWriter():
            assert not termios.tcgetattr(slave)[3] & termios.ECHO
        assert termios.tcgetattr(slave) == before
    os.close(master)
