"""Providers that users write: a gateway in a dozen lines, and a site with a protocol of its own."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict

import pytest
import requests
from responses.matchers import header_matcher, json_params_matcher

from aichatkit import events, register
from aichatkit.errors import (
    BadResponseError,
    ConfigurationError,
    MissingKeyError,
    QuotaExceededError,
    RateLimitError,
    StreamInterruptedError,
)
from aichatkit.providers.base import Provider
from aichatkit.providers.openai_compatible import OpenAICompatible
from aichatkit.registry import registry


class ExampleCloud(OpenAICompatible):
    """Chat with models hosted on Example Cloud."""

    name = "example-cloud"
    url = "https://api.example.com/v1"
    default_model = "example-small"
    api_key_env = "EXAMPLE_CLOUD_API_KEY"


class ExampleSite(Provider):
    """Chat with example.org's public assistant."""

    name = "example-site"
    url = "https://chat.example.org"
    default_model = "standard"
    iter_events = staticmethod(events.iter_json_lines)

    def prepare(self, http):
        return {"X-Session": http.get_json(f"{self.url}/api/session")["token"]}

    def build_request(self, messages, model):
        turns = [asdict(message) for message in messages]
        return requests.Request("POST", f"{self.url}/api/chat", json={"engine": model, "turns": turns})

    def parse_event(self, event):
        record = event.json()
        if record.get("error") == "limit":
            raise QuotaExceededError(f"{self.name}: session used up", status=200)
        return str(record.get("text", ""))


SESSION = f"{ExampleSite.url}/api/session"
CHAT = f"{ExampleSite.url}/api/chat"
CLOUD = f"{ExampleCloud.url}/chat/completions"
ANSWER = b'data: {"choices": [{"delta": {"content": "Hello!"}, "finish_reason": "stop"}]}\n\n'


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    assert register(ExampleCloud) is ExampleCloud
    assert register(ExampleSite) is ExampleSite


def test_a_gateway_is_asked_with_the_key_from_its_own_variable(online, web, monkeypatch):
    monkeypatch.setenv("EXAMPLE_CLOUD_API_KEY", "sk-cloud")
    web.post(CLOUD, body=ANSWER, match=[header_matcher({"Authorization": "Bearer sk-cloud"})])
    reply = online.ask("Hi", model="example-cloud")
    assert (reply.text, reply.provider, reply.model) == ("Hello!", "example-cloud", "example-small")


def test_a_gateway_takes_any_model_and_the_parameters_of_the_protocol(online, web, monkeypatch):
    monkeypatch.setenv("EXAMPLE_CLOUD_API_KEY", "sk-cloud")
    web.post(CLOUD, body=ANSWER, match=[json_params_matcher({"model": "a/b", "seed": 1}, strict_match=False)])
    assert online.ask("Hi", model="example-cloud/a/b", seed=1).text == "Hello!"


def test_a_gateway_without_its_key_names_the_variable(online, web):
    with pytest.raises(MissingKeyError, match="EXAMPLE_CLOUD_API_KEY"):
        online.ask("Hi", model="example-cloud")
    assert not web.calls


def test_a_gateway_is_short():
    assert len(inspect.getsource(ExampleCloud).splitlines()) <= 8


def test_a_site_is_asked_with_what_its_handshake_gave(online, web):
    web.get(SESSION, json={"token": "s-1"})
    web.post(CHAT, body=b'{"text": "Hel"}\n\n{"text": "lo!"}', match=[header_matcher({"X-Session": "s-1"})])
    reply = online.ask(["Hi", {"role": "assistant", "content": "Hm."}, "Well?"], model="example-site")
    assert (reply.text, reply.model, reply.complete) == ("Hello!", "standard", None)
    assert json.loads(web.calls[1].request.body) == {
        "engine": "standard",
        "turns": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hm."},
            {"role": "user", "content": "Well?"},
        ],
    }


def test_an_error_of_its_own_comes_out_as_it_is_and_is_not_retried(online, web, slept):
    web.get(SESSION, json={"token": "s-1"})
    web.post(CHAT, body=b'{"error": "limit"}')
    with pytest.raises(QuotaExceededError, match=r"^example-site: session used up$") as caught:
        online.ask("Hi", model="example-site")
    assert (caught.value.provider, caught.value.status, slept) == ("example-site", 200, [])


def test_a_refusal_needs_no_line_of_code(online, web, slept):
    web.get(SESSION, json={"token": "s-1"})
    web.post(CHAT, status=429, headers={"Retry-After": "7"})
    with pytest.raises(RateLimitError) as caught:
        online.ask("Hi", model="example-site")
    assert caught.value.retry_after == 7
    assert slept == [7.7, 7.7]


@pytest.mark.parametrize("session", [b"", b"{}", b"[]", b"null", b"<html></html>", b'{"tok'])
def test_a_handshake_that_cannot_be_read_names_the_provider(online, web, session):
    web.get(SESSION, body=session)
    with pytest.raises(BadResponseError, match="example-site"):
        online.ask("Hi", model="example-site")
    assert len(web.calls) == 1


@pytest.mark.parametrize("body", [b"[1]", b"nonsense", b"null", b"7\n"])
def test_an_answer_that_cannot_be_read_names_the_provider_and_shows_its_start(online, web, body):
    web.get(SESSION, json={"token": "s-1"})
    web.post(CHAT, body=body)
    with pytest.raises(BadResponseError, match="example-site") as caught:
        online.ask("Hi", model="example-site")
    assert body.decode().strip() in str(caught.value)


def test_an_answer_that_breaks_off_inside_a_record_keeps_its_text(online, web):
    web.get(SESSION, json={"token": "s-1"})
    web.post(CHAT, body=b'{"text": "Hel"}\n{"text": "l')
    with pytest.raises(StreamInterruptedError) as caught:
        online.ask("Hi", model="example-site")
    assert caught.value.partial == "Hel"


def test_an_address_of_its_own_moves_both_steps(web, policy):
    from aichatkit import Client

    web.get("http://10.0.0.7/x/api/session", json={"token": "s-1"})
    web.post("http://10.0.0.7/x/api/chat", body=b'{"text": "Hello!"}')
    with Client(model="example-site", base_url="http://10.0.0.7/x/", retry=policy) as client:
        assert client.ask("Hi").text == "Hello!"


def test_a_subclass_may_change_the_path_alone():
    class Beta(ExampleCloud):
        """The same with another path."""

        path = "/beta/chat"

    class Fixed(ExampleCloud):
        """The same with an endpoint elsewhere."""

        path = "/beta/chat"
        api_endpoint = "https://elsewhere.example/chat"

    assert Beta.api_endpoint == "https://api.example.com/v1/beta/chat"
    assert Fixed.api_endpoint == "https://elsewhere.example/chat"
    assert Fixed("https://gateway.example").api_endpoint == "https://elsewhere.example/chat"


@pytest.mark.parametrize("hook", ["build_request", "parse_event"])
def test_a_provider_without_a_hook_says_which_one_it_lacks(hook):
    class Empty(Provider):
        """Nothing yet."""

        name = "empty"
        url = "https://empty.example"

    with pytest.raises(NotImplementedError, match=f"Empty has no {hook}"):
        getattr(Empty(), hook)(*(["x"], "m")[: 2 if hook == "build_request" else 1])


def test_a_chunk_of_no_known_kind_is_an_error(online, web):
    class Odd(ExampleSite):
        """Takes numbers for text."""

        name = "odd"

        def parse_event(self, event):
            return 7

    register(Odd)
    web.get(SESSION, json={"token": "s-1"})
    web.post(CHAT, body=b"{}\n")
    with pytest.raises(BadResponseError, match="odd"):
        online.ask("Hi", model="odd")


def test_only_a_site_that_sends_notices_is_searched_for_them(online, web):
    class Trimmed(ExampleSite):
        """Starts with blanks, and never sends a notice in the place of an answer."""

        name = "trimmed"
        trims_start = True

    register(Trimmed)
    web.get(SESSION, json={"token": "s-1"})
    web.post(CHAT, body=b'{"text": " "}\n{"text": " You have reached"}\n{"text": " the limit."}')
    assert list(online.stream("Hi", model="trimmed")) == ["You have reached", " the limit."]


def test_a_prompt_its_hook_cannot_build_is_no_crash(online, web):
    class Picky(ExampleSite):
        """Looks for what is not there."""

        name = "picky"

        def build_request(self, messages, model):
            return messages[0].content["text"]

    register(Picky)
    web.get(SESSION, json={"token": "s-1"})
    with pytest.raises(BadResponseError, match="picky"):
        online.ask("Hi", model="picky")


def test_a_version_in_an_address_of_its_own_is_not_doubled():
    class Versioned(OpenAICompatible):
        """Has the version as the first part of its paths."""

        name = "versioned"
        url = "https://versioned.example"
        version = "/v1"
        path = "/v1/chat/completions"

    endpoints = {Versioned(url).api_endpoint for url in ("http://v.example", "http://v.example/v1/")}
    assert endpoints == {"http://v.example/v1/chat/completions"}


def test_several_variables_may_hold_the_key_and_the_first_that_is_set_counts(monkeypatch):
    class Two(ExampleCloud):
        """Known under two names."""

        name = "two"
        api_key_env = ("TWO_API_KEY", "TWO_OLD_API_KEY")
        base_url_env = "TWO_BASE_URL"

    assert (Two.find_key(), Two.find_base_url(), ExampleCloud.find_base_url()) == (None, None, None)
    monkeypatch.setenv("TWO_OLD_API_KEY", "old")
    monkeypatch.setenv("TWO_BASE_URL", "http://two.example/v1")
    assert (Two.find_key(), Two.find_base_url()) == ("old", "http://two.example/v1")
    monkeypatch.setenv("TWO_API_KEY", "new")
    assert Two.find_key() == "new"
    monkeypatch.setenv("TWO_BASE_URL", "")
    assert Two.find_base_url() is None
    assert "TWO_API_KEY, TWO_OLD_API_KEY" in str(Two.missing_key())
    assert isinstance(Two.missing_key(), ConfigurationError)
