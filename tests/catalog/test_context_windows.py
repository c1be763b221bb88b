"""A prompt that is too long falls back only to models whose context window may be larger."""

from __future__ import annotations

import pytest

from aichatkit import AllProvidersFailedError, Client, ContextTooLongError
from aichatkit.catalog.context_windows import may_fit_more


def asked_after_too_long(sandbox, policy, *models):
    sandbox.script("context-too-long", None)
    client = Client(
        model=list(models), api_key={"openai": "sk-test"}, base_url={"openai": f"{sandbox.url}/v1"}, retry=policy
    )
    return client.ask("Hi")


def test_a_larger_window_is_asked(sandbox, policy):
    assert asked_after_too_long(sandbox, policy, "openai/gpt-4o", "openai/gpt-4.1").attempts[-1].model == "gpt-4.1"


def test_a_window_nobody_knows_is_asked(sandbox, policy):
    assert asked_after_too_long(sandbox, policy, "openai/gpt-4o", "openai/my-own").attempts[-1].model == "my-own"


def test_a_smaller_window_is_passed_over(sandbox, policy):
    with pytest.raises(ContextTooLongError) as caught:
        asked_after_too_long(sandbox, policy, "openai/gpt-4o", "openai/gpt-4", "openai/gpt-4o-mini")
    assert [attempt.model for attempt in caught.value.attempts] == ["gpt-4o"]
    assert len(sandbox.requests) == 1


def test_the_next_larger_one_is_found_behind_smaller_ones(sandbox, policy):
    reply = asked_after_too_long(sandbox, policy, "openai/gpt-4o", "openai/gpt-4", "openai/gpt-5")
    assert [attempt.model for attempt in reply.attempts] == ["gpt-4o", "gpt-5"]


def test_a_model_never_holds_more_than_itself():
    assert not may_fit_more("unknown/model", "unknown/model")


def test_all_that_were_asked_are_told(sandbox, policy):
    sandbox.script("context-too-long", "context-too-long")
    with pytest.raises(AllProvidersFailedError) as caught:
        asked_after_too_long(sandbox, policy, "openai/gpt-4o", "openai/gpt-4", "openai/gpt-5")
    assert len(caught.value.errors) == 2
