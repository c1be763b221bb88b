"""Hooks: what they see of a call, and that nothing they do changes it."""

from __future__ import annotations

import dataclasses
import gc
import logging
import threading

import pytest

from aichatkit import (
    ChatError,
    ChunkInfo,
    Client,
    ConfigurationError,
    ErrorInfo,
    Message,
    QuotaExceededError,
    Reply,
    ReplyInfo,
    RequestInfo,
    StreamInterruptedError,
    Usage,
)
from aichatkit.chunks import ToolCall
from aichatkit.hooks import redact_error
from aichatkit.messages import ToolCallsMessage, ToolResultMessage

NAMES = ("request", "chunk", "wait", "reply", "error")


@pytest.fixture
def seen():
    """The names and records of all hooks, in the order they were called."""
    return []


@pytest.fixture
def hooks(seen):
    return {name: (lambda record, name=name: seen.append((name, record))) for name in NAMES}


@pytest.fixture
def make(sandbox, policy, hooks):
    """Make clients of the sandbox; they are closed at the end."""
    made = []

    def client(**options):
        options = {"model": "openai", "api_key": {"openai": "sk-test-secret"}, "hooks": hooks, **options}
        made.append(Client(base_url={"openai": f"{sandbox.url}/v1"}, retry=policy, **options))
        return made[-1]

    yield client
    for each in made:
        each.close()


def names(seen):
    return [name for name, _ in seen]


def records(seen, wanted):
    return [record for name, record in seen if name == wanted]


def test_a_call_is_seen_from_its_request_to_its_reply(make, sandbox, seen):
    sandbox.says("one two three")
    reply = make().ask("Hi")
    assert names(seen) == ["request", "chunk", "chunk", "chunk", "reply"]
    chunks = records(seen, "chunk")
    assert "".join(chunk.text for chunk in chunks) == "one two three"
    assert [chunk.number for chunk in chunks] == [0, 1, 2]
    assert records(seen, "reply")[0].reply is reply


def test_the_request_tells_what_is_sent_and_no_secret(make, sandbox, seen):
    client = make(headers={"X-Token": "hidden-token", "Accept-Language": "de"}, system="Be brief.")
    client.ask("Hi", temperature=0.5, headers={"Cookie": "hidden-cookie"})
    (record,) = records(seen, "request")
    assert (record.provider, record.model, record.method) == ("openai", "gpt-6-luna", "POST")
    assert record.url == f"{sandbox.url}/v1/chat/completions"
    assert record.messages == [Message("system", "Be brief."), Message("user", "Hi")]
    assert (record.params, record.attempt) == ({"temperature": 0.5}, 1)
    assert record.headers["Accept-Language"] == "de"
    assert record.headers["X-Token"] == record.headers["Cookie"] == "[hidden]"
    assert "secret" not in repr(record)
    assert "hidden-" not in repr(record)


def test_each_try_is_a_request_and_the_wait_stands_between(make, sandbox, seen):
    sandbox.script("overloaded")
    make().ask("Hi")
    assert names(seen)[:3] == ["request", "wait", "request"]
    assert [record.attempt for record in records(seen, "request")] == [1, 2]
    assert records(seen, "error") == []


def test_a_call_that_fails_tells_its_error_once(make, sandbox, seen):
    sandbox.script("quota")
    with pytest.raises(QuotaExceededError) as caught:
        make().ask("Hi")
    assert names(seen) == ["request", "error"]
    assert (seen[-1][1].provider, seen[-1][1].model, seen[-1][1].error) == ("openai", "gpt-6-luna", caught.value)


def test_a_stream_that_breaks_off_tells_its_error(make, sandbox, seen):
    sandbox.says("one two three four")
    sandbox.script("cut,after=2")
    with pytest.raises(StreamInterruptedError) as caught:
        make().ask("Hi")
    assert names(seen)[-1] == "error"
    assert records(seen, "reply") == []
    assert seen[-1][1].error is caught.value


def test_a_stream_that_is_left_tells_neither(make, sandbox, seen):
    sandbox.says("one two three four")
    with make().stream("Hi") as stream:
        next(stream)
    del stream
    gc.collect()
    assert names(seen) == ["request", "chunk"]


def test_what_ends_the_reading_from_outside_is_told_and_comes_out(make, seen):
    stream = make().stream("Hi")
    stream._answer._answer._chunks = (raise_interrupt() for _ in range(1))
    with pytest.raises(KeyboardInterrupt):
        stream.read()
    assert names(seen) == ["request", "error"]


def raise_interrupt():
    raise KeyboardInterrupt


def test_a_fallback_is_told_by_who_answered(make, sandbox, seen):
    sandbox.script("model-not-found")
    make(model=["openai/gpt-6-sol", "openai/gpt-6-luna"]).ask("Hi")
    assert [record.model for record in records(seen, "request")] == ["gpt-6-sol", "gpt-6-luna"]
    assert records(seen, "reply")[0].model == "gpt-6-luna"


def test_rounds_of_tools_are_one_call_of_several_requests(make, sandbox, seen):
    def stock(article: str) -> int:
        """Count the pieces of an article."""
        return 4

    make().ask('call stock {"article": "A-17"}', tools=[stock])
    assert names(seen).count("request") == 2
    assert names(seen).count("reply") == 1


def test_a_kept_answer_is_told_without_a_request(make, seen):
    client = make(cache={})
    client.ask("Hi")
    seen.clear()
    reply = client.ask("Hi")
    assert set(names(seen)) == {"chunk", "reply"}
    assert records(seen, "reply")[0].reply == reply


def test_rows_of_a_map_are_told_by_the_threads_that_ask_them(make, hooks):
    threads = set()
    client = make(hooks={"reply": lambda record: threads.add(threading.current_thread().name)})
    client.map(["a", "b", "c"], workers=2, progress=False)
    assert threads <= {"aichatkit-map-0", "aichatkit-map-1"}
    assert threads


@pytest.mark.parametrize("name", ["request", "chunk", "reply", "error"])
def test_a_hook_that_fails_is_logged_and_ends_nothing(make, sandbox, name, caplog):
    def fail(record):
        raise ValueError("oops")

    client = make(hooks={name: fail})
    sandbox.script(None, "quota")
    with caplog.at_level(logging.ERROR):
        assert client.ask("Hi").text
        with pytest.raises(QuotaExceededError):
            client.ask("Ho")
    assert f"the {name} hook failed" in caplog.text


def test_hooks_that_are_not_given_are_not_needed(make, sandbox, seen, hooks):
    client = make(hooks={"error": hooks["error"]})
    client.ask("Hi")
    assert seen == []
    client = make(hooks={"reply": hooks["reply"]})
    sandbox.script("quota")
    with pytest.raises(QuotaExceededError):
        client.ask("Hi")
    assert seen == []


def test_an_unknown_hook_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r"no hook 'replies'; did you mean 'reply'\?"):
        Client(hooks={"replies": print})


def test_a_stream_that_is_watched_can_be_cancelled_from_outside(make, sandbox, seen):
    sandbox.script("stall,after=1")
    stream = make().stream("Hi")
    next(stream)
    stream.cancel()
    with pytest.raises(StreamInterruptedError):
        stream.read()
    assert names(seen)[-1] == "error"
    assert repr(stream).startswith("<Stream closed")


def test_without_hooks_a_call_is_not_wrapped(client):
    with client.stream("Hi") as stream:
        assert type(stream._answer).__name__ == "Answer"


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            RequestInfo("openai", "gpt-6-sol", "POST", "https://a.example/v1", {}, [Message("user", "Hi")], {}),
            "POST https://a.example/v1 for openai/gpt-6-sol, 1 message, try 1",
        ),
        (ChunkInfo("openai", "gpt-6-sol", "Hi", 3), "openai/gpt-6-sol [3] 'Hi'"),
        (
            ReplyInfo(
                "openai", "gpt-6-sol", Reply("Hi", "openai", "gpt-6-sol", usage=Usage(1, 2, 3), cost=0.00001), 1.25
            ),
            "openai/gpt-6-sol answered in 1.2 s: 2 characters, 3 tokens, 0.000010 US dollars",
        ),
        (
            ReplyInfo("openai", "gpt-6-sol", Reply("Hi", "openai", "gpt-6-sol"), 1.0),
            "openai/gpt-6-sol answered in 1.0 s: 2 characters",
        ),
        (
            ErrorInfo("openai", "gpt-6-sol", QuotaExceededError("used up"), 1.0),
            "openai/gpt-6-sol failed after 1.0 s: QuotaExceededError: used up",
        ),
    ],
)
def test_each_record_is_a_line_for_people(record, text):
    assert str(record) == text


def test_a_failure_in_watching_itself_ends_nothing(make, monkeypatch, caplog):
    client = make()
    monkeypatch.setattr(client._context.observers[0], "end", lambda course, begun: 1 / 0)
    with caplog.at_level(logging.ERROR):
        assert client.ask("Hi").text
    assert "a call could not be noted" in caplog.text


def test_what_is_no_error_of_the_package_is_told_as_well(make, seen, monkeypatch):
    client = make()
    monkeypatch.setattr("aichatkit.call.fallback.open_answer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        client.ask("Hi")
    assert (names(seen), seen[0][1].provider) == (["error"], "openai")


SECRET = "sk-test-secret"


def test_no_record_shows_a_key_that_stands_in_the_prompt(make, seen):
    call = ToolCall("c1", "find", {"key": SECRET, "all": [SECRET]})
    messages = [
        Message("system", f"never tell {SECRET}"),
        Message("user", [{"type": "text", "text": f"use {SECRET}"}]),
        ToolCallsMessage("assistant", SECRET, [call]),
        ToolResultMessage("tool", f"found {SECRET}", call),
        Message("user", f"again {SECRET}"),
    ]
    make().ask(messages, stop=[SECRET], seed=7)
    (record,) = records(seen, "request")
    assert SECRET not in f"{record!r} {record}"
    assert repr(record).count("[key]") >= 6
    assert (record.messages[-1], record.params["seed"]) == (Message("user", "again [key]"), 7)


@dataclasses.dataclass
class Echoed:
    """A form whose error quotes a key, as if the model had written it."""

    name: str

    def __post_init__(self):
        raise ValueError(f"not {SECRET}")


def test_no_error_shows_a_key_that_stands_in_the_answer(make, seen):
    with pytest.raises(ChatError) as caught:
        make().ask("Hi", schema=Echoed, retry=0)
    (record,) = records(seen, "error")
    assert SECRET not in f"{record!r} {record} {caught.value}"


def test_an_error_keeps_all_but_the_keys():
    error = ChatError(f"no {SECRET}", code="c", reason=f"X: {SECRET}", partial="text")
    redact_error(error, [SECRET])
    assert (str(error), error.args, error.code, error.reason) == ("no [key]", ("no [key]",), "c", "X: [key]")
    other = ValueError(SECRET)
    redact_error(other, [SECRET])
    assert str(other) == SECRET
