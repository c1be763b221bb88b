"""What a server asks the user during a call: forms for the function of `elicit=`, in every revision and transport."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time

import mcp_server
import pytest
from mcp_server import HTTPServer, answer, error, text_result

import aichatkit as ai
from aichatkit.chunks import ToolCall
from aichatkit.tools.functions import Toolbox
from aichatkit.tools.mcp import listener
from aichatkit.tools.mcp.inputs import Inputs

COMMAND = [sys.executable, mcp_server.__file__]
FORM = mcp_server.FORM["requestedSchema"]
ASKED = {"method": "elicitation/create", "params": mcp_server.FORM}
ACCEPTED = {"action": "accept", "content": {"age": 30, "name": "Ada"}}
CAPABILITY = {"elicitation": {"form": {}}}


def ada(message, schema):
    assert (message, schema) == ("Who?", FORM)
    return {"name": "Ada"}


@pytest.fixture
def serve():
    """Start servers of our own, closed at the end with what was opened on them."""
    servers, opened = [], []

    def start(era="modern", *, elicit=ada, **options):
        server = HTTPServer(era)
        servers.append(server)
        opened.append(ai.mcp(server.url, elicit=elicit, **options))
        opened[-1]._sleep = lambda seconds: None
        return server, opened[-1]

    yield start
    for one in opened:
        one.close()
    for server in servers:
        server.close()


def eventually(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def wants(requests, **fields):
    """Answer that input is required."""
    return lambda handler, message: handler.send_json(
        answer(message, {"resultType": "input_required", "inputRequests": requests, **fields})
    )


def done(handler, message):
    handler.send_json(answer(message, text_result("done")))


# The current revision: questions are results, and the call is sent again with the answers.


def test_a_form_is_filled_in_and_the_call_sent_again(serve):
    server, mcp = serve()
    server.on("tools/call", wants({"who": ASKED}, requestState="s1"), done)
    assert mcp.call("add", a=1, b=2).text == "done"
    first, second = server.params_of("tools/call")
    assert first["_meta"]["io.modelcontextprotocol/clientCapabilities"] == CAPABILITY
    assert "inputResponses" not in first
    assert second["inputResponses"] == {"who": ACCEPTED}
    assert (second["requestState"], second["arguments"]) == ("s1", {"a": 1, "b": 2})


def test_what_is_answered_is_for_the_next_round_only(serve):
    server, mcp = serve()
    server.on("tools/call", wants({"who": ASKED}, requestState="s1"), wants({"who": ASKED}), done)
    mcp.call("add", a=1, b=2)
    mcp.call("add", a=1, b=2)
    third, fourth = server.params_of("tools/call")[2:]
    assert "requestState" not in third
    assert "inputResponses" in third
    assert not {"requestState", "inputResponses"} & set(fourth)


def test_a_server_that_asks_again_and_again_is_given_up(serve):
    server, mcp = serve()
    server.on("tools/call", *[wants({"who": ASKED})] * 12)
    with pytest.raises(ai.MCPError, match="add still asks for input after 10 times") as caught:
        mcp.call("add", a=1, b=2)
    assert caught.value.maybe_processed
    assert len(server.params_of("tools/call")) == 11


@pytest.mark.parametrize(
    ("elicit", "request_"),
    [
        (None, ASKED),
        (ada, {"method": "sampling/createMessage", "params": {}}),
        (ada, {"method": "elicitation/create", "params": {"mode": "url", "url": "https://a.b"}}),
        (ada, {"method": "elicitation/create"}),
        (ada, "form"),
    ],
)
def test_input_that_cannot_be_given_is_an_error_of_the_tool(serve, elicit, request_):
    server, mcp = serve(elicit=elicit)
    server.on("tools/call", wants({"other": ASKED, "it": request_}))
    result = mcp.call("add", a=1, b=2)
    assert result.is_error
    assert "the server wants input that this client does not give (" in result.text
    assert len(server.params_of("tools/call")) == 1


@pytest.mark.parametrize("code", [-32021, -32042])
def test_a_tool_that_needs_what_is_not_declared_is_told_to_the_model(serve, code):
    server, mcp = serve(elicit=None)
    refusal = lambda handler, message: handler.send_json(error(message, code, "needs elicitation"), 400)  # noqa: E731
    server.on("tools/call", refusal)
    told = Toolbox([mcp]).run(ToolCall("1", "add", {"a": 1, "b": 2}))
    assert told.startswith("Error: ")
    assert "needs elicitation" in told


def test_without_a_function_nothing_is_declared(serve):
    for era, method in (("modern", "tools/list"), ("legacy", "initialize")):
        server, mcp = serve(era, elicit=None)
        mcp.tools()
        assert "elicitation" not in json.dumps(server.params_of(method))
        assert ("GET", None) not in [(kind, message) for kind, _, message in server.received]


# The function.


@pytest.mark.parametrize(
    ("given", "action"),
    [(lambda *_: None, {"action": "decline"}), (lambda *_: {}, {"action": "accept", "content": {"age": 30}})],
)
def test_none_declines_and_defaults_are_filled_in(given, action):
    assert Inputs("s", given).answer(ASKED["params"]) == action


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        (None, {"a": 1}),
        ({"properties": [1]}, {"a": 1}),
        ({"properties": {"b": 7, "c": {"default": 0}}}, {"a": 1, "c": 0}),
    ],
)
def test_a_form_that_is_odd_is_asked_all_the_same(schema, content):
    found = []
    inputs = Inputs("s", lambda message, schema: found.append((message, schema)) or {"a": 1})
    assert inputs.answer({"requestedSchema": schema})["content"] == content
    assert found == [("", schema or {})]


def fails(message, schema):
    raise ValueError("secret")


@pytest.mark.parametrize(
    ("function", "reason"),
    [(fails, "ValueError"), (lambda *_: 7, "TypeError"), (lambda *_: {"a": object()}, "TypeError")],
)
def test_a_function_that_fails_cancels_the_question(function, reason, caplog):
    with caplog.at_level(logging.WARNING):
        assert Inputs("s", function).answer(ASKED["params"]) == {"action": "cancel"}
    assert f"the function of elicit= failed ({reason}" in caplog.text
    assert "secret" not in caplog.text


def test_one_question_is_asked_at_a_time():
    asking, most = [], []

    def slow(message, schema):
        asking.append(1)
        most.append(len(asking))
        time.sleep(0.05)
        asking.pop()
        return {}

    inputs = Inputs("s", slow)
    threads = [threading.Thread(target=inputs.answer, args=({},)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_a_person_has_time_for_an_answer():
    limits = ai.mcp("https://example.org/mcp", elicit=ada)._settings
    assert (limits.limits.idle, limits.limits.total, limits.start_limits.idle) == (600, 3600, 60)
    assert ai.mcp("https://example.org/mcp", elicit=ada, timeout=5)._settings.limits.idle == 5


# Revisions with a handshake: the server asks during the call.


def ask_on_the_stream(handler, message):
    """Ask in the stream that answers the call, and answer once the reply has come."""
    handler.start_events()
    handler.event(json.dumps({"jsonrpc": "2.0", "id": "q1", **ASKED}))
    replies = lambda: [m for _, _, m in handler.server.received if m and m.get("id") == "q1"]  # noqa: E731
    assert eventually(replies)
    handler.event(json.dumps(answer(message, text_result(json.dumps(replies()[0]["result"])))))
    handler.close_connection = True


def test_a_question_in_the_stream_of_a_call_is_answered(serve):
    server, mcp = serve("legacy")
    server.on("tools/call", ask_on_the_stream)
    assert json.loads(mcp.call("add", a=1, b=2).text) == ACCEPTED
    assert server.params_of("initialize")[0]["capabilities"] == CAPABILITY


class Stream:
    """The stream of the server itself: `say` sends on it, and `opened` has the headers of each time it is opened."""

    def __init__(self):
        self.opened, self.handlers, self.ends = [], [], []

    def __call__(self, handler, message):
        end = threading.Event()
        self.opened.append(handler.headers)
        self.ends.append(end)
        handler.start_events()
        handler.wfile.flush()
        self.handlers.append(handler)
        end.wait(10)
        handler.close_connection = True

    def say(self, message, fields=""):
        self.handlers[-1].event(json.dumps(message), fields)


@pytest.fixture
def stream():
    made = Stream()
    yield made
    for end in made.ends:
        end.set()


def ask_on(stream):
    def respond(handler, message):
        stream.say({"jsonrpc": "2.0", "id": "q1", **ASKED}, "id: e1\nretry: 10\n")
        replies = lambda: [m for _, _, m in handler.server.received if m and m.get("id") == "q1"]  # noqa: E731
        assert eventually(replies)
        handler.send_json(answer(message, text_result(json.dumps(replies()[-1]["result"]))))

    return respond


def test_a_question_on_the_stream_of_the_server_is_answered(serve, stream):
    server, mcp = serve("legacy")
    server.on("GET", stream)
    server.on("tools/call", ask_on(stream))
    assert json.loads(mcp.call("add", a=1, b=2).text) == ACCEPTED
    assert stream.opened[0]["Mcp-Session-Id"]
    assert stream.opened[0]["Last-Event-ID"] is None


def test_a_stream_that_ends_is_opened_again_where_it_ended(serve, stream):
    server, mcp = serve("legacy")
    server.on("GET", stream, stream)
    server.on("tools/call", ask_on(stream))
    mcp.call("add", a=1, b=2)
    stream.ends[0].set()
    assert eventually(lambda: len(stream.handlers) == 2)
    assert stream.opened[1]["Last-Event-ID"] == "e1"
    server.on("tools/call", ask_on(stream))
    assert json.loads(mcp.call("add", a=1, b=2).text) == ACCEPTED


def test_a_new_session_has_a_stream_of_its_own(serve, stream):
    server, mcp = serve("legacy")
    server.on("GET", stream, stream)
    mcp.tools()
    server.sessions.clear()
    assert mcp.call("add", a=1, b=2).text == "3"
    assert eventually(lambda: len(stream.handlers) == 2)
    assert stream.opened[0]["Mcp-Session-Id"] != stream.opened[1]["Mcp-Session-Id"]


def test_a_server_without_such_a_stream_is_used_without(serve):
    server, mcp = serve("legacy")
    assert mcp.call("add", a=1, b=2).text == "3"
    assert [kind for kind, _, message in server.received if message is None] == ["GET"]


@pytest.fixture
def listeners():
    """List the threads of servers that were started since, whatever earlier tests have left."""
    earlier = set(threading.enumerate())
    return lambda: [
        thread for thread in threading.enumerate() if thread.name == "aichatkit-mcp" and thread not in earlier
    ]


def test_closing_ends_the_stream(serve, stream, listeners):
    server, mcp = serve("legacy")
    server.on("GET", stream)
    mcp.tools()
    assert len(listeners()) == 1
    mcp.close()
    assert eventually(lambda: not listeners())
    assert len(stream.opened) == 1


def test_a_stream_that_is_refused_or_broken_ends_the_listening(serve, monkeypatch, listeners):
    monkeypatch.setattr(listener, "_RETRY_SECONDS", 0.01)

    def empty(handler, message):
        handler.send_events([])

    def broken(handler, message):
        handler.send_body(200, b"data: {}", "text/event-stream", {"Transfer-Encoding": "chunked"})
        handler.close_connection = True

    def hang_up(handler, message):
        handler.close_connection = True

    server, mcp = serve("legacy")
    server.on("GET", empty, broken, hang_up)
    mcp.tools()
    assert eventually(lambda: not listeners())
    server.on("GET", *[empty] * 9)
    mcp.close()
    mcp.tools()
    assert eventually(lambda: not listeners())
    assert len([kind for kind, _, message in server.received if kind == "GET"]) == 3 + 4


def test_a_stream_that_opens_only_once_the_server_is_closed_is_left(serve, monkeypatch, listeners):
    monkeypatch.setattr(listener, "_OPEN_SECONDS", 0.01)
    may_open = threading.Event()

    def late(handler, message):
        may_open.wait(10)
        handler.send_events([])

    server, mcp = serve("legacy")
    server.on("GET", late)
    mcp.tools()
    mcp.close()
    may_open.set()
    assert eventually(lambda: not listeners())


def test_a_server_of_the_first_revision_may_ask(serve):
    server, mcp = serve("old")

    def respond(handler, message):
        outbox = handler.server.old_streams[handler.path]
        handler.send_body(202, b"")
        outbox.put({"jsonrpc": "2.0", "id": "q1", **ASKED})
        replies = lambda: [m for _, _, m in handler.server.received if m and m.get("id") == "q1"]  # noqa: E731
        assert eventually(replies)
        outbox.put(answer(message, text_result(json.dumps(replies()[0]["result"]))))

    server.on("tools/call", respond)
    assert json.loads(mcp.call("add", a=1, b=2).text) == ACCEPTED


def test_a_process_may_ask():
    with ai.mcp(command=[*COMMAND, "--era", "legacy", "form"], elicit=ada) as mcp:
        assert json.loads(mcp.call("fail").text) == ACCEPTED


def test_a_question_does_not_hold_up_other_calls():
    may_answer = threading.Event()

    def slow(message, schema):
        may_answer.wait(10)
        return {"name": "Ada"}

    with ai.mcp(command=[*COMMAND, "--era", "legacy", "form"], elicit=slow) as mcp:
        results = []
        asking = threading.Thread(target=lambda: results.append(mcp.call("fail").text))
        asking.start()
        assert mcp.call("add", a=1, b=2).text == "3"
        assert results == []
        may_answer.set()
        asking.join(10)
        assert json.loads(results[0]) == ACCEPTED
