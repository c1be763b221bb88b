"""`--extract`: the code block of an answer."""

from __future__ import annotations

import pytest

from aichatkit.cli import main
from aichatkit.cli.code_blocks import extract_code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```\na\n```", "a\n"),
        ("Run:\n```python\na = 1\n\nb = 2\n```\nor\n```\nc\n```", "a = 1\n\nb = 2\n"),
        ("~~~sh\nls\n~~~", "ls\n"),
        ("````md\n```\ninner\n```\n````", "```\ninner\n```\n"),
        ("  ```\n  a\n    b\n c\n  ```", "a\n  b\nc\n"),
        ("```\ncut off", "cut off\n"),
        ("```\n```", ""),
        ("```\na\n~~~\nb\n```", "a\n~~~\nb\n"),
        ("no code", None),
        ("``` inline ``` text", None),
    ],
)
def test_the_first_block_is_taken_without_its_fences(text, code):
    assert extract_code(text) == code


@pytest.mark.usefixtures("service")
def test_only_the_code_is_printed(sandbox, capsys):
    sandbox.says("Here:\n```python\nquit()\n```\nDone.")
    assert main(["-x", "Hi"]) == 0
    assert tuple(capsys.readouterr()) == ("quit()\n", "")


@pytest.mark.usefixtures("service")
def test_an_answer_without_code_is_printed_with_a_note(sandbox, capsys):
    sandbox.says("None.")
    assert main(["--extract", "Hi"]) == 0
    done = capsys.readouterr()
    assert done.out == "None.\n"
    assert "has no code block" in done.err


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("words", [["--json"], ["--schema", "name"]])
def test_extract_takes_no_json(sandbox, words):
    assert main(["-x", *words, "Hi"]) == 2
    assert sandbox.requests == []
