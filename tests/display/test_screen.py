"""An answer grows on the screen at a bounded rate, and what came stays when it breaks off."""

from __future__ import annotations

import asyncio
import io
import sys

import pytest
from answer_doubles import answered
from notebook_shell import drop_shell, make_shell

from aichatkit import Chat, ImageResponse, Reply, ServerError, StreamInterruptedError
from aichatkit.chunks import Citation, Finish, Picture, Reasoning
from aichatkit.display.screen import NotebookScreen, TextScreen, in_notebook, just_shown, mark_shown, open_screen, show
from aichatkit.streams import Stream
from aichatkit.testing import Fake

pytest.importorskip("IPython")

END = Finish("stop", last=True)
PIXEL = "data:image/png;base64,iVBORw0KGgo="


class Clock:
    """Time that passes by `step` with each look at it."""

    def __init__(self, step=0.0):
        self.now = 0.0
        self.step = step

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.fixture
def notebook(tmp_path):
    """A shell that takes itself for the kernel of a notebook."""
    shell = make_shell(tmp_path)
    shell.kernel = object()
    yield shell.outputs
    drop_shell(shell)


@pytest.fixture
def terminal(tmp_path):
    shell = make_shell(tmp_path)
    yield shell
    drop_shell(shell)


def test_only_a_kernel_is_a_notebook(terminal):
    assert not in_notebook()
    assert isinstance(open_screen(), TextScreen)
    terminal.kernel = object()
    assert in_notebook()
    assert isinstance(open_screen(), NotebookScreen)
    assert isinstance(open_screen(plain=True), TextScreen)


def test_without_ipython_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    mark_shown(Reply("a", "p", "m"))
    assert not just_shown(Reply("a", "p", "m"))


def test_a_notebook_shows_one_output_that_grows(notebook):
    reply = Stream(answered("**a**", " b", END)).show()
    assert (reply.text, reply.finish_reason) == ("**a** b", "stop")
    assert notebook.shown == [{"text/markdown": "**a** b", "text/plain": "**a** b"}]


def test_updates_are_bounded_in_time_and_the_last_one_is_never_left_out(notebook):
    clock = Clock(step=0.005)
    show(Stream(answered(*["word "] * 300, END)), screen=NotebookScreen(clock=clock))
    # Each piece takes one look at the clock: 1.5 seconds are 15 updates at most.
    assert 10 <= notebook.updates <= 16
    assert notebook.markdown == ["word " * 300]


def test_a_long_text_is_updated_less_often(notebook):
    page = NotebookScreen(clock=Clock(step=0.2))
    for _ in range(10):
        page.add("x" * 100_000)
    page.close()
    assert notebook.updates <= 3


def test_the_same_is_not_sent_twice(notebook):
    page = NotebookScreen()
    page.add("a")
    page.close()
    page.close()
    assert (len(notebook.shown), notebook.updates) == (1, 0)


def test_html_of_a_model_is_escaped(notebook):
    Stream(answered("<script>alert(1)</script>", END)).show()
    assert notebook.shown == [
        {"text/markdown": "&lt;script>alert(1)&lt;/script>", "text/plain": "<script>alert(1)</script>"}
    ]


def test_reasoning_is_folded_above_the_answer(notebook):
    Stream(answered(Reasoning("I <think>"), "So", " be it.", END)).show()
    thoughts, answer = notebook.shown
    assert thoughts["text/html"].startswith("<details><summary>Reasoning</summary>")
    assert "I &lt;think&gt;" in thoughts["text/html"]
    assert thoughts["text/markdown"] == "<details><summary>Reasoning</summary>\n\nI &lt;think>\n\n</details>"
    assert thoughts["text/plain"] == "(Reasoning: I <think>)"
    assert answer["text/plain"] == "So be it."


def test_reasoning_of_later_rounds_is_added_in_its_place(notebook):
    page = NotebookScreen()
    page.show_reasoning("First.")
    page.add("text")
    page.show_reasoning("First.")
    page.show_reasoning("First.\n\nSecond.")
    page.close()
    assert [data["text/plain"] for data in notebook.shown] == ["(Reasoning: First.\n\nSecond.)", "text"]


def test_a_picture_stands_between_the_texts(notebook):
    answer = answered("Before.", Picture(data=PIXEL), "After.", END)
    Stream(answer).show()
    before, picture, after = notebook.shown
    assert (before["text/plain"], after["text/plain"]) == ("Before.", "After.")
    assert picture == {"text/plain": "![a cat](image-1)", "image/png": "iVBORw0KGgo="}


def test_a_stream_that_was_begun_is_shown_whole(notebook):
    stream = Stream(answered("a", "b", END))
    next(stream)
    stream.show()
    assert notebook.markdown == ["ab"]


def test_one_that_was_left_shows_what_came_and_raises(notebook):
    stream = Stream(answered("a", "b", END))
    next(stream)
    stream.close()
    with pytest.raises(StreamInterruptedError):
        stream.show()
    assert notebook.markdown == ["a\n\n*(broken off)*"]


def test_an_answer_that_breaks_off_stays_and_says_so(notebook):
    stream = Stream(answered("a", "b", ending=ServerError("boom")))
    with pytest.raises(ServerError):
        stream.show()
    assert notebook.markdown == ["ab\n\n*(broken off)*"]
    assert stream.text == "ab"


class Interrupted(TextScreen):
    """A screen that is stopped while a piece is written."""

    def add(self, chunk):
        super().add(chunk)
        if chunk == "b":
            raise KeyboardInterrupt


def test_an_interrupt_closes_the_connection_and_keeps_the_text(capsys):
    answer = answered("a", "b", "c", END)
    stream = Stream(answer)
    with pytest.raises(KeyboardInterrupt) as caught:
        show(stream, screen=Interrupted())
    assert "close" in answer.fake.done
    assert (stream.text, caught.value.partial, stream.reply) == ("ab", "ab", None)
    assert capsys.readouterr().out == "ab\n(stopped)\n"


def test_an_interrupt_before_the_first_piece_closes_the_connection_too():
    class Thinking(TextScreen):
        def show_reasoning(self, reasoning):
            raise KeyboardInterrupt

    answer = answered("a", END)
    # Held on to, as a notebook does: what is dropped closes itself.
    stream = Stream(answer)
    with pytest.raises(KeyboardInterrupt):
        show(stream, screen=Thinking())
    assert "close" in answer.fake.done


def test_an_interrupt_is_told_in_one_line(capsys):
    with pytest.raises(KeyboardInterrupt) as caught:
        show(Stream(answered("a", "b", END)), screen=Interrupted())
    assert caught.value._render_traceback_() == [
        "KeyboardInterrupt: the answer was stopped after 2 characters; its connection is closed"
    ]


def test_elsewhere_the_text_is_printed_as_it_comes(monkeypatch):
    written = []

    class Watched(io.StringIO):
        def flush(self):
            written.append(self.getvalue())

    monkeypatch.setattr(sys, "stdout", Watched())
    reply = Stream(answered(Reasoning("hm"), "a", "b", END)).show()
    assert written == ["a", "ab", "ab\n"]
    assert (reply.text, reply.reasoning) == ("ab", "hm")


def test_a_text_that_ends_its_line_gets_no_other(capsys):
    Stream(answered("a\n", END)).show()
    assert capsys.readouterr().out == "a\n"


def test_plain_text_is_printed_in_a_notebook_as_well(notebook, capsys):
    Stream(answered("**a**", END)).show(plain=True)
    assert (capsys.readouterr().out, notebook.shown) == ("**a**\n", [])


def test_without_standard_output_the_answer_is_still_read(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert Stream(answered("a", END)).show().text == "a"


@pytest.mark.parametrize("plain", [False, True])
def test_what_is_not_live_is_shown_at_the_end(notebook, capsys, plain):
    screen = open_screen(plain=plain, live=False)
    screen.add("a")
    screen.add("b")
    assert (notebook.shown, capsys.readouterr().out) == ([], "")
    screen.close()
    assert (notebook.markdown, capsys.readouterr().out) == (([], "ab\n") if plain else (["ab"], ""))


def test_the_value_of_show_is_not_shown_again_in_its_cell(notebook):
    shell = notebook.shell
    reply = Stream(answered("a", END)).show()
    assert shell.display_formatter.format(reply) == ({}, {})
    again = Reply("a", "p", "m")
    assert shell.display_formatter.format(again)[0]["text/markdown"] == "a"
    shell.execution_count += 1
    assert shell.display_formatter.format(reply)[0]["text/markdown"] == "a"


def test_a_chat_shows_and_remembers(notebook, client):
    chat = client.chat()
    reply = chat.show("Hello!", temperature=0)
    assert notebook.markdown == [reply.text]
    assert [message.text for message in chat.history] == ["Hello!", reply.text]


def test_a_chat_prints_where_there_is_no_notebook(client, capsys):
    reply = Chat(client).show("Hello!")
    assert capsys.readouterr().out == f"{reply.text}\n"


def test_it_works_while_an_event_loop_runs(notebook, client):
    async def cell():
        return client.stream("Hello!").show()

    reply = asyncio.run(cell())
    assert notebook.markdown == [reply.text]


def test_a_picture_shows_itself(notebook):
    picture = ImageResponse([PIXEL], alt="a cat")
    assert notebook.shell.display_formatter.format(picture)[0]["image/png"] == "iVBORw0KGgo="
    two = ImageResponse([PIXEL, "https://x.example/a.png"])
    assert notebook.shell.display_formatter.format(two)[0]["text/html"].count("<img") == 2


# A terminal.

ESCAPES = "a\x1b[31mred\x1b]0;title\x07 \x9b2J\x9d0;x\x9c\x90q\x08\r\n\tb\x7f"


@pytest.mark.parametrize("live", [True, False])
def test_no_escape_sequence_reaches_a_terminal(capsys, live):
    show(Stream(answered(ESCAPES, END)), screen=TextScreen(live=live))
    assert capsys.readouterr().out == "a[31mred]0;title 2J0;xq\n\tb\n"


def test_the_plain_text_of_a_notebook_has_no_escape_sequence_either(notebook):
    show(Stream(answered(Reasoning("x\x1b[2J"), ESCAPES, END)))
    assert "\x1b" not in str([shown["text/plain"] for shown in notebook.shown])


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "caf? ? ?"), ("cp1252", "caf\xe9 ? ?"), ("utf-8", "caf\xe9 \u2713 ?"), ("shift_jis", "caf? ? ?")],
)
def test_what_a_terminal_cannot_encode_is_replaced_and_the_turn_is_kept(monkeypatch, encoding, shown):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    chat = Fake("caf\xe9 \u2713").client().chat()
    reply = chat.show("x")
    TextScreen().add(" \udc80")
    assert out.buffer.getvalue().decode(encoding).replace("\n", "") == shown
    assert (len(chat.history), reply.text) == (2, "caf\xe9 \u2713")


def test_the_pages_that_an_answer_cites_are_listed_below_it(notebook, capsys):
    cited = [Citation("https://example.org/a", "A \x1b[1m*"), Citation("x:", "")]
    with Fake(["Hi", "Hi"]).client() as client:
        for plain in (False, True):
            stream = client.stream("Hi")
            object.__setattr__(stream.read(), "citations", cited)
            show(stream, plain=plain)
    listed = notebook.shown[-1]
    assert listed["text/markdown"] == "**Sources**\n\n1. [A \x1b&#91;1m&#42;](<https://example.org/a>)\n2. x:"
    assert listed["text/plain"] == "Sources\n1. A [1m* https://example.org/a\n2.  x:"
    assert "Sources" not in capsys.readouterr().out
