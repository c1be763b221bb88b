"""What errors say on the command line."""

from __future__ import annotations

from aichatkit.cli.error_text import in_words
from aichatkit.errors import AllProvidersFailedError, ConnectError, ServerError


def test_every_service_that_was_not_reached_is_named_once():
    failures = [
        ConnectError("openai: no", provider="openai"),
        ServerError("groq: down", provider="groq"),
        ConnectError("ollama: no", provider="ollama"),
        ConnectError("openai: no", provider="openai"),
    ]
    error = AllProvidersFailedError("all failed")
    error.errors = failures
    assert in_words(error).endswith("find the cause with: aichatkit doctor openai ollama")
