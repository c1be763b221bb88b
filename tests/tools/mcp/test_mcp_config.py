"""Files with MCP servers, in the format of many programs."""

from __future__ import annotations

import json

import pytest

import aichatkit as ai


@pytest.fixture
def read(tmp_path):
    def read(content, **options):
        path = tmp_path / "mcp.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return ai.mcp_config(path, **options)

    return read


def test_every_kind_of_server_is_read(read, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "secret-token")
    files, remote, old, off = (
        {"command": "npx", "args": ["-y", "${SERVER:-files}"], "env": {"KEY": "${env:MY_SECRET}"}, "cwd": "/srv"},
        {"type": "streamable-http", "url": "https://example.org/mcp", "headers": {"X-Key": "${MY_SECRET}"}},
        {"type": "sse", "url": "https://example.org/sse", "timeout": 7, "env": None},
        {"command": "off", "disabled": True},
    )
    servers = {"files": files, "remote": remote, "old": old, "off": off}
    for content in ({"mcpServers": servers}, {"servers": servers}):
        first, second, third = (server._settings for server in read(content, timeout=5, limit=10, elicit=print))
        assert (first.name, first.command, first.cwd) == ("files", ("npx", "-y", "files"), "/srv")
        assert first.env == {"KEY": "secret-token"}
        assert (second.url, second.headers) == ("https://example.org/mcp", {"X-Key": "secret-token"})
        assert (second.transport, third.transport) == ("auto", "sse")
        assert (first.limits.idle, first.limit, first.elicit) == (5, 10, print)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ([], 'the servers in "mcpServers"'),
        ({}, 'the servers in "mcpServers"'),
        ({"mcpServers": {"x": "npx"}}, 'the servers in "mcpServers"'),
        ({"mcpServers": {"x": {"type": "carrier pigeon", "url": "https://x.example"}}}, "x has an unknown type"),
        ({"mcpServers": {"x": {"command": "x", "args": "-y"}}}, "args are not a list"),
        ({"mcpServers": {"x": {"command": "${NO_SUCH_THING}"}}}, "x: the environment variable NO_SUCH_THING is not"),
        ({"mcpServers": {"x": {"command": "x", "args": [7]}}}, "command must be"),
        ({"mcpServers": {"x": {"url": "x"}}}, r"mcp\.json: x: mcp: the URL must be like"),
        ({"mcpServers": {"x": {"command": "x", "optional": "yes"}}}, "x: mcp: optional must be True or False"),
        ({"mcpServers": {"x": {"command": "x", "pin": "abc"}}}, "x: mcp: pin must be a dict"),
        ({"mcpServers": {"x": {"comand": "npx"}}}, 'json: x must have either a "command" or a "url"'),
        ({"mcpServers": {"x": {"command": "npx", "url": "https://x.example"}}}, "x must have either"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(read, content, message):
    with pytest.raises(ai.ConfigurationError, match=message):
        read(content)


def test_optional_and_pin_are_keys_of_a_server(read):
    pin = {"add": "0" * 64}
    servers = {"a": {"command": "x", "optional": True}, "b": {"url": "https://x.example", "pin": pin}}
    first, second = (server._settings for server in read({"mcpServers": servers}))
    assert (first.optional, first.pin, second.optional, second.pin) == (True, None, False, pin)


def test_all_servers_of_a_file_may_be_optional_but_those_that_say_otherwise(read):
    servers = {"a": {"command": "x"}, "b": {"command": "x", "optional": False}}
    assert [server._settings.optional for server in read({"mcpServers": servers}, optional=True)] == [True, False]


def test_a_file_that_does_not_exist_is_an_error():
    with pytest.raises(ai.ConfigurationError, match="cannot be read") as caught:
        ai.mcp_config("no-such.json")
    assert "FileNotFoundError" in caught.value.reason
