"""Answers as gateways damage them, on every wire: the text is whole, or the error says what was told."""

from __future__ import annotations

import json

import pytest
from fault_wires import WIRES, delta, sse
from recorded import ANYWHERE

from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ContentFilteredError,
    ModelNotFoundError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.events import Event
from aichatkit.events.sse import TrailingEvent
from aichatkit.registry import registry

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "CO_API_KEY")
STOP, DONE = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}), b"data: [DONE]\n\n"


def responses_event(kind, **record):
    return sse({"type": f"response.{kind}", **record})


def completed(*output):
    return responses_event("completed", response={"status": "completed", "output": list(output)})


def says(text):
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"id": "m1", "type": "message", "role": "assistant", "content": content}


#: name -> a piece of text, what comes before and after.
FORMS = {
    **{name: (WIRES[name].piece, WIRES[name].start, WIRES[name].end) for name in ("openai", "anthropic", "gemini")},
    "cohere": (
        lambda text: sse({"type": "content-delta", "delta": {"message": {"content": {"text": text}}}}),
        sse({"type": "message-start", "delta": {"message": {"role": "assistant"}}}),
        sse({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {}}}),
    ),
    "openai-responses": (lambda text: responses_event("output_text.delta", delta=text), b"", completed()),
    "aichatonline-classic": (WIRES["aichatonline-classic"].piece, b"", WIRES["aichatonline-classic"].end),
    "chatgptt": (WIRES["chatgptt"].piece, b"", DONE),
}
SERVICES = list(FORMS)[:5]
PAGE = b'<html><div class="wpaicg-chat-shortcode" data-nonce="0a1b2c" data-post-id="7"></div></html>'


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in KEYS:
        monkeypatch.setenv(name, "sk-test")


@pytest.fixture
def told(asks):
    """Read an answer with these bytes between its two pieces of text."""

    def read(name, between=b"", *, end=None, twist=lambda body: body):
        piece, start, usual = FORMS[name]
        body = start + piece("Hel") + between + piece("lo") + (usual if end is None else end)
        return asks(name, twist(body), page=PAGE)

    return read


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("beat", [b"data:\n\n", b"data: \n\n", b": ping\n\n", b"data: : PROCESSING\n\n"])
def test_signs_of_life_are_passed_over(told, name, beat):
    assert told(name, beat).text == "Hello"


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("beat", [b"data: {}\n\n", b'event: ping\ndata: {"ts": 1}\n\n', b'data: {"type": "ping"}\n\n'])
def test_records_without_content_are_passed_over(told, name, beat):
    assert told(name, beat).text == "Hello"


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize(
    "words", [b"event: error\ndata: it broke\n\n", b"error: it broke\n\n", b'{"error": "it broke"}\n\n']
)
def test_an_error_in_any_framing_is_one_error_with_the_text_before_it(told, name, words):
    with pytest.raises(ServerError, match="it broke") as caught:
        told(name, words)
    assert (type(caught.value), caught.value.partial) == (ServerError, "Hel")


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    "words",
    [
        b"Error: it broke\n\n",
        b'{"detail": "it broke"}\n\n',
        b'data: {"detail": "it broke"}\n\n',
        b'data: {"code": 502, "message": "it broke"}\n\n',
        b'{"status": 502, "message": "it broke"}\n\n',
        b"<html><head><title>502 it broke</title></head></html>\n\n",
        b"<!DOCTYPE html>it broke\n\n",
    ],
)
def test_a_failure_in_the_form_of_a_framework_or_a_gateway_is_an_error(told, name, words):
    with pytest.raises(ServerError, match="it broke") as caught:
        told(name, words)
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize("name", ["anthropic", "gemini", "openai-responses", "cohere"])
def test_a_record_that_is_only_a_text_is_an_error(told, name):
    with pytest.raises(ServerError, match="it broke") as caught:
        told(name, b'data: "it broke"\n\n')
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    "words", [b"<- a comment\n\n", b'data: {"status": "ok", "code": 200}\n\n', b'data: {"detail": 7}\n\n']
)
def test_other_lines_and_records_are_passed_over(told, name, words):
    assert told(name, words).text == "Hello"


def test_an_error_without_words_is_an_error(told):
    with pytest.raises(ServerError):
        told("anthropic", b"event: error\ndata:\n\n")


@pytest.mark.parametrize("name", SERVICES)
def test_lines_without_data_and_framed_twice_are_read(told, name):
    assert told(name, twist=lambda body: body.replace(b"data: ", b"")).text == "Hello"
    assert told(name, twist=lambda body: body.replace(b"data: ", b"data: data: ")).text == "Hello"
    assert told(name, twist=lambda body: body.replace(b"\n\n", b"\n").replace(b"event: ", b": ")).text == "Hello"


@pytest.mark.parametrize("name", ["anthropic", "gemini", "openai-responses"])
def test_the_end_marker_of_another_protocol_is_passed_over(told, name):
    assert told(name, DONE).text == "Hello"


@pytest.mark.parametrize("name", ["openai", "gemini", "cohere"])
def test_an_end_marker_before_the_last_text_hides_no_cut(told, name):
    marker = STOP if name == "openai" else FORMS[name][2].replace(DONE, b"")
    with pytest.raises(StreamInterruptedError) as caught:
        told(name, marker, end=b"")
    assert caught.value.partial == "Hello"
    assert told(name, marker).text == "Hello"


@pytest.mark.parametrize(
    ("record", "kind", "words"),
    [
        ({"status": "435", "msg": "Model not support", "body": None}, ChatError, "Model not support"),
        ({"code": 1211, "msg": "model does not exist"}, ModelNotFoundError, "does not exist"),
        ({"errcode": 40001, "errmsg": "invalid credential"}, ChatError, "invalid credential"),
        ({"error_code": 17, "error_msg": "daily request limit reached"}, QuotaExceededError, "daily request"),
        ({"detail": "Not authenticated"}, ChatError, "Not authenticated"),
        ({"code": 1, "data": None, "msg": "It is late."}, ChatError, "It is late"),
    ],
)
@pytest.mark.parametrize("name", [*SERVICES, "ollama"])
def test_a_document_that_is_no_answer_is_told_in_its_words(asks, name, record, kind, words):
    with pytest.raises(kind, match=words) as caught:
        asks(name, json.dumps(record).encode(), content_type="application/json")
    assert words in str(caught.value)


@pytest.mark.parametrize("reason", ["abort", "insufficient_system_resource", "timeout", "Cancelled"])
@pytest.mark.parametrize("document", [False, True])
def test_a_finish_reason_that_means_broken_off_is_an_error(asks, reason, document):
    answer = {"choices": [{"index": 0, "message": {"content": "Hel"}, "finish_reason": reason}]}
    body = json.dumps(answer).encode() if document else delta("Hel") + delta(None, finish_reason=reason) + DONE
    with pytest.raises(ServerError, match=f"finish reason {reason}") as caught:
        asks("openai", body)
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize("name", ["openai", "deepseek", "openrouter"])
def test_a_last_piece_with_the_whole_message_adds_nothing(asks, monkeypatch, name):
    for variable in ("DEEPSEEK_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(variable, "sk-test")
    for extra in ({}, {"delta": {}}, {"delta": None}, {"delta": {"role": "assistant", "content": ""}}):
        last = sse({"choices": [{"index": 0, **extra, "message": {"content": "Hello"}, "finish_reason": "stop"}]})
        assert asks(name, delta("Hel") + delta("lo") + last + DONE).text == "Hello"
        assert asks(name, last + DONE).text == "Hello"


def test_a_document_is_read_from_its_message(asks):
    choice = {"index": 0, "message": {"content": "Hello"}, "delta": {"role": "assistant", "content": ""}}
    assert asks("openai", json.dumps({"choices": [choice]}).encode()).text == "Hello"
    choice = {"index": 0, "message": {"content": ""}, "delta": {"content": "Hello"}}
    assert asks("openai", json.dumps({"choices": [choice]}).encode()).text == "Hello"


@pytest.mark.parametrize("document", [False, True])
@pytest.mark.parametrize(("code", "kind"), [(429, RateLimitError), (402, QuotaExceededError)])
def test_an_error_inside_the_choice_is_classed_by_its_words(asks, document, code, kind):
    choice = {"index": 0, "error": {"code": code, "message": "Not upstream."}, "finish_reason": "error"}
    body = json.dumps({"choices": [{**choice, "message": {"content": ""}}]}).encode() if document else delta("")
    with pytest.raises(kind, match="Not upstream"):
        asks("openai", body if document else body + sse({"choices": [{**choice, "delta": {"content": "x"}}]}) + DONE)


ODD = [
    {"annotations": "x"},
    {"annotations": [None, {"type": "url_citation", "url_citation": {"title": "t"}}]},
    {"images": ["data:image/png;base64,AAAA", {"image_url": "https://x.example/a.png"}, {"image_url": {"url": 5}}]},
    {"tool_calls": [None]},
    {"refusal": False},
    {"reasoning": {"text": "hm"}},
]


@pytest.mark.parametrize("extra", ODD)
def test_odd_fields_beside_the_text_do_not_cost_it(asks, extra):
    assert asks("openai", sse({"choices": [{"delta": extra}]}) + delta("Hello") + STOP + DONE).text == "Hello"


@pytest.mark.parametrize(
    "extra",
    [
        *({"citations": [None, {"title": "t"}]}, {"citations": "x"}, {"model": 5}, {"id": 7}, {"x_groq": "a"}),
        *({"choices": [None]}, {"choices": "x"}, {"base_resp": 0}),
    ],
)
def test_odd_fields_of_a_record_do_not_cost_the_text(asks, extra):
    assert asks("openai", sse({"choices": [], **extra}) + delta("Hello") + STOP + DONE).text == "Hello"


@pytest.mark.parametrize("field", ["citations", "search_results"])
def test_sources_beside_a_text_are_kept(asks, field):
    record = {"choices": [{"index": 0, "delta": {"content": "Hi"}}], field: [{"url": "https://a.example"}]}
    (citation,) = asks("openai", sse(record) + STOP + DONE).citations
    assert citation.url == "https://a.example"


def test_details_of_reasoning_are_reasoning(asks):
    details = [{"type": "reasoning.text", "text": "H"}, {"type": "reasoning.summary", "summary": "m."}, {"data": "c2"}]
    piece = sse({"choices": [{"delta": {"content": "", "reasoning_details": details}}]})
    assert asks("openai", piece + delta("Hi") + STOP + DONE).reasoning == "Hm."


def test_a_start_without_a_model_does_not_cost_the_answer(told):
    reply = told("anthropic", twist=lambda body: body.replace(b'"id": "m", "model": "claude", ', b""))
    assert (reply.text, reply.model) == ("Hello", registry["anthropic"].default_model)


def test_a_whole_document_of_gemini_needs_no_finish_reason(asks):
    document = {"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}
    assert asks("gemini", json.dumps(document, indent=1).encode()).complete
    with pytest.raises(StreamInterruptedError):
        asks("gemini", json.dumps([document]).encode())


def test_a_document_over_several_lines_is_read(asks):
    document = {"message": {"content": "Hello"}, "done": True}
    assert asks("ollama", json.dumps(document, indent=1).encode()).text == "Hello"


TEXT_DONE = responses_event("output_text.done", item_id="m1", output_index=0, content_index=0, text="Hello")
ITEM_DONE = responses_event("output_item.done", output_index=0, item=says("Hello"))
PART = responses_event("content_part.added", item_id="m1", output_index=0, content_index=0)
ADDED = responses_event("output_item.added", output_index=0, item={**says(""), "content": []})
PIECES = FORMS["openai-responses"][0]("Hel") + FORMS["openai-responses"][0]("lo")
REASONED = {"type": "reasoning", "content": [{"text": "Hm."}], "summary": []}


@pytest.mark.parametrize(
    "body",
    [
        completed(says("Hello")),
        TEXT_DONE + completed(),
        ITEM_DONE + completed(),
        TEXT_DONE + ITEM_DONE + completed(says("Hello")),
        ADDED + PART + PIECES + TEXT_DONE + ITEM_DONE + completed(says("Hello")),
        FORMS["openai-responses"][0]("Hel") + ITEM_DONE + completed(),
        responses_event("output_text.delta", delta="Hello", content_index=1) + completed(),
    ],
)
def test_text_of_closing_events_is_taken_once(asks, body):
    assert asks("openai-responses", body).text == "Hello"


@pytest.mark.parametrize(
    "body",
    [
        responses_event("refusal.delta", delta="No.") + responses_event("refusal.done", refusal="No.") + completed(),
        responses_event("refusal.done", refusal="No.") + completed(),
        completed({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}),
        json.dumps(
            {"object": "response", "output": [{"type": "message", "content": [{"refusal": "No."}]}]}, indent=1
        ).encode(),
    ],
)
def test_a_refusal_is_text_and_no_answer_to_a_schema(asks, web, body):
    reply = asks("openai-responses", body)
    assert (reply.text, reply.finish_reason) == ("No.", "content_filter")
    with pytest.raises(ContentFilteredError, match=r"No\.") as caught:
        asks("openai-responses", body, schema=list[int])
    assert (caught.value.partial, len(web.calls)) == ("No.", 2)


def test_a_refusal_of_chat_completions_is_asked_once(asks, web):
    body = sse({"choices": [{"delta": {"refusal": "Never."}}]}) + STOP + DONE
    with pytest.raises(ContentFilteredError, match="Never"):
        asks("openai", body, schema=list[int])
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    "body",
    [
        responses_event("reasoning_text.done", text="Hm.") + PIECES + completed(REASONED),
        responses_event("output_item.done", item=REASONED) + PIECES + completed(REASONED),
        json.dumps({"object": "response", "output": [REASONED, says("Hello")]}).encode(),
    ],
)
def test_reasoning_of_responses_is_taken_once(asks, body):
    reply = asks("openai-responses", body)
    assert (reply.text, reply.reasoning) == ("Hello", "Hm.")


@pytest.mark.parametrize("data", ["bm90IGEgcGljdHVyZQ==", "?"])
def test_a_picture_that_cannot_be_read_does_not_cost_the_text(asks, data):
    item = {"type": "image_generation_call", "result": data}
    assert asks("openai-responses", completed(item, says("Hello"))).text == "Hello"
    with pytest.raises(BadResponseError, match=r"image|picture"):
        asks("openai-responses", completed(item))


ARGUMENTS = '{"folder": "tmp"}'
CALL = {"type": "function_call", "call_id": "c1", "name": "wipe", "arguments": ""}
FULL = {**CALL, "arguments": ARGUMENTS}
BEGUN = responses_event("output_item.added", output_index=0, item=CALL)


@pytest.mark.parametrize("how", ["ask", "stream", "chat", "map"])
@pytest.mark.parametrize(
    "body",
    [
        BEGUN
        + responses_event("function_call_arguments.done", output_index=0, arguments=FULL["arguments"])
        + completed(),
        BEGUN + responses_event("output_item.done", output_index=0, item=FULL) + completed(),
        BEGUN + completed(says("I wipe."), FULL),
        responses_event("output_item.done", output_index=0, item=FULL) + completed(FULL),
        completed(FULL),
    ],
)
def test_a_tool_runs_once_with_the_arguments_that_closing_events_tell(web, online, how, body):
    ran = []

    def wipe(folder: str = "/") -> str:
        """Wipe a folder."""
        ran.append(folder)
        return "done"

    web.post(ANYWHERE, body=body)
    web.post(ANYWHERE, body=PIECES + completed())
    options = {"model": "openai-responses", "tools": [wipe]}
    if how == "map":
        texts = [reply.text for reply in online.map(["Hi"], **options)]
    else:
        asked = online.chat(**options).ask("Hi") if how == "chat" else getattr(online, how)("Hi", **options)
        texts = ["".join(asked)] if how == "stream" else [asked.text]
    assert (ran, len(texts)) == (["tmp"], 1)
    assert texts[0].endswith("Hello")


def gemini_call(reason=None, **call):
    entry = {"content": {"parts": [{"functionCall": call}]}, **({"finishReason": reason} if reason else {})}
    return sse({"candidates": [entry]})


def piece_of(path, value, **more):
    return gemini_call(partialArgs=[{"jsonPath": path, **value}], **more)


def test_a_call_of_gemini_may_come_field_by_field(asks):
    body = gemini_call(name="trip", willContinue=True)
    body += piece_of("$.city", {"stringValue": "Par", "willContinue": True}, willContinue=True)
    body += piece_of("$.city", {"stringValue": "is"}, willContinue=True)
    body += piece_of("$.stops[0].days", {"numberValue": 2}, willContinue=True)
    body += piece_of("$['no smoking']", {"boolValue": True}, willContinue=True)
    body += piece_of("$.note", {"nullValue": None}) + gemini_call("STOP")
    (call,) = asks("gemini", body).tool_calls
    assert call.arguments == {"city": "Paris", "stops": [{"days": 2}], "no smoking": True, "note": None}


def test_a_path_that_cannot_be_read_is_an_error_of_the_answer(asks):
    with pytest.raises(BadResponseError, match="ValueError"):
        asks("gemini", gemini_call(name="trip") + piece_of("city", {"stringValue": "Paris"}))


DIED = "Internal server error"


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("text", "words"), [("", DIED), ("It is: ", DIED), ("I see ", "Internal server error\n ")])
def test_the_words_of_a_site_that_failed_are_no_text(text, words, size):
    body = (text + words).encode()
    site = registry["aichatfree"]()
    *texts, last = site.iter_events([body[at : at + size] for at in range(0, len(body), size)])
    assert "".join(map(site.parse_event, texts)) == text
    with pytest.raises(StreamInterruptedError if text else ServerError, match=words.strip()):
        site.parse_event(last)


def test_an_error_object_of_the_site_is_an_error(asks):
    with pytest.raises(ServerError, match="broke"):
        asks("aichatfree", b'{"error": {"message": "It broke."}}', content_type="text/plain")


@pytest.mark.parametrize(
    "text",
    [f"An {DIED} is status 500.", "I", "Int", "It is called internal server error", f"{DIED}s", '{"errors": 1}'],
)
def test_the_same_words_inside_of_a_text_are_text(asks, text):
    assert asks("aichatfree", text.encode(), content_type="text/plain").text == text


@pytest.mark.parametrize("name", ["openai", "openai-responses", "anthropic", "gemini", "cohere", "perplexity"])
def test_an_event_framed_thousands_of_times_is_read_like_one_framed_twice(name):
    assert registry[name]().parse_event(Event("data:" * 5000, "message")) is None


@pytest.mark.parametrize("name", ["openai", "openai-responses", "anthropic", "gemini", "cohere", "perplexity"])
def test_an_end_marker_that_is_cut_off_is_nothing_but_at_the_end(name):
    provider = registry[name]()
    assert provider.parse_event(TrailingEvent("[DO", "message")) is None
    with pytest.raises(ValueError, match="Expecting value"):
        provider.parse_event(Event("[DO", "message"))


@pytest.mark.parametrize("odd", [5, "x", ["x"], True])
def test_details_of_an_odd_type_do_not_cost_the_answer(asks, odd):
    candidate = {"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}
    assert asks("gemini", sse({"candidates": [candidate], "promptFeedback": odd})).text == "Hello"
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
    response = {"status": "completed", "output": [message], "incomplete_details": odd}
    assert asks("openai-responses", sse({"type": "response.completed", "response": response})).text == "Hello"
