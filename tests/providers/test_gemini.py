"""Gemini: contents and parts, a stream of events or one array, and blocks that have no answer."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest
from recorded import recording

from aichatkit import Client
from aichatkit.chunks import Answered, Citation, Finish, Picture, ToolCall, ToolCallPart
from aichatkit.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentFilteredError,
    EmptyAnswerError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.messages import File, Message, ToolCallsMessage, ToolResultMessage


@pytest.fixture
def told(asks, monkeypatch):
    """Read one answer of these records."""
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-test")

    def read(*records, model="gemini", **options):
        return asks(model, b"".join(map(wires.event, records)), **options)

    return read


def candidate(*parts, reason=None, **more):
    entry = {"content": {"role": "model", "parts": list(parts)}, **more}
    return {"candidates": [{**entry, **({"finishReason": reason} if reason is not None else {})}]}


def says(text, reason=None, **more):
    return candidate({"text": text}, reason=reason, **more)


def test_turns_are_contents_and_the_system_s_words_stand_apart():
    turns = [
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Hello!"),
        Message("user", "Bye"),
    ]
    sent = wires.body("gemini", turns)
    assert sent == {
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Hello!"}]},
            {"role": "user", "parts": [{"text": "Bye"}]},
        ],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
    }


def test_the_model_stands_in_the_address_and_the_key_in_a_header_only(told, web):
    told(says("Hi", "STOP"))
    sent = web.calls[0].request
    path = "/v1beta/models/gemini-flash-latest:streamGenerateContent?alt=sse"
    assert sent.url == f"https://generativelanguage.googleapis.com{path}"
    assert sent.headers["x-goog-api-key"] == "AIza-test"
    assert "Authorization" not in sent.headers


@pytest.mark.parametrize(
    ("model", "named"),
    [("gemini-x", "models/gemini-x"), ("tunedModels/mine", "tunedModels/mine"), ("a?b#c", "models/a%3Fb%23c")],
)
def test_a_model_s_name_cannot_leave_its_place(model, named):
    url = wires.request("gemini", model=model, base_url="https://gw.example/v1beta").url
    assert url == f"https://gw.example/v1beta/{named}:streamGenerateContent?alt=sse"


def test_parameters_stand_in_one_object():
    params = {"max_tokens": 9, "stop": "END", "top_k": 5, "temperature": 0, "reasoning_effort": "low"}
    extra = {"generationConfig": {"candidateCount": 1}, "safetySettings": []}
    sent = wires.body("gemini", model="gemini-flash-latest", params=params, extra=extra)
    assert sent["generationConfig"] == {
        "maxOutputTokens": 9,
        "stopSequences": ["END"],
        "topK": 5,
        "temperature": 0,
        "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
        "candidateCount": 1,
    }
    assert sent["safetySettings"] == []


def test_a_schema_is_sent_as_json_schema():
    config = wires.body("gemini", schema=wires.STRICT)["generationConfig"]
    assert config == {"responseMimeType": "application/json", "responseJsonSchema": wires.STRICT}


@pytest.mark.parametrize("model", ["gemini-3-pro-image", "gemini-nano-banana-2.1", "gemini-3.1-flash-lite-image"])
def test_a_model_that_draws_is_asked_for_pictures_too(model):
    config = wires.body("gemini", model=model)["generationConfig"]
    assert config == {"responseModalities": ["TEXT", "IMAGE"]}


def test_calls_and_results_of_tools_are_parts_and_keep_their_signature():
    sent = wires.body("gemini", wires.ROUND, tools=[wires.WEATHER])
    assert sent["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "weather",
                    "description": "Tell the weather.",
                    "parametersJsonSchema": wires.WEATHER.parameters,
                }
            ]
        }
    ]
    _, asked, results = sent["contents"]
    assert asked["parts"] == [
        {
            "functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Oslo"}},
            "thoughtSignature": "c2ln",
        },
        {"functionCall": {"id": "call_2", "name": "weather", "args": {"city": "Rome"}}},
    ]
    assert [part["functionResponse"]["response"] for part in results["parts"]] == [
        {"result": "rain"},
        {"result": "sun"},
    ]


def test_a_call_without_id_goes_by_its_name():
    call = ToolCall("", "weather")
    turns = [Message("user", "Hi"), ToolCallsMessage("assistant", "", (call,)), ToolResultMessage("tool", "rain", call)]
    _, asked, result = wires.body("gemini", turns, model="gemini-2.5-flash")["contents"]
    assert asked["parts"] == [{"functionCall": {"name": "weather", "args": {}}}]
    assert result["parts"] == [{"functionResponse": {"name": "weather", "response": {"result": "rain"}}}]


def test_files_go_out_as_data_or_by_their_address():
    def sent(file):
        return wires.body("gemini", wires.with_file(file))["contents"][0]["parts"][1]

    assert sent(wires.PICTURE) == {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    assert sent(wires.PICTURE_URL) == {"fileData": {"mimeType": "image/png", "fileUri": "https://example.org/dot.png"}}
    assert sent(wires.SOUND) == {"inlineData": {"mimeType": "audio/mpeg", "data": "SUQz"}}
    assert sent(wires.NOTE) == {"text": "note.txt:\nRemember."}


def test_a_recorded_answer_has_text_usage_and_reason(asks, monkeypatch):
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-test")
    reply = asks("gemini", recording("gemini"))
    assert reply.text == "The capital of France is Paris, la Ville Lumière."
    assert (reply.finish_reason, reply.complete, reply.model) == ("stop", True, "gemini-2.5-flash")
    usage = reply.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens, usage.total_tokens) == (8, 43, 31, 51)


def test_an_array_in_the_place_of_events_is_read_element_by_element():
    answer = json.dumps([says("Hel"), says("lo", "STOP")], indent=2).encode()
    found = wires.chunks("gemini", answer)
    assert wires.text(found) == "Hello"
    assert found[-1] == Finish("stop")


def test_a_whole_answer_is_read():
    assert wires.text(wires.chunks("gemini", json.dumps(says("Hello", "STOP")).encode())) == "Hello"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"candidates": None},
        {"candidates": []},
        {"candidates": [{}]},
        {"candidates": [{"content": {}}]},
        {"candidates": [{"content": {"parts": None}}]},
        {"candidates": [{"content": {"parts": [{}]}}]},
        {"candidates": [{"finishReason": "FINISH_REASON_UNSPECIFIED"}]},
        {"candidates": [{"finishReason": 0}]},
        {"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]},
        {"usageMetadata": None, "promptFeedback": {}},
        says(""),
    ],
)
def test_records_without_text_say_nothing(told, record):
    assert told(record, says("Hello"), record, says("", "STOP")).text == "Hello"


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("OTHER", "OTHER"),
        (1, "stop"),
        (2, "length"),
        (3, "content_filter"),
        (99, "99"),
    ],
)
def test_reasons_are_one_vocabulary_whether_words_or_numbers(told, reason, word):
    assert told(says("Hi", reason)).finish_reason == word


def test_without_a_reason_the_answer_is_cut(told):
    with pytest.raises(StreamInterruptedError):
        told(says("Hi"))


def test_a_call_that_the_model_garbled_is_a_failure(told):
    with pytest.raises(ServerError):
        told(candidate(reason="MALFORMED_FUNCTION_CALL"))


def test_a_blocked_prompt_is_a_filter(told):
    with pytest.raises(ContentFilteredError, match="PROHIBITED_CONTENT") as caught:
        told({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
    assert caught.value.code == "PROHIBITED_CONTENT"


def test_a_withheld_answer_is_a_filter(told):
    with pytest.raises(ContentFilteredError):
        told({"candidates": [{"finishReason": "SAFETY"}]})


def test_thoughts_are_no_answer(told):
    reply = told(candidate({"text": "Hm.", "thought": True}), says("Hello", "STOP"))
    assert (reply.text, reply.reasoning) == ("Hello", "Hm.")


def test_thoughts_alone_are_an_empty_answer(told):
    with pytest.raises(EmptyAnswerError):
        told(candidate({"text": "Hm.", "thought": True}, reason="STOP"))


def test_calls_of_tools_are_kept_apart_though_nothing_numbers_them(told):
    first = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"}
    second = {"functionCall": {"id": "c2", "name": "now"}}
    reply = told(candidate(first), candidate(second), candidate({"text": ""}, reason="STOP"))
    weather = ToolCall("call00100", "weather", {"city": "Oslo"}, "gemini:c2ln")
    assert reply.tool_calls == [weather, ToolCall("c2", "now", {})]
    assert reply.finish_reason == "tool_calls"
    # An id of ours is not the service's, so it does not see it again.
    sent = wires.body("gemini", [reply.message, ToolResultMessage("tool", "rain", weather)])["contents"]
    assert [part["functionCall"].get("id") for part in sent[0]["parts"]] == [None, "c2"]
    assert "id" not in sent[1]["parts"][0]["functionResponse"]


def test_two_calls_of_one_tool_can_be_told_apart_by_a_service_that_goes_on(told):
    call = {"functionCall": {"name": "weather", "args": {}}}
    message = told(candidate(call, call, reason="STOP")).message
    results = [ToolResultMessage("tool", "rain", call) for call in message.calls]
    sent = wires.body("openai", [message, *results])["messages"]
    ids = [call["id"] for call in sent[0]["tool_calls"]]
    assert ids == [turn["tool_call_id"] for turn in sent[1:]]
    assert len(set(ids)) == 2


def test_a_picture_is_a_picture_and_one_of_the_thoughts_is_none():
    data = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    found = wires.chunks("gemini", wires.event(candidate(data, {**data, "thought": True})))
    assert wires.of_kind(found, Picture) == [Picture(data="data:image/png;base64,iVBORw0KGgo=")]


def test_sources_are_citations(told):
    grounding = {"groundingChunks": [{"web": {"uri": "https://a.example/", "title": "A"}}, {"retrievedContext": {}}]}
    cited = {"citationSources": [{"uri": "https://b.example/"}, {"license": "mit"}]}
    reply = told(says("Hi", "STOP", groundingMetadata=grounding, citationMetadata=cited))
    assert reply.citations == [Citation("https://a.example/", "A"), Citation("https://b.example/")]


def test_usage_repeats_and_parts_of_it_may_be_missing():
    first = {"usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}, "modelVersion": "g"}
    last = {"usageMetadata": {"promptTokenCount": 8, "thoughtsTokenCount": 3, "cachedContentTokenCount": 5}}
    found = wires.chunks("gemini", wires.event(first) + wires.event(last))
    assert wires.usage(found) == {
        "input_tokens": 8,
        "output_tokens": 3,
        "total_tokens": 8,
        "cached_tokens": 5,
        "reasoning_tokens": 3,
    }
    assert wires.of_kind(found, Answered) == [Answered("g")]


def test_a_call_part_holds_json_text():
    call = {"functionCall": {"name": "now", "args": None}}
    assert wires.calls(wires.chunks("gemini", wires.event(candidate(call)))) == [ToolCallPart(None, "", "now", "{}")]


def test_a_limit_inside_the_200_is_a_limit(told):
    with pytest.raises(RateLimitError):
        told({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down."}})


DAILY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}
WAIT = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "14s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("status", "word", "details", "kind", "wait"),
    [
        (429, "RESOURCE_EXHAUSTED", [WAIT], RateLimitError, 14.0),
        (429, "RESOURCE_EXHAUSTED", [DAILY, WAIT], QuotaExceededError, None),
        (400, "INVALID_ARGUMENT", [BAD_KEY], AuthenticationError, None),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_a_refusal_is_told_by_its_details_also_in_a_list_of_one(
    asks, monkeypatch, status, word, details, kind, wait, listed
):
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-test")
    record = {"error": {"code": status, "message": "No.", "status": word, "details": details}}
    body = json.dumps([record] if listed else record).encode()
    with pytest.raises(kind) as caught:
        asks("gemini", body, status=status)
    assert caught.value.retry_after == wait


def test_it_lists_models_without_what_stands_before_their_names(web, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-test")
    url = "https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000"
    web.get(url, json={"models": [{"name": "models/gemini-b"}, {"name": "models/gemini-a"}]})
    with Client(retry=0) as client:
        assert client.models("gemini") == ["gemini-a", "gemini-b"]


@pytest.mark.parametrize(
    ("model", "signed"),
    [
        ("gemini-3-unlisted", True),
        ("gemini-3.5-flash", True),
        ("gemini-flash-latest", True),
        ("gemini-2.5-flash", False),
        ("gemini-2.0-unlisted", False),
        ("gemini-1.5-unlisted", False),
        ("gemma-unlisted", False),
    ],
)
def test_the_first_call_of_a_step_made_elsewhere_goes_out_unchecked(model, signed):
    calls = (ToolCall("a", "look"), ToolCall("b", "look"))
    turns = [
        Message("user", "Hi"),
        ToolCallsMessage("assistant", "", calls),
        *(ToolResultMessage("tool", "1", call) for call in calls),
        ToolCallsMessage("assistant", "", (ToolCall("c", "look", {}, "gemini:c2ln"), ToolCall("d", "look"))),
    ]
    parts = [part for turn in wires.body("gemini", turns, model=model)["contents"] for part in turn["parts"]]
    signatures = [part.get("thoughtSignature") for part in parts if "functionCall" in part]
    first = "skip_thought_signature_validator" if signed else None
    assert signatures == [first, None, "c2ln", None]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gemini-2.5-unlisted", True),
        ("gemini-2.0-unlisted", True),
        ("gemini-flash-latest", True),
        ("gemini-3-unlisted", False),
        ("gemini-12-unlisted", False),
    ],
)
def test_tools_and_a_schema_go_together_only_where_the_model_takes_both(told, web, model, words):
    told(says("{}", "STOP"), model=f"gemini/{model}", tools=[{"name": "look"}], schema={"type": "object"})
    told(says("{}", "STOP"), model=f"gemini/{model}", schema={"type": "object"})
    both, alone = (json.loads(call.request.body) for call in web.calls)
    assert ("responseMimeType" in both.get("generationConfig", {}), "JSON schema" in str(both)) == (not words, words)
    assert "responseMimeType" in alone["generationConfig"]


def test_an_address_that_does_not_show_a_type_is_refused_unless_the_service_knows_it():
    with pytest.raises(ConfigurationError, match="pass the bytes"):
        wires.body("gemini", wires.with_file(File("image", "image/*", url="https://example.org/dot")))
    for url in ("https://generativelanguage.googleapis.com/v1beta/files/a", "https://www.youtube.com/watch?v=a"):
        (turn,) = wires.body("gemini", wires.with_file(File("image", "image/*", url=url)))["contents"]
        assert turn["parts"][1] == {"fileData": {"fileUri": url}}


@pytest.mark.parametrize(
    "records",
    [
        [[{"text": "Über 🦘 "}, {"text": "Größe"}]],
        [[{"text": "Über 🦘 "}], [{"text": "hm", "thought": True}], [{"text": "Größe"}]],
        [[{"text": "Über 🦘 "}], [{"executableCode": {"language": "PYTHON", "code": "1"}}], [{"text": "Größe"}]],
    ],
)
def test_places_are_counted_from_the_start_of_their_part(told, records):
    support = {"segment": {"partIndex": 1, "endIndex": 7, "text": "Größe"}, "groundingChunkIndices": [0]}
    grounding = {"groundingChunks": [{"web": {"uri": "https://a.example"}}], "groundingSupports": [support]}
    last = candidate(reason="STOP", groundingMetadata=grounding)
    (citation,) = told(*(candidate(*parts) for parts in records), last).citations
    assert (citation.start, citation.end, citation.text) == (7, 12, "Größe")
