from __future__ import annotations

import json

import pytest
from sandbox_talk import AJAX, FREE, aichats, events, form, signed, talk, token, visit

from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.wires.aichatfree import sign

ELIZA = "How long have you been sad?"
CONVERSATION = "System: Be brief.\nUser: My dog is ill\nAssistant: Oh!\nUser: I am sad\nAssistant:"


def sse_text(body):
    """The text of an event stream read by the letter of its rules."""
    found = []
    for block in body.decode().split("\n\n"):
        lines = [line[6:] for line in block.split("\n") if line.startswith("data: ")]
        found.append("\n".join(lines))
    return "".join(found)


# AiChats


def test_aichats_streams_pieces_as_events(box):
    answer = talk(box, "/chat/send2/", aichats(CONVERSATION))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.chunks[:2] == [b"data: How\n\n", b"data:  long\n\n"]
    assert sse_text(answer.body) == ELIZA


def test_aichats_writes_line_breaks_as_lines_of_one_event(box):
    box.says("one\n\ntwo")
    assert sse_text(talk(box, "/chat/send2/", aichats()).body) == "one\n\ntwo"


def test_aichats_reads_a_history_of_turns(box):
    record = aichats()
    record["messagesHistory"][:0] = [{"from": "you", "content": "hello"}, {"from": "bot", "content": "Hello!"}]
    assert sse_text(talk(box, "/chat/send2/", record).body) == ELIZA


def test_aichats_draws_in_two_steps(box):
    (entry,) = talk(box, "/chat/send2/", aichats("a cat", "image")).json()["data"]
    assert entry["url"].startswith(box.url + "/img/")
    picture = talk(box, entry["url"][len(box.url) :], method="GET")
    assert picture.headers["content-type"] == "image/png"
    assert picture.body.startswith(b"\x89PNG\r\n\x1a\n")


def test_aichats_keeps_a_fault_for_the_picture_in_its_address(box):
    (entry,) = talk(box, "/fault/picture-404/chat/send2/", aichats("a cat", "image")).json()["data"]
    assert talk(box, entry["url"][len(box.url) :], method="GET").status == 404


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"type": "chat", "messagesHistory": []},
        {"type": "chat", "messagesHistory": ["x"]},
        {"type": "chat", "messagesHistory": [{"content": "no sender"}]},
        aichats(kind="song"),
    ],
)
def test_aichats_refuses_what_it_cannot_read(box, record):
    answer = talk(box, "/chat/send2/", record)
    assert answer.status == 400
    assert isinstance(answer.json()["error"], str)


# AiChatOnline


def test_aichatonline_takes_a_token_it_gave_out_and_streams_lines(box):
    record = {"conversationId": "abcdefghij", "prompt": "I am sad"}
    answer = talk(box, "/aichatonline/api/chat/gpt", record, headers={"UniqueId": token(box)})
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert "".join(line["data"]["message"] for line in lines) == ELIZA


def test_aichatonline_gives_each_visitor_another_token(box):
    assert token(box) != token(box)


@pytest.mark.parametrize("made_up", ["", "0123456789abcdef", "0123456789abcdef0123456789abcdef"])
def test_aichatonline_refuses_a_token_it_did_not_give_out(box, made_up):
    record = {"conversationId": "abcdefghij", "prompt": "I am sad"}
    answer = talk(box, "/aichatonline/api/chat/gpt", record, headers={"UniqueId": made_up})
    assert answer.status == 401
    assert answer.json() == {"code": 401, "msg": "The UniqueId is not valid.", "data": None}


def test_aichatonline_wants_a_canvas_number(box):
    assert talk(box, "/api/v1/user/getUniqueId", method="GET").status == 400


def test_aichatonline_wants_a_prompt(box):
    answer = talk(box, "/aichatonline/api/chat/gpt", {"conversationId": "x"}, headers={"UniqueId": token(box)})
    assert answer.json()["code"] == 400


WORDPRESS = "/chatgpt/wp-json/mwai-ui/v1/chats/submit"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "I am sad"}],
        [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Hi"}, "junk"],
    ],
)
def test_the_older_aichatonline_streams_events_with_a_type(box, messages):
    answer = talk(box, WORDPRESS, {"newMessage": "I am sad", "messages": messages, "stream": True})
    found = events(answer.body)
    assert "".join(event["data"] for event in found if event["type"] == "live") == ELIZA
    assert found[-1]["type"] == "end"
    assert json.loads(found[-1]["data"])["reply"] == ELIZA


def test_the_older_aichatonline_answers_whole_when_not_asked_to_stream(box):
    record = {"newMessage": "I am sad", "messages": []}
    assert talk(box, WORDPRESS, record).json() == {"success": True, "reply": ELIZA}


def test_the_older_aichatonline_refuses_in_the_plugins_shape(box):
    answer = talk(box, WORDPRESS, {"messages": []})
    assert (answer.status, answer.json()["success"]) == (400, False)


# Aichat


@pytest.mark.parametrize("message", ["I am sad", CONVERSATION, "user: I am sad\nassistant:"])
def test_aichat_answers_with_one_object(box, message):
    record = {"message": message, "temperature": 0.5, "presence_penalty": 0, "top_p": 1, "frequency_penalty": 0}
    assert talk(box, "/api/text", record).json() == {"response": True, "message": ELIZA}


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ({"record": {}}, 400),
        ({"record": []}, 400),
        ({"record": {"message": "x", "temperature": "hot"}}, 400),
        ({"body": b"{"}, 400),
        ({"record": {"message": "x"}, "kind": "text/plain"}, 415),
        ({"record": {"message": "x"}, "kind": None}, 415),
    ],
)
def test_aichat_refuses_what_it_cannot_read(box, settings, status):
    answer = talk(box, "/api/text", **settings)
    assert answer.status == status
    assert answer.json()["response"] is False


def test_aichat_with_a_cookie_check_wants_a_cookie(box):
    path = "/fault/cookie-required/api/text"
    assert talk(box, path, {"message": "I am sad"}).status == 403
    assert talk(box, path, {"message": "I am sad"}, headers={"Cookie": "a=b"}).status == 200


# AIChatFree


@pytest.mark.parametrize("path", ["/api/generate", "//api/generate"])
def test_aichatfree_answers_with_bare_text(box, path):
    answer = talk(box, path, signed(), kind="text/plain;charset=UTF-8")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.decode() == ELIZA
    assert len(answer.chunks) > 3


@pytest.mark.parametrize(
    ("text", "secret", "expected"),
    [
        ("Hello, world!", "", "2c1f696d6980967fcd84ce4bf8b28251e8316e279dfde81375c3eb37d6952c25"),
        ("Hello, world!", "s3cret", "578704ef2b95cbde2e3adb94da566a9905b20cc1d40a913c90bdc94d82151c87"),
        (
            "Où est l'été? 🌞\nsecond line",
            "",
            "c0e907b9ec9baa3e94d36d837d4743ec133745c2cafb05dd8e0e834479b1833e",
        ),
    ],
)
def test_aichatfree_signs_as_the_front_end_does(text, secret, expected):
    assert sign(1700000000000, text, secret) == expected


@pytest.mark.parametrize(
    ("record", "status", "message"),
    [
        ({**FREE, "sign": "0" * 64}, 401, "Invalid signature."),
        (signed("other"), 401, "Invalid signature."),
        ({**signed(), "time": 1700000000001}, 401, "Invalid signature."),
        ({**signed(), "messages": [{"role": "user", "parts": "x"}]}, 401, "Invalid signature."),
        ({**signed(), "time": "x"}, 400, "The field 'time'"),
        ({**signed(), "messages": []}, 400, "Invalid message history: "),
        ({**signed(), "messages": ["x"]}, 400, "Invalid message history: "),
        ({**signed(), "messages": [{"role": "model", "parts": [{"text": "x"}]}]}, 400, "Invalid message history: "),
    ],
)
def test_aichatfree_refuses_as_the_front_end_does(box, record, status, message):
    answer = talk(box, "/api/generate", record, kind="text/plain;charset=UTF-8")
    assert answer.status == status
    assert answer.json()["error"]["message"].startswith(message)


def test_aichatfree_may_have_a_secret_and_a_password():
    with Sandbox(secret="s3cret", password="open") as box:
        assert talk(box, "/api/generate", signed("s3cret", **{"pass": "open"})).status == 200
        assert talk(box, "/api/generate", signed("s3cret")).json()["error"]["message"] == "Invalid password."
        assert (
            talk(box, "/api/generate", signed("", **{"pass": "open"}))
            .json()["error"]["message"]
            .startswith("Invalid signature")
        )


# ChatGptt


@pytest.mark.parametrize("page", ["/", "/fault/single-quotes/", "/fault/decoys/"])
def test_chatgptt_takes_what_its_page_told(box, page):
    tokens, cookie = visit(box, page)
    answer = talk(box, AJAX, headers=cookie, **form(tokens))
    assert answer.json() == {"status": "success", "data": ELIZA, "log": False}


@pytest.mark.parametrize(
    "changes",
    [
        {"message": CONVERSATION},
        {"wpaicg_chat_history": "None"},
        {"wpaicg_chat_history": "1"},
        {"wpaicg_chat_history": '["Human: hello", "AI: Hi"]'},
        {"wpaicg_chat_history": '[{"text": "Human: hello"}, {"text": "AI: Hi"}]'},
    ],
)
def test_chatgptt_reads_a_history_in_each_of_its_forms(box, changes):
    tokens, cookie = visit(box)
    assert talk(box, AJAX, headers=cookie, **form(tokens, **changes)).json()["data"] == ELIZA


def test_chatgptt_remembers_what_the_history_holds(box):
    tokens, cookie = visit(box)
    history = '["Human: I worry about my dog", "AI: Oh"]'
    answer = talk(box, AJAX, headers=cookie, **form(tokens, message="Hmm.", wpaicg_chat_history=history))
    assert "your dog" in answer.json()["data"]


@pytest.mark.parametrize(
    ("changes", "status", "body"),
    [
        ({"_wpnonce": "0000000000"}, 403, "The link you followed has expired."),
        ({"post_id": "0"}, 403, "The link you followed has expired."),
        ({"action": "other"}, 400, "0"),
        ({"message": " "}, 200, "nothing was inputted"),
    ],
)
def test_chatgptt_refuses_as_wordpress_and_the_plugin_do(box, changes, status, body):
    tokens, cookie = visit(box)
    answer = talk(box, AJAX, headers=cookie, **form(tokens, **changes))
    assert answer.status == status
    assert body in answer.body.decode()


def test_chatgptt_refuses_a_visitor_without_the_cookie_of_the_page(box):
    tokens, _ = visit(box)
    answer = talk(box, AJAX, **form(tokens))
    assert (answer.status, answer.body) == (403, b"-1")


def test_chatgptt_does_not_read_json(box):
    answer = talk(box, AJAX, {"action": "wpaicg_chat_shortcode_message"})
    assert (answer.status, answer.body) == (400, b"0")


@pytest.mark.parametrize(
    ("fault", "status", "sign_of_it"), [("nonce-page", 403, "expired"), ("nonce-error", 200, "Invalid nonce.")]
)
def test_chatgptt_gives_a_new_nonce_after_it_refused_the_old_one(box, fault, status, sign_of_it):
    tokens, cookie = visit(box)
    box.script(fault)
    refused = talk(box, AJAX, headers=cookie, **form(tokens))
    assert refused.status == status
    assert sign_of_it in refused.body.decode()
    assert talk(box, AJAX, headers=cookie, **form(tokens)).status == 403
    tokens, cookie = visit(box)
    assert talk(box, AJAX, headers=cookie, **form(tokens)).json()["status"] == "success"


def test_chatgptt_may_stream_events(box):
    tokens, cookie = visit(box)
    body = talk(box, "/fault/sse" + AJAX, headers=cookie, **form(tokens)).body
    assert "".join(event["choices"][0]["delta"]["content"] for event in events(body)) == ELIZA
    assert body.endswith(b"data: [DONE]\n\n")


def test_chatgptt_may_hide_its_tokens(box):
    assert visit(box, "/fault/no-tokens/")[0] == {"data-nonce": "", "data-post-id": ""}


def test_chatgptt_tells_the_limit_of_visitors_with_success(box):
    answer = talk(box, "/fault/token-limit" + AJAX, **form(visit(box)[0]))
    assert answer.status == 200
    assert answer.json() == {"msg": "You have reached your token limit.", "tokenLimitReached": True}
