"""Real servers for the tests beside this file; what is not installed is skipped, or fails if AICHATKIT_PEERS=required.

AICHATKIT_AIMOCK names aimock's dist/cli.js, AICHATKIT_LLMOCK and AICHATKIT_LITELLM the programs llmock and litellm,
AICHATKIT_SDKS a Python that has what .ci/sdks.txt lists, AICHATKIT_MCP_SDK one that has mcp, AICHATKIT_SIGN_IN one that
has requests-gssapi and requests-ntlm; AICHATKIT_MCP names the script of server-everything and AICHATKIT_MCP_CONFORMANCE
that of the conformance suite, which AICHATKIT_MCP_NODE runs; squid, nginx, microsocks, redis-server, krb5kdc,
kadmin.local, apache2 and cntlm are on the path.
AICHATKIT_LLAMA names llama-server, which takes minutes to build: what needs it is skipped where that is not set.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import kerberos_servers
import model_servers
import peer_servers
import pytest
import sdk_clients

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("peers")


@pytest.fixture(scope="session")
def aimock():
    """Mock APIs under .url (/v1/..., /v1beta/..., /api/...); what it answers to which prompt is in aimock.json."""
    with peer_servers.run_aimock() as peer:
        yield peer


@pytest.fixture(scope="session")
def llmock():
    """Mock APIs under .url (/v1, /anthropic/v1, /gemini/v1beta, /cohere/v2, ...) that echo the prompt."""
    with peer_servers.run_llmock() as peer:
        yield peer


@pytest.fixture(scope="session")
def llama():
    """llama-server at .url with a random model: what it says is noise unless a grammar tells it what to say."""
    with model_servers.run_llama() as peer:
        yield peer


@pytest.fixture
def start():
    """Start a server of your own for one test: `start(peer_servers.run_llmock, "--rpm", "2")`."""
    with contextlib.ExitStack() as servers:

        def enter(run, *args, **kwargs):
            return servers.enter_context(run(*args, **kwargs))

        yield enter


@pytest.fixture
def judged(start):
    """Start an llmock with options; when the test is over its verdict on the client must be a pass."""
    started = []

    def run(*options):
        started.append(start(peer_servers.run_llmock, *options))
        return started[-1]

    yield run
    for peer in started:
        verdict = peer_servers.verdict(peer)
        assert verdict["passed"], verdict["findings"]


@pytest.fixture(scope="session")
def squid():
    """Forward proxy at .url; .log_text() shows what went through it."""
    with peer_servers.run_squid() as peer:
        yield peer


@pytest.fixture(scope="session")
def nginx():
    """Put TLS in front of a server: `nginx(aimock.url)` has .url (https) and .ca_bundle."""
    with contextlib.ExitStack() as servers:
        fronts = {}

        def in_front_of(upstream):
            if upstream not in fronts:
                fronts[upstream] = servers.enter_context(peer_servers.run_nginx(upstream))
            return fronts[upstream]

        yield in_front_of


@pytest.fixture(scope="session")
def socks():
    """SOCKS proxy at .url (socks5h, with its user and password)."""
    with peer_servers.run_socks() as peer:
        yield peer


@pytest.fixture(scope="session")
def redis():
    """Redis at .url, empty at the start of the session."""
    with peer_servers.run_redis() as peer:
        yield peer


@pytest.fixture(scope="session")
def sdk_named():
    """Start each SDK when it is first asked for; importing one takes seconds."""
    with contextlib.ExitStack() as running:
        started = {}

        def find(name):
            if name not in started:
                started[name] = running.enter_context(sdk_clients.run_sdk(name))
            return started[name]

        yield find


@pytest.fixture(scope="session")
def realm():
    """A Kerberos realm: .ticket and .no_ticket are environments of clients."""
    with kerberos_servers.run_kdc() as found:
        yield found
