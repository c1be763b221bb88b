"""Values that no call can use: an error of the package that names the option, before anything is sent or written."""

from __future__ import annotations

import os

import pytest

import aichatkit as ai
from aichatkit import Cache, Chat, ConfigurationError, search_saved
from aichatkit.middleware.telemetry import Telemetry
from aichatkit.params import parse_path, suggestion
from aichatkit.testing import Fake, Fault, RateLimit, Replay

EMBEDDER = "openai/text-embedding-3-small"


class BytesPath(os.PathLike):
    """A path as bytes, as the `os` module gives for folders that are named in bytes."""

    def __fspath__(self):
        return b"run.json"


#: Neither of them names a file: wrong types, nothing, a null character, and half of a character.
NO_PATHS = [0, True, b"run.json", BytesPath(), object(), ["run.json"], "a\0b.json", "a\ud800.json"]


def name_of(path):
    """Return what a test is named after: the value, or its type if the value shows its address in memory."""
    return type(path).__name__ if " at 0x" in repr(path) else repr(path)


@pytest.fixture
def fake():
    return Fake("Hi")


@pytest.fixture
def client(fake):
    with fake.client() as made:
        yield made


TAKE_PATHS = {
    "map": lambda path: Fake("Hi").client().map(["Hi"], resume=path),
    "embed": lambda path: Fake("Hi").client().embed(["Hi"], model=EMBEDDER, resume=path),
    "cache": lambda path: Fake("Hi").client(cache=path),
    "Cache": Cache,
    "log": lambda path: Fake("Hi").client(log=path),
    "save": lambda path: Fake("Hi").client().chat().save(path),
    "export": lambda path: Fake("Hi").client().chat().export(path),
    "load": Chat.load,
    "search_saved": search_saved,
    "save results": lambda path: Fake("Hi").client().map([], progress=False).save(path),
    "Replay": Replay,
    "mcp_config": ai.mcp_config,
}


@pytest.mark.parametrize("path", NO_PATHS, ids=name_of)
@pytest.mark.parametrize("take", TAKE_PATHS.values(), ids=list(TAKE_PATHS))
def test_what_cannot_be_a_path_is_refused(take, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="path"):
        take(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [path for path in NO_PATHS if path is not True], ids=name_of)
def test_what_cannot_be_a_bundle_is_refused(path, fake):
    with pytest.raises(ConfigurationError, match="verify"):
        fake.client(verify=path)


def test_a_path_may_be_named_in_bytes_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xff.md")
    assert parse_path(tmp_path / name, "") == str(tmp_path / name)


def test_a_path_in_bytes_can_be_read(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text('{"a": 1}\n', encoding="utf-8")
    assert client.ask("Hi", files=[BytesPath()]).text == "Hi"
    with pytest.raises(ConfigurationError, match="ending in"):
        client.map(BytesPath())


@pytest.mark.parametrize("option", ["api_key", "auth", "base_url", "hooks", "rate"])
def test_names_that_are_no_text_are_unknown(fake, option):
    with pytest.raises(ConfigurationError):
        fake.client(**{option: {1: "x"}})
    assert suggestion(1, ["a"]) == ""


@pytest.mark.parametrize("executor", [lambda: None, lambda: object(), int])
def test_a_function_that_makes_no_executor_is_refused(client, executor):
    with pytest.raises(ConfigurationError, match="executor: the function must return"):
        list(client.map(["Hi"], executor=executor, progress=False))
    with pytest.raises(ConfigurationError, match="executor: the function must return"):
        client.embed(["Hi"], model=EMBEDDER, executor=executor)


@pytest.mark.parametrize("count", [10**400, 2**63, -(10**400)])
@pytest.mark.parametrize("option", ["max_tokens", "seed", "top_k"])
def test_integers_that_no_service_can_store_are_refused(client, option, count):
    for call in (client.ask, client.estimate):
        with pytest.raises(ConfigurationError, match=option):
            call(["Hi"] if call == client.estimate else "Hi", **{option: count})


@pytest.mark.parametrize("name", [None, 1, b"openai", ["openai"], {}], ids=repr)
def test_a_model_that_is_no_text_is_refused(client, name):
    with pytest.raises(ConfigurationError, match="model_info"):
        client.model_info(name)
    if name is not None:
        with pytest.raises(ConfigurationError, match="models: the provider"):
            client.models(name)


@pytest.mark.parametrize("url", [1, b"https://x", ["https://x"]], ids=repr)
def test_an_address_of_a_service_that_is_no_text_is_refused(url):
    with pytest.raises(ConfigurationError, match="register"):
        ai.register("some-gateway", url=url)


@pytest.mark.parametrize("vector", [None, 1, "abc", [None], [float("nan")], [[1.0]]], ids=repr)
def test_what_is_no_vector_has_no_neighbours(client, vector):
    found = client.embed(["Hi"], model=EMBEDDER)
    with pytest.raises(ConfigurationError, match="nearest"):
        found.nearest(vector)


@pytest.mark.parametrize("words", [1, None, [None], object()], ids=["number", "nothing", "list", "object"])
def test_words_to_search_for_are_text(tmp_path, words):
    with pytest.raises(ConfigurationError, match="words"):
        search_saved(tmp_path, words)


def test_addresses_with_half_a_bracket_are_refused(client):
    with pytest.raises(ConfigurationError, match="files: the URL is damaged"):
        client.ask("Hi", files=["https://[::1/cat.png"])
    with pytest.raises(ConfigurationError, match="mcp: the URL"):
        ai.mcp("http://[::1")


@pytest.mark.parametrize("option", ["tracer_provider", "meter_provider"])
def test_providers_of_telemetry_are_those_of_opentelemetry(option):
    pytest.importorskip("opentelemetry")
    with pytest.raises(ConfigurationError, match=f"telemetry: {option}"):
        Telemetry(**{option: object()})


def test_signing_takes_names(monkeypatch):
    pytest.importorskip("requests_aws4auth")
    with pytest.raises(ConfigurationError, match="profile must be the name"):
        ai.aws_auth(region="eu-west-1", profile=["work"])


def test_scopes_are_a_list():
    pytest.importorskip("google.auth")
    for scopes in (1, None, "scope", [1]):
        with pytest.raises(ConfigurationError, match="scopes must be a list"):
            ai.google_auth(scopes=scopes)


@pytest.mark.parametrize("name", [1, ["cut"], None], ids=repr)
def test_a_fault_has_a_name(name):
    with pytest.raises(ConfigurationError, match="there is no fault"):
        Fault(name)


@pytest.mark.parametrize("seconds", ["soon", 10**400, float("inf"), [1]], ids=["text", "large", "infinite", "list"])
def test_a_rate_limit_is_told_in_seconds(seconds):
    with pytest.raises(ConfigurationError, match="retry_after"):
        RateLimit(retry_after=seconds)
