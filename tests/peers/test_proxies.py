"""The client through proxies and TLS terminators that others wrote, with the sandbox behind them."""

from __future__ import annotations

import socket
import time

import peer_servers
import pytest

from aichatkit import BadResponseError, ChatError, Client, ConnectError, ServerError

KEY = "sk-behind-a-proxy"


@pytest.fixture
def connect(policy):
    """Make clients that ask at an address, closed after the test: `connect(url, proxies=...)`."""
    made = []

    def make(url, **options):
        settings = {"model": "openai", "api_key": KEY, "base_url": f"{url}/v1", "retry": policy}
        made.append(Client(**{**settings, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def front(start, sandbox):
    """A TLS terminator before the sandbox."""
    return start(peer_servers.run_nginx, sandbox.url)


@pytest.fixture
def behind(sandbox):
    """The sandbox, which says something that shows where bytes got lost."""
    sandbox.says("zażółć gęślą jaźń 🦊 through every hop")
    return sandbox


@pytest.fixture
def nowhere():
    """An address that refuses every connection, and that nobody else is given meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def passed(squid, before, words):
    return words in peer_servers.eventually(lambda: squid.log_text()[len(before) :], lambda text: words in text)


PROXY_OPTIONS = {
    "one url": lambda url, target: url,
    "by scheme": lambda url, target: {"http": url},
    "by host": lambda url, target: {"http://127.0.0.1": url},
    "for all": lambda url, target: {"all": url},
}


@pytest.mark.parametrize("form", PROXY_OPTIONS.values(), ids=list(PROXY_OPTIONS))
def test_squid_is_used_by_a_client_with_proxies(squid, behind, connect, form):
    before = squid.log_text()
    client = connect(behind.url, proxies=form(squid.url, behind.url))
    assert "🦊" in client.ask("hello").text
    assert passed(squid, before, f"POST {behind.url}/v1/chat/completions")


@pytest.mark.parametrize("form", PROXY_OPTIONS.values(), ids=list(PROXY_OPTIONS))
def test_squid_is_used_by_a_call_with_proxies(squid, behind, connect, form):
    before = squid.log_text()
    client = connect(behind.url)
    assert "🦊" in client.ask("hello", proxies=form(squid.url, behind.url)).text
    assert passed(squid, before, f"POST {behind.url}/v1/chat/completions")


def test_squid_of_a_call_wins_over_that_of_the_client(squid, behind, connect, nowhere):
    client = connect(behind.url, proxies=f"http://{nowhere}")
    assert "🦊" in client.ask("hello", proxies=squid.url).text


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_squid_of_the_environment_is_used(squid, behind, connect, monkeypatch, variable):
    monkeypatch.setenv(variable, squid.url)
    before = squid.log_text()
    connect(behind.url).ask("hello")
    assert passed(squid, before, f"POST {behind.url}/v1/chat/completions")


def test_squid_of_the_environment_is_not_used_where_no_proxy_says_so(squid, behind, connect, monkeypatch):
    monkeypatch.setenv("http_proxy", squid.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    before = squid.log_text()
    connect(behind.url).ask("hello")
    time.sleep(0.1)
    assert behind.url not in squid.log_text()[len(before) :]


def test_squid_tunnels_to_tls_and_never_sees_the_key(squid, behind, front, connect):
    before = squid.log_text()
    client = connect(front.url, proxies=squid.url, verify=str(front.ca_bundle))
    assert "🦊" in client.ask("hello").text
    client.close()  # the log tells of a tunnel when it ends
    assert passed(squid, before, "CONNECT " + front.url.partition("://")[2])
    assert KEY not in squid.log_text()


def test_squid_of_the_environment_tunnels_to_tls(squid, behind, front, connect, monkeypatch):
    monkeypatch.setenv("https_proxy", squid.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(front.ca_bundle))
    before = squid.log_text()
    client = connect(front.url)
    client.ask("hello")
    client.close()
    assert passed(squid, before, "CONNECT " + front.url.partition("://")[2])


def test_a_proxy_that_is_not_there_is_named(behind, connect, nowhere):
    client = connect(behind.url, proxies=f"http://reader:secret@{nowhere}")
    with pytest.raises(ConnectError, match="the proxy did not connect") as caught:
        client.ask("hello")
    assert not caught.value.maybe_processed
    assert len(caught.value.attempts) == 3
    assert "secret" not in str(caught.value)
    assert behind.connections == 0


@pytest.mark.parametrize("fault", ["refuse", "reset-head"])
def test_a_proxy_that_breaks_off_may_have_passed_the_request_on(sandbox, connect, fault):
    client = connect(f"http://service.example/fault/{fault}", proxies=sandbox.url)
    with pytest.raises(ConnectError, match="broke before an answer came") as caught:
        client.ask("hello")
    assert caught.value.maybe_processed
    assert len(sandbox.requests) == 2


def test_squid_that_cannot_tunnel_is_a_proxy_problem(squid, connect, nowhere):
    client = connect(f"https://{nowhere}", proxies=squid.url)
    with pytest.raises(ConnectError, match="the proxy did not connect"):
        client.ask("hello")


def test_squid_that_cannot_reach_the_service_is_a_server_error_and_retried(squid, connect, nowhere):
    with pytest.raises(ChatError) as caught:
        connect(f"http://{nowhere}", proxies=squid.url).ask("hello")
    # squid now and then closes the connection that it has just answered on, and a later try finds it broken.
    first, *more = [attempt.error for attempt in caught.value.attempts]
    assert isinstance(first, ServerError)
    assert first.status == 503
    assert more


def test_nginx_is_trusted_through_verify(behind, front, connect):
    assert "🦊" in connect(front.url, verify=str(front.ca_bundle)).ask("hello").text


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_nginx_is_trusted_through_the_environment(behind, front, connect, monkeypatch, variable):
    monkeypatch.setenv(variable, str(front.ca_bundle))
    assert "🦊" in connect(front.url).ask("hello").text


def test_nginx_of_an_unknown_authority_is_refused_without_a_retry(behind, front, connect, slept):
    with pytest.raises(ConnectError, match="TLS failed") as caught:
        connect(front.url).ask("hello")
    assert len(caught.value.attempts) == 1
    assert slept == []
    assert behind.requests == []


def test_nginx_of_an_unknown_authority_is_taken_where_the_user_says_so(behind, front, connect):
    with pytest.warns(Warning, match="Unverified HTTPS request"):
        assert "🦊" in connect(front.url, verify=False).ask("hello").text


def test_nginx_may_compress_what_it_is_asked_to(behind, front, connect):
    client = connect(front.url, verify=str(front.ca_bundle), headers={"Accept-Encoding": "gzip"})
    reply = client.ask("hello")
    assert "🦊" in reply.text
    assert reply.headers["Content-Encoding"] == "gzip"


def test_nginx_is_not_asked_to_compress(behind, front, connect):
    assert "Content-Encoding" not in connect(front.url, verify=str(front.ca_bundle)).ask("hello").headers


ROUTES = ("squid", "tunnel", "nginx", "nginx with gzip", "socks")


@pytest.fixture(params=ROUTES)
def route(request, sandbox):
    """The address to ask and the options of the client, for each way to the sandbox."""
    get = request.getfixturevalue
    if request.param == "squid":
        return sandbox.url, {"proxies": get("squid").url}
    if request.param == "socks":
        return sandbox.url, {"proxies": get("socks").url}
    front = get("front")
    options = {"verify": str(front.ca_bundle)}
    if request.param == "tunnel":
        options["proxies"] = get("squid").url
    if request.param == "nginx with gzip":
        options["headers"] = {"Accept-Encoding": "gzip"}
    return front.url, options


def test_pieces_come_while_the_answer_is_under_way(route, sandbox, connect):
    sandbox.says("first second third fourth")
    url, options = route
    client = connect(f"{url}/fault/stall,after=1,seconds=30", **options)
    begun = time.monotonic()
    with client.stream("hello") as stream:
        first = next(stream)
    assert first
    assert "first second third fourth".startswith(first)
    # Nothing but the first piece was sent, and nginx itself gives up after 20 seconds.
    assert time.monotonic() - begun < 10


def test_a_cut_behind_is_an_error_in_front(route, sandbox, connect):
    sandbox.says("first second third fourth")
    url, options = route
    with pytest.raises(Exception, match=r"broke|end marker|damaged") as caught:
        connect(f"{url}/fault/cut,after=2", **options).ask("hello")
    assert caught.value.partial
    assert "first second third fourth".startswith(caught.value.partial)


@pytest.mark.usefixtures("patient")
def test_connections_are_kept(route, sandbox, connect, monkeypatch):
    url, options = route
    client = connect(url, **options)
    opened, open_one = [], socket.socket.connect
    monkeypatch.setattr(
        socket.socket, "connect", lambda self, address: opened.append(address) or open_one(self, address)
    )
    for _ in range(4):
        client.ask("hello")
    assert len(sandbox.requests) == 4
    assert len(opened) == 1
    # A squid that is not a tunnel opens a new connection for every POST.
    assert sandbox.connections == 1 or (options.get("proxies", "").startswith("http") and url == sandbox.url)


@pytest.mark.usefixtures("patient")
def test_nginx_keeps_the_connection_of_the_client(sandbox, front, connect):
    client = connect(front.url, verify=str(front.ca_bundle))
    for _ in range(4):
        client.ask("hello")
    lines = peer_servers.eventually(front.log_text, lambda text: text.count("\n") >= 4).splitlines()
    assert len(lines) == 4
    assert len({line.split()[0] for line in lines}) == 1


def test_nginx_without_a_service_behind_is_a_server_error_and_retried(start, connect, slept, nowhere):
    front = start(peer_servers.run_nginx, f"http://{nowhere}")
    with pytest.raises(ServerError, match="502 Bad Gateway") as caught:
        connect(front.url, verify=str(front.ca_bundle)).ask("hello")
    assert caught.value.status == 502
    assert len(caught.value.attempts) == 2
    assert len(slept) == 1


def test_nginx_that_lost_patience_is_a_server_error_and_retried_once(sandbox, front, connect):
    client = connect(f"{front.url}/impatient/fault/slow-head,seconds=30", verify=str(front.ca_bundle))
    with pytest.raises(ServerError, match="504 Gateway Time-out") as caught:
        client.ask("hello")
    assert caught.value.status == 504
    assert caught.value.maybe_processed
    assert len(sandbox.requests) == 2


def test_a_service_that_comes_back_behind_nginx_is_found_by_the_retry(sandbox, front, connect):
    sandbox.script("refuse")
    reply = connect(front.url, verify=str(front.ca_bundle)).ask("hello")
    assert [attempt.error and attempt.error.status for attempt in reply.attempts] == [502, None]


def test_nginx_that_redirects_is_not_followed(sandbox, front, connect):
    client = connect(f"{front.url}/moved", verify=str(front.ca_bundle))
    with pytest.raises(BadResponseError, match=r"redirected to 127\.0\.0\.1"):
        client.ask("hello")
    assert sandbox.requests == []


def test_socks_is_used_with_its_password(behind, socks, connect):
    assert "🦊" in connect(behind.url, proxies=socks.url).ask("hello").text


def test_socks_of_the_environment_is_used(behind, connect, monkeypatch, nowhere):
    monkeypatch.setenv("all_proxy", f"socks5h://{nowhere}")
    with pytest.raises(ConnectError, match="the proxy did not connect"):
        connect(behind.url).ask("hello")
    assert behind.connections == 0


def test_socks_looks_names_up_at_the_proxy(behind, socks, connect, monkeypatch):
    looked_up, look_up = [], socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **kw: looked_up.append(host) or look_up(host, *rest, **kw)
    )
    url = behind.url.replace("127.0.0.1", "localhost")
    assert "🦊" in connect(url, proxies=socks.url).ask("hello").text
    assert "localhost" not in looked_up


def test_socks_with_a_wrong_password_is_a_connect_error_that_keeps_the_password(behind, socks, connect):
    with pytest.raises(ConnectError, match="the proxy did not connect") as caught:
        connect(behind.url, proxies=socks.url.replace("sesame", "door")).ask("hello")
    assert "door" not in f"{caught.value!r} {caught.value}"
    assert behind.connections == 0
