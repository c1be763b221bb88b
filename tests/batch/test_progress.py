"""Progress: a bar where it is wanted, and nothing anywhere else."""

from __future__ import annotations

import io
import sys

import pytest

from aichatkit import ChatError, ConfigurationError, Reply, Usage
from aichatkit.batch.progress import Progress

REPLY = Reply("a", "openai", "m", usage=Usage(total_tokens=7), cost=0.25)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def look(monkeypatch):
    """Put a terminal where standard error is, from within the test: pytest puts its own there before."""

    def look():
        monkeypatch.setattr(sys, "stderr", Terminal())
        return sys.stderr

    return look


def test_a_bar_tells_what_is_done_and_failed_and_spent(look):
    pytest.importorskip("tqdm")
    terminal = look()
    bar = Progress(None, 3, {"pause": lambda: 12.3, "pacing": lambda: 0.0})
    bar.start()
    bar.add(REPLY)
    bar.add(ChatError("x"))
    bar.tick()
    bar.close()
    shown = terminal.getvalue()
    assert "2/3" in shown
    assert "failed=1, tokens=7, cost=$0.2500, pause=12s" in shown


def test_no_bar_is_shown_where_nobody_looks(capsys):
    bar = Progress(None, 3, {})
    bar.start()
    bar.add(REPLY)
    bar.tick()
    bar.close()
    assert tuple(capsys.readouterr()) == ("", "")


def test_a_bar_is_shown_where_it_is_asked_for(capsys):
    pytest.importorskip("tqdm")
    bar = Progress(True, 3, {})
    bar.start()
    bar.add(REPLY)
    bar.close()
    told = capsys.readouterr().err
    assert "1/3" in told
    assert "pause" not in told


def test_a_notebook_shows_a_bar_although_it_is_no_terminal(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr("aichatkit.batch.progress.in_notebook", lambda: True)
    bar = Progress(None, 3, {})
    bar.start()
    bar.close()
    assert "0/3" in capsys.readouterr().err


def test_no_bar_is_shown_where_it_is_not_wanted(look):
    terminal = look()
    Progress(False, 3, {}).add(REPLY)
    assert terminal.getvalue() == ""


def test_without_tqdm_a_terminal_shows_a_line(look, monkeypatch):
    terminal = look()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    bar = Progress(None, 3, {"pause": lambda: 12.3})
    bar.start()
    bar.add(REPLY)
    bar.tick()
    bar.close()
    *_, last = terminal.getvalue().split("\r")
    assert last.startswith("1/3 rows, ")
    assert last.endswith("failed=0, tokens=7, cost=$0.2500, pause=12s\n")


def test_without_tqdm_a_notebook_shows_nothing(look, monkeypatch):
    terminal = look()
    monkeypatch.setattr("aichatkit.batch.progress.in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    bar = Progress(None, 3, {})
    bar.start()
    bar.add(REPLY)
    bar.close()
    assert terminal.getvalue() == ""


def test_without_tqdm_the_extra_is_named_where_a_bar_was_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ConfigurationError, match=r"aichatkit\[progress\]"):
        Progress(True, 3, {})


def test_without_standard_error_there_is_no_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    Progress(None, 3, {}).add(REPLY)


def test_anything_else_is_refused():
    with pytest.raises(ConfigurationError, match="progress: must be True, False or None"):
        Progress("yes", 3, {})
