"""The functions of the package, on a client that is made on first use."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import aichatkit as ai
from aichatkit.api import default_client
from aichatkit.registry import registry


@pytest.fixture(autouse=True)
def fresh(monkeypatch, sandbox):
    """Start each test without a default client, in front of a sandbox."""
    default: list[ai.Client] = []
    monkeypatch.setattr("aichatkit.api._default", default)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    yield
    for made in default:
        made.close()


def test_ask_gives_a_reply():
    assert isinstance(ai.ask("Hi"), ai.Reply)


def test_stream_gives_a_stream():
    with ai.stream("Hi") as stream:
        assert "".join(stream) == stream.reply.text


def test_chat_gives_a_conversation():
    chat = ai.chat(system="Be brief.")
    chat.ask("Hi")
    assert (len(chat.history), chat.system) == (2, "Be brief.")


def test_image_gives_a_picture(monkeypatch, sandbox):
    monkeypatch.setattr(registry["aichats"], "base_url_env", "PICTURES")
    monkeypatch.setenv("PICTURES", sandbox.url)
    assert isinstance(ai.image("a cat", model="aichats/dalle"), ai.ImageResponse)


def test_models_lists_names():
    assert "gpt-6-sol" in ai.models("openai")
    assert "offline/eliza" in ai.models()


def test_options_of_a_call_are_passed_on(sandbox):
    ai.ask("Hi", model="openai/gpt-6-sol", temperature=0.3, system="Be brief.")
    body = sandbox.requests[-1].json()
    assert (body["model"], body["temperature"], len(body["messages"])) == ("gpt-6-sol", 0.3, 2)


def test_all_share_one_client():
    assert ai.chat().client is default_client() is ai.chat().client


def test_threads_that_come_first_together_get_one_client():
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: default_client(), range(32)))) == 1


def test_a_key_set_after_the_first_call_counts(monkeypatch, sandbox):
    ai.ask("Hi")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    ai.ask("Hi")
    keys = [request.headers["Authorization"] for request in sandbox.requests]
    assert keys == ["Bearer sk-test", "Bearer sk-other"]


def test_no_client_is_made_at_import():
    check = "import aichatkit.api; print(len(aichatkit.api._default))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60).stdout == "0\n"
