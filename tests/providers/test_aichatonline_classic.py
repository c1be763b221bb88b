"""The older AiChatOnline: events of the AI Engine plugin."""

from __future__ import annotations

import json
import re
import threading

import pytest

from aichatkit import Client
from aichatkit.errors import (
    BadResponseError,
    EmptyAnswerError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.messages import parse_messages
from aichatkit.providers.aichatonline_classic import AiChatOnlineClassic
from aichatkit.sandbox import RawServer
from aichatkit.sandbox.raw import chunk, chunked_head

HOME = "https://aichatonline.org"
END = {"type": "end", "data": '{"success": true}'}


def stream_of(*records):
    return "".join(f"data: {json.dumps(record)}\n\n" for record in records).encode()


def live(text):
    return {"type": "live", "data": text}


def test_it_is_known_not_to_answer_today():
    assert AiChatOnlineClassic.working is False


def test_the_request_is_that_of_the_plugins_own_page():
    turns = parse_messages([{"role": "system", "content": "Be brief."}, "Hi"])
    request = AiChatOnlineClassic().build_request(turns, "gpt-3.5-turbo")
    assert (request.method, request.url) == ("POST", f"{HOME}/chatgpt/wp-json/mwai-ui/v1/chats/submit")
    assert request.headers == {
        "Accept": "text/event-stream",
        "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
        "Origin": HOME,
        "Referer": f"{HOME}/chatgpt/chat/",
        "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/119.0",
    }
    body = dict(request.json)
    assert re.fullmatch("[a-z0-9]{16}", body["session"])
    assert re.fullmatch("[a-z0-9]{10}", body["chatId"])
    body["session"] = body["chatId"] = "*"
    assert list(body.items()) == [
        ("botId", "default"),
        ("customId", None),
        ("session", "*"),
        ("chatId", "*"),
        ("contextId", 7),
        ("messages", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]),
        ("newMessage", "Hi"),
        ("newImageId", None),
        ("stream", True),
    ]


def test_live_events_are_the_answer_and_end_ends_it(asks):
    reply = asks("aichatonline-classic", stream_of(live(" Hel"), {"type": "status"}, live("lo"), END, live("more")))
    assert (reply.text, reply.complete, reply.finish_reason) == (" Hello", True, "stop")


def test_one_object_is_the_answer_of_a_site_that_does_not_stream(asks):
    reply = asks("aichatonline-classic", b'{"success": true, "reply": "Hello!"}', content_type="application/json")
    assert (reply.text, reply.complete) == ("Hello!", True)


def test_a_piece_is_handed_out_before_the_next_is_sent(policy):
    seen = threading.Event()
    script = [chunked_head(), chunk(stream_of(live("Hello"))), seen, chunk(stream_of(live("!"), END)), chunk(b"")]
    with (
        RawServer(script) as server,
        Client(model="aichatonline-classic", base_url=server.url, retry=policy, timeout=5) as client,
    ):
        stream = iter(client.stream("Hi"))
        assert next(stream) == "Hello"
        seen.set()
        assert list(stream) == ["!"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (stream_of(END), EmptyAnswerError),
        (stream_of({"type": "error", "data": "It broke."}), ServerError),
        (stream_of({"type": "error", "data": {"code": "insufficient_quota"}}), QuotaExceededError),
        (stream_of({"type": "error"}), ServerError),
        (stream_of({"error": {"code": 429}}), RateLimitError),
        (b'{"success": false, "message": "No."}', ServerError),
        (b'{"success": true, "reply": null}', BadResponseError),
        (stream_of({"type": "live"}), BadResponseError),
        (stream_of({"type": "live", "data": {"x": 1}}), BadResponseError),
        (stream_of([1]), BadResponseError),
        (b"", StreamInterruptedError),
        (stream_of(live("You have reached your daily limit."), END), RateLimitError),
    ],
)
def test_whatever_is_no_answer_is_an_error(asks, body, kind):
    with pytest.raises(kind) as caught:
        asks("aichatonline-classic", body)
    assert (caught.value.provider, caught.value.partial) == ("aichatonline-classic", "")


@pytest.mark.parametrize(
    ("ending", "kind"),
    [({"type": "error", "data": "It broke."}, ServerError), ({"type": "status"}, StreamInterruptedError)],
)
def test_what_came_before_a_failure_is_kept(asks, ending, kind):
    with pytest.raises(kind) as caught:
        asks("aichatonline-classic", stream_of(live("Hel"), live("lo"), ending))
    assert caught.value.partial == "Hello"


def test_a_site_that_wants_a_nonce_of_its_page_says_so(asks):
    record = b'{"code": "rest_cookie_invalid_nonce", "message": "Cookie check failed", "data": {"status": 403}}'
    with pytest.raises(PermissionDeniedError, match="only from its pages"):
        asks("aichatonline-classic", record, status=403, content_type="application/json")


def test_a_failure_of_the_sandbox_is_told(client, sandbox):
    sandbox.script("error-200")
    with pytest.raises(ServerError, match="The server had an error"):
        client.ask("Hi", model="aichatonline-classic", retry=0)
