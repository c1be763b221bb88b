"""A call is built from the options of the client and its own; a model at another endpoint is sent there."""

from __future__ import annotations

import pickle

import pytest

from aichatkit import Client, ConfigurationError, ConnectError
from aichatkit.providers.bedrock import Bedrock
from aichatkit.providers.openai import OpenAI
from aichatkit.providers.routes import BedrockMessages, BedrockResponses, OpenAIModelsOnResponses
from aichatkit.registry import registry


def provider_of(model, **options):
    with Client(model=model, **options) as client:
        (target,) = client._build_call("Hi", 0).targets
        return target.provider


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("openai/gpt-5.5-pro", OpenAIModelsOnResponses),
        ("openai/gpt-6-luna", OpenAI),
        ("openai/unheard-of", OpenAI),
        ("bedrock/openai.gpt-6.1-sol", BedrockResponses),
        ("bedrock/anthropic.claude-sonnet-5-5", BedrockMessages),
        ("bedrock/openai.gpt-oss-20b", Bedrock),
    ],
)
def test_a_model_that_answers_at_another_endpoint_is_sent_there(model, provider):
    assert provider_of(model) is provider


def test_most_services_have_one_endpoint():
    assert OpenAI.for_endpoint("messages") is None
    assert registry["groq"].for_endpoint("responses") is None


def test_an_endpoint_that_the_service_does_not_have_changes_nothing():
    catalog = {"about": {"date": "2026-11-26"}, "models": [{"id": "openai/x", "endpoint": "messages"}]}
    assert provider_of("openai/x", catalog=catalog) is OpenAI


def test_a_server_at_another_address_is_asked_as_it_was_given(monkeypatch):
    assert provider_of("openai/gpt-5.5-pro", base_url="https://gateway.example/v1") is OpenAI
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    assert provider_of("openai/gpt-5.5-pro") is OpenAI


@pytest.mark.parametrize(
    ("model", "url", "header"),
    [
        ("openai/gpt-5.5-pro", "https://api.openai.com/v1/responses", "Authorization"),
        (
            "bedrock/openai.gpt-6.1-sol",
            "https://bedrock-mantle.eu-west-1.api.aws/openai/v1/responses",
            "Authorization",
        ),
        (
            "bedrock/anthropic.claude-sonnet-5-5",
            "https://bedrock-mantle.eu-west-1.api.aws/anthropic/v1/messages",
            "Authorization",
        ),
    ],
)
def test_it_goes_to_the_address_of_the_endpoint_with_the_key_of_the_service(monkeypatch, model, url, header):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    seen = []
    name = model.partition("/")[0]
    client = Client(model=model, api_key={name: "sk-of-mine"}, hooks={"request": seen.append}, retry=0)
    with client, pytest.raises(ConnectError):
        client.ask("Hi", timeout=5)
    (request,) = seen
    assert (request.provider, request.url) == (name, url)


@pytest.mark.parametrize("provider", [BedrockMessages, BedrockResponses])
def test_a_route_of_bedrock_needs_bedrock_s_key_and_region(provider, monkeypatch):
    assert provider().wants_key()
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(ConfigurationError, match="no region"):
        provider.find_base_url()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert provider.find_base_url().startswith("https://bedrock-mantle.eu-west-1.api.aws/")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token")
    assert provider.find_key() == "token"
    assert provider().sign("token") == ("Authorization", "Bearer token")


def test_a_routed_target_pickles():
    assert pickle.loads(pickle.dumps(OpenAIModelsOnResponses)) is OpenAIModelsOnResponses


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("max_rounds", "x", "max_rounds must be an integer of at least 0, got 'x'"),
        ("max_rounds", -1, "max_rounds must be an integer of at least 0, got -1"),
        ("max_rounds", True, "max_rounds must be an integer of at least 0, got True"),
        ("raw", "yes", "raw must be True or False, got 'yes'"),
        ("strict", 1, "strict must be True or False, got 1"),
    ],
)
def test_an_option_with_a_wrong_value_is_refused_even_where_it_is_not_used(client, sandbox, option, value, told):
    for call in (client.ask, client.stream, client.chat().ask):
        with pytest.raises(ConfigurationError) as caught:
            call("Hi", **{option: value})
        assert str(caught.value) == told
    with pytest.raises(ConfigurationError):
        client.map(["Hi"], progress=False, **{option: value})
    assert sandbox.requests == []


def test_none_is_as_if_an_option_was_not_passed(client):
    assert client.ask("Hi", raw=None, strict=None, max_rounds=None).raw == []


def test_the_order_of_a_run_is_on_or_off(client, sandbox):
    with pytest.raises(ConfigurationError, match="as_completed must be True or False, got 'yes'"):
        client.map(["Hi"], as_completed="yes")
    assert sandbox.requests == []


def test_a_client_refuses_a_system_prompt_that_is_no_text():
    with pytest.raises(ConfigurationError, match="system: must be a string"):
        Client(system=5)


@pytest.mark.parametrize("history", ["Hi", 5, {"role": "user", "content": "Hi"}, b"Hi"])
def test_a_history_is_a_list_of_messages(client, history):
    with pytest.raises(ConfigurationError, match="history: must be a list of messages, not"):
        client.chat(history=history)


def test_a_history_may_be_any_iterable(client):
    assert len(client.chat(history=iter(["Hi", {"role": "assistant", "content": "Ho"}]))) == 2
    assert len(client.chat(history=iter([]))) == len(client.chat(history=None)) == 0
