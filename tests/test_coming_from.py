"""The pages for users of other packages: what stands on the right of their tables runs."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
from functools import partial
from pathlib import Path

import pytest
import requests

import aichatkit

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("llm", "chatlas", "openai", "litellm", "gpt4free")
#: The sites of the group `free`, which are the sandbox here.
SITES = ("aichats", "aichatonline", "aichat", "aichatfree", "chatgptt")


def cells(page, heading="aichatkit"):
    """Return the code on the right of the tables of a page, in order."""
    text = (DOCS / f"coming-from-{page}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!-)(.*[^\\]) \| (.*) \|$", text, re.MULTILINE)
    return [code.replace("\\|", "|") for _, cell in rows if cell != heading for code in re.findall(r"`([^`]+)`", cell)]


PYTHON = {page: [code for code in cells(page) if not re.match(r"aichatkit |cat ", code)] for page in PAGES}
COMMANDS = [code for page in PAGES for code in cells(page) if re.match(r"aichatkit |cat ", code)]


def f(article: str) -> int:
    """Count the pieces of an article."""
    return len(article)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("page", PAGES)
def test_what_replaces_a_call_runs(page, sandbox, monkeypatch):
    monkeypatch.setattr(aichatkit, "Client", partial(aichatkit.Client, base_url=dict.fromkeys(SITES, sandbox.url)))
    client = aichatkit.Client(model="free" if page == "gpt4free" else "openai/gpt-6-luna")
    names = {"ai": aichatkit, "client": client, "chat": client.chat(), "f": f, "print": lambda *_: None}
    names.update(asyncio=asyncio, requests=requests)
    for code in PYTHON[page]:
        running = eval(compile(code, f"coming-from-{page}.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if running is not None:
            asyncio.run(running)
    assert len(PYTHON[page]) >= 20


@pytest.mark.parametrize("page", PAGES)
def test_every_row_says_what_replaces_it(page):
    text = (DOCS / f"coming-from-{page}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!-).*[^\\] \| (.*) \|$", text, re.MULTILINE)
    assert [row for row in rows if "`" not in row and row not in ("aichatkit", "openai-responses")] == []


@pytest.mark.slow
@pytest.mark.usefixtures("reader", "path")
@pytest.mark.parametrize("command", [command for command in COMMANDS if " keys set" not in command])
def test_what_replaces_a_command_runs(command):
    done = subprocess.run(
        ["sh", "-c", command], input="/exit\n", capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert done.returncode == 0, done.stderr
