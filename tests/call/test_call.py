"""The call, and what a client keeps from one to the next."""

from __future__ import annotations

from aichatkit import Client


def test_a_client_makes_the_provider_of_its_address_once(client):
    for _ in range(3):
        client.ask("Hi")
    (provider,) = client._context._providers.values()
    assert provider.url == client._context.base_urls["openai"]


def test_another_address_in_the_environment_is_seen_at_the_next_call(sandbox, policy, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Client(model="openai", retry=policy) as client:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
        assert client.ask("Hi").complete
        monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1/")
        assert client.ask("Hi").complete
        assert len(client._context._providers) == 2


def test_many_models_are_not_all_remembered(client, monkeypatch):
    monkeypatch.setattr("aichatkit.call.call._MAX_MEMO", 3)
    for number in range(8):
        assert client.ask("Hi", model=f"openai/model-{number}").complete
    assert len(client._context._cooldown_keys) <= 3


def test_a_call_does_not_show_the_client_s_cache():
    with Client(model="offline", cache={"key": "the whole answer"}) as caching:
        assert "the whole answer" not in repr(caching._build_call("Hi", 0))
