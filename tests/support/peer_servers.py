"""Start and stop real servers on loopback: each `run_` is a context manager that yields where its server listens."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import trustme

HERE = Path(__file__).parent
HOST = "127.0.0.1"
# Looked up at import: each test starts with an environment swept clean.
VARIABLES = (
    *("AICHATKIT_AIMOCK", "AICHATKIT_FASTMCP", "AICHATKIT_LITELLM", "AICHATKIT_LLAMA", "AICHATKIT_LLMOCK"),
    *("AICHATKIT_MCP", "AICHATKIT_MCP_CONFORMANCE", "AICHATKIT_MCP_NODE", "AICHATKIT_MCP_SDK"),
    *("AICHATKIT_PYODIDE", "AICHATKIT_SDKS", "AICHATKIT_SIGN_IN"),
)
PROGRAMS = {name: os.environ.get(name, "") for name in VARIABLES}
REQUIRED = os.environ.get("AICHATKIT_PEERS") == "required"
START_SECONDS = 30
STOP_SECONDS = 10


@dataclass(frozen=True)
class Peer:
    """A third-party server: its address and its log file."""

    url: str
    log: Path

    def log_text(self):
        return self.log.read_text(errors="replace")


@dataclass(frozen=True)
class TLSPeer(Peer):
    """A server with TLS; pass `ca_bundle` as `verify`."""

    ca_bundle: Path


@contextlib.contextmanager
def run_aimock(*options, environment=None):
    """Mock API server in Node: OpenAI, Responses, Anthropic, Gemini, Ollama, Cohere; answers from aimock.json."""
    script = find_by_variable("AICHATKIT_AIMOCK", "aimock's dist/cli.js (npm package @copilotkit/aimock)")
    node = find_program("node")
    answers = ("--fixtures", HERE / "aimock.json", "--strict", "--chunk-size", "8", "--latency", "10")
    with folder() as home:
        port = free_port()
        command = [node, script, "--host", HOST, "--port", port, *answers, *options]
        with running(command, home / "log", port, environment):
            yield Peer(f"http://{HOST}:{port}", home / "log")


@contextlib.contextmanager
def run_llmock(*options):
    """Mock API server in Python that also judges its client: OpenAI at /v1, others under /anthropic, /gemini, ..."""
    program = find_by_variable("AICHATKIT_LLMOCK", "the llmock program (PyPI package llmock)")
    with folder() as home:
        port = free_port()
        command = [program, "serve", "--host", HOST, "--port", port, "--response-style", "echo", *options]
        with running(command, home / "log", port):
            yield Peer(f"http://{HOST}:{port}", home / "log")


@contextlib.contextmanager
def run_mcp_sdk():
    """MCP server on the official Python SDK at .url, of both eras; its tools are in mcp_sdk_server.py."""
    with folder() as home:
        port = free_port()
        with running([*mcp_sdk_command(), port], home / "log", port):
            yield Peer(f"http://{HOST}:{port}/mcp", home / "log")


def mcp_sdk_command():
    """Return the command of the same server; with "stdio" after it, it speaks over its standard input and output."""
    python = find_by_variable("AICHATKIT_MCP_SDK", "a Python with the package mcp")
    return [python, HERE / "mcp_sdk_server.py"]


@contextlib.contextmanager
def run_fastmcp(transport="http", *arguments):
    """MCP server on FastMCP at .url, of both eras: "http" or "sse", and "token" to let in "good-token" only."""
    with folder() as home:
        port = free_port()
        with running([*fastmcp_command(), transport, port, *arguments], home / "log", port):
            yield Peer(f"http://{HOST}:{port}/{'sse' if transport == 'sse' else 'mcp'}", home / "log")


def fastmcp_command():
    """Return the command of the same server; with "stdio" after it, it speaks over its standard input and output."""
    return [find_by_variable("AICHATKIT_FASTMCP", "a Python with the package fastmcp"), HERE / "fastmcp_server.py"]


@contextlib.contextmanager
def run_mcp_everything(transport):
    """MCP server on the official TypeScript SDK at .url, with handshake: "streamableHttp" or "sse"."""
    with folder() as home:
        port = free_port()
        path = "sse" if transport == "sse" else "mcp"
        with running([*mcp_everything_command(), transport], home / "log", port, {"PORT": str(port)}):
            yield Peer(f"http://{HOST}:{port}/{path}", home / "log")


def mcp_everything_command():
    """Return the command of the same server, over its standard input and output."""
    script = find_by_variable(
        "AICHATKIT_MCP", "dist/index.js of the npm package @modelcontextprotocol/server-everything"
    )
    return [find_program("node"), script]


def run_mcp_conformance(scenario, revision):
    """Run one scenario of the official conformance suite against our client, and return the finished process."""
    script = find_by_variable("AICHATKIT_MCP_CONFORMANCE", "dist/index.js of @modelcontextprotocol/conformance")
    node = find_by_variable("AICHATKIT_MCP_NODE", "a Node of version 22 at least")
    client = f"{sys.executable} {HERE / 'mcp_conformance_client.py'}"
    options = ["--command", client, "--scenario", scenario, "--spec-version", revision]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent.parent), *sys.path])}
    with folder() as home:
        return subprocess.run(
            [node, script, "client", *options],
            cwd=home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def eventually(read, wanted):
    """Return a log once `wanted` accepts it, or after 5 seconds at most: servers write their logs with a delay."""
    end = time.monotonic() + 5
    while not wanted(read()) and time.monotonic() < end:
        time.sleep(0.02)
    return read()


def verdict(llmock):
    """Return an llmock's verdict on the behavior of its clients."""
    return requests.get(f"{llmock.url}/_llmock/verdict", timeout=10).json()


def plan(llmock, **behavior):
    """Configure how an llmock treats the next request."""
    requests.post(f"{llmock.url}/_llmock/scenario", json={"behaviors": [behavior]}, timeout=10).raise_for_status()


@contextlib.contextmanager
def run_squid(sign_in="", environment=None):
    """Forward proxy for http and CONNECT; its log has one line for each request it passed on.

    `sign_in` are the settings of squid for users, without whom nothing is passed on then.
    """
    program = find_program("squid")
    with folder() as home:
        if os.geteuid() == 0:  # squid refuses to work as root, so it must be able to write here as its own user
            give_to_first_user(home, ("proxy", "squid", "nobody"))
        port, log = free_port(), home / "access.log"
        settings = home / "squid.conf"
        rules = SQUID.replace("http_access allow all", SIGNED_IN) if sign_in else SQUID
        settings.write_text(sign_in + rules.format(host=HOST, port=port, home=home, log=log))
        # A name of its own keeps shared memory left by another squid from blocking the start.
        command = [program, "-N", "-n", f"aichatkit{port}", "-f", settings]
        with running(command, home / "log", port, environment):
            yield Peer(f"http://{HOST}:{port}", log)


@contextlib.contextmanager
def run_nginx(upstream):
    """TLS terminator in front of `upstream`: gzip on, buffering off, patient for one second.

    Its log tells the number of the client's connection first; /moved/ is redirected to the upstream itself.
    """
    program = find_program("nginx")
    with folder() as home:
        port, log = free_port(), home / "access.log"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(home / "ca.pem")
        authority.issue_cert(HOST, "localhost").private_key_and_cert_chain_pem.write_to_path(home / "server.pem")
        settings = home / "nginx.conf"
        address = upstream.partition("://")[2]
        settings.write_text(NGINX.format(host=HOST, port=port, home=home, log=log, upstream=upstream, address=address))
        command = [program, "-c", settings, "-p", home, "-e", home / "log"]
        with running(command, home / "log", port):
            yield TLSPeer(f"https://{HOST}:{port}", log, home / "ca.pem")


@contextlib.contextmanager
def run_socks(user="reader", password="open sesame"):
    """SOCKS 5 proxy with a password; the address has both and resolves names at the proxy (socks5h)."""
    program = find_program("microsocks")
    with folder() as home:
        port = free_port()
        command = [program, "-i", HOST, "-p", port, "-u", user, "-P", password]
        with running(command, home / "log", port):
            yield Peer(f"socks5h://{user}:{password.replace(' ', '%20')}@{HOST}:{port}", home / "log")


@contextlib.contextmanager
def run_redis():
    """Store in memory alone, nothing on disk: the address is what `redis.Redis.from_url` takes."""
    program = find_program("redis-server")
    with folder() as home:
        port = free_port()
        command = [program, "--bind", HOST, "--port", port, "--save", "", "--appendonly", "no", "--dir", home]
        with running(command, home / "log", port):
            yield Peer(f"redis://{HOST}:{port}/0", home / "log")


SIGNED_IN = """
acl signed_in proxy_auth REQUIRED
http_access allow signed_in
http_access deny all
"""

SQUID = """
http_port {host}:{port}
http_access allow all
visible_hostname localhost
access_log stdio:{log}
cache_log {home}/cache.log
pid_filename none
netdb_filename none
coredump_dir none
pinger_enable off
cache deny all
cache_mem 0 MB
memory_cache_shared off
shutdown_lifetime 1 seconds
"""

NGINX = """
daemon off;
master_process off;
pid {home}/pid;
events {{ worker_connections 64; }}
http {{
    log_format numbered '$connection "$request" $status';
    access_log {log} numbered;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    gzip_proxied any;
    upstream behind {{
        server {address};
        keepalive 8;
    }}
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {home}/server.pem;
        ssl_certificate_key {home}/server.pem;
        location /moved/ {{ return 307 {upstream}/v1/chat/completions; }}
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host {address};
        proxy_buffering off;
        proxy_read_timeout 20s;
        location / {{ proxy_pass http://behind; }}
        location /impatient/ {{ proxy_pass http://behind/; proxy_read_timeout 1s; }}
    }}
}}
"""


@contextlib.contextmanager
def folder():
    """Make a folder that a server which gives up its rights can still enter, unlike pytest's own."""
    home = Path(tempfile.mkdtemp(prefix="aichatkit-peer-"))
    try:
        home.chmod(0o755)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def running(command, log, port, environment=None, patience=START_SECONDS):
    """Run a server until the block ends; the block starts when its port answers, within `patience` seconds."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            wait_for_answer(process, port, log, patience)
            yield
        finally:
            stop(process)


def wait_for_answer(process, port, log, patience):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail(f"{process.args[0]} did not answer on port {port}:\n{log.read_text(errors='replace')[-2000:]}")


def stop(process):
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def find_program(name):
    # Debian keeps servers where only root's path looks.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which(name, path=path) or give_up(f"{name} is not installed")


def find_by_variable(variable, meaning):
    place = PROGRAMS[variable]
    if Path(place).is_file():
        return place
    return give_up(f"{variable} does not name {meaning}")


def give_up(reason):
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


def free_port():
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


def give_to_first_user(home, names):
    for name in names:
        with contextlib.suppress(LookupError):
            shutil.chown(home, name)
            return
