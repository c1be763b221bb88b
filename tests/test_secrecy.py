"""Keys and passwords are thrown through every path that fails, and looked for in everything that comes out."""

from __future__ import annotations

import contextlib
import http.cookiejar
import io
import json
import logging
import pickle
import string
import traceback
import warnings

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aichatkit import Client, Rate, RetryPolicy
from aichatkit.errors import AuthenticationError, ChatError, ConfigurationError, ModelNotFoundError
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response

PIECE = b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
JSON, HTML = ("Content-Type", "application/json"), ("Content-Type", "text/html")

PASSWORD = "hunter2hunter2"
#: Keys as services make them: visible ASCII, long enough not to be a word of a message.
#: Their start keeps them apart from the strings of the code, such as addresses, which hypothesis likes to try.
KEYS = st.text(alphabet=string.ascii_letters + string.digits + "-_.=+/:%~", min_size=14, max_size=62).map("k~{}".format)
#: Providers that put the key into different headers.
PROVIDERS = ("openai", "anthropic", "gemini", "cohere", "groq")


def told(key, **fields):
    return json.dumps({"error": {"message": f"Incorrect API key provided: {key}. Check it.", **fields}}).encode()


def refused(status, body, *headers):
    return [response(body, status=f"{status} No", headers=headers)]


def event(key):
    return b"data: %s\n\n" % told(key, code="invalid_api_key")


#: What a service does with the key it was sent; each is an error.
ECHOES = {
    "message": lambda key: refused(401, told(key), JSON),
    "code": lambda key: refused(400, told(key, code=key, type=key), JSON),
    "param": lambda key: refused(400, told(key, param=key), JSON),
    "text": lambda key: refused(403, f"no entry with {key}".encode()),
    "long-text": lambda key: refused(400, b"x" * (500 - len(key) // 2) + key.encode()),
    "long-message": lambda key: refused(400, told("y" * (460 - len(key) // 2) + key), JSON),
    "list": lambda key: refused(422, json.dumps({"detail": [{"msg": key, "loc": ["header", key]}]}).encode(), JSON),
    "title": lambda key: refused(500, f"<html><title>{key}</title><h1>{key}</h1></html>".encode(), HTML),
    "page": lambda key: [response(f"<html><title>{key}</title></html>".encode(), headers=[HTML])],
    "redirect": lambda key: refused(302, b"", ("Location", f"https://{key}/x?key={key}")),
    "request-id": lambda key: refused(500, told("x"), JSON, ("X-Request-Id", key), ("Request-Id", key)),
    "limit": lambda key: refused(429, told(key, type=key), JSON, ("Retry-After", "900"), ("X-RateLimit-Limit", key)),
    "bad-hint": lambda key: refused(429, told(key), JSON, ("Retry-After", key)),
    "quota": lambda key: refused(429, told(key, code="insufficient_quota"), JSON),
    "model": lambda key: refused(404, told(key, code="model_not_found"), JSON),
    "content-type": lambda key: [response(b"hi", headers=[("Content-Type", f"x/{key.replace('/', '')}")])],
    "status-line": lambda key: [f"HTTP/1.1 {key}\r\n\r\n".encode(), "close"],
    "reason": lambda key: [f"HTTP/1.1 500 {key}\r\nContent-Length: 0\r\n\r\n".encode()],
    "header-line": lambda key: [f"HTTP/1.1 200 OK\r\n{key}\r\n\r\n".encode(), "close"],
    "event": lambda key: [chunked_head(), chunk(event(key)), chunk(b"")],
    "late-event": lambda key: [chunked_head(), chunk(PIECE), chunk(event(key)), chunk(b"")],
    "unreadable": lambda key: [chunked_head(), chunk(f"data: {key} {{\n\n".encode()), chunk(b"")],
    "late-unreadable": lambda key: [chunked_head(), chunk(PIECE + f"data: {key} {{\n\n".encode()), chunk(b"")],
    "one-json": lambda key: [response(told(key), headers=[JSON])],
    "closed": lambda key: ["close"],
    "cut": lambda key: [chunked_head(), chunk(PIECE), "close"],
    "chunk-size": lambda key: [chunked_head(), f"{key}\r\n".encode(), "close"],
}


@pytest.fixture(scope="module")
def service():
    """A service whose next script is in `.script`; it never looks at what it is asked."""
    with RawServer(lambda request: service.script) as service:
        yield service


@contextlib.contextmanager
def everything_logged():
    """Gather what every logger says at its most talkative."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(exc_info)s"))
    root, before = logging.getLogger(), logging.getLogger().level
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("aichatkit", "urllib3", "requests"))]
    levels = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def shown(error):
    """Return everything an error shows of itself, its causes and its attempts."""
    chain, seen = [error], []
    while chain:
        item = chain.pop()
        if item is None or item in seen:
            continue
        seen.append(item)
        chain += [item.__cause__, item.__context__, *getattr(item, "errors", ())]
        chain += [attempt.error for attempt in getattr(item, "attempts", ())]
    written = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    texts = [repr((str(item), repr(item), item.args, vars(item))) for item in seen]
    return "\n".join([written, *texts]) + pickle.dumps(error).decode("latin-1")


def parts(secret):
    """A key must not come out in half either: what was cut off in the middle is still most of it."""
    return (secret, secret[: max(12, len(secret) * 3 // 4)])


def client_of(service, key, provider="openai", **options):
    return Client(
        **{
            "model": f"{provider}/m",
            "api_key": {provider: key},
            "base_url": {provider: service.url},
            "retry": RetryPolicy(base=0, max_wait=0),
            **options,
        }
    )


def fail(client, **options):
    with everything_logged() as log, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(ChatError) as caught:
            client.ask("Hi", **options)
        log.write(repr([str(each.message) for each in warned]))
    return caught.value, log.getvalue()


@pytest.mark.parametrize("echo", ECHOES)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS)
@example(key="sk-live-0123456789abcdefghijklmnopqrstuvwxyz")
def test_a_key_that_is_echoed_is_in_no_error_log_or_pickle(service, echo, key):
    service.script = ECHOES[echo](key)
    with client_of(service, key) as client:
        error, log = fail(client)
        if echo == "header-line":
            # urllib3 itself warns of header lines it cannot read, and shows them.
            log = "\n".join(line for line in log.splitlines() if line.startswith("aichatkit."))
        out = shown(error) + log + repr((client, client.health, client._context))
    for part in parts(key):
        assert part not in out


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("echo", ["message", "closed", "event", "status-line", "request-id"])
def test_no_provider_gives_its_key_away(service, provider, echo):
    key = "sk-secret-0123456789-abcdef"
    service.script = ECHOES[echo](key)
    before = len(service.requests)
    with client_of(service, key, provider) as client:
        error, log = fail(client)
    assert key not in shown(error) + log
    sent = service.requests[before:]
    assert [request.target for request in sent if key in request.target] == []
    assert any(key in value for value in sent[0].headers.values())


def test_a_key_that_stepped_aside_is_not_told_by_the_one_that_followed(service):
    first, second = "sk-secret-first-0123456789", "sk-secret-second-0123456789"
    service.script = refused(401, told(first) + told(second), JSON)
    with client_of(service, [first, second]) as client:
        error, log = fail(client)
    for key in (first, second):
        assert key not in shown(error) + log


@settings(max_examples=60, deadline=None)
@given(
    start=st.text(alphabet=string.ascii_letters, min_size=6, max_size=12),
    odd=st.sampled_from("\n\r\t \x00\x7fé☃\u2028"),
    end=st.text(alphabet=string.ascii_letters, min_size=6, max_size=12),
)
def test_a_key_with_an_odd_character_is_refused_without_being_shown(start, odd, end):
    key = f"{start}{odd}{end}"
    with pytest.raises(ConfigurationError) as caught:
        Client(model="openai", api_key=key)
    # A word of the message may happen to be a part of the key, the whole of it never is.
    assert isinstance(caught.value, ValueError)
    assert key not in shown(caught.value)
    assert repr(key)[1:-1] not in shown(caught.value)


def test_a_key_with_an_odd_character_in_the_environment_is_not_shown(service, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2hunter2\n")
    with Client(model="openai/m") as client:
        error, log = fail(client)
    assert type(error) is ConfigurationError
    assert "hunter2" not in shown(error) + log


PROXIES = {
    "closed": "http://user:hunter2hunter2@127.0.0.1:1",
    "socks": "socks5h://user:hunter2hunter2@127.0.0.1:1",
    "no-port": "http://user:hunter2hunter2@127.0.0.1:port",
    "no-host": "http://user:hunter2hunter2@",
    "unknown-scheme": "gopher://user:hunter2hunter2@127.0.0.1:1",
    "no-scheme": "user:hunter2hunter2@127.0.0.1:1",
}


@pytest.mark.parametrize("given_by", ["option", "call", "environment"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_the_password_of_a_proxy_is_not_shown(monkeypatch, proxy, given_by):
    url = PROXIES[proxy]
    if given_by == "environment":
        monkeypatch.setenv("http_proxy", url)
    options = {"proxies": url} if given_by == "option" else {}
    given = {"model": "openai/m", "api_key": "sk-secret-0123456789", "base_url": "http://openai.example/v1", "retry": 0}
    try:
        with Client(**given, **options) as client:
            error, log = fail(client, **({"proxies": url} if given_by == "call" else {}))
            log += repr((client, client.health))
    except ConfigurationError as refused_at_once:
        error, log = refused_at_once, ""
    assert "hunter2" not in shown(error) + log


class Quoting(requests.adapters.BaseAdapter):
    """An adapter whose exceptions quote all there is: the URL, the headers, a proxy and the address of an object."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def send(self, request, **options):
        raise self.kind(f"no {request.url} with {dict(request.headers)} by http://me:{PASSWORD}@proxy:80 in {self!r}")

    def close(self):
        """Nothing is open."""


@pytest.mark.parametrize("call", [lambda client: client.ask("Hi"), lambda client: client.models("openai")])
@pytest.mark.parametrize("name", [None, "Authorization", "X-Api-Key"])
@pytest.mark.parametrize("kind", [requests.ConnectionError, requests.Timeout, requests.exceptions.SSLError, OSError])
def test_a_secret_that_the_network_quotes_is_not_in_the_reason(kind, name, call):
    key = "sk-secret-0123456789-abcdef"
    given = {"headers": {name: f"Bearer {key}"}} if name else {"api_key": key}
    with requests.Session() as session:
        session.mount("http://", Quoting(kind))
        session.params = {"token": PASSWORD}
        client = Client(
            **{"model": "openai/m", "api_key": "sk-other-0123456789", "retry": 0, **given},
            base_url="http://openai.example/v1",
            session=session,
        )
        with client, pytest.raises(ChatError) as caught:
            call(client)
    reason = caught.value.reason
    assert reason.startswith(f"{kind.__name__}: no http://openai.example/v1/")
    assert " with {" in reason
    assert "token" not in reason
    assert "Bearer [key]" in reason
    assert "http://proxy:80 in <" in reason
    assert " at 0x" not in reason
    for part in (*parts(key), "hunter2"):
        assert part not in shown(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:hunter2hunter2@host/v1",
        "user:hunter2hunter2@host",
        "http://user:hunter2hunter2@host\n/v1",
        "http://user:hunter2hunter2@[::1/v1",
    ],
)
def test_the_password_of_an_address_that_cannot_be_asked_is_not_shown(url):
    with pytest.raises(ConfigurationError) as caught, Client(model="openai/m", api_key="x", base_url=url) as client:
        client.ask("Hi", retry=0)
    assert "hunter2" not in shown(caught.value)


def test_a_header_that_is_refused_is_not_shown():
    headers = {"Authorization": f"Bearer {PASSWORD}\n{PASSWORD}"}
    with pytest.raises(ConfigurationError) as caught:
        Client(model="openai", headers=headers)
    assert "hunter2" not in shown(caught.value)


@pytest.mark.parametrize("key", ["sk-secret-0123456789", ["sk-secret-0123456789", "sk-secret-9876543210"]])
def test_no_repr_and_no_pickle_of_anything_public_holds_a_key(service, key):
    service.script = [chunked_head(), chunk(PIECE + DONE), chunk(b"")]
    with client_of(service, key, rate=Rate("100/min", tokens="100000/min", concurrent=2)) as client:
        stream = client.stream("Hi")
        chat = client.chat()
        things = [repr(client), repr(client._context), repr(stream), repr(client.session), repr(client.providers)]
        reply = stream.read()
        chat.ask("Hi")
        things += map(repr, (reply, reply.attempts, stream, chat, client.health, reply.headers, vars(reply)))
        things += [pickle.dumps(thing).decode("latin-1") for thing in (client, reply, chat)]
    assert [thing for thing in things if "sk-secret" in thing] == []


@pytest.mark.parametrize("session", ["own", "theirs"])
def test_a_netrc_puts_in_nothing_where_there_is_a_key_and_where_there_is_none(service, monkeypatch, tmp_path, session):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    service.script = [chunked_head(), chunk(PIECE + DONE), chunk(b"")]
    before = len(service.requests)
    with requests.Session() as given_session:
        options = {"session": given_session} if session == "theirs" else {}
        with client_of(service, "sk-secret-0123456789", **options) as client:
            client.ask("Hi")
        with client_of(service, "x", api_key=None, **options) as client:
            client.ask("Hi")
    sent = [request.headers.get("authorization") for request in service.requests[before:]]
    assert sent == ["Bearer sk-secret-0123456789", None]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("session", ["own", "theirs"])
def test_no_redirect_is_followed_not_even_to_the_same_host(service, status, session):
    service.script = refused(status, b"", ("Location", f"{service.url}/elsewhere"))
    before = len(service.requests)
    with requests.Session() as given_session:
        options = {"session": given_session} if session == "theirs" else {}
        with client_of(service, "sk-secret-0123456789", **options) as client:
            fail(client)
    assert [request.path for request in service.requests[before:]] == ["/chat/completions"]


@pytest.mark.parametrize("session", ["own", "theirs"])
@pytest.mark.parametrize("status", ["200 OK", "500 No"])
def test_no_cookie_goes_from_one_call_into_the_next(service, session, status):
    body = PIECE + DONE
    headers = [("Content-Type", "text/event-stream"), ("Set-Cookie", "who=hunter2; Path=/")]
    service.script = [response(body, status=status, headers=headers)]
    before = len(service.requests)
    with requests.Session() as given_session:
        options = {"session": given_session} if session == "theirs" else {}
        with client_of(service, "sk-secret-0123456789", retry=0, **options) as client:
            for _ in range(2):
                with contextlib.suppress(ChatError):
                    client.ask("Hi")
            assert list(client.session.cookies) == []
    assert [request.headers.get("cookie") for request in service.requests[before:]] == [None, None]


def test_a_cookie_of_the_users_own_session_is_sent_and_stays(service):
    service.script = [response(PIECE + DONE, headers=[("Set-Cookie", "who=other; Path=/")])]
    with requests.Session() as session:
        session.cookies.set("mine", "yes", domain="127.0.0.1", path="/")
        with client_of(service, "sk-secret-0123456789", session=session) as client:
            client.ask("Hi")
        assert isinstance(session.cookies, http.cookiejar.CookieJar)
        assert session.cookies.get_dict() == {"mine": "yes"}
    assert service.requests[-1].headers["cookie"] == "mine=yes"


def test_a_key_that_is_echoed_when_models_are_listed_is_hidden():
    told_off = b'{"error": {"message": "Incorrect API key provided: sk-a-secret", "code": "invalid_api_key"}}'
    with RawServer([response(told_off, status="401 Unauthorized")]) as server:
        client = Client(model="openai", api_key="sk-a-secret", base_url=server.url, retry=0)
        with client, pytest.raises(AuthenticationError) as caught:
            client.models("openai")
    assert "sk-a-secret" not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))


def test_a_placeholder_in_the_place_of_a_key_is_a_word_like_any_other():
    told_off = b'{"error": {"message": "there is no ollama model", "code": "model_not_found"}}'
    with RawServer([response(told_off, status="404 Not Found")]) as server:
        client = Client(model="openai", api_key="ollama", base_url=server.url, retry=0)
        with client, pytest.raises(ModelNotFoundError, match="there is no ollama model"):
            client.ask("Hi")
