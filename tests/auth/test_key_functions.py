"""A function may stand for a key: called for each attempt, once more if its key is refused, and never shown."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections import Counter, namedtuple
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from aichatkit import Client, RetryPolicy
from aichatkit.auth import keys as keys_module
from aichatkit.auth.keys import KeyFunction
from aichatkit.errors import (
    AuthenticationError,
    ConfigurationError,
    MissingKeyError,
    PermissionDeniedError,
    ServerError,
)
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response

PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": "Yes."}}]}\n\n'
ANSWER = [chunked_head(), chunk(PIECE), chunk(b"data: [DONE]\n\n"), chunk(b"")]
REFUSED = [response(b'{"error": {"message": "expired"}}', status="401 No")]
AccessToken = namedtuple("AccessToken", ["token", "expires_on"])


class Service:
    """A service on loopback that accepts some tokens, and a client with a function for a key."""

    def __init__(self, function, accepts=lambda token: True, **options):
        self.accepts = accepts
        self.server = RawServer(self.answer).start()
        self.slept = []
        policy = RetryPolicy(sleep=self.slept.append, random=lambda: 0.0)
        given = {"model": "openai/m", "api_key": function, "base_url": f"{self.server.url}/v1", "retry": policy}
        self.client = Client(**{**given, **options})

    def answer(self, request):
        verdict = self.accepts(request.headers["authorization"].partition(" ")[2])
        return ANSWER if verdict is True else REFUSED if verdict is False else verdict

    @property
    def tokens(self):
        return [request.headers["authorization"].partition(" ")[2] for request in self.server.requests]


@pytest.fixture
def service():
    made = []

    def make(*args, **options):
        made.append(Service(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.client.close()
        one.server.close()


class Tokens:
    """A function that returns t1, t2, ..., each valid for so many seconds, if it says so."""

    def __init__(self, life=None, clock=time.time):
        self.count, self.life, self.clock = 0, life, clock

    def __call__(self):
        self.count += 1
        token = f"token-{self.count:04}"
        return token if self.life is None else (token, self.clock() + self.life)


def named():
    return "token-of-a-module"


# When it is called.


def test_the_function_is_called_for_each_attempt_and_not_before(service):
    tokens = Tokens()
    failures = [[response(b"", status="503 No")]]
    one = service(tokens, lambda token: failures.pop() if failures else True)
    assert tokens.count == 0
    assert one.client.ask("Hi").text == "Yes."
    with one.client.stream("Hi") as stream:
        assert "".join(stream) == "Yes."
    chat = one.client.chat()
    chat.ask("Hi")
    assert one.tokens == ["token-0001", "token-0002", "token-0003", "token-0004"]


def test_a_refused_key_is_fetched_once_more_and_the_request_repeated(service):
    one = service(Tokens(), lambda token: token == "token-0002")
    reply = one.client.ask("Hi")
    assert (reply.text, one.tokens, one.slept) == ("Yes.", ["token-0001", "token-0002"], [])
    assert len(reply.attempts) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        b'{"message": "The security token included in the request is expired"}',
        b'{"error": {"code": "ExpiredToken", "message": "no"}}',
    ],
)
def test_a_key_that_aws_calls_expired_with_a_403_is_fetched_once_more(service, refusal):
    def is_valid(token):
        return token == "token-0002" or [response(refusal, status="403 No")]

    one = service(Tokens(), is_valid)
    assert (one.client.ask("Hi").text, one.tokens) == ("Yes.", ["token-0001", "token-0002"])
    one = service(lambda: "always-this", is_valid)
    with pytest.raises(PermissionDeniedError) as caught:
        one.client.ask("Hi")
    # The body is read once, for both the decision and the error.
    assert "expired" in str(caught.value).lower()


def test_a_second_refusal_is_an_error(service):
    one = service(Tokens(), lambda token: False)
    with pytest.raises(AuthenticationError) as caught:
        one.client.ask("Hi")
    assert (one.tokens, one.slept) == (["token-0001", "token-0002"], [])
    assert caught.value.status == 401


def test_a_function_that_returns_the_same_key_repeats_nothing(service):
    calls = []
    one = service(lambda: calls.append(1) or "always-this", lambda token: False)
    with pytest.raises(AuthenticationError):
        one.client.ask("Hi")
    assert (one.tokens, len(calls)) == (["always-this"], 2)


def test_a_plain_key_is_not_sent_again(service):
    one = service("sk-plain-key", lambda token: False)
    with pytest.raises(AuthenticationError):
        one.client.ask("Hi")
    assert one.tokens == ["sk-plain-key"]


def test_a_refusal_that_is_not_about_the_key_asks_for_no_other(service):
    tokens = Tokens()
    one = service(tokens, lambda token: [response(b'{"error": {"message": "no"}}', status="403 No")])
    with pytest.raises(AuthenticationError.__mro__[1]):
        one.client.ask("Hi")
    assert tokens.count == 1


def test_models_and_embeddings_and_images_take_it_as_well(sandbox):
    tokens = Tokens()
    with Client(model="openai", api_key=tokens, base_url=f"{sandbox.url}/v1", retry=0) as client:
        assert client.models("openai")
        assert len(client.embed(["a", "b"], model="openai/text-embedding-3-small")) == 2
        client.image("a cat", model="openai/gpt-image-2.5-flare")
    sent = [request.headers["Authorization"] for request in sandbox.requests]
    assert sent == [f"Bearer token-{number:04}" for number in range(1, len(sent) + 1)]


def test_batch_jobs_take_it_and_send_a_refused_upload_again(service, run, service_of):
    jobs, tokens, faults = service_of(), Tokens(), [401, 401]

    def fault(method, path):
        return faults.pop() if faults and len(faults) != 1 else None

    jobs.fault = fault
    results = run(jobs, ["a", "b"], client={"api_key": {"openai": tokens}})
    assert results.text == ["answer to a", "answer to b"]
    assert tokens.count > 3
    assert jobs.asked == {"a": 1, "b": 1}


# Keys that expire.


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(seconds=1_795_000_000.0)
    now.time = lambda: now.seconds
    monkeypatch.setattr(keys_module, "time", now)
    return now


def fetcher(function):
    return KeyFunction(function, provider="openai")


def test_a_key_with_its_expiry_is_fetched_again_five_minutes_before(clock):
    tokens = Tokens(life=3000, clock=clock.time)
    key = fetcher(tokens)
    seen = []
    for seconds in (0, 2699, 2, 2698):
        clock.seconds += seconds
        seen.append(key.fetch())
    assert seen == ["token-0001", "token-0001", "token-0002", "token-0002"]


@pytest.mark.parametrize(("life", "early"), [(36000, 3600), (3600, 360), (3000, 300), (400, 200), (10, 5)])
def test_how_early_depends_on_the_life_of_the_key(clock, life, early):
    key = fetcher(Tokens(life=life, clock=clock.time))
    key.fetch()
    clock.seconds += life - early - 1
    assert key.fetch() == "token-0001"
    clock.seconds += 1
    assert key.fetch() == "token-0002"


@pytest.mark.parametrize(
    "expires_at",
    [
        pytest.param(lambda now: datetime.fromtimestamp(now + 3600, timezone(timedelta(hours=5))), id="datetime"),
        pytest.param(lambda now: int(now + 3600), id="integer"),
    ],
)
def test_the_time_may_be_a_datetime_or_a_number(clock, expires_at):
    calls = []
    key = fetcher(lambda: calls.append(1) or ("token", expires_at(clock.time())))
    clock.seconds += 0
    assert [key.fetch(), key.fetch()] == ["token", "token"]
    assert len(calls) == 1


def test_the_tokens_of_azure_are_taken_as_they_are(clock):
    calls = []
    expires_on = clock.time() + 3600
    for token in (AccessToken("token", expires_on), SimpleNamespace(token="token", expires_on=expires_on)):
        key = fetcher(lambda token=token: calls.append(1) or token)
        assert [key.fetch(), key.fetch()] == ["token", "token"]
    assert len(calls) == 2
    assert fetcher(lambda: SimpleNamespace(token="token")).fetch() == "token"


def test_a_failure_before_the_expiry_is_a_warning_and_after_it_an_error(clock, caplog):
    state = {"fails": False, "calls": 0}

    def fetch():
        state["calls"] += 1
        if state["fails"]:
            raise OSError("no sk-secret today")
        return "token", clock.time() + 3600

    key = fetcher(fetch)
    key.fetch()
    state["fails"] = True
    clock.seconds += 3400
    assert [key.fetch(), key.fetch()] == ["token", "token"]
    # The function is not called again at once.
    assert (state["calls"], [record.levelname for record in caplog.records]) == (2, ["WARNING"])
    assert "sk-secret" not in caplog.text
    clock.seconds += 31
    key.fetch()
    assert state["calls"] == 3
    clock.seconds += 300
    with pytest.raises(AuthenticationError):
        key.fetch()


def test_many_threads_fetch_one_key(clock):
    tokens = Tokens(life=3600, clock=clock.time)
    started = threading.Barrier(8)
    key = fetcher(lambda: time.sleep(0.01) or tokens())
    seen = []

    def fetch():
        started.wait(10)
        seen.append(key.fetch())

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (seen, tokens.count) == (["token-0001"] * 8, 1)


def test_while_one_thread_renews_the_others_use_the_key_that_is_still_valid(clock):
    entered, proceed, calls = threading.Event(), threading.Event(), []

    def fetch():
        calls.append(1)
        if len(calls) > 1:
            entered.set()
            proceed.wait(10)
        return f"token-{len(calls)}", clock.time() + 3600

    key = fetcher(fetch)
    key.fetch()
    clock.seconds += 3400
    thread = threading.Thread(target=key.fetch)
    thread.start()
    assert entered.wait(10)
    assert key.fetch() == "token-1"
    proceed.set()
    thread.join(10)
    assert (key.fetch(), len(calls)) == ("token-2", 2)


def test_a_refused_key_is_dropped_although_it_has_not_expired(clock):
    key = fetcher(Tokens(life=3600, clock=clock.time))
    assert key.fetch() == "token-0001"
    assert key.renew("token-0001") == ("token-0002", True)
    # Another thread whose request was refused before takes the new one.
    assert key.renew("token-0001") == ("token-0002", False)
    assert key.fetch() == "token-0002"


def test_a_long_map_with_short_lived_tokens_loses_no_row_and_asks_none_twice(service):
    made, answered, lock = [], Counter(), threading.Lock()

    def get_token():
        made.append(f"token-{len(made):04}")
        return made[-1], time.time() + 3600

    def accepts(token):
        # The service ends each long before its time, but later than the row it was fetched for takes.
        with lock:
            answered[token] += answered[token] < 100
            refused[token] += answered[token] == 100
            return refused[token] < 2

    refused = Counter()

    one = service(get_token, accepts)
    results = one.client.map([f"row {number}" for number in range(300)], workers=8, progress=False)
    assert [result.text for result in results] == ["Yes."] * 300
    assert (sum(answered.values()), made) == (300, ["token-0000", "token-0001", "token-0002"])
    assert one.slept == []


# Failures.


class BrokenError(Exception):
    pass


def test_an_exception_of_the_function_names_it_and_shows_no_key(service):
    def get_token():
        raise BrokenError("cannot use sk-secret-of-mine")

    one = service(get_token)
    with pytest.raises(
        AuthenticationError, match=r"openai: api_key: get_token failed \(BrokenError, test_key_functions.py"
    ) as (caught):
        one.client.ask("Hi")
    error = caught.value
    assert (error.provider, error.reason, error.__cause__, error.__context__) == ("openai", "BrokenError", None, None)
    assert "sk-secret" not in str(error) + repr(error) + str(vars(error))
    assert (one.tokens, one.slept, len(error.attempts)) == ([], [], 1)
    assert pickle.loads(pickle.dumps(error)).message == error.message


def test_a_failure_of_the_network_is_tried_again(service):
    failures = [ConnectionError("down"), TimeoutError()]

    def get_token():
        if failures:
            raise failures.pop()
        return "token"

    one = service(get_token)
    assert one.client.ask("Hi").text == "Yes."
    assert len(one.slept) == 2


@pytest.mark.parametrize(("action", "waits"), [("retry", 2), ("next", 0)])
def test_an_error_of_the_package_keeps_what_follows_from_it(service, action, waits):
    def get_token():
        raise ServerError("no token", action=action)

    one = service(get_token)
    with pytest.raises(AuthenticationError, match="ServerError"):
        one.client.ask("Hi")
    assert len(one.slept) == waits


def test_a_failed_function_puts_no_key_on_cooldown_and_frees_its_slot(service):
    def get_token():
        raise BrokenError

    one = service(get_token, rate="1000/min")
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            one.client.ask("Hi")
    assert one.client.health == []


async def awaited():
    return "token"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "returned None, and must return a string"),
        ("", "returned an empty string"),
        (" \n", "returned an empty string"),
        (b"token", "object of type bytes"),
        (("token", "soon"), "object of type str"),
        (("token", datetime(2030, 1, 1)), "without a time zone"),
        (("token", 3600), "expires at 3600, and must return the time at which it does"),
        ((None, 1), "object of type tuple"),
        ("to ken", "holds a blank"),
        (SimpleNamespace(close=None), "object of type SimpleNamespace"),
    ],
)
def test_what_cannot_be_a_key_is_an_error_that_says_what_to_return(service, result, message):
    def get_token():
        return result

    one = service(get_token)
    with pytest.raises(ConfigurationError, match=message) as caught:
        one.client.ask("Hi")
    assert "api_key for openai" in str(caught.value)
    assert "to ken" not in str(caught.value)


class Awaitable:
    def __await__(self):
        yield


@pytest.mark.parametrize("made", [awaited, Awaitable])
def test_a_coroutine_has_to_be_awaited_by_its_owner(service, made):
    one = service(lambda: made())
    with pytest.raises(ConfigurationError, match="a coroutine"):
        one.client.ask("Hi")


def test_a_line_end_after_the_key_is_removed():
    assert fetcher(lambda: "token\n").fetch() == "token"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (awaited, "awaited is asynchronous"),
        (lambda scope: "token", "<lambda> must be callable without arguments"),
    ],
)
def test_a_function_that_cannot_be_called_is_rejected_at_once(function, message):
    with pytest.raises(ConfigurationError, match=message):
        Client(model="openai", api_key=function)


def test_a_function_in_c_has_no_signature_to_check():
    with pytest.raises(AuthenticationError, match="max failed"):
        fetcher(max).fetch()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (SimpleNamespace(get_token=None), "get_bearer_token_provider"),
        (SimpleNamespace(before_request=None), "google_auth"),
        (7, "must be a string with text in it, or a function that returns one"),
    ],
)
def test_the_credentials_of_a_cloud_are_told_apart(value, message):
    with pytest.raises(ConfigurationError, match=message):
        Client(model="openai", api_key=[value])
    with pytest.raises(ConfigurationError, match=message.rpartition("in it")[2]):
        Client(model="openai", api_key=value)


# Where it may stand.


def test_a_dict_and_a_list_may_hold_functions(service):
    one = service({"openai": ["sk-first-key", Tokens()]}, lambda token: token.startswith("token"))
    assert one.client.ask("Hi").text == "Yes."
    assert one.tokens == ["sk-first-key", "token-0001"]


def test_two_functions_are_two_keys(service):
    one = service([lambda: "token-of-a", lambda: "token-of-b"], lambda token: token == "token-of-b")
    assert one.client.ask("Hi").text == "Yes."
    assert one.tokens == ["token-of-a", "token-of-b"]


def test_one_function_for_several_services_is_rejected():
    with pytest.raises(ConfigurationError, match="one value cannot serve openai, groq"):
        Client(model=["openai", "groq"], api_key=named)


def test_without_a_model_it_has_to_name_its_service():
    with pytest.raises(ConfigurationError, match="a dict by provider"):
        Client(api_key=named)
    with Client(api_key={"openai": named}) as client:
        assert [target.provider.name for target in client._targets(None)] == ["openai"]


def test_the_function_takes_precedence_over_the_environment(service, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    one = service(named)
    one.client.ask("Hi")
    assert one.tokens == ["token-of-a-module"]


# What is kept of its keys.


def test_its_keys_are_hidden_in_errors_and_records(service):
    records = []
    echo = [response(b'{"error": {"message": "bad token-0001 and token-0002"}}', status="401 No")]
    one = service(Tokens(), lambda token: echo, hooks={"request": records.append})
    with pytest.raises(AuthenticationError) as caught:
        one.client.ask("my token-0001")
    assert "token-000" not in str(caught.value) + str(records[1:])
    one.client._context.keys["openai"][0].fetch()
    with pytest.raises(AuthenticationError):
        one.client.ask("my token-0001")
    assert "token-0001" not in str(records[-1])


def test_only_the_latest_keys_are_remembered():
    key = fetcher(Tokens())
    for _ in range(20):
        key.fetch()
    assert len(key.secrets) == 8
    assert "token" not in repr(key) + str(key)


def test_the_function_is_pickled_by_reference_and_its_keys_are_not():
    with Client(model="openai", api_key=named) as client:
        key = client._context.keys["openai"][0]
        key.fetch()
        data = pickle.dumps(client)
    assert b"token-of-a-module" not in data
    copy = pickle.loads(data)._context.keys["openai"][0]
    assert (copy.secrets, copy.fetch(), str(copy)) == ((), "token-of-a-module", str(key))
    with Client(model="openai", api_key=["sk-plain-key", named]) as client:
        assert len(pickle.loads(pickle.dumps(client))._context.keys["openai"]) == 1


def test_an_object_may_stand_for_the_function():
    assert str(fetcher(Tokens())) == "function test_key_functions.Tokens 0"


# Azure.


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("eyJ0.eyJ1.sig", ("Authorization", "Bearer eyJ0.eyJ1.sig")),
        ("an-opaque-token", ("Authorization", "Bearer an-opaque-token")),
        ("0123456789abcdef" * 2, ("api-key", "0123456789abcdef" * 2)),
        ("0aZ" * 28, ("api-key", "0aZ" * 28)),
    ],
)
def test_a_function_for_azure_returns_a_token_of_entra_unless_it_looks_like_a_key(sandbox, key, header):
    url = f"{sandbox.url}/openai/v1"
    with Client(model="azure/mine", api_key=lambda: key, base_url=url, retry=0) as client:
        client.ask("Hi")
    headers = sandbox.requests[-1].headers
    assert headers[header[0]] == header[1]
    assert ("Authorization" in headers) == (header[0] == "Authorization")


def test_azure_s_own_token_provider_is_such_a_function(sandbox):
    identity = pytest.importorskip("azure.identity")
    asked = []

    class Credential:
        def get_token(self, *scopes, **_):
            asked.append(scopes)
            return AccessToken("eyJ0.eyJ1.sig", int(time.time()) + 3600)

    scope = "https://cognitiveservices.azure.com/.default"
    provider = identity.get_bearer_token_provider(Credential(), scope)
    with Client(model="azure/mine", api_key=provider, base_url=f"{sandbox.url}/openai/v1", retry=0) as client:
        client.ask("Hi")
        client.ask("Hi")
    assert [request.headers["Authorization"] for request in sandbox.requests] == ["Bearer eyJ0.eyJ1.sig"] * 2
    assert asked == [(scope,)]


def test_a_missing_key_is_still_an_error_without_a_function():
    with Client(model="openai") as client, pytest.raises(MissingKeyError):
        client.ask("Hi")


def test_what_goes_on_is_logged_without_keys(service, caplog):
    caplog.set_level(logging.DEBUG, "aichatkit")
    one = service(Tokens(), lambda token: token == "token-0002")
    one.client.ask("Hi")
    assert "the key or signature was refused (401)" in caplog.text
    assert "token-0" not in caplog.text
