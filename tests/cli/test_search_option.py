"""`--search`: the service searches the web, and the pages that the answer cites are printed."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest

from aichatkit.cli import main

pytestmark = pytest.mark.usefixtures("service")
QUESTION = "When is low tide?"


def tools_of(sandbox):
    return [[tool["type"] for tool in request.json().get("tools", ())] for request in sandbox.requests]


def check_sources(captured):
    assert "zwölf Stunden" in captured.out
    assert "sources:" not in captured.out
    lines = captured.err.splitlines()
    first = lines.index("aichatkit: sources:")
    assert lines[first + 1].startswith("1. Ebbe und Flut ")
    assert lines[first + 1].split()[-1].startswith("https://example.org/")
    assert lines[first + 2].startswith("2. ")


@pytest.mark.parametrize("words", [[], ["--no-stream"]])
def test_a_question_with_search_lists_the_sources_on_standard_error(sandbox, capsys, words):
    assert main(["--search", "--plain", *words, QUESTION]) == 0
    check_sources(capsys.readouterr())
    assert tools_of(sandbox) == [["web_search"]]


def test_json_has_them_and_without_search_there_are_none(sandbox, capsys):
    assert main(["--search", "--json", QUESTION]) == 0
    captured = capsys.readouterr()
    assert (len(json.loads(captured.out)["citations"]) >= 2, captured.err) == (True, "")
    assert main(["--plain", QUESTION]) == 0
    assert capsys.readouterr().err == ""
    assert tools_of(sandbox) == [["web_search"], []]


def test_a_chat_searches_in_every_turn(sandbox, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUESTION}\n"))
    assert main(["chat", "--search", "--plain"]) == 0
    check_sources(capsys.readouterr())
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUESTION}\n"))
    assert main(["chat", "--plain"]) == 0
    assert "sources:" not in capsys.readouterr().err
    assert tools_of(sandbox) == [["web_search"], []]


def test_a_chat_at_a_service_that_does_not_search_ends_before_the_first_question(monkeypatch, capsys):
    monkeypatch.setenv("COHERE_API_KEY", "k")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{QUESTION}\n"))
    assert main(["chat", "--search", "-m", "cohere"]) == 2
    assert "cohere: it has no web search of its own" in capsys.readouterr().err


def test_the_rows_of_a_file_are_searched_for(sandbox, tmp_path):
    (tmp_path / "in.csv").write_text("q\nWhen is low tide?\n", encoding="utf-8")
    assert main(["map", "in.csv", "-t", "{q}", "--search", "--out", "out.csv"]) == 0
    assert tools_of(sandbox) == [["web_search"]]
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert "zwölf Stunden" in next(csv.DictReader(file))["answer"]


def test_a_tool_and_a_search_go_together(sandbox, tmp_path):
    (tmp_path / "tools.py").write_text("def stock(article: str) -> int:\n    return 4\n", encoding="utf-8")
    assert main(["--search", "--tools", "tools.py", "--yes", "Hi"]) == 0
    assert tools_of(sandbox) == [["function", "web_search"]]


def test_titles_cannot_steer_the_terminal():
    from aichatkit import Reply
    from aichatkit.chunks import Citation
    from aichatkit.cli.json_output import format_sources

    reply = Reply("x", "openai", "m", citations=[Citation("https://example.org", "a\x1b]0;x\x07\nb")])
    assert format_sources(reply) == "sources:\n1. a]0;x b https://example.org"
