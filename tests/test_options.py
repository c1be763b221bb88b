"""The values of options, checked before anything is sent."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from aichatkit import Client, ConfigurationError, Rate
from aichatkit.call.build import build_call
from aichatkit.options import (
    CALL_OPTIONS,
    parse_extra,
    parse_headers,
    parse_hooks,
    parse_proxies,
    parse_rates,
    parse_url,
    parse_verify,
)


def test_nothing_given_is_nothing():
    assert (parse_hooks(None), parse_headers(None), parse_extra(None), parse_proxies(None), parse_rates(None)) == (
        {},
        {},
        {},
        {},
        {},
    )


def test_hooks_are_known_and_callable():
    assert parse_hooks({"wait": print}) == {"wait": print}


@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        ([print], "must be a dict"),
        ({"wiat": print}, "no hook 'wiat'; did you mean 'wait'"),
        ({"wait": 5}, "wait must be callable, not int"),
    ],
)
def test_other_hooks_are_refused(hooks, told):
    with pytest.raises(ConfigurationError, match=told):
        parse_hooks(hooks)


def test_headers_are_names_with_text():
    given = {"X-Title": "Grüße", "x_y": ""}
    assert parse_headers(given) == given


@pytest.mark.parametrize(
    "headers",
    [
        "X: y",
        {"X": "a\r\nY: b"},
        {"X\n": "a"},
        {"X Y": "a"},
        {"X:": "a"},
        {"": "a"},
        {1: "a"},
        {"X": 1},
        {"X": b"a"},
        {"X": "日本"},
        {"X": "a\x00"},
    ],
)
def test_what_could_become_a_second_header_or_none_is_refused(headers):
    with pytest.raises(ConfigurationError, match="headers"):
        parse_headers(headers)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "https://example.com", "HTTPS://example.com"])
def test_addresses_are_taken(url):
    assert parse_url(url) == url


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://example.com", "http://", "https:///v1", "http://a\nb", 5, ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="base_url"):
        parse_url(url)


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(ConfigurationError, match="pass session=") as caught:
        parse_url("https://user:hunter2@llm.example/v1")
    assert "hunter2" not in str(caught.value)


def test_one_proxy_is_for_all():
    assert parse_proxies("http://p:1") == {"http": "http://p:1", "https": "http://p:1"}
    assert parse_proxies({"https": "http://p:1"}) == {"https": "http://p:1"}


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("https:", "did you mean 'https'"),
        ("https://", "did you mean 'https'"),
        ("HTTPS", "did you mean 'https'"),
        ("httsp", "did you mean 'http'"),
        ("htps://api.example.com", "did you mean 'https'"),
        ("HTTPS://api.example.com", "did you mean 'https'"),
        ("no-proxy", "did you mean 'no_proxy'"),
        ("", "'http', 'https', 'all'"),
        ("*", "'http', 'https', 'all'"),
        ("api.example.com:443", "'http', 'https', 'all'"),
        ("https://api.example.com:443", "did you mean 'https://api.example.com'?"),
        ("https://me:secret@proxy.example:3128", "did you mean 'https://proxy.example'?"),
        ("https://API.example.com", "did you mean 'https://api.example.com'?"),
        ("https://api.example.com/v1", "did you mean 'https://api.example.com'?"),
    ],
)
def test_a_key_by_which_no_proxy_would_be_found_is_refused(key, hint):
    with pytest.raises(ConfigurationError, match="proxies: no URL has the key") as caught:
        parse_proxies({key: "http://p:1"})
    assert hint in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["http", "https", "all", "ftp", "no", "rsync", "socks", "https://api.example.com", "all://h", "http://::1"]
)
def test_keys_of_proxies_are_those_of_requests_and_of_the_environment(key):
    assert parse_proxies({key: "http://p:1"}) == {key: "http://p:1"}


@pytest.mark.parametrize("proxies", [5, ["http://p:1"], {"https": None}, {1: "http://p:1"}])
def test_what_is_no_proxy_is_refused(proxies):
    with pytest.raises(ConfigurationError, match="proxies"):
        parse_proxies(proxies)


def test_rates_go_by_provider():
    assert parse_rates("60/min") == {"": Rate.of("60/min")}
    assert parse_rates({"openai": "60/min"}) == {"openai": Rate.of("60/min")}


def test_extra_is_a_dict(client, sandbox):
    assert parse_extra({"a": 1}) == {"a": 1}
    with pytest.raises(ConfigurationError, match="extra"):
        client.ask("Hi", extra="a=1")
    assert sandbox.requests == []


def test_the_options_of_a_call_are_those_its_methods_take():
    taken = {
        name
        for name, parameter in inspect.signature(build_call).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert set(CALL_OPTIONS) == taken


@pytest.mark.parametrize("verify", [None, True, False, "/etc/ca.pem"])
def test_what_verifies_stays_as_it_is(verify):
    assert parse_verify(verify) is verify


def test_a_bundle_may_be_a_path():
    assert parse_verify(Path("/etc/ca.pem")) == "/etc/ca.pem"


@pytest.mark.parametrize("verify", ["", 0, 1, [], b"ca.pem"])
def test_nothing_but_false_switches_verification_off(verify):
    with pytest.raises(ConfigurationError, match="verify: must be True, False or the path"):
        Client(model="openai/m", verify=verify)


@pytest.mark.parametrize("url", ["localhost:8000", "http://[::1", "http://"])
def test_an_address_from_the_environment_is_checked_and_the_variable_named(monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    client = Client(model="openai/m", api_key="sk-test")
    with client, pytest.raises(ConfigurationError, match="OPENAI_BASE_URL") as caught:
        client.ask("Hi")
    assert (caught.value.provider, caught.value.model) == ("openai", "m")


@pytest.mark.parametrize("url", [" https://a.example/v1", "https://a.example/v1 ", "\thttps://a.example/v1\r\n"])
def test_blanks_around_an_address_are_left_out(url):
    assert parse_url(url) == "https://a.example/v1"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://a.example:99999/v1", "port"),
        ("http://a.example:0", "port"),
        ("http://a.example:x/v1", "port"),
        ("http://a.example:-1", "port"),
        ("https://a.example/v1?api-version=1", r"before the \?"),
        ("https://a.example?k=sk-secret-0123", r"before the \?"),
        ("https://a.example/v1#top", "before the #"),
        ("https://a b.example/v1", "must start"),
        ("https://a.example/v1/chat/completions", "/chat/completions is added"),
        ("https://a.example/v1/chat/completions/", "/chat/completions is added"),
        ("https://a.example/v1/messages", "/v1/messages is added"),
        ("https://a.example/v1/responses", "/v1/responses is added"),
        ("https://a.example/v1/embeddings", "/v1/embeddings is added"),
        ("https://a.example/v1/images/generations", "/v1/images/generations is added"),
        ("https://a.example/v2/chat", "/v2/chat is added"),
        ("https://a.example/v1beta/models/gemini-flash-latest:generateContent", "generateContent is added"),
        ("https://a.example/v1beta/models/gemini-flash-latest:streamGenerateContent", "treamGenerateContent is added"),
    ],
)
def test_what_no_path_can_be_added_to_is_refused(url, told):
    with pytest.raises(ConfigurationError, match=told) as caught:
        parse_url(url, source="OPENAI_BASE_URL")
    assert str(caught.value).startswith("OPENAI_BASE_URL: ")
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai", "/chat/completions"),
        ("openai-responses", "/responses"),
        ("ollama", "/api/chat"),
        ("cohere", "/v2/chat"),
    ],
)
def test_the_whole_endpoint_of_a_provider_is_refused(name, path):
    with pytest.raises(ConfigurationError, match=f"{path} is added"):
        Client(model=f"{name}/m", base_url="https://a.example" + path, api_key="sk-test-1").ask("Hi")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("localhost:3128", "http://localhost:3128"),
        ("me:pw@proxy.example:3128", "http://me:pw@proxy.example:3128"),
        ("proxy.example", "http://proxy.example"),
        ("socks5h://proxy.example:9", "socks5h://proxy.example:9"),
        ("", ""),
    ],
)
def test_a_proxy_without_a_scheme_is_one_of_http(given, taken):
    assert parse_proxies(given) == {"http": taken, "https": taken}


def test_hosts_without_a_proxy_are_no_address():
    assert parse_proxies({"no_proxy": "localhost,a.example:1"}) == {"no_proxy": "localhost,a.example:1"}


@pytest.mark.parametrize("port", ["99999", "0", "x"])
def test_a_port_of_a_proxy_is_one(port):
    with pytest.raises(ConfigurationError, match="'https' needs a port"):
        parse_proxies({"https": f"http://proxy.example:{port}"})
