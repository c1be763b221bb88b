"""Estimates: what a run will take, without a call."""

from __future__ import annotations

import hashlib
import sys
import types

import pytest

from aichatkit import Client
from aichatkit.catalog import tokens
from aichatkit.catalog.tokens import count_tokens
from aichatkit.errors import ConfigurationError
from aichatkit.middleware.estimates import highest_cost


@pytest.fixture(autouse=True)
def fresh():
    tokens._encoder.cache_clear()
    yield
    tokens._encoder.cache_clear()


@pytest.fixture
def plain(monkeypatch):
    """A machine without tiktoken."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)


@pytest.fixture
def tiktoken(monkeypatch, tmp_path):
    """A tiktoken that counts words, and where its tables are kept."""

    def name_for(model):
        if model != "gpt-4o-mini":
            raise KeyError(model)
        return "o200k_base"

    encoding = types.SimpleNamespace(encode_ordinary=str.split)
    fake = types.SimpleNamespace(encoding_name_for_model=name_for, get_encoding=lambda name: encoding)
    monkeypatch.setitem(sys.modules, "tiktoken", fake)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    url = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    return tmp_path / hashlib.sha1(url.encode()).hexdigest()


@pytest.mark.usefixtures("plain")
def test_calls_tokens_and_money_are_told_without_a_call(client, sandbox):
    estimate = client.estimate(["x" * 40] * 10, max_tokens=100, model="openai/gpt-4o")
    assert (estimate.calls, estimate.input_tokens, estimate.output_tokens) == (10, 140, 1000)
    assert estimate.cost == pytest.approx(140 * 2.5e-6 + 1000 * 10e-6)
    assert sandbox.requests == []


@pytest.mark.usefixtures("plain")
def test_an_answer_without_a_bound_is_taken_to_be_short(client):
    assert client.estimate(["Hi"]).output_tokens == 256


@pytest.mark.usefixtures("plain")
def test_the_template_and_the_system_prompt_and_the_schema_count(client):
    bare = client.estimate(["Hi"]).input_tokens
    assert client.estimate(["Hi"], "Say {it} in Latin").input_tokens > bare
    assert client.estimate(["Hi"], system="Be brief.").input_tokens > bare
    assert client.estimate(["Hi"], schema=int).input_tokens > bare


@pytest.mark.usefixtures("plain")
def test_a_file_has_a_count_of_its_own(client):
    bare = client.estimate(["Hi"]).input_tokens
    assert client.estimate(["Hi"], files=[b"\x89PNG\r\n\x1a\n"]).input_tokens == bare + 1000


def test_a_price_that_is_not_known_is_none():
    with Client(model="openai/new-model") as client:
        assert client.estimate(["Hi"]).cost is None
        assert client.estimate(["Hi"], model=["openai/gpt-4o", "openai/new"]).cost is None


def test_the_dearest_of_several_counts():
    with Client() as client:
        dear = client.estimate(["Hi"], model="openai/gpt-4").cost
        assert client.estimate(["Hi"], model=["offline", "openai/gpt-4", "openai/gpt-4o"]).cost == dear


def test_rows_without_words_count_nothing(client):
    assert client.estimate(["Hi", "", "Hi"]) == client.estimate(["Hi", "Hi"])


def test_rows_that_cannot_be_asked_count_nothing(client):
    assert client.estimate([{"a": "x"}, {"a": None}], "{a}").calls == 1


def test_an_unknown_option_is_refused(client):
    with pytest.raises(ConfigurationError, match="unknown option"):
        client.estimate(["Hi"], temprature=1)


def test_tokens_are_counted_where_the_tables_are_there(tiktoken, client):
    tiktoken.write_bytes(b"")
    assert count_tokens("three whole words", "gpt-4o-mini") == 3
    assert count_tokens("three whole words", "another") == 5


def test_nothing_is_fetched_where_the_tables_are_missing(tiktoken):
    assert count_tokens("three whole words", "gpt-4o-mini") == 5


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("model", "options", "dollars"),
    [
        ("openai/gpt-6-luna", {"max_tokens": 100}, 14 * 0.125 + 100 * 0.5),
        ("openai/gpt-6-luna", {}, 14 * 0.125 + 128_000 * 0.5),
        ("groq/openai/gpt-oss-120b", {"max_tokens": 100}, 14 * 0.15 + 100 * 0.6),
        ("deepseek/deepseek-flash", {"max_tokens": 100}, 2 * (14 * 0.15 + 100 * 0.6)),
        ("dashscope/qwen-plus", {"max_tokens": 100}, 14 * 0.4 + 100 * 4),
        ("openai/mine", {}, 14 * 1 + 128_000 * 2),
        (["offline", "openai/mine"], {"max_tokens": 100}, 14 * 1 + 100 * 2),
        ("openai/unheard-of", {}, 0),
        ("anthropic/claude-sonnet-5-5", {"max_tokens": 100}, 14 * 2.5 + 100 * 10),
        ("anthropic/claude-sonnet-5-5", {"max_tokens": 100, "prompt_cache": "1h"}, 14 * 4 + 100 * 10),
        ("anthropic/claude-sonnet-5-5", {"max_tokens": 100, "prompt_cache": False}, 14 * 2 + 100 * 10),
    ],
)
def test_the_most_an_answer_may_cost(model, options, dollars):
    with Client(model=model, prices={"openai/mine": (1, 2)}) as client:
        call = client._build_call("x" * 40, 1, **options)
        assert highest_cost(call) == pytest.approx(dollars / 1e6)


@pytest.mark.usefixtures("plain")
def test_a_fee_for_each_request_counts():
    with Client(prices={"openai/mine": {"input": 0, "output": 0, "per_request": 0.25}}) as client:
        assert client.estimate(["Hi"] * 4, model="openai/mine").cost == 1.0
