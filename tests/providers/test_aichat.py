"""Aichat: one JSON object there, one back."""

from __future__ import annotations

import json

import pytest

from aichatkit.errors import (
    BadResponseError,
    BlockedError,
    ConfigurationError,
    EmptyAnswerError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.messages import parse_messages
from aichatkit.providers.aichat import Aichat
from aichatkit.providers.base import Options

HOME = "https://chat-gpt.org"
ENDPOINT = f"{HOME}/api/text"


def sent(prompt="Hi", **params):
    return Aichat().build_request(parse_messages(prompt), "gpt-3.5-turbo", options=Options(params=params))


def test_it_is_known_not_to_answer_today():
    assert (Aichat.working, Aichat.supports_stream) == (False, False)
    assert list(Aichat.models) == [Aichat.default_model] == ["gpt-3.5-turbo"]


def test_the_headers_are_a_browsers():
    request = sent()
    assert (request.method, request.url) == ("POST", ENDPOINT)
    assert request.headers == {
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.9",
        "Origin": HOME,
        "Referer": f"{HOME}/chat",
        "User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/118.0.0.0 Safari/537.36",
    }
    assert request.prepare().headers["Content-Type"] == "application/json"


def test_the_body_has_its_five_fields_in_order_with_their_defaults():
    assert list(sent().json.items()) == [
        ("message", "Hi"),
        ("temperature", 0.5),
        ("presence_penalty", 0),
        ("top_p", 1),
        ("frequency_penalty", 0),
    ]


def test_the_body_takes_the_callers_parameters():
    body = sent(temperature=0, presence_penalty=0.1, top_p=0.2, frequency_penalty=-1).json
    assert list(body.values())[1:] == [0, 0.1, 0.2, -1]


def test_several_messages_go_as_one_labelled_prompt():
    assert sent(["Hi", {"from": "bot", "content": "Hello!"}, "Bye"]).json["message"] == (
        "User: Hi\nAssistant: Hello!\nUser: Bye\nAssistant:"
    )


def test_another_parameter_is_refused_before_anything_is_sent(online, web):
    with pytest.raises(ConfigurationError, match="max_tokens"):
        online.ask("Hi", model="aichat", max_tokens=3)
    assert not web.calls


def test_the_callers_cookie_and_parameters_arrive(client, sandbox):
    sandbox.script("cookie-required")
    client.ask("Hi", model="aichat", headers={"Cookie": "clearance=1"}, temperature=0.9)
    request = sandbox.requests[-1]
    assert request.headers["cookie"] == "clearance=1"
    assert request.json()["temperature"] == 0.9


def test_the_message_is_the_answer(asks):
    reply = asks("aichat", b'{"response":true,"message":"  \\u00c9t\\u00e9 \\ud83c\\udf1e\\n"}')
    assert (reply.text, reply.complete, reply.finish_reason) == ("  Été 🌞\n", True, "stop")


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"response": False, "message": "Something went wrong."}, ServerError),
        ({"response": False, "message": "Slow down.", "code": 429}, RateLimitError),
        ({"response": False, "message": "You exceeded your current quota."}, QuotaExceededError),
        ({"response": False}, ServerError),
        ({"message": "I am no answer."}, ServerError),
        ({"response": None, "message": ""}, ServerError),
        ({"response": False, "error": {"code": "insufficient_quota"}}, QuotaExceededError),
        ({"response": True, "message": "x", "error": "It broke."}, ServerError),
        ({}, ServerError),
        ({"response": True}, BadResponseError),
        ({"response": True, "message": None}, BadResponseError),
        ({"response": True, "message": {"text": "x"}}, BadResponseError),
        ({"response": True, "message": ""}, EmptyAnswerError),
        ({"response": True, "message": " \n"}, EmptyAnswerError),
        ([], BadResponseError),
    ],
    ids=str,
)
def test_whatever_is_no_success_is_an_error_and_never_an_answer(asks, record, kind):
    with pytest.raises(kind) as caught:
        asks("aichat", json.dumps(record).encode(), content_type="application/json")
    assert (caught.value.provider, caught.value.partial) == ("aichat", "")


def test_the_text_of_a_failure_is_told(asks):
    with pytest.raises(ServerError, match="The server is on fire"):
        asks("aichat", b'{"response": false, "message": "The server is on fire."}')


def test_a_body_that_is_cut_short_is_an_interruption(asks):
    with pytest.raises(StreamInterruptedError):
        asks("aichat", b'{"response": true, "mess')


@pytest.mark.parametrize("status", [200, 403])
def test_a_challenge_page_is_a_block(asks, status):
    with pytest.raises(BlockedError):
        asks("aichat", b"<title>Just a moment...</title>", status=status, content_type="text/html")


def test_a_page_with_success_is_no_answer(asks):
    with pytest.raises(BadResponseError):
        asks("aichat", b"<html><title>Welcome</title></html>", content_type="text/html")


def test_a_limit_notice_is_no_answer(asks):
    with pytest.raises(RateLimitError):
        asks("aichat", b'{"response": true, "message": "You have reached your daily limit."}')


def test_a_false_response_of_the_sandbox_is_tried_again(client, sandbox, slept):
    sandbox.says("Better now.")
    sandbox.script("response-false", None)
    assert client.ask("Hi", model="aichat").text == "Better now."
    assert len(slept) == 1
