"""`optional=True`: a call goes on without a server that cannot be started or reached, and nothing else is excused."""

from __future__ import annotations

import sys
import warnings

import pytest
from mcp_server import HTTPServer, error

import aichatkit as ai
from aichatkit.messages import ToolResultMessage

ASKED = 'call add {"a": 1, "b": 2}'


@pytest.fixture
def closed_url():
    running = HTTPServer()
    running.close()
    return running.url


def refuse(status):
    return lambda handler, message: handler.send_body(status, b"")


def ends_at_once(text):
    return [sys.executable, "-c", f"import sys; sys.exit({text!r})"]


def make(*args, **options):
    """Return an optional server whose clock and waits are those of the test."""
    opened = ai.mcp(*args, optional=True, **options)
    opened._sleep = lambda seconds: None
    return opened


@pytest.mark.parametrize(
    ("command", "reason"),
    [(["no-such-program"], "is not found; install it"), (ends_at_once("no licence"), "no licence")],
)
def test_a_program_that_does_not_start_is_a_warning(client, command, reason):
    with pytest.warns(
        ai.SkippedServerWarning, match=f"{reason}.*; it is optional, so its tools are left out"
    ) as caught:
        assert client.ask("Hello", tools=[make(command=command)]).text
    assert [warning.filename for warning in caught] == [__file__]


def test_a_url_that_is_not_reached_is_a_warning(client, closed_url, server):
    with pytest.warns(ai.SkippedServerWarning, match="cannot connect"):
        reply = client.ask(ASKED, tools=[make(closed_url), ai.mcp(server.url)])
    assert [message.content for message in reply.turn if isinstance(message, ToolResultMessage)] == ["3"]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_with_no_server_behind_it_is_a_warning(client, server, status):
    server.on("server/discover", *[refuse(status)] * 3)
    with pytest.warns(ai.SkippedServerWarning, match=f"status {status}"):
        assert client.ask("Hello", tools=[make(server.url)]).text


def test_a_server_that_does_not_list_its_tools_in_time_is_a_warning(client, server, monkeypatch):
    mcp = make(server.url)
    silent = ai.MCPError("MCP server 'x': no answer", code="timeout")
    monkeypatch.setattr("aichatkit.tools.mcp.server.read_list", lambda *_: (_ for _ in ()).throw(silent))
    with pytest.warns(ai.SkippedServerWarning, match="no answer"):
        assert client.ask("Hello", tools=[mcp]).text


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_a_server_that_refuses_is_an_error(client, server, status):
    for method in ("server/discover", "initialize"):
        server.on(method, *[refuse(status)] * 3)
    with pytest.raises(ai.MCPError, match=f"status {status}"):
        client.ask("Hello", tools=[make(server.url, transport="http")])


def test_a_token_that_is_refused_is_an_error(client, server):
    server.on("server/discover", refuse(401))
    with pytest.raises(ai.AuthenticationError, match="wants a token"):
        client.ask("Hello", tools=[make(server.url)])


def test_an_error_in_the_list_is_an_error(client, server):
    server.on("tools/list", lambda handler, message: handler.send_json(error(message, -32603, "broken")))
    with pytest.raises(ai.MCPError, match="broken"):
        client.ask("Hello", tools=[make(server.url)])


def test_tools_that_are_not_the_pinned_ones_are_an_error(client, server):
    with pytest.raises(ai.MCPError, match="not the pinned ones"):
        client.ask("Hello", tools=[make(server.url, pin={})])


def test_without_the_option_it_is_an_error(client, closed_url):
    with pytest.raises(ai.MCPError, match="cannot connect"):
        client.ask("Hello", tools=[ai.mcp(closed_url, optional=False)])


def test_with_goes_on_and_what_is_asked_directly_is_an_error(closed_url):
    mcp = make(closed_url)
    with pytest.warns(ai.SkippedServerWarning, match="cannot connect"):
        mcp.__enter__()
    for ask in (mcp.tools, mcp.fingerprints, lambda: mcp.call("add")):
        with pytest.raises(ai.MCPError, match="cannot connect"):
            ask()
    mcp.__exit__()


def test_the_rows_of_a_run_do_not_try_again_before_a_minute_has_passed(client, server):
    now = [100.0]
    mcp = make(server.url)
    mcp._clock = lambda: now[0]
    server.on("server/discover", *[refuse(503)] * 3)
    with pytest.warns(ai.SkippedServerWarning) as caught:
        results = client.map(["a", "b", "c"], tools=[mcp], workers=2, progress=False)
    assert (len(caught), len(results)) == (1, 3)
    assert server.methods().count("server/discover") == 3
    now[0] = 159.9
    assert "add" not in [tool.definition.name for tool in mcp.open_tools()]
    now[0] = 160.0
    assert "add" in [tool.definition.name for tool in mcp.open_tools()]


def test_a_closed_server_is_tried_again_at_once(server):
    mcp = make(server.url)
    server.on("server/discover", *[refuse(503)] * 3)
    with pytest.warns(ai.SkippedServerWarning):
        assert mcp.open_tools() == []
    mcp.close()
    assert len(mcp.open_tools()) == 3


def test_a_server_that_is_gone_when_a_tool_is_called_is_an_error_for_the_model(client, server):
    mcp = make(server.url)
    assert len(mcp.open_tools()) == 3
    server.close()
    mcp._connections.close()
    with pytest.warns(ai.SkippedServerWarning, match="cannot connect"):
        reply = client.ask(ASKED, tools=[mcp])
    assert "cannot connect" in reply.text
    # The next call goes on without it.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.ask("Hello", tools=[mcp]).text
