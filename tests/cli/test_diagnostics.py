from __future__ import annotations

import socket
import ssl
import sys
import time
from datetime import datetime, timedelta, timezone
from email.utils import formatdate

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from aichatkit.cli import key_store, main
from aichatkit.cli.diagnostics import diagnose
from aichatkit.cli.sign_in_checks import CLOUDS, check_clouds, check_environment
from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.raw import RawServer, response


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A home without stored keys, and an environment without certificates of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def at(monkeypatch):
    """Point OpenAI at an address, with a key."""

    def point(url, key="sk-a-secret"):
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", key)

    return point


def told(topic, *model):
    return [f"{finding.verdict} {finding.text}" for finding in diagnose(model) if finding.topic == topic]


def test_the_versions_that_matter_are_told():
    (line,) = told("versions")
    assert "requests 2." in line
    assert "OpenSSL" in line


def test_nothing_is_asked_where_no_key_is_known():
    findings = list(diagnose())
    assert {finding.verdict for finding in findings} == {"ok", "note"}
    assert [finding.topic for finding in findings if finding.verdict == "note"] == ["keys"]


def test_a_service_that_answers_and_takes_the_key_is_well(at, sandbox):
    at(sandbox.url)
    assert told("keys") == ["ok openai: set by OPENAI_API_KEY"]
    reached, taken = told("openai")
    assert reached.startswith("ok 127.0.0.1 reached at 127.0.0.1 in 0.")
    assert taken.startswith("ok accepts the key and lists ")


def test_no_prompt_is_sent_and_the_first_request_has_no_key(at, sandbox):
    at(sandbox.url)
    list(diagnose())
    assert [request.method for request in sandbox.requests] == ["GET", "GET"]
    assert "Authorization" not in sandbox.requests[0].headers


def test_a_stored_key_is_used_and_never_shown(at, sandbox, monkeypatch):
    at(sandbox.url)
    monkeypatch.delenv("OPENAI_API_KEY")
    key_store.store("openai", "sk-stored-secret")
    lines = list(map(str, diagnose()))
    assert "ok    keys: openai: stored" in lines
    assert sandbox.requests[1].headers["Authorization"] == "Bearer sk-stored-secret"
    assert "sk-stored-secret" not in "".join(lines)


def test_a_key_that_is_refused_is_bad_and_not_shown(at):
    told_off = b'{"error": {"message": "Incorrect API key provided: sk-a-secret", "code": "invalid_api_key"}}'
    with RawServer([response(told_off, status="401 Unauthorized")]) as server:
        at(server.url)
        _, refused = told("openai")
    assert refused.startswith("bad the key was refused")
    assert "sk-a-secret" not in refused


def test_models_that_cannot_be_listed_are_only_worth_a_note(at):
    with RawServer([response(b"<html>")]) as server:
        at(server.url)
        assert told("openai")[1].startswith("note its models cannot be listed: ")


def test_a_key_that_was_copied_badly_is_told_without_it(at, sandbox):
    at(sandbox.url, key="sk-a secret")
    (line,) = told("keys")
    assert line.startswith("bad OPENAI_API_KEY: api_key for openai: holds a blank")
    assert "sk-a" not in line


def test_a_key_that_is_missing_is_told_with_every_name_looked_up(sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{sandbox.url}/v1")
    (line,) = told("keys", "openai")
    assert line.startswith("bad openai: no key; set OPENAI_API_KEY")
    assert len(told("openai", "openai")) == 1


def test_who_needs_no_key_is_not_asked_for_one(sandbox, monkeypatch):
    monkeypatch.setenv("LMSTUDIO_API_BASE", f"{sandbox.url}/v1")
    assert told("keys", "offline") == []
    assert told("offline", "offline") == ["ok answers in this process, without the network"]


def test_a_group_stands_for_its_members(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", _no_name)
    topics = [finding.topic for finding in diagnose(["free"])]
    assert [topic for topic in topics if topic.startswith(("aichat", "chatgptt"))] == [
        *("aichats", "aichatonline", "aichat", "aichatfree", "chatgptt")
    ]


def test_a_service_that_is_not_running_is_told_what_to_do(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    (line,) = told("ollama", "ollama")
    assert line.startswith("bad ollama at 127.0.0.1: cannot connect (Connection refused)")
    assert line.endswith("ollama serve")


def _no_name(host, *args, **options):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_that_is_not_found_is_told_apart_from_a_service_that_is_down(at, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", _no_name)
    at("http://nowhere.example")
    assert told("openai") == [
        "bad the name nowhere.example is not found (Name or service not known); "
        "check the network and its DNS, or set a proxy"
    ]


def test_a_certificate_nobody_knows_is_told(at):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with RawServer([response(b"{}")], tls=context) as server:
        at(server.url.replace("127.0.0.1", "localhost"))
        (line,) = told("openai")
    assert line.startswith("bad openai at localhost: TLS failed")


def test_a_proxy_is_named_without_its_password(at, monkeypatch):
    with RawServer([response(b"{}")]) as proxy:
        address = proxy.url.partition("//")[2]
        monkeypatch.setenv("http_proxy", f"http://user:password@{address}")
        monkeypatch.setenv("NO_PROXY", "intranet.example")
        at("http://service.example")
        lines = list(map(str, diagnose()))
    assert f"ok    proxy: HTTP_PROXY is {address}" in lines
    assert "ok    proxy: not used for intranet.example" in lines
    assert any(f"service.example reached through the proxy {address} in" in line for line in lines)
    assert "password" not in "".join(lines)


@pytest.mark.parametrize("value", ["http://", "http://[", "//:1", "proxy example:3128"])
def test_a_proxy_without_host_is_bad(monkeypatch, value):
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert told("proxy") == ["bad HTTPS_PROXY names no host; it must be like http://host:3128"]


def test_a_proxy_needs_no_port(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example")
    assert told("proxy") == ["ok HTTPS_PROXY is proxy.example"]


def test_certificates_come_from_where_requests_looks(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "truststore", None)
    monkeypatch.setattr(sys, "platform", "linux")
    system = "ok verify='system' can be used, through OpenSSL"
    assert told("certificates") == ["ok those of certifi", system]
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    assert told("certificates") == [f"ok SSL_CERT_FILE is {tmp_path}", system]
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert told("certificates") == [
        f"ok CURL_CA_BUNDLE is {tmp_path}",
        "note SSL_CERT_DIR is set, and only counts with verify='system'",
        "note SSL_CERT_FILE is set as well, and does not count",
        system,
    ]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    assert told("certificates")[0].startswith("bad REQUESTS_CA_BUNDLE names ")


@pytest.mark.parametrize(
    ("ahead", "line"),
    [
        (5, "ok agrees with that of openai"),
        (-5, "ok agrees with that of openai"),
        (600, "bad this machine is 600 s behind openai; set its clock"),
        (-600, "bad this machine is 600 s ahead of openai; set its clock"),
    ],
)
def test_a_clock_that_is_off_is_told_once(at, ahead, line):
    date = formatdate(time.time() + ahead, usegmt=True)
    with RawServer([response(b"{}", headers=[("Date", date)])]) as server:
        at(server.url)
        (found,) = told("clock", "openai", "openai-responses")
    # A second may end between the two looks at the clock.
    assert found.replace("599", "600").replace("601", "600") == line


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 25:61:61 GMT"])
def test_a_service_that_tells_no_time_says_nothing_of_the_clock(at, date):
    with RawServer([response(b"{}", headers=[("Date", date)] if date else [])]) as server:
        at(server.url)
        assert told("clock") == []


def test_an_address_that_is_none_is_told(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "localhost:8000")
    (line,) = told("openai", "openai")
    assert line.startswith("bad OPENAI_BASE_URL: must start with http://")


def test_a_look_goes_on_where_one_service_hangs(at, sandbox, monkeypatch):
    with Sandbox() as other:
        at(sandbox.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", other.url)
        found = [finding.topic for finding in diagnose() if finding.verdict == "ok"]
    assert {"openai", "anthropic"} <= set(found)


def test_a_bundle_is_counted_and_one_without_certificates_is_bad(monkeypatch, tmp_path):
    bundle, empty = tmp_path / "bundle.pem", tmp_path / "empty.pem"
    for _ in range(2):
        trustme.CA().cert_pem.write_to_path(str(bundle), append=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert told("certificates")[0] == f"ok SSL_CERT_FILE is {bundle} (2 certificates)"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    assert told("certificates")[0] == f"ok SSL_CERT_FILE is {bundle} (1 certificate)"
    empty.write_text("nothing")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(empty))
    assert told("certificates")[0].startswith(f"bad REQUESTS_CA_BUNDLE names {empty}, which holds no certificates")


def test_whether_the_certificates_of_the_system_can_be_used_is_said(monkeypatch):
    pytest.importorskip("truststore")
    assert "ok verify='system' can be used, through truststore" in told("certificates")
    monkeypatch.setitem(sys.modules, "truststore", None)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert told("certificates")[-1].startswith("note verify: the certificates of this system need the extra")


def identity(path, *, not_after):
    authority = trustme.CA()
    cert = authority.issue_cert("client", not_after=not_after)
    cert.private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def certificate(path, **options):
    findings = diagnose(cert=path, **options)
    return [f"{found.verdict} {found.text}" for found in findings if found.topic == "client certificate"]


def test_a_client_certificate_is_read_with_its_day(tmp_path):
    now = datetime.now(timezone.utc)
    path = tmp_path / "client.pem"
    for days, verdict, words in (
        (400, "ok", "is valid until "),
        (20000, "ok", "is valid until 20"),
        (5, "note", "which is soon"),
        (-1, "bad", "expired on "),
    ):
        after = now + timedelta(days=days)
        identity(path, not_after=after)
        (line,) = certificate(str(path))
        assert line.startswith(f"{verdict} {path} ")
        assert words in line
        assert f"{after:%Y-%m-%d}" in line


def test_a_client_certificate_that_cannot_be_used_is_bad(tmp_path):
    now = datetime.now(timezone.utc)
    one, other = (identity(tmp_path / f"{name}.pem", not_after=now + timedelta(days=99)) for name in ("one", "other"))
    assert certificate((str(one), str(one)))[0].startswith("ok ")
    for cert in ("missing.pem", (str(one), str(other)), (str(one), "missing.pem")):
        assert certificate(cert)[0].startswith("bad ")
    key, encrypted = tmp_path / "key.pem", tmp_path / "encrypted.pem"
    private = load_pem_private_key(one.read_bytes(), None)
    formats = Encoding.PEM, PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(*formats, NoEncryption()))
    encrypted.write_bytes(private.private_bytes(*formats, BestAvailableEncryption(b"secret")))
    assert certificate((str(one), str(key)))[0].startswith("ok ")
    assert "its key without a password" in certificate((str(one), str(encrypted)))[0]


def test_the_options_are_used_for_the_connection(monkeypatch, tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    bundle, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(str(bundle))
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(client))
    with RawServer([response(b'{"data": []}')], tls=context) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-a-secret")
        verdicts = [
            [found.verdict for found in diagnose(["openai"], **options) if found.topic == "openai"]
            for options in ({}, {"verify": str(bundle)}, {"verify": str(bundle), "cert": str(client)})
        ]
    assert verdicts == [["bad"], ["bad"], ["ok", "ok"]]


def test_the_bundle_of_the_option_counts_and_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "elsewhere.pem")
    bundle = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    texts = [found.text for found in diagnose(verify=str(bundle)) if found.topic == "certificates"]
    assert texts[0] == f"--verify is {bundle} (1 certificate)"
    assert not any("REQUESTS_CA_BUNDLE" in text for text in texts)
    texts = [found.text for found in diagnose(verify="system") if found.topic == "certificates"]
    assert texts[0] == "those of the operating system, by --verify"


def test_the_command_takes_them(monkeypatch, capsys, tmp_path):
    path = identity(tmp_path / "client.pem", not_after=datetime.now(timezone.utc) + timedelta(days=99))
    for options in (["--cert", str(path)], ["--cert", str(path), "--cert-key", str(path)]):
        main(["doctor", *options])
        assert f"ok    client certificate: {path} is valid until" in capsys.readouterr().out
    main(["doctor", "--verify", "missing.pem"])
    assert "bad   certificates: --verify names missing.pem, which does not exist" in capsys.readouterr().out


def clouds(*names):
    return [f"{finding.verdict} {finding.topic} {finding.text}" for finding in check_clouds(names)]


def test_the_credentials_of_aws_are_found_and_not_shown(monkeypatch):
    pytest.importorskip("botocore")
    assert clouds("openai") == []
    (missing,) = clouds("bedrock")
    assert missing.startswith("bad aws aws_auth: no AWS credentials")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    assert clouds("bedrock") == ["ok aws us-east-1, credentials of botocore (env); pass auth=aws_auth()"]
    monkeypatch.delenv("AWS_REGION")
    assert clouds("bedrock")[0].startswith("bad aws aws_auth: no region")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "a-key")
    assert clouds("bedrock") == []


def test_credentials_that_sign_are_no_missing_key(monkeypatch):
    assert told("keys", "bedrock") == told("keys", "vertex") == told("keys", "azure") == []
    (line,) = told("aws", "bedrock")
    assert line.endswith("or set AWS_BEARER_TOKEN_BEDROCK to an API key of Bedrock")


def test_without_names_the_clouds_that_this_machine_is_signed_in_to_are_noted(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert list(check_environment([])) == []
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "a-secret")
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[default]\n", encoding="utf-8")
    for name in ("azure", "bedrock"):
        monkeypatch.setitem(CLOUDS, name, (name, lambda: "signed in"))
    assert [f"{finding}" for finding in check_environment([])] == ["note  azure: signed in", "note  bedrock: signed in"]
    assert [finding.topic for finding in check_environment(["azure"])] == ["bedrock"]
    monkeypatch.setattr("aichatkit.cli.key_store.names_with_keys", list)
    notes = [finding.topic for finding in diagnose() if finding.text == "signed in"]
    assert notes == ["azure", "bedrock"]


def test_what_azure_would_sign_in_with_is_found(monkeypatch):
    assert clouds("azure")[0].startswith("bad azure no key; set AZURE_OPENAI_API_KEY, AZURE_API_KEY")
    assert clouds("azure")[0].endswith(", or store it with: aichatkit keys set azure")
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1")
    assert clouds("azure")[0].startswith("ok azure no key, and a managed identity of Entra ID; pass api_key=azure.")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "a-secret")
    for found, hint in ((None, " (pip install azure-identity)"), (object(), "(...)")):
        monkeypatch.setattr("importlib.util.find_spec", lambda name, found=found: found)
        (line,) = clouds("azure")
        assert "a client secret of Entra ID" in line
        assert line.endswith(hint)
        assert "a-secret" not in line
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "a-key")
    assert clouds("azure") == []


def test_a_service_without_an_address_names_the_variable():
    (line,) = told("azure", "azure")[1:]
    assert line.startswith("bad no address is set. Set AZURE_OPENAI_ENDPOINT, or pass base_url=")


def test_the_credentials_of_google_are_found_and_not_shown(monkeypatch):
    auth = pytest.importorskip("google.auth")
    credentials = pytest.importorskip("google.auth.credentials")

    def default(scopes):
        raise auth.exceptions.DefaultCredentialsError("none")

    monkeypatch.setattr("google.auth.default", default)
    (missing,) = clouds("vertex")
    assert missing.startswith("bad google google_auth: no Google credentials")
    monkeypatch.setattr("google.auth.default", lambda scopes: (credentials.AnonymousCredentials(), "mine"))
    place = "project test-project, location global; pass auth=google_auth()"
    assert clouds("vertex") == [f"ok google google.auth.credentials, {place}"]
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    assert "project mine" in clouds("vertex")[0]
    monkeypatch.setattr("google.auth.default", lambda scopes: (credentials.AnonymousCredentials(), None))
    assert "project unknown" in clouds("vertex")[0]
    monkeypatch.setenv("GOOGLE_VERTEX_API_KEY", "a-key")
    assert clouds("vertex") == []
