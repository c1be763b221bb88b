"""Kerberos and NTLM with the packages that people use for them, on servers and proxies that others wrote."""

from __future__ import annotations

import json

import kerberos_servers
import peer_servers
import pytest

TEXT = "zażółć gęślą jaźń 🦊 after a handshake"
#: The packages for Kerberos; the last one takes minutes to build, and is tried where it is installed.
KERBEROS = ("requests-gssapi", "requests-gssapi, at once", "requests-kerberos")


@pytest.fixture
def behind(sandbox):
    """The sandbox, behind a server that wants its clients to sign in."""
    sandbox.says(TEXT)
    return sandbox


@pytest.fixture
def apache(start, realm, behind):
    return start(kerberos_servers.run_apache, realm, behind.url)


@pytest.fixture
def ntlm(start, behind):
    return start(kerberos_servers.run_ntlm, behind.url)


@pytest.fixture
def front(start, behind):
    return start(peer_servers.run_nginx, behind.url)


@pytest.fixture
def ask(apache, realm):
    """Ask through Apache, with a ticket: `ask("hello", auth=...)`."""

    def call(*prompts, url="", environment=None, **options):
        return kerberos_servers.call(
            url or apache.url,
            *prompts,
            environment={**realm.ticket, **(environment or {})},
            verify=str(apache.ca_bundle),
            **options,
        )

    return call


@pytest.mark.parametrize("package", KERBEROS)
def test_kerberos_signs_in_for_streams_retries_and_limits(ask, behind, package):
    behind.script(None, "rate-limit", None, "cut,after=2")
    first, again, cut = ask("hello", "again", "cut", auth=package, retry=1)
    assert first["text"] == again["text"] == TEXT
    assert first["pieces"] > 5
    assert again["attempts"] == [429, None]
    assert cut["error"] == "StreamInterruptedError"
    for request in behind.requests:
        assert request.headers["x-remote-user"] == "reader@PEERS.TEST"
        assert json.loads(request.body)["messages"]


def test_a_session_may_sign_in_by_kerberos(ask, behind):
    assert [answer["text"] for answer in ask("one", "two", auth=KERBEROS[0], in_session=True)] == [TEXT, TEXT]


def test_without_a_ticket_the_error_names_it(ask, realm, behind):
    (answer,) = ask("hello", auth=KERBEROS[0], environment=realm.no_ticket)
    assert (answer["error"], answer["status"]) == ("AuthenticationError", 401)
    assert "the server wants Negotiate and has refused that of HTTPSPNEGOAuth" in answer["message"]
    assert "klist" in answer["message"]
    assert behind.requests == []


def test_with_a_key_the_error_says_what_the_server_wants(ask):
    (answer,) = ask("hello", api_key="sk-unused")
    assert "the server wants Negotiate (401)" in answer["message"]
    assert "pass auth=requests_gssapi.HTTPSPNEGOAuth()" in answer["message"]


def test_a_redirect_after_kerberos_is_not_followed(ask, apache, behind):
    (answer,) = ask("hello", auth=KERBEROS[0], url=f"{apache.url}/moved")
    assert answer["error"] == "BadResponseError"
    assert "redirects are not followed" in answer["message"]
    assert behind.requests == []


def test_ntlm_signs_in_a_connection_and_keeps_it(ntlm, behind):
    behind.script(None, None, "rate-limit", None, "cut,after=2")
    *whole, again, cut = kerberos_servers.call(ntlm.url, "one", "two", "again", "cut", auth="requests-ntlm", retry=1)
    assert [answer["text"] for answer in (*whole, again)] == [TEXT] * 3
    assert again["attempts"] == [429, None]
    assert cut["error"] == "StreamInterruptedError"
    assert {request.headers["x-remote-user"] for request in behind.requests} == {"PEERS\\reader"}
    refused = [line for line in ntlm.log_text().splitlines() if line.endswith(" 401")]
    assert len(refused) == 2


def test_ntlm_of_a_session_and_a_key_are_in_each_other_s_way(ntlm, behind):
    (answer,) = kerberos_servers.call(
        ntlm.url, "hello", auth="requests-ntlm", in_session=True, environment={"OPENAI_API_KEY": "sk-mine"}
    )
    assert "the server wants NTLM (401)" in answer["message"]
    assert "rather than a Session" in answer["message"]
    (answer,) = kerberos_servers.call(ntlm.url, "hello", auth="requests-ntlm", in_session=True)
    assert answer["text"] == TEXT
    (answer,) = kerberos_servers.call(f"{ntlm.url}/moved", "hello", auth="requests-ntlm")
    assert "redirects are not followed" in answer["message"]


def test_ntlm_of_a_proxy_works_for_http_alone(ntlm, behind, front):
    (answer,) = kerberos_servers.call(behind.url, "hello", auth="requests-ntlm", proxies=ntlm.url)
    assert answer["text"] == TEXT
    options = {"auth": "requests-ntlm", "proxies": ntlm.url, "verify": str(front.ca_bundle)}
    (answer,) = kerberos_servers.call(front.url, "hello", **options)
    assert (answer["error"], answer["status"]) == ("ConnectError", 407)
    assert "for NTLM or Kerberos run a local proxy that signs in, such as px or cntlm" in answer["message"]


def test_cntlm_signs_in_to_a_proxy(start, ntlm, behind, front):
    helper = start(kerberos_servers.run_cntlm, ntlm)
    options = {"api_key": "sk-mine", "proxies": helper.url, "verify": str(front.ca_bundle)}
    for url in (front.url, behind.url):
        answers = kerberos_servers.call(url, "one", "two", **options)
        assert [answer.get("text", answer) for answer in answers] == [TEXT, TEXT]
    assert "PEERS\\reader" in ntlm.log_text()


def test_a_proxy_that_wants_tickets_says_what_to_do(start, realm, behind, front, tmp_path):
    with peer_servers.folder() as home:
        squid = start(peer_servers.run_squid, *kerberos_servers.squid_options(realm, home))
        options = {"api_key": "sk-mine", "proxies": squid.url, "verify": str(front.ca_bundle)}
        (tunnel,) = kerberos_servers.call(front.url, "hello", **options)
        (plain,) = kerberos_servers.call(behind.url, "hello", **options)
    assert (tunnel["error"], plain["error"]) == ("ConnectError", "BlockedError")
    for answer in (tunnel, plain):
        assert answer["status"] == 407
        assert "http://user:password@host:3128" in answer["message"]
        assert "such as px or cntlm" in answer["message"]
    assert behind.requests == []


def test_a_proxy_that_wants_a_password_has_it_from_its_url(start, behind, front):
    helper = "auth_param basic program /usr/lib/squid/basic_fake_auth\nauth_param basic children 1\n"
    squid = start(peer_servers.run_squid, helper)
    url = squid.url.replace("//", "//reader:p%40ss%3Aword@")
    for base_url in (front.url, behind.url):
        options = {"api_key": "sk-mine", "proxies": url, "verify": str(front.ca_bundle)}
        assert kerberos_servers.call(base_url, "hello", **options)[0]["text"] == TEXT
    assert "p%40ss" not in squid.log_text()
