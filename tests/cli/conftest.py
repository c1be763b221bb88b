"""A service with a key, which is the sandbox, and nobody who types: what most tests of the command line start from."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import aichatkit


@pytest.fixture
def service(monkeypatch, sandbox, tmp_path):
    """The service, and a home and a folder of the test's own."""
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("PYTHONPATH", str(Path(aichatkit.__file__).parent.parent), prepend=os.pathsep)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.chdir(tmp_path)
    return sandbox


@pytest.fixture
def asked(sandbox):
    """Tell role and content of each message of the last request."""
    return lambda: [(turn["role"], turn["content"]) for turn in sandbox.requests[-1].json()["messages"]]


@pytest.fixture
def run():
    """Run the command in a process of its own."""

    def run(*words, piped=b"", **options):
        command = [sys.executable, "-m", "aichatkit", *words]
        return subprocess.run(command, input=piped, capture_output=True, timeout=60, check=False, **options)

    return run


@pytest.fixture
def piped(monkeypatch, tmp_path):
    """Put content behind standard input, as a redirected file does."""
    with contextlib.ExitStack() as opened:

        def pipe(content, encoding="utf-8"):
            path = tmp_path / "piped"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            monkeypatch.setattr(sys, "stdin", opened.enter_context(path.open(encoding=encoding)))

        yield pipe
