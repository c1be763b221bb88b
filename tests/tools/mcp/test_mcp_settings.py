"""The options of `mcp`: checked at once, and nothing is started."""

from __future__ import annotations

import pathlib

import pytest
import requests

import aichatkit as ai
from aichatkit.tools.mcp import wire
from aichatkit.tools.mcp.messages import Limits

URL = "https://example.org/mcp"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "takes a URL, or command="),
        ({"url": URL, "command": ["x"]}, "takes a URL, or command="),
        ({"url": "example.org"}, "like https://host/mcp"),
        ({"url": 7}, "like https://host/mcp"),
        ({"url": "https://me:secret@example.org/mcp"}, "without user and password"),
        ({"url": "http://example.org/mcp"}, "unencrypted to example.org"),
        ({"command": []}, "command must be"),
        ({"command": "'"}, "command must be"),
        ({"command": 7}, "command must be"),
        ({"command": ["x", 7]}, "command must be"),
        ({"command": [""]}, "command must be"),
        ({"command": ["x"], "token": "t"}, "token does not apply to command"),
        ({"command": ["x"], "auth": ("a", "b")}, "auth does not apply to command"),
        ({"url": URL, "auth": ("a", "b"), "token": "t"}, "pass token= or auth=, not both"),
        ({"url": URL, "auth": "secret"}, "auth for MCP server 'example.org': must be callable"),
        ({"command": ["x"], "headers": {}}, "headers does not apply to command"),
        ({"command": ["x"], "env": "all"}, "env must be a dict"),
        ({"command": ["x"], "env": {"A": 1}}, "env must be a dict"),
        ({"url": URL, "env": {}}, "env does not apply to a URL"),
        ({"url": URL, "cwd": "/"}, "cwd does not apply to a URL"),
        ({"url": URL, "name": ""}, "name must be"),
        ({"url": URL, "prefix": 7}, "prefix must be"),
        ({"url": URL, "pin": "abc"}, "pin must be a dict of tool names and hashes, as server.fingerprints"),
        ({"url": URL, "pin": {"a": "abc"}}, "pin must be a dict"),
        ({"url": URL, "pin": {"a": 7}}, "pin must be a dict"),
        ({"url": URL, "optional": 1}, "optional must be True or False, got 1"),
        ({"url": URL, "only": 7}, "only must be"),
        ({"url": URL, "without": [""]}, "without must be"),
        ({"url": URL, "approve": True}, "approve must be a function"),
        ({"url": URL, "elicit": {}}, "elicit must be a function"),
        ({"url": URL, "limit": 0}, "limit must be a number"),
        ({"url": URL, "timeout": "1"}, "timeout must be a number"),
        ({"url": URL, "timeout": -1}, "timeout must be a number"),
        ({"url": URL, "token": " "}, "token must be"),
        ({"url": URL, "token": 7}, "token must be"),
        ({"url": URL, "headers": {"a b": "c"}}, "headers"),
        ({"url": URL, "session": "s"}, "must be a requests.Session, not str"),
        ({"url": URL, "transport": "carrier pigeon"}, "transport must be one of auto, http, sse"),
        ({"url": URL, "mode": "modern"}, "mode must be one of auto, legacy"),
    ],
)
def test_an_invalid_option_is_an_error_at_once(options, message):
    with pytest.raises(ai.ConfigurationError, match=message) as caught:
        ai.mcp(**options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "argv", "name"),
    [
        (["npx", "-y", "@scope/server"], ("npx", "-y", "@scope/server"), "@scope/server"),
        ("uvx 'my server' --x", ("uvx", "my server", "--x"), "my server"),
        (["/usr/bin/python3", "-m"], ("/usr/bin/python3", "-m"), "python3"),
        (["python3.11", pathlib.Path("/srv/tool.py")], ("python3.11", "/srv/tool.py"), "tool.py"),
        (["mcp-server-git", "--repository", "."], ("mcp-server-git", "--repository", "."), "mcp-server-git"),
        (["--odd"], ("--odd",), "--odd"),
        (["python3", "-c", "import x\nx.y()"], ("python3", "-c", "import x\nx.y()"), "python3"),
    ],
)
def test_a_command_is_a_list_or_a_line_and_names_the_server(command, argv, name):
    server = ai.mcp(command=command)
    assert (server._settings.command, server.name) == (argv, name)
    assert ai.mcp(command=command, name="mine").name == "mine"


@pytest.mark.parametrize(
    ("timeout", "limits"),
    [
        (None, Limits(10.0, 60.0, 300.0)),
        (5, Limits(10.0, 5, 300.0)),
        (900, Limits(10.0, 900, 900)),
        ((1, 2), Limits(1, 2, 300.0)),
        (ai.Timeout(total=3), Limits(3, 3, 3)),
        (ai.Timeout(connect=1, read=2, total=30), Limits(1, 2, 30)),
    ],
)
def test_timeouts_limit_silence_and_the_whole_call(timeout, limits):
    settings = ai.mcp(URL, timeout=timeout)._settings
    assert settings.limits == limits
    assert settings.start_limits.idle == settings.list_limits.total == max(30, limits.idle)
    assert ai.mcp(command=["x"], timeout=timeout)._settings.start_limits.total == max(60, limits.idle)


def test_what_is_allowed_is_kept():
    assert ai.mcp("http://localhost:80/mcp").name == "localhost"
    assert ai.mcp("http://example.org/mcp", insecure=True).name == "example.org"
    settings = ai.mcp(
        URL, session=requests.Session(), token=lambda: "t", only="x", without=("y",), limit=None
    )._settings
    assert (settings.only, settings.without, settings.limit) == (("x",), ("y",), None)
    assert ai.mcp(command=["x"], env="inherit", cwd=pathlib.Path("/tmp"))._settings.cwd == "/tmp"
    assert "secret" not in repr(ai.mcp(URL, token="secret", headers={"X": "secret"})._settings)


def test_a_wire_says_what_it_lacks():
    bare = wire.Wire()
    assert (bare.is_closed, bare.stderr, bare.session_id) == (False, "", "")
    for method in (lambda: bare.request({}, None, {}), lambda: bare.notify({}, None), bare.close):
        with pytest.raises(NotImplementedError):
            method()
