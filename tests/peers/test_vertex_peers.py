"""Claude on Vertex AI: our requests and those of Anthropic's own SDK are the same."""

from __future__ import annotations

import json

import pytest

from aichatkit import Client
from aichatkit.sandbox import Sandbox

TOKEN = "ya29.peers"


@pytest.fixture
def vertex(sdk_named):
    return sdk_named("anthropic_vertex")


def weather(city: str) -> str:
    """Tell the weather."""
    return "sunny"


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-sonnet-4-6@20260217"])
def test_our_requests_are_those_of_the_sdk(vertex, sandbox, monkeypatch, model):
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "eu")
    with Client(model=f"vertex/{model}", base_url=sandbox.url, api_key=TOKEN, retry=0) as client:
        client.ask("hello", system="Be kind.", tools=[weather])
    ours = sandbox.requests[-1]
    sent = json.loads(ours.body)
    version = sent.pop("anthropic_version")
    events = vertex.call("request_body", url=sandbox.url, key=TOKEN, body={**sent, "model": model})
    assert events[-1] == "message_stop"
    theirs = sandbox.requests[-1]
    read = json.loads(theirs.body)
    assert isinstance(read.pop("anthropic_version"), str)
    assert (sent, ours.path, ours.query) == (read, theirs.path, theirs.query)
    for request in (ours, theirs):
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert "anthropic-version" not in request.headers
    # Since its version 2.0 the SDK sends the date of Anthropic's own API; documented is this one.
    assert version == "vertex-2023-10-16"


@pytest.mark.parametrize("call", ["ask", "stream"])
def test_the_sandbox_answers_the_sdk(vertex, sandbox, call):
    sandbox.says("one two three")
    answer = vertex.call(call, url=sandbox.url, key=TOKEN, prompt="hello")
    assert "".join(answer.get("pieces", [answer.get("text")])) == "one two three"


def test_the_sdk_calls_a_tool_and_fills_a_schema(vertex, sandbox):
    done = vertex.call("use_tool", url=sandbox.url, prompt='call weather {"city": "Łódź"}', result="sunny")
    assert done["arguments"] == {"city": "Łódź"}
    assert vertex.call("structure", url=sandbox.url, prompt="Which city?") == {"name": "text", "population": 0}


def test_a_wrong_token_and_a_limit_are_told_apart_by_the_sdk(vertex):
    with Sandbox(api_keys=[TOKEN]) as sandbox:
        sandbox.script("rate-limit")
        assert vertex.fail("ask", url=sandbox.url, key=TOKEN, prompt="hello").status == 429
        assert "AuthenticationError" in vertex.fail("ask", url=sandbox.url, key="wrong", prompt="hello").errors
