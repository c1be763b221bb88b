"""The sandbox against the official SDKs: it is to please clients that nobody here wrote, not only our own."""

from __future__ import annotations

import pytest

from aichatkit.sandbox import Sandbox

TEXT = 'Known to the letter: zażółć gęślą jaźń 🦊, "quoted" and\nbroken into lines.'
#: Module in sdks/ -> the finish it reads in a whole answer.
SDKS = {
    "anthropic_messages": "end_turn",
    "gemini": "STOP",
    "ollama_chat": "stop",
    "openai_chat": "stop",
    "openai_responses": "completed",
}
WITH_KEYS = [name for name in SDKS if name != "ollama_chat"]
WITH_RETRIES = WITH_KEYS


@pytest.fixture(params=SDKS)
def sdk(request, sdk_named):
    return sdk_named(request.param)


def chats(sandbox):
    return [request for request in sandbox.requests if request.method == "POST"]


def test_a_stream_comes_in_pieces_and_says_why_it_ended(sdk, sandbox):
    sandbox.says(TEXT)
    answer = sdk.call("stream", url=sandbox.url, prompt="hello")
    assert "".join(answer["pieces"]) == TEXT
    assert len(answer["pieces"]) > 5
    assert answer["finish"] == SDKS[sdk.name]


def test_a_whole_answer_is_the_same(sdk, sandbox):
    sandbox.says(TEXT)
    assert sdk.call("ask", url=sandbox.url, prompt="hello")["text"] == TEXT


@pytest.mark.parametrize("call", ["ask", "stream"])
def test_tokens_are_counted(sdk, sandbox, call):
    sandbox.says("one two three")
    sent, received = sdk.call(call, url=sandbox.url, prompt="count my tokens")["usage"]
    assert sent > 0
    assert received > 0


@pytest.mark.parametrize("name", ["gemini", "ollama_chat", "openai_chat", "openai_responses"])
def test_tokens_have_log_probabilities(sdk_named, sandbox, name):
    sandbox.says(TEXT)
    tokens = sdk_named(name).call("weigh", url=sandbox.url, prompt="hello", count=3)
    assert "".join(text for text, _, _ in tokens) == TEXT
    assert all(-1 < logprob < 0 and count == 3 for _, logprob, count in tokens)


def test_a_tool_is_called_and_its_result_answered(sdk, sandbox):
    done = sdk.call("use_tool", url=sandbox.url, prompt='call weather {"city": "Łódź"}', result="sunny")
    assert (done["name"], done["arguments"]) == ("weather", {"city": "Łódź"})
    assert done["answer"].startswith("The tool says: ")
    assert "sunny" in done["answer"]


@pytest.mark.parametrize("call", ["ask", "stream"])
def test_thoughts_stay_out_of_the_text(sdk, sandbox, call):
    answer = sdk.call(call, url=sandbox.url, prompt="think of a tree")
    assert "The user says" not in "".join(answer.get("pieces", [answer.get("text", "")]))


def test_a_schema_is_filled(sdk, sandbox):
    filled = sdk.call("structure", url=sandbox.url, prompt="Which city?")
    assert filled == {"name": "text", "population": 0}


def test_models_are_listed(sdk, sandbox):
    assert any("eliza" in name for name in sdk.call("models", url=sandbox.url))


def test_a_picture_is_drawn(sdk_named, sandbox):
    assert sdk_named("openai_chat").call("draw", url=sandbox.url, prompt="a cat") == {"start": "PNG"}


#: Fault -> SDK -> the class that has to be raised, and its status.
REFUSALS = {
    "rate-limit": {
        "anthropic_messages": ("RateLimitError", 429),
        "gemini": ("ClientError", 429),
        "ollama_chat": ("ResponseError", 429),
        "openai_chat": ("RateLimitError", 429),
        "openai_responses": ("RateLimitError", 429),
    },
    "server-error": {
        "anthropic_messages": ("InternalServerError", 500),
        "gemini": ("ServerError", 500),
        "ollama_chat": ("ResponseError", 500),
        "openai_chat": ("InternalServerError", 500),
        "openai_responses": ("InternalServerError", 500),
    },
    "context-too-long": {
        "anthropic_messages": ("BadRequestError", 400),
        "gemini": ("ClientError", 400),
        "ollama_chat": ("ResponseError", 400),
        "openai_chat": ("BadRequestError", 400),
        "openai_responses": ("BadRequestError", 400),
    },
    "model-not-found": {
        "anthropic_messages": ("NotFoundError", 404),
        "gemini": ("ClientError", 404),
        "ollama_chat": ("ResponseError", 404),
        "openai_chat": ("NotFoundError", 404),
        "openai_responses": ("NotFoundError", 404),
    },
    "overloaded": {
        "anthropic_messages": ("OverloadedError", 529),
        "gemini": ("ServerError", 503),
        "ollama_chat": ("ResponseError", 503),
        "openai_chat": ("InternalServerError", 503),
        "openai_responses": ("InternalServerError", 503),
    },
}


@pytest.mark.parametrize("call", ["ask", "stream"])
@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_is_the_error_that_the_sdk_has_for_it(sdk, sandbox, fault, call):
    sandbox.script(fault)
    raised = sdk.fail(call, url=sandbox.url, prompt="hello")
    name, status = REFUSALS[fault][sdk.name]
    assert name in raised.errors
    assert raised.status == status


@pytest.mark.parametrize("name", WITH_KEYS)
@pytest.mark.parametrize("call", ["ask", "models"])
def test_a_wrong_key_is_refused_as_one(sdk_named, name, call):
    given = {"prompt": "hello"} if call == "ask" else {}
    with Sandbox(api_keys=["sk-right"]) as sandbox:
        raised = sdk_named(name).fail(call, url=sandbox.url, key="sk-wrong", **given)
        assert sdk_named(name).call(call, url=sandbox.url, key="sk-right", **given)
    if name == "gemini":
        assert (raised.status, "API key not valid" in raised.message) == (400, True)
    else:
        assert (raised.status, raised.errors[0]) == (401, "AuthenticationError")


@pytest.mark.parametrize("name", WITH_RETRIES)
def test_a_hint_to_wait_is_one_that_the_sdk_follows(sdk_named, sandbox, name):
    sandbox.says("at last")
    sandbox.script("rate-limit,retry-after=0.1", "server-error,retry-after=0.1")
    assert sdk_named(name).call("ask", url=sandbox.url, retries=2, prompt="hello")["text"] == "at last"
    assert len(chats(sandbox)) == 3


def test_an_error_in_the_middle_of_a_stream_is_raised(sdk, sandbox):
    sandbox.script("error-event,after=2")
    assert sdk.fail("stream", url=sandbox.url, prompt="hello").errors


@pytest.mark.parametrize("fault", ["cut", "reset"])
def test_a_line_that_is_cut_is_no_answer(sdk, sandbox, fault):
    sandbox.script(f"{fault},after=2")
    assert sdk.fail("stream", url=sandbox.url, prompt="hello").errors
