"""Vertex AI: Gemini and other publishers' models, at a project and a location."""

from __future__ import annotations

import json

import pytest
from recorded import recording

from aichatkit import Client
from aichatkit.errors import ChatError, ConfigurationError, MissingKeyError, ModelNotFoundError
from aichatkit.registry import registry

EVENT = 'data: {"choices": [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host(web, monkeypatch, location, host):
    if location is not None:
        monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", location)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    base = f"https://{host}/v1/projects/mine/locations/{location or 'global'}"
    web.post(f"{base}/publishers/google/models/gemini-3.8-flash:streamGenerateContent", body=recording("vertex"))
    web.post(f"{base}/endpoints/openapi/chat/completions", body=EVENT)
    with Client(model="vertex", api_key=lambda: "ya29.token", retry=0) as client:
        reply = client.ask("Hi")
        other = client.ask("Hi", model="vertex/meta/llama-4-maverick")
    assert (bool(reply.text), reply.provider, other.text, other.provider) == (True, "vertex", "Yes.", "vertex")
    requests = [call.request for call in web.calls]
    assert [request.headers["Authorization"] for request in requests] == ["Bearer ya29.token"] * 2
    assert requests[0].url.endswith("?alt=sse")
    assert json.loads(requests[1].body)["model"] == "meta/llama-4-maverick"


@pytest.mark.parametrize(
    "base_url", ["", "/v1", "/v1/projects/mine/locations/eu", "/v1/projects/mine/locations/eu/endpoints/openapi"]
)
def test_another_address_may_name_the_project_or_not(sandbox, monkeypatch, base_url):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "eu")
    with Client(base_url={"vertex": sandbox.url + base_url}, api_key={"vertex": "ya29.token"}, retry=0) as client:
        client.ask("Hi", model="vertex/gemini-3.8-flash")
        client.ask("Hi", model="vertex/google/gemini-3.8-flash")
    assert [request.path for request in sandbox.requests] == [
        "/v1/projects/mine/locations/eu/publishers/google/models/gemini-3.8-flash:streamGenerateContent",
        "/v1/projects/mine/locations/eu/endpoints/openapi/chat/completions",
    ]


def test_a_variable_may_hold_the_address(sandbox, monkeypatch):
    monkeypatch.setenv("GOOGLE_VERTEX_BASE_URL", sandbox.url)
    with Client(model="vertex", api_key="ya29.token", retry=0) as client:
        client.ask("Hi")
    assert sandbox.requests[0].path.startswith("/v1/projects/test-project/locations/global/publishers/google/")


def test_a_full_name_of_a_model_is_taken_as_it_is():
    assert registry["vertex"].for_model("publishers/google/models/gemini-x") is None
    request = registry["vertex"]().build_request([], "publishers/google/models/gemini-x")
    assert "/locations/global/publishers/google/models/gemini-x:stream" in request.url


@pytest.mark.parametrize("model", ["vertex/gemini-3.8-flash", "vertex/meta/llama-4-maverick"])
def test_no_project_is_guessed(monkeypatch, model):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    for options in ({}, {"base_url": "http://127.0.0.1:9"}):
        client = Client(model=model, api_key="ya29.token", retry=0, **options)
        with client, pytest.raises(ConfigurationError, match="vertex: no project; set GOOGLE_CLOUD_PROJECT"):
            client.ask("Hi")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GOOGLE_CLOUD_PROJECT", "mine/../yours"),
        ("GOOGLE_CLOUD_LOCATION", "evil.example/"),
        ("GOOGLE_CLOUD_LOCATION", "global-"),
    ],
)
def test_a_place_that_is_none_sends_nothing(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match="must be"):
        registry["vertex"].find_base_url()


@pytest.mark.parametrize("model", ["vertex/gemini-3.8-flash", "vertex/meta/llama-4-maverick"])
def test_credentials_are_needed_and_the_ways_to_pass_them_named(model):
    with Client(model=model) as client, pytest.raises(MissingKeyError, match=r"auth=aichatkit\.google_auth\(\)"):
        client.ask("Hi")


def test_an_api_key_goes_in_its_own_header_and_a_token_as_bearer():
    provider = registry["vertex"]()
    key = "AIza" + "x" * 30
    assert provider.sign(key) == ("x-goog-api-key", key)
    assert provider.sign("ya29.token") == ("Authorization", "Bearer ya29.token")


KEY = "AIza" + "x" * 30


@pytest.mark.parametrize("options", [{"api_key": KEY}, {"api_key": {"vertex": [KEY, KEY + "y"]}}, {}])
def test_an_api_key_may_stand_for_the_project(web, monkeypatch, options):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    if not options:
        monkeypatch.setenv("GOOGLE_VERTEX_API_KEY", KEY)
    url = "https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-3.8-flash:streamGenerateContent"
    web.post(url, body=recording("vertex"))
    with Client(model="vertex", retry=0, **options) as client:
        assert client.ask("Hi").text
    assert web.calls[0].request.headers["x-goog-api-key"] == KEY


@pytest.mark.parametrize("model", ["vertex/claude-sonnet-5-5", "vertex/meta/llama-4-maverick"])
def test_without_a_project_only_google_s_own_models_answer(web, monkeypatch, model):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    with Client(model=model, api_key=KEY) as client, pytest.raises(ConfigurationError, match="GOOGLE_CLOUD_PROJECT"):
        client.ask("Hi")
    assert not web.calls


def test_express_mode_needs_a_key_and_a_gateway_may_serve_it(sandbox, monkeypatch):
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    assert registry["vertex"]("https://aiplatform.googleapis.com/v1/publishers").wants_key()
    with Client(model="vertex/gemini-3.8-flash", base_url=f"{sandbox.url}/v1", api_key=KEY, retry=0) as client:
        client.ask("Hi")
    assert sandbox.requests[0].path == "/v1/publishers/google/models/gemini-3.8-flash:streamGenerateContent"


def test_a_gateway_may_do_without_credentials(sandbox):
    with Client(model="vertex", base_url=sandbox.url, retry=0) as client:
        assert client.ask("Hi").text


def test_the_sandbox_checks_the_token_of_vertex():
    from aichatkit.sandbox import Sandbox

    with Sandbox(api_keys=["ya29.good-token"]) as sandbox:
        with Client(model="vertex", base_url=sandbox.url, api_key="ya29.good-token", retry=0) as client:
            assert client.ask("Hi").text
        client = Client(model="vertex", base_url=sandbox.url, api_key="ya29.wrong-token", retry=0)
        with client, pytest.raises(Exception, match="API key"):
            client.ask("Hi")


def test_an_unknown_model_names_the_location(sandbox, monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")
    sandbox.script("model-not-found", "unauthorized")
    with Client(model="vertex", base_url=sandbox.url, api_key="ya29.token", retry=0) as client:
        with pytest.raises(ModelNotFoundError, match="the location is europe-west4; some models"):
            client.ask("Hi")
        with pytest.raises(ChatError) as caught:
            client.ask("Hi")
    assert "location" not in str(caught.value)
