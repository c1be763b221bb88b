"""ChatGptt: tokens from a page, a WordPress form, one object back or events."""

from __future__ import annotations

import json
import re
import threading
from urllib.parse import parse_qsl

import pytest

from aichatkit import Client
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    EmptyAnswerError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    TokenNotFoundError,
    UnknownModelError,
)
from aichatkit.messages import parse_messages
from aichatkit.providers.base import Options
from aichatkit.providers.chatgptt import ChatGptt, find_tokens
from aichatkit.sandbox import RawServer
from aichatkit.sandbox.raw import chunk, chunked_head, response

HOME = "https://chatgptt.me"
ENDPOINT = f"{HOME}/wp-admin/admin-ajax.php"
PAGE = b'<title>Chat</title><div class="wpaicg-chat-shortcode" data-nonce="0a1b2c3d4e" data-post-id="31"></div>'
EXPIRED = "<!DOCTYPE html><title>WordPress Failure Notice</title><p>The link you followed has expired.</p>"
INVALID = '{"status": "error", "msg": "Invalid nonce. Reload the page."}'
TOKENS = {"nonce": "0a1b2c3d4e", "post_id": "31", "bot_id": "0"}
HEADERS = {
    "Accept": "application/json",
    "Origin": HOME,
    "Referer": f"{HOME}/chat",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36",
}


def read(asks, body, **options):
    return asks("chatgptt", body, page=PAGE, **options)


def sent(prompt="Hi", **tokens):
    return ChatGptt().build_request(parse_messages(prompt), "gpt-4o", options=Options(tokens={**TOKENS, **tokens}))


def events_of(*records):
    return "".join(f"data: {json.dumps(record)}\n\n" for record in records).encode()


def piece(text, reason=None):
    return {"choices": [{"delta": {"content": text}, "finish_reason": reason}]}


def test_it_is_known_not_to_answer_today():
    assert (ChatGptt.working, ChatGptt.default_model) == (False, "gpt-4o")
    assert list(ChatGptt.models) == ["gpt-4", "gpt-4o", "gpt-4o-mini"]


def test_another_model_is_refused_before_anything_is_sent(online, web):
    with pytest.raises(UnknownModelError):
        online.ask("Hi", model="chatgptt/gpt-5")
    assert not web.calls


def test_the_form_has_its_fields_in_order():
    fields = parse_qsl(sent().prepare().body, keep_blank_values=True, strict_parsing=True)
    assert [(name, value) for name, value in fields if name != "wpaicg_chat_client_id"] == [
        ("_wpnonce", "0a1b2c3d4e"),
        ("post_id", "31"),
        ("url", HOME),
        ("action", "wpaicg_chat_shortcode_message"),
        ("message", "Hi"),
        ("bot_id", "0"),
        ("chatbot_identity", "shortcode"),
        ("wpaicg_chat_history", "[]"),
    ]
    assert [name for name, _ in fields].index("wpaicg_chat_client_id") == 7


def test_the_client_id_is_ten_hex_digits_and_new_each_time():
    ids = [sent().data["wpaicg_chat_client_id"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{10}", client_id) for client_id in ids)
    assert ids[0] != ids[1]


def test_the_form_is_percent_encoded_utf_8():
    prepared = sent("Où est-ce?\nThere & here").prepare()
    assert prepared.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "&message=O%C3%B9+est-ce%3F%0AThere+%26+here&" in prepared.body


def test_earlier_turns_go_into_the_history_where_they_stay_apart():
    form = sent(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]},
            {"role": "assistant", "content": "Héllo!"},
            {"role": "user", "content": "Bye"},
        ]
    ).data
    assert form["message"] == "Bye"
    assert json.loads(form["wpaicg_chat_history"]) == ["Human: Be brief.", "Human: Hi\nthere", "AI: Héllo!"]


def test_both_steps_have_the_sites_headers_and_share_its_cookie(online, web):
    web.get(f"{HOME}/", body=PAGE, headers={"Set-Cookie": "visit=7; Path=/"})
    web.post(ENDPOINT, json={"status": "success", "data": "Hello!"})
    assert online.ask("Hi", model="chatgptt").text == "Hello!"
    page, form = (call.request for call in web.calls)
    assert (page.method, page.url, form.method, form.url) == ("GET", f"{HOME}/", "POST", ENDPOINT)
    for request in (page, form):
        assert {name: request.headers[name] for name in HEADERS} == HEADERS
    assert "Cookie" not in page.headers
    assert form.headers["Cookie"] == "visit=7"


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<div class="wpaicg-chat-shortcode" data-nonce="a" data-post-id="1">', ("a", "1", None)),
        ("<div class='x wpaicg-chat-shortcode y' data-nonce='a' data-post-id='1' data-bot-id='9'>", ("a", "1", "9")),
        ("<DIV DATA-POST-ID=1 CLASS=wpaicg-chat-shortcode DATA-NONCE=a />", ("a", "1", None)),
        ('<p data-nonce="x"><p data-post-id="0" data-bot-id="3"><p data-nonce="y">', ("x", "0", None)),
        (
            '<aside data-nonce="x" data-post-id="0"></aside>'
            '<div class="wpaicg-chat-shortcode" data-nonce="a" data-post-id="1"></div>'
            '<div class="wpaicg-chat-shortcode" data-nonce="b" data-post-id="2"></div>',
            ("a", "1", None),
        ),
        ('<p data-post-id="5"><div class="wpaicg-chat-shortcode" data-nonce="a">', ("a", "5", None)),
        ('<div class="wpaicg-chat-shortcode"></div><p data-nonce="a" data-post-id="1">', ("a", "1", None)),
        ('<div class="wpaicg-chat-shortcode" data-nonce="a&amp;b" data-post-id="&#49;">', ("a&b", "1", None)),
        ('<p data-nonce="" data-post-id>', (None, None, None)),
        ('<!-- <p data-nonce="a" data-post-id="1"> -->', (None, None, None)),
        ('<!--[if IE]><p data-nonce="x"><![endif]--><p data-nonce="a" data-post-id="1">', ("a", "1", None)),
        ('<![if !IE]><![foo[x]]><![CDATA[y]]><p data-nonce="a" data-post-id="1"><![', ("a", "1", None)),
        ('<!DOCTYPE [<!x <p data-nonce="a" data-post-id="1"></ <p data-nonce="b', (None, None, None)),
        ("", (None, None, None)),
    ],
)
def test_the_tokens_are_those_of_the_chats_element_or_else_the_first(page, found):
    tokens = find_tokens(page)
    assert tuple(tokens.get(name) for name in ("data-nonce", "data-post-id", "data-bot-id")) == found


@pytest.mark.parametrize(("shown", "expected"), [(' data-bot-id="12"', "12"), (' data-bot-id=""', "0"), ("", "0")])
def test_the_bot_is_the_pages_own(online, web, shown, expected):
    web.get(f"{HOME}/", body=PAGE.replace(b"></div>", shown.encode() + b"></div>"))
    web.post(ENDPOINT, json={"status": "success", "data": "Hello!"})
    online.ask("Hi", model="chatgptt")
    assert dict(parse_qsl(web.calls[1].request.body))["bot_id"] == expected


@pytest.mark.parametrize("fault", ["single-quotes", "decoys"])
def test_the_sandbox_may_write_its_page_another_way(client, sandbox, fault):
    sandbox.says("Hello!")
    sandbox.script(fault)
    assert client.ask("Hi", model="chatgptt").text == "Hello!"


@pytest.mark.parametrize(
    "page",
    [
        b"<html><title>Chat</title></html>",
        b'<p data-nonce="a">',
        b'<p data-post-id="1">',
        b'<p data-nonce="" data-post-id="1">',
        b'{"data-nonce": "a"}',
    ],
)
def test_a_page_without_tokens_is_told_and_nothing_is_posted(asks, web, page):
    with pytest.raises(TokenNotFoundError, match="chatgptt") as caught:
        asks("chatgptt", b"", page=page)
    assert isinstance(caught.value, RuntimeError)
    assert [(call.request.method, call.request.url) for call in web.calls] == [
        ("GET", f"{HOME}/"),
        ("GET", f"{HOME}/chat"),
    ]


@pytest.mark.parametrize("second", [{"body": PAGE}, {"body": b"<p>No", "status": 404}])
def test_the_chat_may_be_on_the_page_that_the_referer_names(online, web, second):
    web.get(f"{HOME}/", body=b"<title>Welcome</title>")
    web.get(f"{HOME}/chat", **second)
    web.post(ENDPOINT, json={"status": "success", "data": "Hello!"})
    if "status" in second:
        with pytest.raises(TokenNotFoundError):
            online.ask("Hi", model="chatgptt")
    else:
        assert online.ask("Hi", model="chatgptt").text == "Hello!"


def test_a_chat_on_a_page_of_its_own_is_looked_for_there_alone(online, web, monkeypatch):
    monkeypatch.setattr(ChatGptt, "chat_path", "/talk")
    web.get(f"{HOME}/talk", body=b"<title>Welcome</title>")
    with pytest.raises(TokenNotFoundError):
        online.ask("Hi", model="chatgptt")
    assert len(web.calls) == 1


def test_a_first_page_that_is_not_there_is_told(online, web):
    web.get(f"{HOME}/", body=b"<p>No", status=404)
    with pytest.raises(BadRequestError):
        online.ask("Hi", model="chatgptt", retry=0)
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (403, "-1", AuthenticationError, "refused the nonce of its page"),
        (403, '{"success": false, "data": {"message": "Abgelaufen."}}', AuthenticationError, "may come from a cache"),
        (200, '{"status": "error", "msg": "Incorrect API key provided: sk-x."}', PermissionDeniedError, "own key"),
        (200, '{"status": "error", "msg": "The model `x` does not exist"}', ModelNotFoundError, "only the site"),
        (402, '{"status": "error", "msg": "Pay."}', QuotaExceededError, "limit of the site"),
        (401, '{"status": "error", "msg": "Log in."}', AuthenticationError, "no API key is sent to it"),
        (403, '{"status": "error", "msg": "Members only."}', PermissionDeniedError, "no API key is sent to it"),
    ],
)
def test_a_refusal_speaks_of_no_key_or_account_of_the_visitor(asks, status, body, kind, words):
    with pytest.raises(kind, match=words) as caught:
        read(asks, body.encode(), status=status, content_type="application/json")
    for advice in ("check the API key", "account", "did you mean"):
        assert advice not in str(caught.value)
    assert caught.value.action in ("next", "refresh")


def test_a_page_of_the_sandbox_without_tokens_is_told(client, sandbox):
    sandbox.script("no-tokens")
    with pytest.raises(TokenNotFoundError):
        client.ask("Hi", model="chatgptt")


@pytest.mark.parametrize("status", [200, 403, 503])
def test_a_challenge_in_the_place_of_the_page_is_a_block(online, web, status):
    web.get(f"{HOME}/", body="<title>Just a moment...</title>", status=status, content_type="text/html")
    with pytest.raises(BlockedError):
        online.ask("Hi", model="chatgptt")
    assert len(web.calls) == 1


@pytest.mark.parametrize("refusal", [(403, EXPIRED), (200, INVALID), (403, "-1")], ids=["page", "object", "bare"])
def test_a_refused_nonce_is_fetched_anew_once(online, web, slept, refusal):
    status, body = refusal
    for nonce in (b"0a1b2c3d4e", b"ffffffffff"):
        web.get(f"{HOME}/", body=PAGE.replace(b"0a1b2c3d4e", nonce))
    web.post(ENDPOINT, body=body, status=status, content_type="text/html" if status == 403 else "application/json")
    web.post(ENDPOINT, json={"status": "success", "data": "Hello!"})
    assert online.ask("Hi", model="chatgptt", retry=0).text == "Hello!"
    nonces = [dict(parse_qsl(call.request.body))["_wpnonce"] for call in web.calls if call.request.method == "POST"]
    assert nonces == ["0a1b2c3d4e", "ffffffffff"]
    assert sum(slept) == 0


@pytest.mark.parametrize("refusal", [(403, EXPIRED), (200, INVALID)], ids=["page", "object"])
def test_a_nonce_that_is_refused_twice_ends_the_call(online, web, refusal):
    status, body = refusal
    web.get(f"{HOME}/", body=PAGE)
    web.post(ENDPOINT, body=body, status=status, content_type="text/html" if status == 403 else "application/json")
    with pytest.raises(AuthenticationError):
        online.ask("Hi", model="chatgptt")
    assert [call.request.method for call in web.calls] == ["GET", "POST"] * 2


@pytest.mark.parametrize("fault", ["nonce-page", "nonce-error"])
def test_the_sandbox_replaces_a_nonce_that_it_refused(client, sandbox, fault):
    sandbox.says("Hello!")
    sandbox.script(fault)
    assert client.ask("Hi", model="chatgptt").text == "Hello!"
    assert [request.method for request in sandbox.requests] == ["GET", "POST"] * 2


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"status": "success", "data": " H\\u00e9llo! ", "log": 12}', " Héllo! "),
        (b'\xef\xbb\xbf\n{"status": "success", "data": "Hello!", "msg": ""}', "Hello!"),
        (events_of(piece(" Hel"), piece("lo"), piece("", "stop")) + b"data: [DONE]\n\n", " Hello"),
        (events_of({"choices": []}, {"choices": [{}]}, piece(None), piece("Hello")) + b"data: [DONE]", "Hello"),
        (b": ping\r\n\r\n" + events_of(piece("Hello", "stop")).replace(b"\n", b"\r\n"), "Hello"),
    ],
    ids=["object", "BOM", "events", "odd events", "no DONE"],
)
def test_the_answer_is_one_object_or_events(asks, body, text):
    reply = read(asks, body)
    assert (reply.text, reply.complete) == (text, True)


def test_a_finish_reason_is_passed_on(asks):
    assert read(asks, events_of(piece("Hello", "length"))).finish_reason == "length"


def test_a_site_that_streams_hands_out_a_piece_before_the_next_is_sent(policy):
    seen = threading.Event()
    script = [chunked_head(), chunk(events_of(piece("Hello"))), seen, chunk(events_of(piece("!", "stop"))), chunk(b"")]
    with (
        RawServer([response(PAGE)], script) as server,
        Client(model="chatgptt", base_url=server.url, retry=policy, timeout=5) as client,
    ):
        stream = iter(client.stream("Hi"))
        assert next(stream) == "Hello"
        seen.set()
        assert list(stream) == ["!"]


def test_events_of_the_sandbox_are_read(client, sandbox):
    sandbox.says("Été — how are you? 🌞")
    sandbox.script("sse")
    assert client.ask("Hi", model="chatgptt").text == "Été — how are you? 🌞"


@pytest.mark.parametrize(
    "body",
    [
        b'{"msg": "You have reached your token limit.", "tokenLimitReached": true}',
        b'{"msg": "Log in to go on.", "tokenLimitReached": true}',
        b'data: {"msg": "Come back later.", "tokenLimitReached": true}\n\n',
        b'{"tokenLimitReached": true}',
        b'{"status": "error", "msg": "You have reached your token limit."}',
        b'{"status": "success", "data": "You have reached your token limit."}',
    ],
)
def test_the_limit_of_visitors_is_a_rate_limit_that_moves_on(asks, policy, slept, body):
    with pytest.raises(RateLimitError) as caught:
        read(asks, body, retry=policy)
    assert (caught.value.action, caught.value.status, caught.value.partial) == ("next", 200, "")
    assert slept == []


def test_the_owners_words_for_the_limit_are_told(asks):
    with pytest.raises(RateLimitError, match="Log in to go on"):
        read(asks, b'{"msg": "Log in to go on.", "tokenLimitReached": true}')


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (b'{"status": "error", "msg": "It appears that nothing was inputted."}', ServerError, "nothing was inputted"),
        (b'{"status": "error", "msg": "You are banned."}', ServerError, "banned"),
        (b'{"status": "error", "data": "Bitte bestaetigen."}', ServerError, "Bitte bestaetigen"),
        (b'{"status": "error", "msg": "You exceeded your current quota."}', QuotaExceededError, "current quota"),
        (b'data: {"status": "error", "msg": "It broke."}\n\n', ServerError, "It broke"),
        (
            b'data: {"error": {"code": "insufficient_quota", "message": "No money."}}\n\n',
            QuotaExceededError,
            "No money",
        ),
        (b'{"status": "error"}', ServerError, "chatgptt"),
        (b"{}", ServerError, "chatgptt"),
        (b'{"data": "I have no status."}', ServerError, "chatgptt"),
        (b'{"status": "success"}', BadResponseError, "chatgptt"),
        (b'{"status": "success", "data": null}', BadResponseError, "chatgptt"),
        (b'{"status": "success", "data": {"x": 1}}', BadResponseError, "chatgptt"),
        (b'{"status": "success", "data": ""}', EmptyAnswerError, "chatgptt"),
        (b'{"choices": "x"}', BadResponseError, "chatgptt"),
        (b"data: [DONE]\n\n", EmptyAnswerError, "chatgptt"),
        (b"0", StreamInterruptedError, "chatgptt"),
    ],
)
def test_whatever_is_no_answer_is_an_error_and_never_text(asks, body, kind, told):
    with pytest.raises(kind, match=told) as caught:
        read(asks, body)
    assert (caught.value.provider, caught.value.partial) == ("chatgptt", "")


def test_the_bare_zero_of_wordpress_is_a_bad_request(asks):
    with pytest.raises(BadRequestError) as caught:
        read(asks, b"0", status=400, content_type="text/html; charset=UTF-8")
    assert caught.value.action == "next"


@pytest.mark.parametrize(("status", "kind"), [(200, BadResponseError), (400, BadRequestError)])
def test_the_bare_zero_of_the_sandbox_is_an_error(client, sandbox, status, kind):
    sandbox.script(f"body-zero,status={status}")
    with pytest.raises(kind):
        client.ask("Hi", model="chatgptt", retry=0)


def test_events_that_break_off_are_an_interruption_that_keeps_the_text(asks):
    with pytest.raises(StreamInterruptedError) as caught:
        read(asks, events_of(piece("Hel"), piece("lo")))
    assert caught.value.partial == "Hello"


def test_an_error_after_text_keeps_the_text(asks):
    with pytest.raises(ServerError) as caught:
        read(asks, events_of(piece("Hel"), {"status": "error", "msg": "It broke."}))
    assert caught.value.partial == "Hel"
