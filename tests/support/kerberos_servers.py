"""Servers and proxies on loopback that want Kerberos or NTLM: `run_` functions as in `peer_servers`."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

import peer_servers
import pytest
import trustme

HERE = Path(__file__).parent
REALM = "PEERS.TEST"
#: The name that the tickets of the servers are for; they are reached by it, as Kerberos knows no addresses.
HOST = "localhost"


@dataclass(frozen=True)
class Realm:
    """A realm: the environment of a client that has a ticket, of one that has none, and the key of the servers."""

    ticket: dict[str, str]
    no_ticket: dict[str, str]
    keytab: Path


@contextlib.contextmanager
def run_kdc():
    """Key distribution center of a realm with a user and a web server on localhost."""
    kdc, admin, util = map(peer_servers.find_program, ("krb5kdc", "kadmin.local", "kdb5_util"))
    with peer_servers.folder() as home:
        port = peer_servers.free_port()
        settings = home / "krb5.conf"
        settings.write_text(KRB5.format(realm=REALM, port=port, home=home))
        (home / "kdc.conf").write_text(KDC.format(realm=REALM, port=port, home=home))
        both = {"KRB5_CONFIG": str(settings), "KRB5_KDC_PROFILE": str(home / "kdc.conf")}
        run = {"env": {**os.environ, **both}, "check": True, "capture_output": True, "timeout": 60}
        subprocess.run([util, "create", "-r", REALM, "-s", "-P", secrets.token_hex()], **run)
        for name, file in (("reader", "reader"), (f"HTTP/{HOST}", "http")):
            for query in (f"addprinc -randkey {name}@{REALM}", f"ktadd -k {home / file}.keytab {name}@{REALM}"):
                subprocess.run([admin, "-r", REALM, "-q", query], **run)
        with peer_servers.running([kdc, "-n", "-r", REALM], home / "log", port, both):
            none = {"KRB5_CONFIG": str(settings), "KRB5CCNAME": f"FILE:{home / 'none'}"}
            ticket = {
                **none,
                "KRB5CCNAME": f"FILE:{home / 'tickets'}",
                "KRB5_CLIENT_KTNAME": f"FILE:{home / 'reader.keytab'}",
            }
            yield Realm(ticket, {**none, "KRB5_CLIENT_KTNAME": f"FILE:{home / 'nobody'}"}, home / "http.keytab")


@contextlib.contextmanager
def run_apache(realm, upstream):
    """Reverse proxy with TLS before `upstream` that wants a ticket (mod_auth_gssapi); /moved/ redirects to it."""
    program = peer_servers.find_program("apache2")
    modules = Path("/usr/lib/apache2/modules")
    if not (modules / "mod_auth_gssapi.so").exists():
        peer_servers.give_up("mod_auth_gssapi of Apache")
    with peer_servers.folder() as home:
        if os.geteuid() == 0:  # the children of Apache have another user
            peer_servers.give_to_first_user(home, ("www-data", "nobody"))
        port = peer_servers.free_port()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(home / "ca.pem")
        authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(home / "server.pem")
        keytab = home / "http.keytab"
        keytab.write_bytes(realm.keytab.read_bytes())
        keytab.chmod(0o644)
        settings = home / "apache.conf"
        settings.write_text(APACHE.format(port=port, home=home, modules=modules, upstream=upstream, keytab=keytab))
        command = [program, "-X", "-d", home, "-f", settings]
        with peer_servers.running(command, home / "log", port, {"KRB5_CONFIG": realm.ticket["KRB5_CONFIG"]}):
            yield peer_servers.TLSPeer(f"https://{HOST}:{port}", home / "access.log", home / "ca.pem")


@contextlib.contextmanager
def run_ntlm(upstream):
    """Server before `upstream` that wants NTLM, and a proxy that does; the log has the user of each request."""
    with peer_servers.folder() as home:
        port = peer_servers.free_port()
        with peer_servers.running([find_python(), HERE / "ntlm_server.py", port, upstream], home / "log", port):
            yield peer_servers.Peer(f"http://127.0.0.1:{port}", home / "log")


@contextlib.contextmanager
def run_cntlm(proxy):
    """Local helper that signs in to a proxy by NTLM, so that its own clients need not."""
    program = peer_servers.find_program("cntlm")
    with peer_servers.folder() as home:
        port = peer_servers.free_port()
        settings = home / "cntlm.conf"
        settings.write_text(CNTLM.format(port=port, proxy=proxy.url.partition("://")[2]))
        settings.chmod(0o600)
        with peer_servers.running([program, "-f", "-c", settings], home / "log", port):
            yield peer_servers.Peer(f"http://127.0.0.1:{port}", home / "log")


def squid_options(realm, home):
    """Return the settings of a squid that wants tickets, and its environment."""
    helper = "/usr/lib/squid/negotiate_kerberos_auth"
    if not Path(helper).exists():
        peer_servers.give_up("squid has no helper for Kerberos")
    keytab = home / "squid.keytab"
    keytab.write_bytes(realm.keytab.read_bytes())
    keytab.chmod(0o644)
    program = f"{helper} -k {keytab} -s HTTP/{HOST}@{REALM}"
    settings = f"auth_param negotiate program {program}\nauth_param negotiate children 1\n"
    return settings, {"KRB5_CONFIG": realm.ticket["KRB5_CONFIG"]}


def call(url, *prompts, auth="", environment=None, in_session=False, **options):
    """Stream the answers to prompts in another process, which has the packages for Kerberos and NTLM."""
    order = {
        "auth": auth,
        "in_session": in_session,
        "prompts": prompts,
        "options": {"base_url": f"{url}/v1", **options},
    }
    done = subprocess.run(
        [find_python(), HERE / "sign_in_client.py"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.defpath, "PYTHONPATH": str(HERE.parent.parent), **(environment or {})},
    )
    if "No module named" in done.stderr or "(ImportError" in done.stdout:
        pytest.skip(f"{auth} is not installed")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def find_python():
    return peer_servers.find_by_variable(
        "AICHATKIT_SIGN_IN", "a Python with requests-gssapi, requests-ntlm and what aichatkit needs"
    )


CNTLM = """
Username reader
Domain PEERS
Workstation desk
Password open sesame
Proxy {proxy}
Listen 127.0.0.1:{port}
Auth NTLMv2
NoProxy none.example
"""

KRB5 = """
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    localhost = {realm}
"""

KDC = """
[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {home}/principal
        key_stash_file = {home}/stash
        acl_file = {home}/acl
        max_life = 1h
    }}
[logging]
    kdc = STDERR
"""

APACHE = """
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_gssapi_module {modules}/mod_auth_gssapi.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule ssl_module {modules}/mod_ssl.so
User www-data
Group www-data
ServerName localhost
PidFile {home}/pid
DefaultRuntimeDir {home}
Listen 127.0.0.1:{port}
ErrorLog {home}/log
LogFormat "%u %m %U %>s" one
CustomLog {home}/access.log one
SSLEngine on
SSLCertificateFile {home}/server.pem
SSLSessionCache none
Redirect 307 /moved/ https://localhost:{port}/v1/
ProxyPass /moved/ !
ProxyPass / {upstream}/ flushpackets=on
<Location />
    AuthType GSSAPI
    AuthName "Kerberos"
    GssapiCredStore keytab:{keytab}
    GssapiAcceptorName HTTP@localhost
    Require valid-user
    RequestHeader unset Authorization
    RequestHeader set X-Remote-User "expr=%{{REMOTE_USER}}"
</Location>
"""
