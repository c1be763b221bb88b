"""Option --tools of the command line: the functions of a Python file as tools."""

from __future__ import annotations

import io
import json

import pytest

from aichatkit.cli import main

STOCK = '''
from __future__ import annotations

from os.path import join


def stock(article: str, count: int = 1) -> int:
    """Count the pieces in stock."""
    return 4


def _helper() -> None:
    """Not offered."""
'''
QUESTION = 'call stock {"article": "A-17"}'


class Terminal(io.StringIO):
    """Standard input of a person at a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def stock(tmp_path, monkeypatch):
    path = tmp_path / "stock.py"
    path.write_text(STOCK, encoding="utf-8")
    monkeypatch.delitem(__import__("sys").modules, "aichatkit_tools", raising=False)
    return str(path)


@pytest.mark.parametrize(("answer", "shown"), [("y\n", "4"), ("YES\n", "4"), ("n\n", "not allow"), ("", "not allow")])
def test_a_call_runs_only_if_it_is_approved(stock, monkeypatch, capsys, answer, shown):
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(["-m", "offline", "--no-save", "--tools", stock, QUESTION]) == 0
    captured = capsys.readouterr()
    assert shown in captured.out
    assert 'stock(article="A-17")' in captured.err
    assert "run it? [y/N]" in captured.err


def test_with_yes_a_call_runs_in_a_pipe(stock, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["-m", "offline", "--no-save", "--tools", stock, "--yes", QUESTION]) == 0
    assert capsys.readouterr().out == "The tool says: 4\n"


def test_a_chat_takes_tools(stock, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUESTION}\n"))
    assert main(["chat", "-m", "offline", "--no-save", "--tools", stock, "--yes"]) == 0
    assert "The tool says: 4" in capsys.readouterr().out


def test_all_names_the_functions(tmp_path, monkeypatch, capsys):
    path = tmp_path / "tools.py"
    path.write_text(STOCK + "__all__ = ['stock']\n", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["-m", "offline", "--no-save", "--tools", str(path), "--yes", QUESTION]) == 0
    assert "4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("absent.py", None, "is not a Python file"),
        ("tools.txt", "x", "is not a Python file"),
        ("empty.py", "x = 1\n", "defines no public function"),
        ("broken.py", "1 / 0\n", "cannot be imported: ZeroDivisionError"),
        ("syntax.py", "def f(:\n", "cannot be imported: SyntaxError"),
    ],
)
def test_a_file_that_offers_nothing_is_an_error(tmp_path, monkeypatch, capsys, name, text, words):
    path = tmp_path / name
    if text is not None:
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["-m", "offline", "--tools", str(path), "--yes", "Hello"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("stdin", [None, io.StringIO("")])
def test_nobody_to_approve_is_an_error(stock, monkeypatch, capsys, stdin):
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["-m", "offline", "--tools", stock, "Hello"]) == 2
    assert "pass --yes" in capsys.readouterr().err


def test_yes_without_tools_is_an_error(capsys):
    assert main(["-m", "offline", "--yes", "Hello"]) == 2
    assert "--yes: is for --tools" in capsys.readouterr().err


def test_search_lets_the_service_search(capsys, sandbox):
    assert main(["-m", "offline", "--no-save", "--search", "--json", "When is low tide?"]) == 0
    record = json.loads(capsys.readouterr().out)
    citation = record["citations"][0]
    assert record["text"][citation["start"] : citation["end"]] == citation["text"] != ""
