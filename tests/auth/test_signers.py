"""`auth=` sees each finished request, on every attempt, and takes the place of a key."""

from __future__ import annotations

import json
import pickle

import pytest
import requests

from aichatkit import Client, RetryPolicy, register
from aichatkit.auth.signers import Signer, is_google_session
from aichatkit.errors import (
    AuthenticationError,
    BadResponseError,
    BlockedError,
    ChatError,
    ConfigurationError,
    ConnectError,
    MissingKeyError,
)
from aichatkit.providers.openai_compatible import OpenAICompatible
from aichatkit.registry import registry
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response

PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": "Yes."}}]}\n\n'
ANSWER = [chunked_head(), chunk(PIECE), chunk(b"data: [DONE]\n\n"), chunk(b"")]


class Ticket(requests.auth.AuthBase):
    """Note what it signs, with a new number each time."""

    def __init__(self):
        self.signed = []

    def __call__(self, request):
        self.signed.append((request.method, request.url, dict(request.headers), request.body))
        request.headers["Authorization"] = f"Ticket {len(self.signed)}"
        return request


class Quiet(requests.auth.AuthBase):
    def __call__(self, request):
        request.headers["X-Gateway"] = "mine"
        return request


def by_function(request):
    request.headers["Authorization"] = "Function"
    return request


def headers_of(sandbox):
    return [request.headers for request in sandbox.requests]


def test_it_sees_the_finished_request_and_needs_no_key(sandbox):
    ticket = Ticket()
    with Client(model="openai", auth=ticket, base_url=f"{sandbox.url}/v1", headers={"X-Mine": "1"}, retry=0) as client:
        assert client.ask("Hi", headers={"X-Call": "2"}).complete
    ((method, url, headers, body),) = ticket.signed
    assert (method, url) == ("POST", f"{sandbox.url}/v1/chat/completions")
    assert (headers["X-Mine"], headers["X-Call"], headers["Content-Length"]) == ("1", "2", str(len(body)))
    assert json.loads(body)["messages"] == [{"role": "user", "content": "Hi"}]
    assert headers_of(sandbox)[0]["Authorization"] == "Ticket 1"


def test_every_service_s_own_address_needs_a_key_or_what_signs(web):
    with Client(model="openai", retry=0) as client, pytest.raises(MissingKeyError):
        client.ask("Hi")
    web.post("https://api.openai.com/v1/chat/completions", body=PIECE + b"data: [DONE]\n\n")
    with Client(model="openai", auth=Ticket(), retry=0) as client:
        assert client.ask("Hi").text == "Yes."
    session = requests.Session()
    session.auth = Ticket()
    with Client(model="openai", session=session, retry=0) as client:
        assert client.ask("Hi").text == "Yes."
    assert [call.request.headers["Authorization"] for call in web.calls] == ["Ticket 1", "Ticket 1"]


def test_each_attempt_is_signed_again(sandbox, policy):
    ticket = Ticket()
    sandbox.script("overloaded")
    with Client(model="openai", auth=ticket, base_url=f"{sandbox.url}/v1", retry=policy) as client:
        assert len(client.ask("Hi").attempts) == 2
        with client.stream("Hi") as stream:
            assert "".join(stream)
        client.chat().ask("Hi")
        assert client.models("openai")
        assert len(client.embed(["a"], model="openai/text-embedding-3-small")) == 1
        client.map(["a", "b"], progress=False)
    sent = [headers["Authorization"] for headers in headers_of(sandbox)]
    assert sorted(sent) == sorted(f"Ticket {number}" for number in range(1, len(sent) + 1))
    assert len(sent) == 8


def test_batch_jobs_are_signed_as_well(service_of, run):
    service, ticket = service_of(), Ticket()
    assert run(service, ["a"], client={"auth": ticket}).text == ["answer to a"]
    assert len(ticket.signed) == len(service.requests) > 3


class Handshake(OpenAICompatible):
    """A service that hands out a nonce first, and refers to another host."""

    name = "handshake"
    url = "http://127.0.0.1:9/v1"
    default_model = "m"
    other = ""

    def prepare(self, http):
        http.get_text(f"{self.url}/nonce")
        if self.other:
            http.get_text(self.other)
        return {}


def test_handshakes_are_signed_and_other_hosts_get_no_signature(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    ticket = Ticket()
    register(Handshake)
    with RawServer([response(b"page")], ANSWER) as server, RawServer([response(b"page")]) as other:
        monkeypatch.setattr(Handshake, "other", other.url)
        with Client(model="handshake", auth=ticket, base_url=f"{server.url}/v1", retry=0) as client:
            assert client.ask("Hi").text == "Yes."
        assert [request.headers["authorization"] for request in server.requests] == ["Ticket 1", "Ticket 2"]
        assert "authorization" not in other.requests[0].headers
    assert [method for method, *_ in ticket.signed] == ["GET", "POST"]


def test_a_redirect_is_not_followed_and_the_other_host_hears_nothing():
    with RawServer([response(b"")]) as other:
        location = [("Location", f"{other.url}/v1/chat/completions")]
        with RawServer([response(b"", status="307 Elsewhere", headers=location)]) as server:
            client = Client(model="openai", auth=Ticket(), base_url=f"{server.url}/v1", retry=0)
            with client, pytest.raises(BadResponseError):
                client.ask("Hi")
        assert other.requests == []


@pytest.mark.parametrize("own", [True, False])
def test_a_challenge_is_answered_by_an_auth_that_waits_for_it(own):
    challenge = [("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')]

    def answer(request):
        if "authorization" in request.headers:
            return ANSWER
        return [response(b"", status="401 No", headers=challenge)]

    auth = requests.auth.HTTPDigestAuth("me", "pw")
    session = requests.Session()
    session.auth = auth
    options = {"auth": auth} if own else {"session": session}
    with RawServer(answer) as server:
        with Client(model="openai", base_url=f"{server.url}/v1", retry=0, **options) as client:
            with client.stream("Hi") as stream:
                assert "".join(stream) == "Yes."
            assert client.ask("Hi").text == "Yes."
        first, second, third = server.requests
    assert "authorization" not in first.headers
    assert second.headers["authorization"].startswith('Digest username="me"')
    assert second.body == first.body
    assert third.headers["authorization"].startswith("Digest ")


@pytest.mark.parametrize(
    ("auth", "value"),
    [
        (("me", "pw"), "Basic bWU6cHc="),
        (requests.auth.HTTPBasicAuth("me", "pw"), "Basic bWU6cHc="),
        (by_function, "Function"),
        ({"openai": by_function}, "Function"),
    ],
)
def test_it_may_be_what_requests_takes(sandbox, auth, value):
    with Client(model="openai", auth=auth, base_url={"openai": f"{sandbox.url}/v1"}, retry=0) as client:
        client.ask("Hi")
    assert headers_of(sandbox)[0]["Authorization"] == value


def test_it_takes_the_place_of_the_auth_of_the_session(sandbox):
    session = requests.Session()
    session.auth = ("me", "pw")
    with Client(model="openai", auth=by_function, session=session, base_url=f"{sandbox.url}/v1", retry=0) as client:
        client.ask("Hi")
    assert (headers_of(sandbox)[0]["Authorization"], session.auth) == ("Function", ("me", "pw"))


# With a key.


def test_a_key_of_the_environment_is_not_sent_with_it(sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-environment")
    urls = {"openai": f"{sandbox.url}/v1", "anthropic": sandbox.url}
    with Client(auth={"openai": Quiet(), "anthropic": by_function}, base_url=urls, retry=0) as client:
        client.ask("Hi", model="openai")
        client.ask("Hi", model="anthropic")
    assert "sk-of-the-environment" not in str([request.headers.items() for request in sandbox.requests])


def test_a_key_of_the_environment_is_left_out_if_the_auth_of_the_session_signs(sandbox, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-the-environment")
    session = requests.Session()
    for auth, expected in ((by_function, False), (Quiet(), True)):
        session.auth = auth
        with Client(model="anthropic", base_url=sandbox.url, session=session, retry=0) as client:
            client.ask("Hi")
        assert (sandbox.requests[-1].headers.get("x-api-key") is not None) == expected


def test_a_key_that_was_passed_is_sent_in_its_own_header_and_signed(sandbox):
    ticket = Ticket()
    with Client(model="anthropic", auth=ticket, api_key="sk-mine-and-only", base_url=sandbox.url, retry=0) as client:
        client.ask("Hi")
    assert headers_of(sandbox)[0]["x-api-key"] == "sk-mine-and-only"
    assert headers_of(sandbox)[0]["Authorization"] == "Ticket 1"
    assert ticket.signed[0][2]["x-api-key"] == "sk-mine-and-only"


def test_a_key_in_the_header_of_the_signature_is_refused():
    with pytest.raises(ConfigurationError, match="api_key for openai: auth= signs each request in the same header"):
        Client(model="openai", api_key="sk-mine-and-only", auth=by_function)
    with Client(auth={"openai": by_function}, api_key={"groq": "gsk-mine-and-only"}) as client:
        assert client.providers


class AuthorizedSession(requests.Session):
    """As google-auth's: it signs in `request`."""

    def request(self, method, url, *args, headers=None, **options):
        return super().request(method, url, *args, headers={**(headers or {}), "authorization": "Bearer g"}, **options)


def test_a_session_that_signs_by_itself_is_recognized(sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    assert is_google_session(AuthorizedSession())
    assert not is_google_session(requests.Session())
    assert not is_google_session(None)
    with Client(model="openai", session=AuthorizedSession(), base_url=f"{sandbox.url}/v1", retry=0) as client:
        client.ask("Hi")
    assert headers_of(sandbox)[0]["Authorization"] == "Bearer g"
    with pytest.raises(ConfigurationError, match="session= signs each request in the same header"):
        Client(model="openai", api_key="sk-mine-and-only", session=AuthorizedSession())


def test_its_token_does_not_go_to_a_service_with_keys_of_its_own(web, monkeypatch):
    with Client(model="openai", session=AuthorizedSession(), retry=0) as client, pytest.raises(MissingKeyError):
        client.ask("Hi")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    web.post("https://api.openai.com/v1/chat/completions", body=PIECE + b"data: [DONE]\n\n")
    with Client(model="openai", session=AuthorizedSession(), retry=0) as client:
        client.ask("Hi")
    assert web.calls[0].request.headers["Authorization"] == "Bearer sk-of-the-environment"


def test_a_service_with_auth_is_chosen_like_one_with_a_key():
    with Client(auth={"groq": by_function}) as client:
        assert [target.provider.name for target in client._targets(None)] == ["groq"]


# Mistakes.


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        (7, "auth for the client: must be callable with a PreparedRequest, not int"),
        ("me:pw", "must be callable"),
        (("me", "pw", "x"), r"a tuple must be \(user, password\)"),
        (("me", None), r"a tuple must be \(user, password\)"),
        (requests.auth.HTTPDigestAuth, "not HTTPDigestAuth; pass an instance of it"),
        ({"opnai": by_function}, "auth: there is no provider 'opnai'"),
        ({"openai": None}, "auth for openai: must be callable"),
    ],
)
def test_what_cannot_sign_is_rejected_at_once(auth, message):
    with pytest.raises(ConfigurationError, match=message):
        Client(model="openai", auth=auth)


def test_one_auth_for_several_services_is_rejected():
    with pytest.raises(ConfigurationError, match="auth: one value cannot serve openai, groq"):
        Client(model=["openai", "groq"], auth=by_function)
    with pytest.raises(ConfigurationError, match="auth: pass a model that names its provider"):
        Client(auth=("me", "pw"))


def test_an_exception_of_it_is_an_error_that_names_it(sandbox):
    class Broken(requests.auth.AuthBase):
        def __call__(self, request):
            raise ZeroDivisionError("with sk-secret-of-mine")

    client = Client(model="openai", auth=Broken(), base_url=f"{sandbox.url}/v1", retry=0)
    with client, pytest.raises(AuthenticationError, match=r"openai: auth: Broken failed \(ZeroDivisionError") as caught:
        client.ask("Hi")
    assert "sk-secret" not in str(vars(caught.value))
    assert (caught.value.__cause__, sandbox.requests) == (None, [])


def test_what_takes_no_request_is_an_error_of_its_own(sandbox):
    client = Client(model="openai", auth=lambda: None, base_url=f"{sandbox.url}/v1", retry=0)
    with client, pytest.raises(AuthenticationError, match=r"<lambda> failed \(TypeError\); call it"):
        client.ask("Hi")


def test_an_error_of_the_package_passes_through(sandbox):
    def sign(request):
        raise ConfigurationError("no region")

    client = Client(model="openai", auth=sign, base_url=f"{sandbox.url}/v1", retry=0)
    with client, pytest.raises(ConfigurationError, match="no region") as caught:
        client.ask("Hi")
    assert caught.value.provider == "openai"


def test_a_failure_of_its_network_is_tried_again(sandbox, policy, slept):
    failures = [ConnectionRefusedError()]

    def sign(request):
        if failures:
            raise failures.pop()
        return request

    with Client(model="openai", auth=sign, base_url=f"{sandbox.url}/v1", retry=policy) as client:
        assert client.ask("Hi").complete
    assert len(slept) == 1


def test_it_must_return_the_request(sandbox):
    client = Client(model="openai", auth=lambda request: None, base_url=f"{sandbox.url}/v1", retry=0)
    with client, pytest.raises(ConfigurationError, match="auth: <lambda> must return the request"):
        client.ask("Hi")


def test_a_refusal_of_a_signed_request_is_not_repeated():
    ticket = Ticket()
    with RawServer([response(b"", status="401 No")]) as server:
        client = Client(model="openai", auth=ticket, base_url=f"{server.url}/v1", retry=RetryPolicy())
        with client, pytest.raises(AuthenticationError):
            client.ask("Hi")
        assert len(server.requests) == 1


def test_a_refusal_names_what_signed_and_no_key():
    with RawServer([response(b'{"error": {"code": "x", "message": "No."}}', status="401 No")] * 3) as server:
        options = {"model": "openai", "base_url": f"{server.url}/v1", "retry": 0}
        session = requests.Session()
        session.auth = ("user", "word")
        for signs, words in (
            ({"auth": Ticket()}, "the sign-in of Ticket was refused"),
            ({"session": session}, r"the sign-in of \(user, password\) was refused"),
            ({"api_key": lambda: "token-1"}, "check what the function of api_key= returns"),
        ):
            with Client(**options, **signs) as client, pytest.raises(AuthenticationError, match=words) as caught:
                client.ask("Hi")
            assert "check the API key" not in str(caught.value)


# Pickles.


def test_a_function_is_pickled_by_reference_and_an_object_may_hold_secrets():
    with Client(model="openai", auth=by_function) as client:
        assert pickle.loads(pickle.dumps(client))._context.signers["openai"].auth is by_function
    client = Client(model="openai", auth=("me", "pw-of-mine"))
    with client, pytest.raises(ConfigurationError, match="auth=HTTPBasicAuth cannot be pickled"):
        pickle.dumps(client)


def test_a_renewal_is_only_for_the_objects_of_the_package():
    class Theirs:
        def renew(self, status, headers):
            raise AssertionError("not ours")

        def __call__(self, request):
            return request

    assert Signer(Theirs(), "openai").renew(401, {}) is False


def test_a_connection_that_fails_after_signing_is_a_connect_error():
    client = Client(model="openai", auth=Ticket(), base_url="http://127.0.0.1:9/v1", retry=0)
    with client, pytest.raises(ConnectError):
        client.ask("Hi")


class Challenged(requests.auth.AuthBase):
    """Answer challenges in a hook, as Kerberos and NTLM do; `answer` takes the response."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, request):
        request.register_hook("response", lambda response, **options: self.answer(response))
        return request


class MutualError(requests.RequestException):
    """Like that of requests-kerberos."""


def denied(response):
    # As requests-ntlm does.
    raise PermissionError("Access denied to sk-secret-of-mine")


def unproved(response):
    raise MutualError("sk-secret-of-mine")


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(
    ("answer", "name", "status", "processed"),
    [(denied, "PermissionError", "401 No", False), (unproved, "MutualError", "200 OK", True)],
)
def test_an_exception_of_its_hook_is_an_error_that_names_it(policy, own, answer, name, status, processed):
    auth = Challenged(answer)
    session = requests.Session()
    session.auth = auth
    options = {"auth": auth} if own else {"session": session}
    with RawServer([response(b"", status=status)]) as server:
        client = Client(model="openai", base_url=f"{server.url}/v1", retry=policy, **options)
        with client, pytest.raises(AuthenticationError, match=rf"openai: auth: Challenged failed \({name}") as caught:
            client.ask("Hi")
        assert len(server.requests) == 1
    error = caught.value
    assert (error.__cause__, error.maybe_processed) == (None, processed)
    assert "sk-secret" not in str(vars(error))


def test_an_error_of_the_package_in_its_hook_passes_through(sandbox):
    def answer(response):
        raise ConfigurationError("no ticket")

    client = Client(model="openai", auth=Challenged(answer), base_url=f"{sandbox.url}/v1", retry=0)
    with client, pytest.raises(ConfigurationError, match="no ticket"):
        client.ask("Hi")


@pytest.mark.parametrize("error", [requests.ConnectionError("reset"), ConnectionResetError(104, "reset")])
def test_a_broken_connection_in_its_hook_is_one_of_the_network(sandbox, error):
    def answer(response):
        raise error

    client = Client(model="openai", auth=Challenged(answer), base_url=f"{sandbox.url}/v1", retry=0)
    with client, pytest.raises(ConnectError, match="openai at"):
        client.ask("Hi")


@pytest.mark.parametrize(
    ("challenge", "options", "message"),
    [
        (
            "Negotiate",
            {"api_key": "k"},
            r"the server wants Negotiate \(401\).*auth=requests_gssapi\.HTTPSPNEGOAuth\(\)",
        ),
        ('Basic realm="a, b"', {"api_key": "k"}, r"the server wants Basic .*; pass auth=\(user, password\)$"),
        ("NTLM", {"auth": Quiet()}, r"wants NTLM and has refused that of Quiet .*check the user and the password$"),
        ("Negotiate, NTLM", {"auth": Quiet()}, r"wants Negotiate or NTLM and has refused .*klist"),
        ("ntlm", {"session_auth": Quiet()}, r"wants ntlm and has refused that of Quiet"),
        ("NTLM", {"session_auth": Quiet(), "api_key": "k"}, r"the server wants NTLM \(401\).*rather than a Session$"),
        ("Basic", {"session_auth": ("me", "pw")}, r"has refused that of \(user, password\)"),
        ("Bearer", {"api_key": "k"}, r"the key was refused \(401\); check the API key of this provider$"),
        ("", {"api_key": "k"}, r"check the API key of this provider$"),
    ],
)
def test_an_error_says_what_the_server_wants(challenge, options, message):
    if "session_auth" in options:
        session = requests.Session()
        session.auth = options["session_auth"]
        options = {"session": session, **{name: options[name] for name in options if name != "session_auth"}}
    headers = [("WWW-Authenticate", challenge)] if challenge else []
    with RawServer([response(b"", status="401 No", headers=headers)]) as server:
        client = Client(model="openai", base_url=f"{server.url}/v1", retry=0, **options)
        with client, pytest.raises(AuthenticationError, match=message):
            client.ask("Hi")


def test_a_refusal_for_another_reason_keeps_its_words():
    body = b'{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}'
    answer = [response(body, status="401 No", headers=[("WWW-Authenticate", "Basic")])]
    with RawServer(answer) as server:
        client = Client(model="openai", base_url=f"{server.url}/v1", api_key="k", retry=0)
        with client, pytest.raises(ChatError) as caught:
            client.ask("Hi")
    assert "Basic" not in str(caught.value)


def test_a_proxy_that_wants_a_password_says_so_for_http_as_well():
    with RawServer([response(b"", status="407 Proxy Authentication Required")]) as proxy:
        client = Client(model="openai", base_url="http://service.example/v1", api_key="k", proxies=proxy.url, retry=0)
        with client, pytest.raises(BlockedError, match=r"the proxy wants to sign in \(407\); .*user:password@host"):
            client.ask("Hi")
