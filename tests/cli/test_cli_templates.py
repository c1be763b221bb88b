"""Stored templates: their head with model, system prompt and parameters, and `aichatkit templates`."""

from __future__ import annotations

import io

import pytest

from aichatkit.cli import main

TEXT = """---
model: offline
system: Answer briefly.

temperature: 0.2
---
Translate to {language}: {text}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    path = tmp_path / "aichatkit" / "templates"
    path.mkdir(parents=True)
    return path


def sent(sandbox):
    return sandbox.requests[-1].json()


@pytest.fixture
def openai(sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    return sandbox


def test_the_head_of_a_template_sets_model_system_prompt_and_parameters(folder, openai):
    (folder / "translate.md").write_text(TEXT.replace("offline", "openai/some-model"), encoding="utf-8")
    assert main(["--no-save", "-t", "translate", "-p", "language=French", "Hello"]) == 0
    body = sent(openai)
    assert (body["model"], body["temperature"]) == ("some-model", 0.2)
    assert [message["content"] for message in body["messages"]] == ["Answer briefly.", "Translate to French: Hello"]


def test_flags_take_precedence_over_the_head(folder, openai):
    (folder / "translate.md").write_text(TEXT, encoding="utf-8")
    flags = ["-m", "openai/other", "-s", "Sing.", "-o", "temperature=0.5"]
    assert main(["--no-save", "-t", "translate", "-p", "language=French", *flags, "Hello"]) == 0
    body = sent(openai)
    assert (body["model"], body["temperature"], body["messages"][0]["content"]) == ("other", 0.5, "Sing.")


def test_dashes_elsewhere_are_text(folder, openai):
    (folder / "plain.txt").write_text("One\n---\nmodel: x\n---\n", encoding="utf-8")
    assert main(["--no-save", "-m", "openai/m", "-t", "plain"]) == 0
    assert sent(openai)["messages"][-1]["content"] == "One\n---\nmodel: x\n---"


@pytest.mark.parametrize(
    ("line", "words"),
    [("modle: x", "did you mean 'model'"), ("just words", "its head has the line 'just words'"), ("n: 2", "head")],
)
def test_a_head_that_cannot_be_read_is_an_error(folder, capsys, line, words):
    (folder / "bad.txt").write_text(f"---\n{line}\n---\nHello\n", encoding="utf-8")
    assert main(["-t", "bad", "Hello"]) == 2
    assert words in capsys.readouterr().err


def test_templates_are_listed_shown_and_found(folder, capsys):
    assert main(["templates", "list"]) == 0
    assert "there are no templates" in capsys.readouterr().err
    (folder / "translate.md").write_text(TEXT, encoding="utf-8")
    (folder / "empty.txt").write_text("", encoding="utf-8")
    assert main(["templates", "list"]) == 0
    out = capsys.readouterr().out
    assert "translate            Translate to {language}: {text}  (model: offline, system: Answer briefly." in out
    assert main(["templates", "show", "translate"]) == 0
    assert capsys.readouterr().out == TEXT
    assert main(["templates", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    assert main(["templates", "show", "translat"]) == 2
    assert "did you mean 'translate'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["-t", "latin", "Hello"], ["templates", "show", "latin"]])
def test_a_template_that_is_not_utf8_is_an_error(folder, capsys, command):
    (folder / "latin.txt").write_bytes(b"caf\xe9 {text}")
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "the template 'latin' cannot be read: 'utf-8' codec" in error
    assert "did you mean" not in error


def test_templates_that_cannot_be_read_do_not_hide_the_others(folder, capsys):
    (folder / "latin.txt").write_bytes(b"caf\xe9 {text}")
    (folder / "head.txt").write_text("---\nmodle: x\n---\n", encoding="utf-8")
    (folder / "folder.md").mkdir()
    (folder / "plain.txt").write_text("Translate {text}", encoding="utf-8")
    assert main(["templates", "list"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "plain                Translate {text}\n"
    assert "'latin' cannot be read" in printed.err
    assert "did you mean 'model'" in printed.err
