"""Tab in a line of `%chat`: options, providers and models."""

from __future__ import annotations

import pytest
from notebook_shell import drop_shell

pytest.importorskip("IPython")


@pytest.fixture
def complete():
    """Return the completions of a line, by IPython itself, with the cursor at its end."""
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()

    def texts(line):
        with provisionalcompleter():
            return [completion.text for completion in shell.Completer.completions(line, len(line))]

    shell.run_line_magic("load_ext", "aichatkit")
    yield texts
    shell.run_line_magic("unload_ext", "aichatkit")
    assert "--model" not in texts("%chat --mo")
    drop_shell(shell)


def test_options_are_completed(complete):
    assert "--model" in complete("%chat --mo")
    assert "--system" in complete("%%chat -m openai -")


@pytest.mark.parametrize("line", ["%chat -m ", "%chat --model ", "%%chat "])
def test_models_are_completed_where_one_is_expected(complete, line):
    assert "openai" in complete(f"{line}open")
    assert "openai/gpt-6-luna" in complete(f"{line}openai/gpt-6-l")


def test_a_question_is_left_alone(complete):
    assert "openai" not in complete("%chat Hello open")
