"""OpenAI's chat completions, as OpenAI and the services that imitate it really send them."""

from __future__ import annotations

import json
import threading

import pytest
from recorded import ANYWHERE, in_pieces

from aichatkit import Client, Usage
from aichatkit.chunks import Citation, ToolCall
from aichatkit.errors import (
    AuthenticationError,
    BadResponseError,
    BlockedError,
    ContentFilteredError,
    EmptyAnswerError,
    MissingKeyError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.messages import parse_messages
from aichatkit.providers.base import Options
from aichatkit.providers.openai import OpenAI
from aichatkit.providers.openai_compatible import OpenAICompatible
from aichatkit.sandbox import RawServer
from aichatkit.sandbox.raw import chunk, chunked_head

DONE = b"data: [DONE]\n\n"


def event(record, name=""):
    title = f"event: {name}\n" if name else ""
    return f"{title}data: {json.dumps(record, ensure_ascii=False)}\n\n".encode()


def delta(change, reason=None, **more):
    return event({"id": "x", "choices": [{"index": 0, "delta": change, "finish_reason": reason}], **more})


def says(*texts):
    return b"".join(delta({"content": text}) for text in texts)


STOP = delta({}, "stop")


@pytest.fixture
def read(asks):
    """Read one answer of these bytes."""

    def read_it(*parts, **options):
        return asks("openai/gpt-6-sol", b"".join(parts), **options)

    return read_it


def sent(prompt="Hi", *, kind=OpenAI, **params):
    return kind().build_request(parse_messages(prompt), "gpt-6-sol", options=Options(params=params))


def test_the_body_has_model_messages_and_the_wish_for_a_stream_with_usage():
    request = sent(["Hi", {"role": "assistant", "content": "Hello!"}, "Été 🌞"])
    assert (request.method, request.url) == ("POST", "https://api.openai.com/v1/chat/completions")
    assert request.headers == {"Accept": "text/event-stream"}
    assert list(request.json.items()) == [
        ("model", "gpt-6-sol"),
        (
            "messages",
            [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello!"},
                {"role": "user", "content": "Été 🌞"},
            ],
        ),
        ("stream", True),
        ("stream_options", {"include_usage": True}),
    ]


def test_parameters_go_by_the_names_of_the_service():
    class Renamed(OpenAICompatible):
        """A service that names one of them its own way."""

        name = "renamed"
        url = "https://renamed.example/v1"
        params = {"max_tokens": "max_completion_tokens", "stop": "stop"}  # noqa: RUF012
        stream_usage = False

    body = sent(kind=Renamed, max_tokens=5, stop=["x"]).json
    assert list(body)[2:] == ["stream", "max_completion_tokens", "stop"]
    assert (body["max_completion_tokens"], body["stop"]) == (5, ["x"])


def test_a_parameter_of_zero_is_sent(read, web):
    read(says("Hello"), STOP, temperature=0, max_tokens=None)
    body = json.loads(web.calls[0].request.body)
    assert body["temperature"] == 0
    assert "max_tokens" not in body


def test_the_key_goes_into_the_header(read, web):
    read(says("Hello"), STOP)
    assert web.calls[0].request.headers["Authorization"] == "Bearer sk-test"


def test_without_a_key_nothing_is_sent_and_the_variable_is_named(web):
    with Client() as client, pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        client.ask("Hi", model="openai")
    assert not web.calls


@pytest.mark.parametrize(
    "parts",
    [
        [delta({"role": "assistant", "content": ""}), says("Hel", "lo"), STOP, DONE],
        [delta({"role": "assistant", "content": "Hel"}), says("lo"), STOP, DONE],
        [
            delta({"role": "assistant", "content": None}),
            delta({}),
            says("Hel"),
            delta({"content": None}),
            says("lo"),
            STOP,
        ],
        [event({"choices": [{"index": 0, "finish_reason": None}]}), says("Hello"), STOP],
        [event({"choices": [{"delta": None}]}), event({"choices": None}), event({}), says("Hello"), STOP],
        [event({"id": "", "object": "", "choices": [], "prompt_filter_results": [{}]}), says("Hello"), STOP, DONE],
        [says("Hel"), delta({"content": "lo"}, "stop")],
        [says("Hello"), DONE],
        [says("Hello"), STOP],
        [says("Hello"), delta({"content": None}, ""), STOP],
        [says("Hello"), STOP, delta({"content": "", "role": "assistant"}), DONE],
        [says("Hello"), b"data: [DONE][LIMIT_CONVERSATION]\n\n", says("more")],
        [says("Hello"), b"data: [DONE]"],
        [b": PROCESSING\n\n\n\n", says("Hello"), b": ping - 12:00\n\nretry: 10\n\ndata: \n\ndata:\n\n", STOP],
        [b"\xef\xbb\xbf", says("Hello"), STOP],
        [(says("Hello") + STOP).replace(b"\n", b"\r\n")],
        [(says("Hello") + STOP).replace(b"\n", b"\r")],
        [b'data: {"choices": [{"delta":\ndata: {"content": "Hello"}}]}\n\n', STOP],
        [delta({"content": "Hello"}, obfuscation="aZ3"), STOP, DONE],
        [delta({"content": "Hello", "reasoning_content": None, "tool_calls": None}), STOP],
        [delta({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}), STOP],
        [event({"choices": [{"message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]})],
    ],
    ids=[
        *("role first", "role with text", "null and empty", "no delta", "null delta", "Azure", "text at the finish"),
        *("only DONE", "only a reason", "empty reason", "chunks after the reason", "DONE with a suffix"),
        *("no last line end", "comments", "BOM", "CRLF", "CR", "two lines", "padding", "null beside", "parts"),
        "whole message as an event",
    ],
)
def test_the_text_comes_whole_however_a_service_sends_it(read, parts):
    reply = read(*parts)
    assert (reply.text, reply.complete) == ("Hello", True)


def test_blanks_are_text_wherever_they_stand(read):
    assert read(says("\n", " ", "a", "  ", "\t", "b", "\n\n"), STOP).text == "\n a  \tb\n\n"


def test_characters_beyond_ascii_are_read_as_utf_8_without_a_charset(read):
    assert read(says("Été — 🌞\u2028x\u0085y"), STOP, content_type="text/plain").text == "Été — 🌞\u2028x\u0085y"


@pytest.mark.parametrize("content_type", ["application/json", "text/html", "application/octet-stream", ""])
def test_a_stream_under_another_type_is_read_all_the_same(read, content_type):
    assert read(says("Hello"), STOP, DONE, content_type=content_type).text == "Hello"


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("content_type", ["text/html", "text/plain"])
def test_a_page_and_a_stream_are_told_apart_however_they_are_cut(web, online, content_type, size):
    page = b"\n<!DOCTYPE html><title>Just a moment...</title>"
    for body in (says("Hello") + STOP, page):
        web.post(ANYWHERE, body=in_pieces(body, size), content_type=content_type)
    assert online.ask("Hi", model="openai").text == "Hello"
    with pytest.raises(BlockedError):
        online.ask("Hi", model="openai")


def test_a_piece_is_handed_out_before_the_next_is_sent(policy):
    seen, more = threading.Event(), threading.Event()
    script = [chunked_head(), chunk(says("Hello")), seen, chunk(says(" world")), more, chunk(STOP + DONE), chunk(b"")]
    with (
        RawServer(script) as server,
        Client(model="openai", api_key="sk-test", base_url=server.url, retry=policy, timeout=5) as client,
    ):
        stream = iter(client.stream("Hi"))
        assert next(stream) == "Hello"
        seen.set()
        assert next(stream) == " world"
        more.set()
        assert list(stream) == []


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
@pytest.mark.parametrize("start", [b"", b"\n ", b"\xef\xbb\xbf"], ids=["bare", "blanks", "BOM"])
def test_a_service_that_does_not_stream_is_read_too(read, content_type, start):
    message = {"role": "assistant", "content": "Hello", "refusal": None}
    record = {
        "model": "gpt-6-sol-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    reply = read(start, json.dumps(record, indent=2).encode(), content_type=content_type)
    assert (reply.text, reply.complete, reply.finish_reason, reply.model) == ("Hello", True, "stop", "gpt-6-sol-2026")
    assert reply.usage.input_tokens == 3


def test_a_whole_document_is_complete_without_a_finish_reason(read):
    reply = read(b'{"choices": [{"message": {"content": "Hello"}, "finish_reason": null}]}')
    assert (reply.text, reply.complete, reply.finish_reason) == ("Hello", True, None)


def test_the_model_that_answered_is_told(read):
    reply = read(event({"model": "gpt-6-sol-2026-09-01", "choices": []}), says("Hello"), STOP)
    assert reply.model == "gpt-6-sol-2026-09-01"
    assert reply.attempts[-1].model == "gpt-6-sol"


def test_usage_is_told_with_its_details(read):
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    reply = read(says("Hello"), STOP, event({"choices": [], "usage": usage}), DONE)
    assert reply.usage == Usage(10, 4, 14, cached_tokens=8, reasoning_tokens=2)


@pytest.mark.parametrize(
    "parts",
    [
        [delta({"content": "Hello"}, usage={"prompt_tokens": 3, "completion_tokens": 1}), STOP],
        [
            delta({"content": "Hel"}, usage={"prompt_tokens": 3, "completion_tokens": 0}),
            delta({"content": "lo"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
            STOP,
            event({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}),
        ],
        [says("Hello"), delta({}, "stop", x_groq={"id": "req", "usage": {"prompt_tokens": 3, "completion_tokens": 1}})],
        [says("Hello"), delta({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 1}), DONE],
        [says("Hello"), STOP, event({"choices": [{}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}})],
        [
            *(says("Hello"), STOP),
            event({"usage": {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": None}}),
        ],
    ],
    ids=["beside choices", "repeated", "Groq", "at the reason", "no delta", "no choices"],
)
def test_usage_is_found_wherever_it_stands_and_the_largest_count_holds(read, parts):
    reply = read(*parts)
    assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("Hello", 3, 1)


def test_usage_that_is_not_told_is_none(read):
    assert read(says("Hello"), delta({}, "stop", usage=None, x_groq={"id": "req"})).usage == Usage()


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("model_context_window_exceeded", "length"),
        ("sensitive", "content_filter"),
        ("function_call", "tool_calls"),
        ("tool_calls", "tool_calls"),
        ("its own", "its own"),
    ],
)
def test_finish_reasons_have_one_vocabulary(read, word, reason):
    assert read(says("Hello"), delta({}, word)).finish_reason == reason


@pytest.mark.parametrize("word", ["error", "network_error"])
def test_a_finish_reason_of_an_error_is_an_error(read, word):
    with pytest.raises(ServerError) as caught:
        read(says("Hel"), delta({}, word), DONE)
    assert caught.value.partial == "Hel"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_what_a_model_thinks_aloud_is_not_its_answer(read, field):
    reply = read(delta({field: "Let me "}), delta({field: "think.", "content": ""}), says("Hello"), STOP)
    assert (reply.text, reply.reasoning) == ("Hello", "Let me think.")


@pytest.mark.parametrize("other", [None, "", {"tokens": 3}])
def test_reasoning_that_is_no_text_is_left_out(read, other):
    assert read(delta({"content": "Hello", "reasoning": other}), STOP).reasoning == ""


def test_a_list_of_parts_may_hold_thoughts(read):
    thought = {
        "type": "thinking",
        "thinking": [{"type": "text", "text": "Let me "}, {"type": "text", "text": "think."}],
    }
    parts = [
        thought,
        {"type": "thinking"},
        {"type": "text", "text": "Hello"},
        {"type": "reference", "reference_ids": [1]},
    ]
    reply = read(delta({"content": parts}), STOP)
    assert (reply.text, reply.reasoning) == ("Hello", "Let me think.")


def test_a_refusal_of_the_model_is_its_text(read):
    assert read(delta({"refusal": "I can"}), delta({"refusal": "not."}), STOP).text == "I cannot."


def call(function, **fields):
    return {"type": "function", "function": function, **fields}


@pytest.mark.parametrize(
    "parts",
    [
        [
            delta({"tool_calls": [call({"name": "rain", "arguments": ""}, index=0, id="a")]}),
            delta({"tool_calls": [call({"arguments": '{"x"'}, index=0), call({"name": "sun"}, index=1, id="b")]}),
            delta({"tool_calls": [call({"arguments": ": 1}"}, index=0)]}),
        ],
        [
            delta(
                {
                    "tool_calls": [
                        call({"name": "rain", "arguments": {"x": 1}}, id="a"),
                        call({"name": "sun", "arguments": {}}, id="b"),
                    ]
                }
            )
        ],
        [
            delta({"tool_calls": [call({"name": "rain", "arguments": '{"x": '}, id="a")]}),
            delta({"tool_calls": [{"function": {"arguments": "1}"}}]}),
            delta({"tool_calls": [call({"name": "sun", "arguments": None}, id="b")]}),
        ],
        [
            delta({"tool_calls": [call({"name": "rain", "arguments": '{"x": 1}'}, index=0, id="a")]}),
            delta({"tool_calls": [call({"name": "sun", "arguments": "{}"}, index=0, id="b")]}),
        ],
        [
            delta({"tool_calls": [call({"name": "rain", "arguments": '{"x": 1}'}, index=0, id="a")]}),
            delta({"tool_calls": [call({"name": None, "arguments": ""}, index=0, id="a")]}),
            delta({"tool_calls": [call({"name": "sun", "arguments": ""}, index=1, id="b")]}),
        ],
        [
            event(
                {
                    "choices": [
                        {
                            "message": {
                                "content": None,
                                "tool_calls": [
                                    call({"name": "rain", "arguments": '{"x": 1}'}, id="a"),
                                    call({"name": "sun", "arguments": "{}"}, id="b"),
                                ],
                            }
                        }
                    ]
                }
            )
        ],
    ],
    ids=["in pieces", "objects", "without index", "each index 0", "id repeated", "whole message"],
)
def test_tool_calls_are_put_together_however_they_are_numbered(read, parts):
    reply = read(*parts, delta({}, "tool_calls"), DONE)
    assert reply.tool_calls == [ToolCall("a", "rain", {"x": 1}), ToolCall("b", "sun", {})]
    assert reply.text == ""


def test_a_tool_call_with_an_empty_id_gets_one(read):
    reply = read(delta({"tool_calls": [call({"name": "rain", "arguments": "{}"}, index=0, id="")]}, "tool_calls"))
    assert reply.tool_calls == [ToolCall("call00100", "rain", {})]


def test_a_tool_call_keeps_damaged_arguments_as_they_came(read):
    reply = read(delta({"tool_calls": [call({"name": "rain", "arguments": '{"x"'}, index=0, id="a")]}, "tool_calls"))
    assert [(made.arguments, made.broken) for made in reply.tool_calls] == [({}, '{"x"')]


def test_sources_are_told_once(read):
    pages = {"citations": ["https://a.example", {"url": "https://b.example", "title": "B"}]}
    reply = read(delta({"content": "Hel"}, **pages), delta({"content": "lo"}, **pages), delta({}, "stop", **pages))
    assert reply.citations == [Citation("https://a.example"), Citation("https://b.example", "B")]


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([event({"error": {"message": "It broke.", "type": "server_error"}})], ServerError),
        (
            [event({"error": {"message": "Slow down.", "code": 429}, "choices": [{"delta": {"content": ""}}]})],
            RateLimitError,
        ),
        (
            [event({"error": {"message": "No.", "code": 401}, "choices": [{"delta": {"content": "x"}}]})],
            AuthenticationError,
        ),
        ([event({"error": {"message": "Busy.", "status_code": 503}}, "error")], ServerError),
        ([event({"message": "Busy.", "code": "overloaded_error"}, "error")], OverloadedError),
        ([b"event: error\ndata: It broke.\n\n"], ServerError),
        ([event({"object": "error", "message": "Broken.", "code": 429})], RateLimitError),
        ([b'{"error": {"code": "insufficient_quota"}}'], QuotaExceededError),
        ([b'[{"error": {"code": 429, "message": "Slow down."}}]'], RateLimitError),
        ([b'{"error": "It broke."}'], ServerError),
        ([b'error: {"message": "It broke."}\n\n'], ServerError),
        ([delta({"role": "assistant", "content": ""}), event({"error": {"message": "It broke."}})], ServerError),
        ([DONE], EmptyAnswerError),
        ([STOP, DONE], EmptyAnswerError),
        ([b""], StreamInterruptedError),
        ([b": ping\n\n"], StreamInterruptedError),
        ([delta({"role": "assistant", "content": ""})], StreamInterruptedError),
        ([delta({}, "content_filter"), DONE], ContentFilteredError),
        ([delta({}, "sensitive")], ContentFilteredError),
        ([delta({"reasoning": "Hm"}), delta({}, "length"), DONE], EmptyAnswerError),
        ([b"data: {not json}\n\n"], BadResponseError),
        ([b"data: 7\n\n"], BadResponseError),
        ([event({"choices": [7]})], StreamInterruptedError),
        ([event({"choices": {"0": 1}})], StreamInterruptedError),
        ([delta({"content": 7})], BadResponseError),
        ([delta({"content": ["x"]})], BadResponseError),
        ([event({"usage": [1]})], StreamInterruptedError),
        ([b'{"choices": [{"message": {"content": "Hel'], StreamInterruptedError),
        ([b"<!doctype html><title>Welcome</title>"], BadResponseError),
        ([b"<title>Just a moment...</title>"], BlockedError),
    ],
)
def test_a_failure_inside_a_success_is_a_typed_error(read, parts, kind):
    with pytest.raises(kind) as caught:
        read(*parts)
    assert (caught.value.provider, caught.value.partial) == ("openai", "")
    assert "openai" in str(caught.value)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (event({"error": {"message": "It broke."}}), ServerError),
        (delta({"content": ""}, "length", error={"message": "It broke.", "code": 502}), ServerError),
        (event({"error": {"message": "Busy.", "status_code": 503}}, "error"), ServerError),
        (b"event: error\ndata: It broke.\n\n", ServerError),
        (b'error: {"message": "It broke."}\n\n', ServerError),
        (b"data: {not json}\n\n", BadResponseError),
        (b'data: {"choices": [{"delta": {"content": "l', StreamInterruptedError),
        (b"", StreamInterruptedError),
        (b": ping\n\n", StreamInterruptedError),
    ],
    ids=["event", "with choices", "named", "named, no JSON", "a line", "bad JSON", "cut line", "end", "ping"],
)
def test_after_text_a_failure_keeps_the_text_and_nothing_is_tried_again(asks, web, policy, slept, ending, kind):
    with pytest.raises(kind) as caught:
        asks("openai", says("Hel", "lo") + ending, retry=policy)
    assert (caught.value.partial, caught.value.action) == ("Hello", "stop")
    assert (len(web.calls), slept) == (1, [])


def test_no_text_before_the_length_limit_tells_what_to_do(read):
    with pytest.raises(EmptyAnswerError, match="max_tokens") as caught:
        read(delta({"reasoning": "Hm"}), delta({}, "length"), DONE)
    assert caught.value.action == "stop"


def test_text_that_a_filter_stopped_is_handed_out_with_the_reason(read):
    reply = read(says("Hel"), delta({}, "content_filter"), DONE)
    assert (reply.text, reply.finish_reason) == ("Hel", "content_filter")


def test_a_failure_before_the_first_text_is_tried_again(client, sandbox, slept):
    sandbox.says("Hello!")
    sandbox.script("error-event", None)
    assert client.ask("Hi").text == "Hello!"
    assert len(slept) == 1
