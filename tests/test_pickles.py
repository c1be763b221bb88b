"""What was used can be sent to another process: clients, chats, replies and errors, and no key goes along."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from echo_service import PIECE, echo, services

from aichatkit import Rate, RetryPolicy
from aichatkit.errors import AllProvidersFailedError, ChatError, RateLimitError, StreamInterruptedError
from aichatkit.sandbox.raw import chunk, chunked_head, response

KEY = "sk-pickle-1"


@pytest.fixture
def service():
    with services(api_key=KEY, retry=0) as make:
        yield make


#: Ways a client becomes another one, and whether its keys go along: in the same process they do.
WAYS = {
    "pickle": lambda client: pickle.loads(pickle.dumps(client)),
    "pickle-again": lambda client: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(client)))),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "copied-within": lambda client: copy.deepcopy({"client": client})["client"],
}
KEYED = {"deepcopy", "copy", "copied-within"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", ["fresh", "used", "streaming", "closed", "limited"])
def test_a_client_in_every_state_can_be_sent_and_asks_again(service, monkeypatch, way, state):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment-1")
    options = {"rate": Rate("100/min", concurrent=3)} if state == "limited" else {}
    server, client = service(echo, system="Be brief.", headers={"X-Mine": "yes"}, temperature=0.5, **options)
    if state != "fresh":
        client.ask("used")
    stream = client.stream("open") if state == "streaming" else None
    if state == "closed":
        client.close()
    with WAYS[way](client) as again:
        assert again.ask("again").text == "re: again"
    sent = server.requests[-1]
    body = json.loads(sent.body)
    assert sent.headers["authorization"] == f"Bearer {KEY if way in KEYED else 'sk-environment-1'}"
    assert (sent.headers["x-mine"], body["temperature"], body["messages"][0]["content"]) == ("yes", 0.5, "Be brief.")
    if stream is not None:
        assert stream.read().text == "re: open"


@pytest.mark.parametrize("way", WAYS)
def test_the_copy_and_the_original_close_apart(service, way):
    _, client = service(echo)
    with WAYS[way](client):
        pass
    assert client.ask("Hi").text == "re: Hi"


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_opens_connections_of_its_own(service, way):
    server, client = service(echo)
    client.ask("one")
    with WAYS[way](client) as again:
        again.ask("two")
    assert len({request.connection for request in server.requests}) == 2


def test_a_session_of_the_users_goes_along(service):
    with requests.Session() as session:
        session.headers["X-Theirs"] = "yes"
        server, client = service(echo, session=session)
        client.ask("Hi")
        with pickle.loads(pickle.dumps(client)) as again:
            again.ask("Hi")
        again.session.close()
    assert [request.headers["x-theirs"] for request in server.requests] == ["yes", "yes"]


def test_the_state_of_a_pickle_is_that_of_a_new_client(service):
    _, client = service([response(b"", status="402 No")], rate="1/hour")
    with pytest.raises(ChatError):
        client.ask("Hi")
    assert client.health
    assert pickle.loads(pickle.dumps(client)).health == []


@pytest.mark.parametrize("key", [KEY, [KEY, "sk-pickle-2"], {"openai": KEY}])
def test_no_key_is_in_the_pickle_of_a_client(service, key):
    _, client = service(echo, api_key=key, rate="100/min")
    client.ask("Hi")
    pickled = pickle.dumps(client)
    assert b"sk-pickle" not in pickled


def test_a_reply_comes_out_as_it_went_in(service):
    _, client = service(echo)
    reply = client.ask("Hi")
    for again in (pickle.loads(pickle.dumps(reply)), copy.deepcopy(reply)):
        assert again == reply
        assert (str(again), dict(again.headers)) == (str(reply), dict(reply.headers))


def test_a_reply_that_took_a_retry_comes_out_with_its_story(service):
    policy = RetryPolicy(sleep=lambda seconds: None)
    _, client = service([response(b"busy", status="503 No")], echo, retry=policy)
    again = pickle.loads(pickle.dumps(client.ask("Hi")))
    assert [type(attempt.error).__name__ for attempt in again.attempts] == ["OverloadedError", "NoneType"]
    assert again.attempts[0].error.provider == "openai"


def test_a_limit_comes_out_with_its_hint(service):
    _, client = service([response(b"slow", status="429 No", headers=[("Retry-After", "900"), ("X-Request-Id", "r-1")])])
    with pytest.raises(RateLimitError) as caught:
        client.ask("Hi")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.retry_after, again.request_id, again.status) == (RateLimitError, 900, "r-1", 429)
    assert (str(again), again.gave_up, len(again.attempts)) == (str(caught.value), caught.value.gave_up, 1)
    assert again.attempts[0].error is again


def test_an_answer_that_broke_off_comes_out_with_its_text(service):
    _, client = service([chunked_head(), chunk(PIECE % b"Hel"), "close"])
    with pytest.raises(StreamInterruptedError) as caught:
        client.ask("Hi")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.partial, again.provider) == (StreamInterruptedError, "Hel", "openai")


def test_the_failure_of_all_comes_out_with_each_cause(service):
    no_model = response(json.dumps({"error": {"message": "no", "code": "model_not_found"}}).encode(), status="404 No")
    _, client = service([no_model], [response(b"no", status="500 No")])
    with pytest.raises(AllProvidersFailedError) as caught:
        client.ask("Hi", model=["openai/a", "openai/b"])
    again = pickle.loads(pickle.dumps(caught.value))
    assert [type(error).__name__ for error in again.errors] == ["ModelNotFoundError", "ServerError"]
    assert [attempt.model for attempt in again.attempts] == ["a", "b"]


def test_errors_raised_in_a_pool_of_threads_arrive_whole(service):
    _, client = service([response(b"no", status="500 No")])
    with ThreadPoolExecutor(2) as pool:
        errors = [future.exception(5) for future in [pool.submit(client.ask, "Hi") for _ in range(2)]]
    assert {error.status for error in errors} == {500}


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Api-Key": "sk-hidden"}},
        {"headers": {"Authorization": "Bearer sk-hidden"}},
        {"headers": {"Cookie": "sk-hidden"}},
        {"headers": {"X-Gateway-Token": "sk-hidden"}},
        {"headers": {"X-Gateway": "Bearer sk-hidden"}},
        {"headers": {"X-Gateway": "sk-hidden"}},
        {"proxies": "http://me:sk-hidden@proxy.example:3128"},
        {"proxies": {"https": "http://me:sk-hidden@proxy.example:3128"}},
        {"proxies": {"all": "me:sk-hidden@proxy.example:3128"}},
    ],
)
def test_a_client_with_another_secret_is_not_pickled_but_copied(service, options):
    _, client = service(echo, **options)
    with pytest.raises(ChatError, match="cannot be pickled") as caught:
        pickle.dumps(client)
    assert "sk-hidden" not in str(caught.value)
    copy.copy(client).close()
    copy.deepcopy(client).close()


def test_headers_and_proxies_without_a_secret_go_along(service):
    _, client = service(echo, headers={"X-Mine": "yes"}, proxies={"ftp": "http://proxy.example:3128"})
    with pickle.loads(pickle.dumps(client)) as again:
        assert again.ask("Hi").text == "re: Hi"
