"""MCP over HTTP: both eras, sessions, streams, redirects, tokens, and what is never sent twice."""

from __future__ import annotations

import functools
import json
import threading
import traceback

import pytest
import requests
from mcp_server import LEGACY, MODERN, HTTPServer, answer, error, text_result

import aichatkit as ai
from aichatkit.tools.mcp import http, peer
from aichatkit.transport.connections import Connections


@pytest.fixture
def serve():
    """Start servers of our own, closed at the end with what was opened on them."""
    servers, opened = [], []

    def start(era="modern", style="json", *, sessions=True, **options):
        server = HTTPServer(era, style, sessions)
        servers.append(server)
        opened.append(ai.mcp(server.url, **options))
        server.slept = []
        opened[-1]._sleep = server.slept.append
        return server, opened[-1]

    yield start
    for one in opened:
        one.close()
    for server in servers:
        server.close()


def send(status, body, content_type="application/json", **headers):
    def respond(handler, message):
        text = body(message) if callable(body) else body
        data = text if isinstance(text, bytes) else json.dumps(text).encode()
        handler.send_body(
            status, data, content_type, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    return respond


def refuse(status, code, text, data=None):
    return send(status, lambda message: error(message, code, text, data))


def hang_up(handler, message):
    handler.close_connection = True


@pytest.mark.parametrize("style", ["json", "sse"])
@pytest.mark.parametrize("era", ["modern", "legacy", "both", "old"])
def test_a_server_of_each_era_lists_and_runs_its_tools(serve, era, style):
    server, mcp = serve(era, style)
    assert [tool.name for tool in mcp.tools()] == ["add", "files.read", "fail"]
    assert [str(mcp.call("add", a=1, b=2)), mcp.call("files.read").text, mcp.call("fail").is_error] == [
        "3",
        "contents",
        True,
    ]
    assert ("initialize" in server.methods()) is (era in ("legacy", "old"))
    assert mcp.call("files_read").text == "contents"


def test_every_request_of_the_current_revision_says_who_asks_for_what(serve):
    server, mcp = serve("both")
    mcp.call("files.read")
    (headers,) = server.headers_of("tools/call")
    (params,) = server.params_of("tools/call")
    assert (headers["MCP-Protocol-Version"], headers["Mcp-Method"], headers["Mcp-Name"]) == (
        MODERN,
        "tools/call",
        "files.read",
    )
    assert headers["Accept"] == "application/json, text/event-stream"
    assert "Mcp-Session-Id" not in headers
    meta = params["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == MODERN
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
    assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "aichatkit"
    assert "Origin" not in headers


def test_a_session_is_named_in_every_request_and_ended(serve):
    server, mcp = serve("legacy")
    mcp.call("add", a=1, b=2)
    (session,) = server.sessions
    for method in ("notifications/initialized", "tools/list", "tools/call"):
        (headers,) = server.headers_of(method)
        assert (headers["Mcp-Session-Id"], headers["MCP-Protocol-Version"]) == (session, LEGACY)
    assert server.params_of("initialize")[0]["capabilities"] == {}
    mcp.close()
    assert server.sessions == set()
    assert server.received[-1][0] == "DELETE"


def test_a_server_that_does_not_end_sessions_does_no_harm(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    server.close()
    mcp.close()


def test_a_server_without_sessions_is_left_without_a_goodbye(serve):
    server, mcp = serve("legacy", sessions=False)
    mcp.tools()
    mcp.close()
    assert {method for method, _, _ in server.received} == {"POST"}


@pytest.mark.parametrize(
    "lost",
    [
        None,
        refuse(400, -32000, "Bad Request: No valid session ID provided"),
        send(503, b"unknown session", "text/plain"),
        send(401, b"Session expired", "text/plain"),
        refuse(410, -32000, "The session is gone"),
        send(404, b"", "text/plain"),
    ],
    ids=["404", "400", "503", "401", "410", "404 without text"],
)
def test_a_lost_session_is_replaced_and_the_call_sent_again(serve, lost):
    server, mcp = serve("legacy")
    mcp.tools()
    old = set(server.sessions)
    server.sessions.clear()
    if lost:
        server.on("tools/call", lost)
    assert mcp.call("add", a=1, b=2).text == "3"
    assert server.methods().count("initialize") == 2
    assert "Mcp-Session-Id" not in server.headers_of("initialize")[1]
    assert server.sessions.isdisjoint(old)


def test_a_token_that_expires_in_a_session_is_still_an_error_about_the_token(serve):
    server, mcp = serve("legacy", token="secret-token")
    mcp.tools()
    refusal = send(401, b"Session token expired", "text/plain")
    server.on("tools/call", refusal)
    server.on("initialize", refusal)
    with pytest.raises(ai.AuthenticationError, match="did not accept the token"):
        mcp.call("add", a=1, b=2)
    assert server.methods().count("tools/call") == 1


def test_a_server_that_wants_a_token_says_what_to_do(serve):
    server, mcp = serve()
    server.on("server/discover", send(401, b"", "text/plain", WWW_Authenticate='Bearer scope="read"'))
    with pytest.raises(ai.AuthenticationError) as caught:
        mcp.tools()
    assert str(caught.value) == (
        "MCP server '127.0.0.1' wants a token (401): pass token= with one that its provider issued, or headers=; "
        'signing in by OAuth is not offered here. It asks for Bearer scope="read"'
    )


def test_a_session_that_is_lost_again_is_an_error(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    gone = refuse(404, -32001, "Session not found")
    server.on("tools/call", gone, gone)
    with pytest.raises(ai.MCPError, match="Session not found") as caught:
        mcp.call("add", a=1, b=2)
    assert (caught.value.status, caught.value.maybe_processed) == (404, False)
    assert len(server.params_of("tools/call")) == 2


def test_a_session_that_another_thread_has_replaced_is_used(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    wire = mcp._peer._wire

    def lose(handler, message):
        server.sessions.add("of-another-thread")
        wire.session_id = "of-another-thread"
        refuse(404, -32001, "Session not found")(handler, message)

    server.on("tools/call", lose)
    assert mcp.call("add", a=1, b=2).text == "3"
    assert server.methods().count("initialize") == 1
    assert server.headers_of("tools/call")[1]["Mcp-Session-Id"] == "of-another-thread"


def test_an_unknown_method_in_a_session_is_not_a_lost_one(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    server.on("tools/call", refuse(404, -32601, "Method not found"))
    with pytest.raises(ai.MCPError, match="Method not found"):
        mcp.call("add", a=1, b=2)
    assert server.methods().count("initialize") == 1


# What a server may answer to the first question.


@pytest.mark.parametrize(
    "refusal",
    [
        refuse(400, -32000, "Server not initialized"),
        refuse(200, -32602, "Invalid request parameters"),
        send(404, b"<html>", "text/html"),
        send(405, b"", "text/plain"),
        send(500, b"oops", "text/plain"),
        send(200, b"hello", "text/plain"),
        send(202, b"", "text/plain"),
        send(200, lambda message: answer(message, {"supportedVersions": [LEGACY]})),
        send(200, lambda message: answer(message, {})),
        send(200, lambda message: answer(message, "yes")),
        refuse(400, -32022, "Unsupported protocol version", {"supported": [LEGACY]}),
    ],
)
def test_whatever_else_a_server_answers_to_the_question_it_gets_a_handshake(serve, refusal):
    server, mcp = serve("legacy")
    server.on("server/discover", refusal)
    assert mcp.call("add", a=1, b=2).text == "3"
    assert server.methods()[:2] == ["server/discover", "initialize"]


def test_a_server_that_does_not_answer_the_question_gets_a_handshake(serve, monkeypatch):
    monkeypatch.setattr(peer, "_PROBE_SECONDS", 0.1)
    server, mcp = serve("legacy")
    done = threading.Event()
    server.on("server/discover", lambda handler, message: done.wait(20) and hang_up(handler, message))
    try:
        assert len(mcp.tools()) == 3
    finally:
        done.set()


@pytest.mark.parametrize(
    ("refusal", "error_type", "message"),
    [
        (send(401, b"", "text/plain", WWW_Authenticate='Bearer scope="x"'), ai.AuthenticationError, 'Bearer scope="x"'),
        (send(403, b"", "text/plain"), ai.AuthenticationError, "refused access (403): the token"),
        (send(401, b"", "text/plain"), ai.AuthenticationError, "did not accept the token (401)"),
        (send(407, b"", "text/plain"), ai.AuthenticationError, "the proxy wants a password (407)"),
        (send(502, b"<html>", "text/html"), ai.MCPError, "status 502"),
        (send(429, b"slow down", "text/plain"), ai.MCPError, "status 429: slow down"),
        (refuse(400, -32020, "Header mismatch"), ai.MCPError, "Header mismatch"),
        (refuse(400, -32022, "Unsupported", {"supported": ["2031-01-01"]}), ai.MCPError, "2031-01-01"),
        (refuse(400, -32022, "Unsupported", "?"), ai.MCPError, "2024-11-05"),
        (hang_up, ai.MCPError, "MCP server '127.0.0.1'"),
        (
            send(301, b"", "text/plain", Location="https://elsewhere.example/?k=v"),
            ai.MCPError,
            "elsewhere.example/; use",
        ),
        (send(502, b"bad token secret-token", "text/plain"), ai.MCPError, "bad token [key]"),
        (refuse(400, -32020, "bad token secret-token"), ai.MCPError, "bad token [key]"),
        (send(401, b"", "text/plain", WWW_Authenticate="Bearer secret-token"), ai.AuthenticationError, "Bearer [key]"),
        (send(502, b"secret-header is not known", "text/plain"), ai.MCPError, "[key] is not known"),
        (send(307, b"", "text/plain", Location="https://elsewhere.example/"), ai.MCPError, "elsewhere.example"),
        (send(302, b"", "text/plain", Location="/mcp/"), ai.MCPError, "/mcp/; use that URL"),
    ],
)
def test_a_refusal_that_a_handshake_would_get_too_is_an_error(serve, refusal, error_type, message):
    server, mcp = serve("legacy", token="secret-token", headers={"X-Api-Key": "secret-header", "X-Team": "blue"})
    server.on("server/discover", refusal, refusal, refusal)
    with pytest.raises(error_type) as caught:
        mcp.tools()
    assert message in str(caught.value)
    assert "secret-" not in str(caught.value)
    assert set(server.methods()) == {"server/discover"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_overloaded_is_asked_again_but_no_tool_is_called_again(serve, status):
    server, mcp = serve("modern")
    busy = send(status, b"", "text/plain")
    server.on("server/discover", busy)
    server.on("tools/list", busy, busy)
    assert len(mcp.tools()) == 3
    assert server.slept == [0.5, 0.5, 1.0]
    server.on("tools/call", busy)
    with pytest.raises(ai.MCPError, match=f"status {status}"):
        mcp.call("add", a=1, b=2)
    assert len(server.params_of("tools/call")) == 1


def test_a_wrong_revision_is_corrected_once(serve, monkeypatch):
    monkeypatch.setattr(peer, "MODERN", ("2027-01-01", MODERN))
    server, mcp = serve("modern")
    server.on("server/discover", refuse(400, -32022, "Unsupported", {"supported": [MODERN]}))
    assert mcp.call("add", a=1, b=2).text == "3"
    asked = [
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] for params in server.params_of("server/discover")
    ]
    assert asked == ["2027-01-01", MODERN]


def test_a_server_that_wants_no_handshake_after_all_is_asked_again(serve):
    server, mcp = serve("modern")
    server.on("server/discover", refuse(400, -32000, "?"))
    assert mcp.call("add", a=1, b=2).text == "3"
    assert server.methods()[:3] == ["server/discover", "initialize", "server/discover"]


@pytest.mark.parametrize("refusal", [refuse(400, -32022, "Unsupported", {"supported": [MODERN]}), refuse(400, -1, "?")])
def test_with_mode_legacy_nothing_is_asked_first(serve, refusal):
    server, mcp = serve("legacy", mode="legacy")
    assert len(mcp.tools()) == 3
    assert server.methods()[0] == "initialize"
    mcp.close()
    server.on("initialize", refusal)
    with pytest.raises(ai.MCPError):
        mcp.tools()


def test_a_revision_that_nobody_knows_is_an_error(serve):
    server, mcp = serve("legacy")
    server.on("initialize", send(200, lambda message: answer(message, {"protocolVersion": "2031-01-01"})))
    with pytest.raises(ai.MCPError, match="2031-01-01"):
        mcp.tools()


def test_identity_and_instructions_are_kept(serve):
    _, mcp = serve("legacy")
    mcp.tools()
    assert (mcp._peer.info["name"], mcp._peer.instructions) == ("test", "Add.")
    server, mcp = serve("modern")
    server.on(
        "server/discover", send(200, lambda message: answer(message, {"supportedVersions": [MODERN], "_meta": 1}))
    )
    mcp.tools()
    assert mcp._peer.info == {}


# A call that may have run.


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (hang_up, "closed"),
        (send(200, b"<html>", "text/html"), "unreadable"),
        (send(200, b"{", "application/json", Content_Length="1"), "unreadable"),
        (send(502, b"bad gateway", "text/plain"), "status"),
        (refuse(500, -32603, "it broke"), "-32603"),
        (refuse(400, -32603, "it broke"), "-32603"),
        (refuse(200, -32000, "it broke"), "-32000"),
        (lambda handler, message: handler.send_events([]), "closed"),
        (lambda handler, message: handler.send_events([{"jsonrpc": "2.0", "id": 999, "result": {}}]), "closed"),
    ],
)
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_call_whose_outcome_is_unknown_is_not_sent_again(serve, era, response, code):
    server, mcp = serve(era)
    mcp.tools()
    server.on("tools/call", response)
    with pytest.raises(ai.MCPError) as caught:
        mcp.call("add", a=1, b=2)
    assert (caught.value.code, caught.value.maybe_processed, caught.value.server) == (code, True, "127.0.0.1")
    assert len(server.params_of("tools/call")) == 1


@pytest.mark.parametrize(
    "response",
    [
        send(418, b"no", "text/plain"),
        refuse(400, -32000, "not initialized"),
        lambda handler, message: handler.send_json(error(message, -32602, "no")),
    ],
)
def test_a_call_that_is_refused_has_not_run(serve, response):
    server, mcp = serve("modern")
    mcp.tools()
    server.on("tools/call", response)
    with pytest.raises(ai.MCPError) as caught:
        mcp.call("add", a=1, b=2)
    assert caught.value.maybe_processed is False


@pytest.mark.parametrize(("era", "count"), [("modern", 0), ("legacy", 1)])
def test_a_call_that_takes_too_long_is_cancelled(serve, era, count):
    server, mcp = serve(era, timeout=0.2)
    mcp.tools()
    done = threading.Event()

    def keep_alive(handler, message):
        handler.start_events()
        while not done.wait(0.05):
            try:
                handler.wfile.write(b": still here\n\n")
            except OSError:
                return

    mcp._settings = mcp._settings.__class__(**{**vars(mcp._settings), "limits": http.Limits(5, 0.2, 0.4)})
    server.on("tools/call", keep_alive)
    with pytest.raises(ai.MCPError) as caught:
        mcp.call("add", a=1, b=2)
    done.set()
    assert (caught.value.code, caught.value.maybe_processed) == ("timeout", True)
    assert server.methods().count("notifications/cancelled") == count
    mcp._settings = ai.mcp(server.url)._settings
    assert mcp.call("add", a=1, b=2).text == "3"


def test_a_call_that_is_interrupted_is_cancelled(serve, monkeypatch):
    server, mcp = serve("legacy", "sse")
    mcp.tools()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(http, "iter_events", interrupt)
    with pytest.raises(KeyboardInterrupt):
        mcp.call("add", a=1, b=2)
    assert server.params_of("notifications/cancelled")[0]["requestId"] > 1


def test_a_cancelled_call_of_a_server_that_is_gone_is_only_the_timeout(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    done = threading.Event()

    def stop(handler, message):
        server.server_close()
        done.wait(20)

    mcp._settings = mcp._settings.__class__(**{**vars(mcp._settings), "limits": http.Limits(5, 0.2, 5)})
    server.on("tools/call", stop)
    server.on("notifications/cancelled", hang_up)
    try:
        with pytest.raises(ai.MCPError) as caught:
            mcp.call("add", a=1, b=2)
    finally:
        done.set()
    assert caught.value.code == "timeout"


# Streams.


def test_a_stream_that_ends_without_a_blank_line_is_complete(serve):
    server, mcp = serve("modern")

    def unended(handler, message):
        handler.start_events()
        handler.wfile.write(f"data: {json.dumps(answer(message, text_result('3')))}".encode())
        handler.close_connection = True

    server.on("tools/call", unended)
    assert mcp.call("add", a=1, b=2).text == "3"


def test_a_stream_that_stalls_is_a_timeout_and_not_resumed(serve):
    server, mcp = serve("legacy", timeout=0.2)
    done = threading.Event()

    def stall(handler, message):
        handler.start_events()
        handler.event("", "id: 42\n")
        done.wait(20)
        handler.close_connection = True

    server.on("tools/call", stall)
    try:
        with pytest.raises(ai.MCPError) as caught:
            mcp.call("add", a=1, b=2)
    finally:
        done.set()
    assert caught.value.code == "timeout"
    assert "GET" not in {method for method, _, _ in server.received}
    assert server.methods().count("notifications/cancelled") == 1


def test_a_token_that_is_refused_on_the_way_is_an_error_of_its_own(serve):
    server, mcp = serve("legacy")
    server.on("tools/call", first_part)
    server.on("GET", send(401, b"", "text/plain"))
    with pytest.raises(ai.AuthenticationError):
        mcp.call("add", a=1, b=2)


def first_part(handler, message):
    handler.start_events()
    handler.event("", "id: 41\n")
    handler.event("", "id: 42\nretry: 250\n")
    handler.close_connection = True


def test_a_stream_that_ends_early_is_resumed_where_it_ended(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    server.on("tools/call", first_part)
    server.on("GET", lambda handler, _: handler.send_events([answer({"id": mcp_id(server)}, text_result("late"))]))
    assert mcp.call("add", a=1, b=2).text == "late"
    ((_, headers, _),) = [one for one in server.received if one[0] == "GET"]
    assert (headers["Last-Event-ID"], headers["Accept"]) == ("42", "text/event-stream")
    assert headers["Mcp-Session-Id"]
    assert server.slept == [0.25]
    assert len(server.params_of("tools/call")) == 1


def mcp_id(server):
    return next(message["id"] for _, _, message in server.received if message and message["method"] == "tools/call")


def test_a_stream_is_resumed_twice_at_most(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    server.on("tools/call", first_part)
    server.on("GET", first_part, first_part)
    with pytest.raises(ai.MCPError, match="ended without an answer"):
        mcp.call("add", a=1, b=2)
    assert server.slept == [0.25, 0.25]


def test_a_stream_that_cannot_be_resumed_is_an_error(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    server.on("tools/call", first_part)
    with pytest.raises(ai.MCPError, match="status 405"):
        mcp.call("add", a=1, b=2)


def cut(handler, message):
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.event("", "id: 42\n")
    handler.close_connection = True


@pytest.mark.parametrize(("era", "resumes"), [("modern", 0), ("legacy", 1)])
def test_a_stream_that_breaks_off_is_resumed_in_a_session_only(serve, era, resumes):
    server, mcp = serve(era)
    mcp.tools()
    server.on("tools/call", cut)
    server.on("GET", lambda handler, _: handler.send_events([answer({"id": mcp_id(server)}, text_result("late"))]))
    if resumes:
        assert mcp.call("add", a=1, b=2).text == "late"
        assert server.slept == [1.0]
    else:
        with pytest.raises(ai.MCPError):
            mcp.call("add", a=1, b=2)
        assert server.slept == []


def test_what_a_server_asks_on_the_way_is_answered(serve):
    server, mcp = serve("legacy")
    mcp.tools()

    def ask_first(handler, message):
        asked = [{"jsonrpc": "2.0", "id": f"s{i}", "method": method} for i, method in enumerate(("ping", "roots/list"))]
        told = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        handler.send_events([*asked, told, {"no": "method"}, answer(message, text_result("done"))])

    server.on("tools/call", ask_first)
    server.on(None, send(400, b"no", "text/plain"))
    assert mcp.call("add", a=1, b=2).text == "done"
    replies = [message for _, _, message in server.received if message and "method" not in message]
    assert replies[0] == {"jsonrpc": "2.0", "id": "s0", "result": {}}
    assert replies[1]["error"]["code"] == -32601
    mcp.tools()
    assert server.methods().count("tools/list") == 2


def test_the_connection_of_a_stream_is_kept(serve, patient):
    server, mcp = serve("legacy", "sse")

    def chunked(handler, message):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        data = f"data: {json.dumps(answer(message, text_result('3')))}\n\n".encode()
        handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        ports.append(handler.client_address)

    ports = []
    mcp.tools()
    server.on("tools/call", chunked, chunked)
    assert [mcp.call("add").text, mcp.call("add").text] == ["3", "3"]
    assert ports[0] == ports[1]


def test_a_reply_that_cannot_be_delivered_does_not_end_the_call(serve):
    server, mcp = serve("legacy")
    mcp.tools()
    ping = {"jsonrpc": "2.0", "id": "s0", "method": "ping"}
    server.on("tools/call", lambda handler, message: handler.send_events([ping, answer(message, text_result("done"))]))
    server.on(None, hang_up)
    assert mcp.call("add", a=1, b=2).text == "done"


@pytest.mark.parametrize("style", ["json", "sse"])
def test_an_id_that_became_text_is_that_of_the_request(serve, style):
    server, mcp = serve(style=style)

    def reply(handler, message):
        sent = answer({"id": str(message["id"])}, text_result("done"))
        handler.send_events([sent]) if style == "sse" else handler.send_json(sent)

    server.on("tools/call", reply)
    assert mcp.call("add", a=1, b=2).text == "done"


def test_an_error_without_an_id_is_the_answer(serve):
    server, mcp = serve()
    server.on("tools/call", send(200, {"jsonrpc": "2.0", "id": None, "error": {"message": "the database is down"}}))
    with pytest.raises(ai.MCPError, match=r"refused the request: the database is down$") as caught:
        mcp.call("add", a=1, b=2)
    assert caught.value.code == ""


def test_a_result_that_is_none_may_be_that_of_a_tool_that_ran(serve):
    server, mcp = serve()
    server.on("tools/call", send(200, lambda message: answer(message, [1])))
    with pytest.raises(ai.MCPError, match=r"an answer has no result \(tool add\)") as caught:
        mcp.call("add", a=1, b=2)
    assert caught.value.maybe_processed


def test_a_total_limit_that_expires_names_the_server_and_the_tool(serve):
    done = threading.Event()
    server, mcp = serve(timeout=ai.Timeout(read=5, total=0.3))
    mcp.tools()
    server.on("tools/call", lambda handler, message: done.wait(20) and hang_up(handler, message))
    with pytest.raises(ai.MCPError) as caught:
        mcp.call("add", a=1, b=2)
    done.set()
    assert str(caught.value) == ("MCP server '127.0.0.1': no complete answer within 0.3 s; raise timeout= (tool add)")


def test_an_answer_may_stand_in_a_list(serve):
    server, mcp = serve("legacy")
    note = {"jsonrpc": "2.0", "method": "notifications/message"}
    server.on("tools/list", send(200, lambda message: [note, answer(message, {"tools": []})]))
    assert mcp.tools() == []


def test_a_message_that_is_too_long_is_not_read(serve, monkeypatch):
    server, mcp = serve("modern")
    mcp.tools()
    monkeypatch.setattr(http, "MAX_MESSAGE", 1000)
    server.on("tools/call", send(200, lambda message: answer(message, text_result("x" * 100_000))))
    with pytest.raises(ai.MCPError, match="longer than"):
        mcp.call("add", a=1, b=2)


# Where and how.


def test_a_redirect_within_the_origin_is_followed_once(serve):
    server, mcp = serve("modern", token="secret-token")
    server.on("server/discover", send(307, b"", "text/plain", Location="/other"))
    assert len(mcp.tools()) == 3
    server.on("tools/list", send(307, b"", "text/plain", Location="/third"))
    mcp._cached = None
    with pytest.raises(ai.MCPError, match="/third"):
        mcp.tools()
    assert {headers["Authorization"] for _, headers, _ in server.received} == {"Bearer secret-token"}


def test_a_redirect_to_another_port_is_not_followed(serve):
    server, mcp = serve("modern", token="secret-token")
    other, _ = serve("modern")
    server.on("server/discover", send(307, b"", "text/plain", Location=other.url))
    with pytest.raises(ai.MCPError, match=other.url):
        mcp.tools()
    assert other.received == []


def test_a_token_and_headers_are_sent_with_every_request(serve):
    server, mcp = serve("legacy", token="secret-token", headers={"X-Team": "blue"})
    mcp.call("add", a=1, b=2)
    mcp.close()
    assert {(headers["Authorization"], headers["X-Team"]) for _, headers, _ in server.received} == {
        ("Bearer secret-token", "blue")
    }


def test_a_token_function_is_called_for_each_request_and_again_when_refused(serve):
    tokens = iter(["one", "two", "three"])
    server, mcp = serve("modern", token=lambda: next(tokens))
    server.on("server/discover", send(401, b"", "text/plain"))
    mcp.tools()
    assert [headers["Authorization"] for _, headers, _ in server.received] == [
        "Bearer one",
        "Bearer two",
        "Bearer three",
    ]


def test_a_token_function_that_has_no_other_token_is_not_asked_for_ever(serve):
    server, mcp = serve("modern", token=lambda: "one")
    server.on("server/discover", send(401, b"", "text/plain"))
    with pytest.raises(ai.AuthenticationError):
        mcp.tools()
    assert len(server.received) == 1


@pytest.mark.parametrize("token", ["", 7, "a\nb"])
def test_a_token_function_must_return_a_token(serve, token):
    _, mcp = serve("modern", token=lambda: token)
    with pytest.raises(ai.ConfigurationError, match="token"):
        mcp.tools()


def test_a_token_function_that_fails_is_named_without_what_it_said(serve):
    def vault():
        raise KeyError("secret-password")

    server, mcp = serve("modern", token=vault)
    with pytest.raises(ai.AuthenticationError, match=r"'127\.0\.0\.1': token: vault failed \(KeyError, ") as caught:
        mcp.tools()
    assert "secret" not in "".join(traceback.format_exception(caught.type, caught.value, caught.tb))
    assert server.received == []


def test_a_token_function_may_raise_errors_of_the_package(serve):
    def vault():
        raise ai.ConfigurationError("no vault")

    with pytest.raises(ai.ConfigurationError, match="no vault"):
        serve("modern", token=vault)[1].tools()


def test_auth_signs_every_request(serve):
    def sign(request):
        request.headers["X-Signature"] = f"{request.method} {len(request.body or b'')}"
        return request

    server, mcp = serve("legacy", auth=sign)
    mcp.call("add", a=1, b=2)
    mcp.close()
    signatures = [headers["X-Signature"] for _, headers, _ in server.received]
    assert signatures[-1] == "DELETE 0"
    assert len({*signatures}) > 2


def test_auth_may_be_user_and_password(serve):
    server, mcp = serve("modern", auth=("me", "secret"))
    mcp.tools()
    assert {headers["Authorization"] for _, headers, _ in server.received} == {"Basic bWU6c2VjcmV0"}


def test_auth_that_fails_is_an_error_about_signing_in(serve):
    def sign(request):
        raise OSError("secret")

    with pytest.raises(ai.AuthenticationError, match=r"'127\.0\.0\.1': auth: sign failed"):
        serve("modern", auth=sign)[1].tools()


def test_a_proxy_that_is_none_is_a_mistake_in_the_configuration(serve):
    _, mcp = serve("modern")
    mcp._connections = Connections(proxies={"http": "http://"})
    with pytest.raises(ai.ConfigurationError, match="proxy"):
        mcp.tools()


def test_an_unreachable_server_is_an_error_that_names_it():
    mcp = ai.mcp("http://127.0.0.1:9/mcp", name="files")
    with pytest.raises(ai.MCPError, match="'files'") as caught:
        mcp.tools()
    assert (caught.value.code, caught.value.maybe_processed) == ("closed", False)
    assert "ConnectionRefused" in caught.value.reason


def test_a_session_of_the_user_is_used_and_stays_open(serve):
    session = requests.Session()
    session.headers["X-Mine"] = "1"
    server, mcp = serve("modern", session=session)
    mcp.tools()
    mcp.close()
    assert {headers["X-Mine"] for _, headers, _ in server.received} == {"1"}
    assert mcp.tools()


# The first revision.


def test_a_server_of_the_first_revision_can_be_named_as_such(serve):
    server, mcp = serve("old", transport="sse")
    assert mcp.call("add", a=1, b=2).text == "3"
    assert server.methods()[0] == "initialize"


def test_with_transport_http_the_first_revision_is_not_tried(serve):
    server, mcp = serve("old", transport="http")
    with pytest.raises(ai.MCPError, match="status 404: not found"):
        mcp.tools()
    assert "GET" not in {method for method, _, _ in server.received}


def test_a_redirect_of_a_message_leaves_the_stream_where_it_is(serve):
    server, mcp = serve("old", transport="sse")
    mcp.tools()

    def redirect(handler, message):
        handler.send_body(307, b"", "text/plain", {"Location": handler.path})

    server.on("tools/call", redirect)
    assert mcp.call("add", a=1, b=2).text == "3"
    assert mcp._peer._wire._endpoint.url == server.url


@pytest.mark.parametrize("place", ["http://127.0.0.1:1/messages", "https://elsewhere.example/x"])
def test_a_stream_that_names_another_server_is_refused(serve, place):
    server, mcp = serve("old", transport="sse")

    def name(handler, _):
        handler.start_events()
        handler.event(place, "event: endpoint\n")
        handler.close_connection = True

    server.on("GET", name)
    with pytest.raises(ai.MCPError, match="same origin"):
        mcp.tools()


@pytest.mark.parametrize("response", [send(404, b"", "text/plain"), send(200, b"", "text/html")])
def test_what_is_no_event_stream_is_refused(serve, response):
    server, mcp = serve("old", transport="sse")
    server.on("GET", response)
    with pytest.raises(ai.MCPError, match="answered with status"):
        mcp.tools()


def test_calls_in_flight_are_lost_with_the_stream_and_the_next_opens_another(serve):
    server, mcp = serve("old", transport="sse")
    mcp.tools()

    def end(handler, message):
        server.old_streams[handler.path].put(None)
        handler.send_body(202, b"")

    server.on("tools/call", end)
    with pytest.raises(ai.MCPError, match="stream ended") as caught:
        mcp.call("add", a=1, b=2)
    assert caught.value.maybe_processed
    assert mcp.call("add", a=1, b=2).text == "3"
    assert server.methods().count("initialize") == 2


def test_a_refused_post_of_the_first_revision_is_an_error(serve):
    server, mcp = serve("old", transport="sse")
    mcp.tools()
    server.on("tools/call", send(400, b"too long", "text/plain"))
    with pytest.raises(ai.MCPError, match="too long") as caught:
        mcp.call("add", a=1, b=2)
    assert not caught.value.maybe_processed


@pytest.mark.parametrize("response", [send(202, b""), hang_up])
def test_what_a_server_of_the_first_revision_asks_is_answered(serve, response):
    server, mcp = serve("old", transport="sse")
    mcp.tools()
    replied = threading.Event()

    def ask(handler, message):
        outbox = server.old_streams[handler.path]
        outbox.put({"jsonrpc": "2.0", "method": "notifications/message"})
        outbox.put({"jsonrpc": "2.0", "id": "s9", "method": None})
        outbox.put({"jsonrpc": "2.0", "id": "s0", "method": "ping"})
        handler.send_body(202, b"")
        replied.wait(20)
        outbox.put(answer(message, text_result("done")))

    def take(handler, message):
        response(handler, message)
        replied.set()

    server.on("tools/call", ask)
    server.on(None, take)
    assert mcp.call("add", a=1, b=2).text == "done"


def test_a_stream_that_breaks_off_loses_the_calls_in_flight(serve):
    server, mcp = serve("old", transport="sse")

    def chunked(handler, _):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Content-Length", "10000")
        handler.end_headers()
        handler.event("/messages?id=broken", "event: endpoint\n")
        handler.close_connection = True

    server.on("GET", chunked)
    server.on("initialize", send(202, b""))
    with pytest.raises(ai.MCPError, match="broke off"):
        mcp.tools()


def test_a_connection_that_ends_again_and_again_is_not_opened_for_ever(serve):
    clock = [0.0]
    _, mcp = serve("old", transport="sse")
    mcp._peer._clock = lambda: clock[0]
    for _ in range(4):
        mcp._peer.start()
        mcp._peer._wire.close()
    with pytest.raises(ai.MCPError, match="ended 4 times"):
        mcp.tools()
    clock[0] = 61.0
    assert len(mcp.tools()) == 3


def test_many_threads_share_one_start(serve):
    server, mcp = serve("legacy")
    results = []
    threads = [
        threading.Thread(target=functools.partial(lambda i: results.append(mcp.call("add", a=i, b=i).text), i))
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, results)) == [2 * i for i in range(8)]
    assert server.methods().count("initialize") == server.methods().count("tools/list") == 1
