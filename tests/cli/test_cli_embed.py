"""`aichatkit embed`."""

from __future__ import annotations

import json

import pytest

from aichatkit.cli import main


def test_a_text_becomes_a_line_of_numbers(capsys):
    assert main(["embed", "red fox", "-m", "offline", "-d", "4"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_each_row_of_a_file_becomes_a_line(tmp_path, capsys):
    source, out = tmp_path / "texts.csv", tmp_path / "vectors.jsonl"
    source.write_text("title,body\nFox,red\nWolf,grey\n", encoding="utf-8")
    journal = tmp_path / "run.sqlite"
    command = ["embed", str(source), "-t", "{title}: {body}", "-m", "offline", "--out", str(out), "--kind", "query"]
    assert main([*command, "--journal", str(journal)]) == 0
    assert [len(json.loads(line)) for line in out.read_text("utf-8").splitlines()] == [64, 64]
    assert f"2 vectors of 64 numbers written to {out}, $0.000000" in capsys.readouterr().err
    assert journal.exists()


def test_a_cost_that_is_not_known_is_left_out(sandbox, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    out = tmp_path / "vectors.jsonl"
    assert main(["embed", "red fox", "-m", "openai/some-model", "--out", str(out)]) == 0
    assert "$" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["red fox"], "name one embedding model"),
        (["red fox", "-m", "a", "-m", "b"], "name one embedding model"),
        (["red fox", "-m", "offline", "-t", "{x}"], "-t: a template needs a file"),
        ([" ", "-m", "offline"], "the text is empty"),
    ],
)
def test_what_cannot_be_embedded_is_an_error(capsys, arguments, words):
    assert main(["embed", *arguments]) == 2
    assert words in capsys.readouterr().err
