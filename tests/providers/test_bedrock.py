"""Bedrock: an address for each region, and a key that is a Bearer token."""

from __future__ import annotations

import pytest
from recorded import ANYWHERE, recording

from aichatkit import Client
from aichatkit.errors import (
    AuthenticationError,
    ConfigurationError,
    MissingKeyError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
)
from aichatkit.registry import registry


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "us-gov-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "us-gov-west-1"),
    ],
)
def test_the_region_is_part_of_the_address(environment, region, asks, web, monkeypatch):
    for name, value in {**environment, "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key"}.items():
        monkeypatch.setenv(name, value)
    reply = asks("bedrock", recording("bedrock"))
    sent = web.calls[0].request
    assert sent.url == f"https://bedrock-mantle.{region}.api.aws/v1/chat/completions"
    assert sent.headers["Authorization"] == "Bearer bedrock-key"
    assert (reply.text, reply.reasoning) == ("The capital of France is Paris, la Ville Lumière.", "Easy.")


def test_a_region_is_never_guessed(web, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-key")
    monkeypatch.delenv("AWS_REGION")
    for model in ("bedrock", "bedrock/anthropic.claude-sonnet-5-5", "bedrock/openai.gpt-6.1-sol"):
        with (
            Client(model=model) as client,
            pytest.raises(ConfigurationError, match="bedrock: no region; set AWS_REGION"),
        ):
            client.ask("Hi")
    assert not web.calls


def test_the_region_of_the_profile_is_the_last_to_count(asks, web, monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[default]\nregion = ap-south-1\n[profile other]\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-key")
    asks("bedrock", recording("bedrock"))
    monkeypatch.setenv("AWS_PROFILE", "other")
    asks("bedrock", recording("bedrock"))
    assert ["ap-south-1" in web.calls[0].request.url, "eu-north-1" in web.calls[1].request.url] == [True, True]


@pytest.mark.parametrize("region", ["evil.example/", "us-east-1.evil.example", "1"])
def test_a_region_that_is_none_sends_the_key_nowhere(region, monkeypatch):
    monkeypatch.setenv("AWS_REGION", region)
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        registry["bedrock"].find_base_url()


def test_a_key_is_needed_in_every_region(web, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with Client() as client, pytest.raises(MissingKeyError, match="AWS_BEARER_TOKEN_BEDROCK"):
        client.ask("Hi", model="bedrock")
    assert not web.calls


@pytest.mark.parametrize("model", ["openai.gpt-oss-20b", "anthropic.claude-sonnet-5-5", "openai.gpt-6-luna"])
@pytest.mark.parametrize(
    ("status", "message", "kind", "words"),
    [
        (403, "The security token included in the request is expired", AuthenticationError, "credentials of AWS"),
        (403, "The request signature we calculated does not match", AuthenticationError, "credentials of AWS"),
        (403, "User x is not authorized to perform: y", PermissionDeniedError, "not authorized"),
        (404, "The model 'us.x' isn't supported on this route", ModelNotFoundError, "no prefix such as 'us.'"),
        (400, "The provided model identifier is invalid.", ModelNotFoundError, "no version such as"),
        (429, "Too many tokens per day, please wait before trying again.", QuotaExceededError, "per day"),
    ],
)
def test_the_words_of_aws_decide_on_every_endpoint(model, status, message, kind, words, web, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    web.post(ANYWHERE, json={"message": message}, status=status)
    with (
        Client(model=f"bedrock/{model}", api_key="bedrock-key", retry=0) as client,
        pytest.raises(kind, match=words),
    ):
        client.ask("Hi")


def test_a_gateway_at_another_address_may_do_without_a_key(sandbox):
    with Client(base_url={"bedrock": f"{sandbox.url}/v1"}, retry=0) as client:
        assert client.ask("Hi", model="bedrock").complete
