"""Fixtures for every test: no network but loopback, an empty environment, and no real waiting."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import aichatkit
from aichatkit import Client, RetryPolicy
from aichatkit.registry import registry
from aichatkit.sandbox import Sandbox

#: Looking for doctests in these would import a second file of the same name.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]
#: Run in processes of their own, on another Python.
collect_ignore = [
    "support/browser_script.py",
    "support/fastmcp_server.py",
    "support/mcp_sdk_server.py",
    "support/ntlm_server.py",
    "support/sdks",
    "support/tiny_model.py",
]

_LOOPBACK = ("127.", "::1", "localhost")
_PREFIXES = (
    "AICHATKIT_",
    "AWS_",
    "GOOGLE_",
    "SSL_CERT_",
    "REQUESTS_",
    "CURL_",
    "HTTP_",
    "HTTPS_",
    "ALL_",
    "NO_",
    "http_",
    "https_",
    "all_",
    "no_",
)
_SUFFIXES = (
    *("_API_BASE", "_API_KEY", "_API_URL", "_API_VERSION", "_BASE_URL", "_BEDROCK", "_ENDPOINT", "_HOST", "_ORG_ID"),
    *("_PROJECT_ID", "_REGION", "_TOKEN"),
)
#: Where the servers that CI installed are; only the tests against them look.
_KEPT = ("AICHATKIT_PEERS",)
#: The services a reader of the docs has, and where the sandbox speaks their protocols.
_SERVICES = {"openai": "/v1", "anthropic": "", "gemini": "", "groq": "/v1", "openrouter": "/v1", "ollama": ""}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names of tests that are others in each process: `pytest -n` would run none."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"the name of a test has an address in memory: {item.nodeid}")


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of every garbage collection; there are so many that each takes half a second."""
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def heard_signals() -> Iterator[None]:
    """Signals as a terminal gives them: `nohup` and a shell's `&` start programs that do not hear them."""
    handlers = {"SIGHUP": signal.SIG_DFL, "SIGINT": signal.default_int_handler, "SIGQUIT": signal.SIG_DFL}
    heard = {getattr(signal, name): handler for name, handler in handlers.items() if hasattr(signal, name)}
    ignored = [number for number in heard if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, heard[number])
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session")
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for settings in which there are none; a test that writes some sets one of its own."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, nobodys_home: Path) -> None:
    """Fail loudly when a test reaches for anything but this machine, and hide keys and proxies of the developer."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(nobodys_home))
    for name in list(os.environ):
        if (name.startswith(_PREFIXES) or name.endswith(_SUFFIXES)) and not name.startswith(_KEPT):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(nobodys_home / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Without these, two services have no address; a test of that removes them.
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test-project")
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
            raise AssertionError(f"a test tried to connect to {address!r}")
        return connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name and not name.startswith(_LOOPBACK):
            raise socket.gaierror(socket.EAI_NONAME, f"a test tried to look up {name}")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=sys.platform == "emscripten")
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """In WebAssembly, skip a test as soon as it needs a server, a thread or a process."""

    def skip(*args: Any, **kwargs: Any) -> Any:
        pytest.skip("needs a server, a thread or a process")

    start = threading.Thread.start

    def start_or_skip(thread: threading.Thread) -> None:
        # `map` makes do without.
        (start if thread.name.startswith("aichatkit-map") else skip)(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_skip)
    for name in ("bind", "connect"):
        monkeypatch.setattr(socket.socket, name, skip)
    monkeypatch.setattr(subprocess.Popen, "__init__", skip)
    monkeypatch.setattr(Sandbox, "start", skip)
    monkeypatch.setattr(Sandbox, "_running", property(skip))
    monkeypatch.setattr("urllib3.contrib.emscripten.connection.EmscriptenHTTPConnection.request", skip)


@pytest.fixture(autouse=True)
def fresh_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests registered, and which retired models this process has reported."""
    monkeypatch.setattr("aichatkit.catalog.layers._registered", [])
    monkeypatch.setattr("aichatkit.catalog.retirements._reported", set())


@pytest.fixture
def slept() -> list[float]:
    """The waits that were asked for, in seconds, none of which was really waited."""
    return []


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a body may come as late as a busy machine brings it, and the connection is kept all the same."""
    monkeypatch.setattr("aichatkit.transport.responses._GRACE", 20.0)


@pytest.fixture
def policy(slept: list[float]) -> RetryPolicy:
    """Three attempts whose sleeps are only written down and whose random numbers are all 1."""
    return RetryPolicy(sleep=slept.append, random=lambda: 1.0)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A fake of every service on loopback."""
    with Sandbox() as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox, policy: RetryPolicy) -> Iterator[Client]:
    """A client of the sandbox that asks `openai` unless told otherwise; the sites are pointed there as well."""
    sites = ("aichats", "aichatonline", "aichatonline-classic", "aichat", "aichatfree", "chatgptt")
    urls = {"openai": f"{sandbox.url}/v1", **dict.fromkeys(sites, sandbox.url)}
    with Client(model="openai", api_key={"openai": "sk-test"}, base_url=urls, retry=policy) as made:
        yield made


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: Sandbox) -> Iterator[None]:
    """A reader of the docs in a folder with a few files, whose keys are for services that are the sandbox."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n of a cat")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 on a cat")
    (tmp_path / "report.txt").write_text("My mother dreams of reports.", encoding="utf-8")
    (tmp_path / "in.csv").write_text("text\nHello!\n", encoding="utf-8")
    for name, path in _SERVICES.items():
        monkeypatch.setenv(registry[name].base_url_env, sandbox.url + path)
        for variable in registry[name].key_variables()[: registry[name].needs_key]:
            monkeypatch.setenv(variable, f"sk-reader-{name}")
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    default: list[Client] = []
    monkeypatch.setattr("aichatkit.api._default", default)
    yield
    for client in default:
        client.close()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an `aichatkit` command on the path that is this very package, and a `python` that is this one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in (("aichatkit", "-m aichatkit "), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n', encoding="utf-8")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(Path(aichatkit.__file__).parent.parent), prepend=os.pathsep)
