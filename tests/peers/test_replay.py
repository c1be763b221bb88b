"""Tools that stand in for the network: vcrpy, requests-mock and requests-cache, with the client unchanged."""

from __future__ import annotations

import json

import pytest
import requests

from aichatkit import Client, QuotaExceededError, RateLimitError, StreamInterruptedError
from aichatkit.sandbox import Sandbox

KEY = "sk-never-on-tape"
SAYING = "zażółć gęślą jaźń 🦊 from the tape"


@pytest.fixture
def connect(policy):
    """Make clients that ask at an address, closed after the test: `connect(url, session=...)`."""
    made = []

    def make(url, **options):
        settings = {"model": "openai", "api_key": KEY, "base_url": f"{url}/v1", "retry": policy}
        made.append(Client(**{**settings, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(params=["the client's own session", "a user's session"])
def session(request):
    """Both ways to send."""
    if request.param.startswith("the client"):
        yield None
    else:
        with requests.Session() as session:
            yield session


@pytest.fixture
def tape(tmp_path):
    """A recorder with one tape, as users set it up: the key is filtered."""
    vcr = pytest.importorskip("vcr", reason="vcrpy needs Python 3.11")
    recorder = vcr.VCR(filter_headers=["authorization"], match_on=["method", "uri", "body"])
    return lambda mode: recorder.use_cassette(str(tmp_path / "tape.yaml"), record_mode=mode)


def test_vcr_plays_the_answer_with_the_service_gone(connect, session, tape):
    with Sandbox() as sandbox:
        sandbox.says(SAYING)
        url = sandbox.url
        with tape("once"):
            recorded = connect(url, session=session).ask("hello")
    with tape("none") as player:
        played = connect(url, session=session).ask("hello")
    assert player.all_played
    assert recorded.text == played.text == SAYING
    assert played.complete
    assert played.usage == recorded.usage


def test_vcr_plays_to_a_stream_as_well(connect, session, tape):
    with Sandbox() as sandbox, tape("once"):
        sandbox.says(SAYING)
        url = sandbox.url
        connect(url, session=session).ask("hello")
    with tape("none"), connect(url, session=session).stream("hello") as stream:
        assert "".join(stream) == SAYING


def test_vcr_tape_holds_no_key(connect, session, tape, tmp_path):
    with Sandbox() as sandbox, tape("once"):
        connect(sandbox.url, session=session).ask("hello")
        assert sandbox.requests[-1].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in (tmp_path / "tape.yaml").read_text()


def test_vcr_plays_a_refusal_as_our_error(connect, session, tape):
    with Sandbox(faults=["quota"]) as sandbox, tape("once"):
        url = sandbox.url
        with pytest.raises(QuotaExceededError):
            connect(url, session=session).ask("hello")
    with tape("none"), pytest.raises(QuotaExceededError):
        connect(url, session=session).ask("hello")


def test_vcr_says_so_when_the_tape_has_no_answer(connect, session, tape):
    with tape("none"), pytest.raises(Exception, match=r"Can't (overwrite|play back)"):
        connect("http://127.0.0.1:9", session=session).ask("never recorded")


URL = "http://service.example"
ENDPOINT = f"{URL}/v1/chat/completions"


def sse(*texts, end=True):
    records = [{"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} for text in texts]
    if end:
        records.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    lines = [f"data: {json.dumps(record, ensure_ascii=False)}\n\n" for record in records]
    return "".join([*lines, "data: [DONE]\n\n" if end else ""]).encode()


STREAM = {"content": sse("zażółć ", "🦊"), "headers": {"Content-Type": "text/event-stream"}}


def test_requests_mock_answers_in_place_of_the_network(connect, session, requests_mock):
    requests_mock.post(ENDPOINT, **STREAM)
    reply = connect(URL, session=session).ask("hello")
    assert (reply.text, reply.complete) == ("zażółć 🦊", True)
    assert requests_mock.last_request.headers["Authorization"] == f"Bearer {KEY}"
    assert requests_mock.last_request.json()["messages"] == [{"role": "user", "content": "hello"}]


def test_requests_mock_adapter_on_a_users_session_is_enough(connect):
    import requests_mock

    with requests.Session() as session:
        adapter = requests_mock.Adapter()
        session.mount("http://service.example", adapter)
        adapter.register_uri("POST", ENDPOINT, **STREAM)
        assert connect(URL, session=session).ask("hello").text == "zażółć 🦊"
        assert adapter.call_count == 1


def test_requests_mock_answers_in_json(connect, session, requests_mock):
    requests_mock.post(ENDPOINT, json={"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]})
    assert connect(URL, session=session).ask("hello").text == "whole"


def test_requests_mock_refusals_are_retried_as_told(connect, session, requests_mock, slept):
    limited = {"status_code": 429, "headers": {"Retry-After": "7"}, "json": {"error": {"code": "rate_limit_exceeded"}}}
    requests_mock.post(ENDPOINT, [limited, STREAM])
    reply = connect(URL, session=session).ask("hello")
    assert [type(attempt.error) for attempt in reply.attempts] == [RateLimitError, type(None)]
    assert len(slept) == 1
    assert slept[0] >= 7


def test_requests_mock_stream_without_an_end_is_an_error(connect, session, requests_mock):
    requests_mock.post(ENDPOINT, content=sse("half an ", end=False), headers={"Content-Type": "text/event-stream"})
    with pytest.raises(StreamInterruptedError) as caught:
        connect(URL, session=session).ask("hello")
    assert caught.value.partial == "half an "


def test_requests_mock_network_errors_are_ours(connect, session, requests_mock):
    requests_mock.post(ENDPOINT, exc=requests.exceptions.ConnectTimeout)
    with pytest.raises(requests.Timeout) as caught:
        connect(URL, session=session).ask("hello")
    assert caught.value.phase == "connect"


@pytest.fixture
def cached(tmp_path):
    """A user's session that caches answers to POST as well, and keeps the key out of its database."""
    requests_cache = pytest.importorskip("requests_cache")
    options = {"allowable_methods": ["GET", "POST"], "ignored_parameters": ["Authorization"]}
    with requests_cache.CachedSession(str(tmp_path / "cache.sqlite"), **options) as session:
        yield session


def test_cached_session_of_requests_cache_asks(cached, connect, sandbox):
    sandbox.says(SAYING)
    assert connect(sandbox.url, session=cached).ask("hello").text == SAYING


def test_cached_session_of_requests_cache_answers_again_without_a_request(cached, connect, sandbox):
    sandbox.says([SAYING, "another answer"])
    client = connect(sandbox.url, session=cached)
    assert [client.ask("hello").text for _ in range(3)] == [SAYING] * 3
    assert len(sandbox.requests) == 1


def test_cached_session_of_requests_cache_keeps_no_key(cached, connect, sandbox, tmp_path):
    connect(sandbox.url, session=cached).ask("hello")
    assert KEY.encode() not in (tmp_path / "cache.sqlite").read_bytes()


def test_cached_session_of_requests_cache_passes_refusals_on(cached, connect, sandbox):
    sandbox.script("quota")
    client = connect(sandbox.url, session=cached)
    with pytest.raises(QuotaExceededError):
        client.ask("hello")
    assert client.ask("hello").text
