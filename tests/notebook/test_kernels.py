"""Notebooks as their users run them: executed by a real kernel, against a server that can fall silent."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from aichatkit.display.markup import NO_MATH
from aichatkit.sandbox import Sandbox

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
# Its own doing, on every Python: what it says of its own parts and of event loops is not for us to mend.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(sys.platform == "win32", reason="a kernel is interrupted in another way there"),
]

NOTEBOOKS = Path(__file__).parent / "notebooks"
STORY = "one two three four five six seven eight"


@pytest.fixture
def kernel(monkeypatch, tmp_path, sandbox):
    """What a notebook's user has set: keys, a home of its own, and the package."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-reader-secret")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-reader-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent.parent), prepend=os.pathsep)

    def client_of(name):
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4)
        options = {"timeout": 60, "allow_errors": True, "resources": {"metadata": {"path": str(tmp_path)}}}
        return nbclient.NotebookClient(notebook, kernel_name="python3", **options)

    return client_of


def test_a_notebook_shows_everything(kernel, sandbox):
    sandbox.says("**Spring** <b>and</b> `<i>`")
    client = kernel("asking")
    notebook = client.execute()
    cells = {cell.source.splitlines()[0]: cell.get("outputs", []) for cell in notebook.cells}
    shown = "**Spring** &lt;b>and&lt;/b> `<i>`"

    def data(start):
        (line,) = [start] if start in cells else [line for line in cells if line.startswith(start)]
        return [dict(output.get("data", {})) for output in cells[line]]

    for start in ("chat.show", "%%chat", "%chat", "with ai.stream"):
        (only,) = data(start)
        assert only == {"text/markdown": shown, "text/plain": "**Spring** <b>and</b> `<i>`"}, start
    assert sandbox.requests[1].json()["messages"][-1]["content"] == (
        'Write a function that fills {name} into f"Hello {name}!"'
    )
    assert sandbox.requests[2].json()["messages"][-1]["content"] == "What are {braces}?"
    assert data("answer")[0]["text/markdown"] == shown
    assert data("import asyncio")[0]["text/markdown"] == shown
    assert data("chat")[0]["text/markdown"].endswith(f"**Assistant**\n\n{shown}")
    bar, table = data("results = ")
    assert "application/vnd.jupyter.widget-view+json" in bar
    assert table["text/html"].startswith(f"<div {NO_MATH}><p>3 rows, 3 answered, 0 failed, ")
    assert "Capital of &lt;Italy&gt;?" in table["text/html"]
    assert data("import os")[-1]["text/html"].startswith(f"<div {NO_MATH}><b>")
    assert "QuotaExceededError" in data("import os")[-1]["text/html"]
    assert "1 failed" in data("failures")[0]["text/html"]
    assert data("ai.image")[0]["image/png"]
    (error,) = cells['ai.ask("Hi", model="opnai")']
    assert error.ename == "UnknownModelError"
    assert len(error.traceback) == 2
    assert error.traceback[1].endswith(", line 1")
    assert "reader-secret" not in nbformat.writes(notebook)

    nbconvert = pytest.importorskip("nbconvert")
    page = nbconvert.HTMLExporter(template_name="basic").from_notebook_node(notebook)[0]
    assert "<strong>Spring</strong> &lt;b&gt;and&lt;/b&gt; <code>&lt;i&gt;</code>" in page
    assert "<b>and" not in page


def test_decisions_and_citations_are_shown(kernel, sandbox):
    client = kernel("asking")
    cells = (
        "import aichatkit as ai",
        "d = ai.decide('A <b>refund</b>', {'refund?': bool, 'x': {'<i>': None, '<b>': 'y'}}, model='openai')\nd",
        "d['refund?']",
        "reply = ai.ask('When is low tide?', search=True, model='openai')\nreply",
        "reply = ai.stream('When is low tide?', search=True, model='openai').show()",
        "[reply.text[c.start:c.end] == c.text for c in reply.citations if c.start is not None]",
    )
    client.nb.cells = list(map(nbformat.v4.new_code_cell, cells))
    _, d, one, asked, streamed, places = (cell.outputs for cell in client.execute().cells)
    assert d[0].data["text/html"].count("<tr>") == 3
    assert "&gt;&#x27;</td>" in d[0].data["text/html"]
    assert one[0].data["text/html"].count("<tr>") == 2
    for outputs in (asked, streamed):
        markdown = outputs[-1].data["text/markdown"]
        assert "**Sources**\n\n1. [Ebbe und Flut " in markdown
        assert "](<https://example.org/" in markdown
    assert places[0].data["text/plain"] == "[True, True]"


def test_interrupting_the_kernel_stops_the_answer_and_keeps_what_came(kernel, monkeypatch):
    with Sandbox(delay=0.01) as sandbox:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
        sandbox.says(STORY)
        sandbox.script(None, *["stall,after=4"] * 3)
        client = kernel("stopping")
        cells = [cell for cell in client.nb.cells if cell.cell_type == "code"]
        with client.setup_kernel():
            client.execute_cell(cells[0], 0)
            for index, cell in enumerate(cells[1:4], 1):
                asked = len(sandbox.requests)
                stopper = threading.Thread(target=interrupt_when, args=(client, sandbox, asked))
                stopper.start()
                client.execute_cell(cell, index)
                stopper.join()
                assert cell.outputs[-1].ename == "KeyboardInterrupt"
                assert sandbox.wait_closed(5), cell.source
            client.execute_cell(cells[4], 4)
    for cell in cells[1:3]:
        answer, interrupt = cell.outputs
        assert answer.data["text/markdown"].startswith("one")
        assert answer.data["text/markdown"].endswith("\n\n*(stopped)*")
        assert interrupt.traceback[0].startswith("KeyboardInterrupt: the answer was stopped after ")
    assert cells[4].outputs[0].text == "2 0 False one True True None\n"


def interrupt_when(client, sandbox, asked):
    """Interrupt the kernel when its request has come and the server has fallen silent."""
    deadline = time.monotonic() + 30
    while len(sandbox.requests) <= asked and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(client.km.provisioner.pid, signal.SIGINT)
