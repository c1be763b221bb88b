"""Recording and playing: the same answer without the server, and nothing secret in the file."""

from __future__ import annotations

import json
import time

import pytest
import requests

import aichatkit as ai
from aichatkit import Client, ConfigurationError
from aichatkit.sandbox import RawServer, Sandbox
from aichatkit.sandbox.raw import chunk, chunked_head
from aichatkit.testing import Replay
from aichatkit.testing.recordings import RecordedRequest

KEY = "sk-recorded-0123456789"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "recordings" / "answers.json"


def record(path, ask, **options):
    """Record what `ask` asks of a sandbox that is gone afterwards; return its outcome and the sandbox."""
    with Sandbox(**options) as sandbox, Replay(path).installed():
        outcome = ask(sandbox.url)
    return outcome, sandbox


def ask(url, prompt="I am sad", model="openai", **options):
    urls = {"openai": f"{url}/v1"}
    key, extra = options.pop("api_key", KEY), options.pop("extra", None)
    with Client(model=model, base_url=urls.get(model, url), api_key=key, **options) as client:
        return client.ask(prompt, extra=extra)


def stream(url):
    with Client(model="openai", base_url=f"{url}/v1", api_key=KEY) as client, client.stream("I am sad") as found:
        return list(found), found.reply.complete


@pytest.mark.parametrize(
    "model", ["openai", "anthropic", "gemini", "cohere", "ollama", "aichats", "aichatonline", "aichatfree", "chatgptt"]
)
def test_what_was_recorded_is_played_without_the_server(path, model):
    keyed = {} if model in ("ollama", "aichats", "aichatonline", "aichatfree", "chatgptt") else {"api_key": KEY}
    options = {"model": model, "api_key": None, **keyed}
    real, sandbox = record(path, lambda url: ask(url, **options))
    with Replay(path, mode="none").installed():
        played = ask(sandbox.url, **options)
    assert (played.text, played.finish_reason, played.usage) == (real.text, real.finish_reason, real.usage)
    assert played.text


def test_a_stream_keeps_its_pieces(path):
    real, sandbox = record(path, stream)
    with Replay(path).installed():
        assert stream(sandbox.url) == real
    assert len(real[0]) > 3


def test_pieces_are_handed_on_while_they_are_recorded(path):
    first = b'data: {"choices": [{"delta": {"content": "Hel"}}]}\n\n'
    with RawServer((chunked_head(), chunk(first), "wait-close")) as server, Replay(path).installed():
        client = Client(model="openai", base_url=f"{server.url}/v1", api_key=KEY)
        found = client.stream("Hi")
        assert next(found) == "Hel"
        found.close()
        client.close()
    with Replay(path).installed(), pytest.raises(ai.StreamInterruptedError) as caught:
        ask(server.url, "Hi", retry=0)
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize(
    "fault", ["cut", "rate-limit,retry_after=70", "quota", "html", "split", "gzip", "wrong-length"]
)
def test_faults_are_played_as_well(path, fault):
    def outcome(url):
        try:
            return ask(f"{url}/fault/{fault}", retry=0).text
        except ai.ChatError as error:
            return type(error), error.partial, error.retry_after

    real, sandbox = record(path, outcome)
    with Replay(path).installed():
        assert outcome(sandbox.url) == real


def test_waits_are_recorded_in_real_time_and_played_in_none(path):
    def limited(url):
        return ask(f"{url}/fault/rate-limit,retry_after_ms=20,times=1").text

    real, sandbox = record(path, limited)
    started = time.monotonic()
    with Replay(path).installed() as replay:
        assert limited(sandbox.url) == real
    assert (replay.waits, time.monotonic() - started < 5) == ([0.02], True)


def test_playing_needs_no_key(path):
    _, sandbox = record(path, ask)
    with Replay(path).installed():
        assert Client(model="openai", base_url=f"{sandbox.url}/v1").ask("I am sad").text


def test_equal_requests_are_answered_in_the_order_they_were_recorded(path):
    def twice(url):
        return [ask(url, prompt).text for prompt in ("Hm", "I am sad", "Hm")]

    with Sandbox() as sandbox, Replay(path).installed():
        sandbox.says(["one", "two", "three"])
        assert twice(sandbox.url) == ["one", "two", "three"]
    with Replay(path).installed():
        assert twice(sandbox.url) == ["one", "two", "three"]


def test_many_threads_record_and_play(path):
    def many(url):
        client = Client(model="openai", base_url=f"{url}/v1", api_key=KEY)
        with client:
            return client.map([f"I am number {n}" for n in range(40)], workers=8, progress=False).text

    real, sandbox = record(path, many)
    with Replay(path).installed():
        assert many(sandbox.url) == real


def test_pictures_are_recorded_by_their_bytes(path):
    def draw(url):
        with Client(model="aichats/dalle", base_url=url) as client:
            return client.image("A cat").bytes()

    real, sandbox = record(path, draw)
    with Replay(path).installed():
        assert draw(sandbox.url) == real
    assert real.startswith(b"\x89PNG")


# What is not in the file.


def test_no_key_is_written_wherever_it_stood(path, monkeypatch):
    monkeypatch.setenv("OTHER_SERVICE_TOKEN", "swordfish-of-another")
    echo = b'data: {"choices": [{"delta": {"content": "sk-reco"}}]}\n\n'
    rest = b'data: {"choices": [{"delta": {"content": "%s"}, "finish_reason": "stop"}]}\n\n' % KEY.encode()
    spread = KEY.encode()
    head = chunked_head().replace(b"\r\n\r\n", b"\r\nSet-Cookie: id=cookie-crumbs\r\nX-Request-Id: %s\r\n\r\n" % spread)
    script = (head, chunk(echo), chunk(b": " + spread[:9]), 0.05, chunk(spread[9:] + b"\n\n"), chunk(rest), chunk(b""))
    with RawServer(script) as server, Replay(path).installed():
        ask(
            f"{server.url}/{KEY}",
            f"My key is {KEY}, hers AIzaSy{'A' * 33} and swordfish-of-another",
            headers={"Cookie": "visit=cookie-monster", "X-Api-Key": "second-key-123"},
            extra={"api_key": "third", "more": "second-key-123"},
        )
    written = path.read_text(encoding="utf-8")
    for secret in (KEY, "AIzaSy", "swordfish", "cookie", "second-key", "third"):
        assert secret not in written
    pieces = json.loads(written)["exchanges"][0]["response"]["pieces"]
    assert "sk-recorded" not in "".join(pieces)
    assert "My key is [hidden], hers [hidden] and [hidden]" in written
    with Replay(path).installed():
        played = ask(f"{server.url}/{KEY}", f"My key is {KEY}, hers AIzaSy{'A' * 33} and swordfish-of-another",
                     extra={"api_key": "x", "more": "[hidden]"})  # fmt: skip
    assert played.text.endswith("[hidden]")


@pytest.mark.parametrize(
    "shape",
    [
        "gsk_" + "a" * 40,
        "hf_" + "b" * 30,
        "xai-" + "c" * 30,
        "AKIA" + "D" * 16,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
def test_what_looks_like_a_key_is_not_written_whoever_s_it_is(shape):
    sent = RecordedRequest.of(
        "POST", f"https://x.example/v1?a={shape}", json.dumps({"text": f"<{shape}>"}).encode(), []
    )
    assert (sent.query, sent.body) == ({"a": "[hidden]"}, {"text": "<[hidden]>"})


def test_fields_of_an_address_that_are_named_like_keys_are_hidden():
    sent = RecordedRequest.of("GET", "https://u:p@x.example:8443/v1?key=abc&x-api-key=d&alt=sse", b"", [])
    assert sent.url == "https://x.example/v1"
    assert sent.query == {"key": "[hidden]", "x-api-key": "[hidden]", "alt": "sse"}


def test_long_strings_are_told_apart_by_a_digest():
    first, second = (
        RecordedRequest.of("POST", "https://x.example", json.dumps([size * "a"]).encode(), [])
        for size in (30000, 30001)
    )
    assert first.body[0].startswith("sha256:")
    assert first.lines() != second.lines()


def test_the_file_can_be_read_by_people(path):
    record(path, ask)
    entry = json.loads(path.read_text(encoding="utf-8"))["exchanges"][0]
    assert entry["request"]["body"]["messages"] == [{"role": "user", "content": "I am sad"}]
    assert [name.lower() for name, _ in entry["response"]["headers"]] == ["content-type"]
    assert "".join(entry["response"]["pieces"]).endswith("data: [DONE]\n\n")


# What does not fit.


def test_a_request_that_differs_is_shown_beside_the_recorded_one(path):
    _, sandbox = record(path, ask)
    with pytest.raises(AssertionError) as caught, Replay(path, again="make record").installed():
        ask(sandbox.url, "I am glad")
    told = str(caught.value)
    assert "nothing is recorded for this request; record again: make record" in told
    assert '-    "content": "I am sad",' in told
    assert '+    "content": "I am glad",' in told


def test_fields_may_be_ignored(path):
    _, sandbox = record(path, lambda url: ask(url, seed=1))
    with Replay(path).installed() as replay:
        replay.ignored.add("seed")
        assert ask(sandbox.url, seed=2).text


def test_asking_more_often_than_recorded_is_an_error(path):
    _, sandbox = record(path, ask)
    with Replay(path).installed() as replay:
        ask(sandbox.url)
        with pytest.raises(AssertionError, match=r"more often than recorded: POST http://127\.0\.0\.1/v1/chat"):
            ask(sandbox.url)
        replay._failures.clear()


def test_a_missing_recording_tells_how_to_make_it_even_where_the_error_is_caught(path):
    with (
        pytest.raises(AssertionError, match=r"cannot find .*answers.json; make it, with your key set: make record"),
        Replay(path, mode="none", again="make record").installed(),
        pytest.raises(AssertionError),
    ):
        ask("http://127.0.0.1:9")


def test_a_test_that_asks_nothing_needs_no_recording(path):
    with Replay(path, mode="none").installed():
        pass
    with Replay(path).installed():
        pass
    assert not path.exists()


def test_all_records_anew(path):
    record(path, ask)
    with Sandbox() as sandbox, Replay(path, mode="all").installed():
        sandbox.says("Anew.")
        ask(sandbox.url)
    with Replay(path).installed():
        assert ask(sandbox.url).text == "Anew."


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "exchanges": [{}]}', '{"format": 1}'])
def test_a_file_that_is_no_recording_is_told(path, text):
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ai.ConfigurationError, match="is not a recording"):
        Replay(path).install()


def test_an_unknown_mode_is_refused(path):
    with pytest.raises(ai.ConfigurationError, match="did you mean 'once'"):
        Replay(path, mode="onec")


def test_an_address_that_cannot_be_reached_is_not_recorded(path):
    with Replay(path).installed(), pytest.raises(ai.ConnectError):
        ask("http://127.0.0.1:9", retry=0)
    assert not path.exists()


def test_other_requests_of_the_process_are_not_recorded(path):
    with Sandbox() as sandbox, Replay(path).installed():
        requests.get(f"{sandbox.url}/v1/models", timeout=5)
    assert not path.exists()


@pytest.mark.parametrize("mode", ["once", "all"])
@pytest.mark.parametrize(("model", "told"), [("openai", "openai: no key"), (None, "no model was chosen")])
def test_a_first_recording_without_a_key_says_what_the_key_is_for(tmp_path, monkeypatch, mode, model, told):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    path = tmp_path / "r.json"
    replay = Replay(path, mode=mode)
    state = "does not exist yet" if mode == "once" else "is recorded again"
    with replay.installed(), Client(model=model) as client, pytest.raises(ConfigurationError) as caught:
        client.ask("Hi")
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith(f"; the key is needed to record the answers, as {path} {state}")
    with Client(model=model) as client, pytest.raises(ConfigurationError) as caught:
        client.ask("Hi")
    assert "record" not in str(caught.value)
