"""Claude on Vertex AI: the model is in the URL, the version in the body, the credentials and places those of Vertex."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
import requests

import aichatkit as ai
from aichatkit import Client
from aichatkit.call.cost import cost_at
from aichatkit.catalog.models import Catalog
from aichatkit.chunks import Thought, ToolCall
from aichatkit.errors import (
    AuthenticationError,
    ConfigurationError,
    MissingKeyError,
    ModelNotFoundError,
    PermissionDeniedError,
    RateLimitError,
)
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage
from aichatkit.providers.vertex_claude import VertexClaude
from aichatkit.registry import registry
from aichatkit.sandbox import Sandbox

TOKEN = "ya29.token"
STREAM = (
    'data: {"type": "message_start", "message": {"model": "claude-sonnet-5-5", "usage": {"input_tokens": 9}}}\n\n'
    'data: {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Yes."}}\n\n'
    'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}\n\n'
    'data: {"type": "message_stop"}\n\n'
)


@pytest.fixture(autouse=True)
def place(monkeypatch):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "eu")


@pytest.fixture
def client(sandbox):
    with Client(model="vertex/claude-sonnet-5-5", base_url=sandbox.url, api_key=TOKEN, retry=0) as client:
        yield client


def sent_to(sandbox):
    request = sandbox.requests[-1]
    return request, json.loads(request.body)


@pytest.mark.parametrize(
    "model",
    [
        "claude-sonnet-5-5",
        "claude-sonnet-4-6@20260217",
        "anthropic/claude-sonnet-5-5",
        "publishers/anthropic/models/claude-sonnet-5-5",
    ],
)
def test_a_model_is_known_by_its_name_or_its_publisher(sandbox, client, model):
    assert registry["vertex"].for_model(model) is VertexClaude
    reply = client.ask("Hi", model=f"vertex/{model}")
    request, body = sent_to(sandbox)
    name = model.rpartition("/")[2]
    path = "/v1/projects/mine/locations/eu/publishers/anthropic/models/"
    assert (request.path, reply.provider) == (f"{path}{name}:streamRawPredict", "vertex")
    assert "model" not in body
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert not {"anthropic-version", "x-api-key"} & request.headers.keys()


def test_a_name_cannot_lead_to_another_path():
    request = VertexClaude().build_request([], "claude-x/../y:rawPredict?z")
    assert request.url.endswith("/publishers/anthropic/models/claude-x%2F..%2Fy%3ArawPredict%3Fz:streamRawPredict")


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host_and_its_price(web, monkeypatch, location, host):
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", location)
    base = f"https://{host}/v1/projects/mine/locations/{location}/publishers/anthropic/models"
    web.post(f"{base}/claude-sonnet-5-5:streamRawPredict", body=STREAM, content_type="text/event-stream")
    with Client(model="vertex/claude-sonnet-5-5", api_key=lambda: TOKEN, retry=0) as client:
        reply = client.ask("Hi")
    factor = 1 if location == "global" else 1.1
    assert reply.text == "Yes."
    assert reply.cost == pytest.approx(factor * (9 * 2 + 2 * 10) / 1e6)


def test_an_older_model_has_the_surcharge_as_well_and_only_there():
    usage = ai.Usage(input_tokens=1_000_000, output_tokens=0)
    at = datetime(2026, 11, 26, tzinfo=timezone.utc)
    vertex = VertexClaude("https://aiplatform.eu.rep.googleapis.com/v1/projects/mine/locations/eu")
    for model in ("claude-haiku-4-5", "claude-haiku-4-5@20251001", "claude-haiku-4-5@default"):
        assert cost_at(vertex, model, usage, Catalog(), at=at) == pytest.approx(1.1)
    assert cost_at(registry["anthropic"](), "claude-haiku-4-5", usage, Catalog(), at=at) == 1.0


def test_tools_schema_cache_and_search_are_those_of_claude(sandbox, client):
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"sunny in {city}"

    assert "sunny" in client.ask('call weather {"city": "Oslo"}', tools=[weather]).text
    assert sent_to(sandbox)[1]["tools"][0]["input_schema"]["required"] == ["city"]
    assert client.ask("Which city?", schema={"type": "object", "properties": {"name": {"type": "string"}}}).data
    assert sent_to(sandbox)[1]["output_config"]["format"]["type"] == "json_schema"
    long = "word " * 6000
    for _ in range(2):
        reply = client.ask("Hi", system=long, prompt_cache=True)
    assert reply.usage.cached_tokens > 1000
    client.ask("Hi", search=True)
    assert sent_to(sandbox)[1]["tools"][0]["type"] == "web_search_20250305"


CALL = ToolCall("t1", "now", {}, "vertex:c2ln")
RESULT = ToolResultMessage("tool", "noon", call=CALL)
THOUGHTS = (Thought("Hm.", "vertex:c2ln"), Thought("", 'vertex:{"reasoning_details": []}'), Thought("", "gemini:x"))


def turns_of(message, model):
    provider = (registry["vertex"].for_model(model) or registry["vertex"])()
    body = provider.build_request([Message("user", "Hi"), message, RESULT], model).json
    return body.get("messages") or body.get("contents")


def test_what_claude_has_signed_goes_back_to_it_and_nothing_else():
    message = ToolCallsMessage("assistant", "", (CALL,), thoughts=THOUGHTS)
    blocks = turns_of(message, "claude-sonnet-5-5")[1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert blocks[0]["signature"] == "c2ln"


def test_what_a_model_has_made_with_tools_of_its_own_goes_back_to_it_alone():
    of_claude = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "text", "text": "!"},
    ]
    of_gemini = [{"toolCall": {"id": "s"}}, {"type": "text", "text": "!"}]
    for blocks, at_home in ((of_claude, "claude-sonnet-5-5"), (of_gemini, "gemini-3.8-flash")):
        message = ToolCallsMessage("assistant", "", (CALL,), blocks=blocks, origin="vertex")
        own = "server_tool_use" if at_home.startswith("claude") else "toolCall"
        for model in ("claude-sonnet-5-5", "gemini-3.8-flash"):
            assert (own in json.dumps(turns_of(message, model))) == (model == at_home)


def test_errors_of_google_and_of_claude_have_their_classes(sandbox, client):
    sandbox.script("rate-limit", "model-not-found", "unauthorized", "forbidden")
    with pytest.raises(RateLimitError, match="online_prediction_requests"):
        client.ask("Hi")
    with pytest.raises(ModelNotFoundError, match="the location is eu; some models"):
        client.ask("Hi")
    with pytest.raises(AuthenticationError, match="OAuth 2 access token"):
        client.ask("Hi")
    with pytest.raises(PermissionDeniedError, match=r"aiplatform\.endpoints\.predict"):
        client.ask("Hi")


def test_the_sandbox_checks_token_version_and_model():
    url = "/v1/projects/mine/locations/eu/publishers/anthropic/models/claude-sonnet-5-5:rawPredict"
    body = {"anthropic_version": "v", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    with Sandbox(api_keys=[TOKEN]) as sandbox:

        def post(record, token=TOKEN):
            headers = {"Authorization": f"Bearer {token}"}
            return requests.post(sandbox.url + url, json=record, headers=headers, timeout=10)

        assert post(body).json()["model"] == "claude-sonnet-5-5"
        assert post(body, "other").json()["error"]["status"] == "UNAUTHENTICATED"
        assert "Extra inputs" in post({**body, "model": "claude-sonnet-5-5"}).json()["error"]["message"]
        assert "anthropic_version" in post({**body, "anthropic_version": None}).json()["error"]["message"]


def test_credentials_and_a_project_are_needed(monkeypatch):
    with Client(model="vertex/claude-sonnet-5-5") as client, pytest.raises(MissingKeyError, match="google_auth"):
        client.ask("Hi")
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    client = Client(model="vertex/claude-sonnet-5-5", api_key=TOKEN)
    with client, pytest.raises(ConfigurationError, match="no project"):
        client.ask("Hi")


def test_the_catalog_knows_it():
    info = ai.model_info("vertex/claude-sonnet-5-5")
    assert (info.provider, info.prices.input) == ("vertex", 2)
    assert ai.model_info("vertex/anthropic/claude-sonnet-5-5").context_window == info.context_window
    with pytest.raises(ai.UnknownModelError, match="did you mean claude-sonnet-5-5"):
        ai.model_info("vertex/claude-sonnet-5-6")
    assert ai.model_info("vertex/publishers/google/models/gemini-3.8-flash").prices.input
