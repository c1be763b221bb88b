"""The examples here are imported by their tests alone: they need other packages, and one patches sockets."""

from __future__ import annotations

import pytest

from aichatkit.sandbox import Sandbox

collect_ignore_glob = ["[!t]*.py"]


@pytest.fixture
def service(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The service that the environment names, as it would in production."""
    monkeypatch.setenv("AICHATKIT_MODEL", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    return sandbox
