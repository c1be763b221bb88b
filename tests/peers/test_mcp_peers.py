"""MCP servers on the official SDKs and on FastMCP, over every transport, and the official suite for clients."""

from __future__ import annotations

import contextlib
import os
import signal

import peer_servers
import pytest

import aichatkit as ai
from aichatkit.messages import ToolResultMessage

SDK_TRANSPORTS = ["stdio", "http", "http with a slash"]
FASTMCP_TRANSPORTS = ["stdio", "http", "sse"]
EVERYTHING_TRANSPORTS = ["stdio", "streamableHttp", "sse"]
#: All that the suite checks in clients of both revisions, but sign-in with OAuth, which we do not offer.
SCENARIOS = [
    ("initialize", "2025-11-25"),
    ("tools_call", "2025-11-25"),
    ("sse-retry", "2025-11-25"),
    ("elicitation-sep1034-client-defaults", "2025-11-25"),
    ("json-schema-2020-12-preservation", "2025-11-25"),
    ("tools_call", "2026-07-28"),
    ("request-metadata", "2026-07-28"),
    ("http-standard-headers", "2026-07-28"),
    ("http-custom-headers", "2026-07-28"),
    ("http-invalid-tool-headers", "2026-07-28"),
    ("sep-2322-client-request-state", "2026-07-28"),
    ("json-schema-ref-no-deref", "2026-07-28"),
    ("json-schema-2020-12-preservation", "2026-07-28"),
]


@pytest.fixture(scope="module")
def open_sdk():
    """Open the server on the Python SDK over a transport; over HTTP, it is one server for all tests."""
    with contextlib.ExitStack() as stack:
        urls = []

        def open_sdk(transport, **options):
            if transport == "stdio":
                return ai.mcp(command=[*peer_servers.mcp_sdk_command(), "stdio"], **options)
            if not urls:
                urls.append(stack.enter_context(peer_servers.run_mcp_sdk()).url)
            return ai.mcp(urls[0] + "/" * (transport != "http"), **options)

        yield open_sdk


@pytest.fixture
def open_fastmcp(start):
    """Open the server on FastMCP over a transport."""

    def open_fastmcp(transport, **options):
        if transport == "stdio":
            return ai.mcp(command=[*peer_servers.fastmcp_command(), "stdio"], **options)
        return ai.mcp(start(peer_servers.run_fastmcp, transport).url, **options)

    return open_fastmcp


@pytest.fixture
def open_everything(start):
    """Open the server on the TypeScript SDK over a transport."""

    def open_everything(transport, **options):
        options = {"without": "simulate-research-query", **options}
        if transport == "stdio":
            return ai.mcp(command=peer_servers.mcp_everything_command(), **options)
        return ai.mcp(start(peer_servers.run_mcp_everything, transport).url, **options)

    return open_everything


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", SDK_TRANSPORTS)
def test_the_python_sdk_is_spoken_to_in_both_eras(open_sdk, transport, mode):
    with open_sdk(transport, mode=mode) as server:
        assert [tool.name for tool in server.tools()] == ["add", "fail", "pixel", "nap", "count", "book"]
        assert server._peer.version == ("2026-07-28" if mode == "auto" else "2025-11-25")
        result = server.call("add", a=2, b=3)
        assert (result.text, result.data, result.is_error) == ("5", {"result": 5}, False)
        assert server.call("fail").is_error
        assert server.call("add", a="x").is_error
        assert server.call("count", to=3).text == "done"
        ((mime_type, data),) = server.call("pixel").parts
        assert (mime_type, data) == ("image/png", b"\x89PNG")
        assert server._peer.instructions == "Add with add."


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_call_that_takes_too_long_does_not_disturb_the_next(open_sdk, transport, mode):
    with open_sdk(transport, mode=mode, timeout=0.3) as server:
        with pytest.raises(ai.MCPError) as caught:
            server.call("nap", seconds=1.5)
        assert (caught.value.code, caught.value.maybe_processed) == ("timeout", True)
    with open_sdk(transport, mode=mode) as server:
        assert server.call("add", a=2, b=3).text == "5"


def answer(message, schema):
    return {"name": "Ada"} if "room 7" in message else None


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_server_asks_the_user(open_sdk, transport, mode):
    with open_sdk(transport, mode=mode, elicit=answer) as server:
        assert server.call("book", room="room 7").text == "room 7: accept, Ada, 2 nights"
        assert server.call("book", room="room 8").text == "room 8: decline, None, 0 nights"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_server_that_cannot_ask_says_so_to_the_model(open_sdk, transport, mode):
    with open_sdk(transport, mode=mode) as server, ai.Client(model="offline") as client:
        reply = client.ask('call book {"room": "room 7"}', tools=[server])
        (result,) = [message.content for message in reply.turn if isinstance(message, ToolResultMessage)]
        assert result.startswith("Error: ")
        assert "elicitation" in result


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("transport", FASTMCP_TRANSPORTS)
def test_fastmcp_is_spoken_to_in_both_eras(open_fastmcp, transport, mode):
    with open_fastmcp(transport, mode=mode, elicit=lambda message, schema: {"value": "Ada"}) as server:
        assert [tool.name for tool in server.tools()] == ["add", "pixel", "count", "book"]
        is_modern = mode == "auto" and transport != "sse"
        assert server._peer.version == ("2026-07-28" if is_modern else "2025-11-25")
        assert server.call("add", a=2, b=3).text == "5"
        assert server.call("add", a="x").is_error
        assert server.call("count", to=3).text == "done"
        (picture,) = server.call("pixel").content
        assert picture["file"].media_type == "image/png"
        booked = server.call("book", room="room 7")
        # It asks only in revisions with a handshake.
        assert booked.is_error if is_modern else booked.text == "room 7: accept, Ada"


def test_a_token_lets_in_and_its_lack_is_an_error_that_says_what_to_do(start):
    url = start(peer_servers.run_fastmcp, "http", "token").url
    for token, advice in ((None, "pass token= with one that"), ("bad-token", "it may be expired")):
        with pytest.raises(ai.AuthenticationError, match=advice) as caught:
            ai.mcp(url, token=token).tools()
        assert "bad-token" not in str(caught.value)
    with ai.mcp(url, token="good-token") as server:
        assert server.call("add", a=2, b=3).text == "5"


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_model_uses_the_tools(open_sdk, transport):
    with open_sdk(transport) as server, ai.Client(model="offline") as client:
        reply = client.ask('call add {"a": 2, "b": 3} and call fail {}', tools=[server])
        results = [message.content for message in reply.turn if isinstance(message, ToolResultMessage)]
        assert results[0] == "5"
        assert results[1].startswith("Error: ")


@pytest.mark.parametrize("transport", EVERYTHING_TRANSPORTS)
def test_the_typescript_sdk_is_spoken_to(open_everything, transport):
    with open_everything(transport) as server:
        assert len(server.tools()) == 12
        assert server._peer.version == "2025-11-25"
        assert server.call("echo", message="zażółć").text == "Echo: zażółć"
        assert server.call("get-sum", a=1, b=2).text == "The sum of 1 and 2 is 3."
        assert [part.mime_type for part in server.call("get-tiny-image").parts] == ["image/png"]
        assert server.call("get-structured-content", location="Chicago").data["temperature"] == 36
        assert "[link: uri: demo://resource" in server.call("get-resource-links", count=2).text
        assert "completed" in server.call("trigger-long-running-operation", duration=0.2, steps=2).text
        assert server.call("get-sum", a="x").is_error


@pytest.mark.parametrize("transport", EVERYTHING_TRANSPORTS)
def test_the_typescript_sdk_asks_the_user(open_everything, transport):
    asked = []
    with open_everything(transport, elicit=lambda message, schema: asked.append(message) or {"name": "Ada"}) as server:
        assert len(server.tools()) == 13
        assert "Ada" in server.call("trigger-elicitation-request").text
    assert asked == ["Please provide inputs for the following fields:"]


def test_a_task_only_tool_is_left_out_with_a_warning(open_everything):
    server = open_everything("stdio", without=None)
    with pytest.warns(UserWarning, match="simulate-research-query runs only as a task"):
        server.tools()
    server.close()


def test_a_server_that_was_restarted_gets_a_new_session(open_everything):
    with open_everything("streamableHttp") as server:
        server.tools()
        wire = server._peer._wire
        # What it would not know after a restart.
        wire.session_id = "00000000-0000-0000-0000-000000000000"
        assert server.call("echo", message="hi").text == "Echo: hi"
        assert wire.session_id.count("-") == 4
        assert not wire.session_id.startswith("00000000")


def test_a_killed_process_is_started_again_for_the_next_call(open_everything):
    with open_everything("stdio") as server:
        server.tools()
        process = server._peer._wire.process
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert peer_servers.eventually(lambda: server._peer._wire.is_closed, bool)
        assert server.call("echo", message="hi").text == "Echo: hi"


def test_keys_of_chat_services_are_not_in_the_environment_of_a_server(open_everything, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with open_everything("stdio", env={"MINE": "1"}) as server:
        shown = server.call("get-env").text
    assert '"MINE": "1"' in shown
    assert "sk-secret" not in shown


@pytest.mark.parametrize(("scenario", "revision"), SCENARIOS)
def test_the_conformance_suite_passes(scenario, revision):
    done = peer_servers.run_mcp_conformance(scenario, revision)
    assert done.returncode == 0, done.stderr
    assert "0 failed, 0 warnings" in done.stderr
