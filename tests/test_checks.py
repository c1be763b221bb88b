from __future__ import annotations

import pytest

from aichatkit import Client
from aichatkit.errors import (
    AllProvidersFailedError,
    AuthenticationError,
    ConfigurationError,
    MissingKeyError,
    ServerError,
    UnknownProviderError,
)
from aichatkit.transport.timeouts import Timeout


def test_a_provider_that_answers_is_well(client):
    (check,) = client.check("openai")
    assert (check.provider, check.model, check.ok, check.error) == ("openai", "gpt-6-luna", True, None)
    assert check.text
    assert check.elapsed > 0


def test_the_clients_own_model_is_asked_where_none_is_named(client):
    assert [check.provider for check in client.check()] == ["openai"]


def test_each_member_of_a_group_is_asked_by_itself(client, sandbox):
    checks = client.check("free")
    assert [check.provider for check in checks] == ["aichats", "aichatonline", "aichat", "aichatfree", "chatgptt"]
    assert [check.error for check in checks] == [None] * 5


def test_who_fails_is_told_with_the_error_and_the_others_are_asked_all_the_same(client, sandbox):
    sandbox.script("server-error")
    failed, well = sorted(client.check(["openai", "anthropic"]), key=lambda check: check.provider != "anthropic")
    assert isinstance(failed.error, MissingKeyError)
    assert (failed.ok, failed.text) == (False, "")
    assert isinstance(well.error, ServerError)


def test_nothing_is_retried(client, sandbox):
    sandbox.script("server-error")
    assert not client.check()[0].ok
    assert len(sandbox.requests) == 1
    assert client.check()[0].ok


def test_a_failure_found_by_looking_is_not_held_against_calls(client, sandbox):
    sandbox.script("unauthorized")
    assert isinstance(client.check()[0].error, AuthenticationError)
    assert client.health == []


def test_what_is_left_alone_is_asked_as_well(client, sandbox):
    models = ["openai/small", "openai/large"]
    sandbox.script("unauthorized")
    with pytest.raises(AuthenticationError):
        client.ask("Hi", model=models)
    with pytest.raises(AllProvidersFailedError, match="on cooldown"):
        client.ask("Hi", model=models)
    assert [check.ok for check in client.check(models)] == [True, True]


def test_options_of_a_call_are_taken(client, sandbox):
    client.check("openai", max_tokens=5)
    assert sandbox.requests[0].json()["max_completion_tokens"] == 5


@pytest.mark.parametrize("option", [{"tools": [print]}, {"schema": int}, {"approve": print}, {"max_rounds": 2}])
def test_options_that_need_more_than_one_answer_are_refused(client, sandbox, option):
    with pytest.raises(ConfigurationError, match=f"unknown option or parameter '{next(iter(option))}'"):
        client.check(**option)
    assert sandbox.requests == []


def test_each_has_thirty_seconds_unless_told_otherwise(client, sandbox, monkeypatch):
    totals = []
    original = Client._build_call

    def spy(self, *args, **options):
        call = original(self, *args, **options)
        totals.append(call.timeout.total)
        return call

    monkeypatch.setattr(Client, "_build_call", spy)
    client.check()
    client.check(timeout=Timeout(total=5))
    Client(model="offline", timeout=Timeout(total=7)).check()
    assert totals == [30, 5, 7]


def test_who_is_not_known_is_an_error_of_the_call(client):
    with pytest.raises(UnknownProviderError):
        client.check("opnai/gpt")


def test_a_check_reads_as_a_line(client, sandbox):
    sandbox.script("server-error")
    line = str(client.check()[0])
    assert line.startswith("openai/gpt-6-luna: ServerError: openai")
    assert " answered (" in str(client.check()[0])
