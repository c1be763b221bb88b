"""Azure: deployments instead of models, two forms of address, two ways to sign."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest
from recorded import ANYWHERE, recording

from aichatkit import Client
from aichatkit.cli import main
from aichatkit.errors import (
    AuthenticationError,
    ConnectError,
    ContentFilteredError,
    MissingKeyError,
    PermissionDeniedError,
    UnknownModelError,
)
from aichatkit.sandbox.raw import RawServer, response

ENDPOINT = "https://mine.openai.azure.com"
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln"


@pytest.fixture
def told(asks, monkeypatch):
    """Read one answer of a deployment."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", f"{ENDPOINT}/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-test")

    def read(body=None, **options):
        return asks("azure/my-gpt", recording("azure") if body is None else body, **options)

    return read


def test_the_newer_address_serves_all_deployments(told, web):
    told()
    sent = web.calls[0].request
    assert sent.url == f"{ENDPOINT}/openai/v1/chat/completions"
    assert b'"model": "my-gpt"' in sent.body


def test_a_dated_version_has_an_address_for_each_deployment(told, web, monkeypatch):
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    told()
    sent = web.calls[0].request
    assert sent.url == f"{ENDPOINT}/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert "api-version" not in sent.headers


@pytest.mark.parametrize("version", ["preview", "v1", "2024-10-21&x=1"])
def test_another_version_is_the_newer_address(told, web, monkeypatch, version):
    monkeypatch.setenv("OPENAI_API_VERSION", version)
    told()
    assert web.calls[0].request.url == f"{ENDPOINT}/openai/v1/chat/completions"


def test_a_deployment_s_name_cannot_leave_its_place():
    sent = wires.request("azure", model="../a?b", base_url=ENDPOINT, tokens={"api-version": "2024-10-21"})
    assert sent.url == f"{ENDPOINT}/openai/deployments/..%2Fa%3Fb/chat/completions?api-version=2024-10-21"


def test_an_address_may_hold_the_path_of_the_newer_form():
    sent = wires.request("azure", base_url=f"{ENDPOINT}/openai/v1/")
    assert sent.url == f"{ENDPOINT}/openai/v1/chat/completions"


def test_a_key_has_a_header_of_its_own_and_a_token_is_a_bearer_token(told, web, monkeypatch):
    told()
    assert web.calls[0].request.headers["api-key"] == "az-test"
    monkeypatch.delenv("AZURE_OPENAI_API_KEY")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", TOKEN)
    told()
    assert web.calls[1].request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "api-key" not in web.calls[1].request.headers


def test_an_identity_without_a_role_is_told_which_one(web):
    error = {"code": "PermissionDenied", "message": "The principal `x` lacks the required data action `y`."}
    web.post(ANYWHERE, json={"error": error}, status=401)
    client = Client(model="azure/dep", base_url=ENDPOINT, api_key="eyJ0.eyJh.x", retry=0)
    with client, pytest.raises(PermissionDeniedError, match="Cognitive Services OpenAI User"):
        client.ask("Hi")


def test_without_a_key_nothing_is_sent_to_any_resource(web, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", ENDPOINT)
    with Client() as client, pytest.raises(MissingKeyError, match="AZURE_OPENAI_API_KEY, AZURE_API_KEY"):
        client.ask("Hi", model="azure/my-gpt")
    assert not web.calls


def test_without_an_address_the_variable_for_it_is_named(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-test")
    with Client(retry=0) as client, pytest.raises(ConnectError, match="Set AZURE_OPENAI_ENDPOINT"):
        client.ask("Hi", model="azure/my-gpt")


NO_DEPLOYMENT = r"azure needs the name of your deployment: model='azure/DEPLOYMENT'"


@pytest.mark.parametrize("model", ["azure", ["azure", "offline"], "azure/", None])
def test_without_a_deployment_one_is_asked_for_and_nothing_is_sent(model, web, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", ENDPOINT)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-test")
    with Client() as client, pytest.raises(UnknownModelError, match=NO_DEPLOYMENT):
        client.ask("Hi", model=model)
    assert not web.calls


def test_the_command_line_asks_for_a_deployment_in_its_own_words(web, monkeypatch, capsys):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-test")
    assert main(["-m", "azure", "Hi"]) == 2
    assert "-m azure/DEPLOYMENT" in capsys.readouterr().err
    assert not web.calls


def test_a_first_chunk_without_choices_says_nothing(told):
    reply = told()
    assert reply.text == "The capital of France is Paris, la Ville Lumière."
    assert (reply.model, reply.usage.total_tokens, reply.complete) == ("gpt-4o-mini-2024-07-18", 26, True)


def test_a_filtered_prompt_is_a_filter(told):
    inner = {"code": "ResponsibleAIPolicyViolation"}
    error = {"message": "The response was filtered", "code": "content_filter", "status": 400, "innererror": inner}
    body = json.dumps({"error": error}).encode()
    with pytest.raises(ContentFilteredError):
        told(body, status=400, content_type="application/json")


def test_it_lists_models_at_the_resource(told, web):
    web.get(f"{ENDPOINT}/openai/v1/models", json={"data": [{"id": "gpt-6-luna"}]})
    with Client(retry=0) as client:
        assert client.models("azure") == ["gpt-6-luna"]


@pytest.mark.parametrize(("message", "is_explained"), [("The audience is incorrect.", True), ("No.", False)])
def test_a_token_for_another_resource_names_the_scopes(message, is_explained):
    body = json.dumps({"error": {"code": "401", "message": message}}).encode()
    with RawServer([response(body, status="401 No")]) as server:
        client = Client(model="azure/mine", api_key="eyJ0.eyJ1.sig", base_url=server.url, retry=0)
        with client, pytest.raises(AuthenticationError) as caught:
            client.ask("Hi")
    assert ("https://ai.azure.com/.default" in str(caught.value)) == is_explained
