"""The offline provider: an ELIZA in this process, behind real HTTP."""

from __future__ import annotations

import os

import pytest

from aichatkit import Client
from aichatkit.providers import offline


@pytest.fixture
def own_sandboxes(monkeypatch):
    running = {}
    monkeypatch.setattr(offline, "_sandboxes", running)
    yield running
    for sandbox in running.values():
        sandbox.close()


def test_it_answers_without_a_key_a_network_or_a_setting(policy):
    with Client(model="offline", retry=policy) as client:
        reply = client.ask("I am sad")
    assert reply.text
    assert (reply.provider, reply.model, reply.complete) == ("offline", "eliza", True)
    assert reply.usage.output_tokens


def test_its_server_is_started_at_the_first_question_and_kept(own_sandboxes, policy):
    with Client(model="offline", retry=policy) as client:
        assert not own_sandboxes
        client.ask("Hi")
        first = dict(own_sandboxes)
        client.ask("Hi")
    assert list(first) == [os.getpid()]
    assert own_sandboxes == first


def test_another_process_starts_a_server_of_its_own(own_sandboxes, monkeypatch):
    ours = offline.Offline().prepare(None)["url"]
    monkeypatch.setattr(offline.os, "getpid", lambda: -1)
    assert offline.Offline().prepare(None)["url"] != ours


def test_no_proxy_comes_between(policy):
    with Client(model="offline", retry=policy, proxies="http://127.0.0.1:9") as client:
        assert client.ask("Hi").text
