"""A prompt that is too long falls back only to models whose context window may be larger."""

from __future__ import annotations

import pytest

from aichatkit import AllProvidersFailedError, Client, ContextTooLongError
from aichatkit.catalog.context_windows import may_fit_more, window_of
from aichatkit.catalog.models import Catalog

RECORDS = {"small": 8_000, "medium": 128_000, "large": 900_000, "other": 128_000}


def asked_after_too_long(sandbox, policy, *models):
    sandbox.script("context-too-long", None)
    records = [{"id": f"openai/{name}", "window": window} for name, window in RECORDS.items()]
    client = Client(
        model=[f"openai/{name}" for name in models],
        api_key={"openai": "sk-test"},
        base_url={"openai": f"{sandbox.url}/v1"},
        retry=policy,
        catalog={"about": {"date": "2026-11-26"}, "models": records},
    )
    return client.ask("Hi")


def test_a_larger_window_is_asked(sandbox, policy):
    assert asked_after_too_long(sandbox, policy, "medium", "large").attempts[-1].model == "large"


def test_a_window_nobody_knows_is_asked(sandbox, policy):
    assert asked_after_too_long(sandbox, policy, "medium", "my-own").attempts[-1].model == "my-own"


def test_a_smaller_window_is_passed_over(sandbox, policy):
    with pytest.raises(ContextTooLongError) as caught:
        asked_after_too_long(sandbox, policy, "medium", "small", "other")
    assert [attempt.model for attempt in caught.value.attempts] == ["medium"]
    assert len(sandbox.requests) == 1


def test_the_next_larger_one_is_found_behind_smaller_ones(sandbox, policy):
    reply = asked_after_too_long(sandbox, policy, "medium", "small", "large")
    assert [attempt.model for attempt in reply.attempts] == ["medium", "large"]


def test_all_that_were_asked_are_told(sandbox, policy):
    sandbox.script("context-too-long", "context-too-long")
    with pytest.raises(AllProvidersFailedError) as caught:
        asked_after_too_long(sandbox, policy, "medium", "small", "large")
    assert len(caught.value.errors) == 2


def test_a_window_that_is_not_known_may_be_larger():
    assert may_fit_more({}, {"window": 10})
    assert may_fit_more({"window": 10}, None)
    assert not may_fit_more({"window": 10}, {"window": 10})


@pytest.mark.parametrize(
    ("provider", "model", "window"),
    [
        ("openai", "gpt-6-luna", 922_000),
        ("openai", "gpt-5.5", 922_000),
        ("openai", "gpt-5-pro", 272_000),
        ("anthropic", "claude-haiku-4-5-20251001", 200_000),
        ("gemini", "gemini-flash-latest", 1_048_576),
        ("openai", "unheard-of", None),
    ],
)
def test_windows_are_those_of_the_input(provider, model, window):
    assert window_of(Catalog().find(provider, model)) == window
