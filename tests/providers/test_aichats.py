"""AiChats: bare `data: ` lines, and pictures in two steps."""

from __future__ import annotations

import base64
import json
import threading

import pytest
import responses

from aichatkit import Client, ImageResponse
from aichatkit.errors import (
    BadResponseError,
    BlockedError,
    ConfigurationError,
    EmptyAnswerError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from aichatkit.messages import parse_messages
from aichatkit.providers.aichats import AiChats
from aichatkit.sandbox import RawServer
from aichatkit.sandbox.pictures import png
from aichatkit.sandbox.raw import chunk, chunked_head

HOME = "https://ai-chats.org"
ENDPOINT = f"{HOME}/chat/send2/"
PICTURE = f"{HOME}/files/cat.png"
DRAWN = json.dumps({"data": [{"url": PICTURE}]}).encode()


def sent(prompt="Hi", model="gpt-4"):
    return AiChats().build_request(parse_messages(prompt), model)


def test_it_is_known_not_to_answer_today():
    assert AiChats.working is False
    assert (AiChats.default_model, list(AiChats.models)) == ("gpt-4", ["gpt-4", "dalle"])


def test_a_prompt_is_posted_to_the_path_with_its_slash():
    request = sent()
    assert (request.method, request.url) == ("POST", ENDPOINT)


def test_the_headers_are_a_browsers_without_anybodys_cookies():
    prepared = sent().prepare()
    assert dict(prepared.headers) == {
        "Accept": "application/json, text/event-stream",
        "Accept-Language": "en-US,en;q=0.9",
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "Origin": HOME,
        "Referer": f"{HOME}/chat/",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/127.0.0.0 Safari/537.36",
        "Content-Type": "application/json",
        "Content-Length": prepared.headers["Content-Length"],
    }


def test_one_message_goes_bare():
    assert list(sent("Où est-ce? 🌞\nThere.").json.items()) == [
        ("type", "chat"),
        ("messagesHistory", [{"from": "you", "content": "Où est-ce? 🌞\nThere."}]),
    ]


def test_the_body_is_ascii_json():
    assert sent("é🌞").prepare().body == (
        b'{"type": "chat", "messagesHistory": [{"from": "you", "content": "\\u00e9\\ud83c\\udf1e"}]}'
    )


def test_several_messages_go_as_one_labelled_prompt():
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "text": "Bye"}, {"type": "text", "text": "now"}]},
    ]
    assert sent(turns).json["messagesHistory"] == [
        {"from": "you", "content": "System: Be brief.\nUser: Hi\nAssistant: Hello!\nUser: Bye\nnow\nAssistant:"}
    ]


def test_a_picture_in_the_prompt_is_refused_before_anything_is_sent(online, web):
    part = {"type": "image_url", "image_url": {"url": "https://pics.example/a.png"}}
    with pytest.raises(ConfigurationError):
        online.ask([{"role": "user", "content": [part]}], model="aichats")
    assert not web.calls


def test_a_drawing_takes_the_last_message_only_and_another_referer():
    request = sent(["A dog", "A cat"], "dalle")
    assert request.json == {"type": "image", "messagesHistory": [{"from": "you", "content": "A cat"}]}
    assert request.headers["Referer"] == f"{HOME}/image/"


@pytest.mark.parametrize("model", ["gpt-4", "dalle-3", "DALLE"])
def test_any_other_model_chats(model):
    assert sent("Hi", model).json["type"] == "chat"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"data: Hello\n\ndata:  world\n\n", "Hello world"),
        (b"data:   Hello\ndata:  \n\n", "Hello "),
        (b"data: a\r\ndata: b\r\n", "a\rb\r"),
        (b": comment\nevent: x\ndata:no\ndata: \nid: 3\nhello\ndata: yes", "yes"),
        (b"data: {}\ndata: [1]\n", "{}[1]"),
        ("data: été 🌞\u2028x\u0085y\n".encode(), "été 🌞\u2028x\u0085y"),
    ],
    ids=["glued", "blanks", "carriage returns", "other lines", "looks like JSON", "odd line ends"],
)
def test_what_follows_the_prefix_is_glued_together(asks, body, text):
    reply = asks("aichats", body)
    assert reply.text == text
    assert reply.complete is None


def test_characters_and_lines_may_be_cut_anywhere(client, sandbox):
    sandbox.says("été 🌞!")
    sandbox.script("split,size=1")
    assert client.ask("Hi", model="aichats").text == "été 🌞!"


def test_a_piece_is_handed_out_before_the_next_is_sent(policy):
    seen = threading.Event()
    script = [
        *(chunked_head(), chunk(b"data: Hello\n\n"), seen),
        *(chunk(b"data:  world\n\n"), chunk(b"")),
    ]
    with RawServer(script) as server, Client(model="aichats", base_url=server.url, retry=policy, timeout=5) as client:
        stream = iter(client.stream("Hi"))
        assert next(stream) == "Hello"
        seen.set()
        assert list(stream) == [" world"]


@pytest.mark.parametrize("body", [b"", b"\n\n", b"data: \n\n", b"data:  \n\ndata: \r\n", b": ping\n\n", b"nothing"])
def test_an_answer_without_text_is_an_error(asks, body):
    with pytest.raises(EmptyAnswerError):
        asks("aichats", body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error": "Something broke."}', ServerError),
        (b'\n {"error": {"message": "Too many requests", "code": 429}}', RateLimitError),
        (b'{"error": "You have reached your daily limit."}', QuotaExceededError),
        (b"error: Something broke.\n", ServerError),
    ],
)
def test_an_error_object_with_success_is_an_error(asks, body, kind):
    with pytest.raises(kind):
        asks("aichats", body)


def test_an_error_object_between_the_lines_keeps_what_came(asks):
    with pytest.raises(ServerError, match="broke") as caught:
        asks("aichats", b'data: Hel\n\n{"error": "It broke."}\n\ndata: lo\n\n')
    assert caught.value.partial == "Hel"


def test_a_challenge_page_is_a_block(asks):
    with pytest.raises(BlockedError):
        asks("aichats", b"<title>Just a moment...</title>", status=403, content_type="text/html")


def test_a_refusal_without_a_page_is_a_refusal(asks):
    with pytest.raises(PermissionDeniedError):
        asks("aichats", b'{"error": "no"}', status=403)


def test_a_drawing_is_the_picture_itself_with_its_real_type(asks, web, online):
    web.get(PICTURE, body=b"GIF89a....", content_type="image/gif")
    reply = asks("aichats/dalle", DRAWN, prompt="A [cat]\nplease")
    uri = "data:image/gif;base64," + base64.b64encode(b"GIF89a....").decode()
    assert reply.images == [uri]
    assert reply.text == f"![A (cat) please]({PICTURE})"
    assert reply.complete is True


def test_a_drawing_that_is_answered_with_text_is_an_error_with_the_text(asks):
    with pytest.raises(BadResponseError, match="no image") as caught:
        asks("aichats/dalle", b"data: I cannot draw\n\n")
    assert caught.value.partial == "I cannot draw"


def test_the_picture_is_asked_for_without_the_headers_of_the_post(online, web):
    web.post(ENDPOINT, body=DRAWN)
    web.get(PICTURE, body=png("cat"), content_type="image/png")
    image = online.image("A cat", model="aichats/dalle")
    assert isinstance(image, ImageResponse)
    assert (image.urls, image.bytes()) == ([PICTURE], png("cat"))
    fetched = web.calls[1].request
    assert not {"origin", "content-type", "cookie"} & {name.lower() for name in fetched.headers}


def test_a_drawing_from_the_sandbox_can_be_saved(client, sandbox, tmp_path):
    client.image("A cat", model="aichats/dalle").save(tmp_path / "cat.jpg")
    assert (tmp_path / "cat.png").read_bytes() == png(sandbox.requests[-1].path)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": {}},
        {"data": ["x"]},
        {"data": [{}]},
        {"data": [{"url": None}]},
        {"data": [{"url": ""}]},
        {"data": [{"url": 7}]},
        [],
    ],
    ids=json.dumps,
)
def test_a_drawing_without_an_address_is_an_error(asks, record):
    with pytest.raises(BadResponseError) as caught:
        asks("aichats/dalle", json.dumps(record).encode())
    assert not isinstance(caught.value, EmptyAnswerError)
    assert caught.value.provider == "aichats"


@pytest.mark.parametrize("fault", ["missing-data", "missing-url", "picture-404"])
def test_the_sandbox_shows_the_same_faults(client, sandbox, fault):
    sandbox.script(fault)
    with pytest.raises(BadResponseError) as caught:
        client.ask("A cat", model="aichats/dalle")
    assert caught.value.provider == "aichats"
    assert caught.value.status == (404 if fault == "picture-404" else 200)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"<html>no</html>", "text/html"), (b"<html>no</html>", "image/png"), (b"", "image/png"), (b"{}", "text/json")],
)
def test_something_else_in_the_place_of_the_picture_is_an_error(online, web, body, content_type):
    web.post(ENDPOINT, body=DRAWN)
    web.get(PICTURE, body=body, content_type=content_type)
    with pytest.raises(BadResponseError) as caught:
        online.ask("A cat", model="aichats/dalle")
    assert caught.value.provider == "aichats"


def test_a_page_in_the_place_of_the_picture_answer_is_an_error(asks):
    with pytest.raises(BadResponseError):
        asks("aichats/dalle", b"<!doctype html><title>Hi</title>", content_type="text/html")


def test_the_address_of_a_picture_may_be_relative(asks, web):
    web.get("https://ai-chats.org/img/a.png", body=png("cat"), content_type="image/png")
    assert asks("aichats/dalle", b'{"data": [{"url": "/img/a.png"}]}').images[0].startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"event: error\ndata: It broke.\n\n", ServerError),
        (b'event: error\ndata: {"error": "Too many requests"}\n\n', RateLimitError),
        (b'data: {"error": "Too many requests"}\n\n', RateLimitError),
        (b'{"message": "You have reached your limit"}', RateLimitError),
        (b'{"error": "Captcha failed"}', BlockedError),
        (b"<!doctype html><title>Captcha</title>", BlockedError),
    ],
)
def test_an_error_in_the_form_of_an_event_or_a_line_is_an_error(asks, body, kind):
    with pytest.raises(kind):
        asks("aichats", body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'data: {"error"\ndata: : 1}\n', '{"error": 1}'),
        (b'data: {"error": 1, "more": 2}\n', '{"error": 1, "more": 2}'),
        (b"event: message\ndata: Hi\n", "Hi"),
    ],
)
def test_an_answer_that_speaks_of_errors_is_text(asks, body, text):
    assert asks("aichats", body).text == text


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://other.example/a.png"])
def test_a_picture_is_not_fetched_from_just_anywhere(asks, web, url):
    with pytest.raises(BlockedError):
        asks("aichats/dalle", json.dumps({"data": [{"url": url}]}).encode())
    assert [call.request.method for call in web.calls] == ["POST"]


@pytest.mark.parametrize(
    "notice",
    [
        "You have reached your daily limit. Please try again tomorrow.",
        "The request limit for today has been reached.",
        "Too many requests, please wait.",
    ],
)
def test_a_limit_notice_is_no_answer_and_nothing_of_it_comes_out(online, web, notice, slept):
    web.post(ENDPOINT, body="".join(f"data: {piece}\n\n" for piece in notice.partition(" limit")).encode())
    with pytest.raises(RateLimitError) as caught:
        online.ask("Hi", model="aichats")
    assert caught.value.partial == ""
    assert (len(web.calls), slept, caught.value.action) == (1, [], "next")


def test_after_a_limit_notice_the_next_provider_is_asked(online, web):
    web.post(ENDPOINT, body=b"data: You have reached your daily limit.\n\n")
    web.add(responses.POST, "https://chat-gpt.org/api/text", json={"response": True, "message": "Hello!"})
    assert online.ask("Hi", model=["aichats", "aichat"]).provider == "aichat"


@pytest.mark.parametrize(
    "answer",
    [
        "Too many requests is what status 429 means: the client has to slow down.",
        "You have reached your destination.",
        "Rate limits protect a service. Quota exceeded means that an allowance is used up.",
        "The",
    ],
)
def test_an_honest_answer_about_limits_comes_whole(asks, answer):
    body = "".join(f"data: {answer[start : start + 3]}\n\n" for start in range(0, len(answer), 3))
    assert asks("aichats", body.encode()).text == answer
