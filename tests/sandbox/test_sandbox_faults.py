from __future__ import annotations

import json
import zlib

import pytest
from sandbox_talk import AJAX, CHAT, aichats, dial, events, form, request_bytes, signed, talk, text_of, token, visit

from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.faults import FAULTS

PATH = "/v1/chat/completions"
STREAM = {**CHAT, "stream": True}
ELIZA = "How long have you been sad?"
TWO_PIECES = "How long"


def gunzip(data):
    return zlib.decompressobj(wbits=31).decompress(data)


def error_code(answer):
    return answer.json()["error"]["code"]


#: What each fault of every wire looks like on the wire, at a streamed chat completion.
SEEN = {
    "refuse": lambda got: got.raw == b"" and got.end == "closed",
    "reset-head": lambda got: got.raw == b"" and got.end == "reset",
    "slow-head,seconds=0.01": lambda got: text_of(got.body) == ELIZA,
    "cut-head": lambda got: got.raw.startswith(b"HTTP/1.1 200") and b"\r\n\r\n" not in got.raw,
    "bad-status": lambda got: got.raw.startswith(b"HTTP/1.1 fine\r\n"),
    "many-headers": lambda got: len(got.headers) > 120 and text_of(got.body) == ELIZA,
    "huge-header": lambda got: len(got.headers["x-filler"]) == 70_000,
    "redirect": lambda got: got.status == 307 and got.headers["location"].startswith("http://127.0.0.1:9/"),
    "redirect,status=302,to=%2Fx": lambda got: (got.status, got.headers["location"]) == (302, "/x"),
    "cut": lambda got: text_of(got.body) == TWO_PIECES and got.chunks[-1] != b"" and got.end == "closed",
    "cut,after=0": lambda got: text_of(got.body) == "" and got.chunks[-1] != b"",
    "cut,after=99": lambda got: text_of(got.body) == ELIZA and got.chunks[-1] != b"" and b"[DONE]" not in got.raw,
    "cut-chunk": lambda got: text_of(got.chunks[-1]) == " long" and got.rest.endswith(b"\n\n"),
    "reset": lambda got: text_of(got.body) == TWO_PIECES and got.end == "reset",
    "stall,seconds=0.01": lambda got: text_of(got.body) == TWO_PIECES and got.chunks[-1] != b"",
    "drip,every=0": lambda got: text_of(got.body) == ELIZA and {len(part) for part in got.chunks} == {0, 1},
    "wrong-length": lambda got: int(got.headers["content-length"]) == len(got.rest) + 100,
    "close-delimited": lambda got: "content-length" not in got.headers and text_of(got.rest) == ELIZA,
    "hang-up": lambda got: text_of(got.body) == ELIZA and got.chunks[-1] == b"",
    "gzip": lambda got: text_of(gunzip(got.body)) == ELIZA and len(got.chunks) > 8,
    "gzip-cut": lambda got: got.chunks[-1] == b"" and not zlib_ends(got.body),
    "gzip-garbage": lambda got: got.headers["content-encoding"] == "gzip" and text_of(got.body) == ELIZA,
    "split": lambda got: text_of(got.body) == ELIZA and max(len(part) for part in got.chunks) == 3,
    "crlf": lambda got: text_of(got.body) == ELIZA and b"\r\n\r\n" in got.body,
    "crlf,end=cr": lambda got: b"\r\r" in got.body and b"\n" not in got.body,
    "bom": lambda got: got.body.startswith(b"\xef\xbb\xbfdata: "),
    "error-body-huge,megabytes=1": lambda got: got.status == 500 and len(got.body) > 1_000_000,
    "rate-limit": lambda got: error_code(got) == "rate_limit_exceeded" and "retry-after" not in got.headers,
    "rate-limit,retry-after=7": lambda got: (got.status, got.headers["retry-after"]) == (429, "7"),
    "rate-limit,retry-after-ms=1500": lambda got: got.headers["retry-after-ms"] == "1500",
    "rate-limit,status=402": lambda got: got.status == 402,
    "quota": lambda got: got.status == 429 and error_code(got) == "insufficient_quota",
    "quota,status=402": lambda got: got.status == 402,
    "unauthorized": lambda got: got.status == 401 and "sk-secret" in got.json()["error"]["message"],
    "forbidden": lambda got: got.status == 403,
    "bad-request": lambda got: got.status == 400,
    "context-too-long": lambda got: got.status == 400 and error_code(got) == "context_length_exceeded",
    "content-filter": lambda got: got.status == 400 and error_code(got) == "content_policy_violation",
    "model-not-found": lambda got: got.status == 404 and error_code(got) == "model_not_found",
    "server-error": lambda got: got.status == 500,
    "server-error,retry-after=1,should-retry=false": lambda got: got.headers["x-should-retry"] == "false",
    "overloaded": lambda got: got.status == 503 and error_code(got) == "server_is_overloaded",
    "overloaded,status=529": lambda got: got.status == 529,
    "error-page": lambda got: got.status == 502 and got.headers["content-type"].startswith("text/html"),
    "challenge": lambda got: got.status == 403 and b"Just a moment" in got.body and b"cf-please-wait" in got.body,
    "challenge-200": lambda got: got.status == 200 and b"Just a moment" in got.body,
    "html": lambda got: got.status == 200 and got.body.startswith(b"<!DOCTYPE html>"),
    "error-200": lambda got: got.status == 200 and got.json()["error"]["type"] == "server_error",
    "empty": lambda got: text_of(got.body) == "" and b"[DONE]" in got.body,
    "empty-body": lambda got: got.status == 200 and got.chunks == [b""],
    "limit-notice": lambda got: "request limit" in text_of(got.body),
    "no-end-marker": lambda got: text_of(got.body) == ELIZA and b"[DONE]" not in got.body and b'"stop"' not in got.body,
    "no-end-marker,keep=finish": lambda got: b"[DONE]" not in got.body and b'"stop"' in got.body,
    "no-end-marker,keep=done": lambda got: b"[DONE]" in got.body and b'"stop"' not in got.body,
    "error-event": lambda got: "server_is_overloaded" in str(events(got.body)[-1]) and len(events(got.body)) == 2,
    "error-event,after=2,kind=quota": lambda got: got.body.count(b"data: ") == 4 and b"insufficient_quota" in got.body,
    "bad-json": lambda got: b'"content": "brok\n\n' in got.body and b"[DONE]" in got.body,
}

#: Those that never end, and those of single sites, have tests of their own.
ELSEWHERE = {
    *(name for name in FAULTS if name.startswith("batch-")),
    "rounded-probabilities",
    "odd-sum",
    "odd-probability",
    "refuse-question",
    "refusal-answer",
    "answer-missing",
    "answers-shuffled",
    "unknown-answer",
    "answer-type",
    "other-option",
    "odd-score",
    "legend-list",
    "only-values",
    "odd-confidence",
    "billed-cost",
    "input-blocked",
    "question-limit",
    "no-decisions",
    "search-error",
    "search-pause",
    "vectors-reversed",
    "no-positions",
    "base64-ignored",
    "dimensions-ignored",
    "same-position",
    "vector-missing",
    "one-vector",
    "no-vectors",
    "quarter-width",
    "base64-vectors",
    "not-a-number",
    "zeros",
    "no-usage",
    "pings",
    "error-body-drip",
    "missing-data",
    "missing-url",
    "picture-404",
    "token-500",
    "token-null",
    "noise",
    "data-prefix",
    "response-false",
    "cookie-required",
    "ai-power-end",
    "ai-power-page",
    "ai-power-refusal",
    "failure-words",
    "gemini-error",
    "no-tokens",
    "single-quotes",
    "decoys",
    "nonce-page",
    "nonce-error",
    "msg-error",
    "token-limit",
    "sse",
    "body-zero",
}


def zlib_ends(data):
    unpacker = zlib.decompressobj(wbits=31)
    unpacker.decompress(data)
    return unpacker.eof


@pytest.mark.parametrize("fault", SEEN)
def test_a_fault_looks_on_the_wire_as_its_name_says(box, fault):
    got = talk(box, f"/fault/{fault}{PATH}", STREAM, headers={"Authorization": "Bearer sk-secret"})
    assert SEEN[fault](got), got.raw


def test_every_fault_is_tested_by_name():
    assert {name.partition(",")[0] for name in SEEN} | ELSEWHERE == set(Sandbox.faults())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("pings,every=0.001", b": PROCESSING\n\n"),
        ("pings,every=0.001,after=1", b'"How"'),
        ("error-body-drip,every=0.001", b"....."),
    ],
)
def test_a_fault_without_end_goes_on_until_the_client_leaves(box, fault, expected):
    with dial(box) as sock:
        sock.sendall(request_bytes(f"/fault/{fault}{PATH}", STREAM))
        raw = b""
        while expected not in raw.replace(b"\r\n1\r\n", b""):
            raw += sock.recv(65536)
    assert box.wait_closed()


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("cut", lambda got: int(got.headers["content-length"]) == 2 * len(got.rest) + 1),
        ("cut-chunk", lambda got: int(got.headers["content-length"]) > len(got.rest) > 0),
        ("reset", lambda got: got.end == "reset"),
        ("empty", lambda got: got.json()["choices"][0]["message"]["content"] == ""),
        ("empty-body", lambda got: got.headers["content-length"] == "0"),
        ("error-event", lambda got: got.status == 200 and error_code(got) == "server_is_overloaded"),
        ("bad-json", lambda got: got.rest.startswith(b"{") and got.rest.endswith(b'"brok')),
        ("no-end-marker", lambda got: got.json()["choices"][0]["finish_reason"] == "stop"),
        ("pings,every=60", lambda got: True),
    ],
)
def test_an_answer_in_one_piece_is_spoiled_too(box, fault, check):
    if fault.startswith("pings"):
        with dial(box) as sock:
            sock.sendall(request_bytes(f"/fault/{fault}{PATH}", CHAT))
            assert b"chunked" in sock.recv(1000)
        return
    box.says("An answer of even length.")
    got = talk(box, f"/fault/{fault}{PATH}", CHAT)
    assert check(got) or len(got.rest) * 2 == int(got.headers["content-length"]), got.raw


def test_a_cut_before_the_first_piece_of_a_stream_with_nothing_in_front_is_a_cut_chunk_of_nothing(box):
    got = talk(box, "/fault/cut-chunk,after=0/chat/send2/", aichats())
    assert got.chunks == [b"\n"]


def test_a_piece_is_cut_inside_a_character(box):
    box.says("été 🌞!")
    got = talk(box, "/fault/split,size=1/api/generate", signed(), kind="text/plain")
    assert got.body.decode() == "été 🌞!"
    assert all(len(part) == 1 for part in got.chunks[:-1])


# Faults of single sites


def test_a_picture_answer_may_lack_its_list_or_its_address(box):
    assert talk(box, "/fault/missing-data/chat/send2/", aichats(kind="image")).json() == {}
    assert talk(box, "/fault/missing-url/chat/send2/", aichats(kind="image")).json() == {"data": [{}]}


def test_a_token_request_may_fail(box):
    box.script("token-500", "token-null")
    path = "/api/v1/user/getUniqueId?canvas=-x"
    assert talk(box, path, method="GET").status == 500
    assert talk(box, path, method="GET").json()["data"] is None


@pytest.mark.parametrize(
    ("fault", "seen"),
    [("noise", b"not json\n"), ("data-prefix", b'data: {"code": 200')],
)
def test_lines_may_come_with_more_around_them(box, fault, seen):
    record = {"conversationId": "x", "prompt": "I am sad"}
    got = talk(box, f"/fault/{fault}/aichatonline/api/chat/gpt", record, headers={"UniqueId": token(box)})
    assert seen in got.body
    lines = [line.replace("data: ", "") for line in got.body.decode().splitlines() if "message" in line]
    assert "".join(json.loads(line)["data"]["message"] for line in lines) == ELIZA


def test_aichat_may_say_that_it_failed(box):
    got = talk(box, "/fault/response-false/api/text", {"message": "I am sad"})
    assert (got.status, got.json()["response"]) == (200, False)


def test_chatgptt_may_answer_with_an_error_or_a_zero(box):
    tokens, cookie = visit(box)
    got = talk(box, "/fault/msg-error" + AJAX, headers=cookie, **form(tokens))
    assert (got.status, got.json()["status"]) == (200, "error")
    got = talk(box, "/fault/body-zero" + AJAX, headers=cookie, **form(tokens))
    assert (got.status, got.body) == (400, b"0")


# The shape of each wire

CHATS = {
    "/chat/send2/": {"record": aichats()},
    "/aichatonline/api/chat/gpt": {"record": {"conversationId": "x", "prompt": "I am sad"}},
    "/chatgpt/wp-json/mwai-ui/v1/chats/submit": {"record": {"newMessage": "I am sad", "messages": [], "stream": True}},
    "/api/text": {"record": {"message": "I am sad"}},
    "/api/generate": {"record": signed()},
    AJAX: {},
    PATH: {"record": STREAM},
}


def settings_for(box, path):
    """What a client of the site sends, with the tokens it has to ask for first."""
    settings = dict(CHATS[path])
    if path == AJAX:
        tokens, settings["headers"] = visit(box)
        settings.update(form(tokens))
    if "aichatonline" in path:
        settings["headers"] = {"UniqueId": token(box)}
    return settings


def ask(box, path, fault):
    return talk(box, f"/fault/{fault}{path}", **settings_for(box, path))


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/chat/send2/", 429, {"error": "You exceeded your current quota, check your plan and billing."}),
        ("/aichatonline/api/chat/gpt", 429, {"code": 429, "data": None}),
        ("/chatgpt/wp-json/mwai-ui/v1/chats/submit", 429, {"success": False}),
        ("/api/text", 429, {"response": False}),
        (AJAX, 200, {"msg": "You have reached your token limit.", "tokenLimitReached": True}),
    ],
)
def test_each_site_tells_a_quota_in_its_own_shape(box, path, status, expected):
    got = ask(box, path, "quota")
    assert got.status == status
    assert got.json().items() >= expected.items()


@pytest.mark.parametrize(("fault", "status"), [("quota", 500), ("rate-limit", 429), ("quota,status=429", 429)])
def test_aichatfree_passes_on_the_quota_of_the_model_behind_it(box, fault, status):
    got = ask(box, "/api/generate", fault)
    assert got.status == status
    assert "Quota exceeded" in got.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/chat/send2/", b'data: How\n\n{"error": "'),
        ("/aichatonline/api/chat/gpt", b'{"code": 429, "msg": "'),
        ("/chatgpt/wp-json/mwai-ui/v1/chats/submit", b'data: {"type": "error", "data": "'),
        ("/api/text", b'{"response": false, "message": "'),
        ("/api/generate", b"How[429 Too Many Requests] Quota exceeded"),
        (AJAX, b'data: {"msg": "You have reached your token limit.'),
        (PATH, b'data: {"error": {"message": "'),
    ],
)
def test_each_wire_breaks_off_in_its_own_shape(box, path, seen):
    fault = "sse/fault/error-event" if path == AJAX else "error-event"
    got = ask(box, path, f"{fault},kind=quota,after=1")
    assert got.status == 200
    assert seen in got.body


def test_aichatfree_breaks_off_in_plain_words(box):
    assert ask(box, "/api/generate", "error-event").body == b"The service is overloaded, try again later."


@pytest.mark.parametrize("path", CHATS)
def test_each_wire_keeps_a_stream_alive_with_something_that_says_nothing(box, path):
    with dial(box) as sock:
        sock.sendall(request_bytes(f"/fault/pings,every=0.001{path}", **settings_for(box, path)))
        raw = b""
        while raw.count(b"\n\n\r\n") < 2 and raw.count(b"\r\n1\r\n\n\r\n") < 2:
            raw += sock.recv(65536)
    assert box.wait_closed()


@pytest.mark.parametrize("path", CHATS)
def test_each_wire_answers_without_text(box, path):
    got = ask(box, path, "empty")
    assert got.status == 200
    assert ELIZA not in got.body.decode()
