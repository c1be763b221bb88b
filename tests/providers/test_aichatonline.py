"""AiChatOnline: a token for each answer, then JSON objects line by line among other lines."""

from __future__ import annotations

import json
import re
import threading

import pytest

from aichatkit import Client
from aichatkit.errors import (
    AuthenticationError,
    BadResponseError,
    BlockedError,
    EmptyAnswerError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    TokenNotFoundError,
)
from aichatkit.messages import parse_messages
from aichatkit.providers.aichatonline import AiChatOnline
from aichatkit.sandbox import RawServer
from aichatkit.sandbox.raw import chunk, chunked_head, response

HOME = "https://aichatonlineorg.erweima.ai"
ENDPOINT = f"{HOME}/aichatonline/api/chat/gpt"
TOKEN = re.compile(re.escape(f"{HOME}/api/v1/user/getUniqueId"))
GIVEN = b'{"code": 200, "msg": "success", "data": "id-1"}'
HEADERS = {
    "Accept": "*/*",
    "Accept-Language": "de,en-US;q=0.7,en;q=0.3",
    "Origin": HOME,
    "Referer": f"{HOME}/chatgpt/chat/",
    "User-Agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/119.0",
    "Content-Type": "application/json",
}


def line(text):
    return json.dumps({"code": 200, "data": {"message": text}}).encode() + b"\n"


def read(asks, body, **options):
    return asks("aichatonline", body, page=GIVEN, **options)


def sent(prompt="Hi"):
    return AiChatOnline().build_request(parse_messages(prompt), "gpt-4o-mini")


def test_it_is_known_not_to_answer_today():
    assert (AiChatOnline.working, AiChatOnline.default_model) == (False, "gpt-4o-mini")


def test_the_token_is_asked_for_with_a_canvas_and_goes_into_the_header_of_the_second_step_alone(asks, web):
    read(asks, line("Hello"))
    first, second = (call.request for call in web.calls)
    assert first.method == "GET"
    assert re.fullmatch(re.escape(f"{HOME}/api/v1/user/getUniqueId?canvas=-") + "[a-z0-9]{10}", first.url)
    assert (second.method, second.url, second.headers["UniqueId"]) == ("POST", ENDPOINT, "id-1")
    assert "UniqueId" not in first.headers
    for request in (first, second):
        assert {name: request.headers[name] for name in HEADERS} == HEADERS
        assert "br" not in request.headers.get("Accept-Encoding", "")


def test_the_body_has_a_fresh_conversation_and_the_prompt():
    bodies = [sent("Hi").json for _ in range(2)]
    assert list(bodies[0]) == ["conversationId", "prompt"]
    assert all(re.fullmatch("[a-z0-9]{10}", body["conversationId"]) for body in bodies)
    assert bodies[0]["conversationId"] != bodies[1]["conversationId"]
    assert bodies[0]["prompt"] == "Hi"


def test_several_messages_go_as_one_labelled_prompt():
    assert sent([{"role": "system", "content": "Be brief."}, "Hi"]).json["prompt"] == (
        "System: Be brief.\nUser: Hi\nAssistant:"
    )


def test_the_canvas_and_the_token_are_new_for_each_answer(client, sandbox):
    client.ask("Hi", model="aichatonline")
    client.ask("Hi", model="aichatonline")
    kinds = [request.method for request in sandbox.requests]
    canvases = {request.query["canvas"] for request in sandbox.requests if request.query}
    tokens = {request.headers["uniqueid"] for request in sandbox.requests if "uniqueid" in request.headers}
    assert (kinds, len(canvases), len(tokens)) == (["GET", "POST"] * 2, 2, 2)


def test_a_cookie_of_the_first_step_is_sent_with_the_second(online, web):
    web.get(TOKEN, body=GIVEN, headers={"Set-Cookie": "visit=7; Path=/"})
    web.post(ENDPOINT, body=line("Hello"))
    online.ask("Hi", model="aichatonline")
    assert web.calls[1].request.headers["Cookie"] == "visit=7"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"code": 200, "msg": "success", "data": None}, TokenNotFoundError),
        ({"code": 200, "data": ""}, TokenNotFoundError),
        ({"code": 200, "data": "  "}, TokenNotFoundError),
        ({"code": 200, "data": 7}, TokenNotFoundError),
        ({"code": 200, "data": {"id": "x"}}, TokenNotFoundError),
        ({"data": "two\r\nlines"}, TokenNotFoundError),
        ({"data": "idé"}, TokenNotFoundError),
        ({}, TokenNotFoundError),
        ({"code": 401, "msg": "Go away.", "data": None}, AuthenticationError),
        ({"code": 429, "msg": "Too many requests."}, RateLimitError),
        ({"code": 5001, "msg": "Busy.", "data": None}, ServerError),
        ([], BadResponseError),
        (None, BadResponseError),
    ],
    ids=str,
)
def test_a_handshake_without_a_token_is_an_error_and_nothing_is_posted(asks, web, answer, kind):
    with pytest.raises(kind) as caught:
        asks("aichatonline", line("Hello"), page=json.dumps(answer).encode())
    assert caught.value.provider == "aichatonline"
    assert len(web.calls) == 1


def test_a_failed_handshake_is_tried_again(client, sandbox, slept):
    sandbox.says("Hello!")
    sandbox.script("token-500", None)
    assert client.ask("Hi", model="aichatonline").text == "Hello!"
    assert [request.method for request in sandbox.requests] == ["GET", "GET", "POST"]
    assert len(slept) == 1


def test_a_null_token_of_the_sandbox_is_told(client, sandbox):
    sandbox.script("token-null")
    with pytest.raises(TokenNotFoundError):
        client.ask("Hi", model="aichatonline")


def test_a_challenge_page_in_the_place_of_the_token_is_a_block(online, web):
    web.get(TOKEN, body="<title>Just a moment...</title>", status=403)
    with pytest.raises(BlockedError):
        online.ask("Hi", model="aichatonline")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (line("Hello") + line(" world"), "Hello world"),
        (line(" ") + line(" Hello ") + line("\n"), "  Hello \n"),
        (b": ping\n\nnot json\n" + line("a") + b'{"code": 200, "data": null}\n{"data": 1}\n' + line("b"), "ab"),
        (b"data: " + line("a") + b"\ndata:" + line("b") + b"data: [DONE]\n", "ab"),
        (line("a") + b'"text"\n[1]\nnull\n7\n{"code": 200, "msg": "done", "data": null}', "a"),
        (line("a") + b'{"data": {"message": null}}\n{"data": {"message": ""}}\n{"data": {}}\n', "a"),
        (line("été 🌞").replace(b"\n", b"\r\n") + line("!").strip(), "été 🌞!"),
        (b'{"code": 100000, "data": {"message": "odd code"}}\n', "odd code"),
    ],
    ids=["lines", "blanks", "noise", "prefix", "other JSON", "no text", "line ends", "code"],
)
def test_the_texts_of_the_lines_are_the_answer(asks, body, text):
    reply = read(asks, body)
    assert (reply.text, reply.complete) == (text, None)


@pytest.mark.parametrize("fault", ["noise", "data-prefix", "split,size=1", "split,size=7", "crlf", "bom", "gzip"])
def test_the_sandbox_may_disturb_the_lines(client, sandbox, fault):
    sandbox.says("Été — how are you? 🌞")
    sandbox.script(fault)
    assert client.ask("Hi", model="aichatonline").text == "Été — how are you? 🌞"


def test_a_piece_is_handed_out_before_the_next_is_sent(policy):
    seen = threading.Event()
    # The second line begins with the first piece and ends with the last one.
    half = line(" world")
    script = [
        *(chunked_head(), chunk(line("Hello") + half[:9]), seen),
        *(chunk(half[9:]), chunk(b"")),
    ]
    with (
        RawServer([response(GIVEN)], script) as server,
        Client(model="aichatonline", base_url=server.url, retry=policy, timeout=5) as client,
    ):
        stream = iter(client.stream("Hi"))
        assert next(stream) == "Hello"
        seen.set()
        assert list(stream) == [" world"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", EmptyAnswerError),
        (b"\n: ping\n\nnoise\n", EmptyAnswerError),
        (b'{"code": 200, "msg": "success", "data": null}\n', EmptyAnswerError),
        (b'{"code": 200, "data": {"message": ""}}\n', EmptyAnswerError),
        (b'{"code": 500, "msg": "It broke.", "data": null}', ServerError),
        (b'{"code": "429", "msg": "Slow down.", "data": null}\n', RateLimitError),
        (b'{"code": 401, "msg": "The UniqueId is not valid.", "data": {"message": ""}}\n', AuthenticationError),
        (b'{"code": 200, "msg": "You exceeded your current quota.", "data": null}\n', QuotaExceededError),
        (b'{"msg": "Something odd.", "data": null}\n', ServerError),
        (b'{"error": "It broke."}\n', ServerError),
        (b'{"data": {"message": {"text": "x"}}}\n', BadResponseError),
        (b'{"data": {"message": 7}}\n', BadResponseError),
    ],
)
def test_an_answer_without_text_is_an_error(asks, body, kind):
    with pytest.raises(kind) as caught:
        read(asks, body)
    assert (caught.value.provider, caught.value.partial) == ("aichatonline", "")


def test_an_error_object_after_text_keeps_the_text(asks):
    with pytest.raises(ServerError, match="It broke") as caught:
        read(asks, line("Hel") + b'{"code": 500, "msg": "It broke.", "data": null}\n' + line("lo"))
    assert caught.value.partial == "Hel"


def test_a_refused_token_is_replaced_once(online, web, slept):
    for token in ("one", "two"):
        web.get(re.compile(".*getUniqueId.*"), body=f'\ufeff{{"data": "{token}"}}'.encode())
    web.post(ENDPOINT, json={"code": 401, "msg": "Go away."}, status=401)
    web.post(ENDPOINT, body=line("Hello"))
    assert online.ask("Hi", model="aichatonline", retry=0).text == "Hello"
    assert (web.calls[-1].request.headers["UniqueId"], slept) == ("two", [])


def test_a_refusal_of_the_first_step_is_not_repeated(online, web):
    web.get(re.compile(".*getUniqueId.*"), json={"code": 401}, status=401)
    with pytest.raises(AuthenticationError, match="the site refused the id"):
        online.ask("Hi", model="aichatonline", retry=0)
    assert len(web.calls) == 1


def test_a_refused_token_is_an_error(asks):
    with pytest.raises(AuthenticationError):
        read(asks, b'{"code": 401, "msg": "no"}', status=401)


def test_a_limit_notice_is_no_answer(asks):
    with pytest.raises(RateLimitError) as caught:
        read(asks, line("Sorry, you've reached") + line(" your daily limit."))
    assert caught.value.action == "next"


def test_a_last_line_that_is_cut_off_is_an_interruption(asks):
    with pytest.raises(StreamInterruptedError) as caught:
        read(asks, line("Hel") + line("lo")[:-9])
    assert caught.value.partial == "Hel"
