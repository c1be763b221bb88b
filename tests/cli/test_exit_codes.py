"""Exit codes of every command, as documented: 0 done, 1 failed, 2 wrong usage, 130 Ctrl-C."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from aichatkit.cli import main
from aichatkit.cli.commands import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
UNREACHABLE = ["-m", "openai/x", "--base-url", "http://127.0.0.1:9/v1", "--api-key-env", "A_KEY", "--retry", "0"]
#: Command line -> its exit code; {folder} is a new one that has rows.csv.
CASES = {
    "ask -m offline --no-save Hello": 0,
    "ask": 2,
    "ask -m nobody/x Hello": 2,
    "ask -m openai/x Hello": 2,
    "ask -m offline --nonsense Hello": 2,
    "ask -m offline -o temperature=hot Hello": 2,
    "ask -m offline --schema : Hello": 2,
    "ask UNREACHABLE Hello": 1,
    "chat -m offline --no-save": 0,
    "chat -m nobody/x": 2,
    "chats list": 0,
    "chats show nobody": 2,
    "chats search nothing-has-this": 1,
    "chats lst": 2,
    "aliases list": 0,
    "aliases set": 2,
    "completion": 2,
    "decide -m offline -q refund? Hello": 0,
    "decide -m offline Hello": 2,
    "decide UNREACHABLE --emulate never -q refund? Hello": 1,
    "doctor nobody": 2,
    "embed -m offline fox": 0,
    "embed fox": 2,
    "embed UNREACHABLE fox": 1,
    "image a cat": 2,
    "image -m openai/gpt-image-2.5-flare a cat": 2,
    "image UNREACHABLE a cat": 1,
    "jobs {folder}/absent.sqlite": 2,
    "keys list": 0,
    "keys set nobody": 2,
    "logs path": 0,
    "logs list": 2,
    "logs shwo": 2,
    "map {folder}/rows.csv -m offline -t {{text}} --out {folder}/out.csv": 0,
    "map {folder}/rows.csv -m offline -t {{txt}} --out {folder}/out.csv": 2,
    "map {folder}/absent.csv -m offline -t {{text}} --out {folder}/out.csv": 2,
    "map {folder}/rows.csv UNREACHABLE -t {{text}} --out {folder}/out.csv": 1,
    "mcp no-such-program": 1,
    "mcp": 2,
    "models offline": 0,
    "models nobody": 2,
    "models UNREACHABLE": 2,
    "providers": 0,
    "providers nobody": 2,
    "sandbox --fault nonsense": 2,
    "templates list": 0,
    "templates path": 0,
    "templates show nobody": 2,
}


def run(text, folder):
    words = [word for part in text.split() for word in (UNREACHABLE if part == "UNREACHABLE" else [part])]
    try:
        return main([word.format(folder=folder) for word in words])
    except SystemExit as leaving:
        return leaving.code


@pytest.fixture(autouse=True)
def setting(tmp_path, monkeypatch):
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("A_KEY", "sk-test")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    (tmp_path / "rows.csv").write_text("text\nHello\n", encoding="utf-8")


@pytest.mark.parametrize(("text", "code"), CASES.items())
def test_a_command_ends_with_its_exit_code(tmp_path, text, code):
    assert run(text, tmp_path) == code


def test_every_command_is_tried():
    assert {text.split()[0] for text in CASES} == set(COMMANDS)


@pytest.mark.parametrize("text", ["ask -m offline --no-save Hello", "embed -m offline fox", "models offline"])
def test_ctrl_c_has_a_code_of_its_own(tmp_path, monkeypatch, text):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("aichatkit.client.Client._build_call", interrupt)
    assert run(text, tmp_path) == 130


@pytest.mark.parametrize("code", ["0", "1", "2", "75", "130"])
def test_every_code_is_documented(code):
    rows = re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE)
    assert code in ", ".join(rows).split(", ")
