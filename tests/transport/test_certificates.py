"""Certificates: of the operating system, of the variables that programs share, of clients; renewed while it runs."""

from __future__ import annotations

import os
import ssl
import sys
import threading
import weakref
from functools import partial

import pytest
import requests
import trustme
import urllib3

from aichatkit import Client
from aichatkit.errors import ConfigurationError, ConnectError
from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.raw import RawServer, response
from aichatkit.transport import certificates
from aichatkit.transport.certificates import (
    CertificateAdapter,
    bundle_context,
    environment_bundle,
    stamp_of,
    system_context,
)
from aichatkit.transport.connections import Connections
from aichatkit.transport.exceptions import translate_send

keeps_contexts = pytest.mark.skipif(
    not hasattr(requests.adapters.HTTPAdapter, "build_connection_pool_key_attributes"),
    reason="older versions of requests make a context for every connection",
)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def tls_sandbox(authority):
    with Sandbox(tls=server_context(authority)) as running:
        yield running


def client_of(sandbox, **options):
    options = {"retry": 0, "timeout": (5, 5), "base_url": f"{sandbox.url}/v1", **options}
    return Client(model="openai", api_key="sk-test", **options)


def trusts(sandbox, **options):
    with client_of(sandbox, **options) as client:
        (check,) = client.check("openai")
        assert check.ok or "TLS failed" in str(check.error)
        return check.ok


# The operating system.


def test_the_certificates_of_the_system_are_used(tls_sandbox, ca_file, monkeypatch):
    pytest.importorskip("truststore")
    assert not trusts(tls_sandbox, verify="system")
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert trusts(tls_sandbox, verify="system")
    # The bundle of another variable is not what was asked for.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.requests.utils.DEFAULT_CA_BUNDLE_PATH)
    assert trusts(tls_sandbox, verify="system")


def test_linux_knows_them_without_truststore(tls_sandbox, ca_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "truststore", None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert trusts(tls_sandbox, verify="system")


@pytest.mark.parametrize("installed", [True, False])
def test_a_certificate_of_another_host_is_refused_by_the_system_as_well(authority, ca_file, monkeypatch, installed):
    if not installed:
        monkeypatch.setitem(sys.modules, "truststore", None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with Sandbox(tls=context) as sandbox:
        assert not trusts(sandbox, verify="system")
        assert sandbox.requests == []


def test_a_certificate_of_another_host_is_refused_whatever_the_bundle(authority, ca_file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    with Sandbox(tls=context) as sandbox:
        assert not trusts(sandbox, verify=ca_file)
        assert sandbox.requests == []


@pytest.mark.parametrize("by_urllib3", [True, False])
def test_an_old_urllib3_checks_host_names_itself(monkeypatch, tmp_path, by_urllib3):
    monkeypatch.setattr(certificates, "CHECKS_HOSTNAMES", by_urllib3)
    path = tmp_path / "bundle.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    for context in (system_context(), bundle_context(str(path))):
        assert context.check_hostname is not by_urllib3
        assert context.verify_mode == ssl.CERT_REQUIRED


def test_what_threads_share_is_set_once(tmp_path, monkeypatch, mine):
    # OpenSSL frees the former protocols and certificate, which another thread may be copying into its connection.
    calls = []
    for name in ("set_alpn_protocols", "load_cert_chain"):
        original = getattr(ssl.SSLContext, name)

        def spy(self, *args, _name=name, _original=original, **options):
            calls.append(_name)
            return _original(self, *args, **options)

        monkeypatch.setattr(ssl.SSLContext, name, spy)
    path = tmp_path / "bundle.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    for time, make in enumerate((system_context, partial(bundle_context, str(path)))):
        context = make()
        assert calls == ["set_alpn_protocols"]
        for _ in range(2):
            context.set_alpn_protocols(["http/1.1"])
            context.load_cert_chain(str(mine[1]), str(mine[2]))
        context.load_cert_chain(certfile=str(mine[0]), keyfile=None)
        assert calls == ["set_alpn_protocols", "load_cert_chain", "load_cert_chain"]
        os.utime(mine[0], ns=(time, time))
        context.load_cert_chain(str(mine[0]))
        assert len(calls) == 4
        calls.clear()


def test_a_client_certificate_is_read_once_for_all_connections(mutual, mine, monkeypatch, ca_file):
    calls = []
    for name in ("load_cert_chain", "wrap_socket"):
        original = getattr(ssl.SSLContext, name)

        def spy(self, *args, _name=name, _original=original, **options):
            if not options.get("server_side"):
                calls.append(_name)
            return _original(self, *args, **options)

        monkeypatch.setattr(ssl.SSLContext, name, spy)
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    with client_of(mutual, verify="system", cert=(mine[1], mine[2])) as client:
        streams = [client.stream("Hi") for _ in range(3)]
        assert all(map("".join, streams))
        assert (calls.count("wrap_socket"), calls.count("load_cert_chain")) == (3, 1)
        # A certificate that is renewed goes with the next connection.
        os.utime(mine[1], ns=(1, 1))
        streams = [client.stream("Hi") for _ in range(4)]
        assert all(map("".join, streams))
        assert (calls.count("wrap_socket"), calls.count("load_cert_chain")) == (4, 2)
    assert len(mutual.requests) == 7


def test_a_context_that_threads_share_is_freed_at_once():
    context = system_context()
    freed = weakref.ref(context)
    del context
    assert freed() is None


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_need_the_extra(monkeypatch, platform):
    monkeypatch.setitem(sys.modules, "truststore", None)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(ConfigurationError, match=r"pip install 'aichatkit\[truststore\]'"):
        Client(model="openai", verify="system")


def test_the_standard_library_is_not_changed():
    before = ssl.SSLContext
    system_context()
    assert ssl.SSLContext is before


def test_a_session_of_the_user_s_keeps_its_adapters():
    with pytest.raises(ConfigurationError, match="'system' is for a client without session="):
        Client(model="openai", verify="system", session=requests.Session())


def test_the_context_is_there_for_proxies_and_pictures_and_in_a_copy():
    connections = Connections(verify="system")
    adapter = connections.session.get_adapter("https://x.example")
    assert adapter.poolmanager.connection_pool_kw["ssl_context"] is connections.context
    manager = adapter.proxy_manager_for("http://proxy.example:3128")
    assert manager.connection_pool_kw["ssl_context"] is connections.context
    assert connections.settings("https://x.example", None, False)["verify"] is True
    assert Connections(**connections.portable()).context is not None
    connections.close()


def test_an_adapter_of_older_requests_gets_it_through_its_pools():
    class Pool:
        def __init__(self, **kwargs):
            self.conn_kw = kwargs

    context = system_context()
    adapter = CertificateAdapter(context)
    pool = Pool(ssl_context=context)
    adapter.cert_verify(pool, "https://x.example", True, None)
    assert (pool.cert_reqs, pool.ca_certs, pool.ca_cert_dir) == ("CERT_REQUIRED", None, None)
    plain = Pool()
    CertificateAdapter().cert_verify(plain, "https://x.example", True, None)
    assert plain.ca_certs
    assert CertificateAdapter(context).context_for(False, None) is None
    adapter.close()


def test_a_client_certificate_goes_with_the_context(authority, tmp_path):
    class Pool:
        conn_kw = {"ssl_context": None}  # noqa: RUF012

    path = tmp_path / "client.pem"
    authority.issue_cert("me@example.org").private_key_and_cert_chain_pem.write_to_path(str(path))
    CertificateAdapter(system_context()).cert_verify(Pool, "https://x.example", True, str(path))
    assert (Pool.cert_file, Pool.ca_certs) == (str(path), None)


# Variables.


def test_ssl_cert_file_counts_unless_a_variable_of_requests_is_set(tls_sandbox, ca_file, monkeypatch):
    assert not trusts(tls_sandbox)
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert trusts(tls_sandbox)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, certificates.requests.utils.DEFAULT_CA_BUNDLE_PATH)
            assert environment_bundle() is None
            assert not trusts(tls_sandbox)


def test_it_counts_for_a_session_of_the_user_s_as_well(tls_sandbox, ca_file, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    with requests.Session() as session:
        assert trusts(tls_sandbox, session=session)
        session.trust_env = False
        assert not trusts(tls_sandbox, session=session)


def test_a_bundle_of_the_session_takes_precedence_over_the_variables(tls_sandbox, ca_file, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.requests.utils.DEFAULT_CA_BUNDLE_PATH)
    with requests.Session() as session:
        session.verify = ca_file
        assert trusts(tls_sandbox, session=session)


def test_verify_takes_precedence_over_every_variable(tls_sandbox, ca_file, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, certificates.requests.utils.DEFAULT_CA_BUNDLE_PATH)
    assert trusts(tls_sandbox, verify=ca_file)


def test_a_variable_that_names_no_file_is_an_error_that_names_the_variables(tls_sandbox, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with client_of(tls_sandbox) as client, pytest.raises(ConfigurationError, match="SSL_CERT_FILE") as caught:
        client.ask("Hi")
    assert "cannot be read" in str(caught.value)


@keeps_contexts
@pytest.mark.parametrize(("name", "reason"), [("none.pem", r"No such file or directory"), ("notes.pem", r".+")])
def test_a_bundle_that_cannot_be_read_is_named(tls_sandbox, tmp_path, monkeypatch, name, reason):
    (tmp_path / "notes.pem").write_text("Buy milk.", encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
    text = rf"the certificate file '.*{name}' cannot be read \({reason}\); check verify=, cert=,"
    with client_of(tls_sandbox) as client, pytest.raises(ConfigurationError, match=text):
        client.ask("Hi")


# While the process runs.


def test_variables_that_change_are_seen_by_the_same_client(tls_sandbox, ca_file, monkeypatch):
    with client_of(tls_sandbox) as client:
        with pytest.raises(ConnectError):
            client.ask("Hi")
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        assert client.ask("Hi").text
        monkeypatch.delenv("SSL_CERT_FILE")
        monkeypatch.setenv("CURL_CA_BUNDLE", ca_file)
        assert client.ask("Hi").text
        monkeypatch.delenv("CURL_CA_BUNDLE")
        if hasattr(requests.adapters.HTTPAdapter, "build_connection_pool_key_attributes"):
            # Older versions of requests keep a connection that was made with another bundle.
            with pytest.raises(ConnectError):
                client.ask("Hi")


def test_a_proxy_that_changes_is_seen_by_the_same_client(sandbox, monkeypatch):
    with client_of(sandbox) as client:
        assert client.ask("Hi").text
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        with pytest.raises(ConnectError):
            client.ask("Hi")
        with RawServer([response(b"from the proxy", status="418 No")]) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            with pytest.raises(Exception, match=r"418|from the proxy"):
                client.ask("Hi")
        monkeypatch.delenv("HTTP_PROXY")
        assert client.ask("Hi").text


@keeps_contexts
def test_a_bundle_that_is_renewed_in_place_is_seen_by_the_same_client(tls_sandbox, authority, tmp_path):
    path = tmp_path / "bundle.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    with client_of(tls_sandbox, verify=str(path)) as client:
        with pytest.raises(ConnectError):
            client.ask("Hi")
        authority.cert_pem.write_to_path(str(path), append=True)
        assert client.ask("Hi").text


@keeps_contexts
def test_an_authority_that_is_taken_away_is_not_trusted_on_connections_made_before(tls_sandbox, authority, tmp_path):
    path = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(str(path))
    with client_of(tls_sandbox, verify=str(path)) as client:
        assert client.ask("Hi").text
        trustme.CA().cert_pem.write_to_path(str(path))
        with pytest.raises(ConnectError):
            client.ask("Hi")


def test_only_a_path_has_a_stamp(ca_file):
    assert stamp_of(ca_file) is not None
    assert [stamp_of(verify) for verify in (True, False, None, "/none.pem")] == [None] * 4


# Client certificates.


@pytest.fixture
def mutual(authority):
    context = server_context(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with Sandbox(tls=context) as running:
        yield running


@pytest.fixture
def mine(authority, tmp_path):
    issued = authority.issue_cert("me@example.org")
    paths = [tmp_path / name for name in ("both.pem", "cert.pem", "key.pem")]
    issued.private_key_and_cert_chain_pem.write_to_path(str(paths[0]))
    issued.cert_chain_pems[0].write_to_path(str(paths[1]))
    issued.private_key_pem.write_to_path(str(paths[2]))
    return paths


def test_a_client_certificate_is_sent(mutual, mine, ca_file, monkeypatch):
    both, cert, key = mine
    for own in (both, str(both), (cert, key), [str(cert), str(key)]):
        assert trusts(mutual, verify=ca_file, cert=own)
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert trusts(mutual, verify="system", cert=both)
    with requests.Session() as session:
        assert trusts(mutual, session=session, cert=both)
        session.cert = str(both)
        assert trusts(mutual, session=session)


def test_a_server_that_wants_one_is_an_error_that_says_so(mutual, ca_file):
    with client_of(mutual, verify=ca_file) as client, pytest.raises(ConnectError) as caught:
        client.ask("Hi")
    # Some servers send an alert, others just hang up; a reset may come before either is read.
    assert "pass cert=(certificate, key)" in str(caught.value) or "the connection broke" in str(caught.value)
    assert mutual.requests == []


@pytest.mark.parametrize("cert", ["", 7, ("a",), ("a", "b", "c"), ("a", None), b"a.pem"])
def test_what_cannot_be_a_client_certificate_is_rejected_at_once(cert):
    with pytest.raises(ConfigurationError, match="cert: must be the path"):
        Client(model="openai", cert=cert)


def test_a_file_that_is_not_there_is_named(mine):
    with pytest.raises(ConfigurationError, match=r"cert: there is no file 'none\.pem'"):
        Client(model="openai", cert=(mine[1], "none.pem"))


def test_a_file_without_a_certificate_is_an_error(mutual, ca_file, tmp_path):
    path = tmp_path / "empty.pem"
    path.write_text("nothing")
    with (
        client_of(mutual, verify=ca_file, cert=path) as client,
        pytest.raises(ConnectError, match="check the files of cert="),
    ):
        client.ask("Hi")


# What an error says.


def test_an_unknown_authority_may_be_the_company_s(tls_sandbox):
    with client_of(tls_sandbox) as client, pytest.raises(ConnectError, match="verify='system'"):
        client.ask("Hi")


def test_a_server_without_tls_is_no_question_of_certificates():
    with RawServer(greeting=[b"hello, this is no TLS\r\n", "close"]) as server:
        url = server.url.replace("http:", "https:")
        client = Client(model="openai", api_key="sk-test", base_url=f"{url}/v1", retry=0)
        with client, pytest.raises(ConnectError) as caught:
            client.ask("Hi")
    assert "verify='system'" not in str(caught.value)


def test_threads_share_one_context(tls_sandbox, ca_file):
    with client_of(tls_sandbox, verify=ca_file) as client:
        threads = [threading.Thread(target=client.ask, args=("Hi",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert len(tls_sandbox.requests) == 4


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "the server wants another client certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", "the server wants another client certificate"),
        ("WRONG_VERSION_NUMBER", "check the certificate, the clock and REQUESTS_CA_BUNDLE"),
    ],
)
def test_the_alert_of_a_server_is_explained(reason, advice):
    error = ssl.SSLError(1, reason)
    error.reason = reason
    assert translate_send(requests.exceptions.SSLError(error), "openai").message.endswith(
        advice if "clock" in advice else f"{advice}; pass cert=(certificate, key)"
    )


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (ssl.SSLError(1, "[X509: KEY_VALUES_MISMATCH] key values mismatch"), "does not belong to its certificate"),
        (urllib3.exceptions.SSLError("Client private key is encrypted, password is required"), "pass it decrypted"),
    ],
)
def test_a_key_that_cannot_be_used_is_explained(reason, advice):
    assert advice in translate_send(requests.exceptions.SSLError(reason), "openai").message


def test_a_server_that_hangs_up_in_the_handshake_may_want_one():
    error = requests.exceptions.SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))
    assert "if it wants a client certificate" in translate_send(error, "openai").message
