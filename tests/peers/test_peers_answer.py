"""The servers alone, asked with plain requests: when one of these fails, look at the server, not at the package."""

from __future__ import annotations

import json

import peer_servers
import pytest
import requests

GREETING = "Hello from a real server: zażółć gęślą jaźń 🦊, twice over, in many small chunks."


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def ask(session, base_url, prompt, **kwargs):
    payload = {"model": "gpt-6-luna", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    kwargs.setdefault("headers", {"Authorization": "Bearer test"})
    return session.post(f"{base_url}/v1/chat/completions", json=payload, timeout=10, **kwargs)


def read(response):
    """Join the text of an OpenAI stream whose whole body is at hand."""
    response.raise_for_status()
    records = [line[6:] for line in response.content.decode("utf-8").split("\n") if line.startswith("data: ")]
    assert records.pop() == "[DONE]"
    choices = [choice for record in records for choice in json.loads(record)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def test_aimock_streams_the_answer_of_its_fixture(aimock, session):
    assert read(ask(session, aimock.url, "hello")) == GREETING


def test_aimock_speaks_ollama(aimock, session):
    payload = {"model": "llama3", "messages": [{"role": "user", "content": "hello"}]}
    response = session.post(f"{aimock.url}/api/chat", json=payload, timeout=10)
    records = [json.loads(line) for line in response.content.splitlines()]
    assert "".join(record["message"]["content"] for record in records) == GREETING
    assert records[-1]["done"]


@pytest.mark.parametrize(
    ("prompt", "status"), [("too many requests", 429), ("no money left", 429), ("break down", 500)]
)
def test_aimock_refuses_as_its_fixture_says(aimock, session, prompt, status):
    assert ask(session, aimock.url, prompt).status_code == status


def test_aimock_cuts_the_line(aimock, session):
    with pytest.raises(requests.RequestException):
        ask(session, aimock.url, "cut the line")


def test_aimock_can_ask_for_a_key(start, session):
    aimock = start(peer_servers.run_aimock, environment={"AIMOCK_API_KEYS": "right"})
    assert ask(session, aimock.url, "hello", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_llmock_echoes_the_prompt(llmock, session):
    assert "zażółć 🦊" in read(ask(session, llmock.url, "zażółć 🦊"))


def test_llmock_judges_its_client(start, session):
    llmock = start(peer_servers.run_llmock, "--error-rate-503", "1")
    for _ in range(3):
        assert ask(session, llmock.url, "hello").status_code == 503
    verdict = session.get(f"{llmock.url}/_llmock/verdict", timeout=10)
    assert "retry_after_ignored" in verdict.text


def test_squid_passes_plain_requests_on(squid, aimock, session):
    before = squid.log_text()
    assert read(ask(session, aimock.url, "hello", proxies={"http": squid.url})) == GREETING
    asked = f"POST {aimock.url}/v1/chat/completions"
    assert asked in peer_servers.eventually(lambda: squid.log_text()[len(before) :], lambda text: asked in text)


def test_squid_tunnels_to_tls(squid, nginx, aimock, session):
    front = nginx(aimock.url)
    answer = ask(session, front.url, "hello", proxies={"https": squid.url}, verify=str(front.ca_bundle))
    assert read(answer) == GREETING


def test_nginx_ends_tls_and_compresses(nginx, aimock, session):
    front = nginx(aimock.url)
    answer = ask(session, front.url, "hello", verify=str(front.ca_bundle))
    assert read(answer) == GREETING
    assert answer.headers["Content-Encoding"] == "gzip"


def test_nginx_is_refused_without_its_authority(nginx, aimock, session):
    with pytest.raises(requests.exceptions.SSLError):
        ask(session, nginx(aimock.url).url, "hello")


def test_socks_passes_requests_on(socks, aimock, session):
    assert read(ask(session, aimock.url, "hello", proxies={"http": socks.url})) == GREETING


def test_socks_wants_its_password(socks, aimock, session):
    with pytest.raises(requests.ConnectionError):
        ask(session, aimock.url, "hello", proxies={"http": socks.url.replace("sesame", "door")})
