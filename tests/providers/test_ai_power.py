"""ChatGptt on today's AI Power plugin: a page's config, one JSON answer or a stream in two steps."""

from __future__ import annotations

import json
import threading
from urllib.parse import parse_qsl

import pytest
from sandbox_talk import AJAX, talk

from aichatkit import Client
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    ContentFilteredError,
    PermissionDeniedError,
    QuotaExceededError,
    ServerError,
    StreamInterruptedError,
    TokenNotFoundError,
)
from aichatkit.providers.ai_power import find_config
from aichatkit.providers.chatgptt import ChatGptt
from aichatkit.sandbox import RawServer
from aichatkit.sandbox.raw import chunk, chunked_head, response
from aichatkit.sandbox.wires.ai_power import AIPower, nonce_of
from aichatkit.sandbox.wires.base import Settings
from aichatkit.transport.transport import Transport

ENDPOINT = "https://chatgptt.me/wp-admin/admin-ajax.php"
TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "One\ntwo?"},
]
NONCE = "aipkit_get_frontend_chat_nonce"
POSTED, STREAMED, ANSWERED = "aipkit_cache_sse_message", "aipkit_frontend_chat_stream", "aipkit_frontend_chat_message"


@pytest.fixture
def site(sandbox, policy):
    """A client of a site with the plugin of today."""
    sandbox.says("Été — how are you? 🌞")
    with Client(model="chatgptt", base_url=sandbox.url, retry=policy) as client:
        yield client


@pytest.fixture
def web_of(monkeypatch):
    """Let the site have this page."""

    def have(page):
        monkeypatch.setattr(Transport, "get_text", lambda *args, **options: page)

    return have


def fields(request):
    return dict(request.query or parse_qsl(request.body.decode()))


def actions(sandbox):
    return [fields(request)["action"] for request in sandbox.requests if request.path == AJAX]


def element(name="aipkit_chat_container", **config):
    shown = json.dumps({"botId": 7, "nonce": "0a1b", **config}).replace('"', "&quot;")
    return f"<div class='x {name}' data-config='{shown}'></div>"


@pytest.mark.parametrize(
    ("page", "bot", "found"),
    [
        (element(), "", 7),
        (element("aipkit_popup_wrapper", botId=3) + element(), "", 7),
        (element("aipkit_popup_wrapper", botId=3), "", 3),
        (element(botId=5) + element(), "", 5),
        (element(botId=5) + element(), "7", 7),
        (element(), "9", None),
        (element(nonce=""), "", 7),
        (element(botId=0), "", None),
        ("<div class='aipkit_chat_container' data-config='{'></div><![foo[x]]>" + element(), "", 7),
        ("<div class='aipkit_chat_container' data-config='[]'></div>", "", None),
        ("<div class='aipkit_chat_container'></div>", "", None),
    ],
)
def test_the_config_is_that_of_the_first_chat_or_of_the_bot_that_is_named(page, bot, found):
    assert find_config(page, bot).get("botId") == found


@pytest.mark.parametrize(
    ("how", "sent"),
    [
        ("sse", [POSTED, STREAMED]),
        ("popup", [POSTED, STREAMED]),
        ("both", [POSTED, STREAMED]),
        ("either", [POSTED, STREAMED]),
        ("stale", [POSTED, NONCE, POSTED, STREAMED]),
        ("json", [NONCE, ANSWERED]),
        ("stale-json", [NONCE, ANSWERED]),
    ],
)
def test_the_page_decides_how_the_site_is_asked(site, sandbox, how, sent):
    sandbox.script(f"ai-power-page,how={how}")
    reply = site.ask(TURNS)
    assert (reply.text, reply.complete) == ("Été — how are you? 🌞", True)
    assert actions(sandbox) == sent
    prompt = fields(next(each for each in sandbox.requests if b"message=" in each.body))["message"]
    # The server has no field for earlier turns, and keeps line breaks.
    assert prompt == "User: Hi\nAssistant: Hello!\nUser: One\ntwo?\nAssistant:"
    last = sandbox.requests[-1]
    assert fields(last)["post_id"] == "31"
    assert len({fields(last)["session_id"], fields(last)["conversation_uuid"]}) == 2
    assert {request.headers["origin"] for request in sandbox.requests} == {sandbox.url}
    assert (last.headers["accept"] == "text/event-stream") == (last.method == "GET")


def test_nothing_is_posted_without_a_prompt():
    class Page:
        refused = None

        def get_text(self, url, *, headers):
            return element()

    assert "cache_key" not in ChatGptt().prepare(Page())


def test_each_call_is_a_conversation_of_its_own(site, sandbox):
    sandbox.script("ai-power-page", "ai-power-page")
    site.ask("Hi")
    site.ask("Hi")
    ids = [fields(request)["conversation_uuid"] for request in sandbox.requests if request.query]
    assert len({*ids}) == 2


def test_the_address_is_that_of_the_page_and_a_page_without_a_post_has_none(online, web):
    web.get("https://chatgptt.me/", body=element(ajaxUrl="https://chatgptt.me/blog/wp-admin/admin-ajax.php", postId=0))
    web.post("https://chatgptt.me/blog/wp-admin/admin-ajax.php", json={"success": True, "data": {"cache_key": "k"}})
    web.get(
        "https://chatgptt.me/blog/wp-admin/admin-ajax.php", body='data: {"delta": "Hi"}\n\nevent: done\ndata: {}\n\n'
    )
    assert online.ask("Hi", model="chatgptt").text == "Hi"
    assert "post_id" not in web.calls[-1].request.url


def test_the_origin_of_a_site_in_a_folder_is_its_host():
    assert ChatGptt("https://example.org/blog")._ajax_headers()["Origin"] == "https://example.org"


@pytest.mark.parametrize(
    ("how", "error", "words", "action", "partial"),
    [
        ("error-done", ServerError, "The model is overloaded", "retry", ""),
        ("error", ServerError, "The model is overloaded", "retry", ""),
        ("text-error-done", ServerError, "The model is overloaded", "stop", "Été"),
        ("no-done", StreamInterruptedError, "without its end marker", "stop", "Été — how are you? 🌞"),
        ("quota", QuotaExceededError, "Come back tomorrow", "next", ""),
        ("form", ContentFilteredError, "fill in a form", "stop", ""),
        ("json", ServerError, "no credit left", "retry", ""),
    ],
)
def test_a_stream_that_fails_is_an_error_with_the_sites_words(site, sandbox, how, error, words, action, partial):
    sandbox.script("ai-power-page", f"ai-power-end,how={how}")
    with pytest.raises(error, match=words) as caught:
        site.ask("Hi", retry=0)
    assert (caught.value.action, caught.value.partial) == (action, partial)


@pytest.mark.parametrize("how", ["warning", "trigger"])
def test_what_is_not_fatal_does_not_end_the_answer(site, sandbox, how):
    sandbox.script("ai-power-page", f"ai-power-end,how={how}")
    assert site.ask("Hi").text == "Été — how are you? 🌞"


@pytest.mark.parametrize(
    ("plan", "error", "words"),
    [
        ("ai-power-refusal", PermissionDeniedError, "takes requests only from its own pages"),
        ("ai-power-refusal,code=embed_not_available", PermissionDeniedError, "scheme and host of its pages"),
        ("ai-power-refusal,code=x,status=429", QuotaExceededError, "chatgptt"),
        ("ai-power-refusal,code=moderation,status=400", ContentFilteredError, "Refused"),
        ("body-zero,on=token", BadRequestError, "does not know this request"),
        ("body-zero,on=token,status=200", BadResponseError, "cannot be read"),
        ("ai-power-refusal,code=x,status=200", ServerError, "Refused"),
    ],
)
def test_a_prompt_that_is_refused_is_an_error_with_advice(site, sandbox, plan, error, words):
    sandbox.script("ai-power-page", plan)
    with pytest.raises(error, match=words):
        site.ask("Hi", retry=0)
    assert actions(sandbox) == [POSTED]


@pytest.mark.parametrize("plan", ["ai-power-refusal,code=moderation,status=400", "ai-power-refusal,code=x,status=400"])
def test_a_prompt_that_is_refused_is_not_sent_as_another_request(site, sandbox, plan):
    sandbox.script("ai-power-page,how=either", plan)
    with pytest.raises((BadRequestError, ContentFilteredError)):
        site.ask("Hi")
    assert actions(sandbox) == [POSTED]


def test_a_site_that_was_updated_since_its_page_was_cached_is_asked_for_a_stream_once(site, sandbox):
    sandbox.script("ai-power-page,how=json", "body-zero,on=chat", "ai-power-page,how=json")
    assert site.ask("Hi", retry=0).text == "Été — how are you? 🌞"
    assert actions(sandbox) == [NONCE, ANSWERED, POSTED, STREAMED]


def test_a_site_that_knows_no_request_is_asked_each_way_once(site, sandbox):
    page = "ai-power-page,how=json"
    sandbox.script(page, "body-zero,on=chat", page, "body-zero,on=token")
    with pytest.raises(BadRequestError, match="does not know this request") as caught:
        site.ask("Hi")
    assert actions(sandbox) == [NONCE, ANSWERED, POSTED]
    assert caught.value.action == "next"


def test_a_page_without_a_nonce_gets_one_from_the_site(site, sandbox, web_of):
    web_of(element(nonce="", ajaxUrl=f"{sandbox.url}{AJAX}"))
    assert site.ask("Hi").text == "Été — how are you? 🌞"
    assert actions(sandbox) == [NONCE, POSTED, STREAMED]


def test_without_a_nonce_nothing_is_posted(site, sandbox, web_of):
    web_of(element(nonce="", ajaxUrl=f"{sandbox.url}{AJAX}"))
    sandbox.script("body-zero,on=nonce")
    with pytest.raises(TokenNotFoundError, match="nonce"):
        site.ask("Hi")
    assert actions(sandbox) == [NONCE]


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (403, "<!doctype html><title>Forbidden</title>", "text/html"),
        (403, '{"success": false, "data": {"message": "Sicherheitsprüfung fehlgeschlagen."}}', "application/json"),
    ],
)
def test_a_refusal_that_cannot_be_read_gets_a_new_nonce_once(online, web, status, body, content_type):
    web.get("https://chatgptt.me/", body=element())
    web.post(ENDPOINT, body=body, status=status, content_type=content_type)
    web.post(ENDPOINT, json={"success": True, "data": {"nonce": "ffff"}})
    web.post(ENDPOINT, body='<br />\n<b>Notice</b>: x\n{"success": true, "data": {"cache_key": "k"}}')
    web.get(ENDPOINT, body='data: {"delta": "Hi"}\n\nevent: done\ndata: {}\n\n')
    assert online.ask("Hi", model="chatgptt", retry=0).text == "Hi"
    assert "_ajax_nonce=ffff" in web.calls[-1].request.url


def test_a_refusal_with_another_status_asks_for_no_nonce(online, web):
    web.get("https://chatgptt.me/", body=element())
    web.post(ENDPOINT, json={"success": False, "data": {"message": "Log in."}}, status=401)
    with pytest.raises(AuthenticationError, match="no API key"):
        online.ask("Hi", model="chatgptt", retry=0)
    assert [call.request.method for call in web.calls] == ["GET", "POST"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<!doctype html><title>Just a moment...</title>", BlockedError),
        ('{"success": tr', BadResponseError),
        ("[]", BadResponseError),
        ("", BadResponseError),
    ],
)
def test_the_key_for_a_stream_may_be_anything_but_one(online, web, body, kind):
    web.get("https://chatgptt.me/", body=element())
    web.post(ENDPOINT, body=body, content_type="text/html" if "<" in body else "application/json")
    with pytest.raises(kind):
        online.ask("Hi", model="chatgptt", retry=0)


SOURCES = [{"url": "https://a.example", "title": "A"}, {"title": "no address"}, {"url": 7}]
GROUNDING = {"groundingChunks": [{"web": {"uri": "https://g.example", "title": "G"}}, {}]}


@pytest.mark.parametrize(
    ("events", "urls"),
    [
        ([("citations", SOURCES)], ["https://a.example"]),
        ([("citations", {"citations": SOURCES})], ["https://a.example"]),
        ([("grounding_metadata", GROUNDING)], ["https://g.example"]),
        (
            [("done", {"finished": True, "citations": SOURCES, "grounding_metadata": GROUNDING})],
            ["https://a.example", "https://g.example"],
        ),
        ([("openai_response_id", {"id": "r"}), ("status", {"delta": "no text"}), ("warning", "odd")], []),
    ],
)
def test_the_sources_of_an_answer_are_its_citations(online, web, events, urls):
    web.get("https://chatgptt.me/", body=element())
    web.post(ENDPOINT, json={"success": True, "data": {"cache_key": "k"}})
    body = 'data: {"delta": "Hi"}\n\n'
    body += "".join(f"event: {name}\ndata: {json.dumps(record)}\n\n" for name, record in events)
    web.get(ENDPOINT, body=body + 'event: done\ndata: {"finished": true}\n\n')
    reply = online.ask("Hi", model="chatgptt")
    assert (reply.text, [citation.url for citation in reply.citations]) == ("Hi", urls)


def test_the_sources_of_one_object_are_its_citations(online, web):
    web.get("https://chatgptt.me/", body=element(streamEnabled=False))
    web.post(ENDPOINT, json={"success": True, "data": {"reply": "Hi", "citations": SOURCES}})
    assert [citation.url for citation in online.ask("Hi", model="chatgptt").citations] == ["https://a.example"]


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"error": "Security check failed."}, AuthenticationError),
        ({"error": "Enough.", "quota_notice": {}}, QuotaExceededError),
        ({"error": "Enough.", "quota_notice": None}, ServerError),
        ("Broken.", ServerError),
    ],
)
def test_an_error_event_is_read_by_its_fields(online, web, record, kind):
    web.get("https://chatgptt.me/", body=element())
    web.post(ENDPOINT, json={"success": True, "data": {"cache_key": "k"}})
    web.get(ENDPOINT, body=f"event: error\ndata: {json.dumps(record)}\n\n")
    with pytest.raises(kind):
        online.ask("Hi", model="chatgptt", retry=0)


def test_a_site_without_streams_is_asked_for_one_object(site, sandbox):
    sandbox.script("ai-power-page,how=either", "body-zero,on=token")
    assert site.ask("Hi").text == "Été — how are you? 🌞"
    assert actions(sandbox) == [POSTED, ANSWERED]


@pytest.mark.parametrize("plan", ["body-zero,on=nonce", "body-zero,on=nonce,status=200"])
def test_a_site_that_gives_no_nonce_has_its_page_loaded_again(site, sandbox, plan):
    sandbox.script("ai-power-page,how=stale", plan, "ai-power-page")
    assert site.ask("Hi", retry=0).text == "Été — how are you? 🌞"
    assert actions(sandbox) == [POSTED, NONCE, POSTED, STREAMED]


@pytest.mark.parametrize("how", ["sse", "json"])
def test_a_nonce_that_stays_refused_is_an_error(site, sandbox, how):
    plan = "ai-power-refusal,code=nonce_failure_cache_sse" + (",on=chat" if how == "json" else "")
    sandbox.script(*[f"ai-power-page,how={how}", *[plan] * (1 if how == "json" else 2)] * 2)
    with pytest.raises(AuthenticationError):
        site.ask("Hi", retry=0)
    assert sum(request.path == "/" for request in sandbox.requests) == 2


def test_another_bot_of_a_page_can_be_named(site, sandbox, monkeypatch):
    monkeypatch.setattr(ChatGptt, "bot_id", "99")
    sandbox.script("ai-power-page")
    with pytest.raises(TokenNotFoundError):
        site.ask("Hi")


def test_a_piece_is_handed_out_before_the_next_is_sent_however_it_is_cut(policy):
    seen = threading.Event()
    event = f"data: {json.dumps({'delta': 'Été 🌞'}, ensure_ascii=False)}\n\n".encode()
    cut = event.index("🌞".encode()) + 2
    stream = [chunked_head(), chunk(b":" + b" " * 4096 + b"\n\n"), chunk(event[:cut]), chunk(event[cut:]), seen]
    stream += [chunk(b'event: done\ndata: {"finished": true}\n\n'), chunk(b"")]
    key = response(b'{"success": true, "data": {"cache_key": "aipkit_sse_Ab"}}')
    with (
        RawServer([response(element().encode())], [key], stream) as server,
        Client(model="chatgptt", base_url=server.url, retry=policy, timeout=5) as client,
    ):
        chunks = iter(client.stream("Hi"))
        assert next(chunks) == "Été 🌞"
        seen.set()
        assert list(chunks) == []


# The sandbox.


def sent(box, **form):
    body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
    return talk(box, AJAX, body=body, kind="application/x-www-form-urlencoded")


def test_a_key_opens_one_stream_for_a_minute(sandbox, monkeypatch):
    nonce = nonce_of(Settings())
    keys = [
        sent(sandbox, action=POSTED, _ajax_nonce=nonce, bot_id="12", message="Hi").json()["data"]["cache_key"]
        for _ in range(2)
    ]
    path = f"{AJAX}?action={STREAMED}&_ajax_nonce={nonce}&cache_key="
    assert b"delta" in talk(sandbox, path + keys[0], method="GET").body
    assert b"Session expired" in talk(sandbox, path + keys[0], method="GET").body
    monkeypatch.setattr("aichatkit.sandbox.wires.ai_power._KEY_SECONDS", -1.0)
    assert b"Session expired" in talk(sandbox, path + keys[1], method="GET").body
    assert b"Security check" in talk(sandbox, path.replace(nonce, "x") + keys[1], method="GET").body


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"action": ANSWERED, "bot_id": "12", "message": "Hi"}, 400, "Missing required chat information"),
        ({"action": POSTED, "bot_id": "x", "message": "Hi"}, 400, "Bot ID"),
        ({"action": POSTED, "bot_id": "12", "message": "+%00"}, 400, "empty"),
        ({"action": POSTED, "_ajax_nonce": "x"}, 403, "nonce_failure_cache_sse"),
        ({"action": "unknown"}, 400, "0"),
    ],
)
def test_the_sandbox_refuses_what_the_plugin_refuses(sandbox, form, status, words):
    answer = sent(sandbox, **{"_ajax_nonce": nonce_of(Settings()), **form})
    assert answer.status == status
    assert words in answer.body.decode()


def test_the_sandbox_takes_requests_of_its_own_pages_only(sandbox):
    headers = {"Origin": "https://elsewhere.example"}
    body = f"action={POSTED}&bot_id=12".encode()
    answer = talk(sandbox, AJAX, body=body, kind="application/x-www-form-urlencoded", headers=headers)
    assert (answer.status, answer.json()["data"]["code"]) == (403, "cors_denied")
    assert talk(sandbox, AJAX, body=body, kind="text/plain").status == 400


def test_the_sandbox_streams_words_that_fail_as_the_plugin_does(sandbox):
    nonce = nonce_of(Settings())
    key = sent(sandbox, action=POSTED, _ajax_nonce=nonce, bot_id="12", message="Hi").json()["data"]["cache_key"]
    path = f"{AJAX}?action={STREAMED}&_ajax_nonce={nonce}&cache_key={key}"
    assert b"event: error" in talk(sandbox, f"/fault/error-event,after=1{path}", method="GET").body
    assert AIPower(Settings()).keep_alive().startswith(b":")
