"""The client: its options are seen arriving, the user's Session stays the user's, and nothing outlives `close`."""

from __future__ import annotations

import copy
import io
import pickle
import threading

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from aichatkit import (
    ChatError,
    Client,
    ConfigurationError,
    ConnectError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamInterruptedError,
    Timeout,
)

ANSWER = b'data: {"choices": [{"delta": {"content": "Paris."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
#: A service that is only reached through an adapter or a proxy of the test.
SERVICE = "https://llm.service.example/v1"


class Seen(HTTPAdapter):
    """Write down what arrives at the adapter, and answer without a network."""

    def __init__(self, status=200, body=ANSWER, headers=()):
        super().__init__()
        self.requests = []
        self.settings = []
        self._answer = status, body, {"Content-Type": "text/event-stream", **dict(headers)}

    def send(self, request, **settings):
        status, body, headers = self._answer
        self.requests.append(request)
        self.settings.append(settings)
        raw = urllib3.HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
        return self.build_response(request, raw)


@pytest.fixture
def seen():
    return Seen()


@pytest.fixture
def session(seen):
    """A Session of the user, whose adapter writes down what arrives."""
    made = requests.Session()
    made.mount("https://", seen)
    yield made
    made.close()


@pytest.fixture(params=["own", "user's"])
def make(request, seen, session):
    """Make a client of the service with a Session of its own, or with the user's."""
    made = []

    def build(**options):
        if request.param != "own":
            options.setdefault("session", session)
        client = Client(model="openai", api_key={"openai": "sk-test"}, base_url={"openai": SERVICE}, **options)
        client.session.mount("https://", seen)
        made.append(client)
        return client

    yield build
    for client in made:
        client.close()


def state(session):
    """Return all that a user can see of a Session."""
    return {
        "headers": dict(session.headers),
        "cookies": [(cookie.name, cookie.value, cookie.domain) for cookie in session.cookies],
        "hooks": {event: list(hooks) for event, hooks in session.hooks.items()},
        "adapters": {prefix: (id(adapter), adapter.max_retries.total) for prefix, adapter in session.adapters.items()},
        "rest": (session.auth, dict(session.proxies), session.verify, session.cert, dict(session.params)),
        "more": (session.trust_env, session.stream, session.max_redirects),
    }


# Options that are seen arriving.


@pytest.mark.parametrize(
    ("options", "arriving"),
    [
        ({}, (5.0, 60.0)),
        ({"timeout": 7}, (7, 7)),
        ({"timeout": (3, 30)}, (3, 30)),
        ({"timeout": Timeout(read=9)}, (5.0, 9)),
    ],
)
def test_the_timeout_arrives_at_the_adapter(make, seen, options, arriving):
    make(**options).ask("Hi")
    assert seen.settings[0]["timeout"] == arriving


def test_a_call_s_timeout_wins_over_the_client_s(make, seen):
    make(timeout=7).ask("Hi", timeout=(1, 2))
    assert seen.settings[0]["timeout"] == (1, 2)


def test_no_wait_is_longer_than_the_total(make, seen):
    make().ask("Hi", timeout=Timeout(total=2))
    assert all(0 < seconds <= 2 for seconds in seen.settings[0]["timeout"])


def test_a_server_on_this_machine_may_take_its_time(seen, session):
    session.mount("http://127.0.0.1", seen)
    for url in ("http://127.0.0.1:1/v1", "http://localhost:1/v1", "http://[::1]:1/v1"):
        session.mount(url, seen)
        with Client(model="openai", base_url=url, session=session) as client:
            client.ask("Hi")
    assert [settings["timeout"] for settings in seen.settings] == [(5.0, 300.0)] * 3


def test_headers_of_client_and_call_arrive_and_the_call_s_win(make, seen):
    make(headers={"X-Team": "a", "X-Project": "b"}).ask("Hi", headers={"X-Project": "c", "X-Run": "d"})
    sent = seen.requests[0].headers
    assert (sent["X-Team"], sent["X-Project"], sent["X-Run"]) == ("a", "c", "d")


def test_a_call_s_headers_are_gone_with_the_call(make, seen):
    client = make()
    client.ask("Hi", headers={"X-Run": "d"})
    client.ask("Hi")
    assert "X-Run" not in seen.requests[1].headers


@pytest.mark.parametrize(
    "headers", [{"X": "a\nb"}, {"X\r\n": "a"}, {"X": 5}, {5: "a"}, {"X": b"a"}, [("X", "a")], "X: a", 5]
)
def test_headers_that_cannot_be_sent_are_refused(make, seen, headers):
    with pytest.raises(ConfigurationError, match="headers: "):
        make(headers=headers)
    with pytest.raises(ConfigurationError, match="headers: "):
        make().ask("Hi", headers=headers)
    assert seen.requests == []


def test_the_value_of_a_refused_header_is_not_shown():
    with pytest.raises(ConfigurationError) as caught:
        Client(headers={"Authorization": "Bearer sk-secret\n"})
    assert "sk-secret" not in str(caught.value)


def test_proxies_of_the_client_arrive(make, seen):
    make(proxies={"https": "http://proxy.example:3128"}).ask("Hi")
    assert seen.settings[0]["proxies"]["https"] == "http://proxy.example:3128"


def test_one_proxy_stands_for_all_addresses(make, seen):
    make(proxies="http://proxy.example:3128").ask("Hi")
    assert {seen.settings[0]["proxies"][scheme] for scheme in ("http", "https")} == {"http://proxy.example:3128"}


def test_a_call_s_proxies_win_over_the_client_s(make, seen):
    client = make(proxies="http://first.example:1")
    client.ask("Hi", proxies="http://second.example:2")
    client.ask("Hi")
    arrived = [settings["proxies"]["https"] for settings in seen.settings]
    assert arrived == ["http://second.example:2", "http://first.example:1"]


def test_the_environment_s_proxy_counts_where_none_is_given(make, seen, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://environment.example:3128")
    make().ask("Hi")
    assert seen.settings[0]["proxies"]["https"] == "http://environment.example:3128"


def test_given_proxies_win_over_the_environment(make, seen, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://environment.example:3128")
    make(proxies="http://given.example:1").ask("Hi")
    assert seen.settings[0]["proxies"]["https"] == "http://given.example:1"


def test_no_proxy_is_honoured(make, seen, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://environment.example:3128")
    monkeypatch.setenv("NO_PROXY", "service.example")
    make().ask("Hi")
    assert not seen.settings[0]["proxies"].get("https")


@pytest.mark.parametrize("proxies", [5, ["http://proxy.example"], {"https": 5}, {"https": None}])
def test_proxies_that_are_none_are_refused(proxies):
    with pytest.raises(ConfigurationError, match="proxies: "):
        Client(proxies=proxies)


def test_a_request_really_goes_through_the_proxy(sandbox):
    with Client(model="openai", base_url="http://llm.service.example/v1", proxies=sandbox.url) as client:
        assert client.ask("Hi").provider == "openai"
    assert sandbox.requests[0].target == "http://llm.service.example/v1/chat/completions"


def test_the_offline_provider_never_goes_through_a_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Client(model="offline", proxies="http://127.0.0.1:9") as client:
        assert client.ask("Hi").provider == "offline"


def test_verification_is_on_by_default(make, seen):
    make().ask("Hi")
    assert seen.settings[0]["verify"] is True


@pytest.mark.parametrize("verify", [False, "/etc/ssl/company.pem"])
def test_verify_arrives(make, seen, verify):
    make(verify=verify).ask("Hi")
    assert seen.settings[0]["verify"] == verify


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_s_ca_bundle_is_honoured(make, seen, monkeypatch, variable):
    monkeypatch.setenv(variable, "/etc/ssl/company.pem")
    make().ask("Hi")
    assert seen.settings[0]["verify"] == "/etc/ssl/company.pem"


def test_a_missing_ca_bundle_is_told_and_not_retried(policy, slept):
    client = Client(model="openai", base_url="https://127.0.0.1:9/v1", verify="/nowhere/ca.pem", retry=policy)
    with client, pytest.raises(ChatError, match="REQUESTS_CA_BUNDLE"):
        client.ask("Hi")
    assert slept == []


def test_redirects_are_not_followed(seen, session):
    session.mount(SERVICE, Seen(307, b"", {"Location": "https://elsewhere.example/"}))
    with Client(model="openai", base_url=SERVICE, session=session) as client, pytest.raises(ChatError):
        client.ask("Hi", retry=0)
    assert seen.requests == []


def test_the_system_message_of_a_call_wins_over_the_client_s(make, seen):
    client = make(system="Be brief.")
    client.ask("Hi")
    client.ask("Hi", system="Be rude.")
    assert [b"Be brief." in request.body for request in seen.requests] == [True, False]
    assert b"Be rude." in seen.requests[1].body


# The user's own Session.


@pytest.mark.parametrize("model", ["openai", "chatgptt", "aichatonline", "aichats/dalle"])
def test_a_session_of_the_user_is_not_altered(sandbox, model):
    session = requests.Session()
    session.headers.update({"X-Mine": "1", "User-Agent": "mine/1.0"})
    session.cookies.set("clearance", "yes")
    session.proxies = {"https": "http://proxy.example:3128"}
    session.hooks["response"].append(lambda response, **_: None)
    session.params = {"tenant": "a"}
    before = state(session)
    urls = {"openai": f"{sandbox.url}/v1", **dict.fromkeys(["chatgptt", "aichatonline", "aichats"], sandbox.url)}
    client = Client(model=model, base_url=urls, session=session, headers={"X-Call": "1"}, verify=False)
    client.ask("Hi", headers={"X-Other": "1"})
    assert state(session) == before
    assert client.session is session
    session.close()


def test_headers_cookies_params_and_hooks_of_the_user_s_session_are_used(sandbox):
    session, heard = requests.Session(), []
    session.headers["X-Mine"] = "1"
    session.cookies.set("clearance", "yes")
    session.params = {"tenant": "a"}
    session.hooks["response"].append(lambda response, **_: heard.append(response.status_code))
    with Client(model="openai", base_url=f"{sandbox.url}/v1", session=session) as client:
        client.ask("Hi")
    request = sandbox.requests[0]
    assert (request.headers["X-Mine"], request.headers["Cookie"]) == ("1", "clearance=yes")
    assert (request.query["tenant"], heard) == ("a", [200])


@pytest.mark.parametrize("auth", [("me", "pw"), requests.auth.HTTPBasicAuth("me", "pw")])
def test_the_user_s_auth_is_used(sandbox, auth):
    session = requests.Session()
    session.auth = auth
    with Client(model="openai", base_url=f"{sandbox.url}/v1", session=session) as client:
        client.ask("Hi")
    assert sandbox.requests[0].headers["Authorization"] == "Basic bWU6cHc="


def test_proxies_and_certificates_of_the_user_s_session_are_used(seen, session):
    session.proxies = {"https": "http://proxy.example:3128"}
    session.verify, session.cert = "/etc/ssl/company.pem", "/etc/ssl/me.pem"
    with Client(model="openai", base_url=SERVICE, session=session) as client:
        client.ask("Hi")
    (settings,) = seen.settings
    assert settings["proxies"]["https"] == "http://proxy.example:3128"
    assert (settings["verify"], settings["cert"]) == ("/etc/ssl/company.pem", "/etc/ssl/me.pem")


def test_a_cookie_of_a_site_s_page_lives_as_long_as_the_call(client, sandbox):
    client.ask("Hi", model="chatgptt")
    client.ask("Hi", model="chatgptt")
    assert list(client.session.cookies) == []
    pages = [request for request in sandbox.requests if request.method == "GET"]
    assert ["Cookie" in request.headers for request in pages] == [False, False]


def test_the_key_is_put_into_no_session(make, seen):
    client = make()
    client.ask("Hi")
    assert seen.requests[0].headers["Authorization"] == "Bearer sk-test"
    assert "sk-test" not in str(state(client.session))


@pytest.mark.parametrize("session", ["session", requests, requests.Session, 5])
def test_what_is_no_session_is_refused(session):
    with pytest.raises(ConfigurationError, match=r"must be a requests\.Session"):
        Client(session=session)


def test_the_package_tells_its_name_and_asks_for_no_compression(client, sandbox):
    client.ask("Hi")
    headers = sandbox.requests[0].headers
    assert headers["User-Agent"].startswith("aichatkit/")
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.usefixtures("patient")
def test_a_connection_is_used_again(client, sandbox):
    for _ in range(4):
        client.ask("Hi")
    assert sandbox.connections == 1


# Retries as the client's user sees them.


@pytest.mark.parametrize(("retry", "attempts"), [(0, 1), (1, 2), (None, 3), (RetryPolicy(attempts=4), 4)])
def test_retry_says_how_often_a_call_is_tried_again(sandbox, retry, attempts):
    sandbox.script(*["rate-limit,retry_after_ms=5"] * 9)
    client = Client(model="openai", base_url=f"{sandbox.url}/v1", retry=retry)
    with client, pytest.raises(RateLimitError) as caught:
        client.ask("Hi")
    assert len(sandbox.requests) == len(caught.value.attempts) == attempts


def test_a_call_s_retry_wins_over_the_client_s(client, sandbox, slept):
    sandbox.script(*["overloaded"] * 9)
    with pytest.raises(ServerError):
        client.ask("Hi", retry=0)
    assert (len(sandbox.requests), slept) == (1, [])


@pytest.mark.parametrize("retry", [-1, 1.5, True, "2", [2]])
def test_a_retry_that_is_none_is_refused(retry):
    with pytest.raises(ConfigurationError, match="retry: "):
        Client(retry=retry)


def test_the_wait_hook_sees_each_wait_before_it(sandbox, policy, slept):
    waits = []
    hook = lambda wait: waits.append((wait.provider, wait.seconds, type(wait.error), len(slept)))  # noqa: E731
    sandbox.script("rate-limit,retry_after=3")
    with Client(model="openai", base_url=f"{sandbox.url}/v1", retry=policy, hooks={"wait": hook}) as client:
        client.ask("Hi")
    assert waits == [("openai", slept[0], RateLimitError, 0)]
    assert slept[0] >= 3


def test_a_wait_reads_well(sandbox, policy, capsys):
    sandbox.script("rate-limit,retry_after=2")
    with Client(model="openai", base_url=f"{sandbox.url}/v1", retry=policy, hooks={"wait": print}) as client:
        client.ask("Hi")
    assert capsys.readouterr().out == "rate limited by openai, waiting 2.2 s\n"


def test_a_hook_that_fails_does_not_end_the_call(sandbox, policy):
    def fails(wait):
        raise ValueError("a bug in the hook")

    sandbox.script("overloaded")
    with Client(model="openai", base_url=f"{sandbox.url}/v1", retry=policy, hooks={"wait": fails}) as client:
        assert client.ask("Hi").provider == "openai"


def test_what_failed_is_shown_as_left_alone_for_a_while(client, sandbox):
    sandbox.script("rate-limit,retry_after=30")
    assert client.health == []
    with pytest.raises(RateLimitError):
        client.ask("Hi", retry=0)
    assert [cooling.provider for cooling in client.health] == ["openai"]


# Streams.


def test_a_refusal_raises_where_the_stream_is_called(client, sandbox):
    sandbox.script("quota")
    with pytest.raises(ChatError):
        client.stream("Hi")


def test_ask_is_the_stream_joined(client, sandbox):
    sandbox.says("one two three")
    with client.stream("Hi") as stream:
        chunks = list(stream)
    assert len(chunks) > 1
    assert "".join(chunks) == stream.text == stream.reply.text == client.ask("Hi").text


# Its end.


@pytest.mark.parametrize("use", ["ask", "stream", "image", "models", "chat"])
def test_a_closed_client_says_so(client, sandbox, use):
    client.close()
    with pytest.raises(ConfigurationError, match="the client is closed"):
        client.chat().ask("Hi") if use == "chat" else getattr(client, use)("openai")
    assert sandbox.requests == []


def test_leaving_the_with_block_closes(sandbox):
    with Client(model="openai", base_url=f"{sandbox.url}/v1") as client:
        client.ask("Hi")
    assert sandbox.wait_closed()
    with pytest.raises(ConfigurationError, match="closed"):
        client.ask("Hi")


def test_closing_twice_and_closing_an_unused_client_is_fine():
    client = Client()
    client.close()
    client.close()


def test_close_ends_a_stream_in_another_thread(client, sandbox):
    sandbox.script("stall,after=1")
    errors, reading = [], threading.Event()

    def read():
        with client.stream("Hi") as stream:
            next(stream)
            reading.set()
            try:
                stream.read()
            except ChatError as error:
                errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(10)
    client.close()
    thread.join(10)
    assert [type(error) for error in errors] == [StreamInterruptedError]


def test_close_ends_a_wait_in_another_thread(sandbox):
    waiting = threading.Event()
    hooks = {"wait": lambda _: waiting.set()}
    client = Client(model="openai", base_url=f"{sandbox.url}/v1", hooks=hooks)
    sandbox.script("rate-limit,retry_after=30")
    errors = []

    def ask():
        try:
            client.ask("Hi")
        except ChatError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert waiting.wait(10)
    client.close()
    thread.join(10)
    assert [(type(error), error.gave_up) for error in errors] == [(RateLimitError, "the client was closed")]


# Copies.


def test_a_client_pickles_without_its_keys(sandbox, monkeypatch):
    client = Client(
        model="openai", api_key="sk-secret", base_url=f"{sandbox.url}/v1", system="Be brief.", timeout=9, temperature=0
    )
    client.ask("Hi")
    data = pickle.dumps(client)
    assert b"sk-secret" not in data
    again = pickle.loads(data)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-other-process")
    again.ask("Hi")
    first, second = sandbox.requests
    assert second.json() == first.json()
    assert second.headers["Authorization"] == "Bearer sk-of-the-other-process"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_keeps_the_keys_and_closes_by_itself(client, sandbox, copied):
    again = copied(client)
    client.close()
    again.ask("Hi")
    assert sandbox.requests[0].headers["Authorization"] == "Bearer sk-test"
    again.close()


def test_a_copy_with_the_user_s_session_keeps_it(session):
    assert copy.copy(Client(session=session)).session is session


def test_neither_repr_nor_str_shows_a_key():
    client = Client(model="openai/gpt-6-sol", api_key="sk-secret")
    assert repr(client) == str(client) == "<Client model='openai/gpt-6-sol'>"


# Models.


def test_models_of_a_provider_are_what_the_service_lists(client, sandbox):
    names = client.models("openai")
    assert names == sorted(names)
    assert "gpt-6-luna" in names
    assert (sandbox.requests[-1].path, sandbox.requests[-1].headers["Authorization"]) == (
        "/v1/models",
        "Bearer sk-test",
    )


def test_models_of_a_site_are_those_known_here(client, sandbox):
    assert client.models("aichats") == ["gpt-4", "dalle"]
    assert sandbox.requests == []


def test_models_of_everything_name_their_providers(client, sandbox):
    names = client.models()
    assert {"openai/gpt-6-sol", "aichats/dalle", "offline/eliza"} <= set(names)
    assert sandbox.requests == []


def test_models_of_the_group_are_those_of_its_sites(client):
    assert [name for name in client.models("free") if name.startswith("aichats/")] == ["aichats/gpt-4", "aichats/dalle"]


def test_models_of_an_unknown_provider_are_refused(client):
    with pytest.raises(ConfigurationError, match="did you mean 'openai'"):
        client.models("opnai")


def test_a_service_that_is_not_there_is_told(policy):
    client = Client(model="openai", base_url="http://127.0.0.1:9/v1", retry=policy)
    with client, pytest.raises(ConnectError) as caught:
        client.ask("Hi")
    assert len(caught.value.attempts) == 3


@pytest.mark.parametrize("options", [{"tools": []}, {"tools": None}, {"tools": [], "approve": print}])
def test_no_tools_are_a_call_like_any_other(client, sandbox, options):
    assert client.ask("Hi", **options).complete
    assert "tools" not in sandbox.requests[0].json()
