"""Rounds of tool calls as a whole: over every protocol, with failures, limits, chats and cancelling."""

from __future__ import annotations

import json
import re
import threading

import pytest
import responses

from aichatkit import (
    Client,
    ConfigurationError,
    DeadlineExceededError,
    Rate,
    RetryPolicy,
    ServerError,
    StreamInterruptedError,
    Timeout,
    ToolError,
)
from aichatkit.chunks import Usage
from aichatkit.messages import ToolCallsMessage, ToolResultMessage
from aichatkit.middleware.tool_rounds import _total_usage

PROVIDERS = {
    "openai": "/v1",
    "groq": "/v1",
    "openai-responses": "/v1",
    "anthropic": "",
    "gemini": "",
    "ollama": "",
    "cohere": "/v2",
}
ASKED = 'call add {"a": 1, "b": 2}'
BOTH = 'call add {"a": 1, "b": 2} and call shout {"text": "hi"}'
URL = "https://api.openai.com/v1/chat/completions"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def shout(text: str) -> str:
    return text.upper() + "!"


DICT_TOOL = {"name": "left", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}


@pytest.fixture(params=PROVIDERS)
def tooled(request, sandbox, policy):
    """A client of each provider that takes tools."""
    name = request.param
    if name not in Client().providers:
        pytest.skip(f"there is no provider {name}")
    with Client(
        model=name, api_key={name: "sk-test"}, base_url={name: sandbox.url + PROVIDERS[name]}, retry=policy
    ) as made:
        yield made


def plain(text):
    """Take the results out of the objects that Gemini wants them in."""
    return re.sub(r'\{"result": "(.*?)"\}', r"\1", text)


def test_every_protocol_runs_tools(tooled):
    answer = tooled.ask(ASKED, tools=[add])
    assert (plain(answer.text), answer.tool_calls, answer.complete) == ("The tool says: 3", [], True)


def test_every_protocol_runs_several_calls_of_one_answer(tooled):
    assert plain(tooled.ask(BOTH, tools=[add, shout]).text) == "The tool says: 3; HI!"


def test_every_protocol_calls_one_tool_twice(tooled):
    prompt = 'call add {"a": 1, "b": 2} and call add {"a": 3, "b": 4}'
    assert plain(tooled.ask(prompt, tools=[add]).text) == "The tool says: 3; 7"


def test_every_protocol_streams_the_text_of_the_last_round(tooled):
    with tooled.stream(ASKED, tools=[add]) as stream:
        text = "".join(stream)
    assert plain(text) == "The tool says: 3"
    assert stream.reply.text == stream.text == text


def test_every_protocol_leaves_the_calls_of_dict_tools(tooled):
    (call,) = tooled.ask('call left {"n": 5}', tools=[add, DICT_TOOL]).tool_calls
    assert (call.name, call.arguments) == ("left", {"n": 5})


def test_every_protocol_takes_the_result_of_a_dict_tool(tooled):
    asked = tooled.ask('call left {"n": 5}', tools=[DICT_TOOL])
    turns = [
        'call left {"n": 5}',
        ToolCallsMessage("assistant", "", asked.tool_calls),
        ToolResultMessage("tool", "five", asked.tool_calls[0]),
    ]
    assert plain(tooled.ask(turns, tools=[DICT_TOOL]).text) == "The tool says: five"


def test_every_protocol_tells_the_model_of_a_failure(tooled):
    assert "KeyError" in tooled.ask("call fail {}", tools=[fail]).text


def fail():
    raise KeyError("nothing there")


def test_every_protocol_fits_a_schema_after_its_tools(tooled, sandbox):
    sandbox.says(None)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    # Earlier models of Gemini are asked for JSON in words, which the sandbox does not understand.
    model = "gemini/gemini-3.8-flash" if "gemini" in repr(tooled) else None
    answer = tooled.ask(ASKED, tools=[add], schema=schema, model=model)
    assert answer.data == {"n": 0}


# What holds for all of them, shown with one


def test_results_in_openai_s_form_are_taken(client):
    turns = [
        {"role": "user", "content": "Go on."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "left", "arguments": '{"n": 5}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "five"},
    ]
    assert client.ask(turns, tools=[DICT_TOOL]).text == "The tool says: five"


@pytest.mark.parametrize(
    ("turns", "told"),
    [
        ([{"role": "tool", "tool_call_id": "c1", "content": "five"}], "no message before asks for the tool call 'c1'"),
        ([{"role": "assistant", "tool_calls": ["x"]}], "a tool call must look like"),
        ([{"role": "assistant", "tool_calls": [{"id": "c1"}]}], "a tool call must look like"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "["}}]}], "must look like"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "[]"}}]}], "must look like"),
    ],
)
def test_turns_of_tools_that_cannot_be_read_are_refused(client, sandbox, turns, told):
    with pytest.raises(ConfigurationError, match=told):
        client.ask(turns)
    assert sandbox.requests == []


def test_usage_cost_time_and_attempts_are_added_up(client, sandbox):
    sandbox.script(None, "rate-limit")
    answer = client.ask(ASKED, tools=[add])
    assert [type(attempt.error).__name__ for attempt in answer.attempts] == ["NoneType", "RateLimitError", "NoneType"]
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.cost == pytest.approx((answer.usage.input_tokens * 0.1 + answer.usage.output_tokens * 0.5) / 1e6)
    assert answer.usage.input_tokens > len(ASKED.split())


def test_parts_of_the_usage_count_in_rounds_that_tell_them_and_totals_only_if_all_do():
    first, second = Usage(1, 2, 3, 4, None, 5, None), Usage(10, None, 30, 40, None, None, 2)
    assert _total_usage([first, second]) == Usage(11, None, 33, 44, None, 5, 2)


def test_a_stream_tells_attempts_model_and_provider(client):
    stream = client.stream(ASKED, tools=[add])
    assert (stream.provider, stream.model, len(stream.attempts), stream.reply) == ("openai", "gpt-6-luna", 1, None)
    assert "open" in repr(stream)
    assert next(stream) == "The"
    assert len(stream.attempts) == 2


def test_a_callback_gets_the_whole_reply(client):
    seen = []
    stream = client.stream(ASKED, tools=[add])
    stream.when_complete(seen.append)
    whole = stream.read()
    stream.when_complete(seen.append)
    assert seen == [whole, whole]


def test_the_last_round_must_not_ask_for_tools(client):
    with pytest.raises(ToolError, match="max_rounds") as caught:
        client.ask(ASKED, tools=[add], max_rounds=0)
    assert (caught.value.provider, len(caught.value.attempts)) == ("openai", 1)


def test_every_round_of_tools_counts(told):
    with pytest.raises(ToolError, match="max_rounds"):
        told(asks(), asks("")).ask("1 + 2?", tools=[add], max_rounds=1)


@pytest.mark.parametrize("rounds", [-1, 1.5, "2", True])
def test_max_rounds_is_a_whole_number(client, sandbox, rounds):
    with pytest.raises(ConfigurationError, match="max_rounds"):
        client.ask(ASKED, tools=[add], max_rounds=rounds)
    assert sandbox.requests == []


def test_rounds_are_no_option_of_their_own(client):
    with pytest.raises(ConfigurationError, match="unknown option or parameter 'repairs'"):
        client.ask("Hi", repairs=2)


def test_approve_sees_every_call(client):
    seen = []
    answer = client.ask(BOTH, tools=[add, shout], approve=lambda call: seen.append(call.name) or call.name == "add")
    assert seen == ["add", "shout"]
    assert answer.text == "The tool says: 3; Error: the user did not allow this call"


def test_a_dict_tool_beside_a_schema_leaves_its_calls(client):
    answer = client.ask('call left {"n": 5}', tools=[DICT_TOOL], schema=list[int])
    assert (answer.data, len(answer.tool_calls)) == (None, 1)


def test_a_provider_without_tools_refuses_before_anything_is_sent(client, sandbox):
    with pytest.raises(ConfigurationError, match="aichats does not take tools"):
        client.ask(ASKED, tools=[add], model="aichats")
    assert sandbox.requests == []


def test_the_next_provider_of_a_list_takes_the_tools(client):
    answer = client.ask(ASKED, tools=[add], model=["aichats", "openai"])
    assert (answer.provider, answer.text) == ("openai", "The tool says: 3")


def test_the_provider_that_asked_for_tools_is_asked_first_again(client, sandbox):
    # This refusal leaves no cooldown that would keep the first away.
    sandbox.script("context-too-long")
    answer = client.ask(ASKED, tools=[add], model=["openai/refused", "openai/gpt-6-sol"])
    asked = [json.loads(request.body)["model"] for request in sandbox.requests]
    assert (answer.model, asked) == ("gpt-6-sol", ["refused", "gpt-6-sol", "gpt-6-sol"])


@pytest.mark.parametrize("streams", [False, True])
def test_a_chat_remembers_calls_and_results(tooled, sandbox, streams):
    chat = tooled.chat(tools=[add])
    for prompt in (ASKED, "And now?"):
        "".join(chat.stream(prompt)) if streams else chat.ask(prompt)
    kinds = [type(message).__name__ for message in chat.history]
    assert kinds == ["Message", "ToolCallsMessage", "ToolResultMessage", "Message", "Message", "Message"]
    assert (chat.history[1].calls[0].arguments, chat.history[2].text) == ({"a": 1, "b": 2}, "3")
    assert '"3"' in sandbox.requests[-1].body.decode()


def test_a_chat_saves_the_turns_of_tools(client, tmp_path):
    turns = [
        {"role": "user", "content": "Go on."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "left"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "five"},
    ]
    path = client.chat(history=turns).save(tmp_path / "chat.json")
    loaded = type(client.chat()).load(path, client=client)
    assert loaded.history == client.chat(history=turns).history


# Text beside the calls, which the sandbox does not write


def streamed(*deltas, finish="stop", end=True):
    """Return an event stream of OpenAI's."""
    records = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    records += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}] if end else []
    return "".join(f"data: {json.dumps(record)}\n\n" for record in records) + ("data: [DONE]\n\n" if end else "")


def asks(text="Let me see.", name="add", arguments='{"a": 1, "b": 2}'):
    call = {"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}
    deltas = [{"content": text}] if text else []
    return streamed(*deltas, {"tool_calls": [call]}, finish="tool_calls")


@pytest.fixture
def told():
    """Fake OpenAI: a function that lines up bodies, and a client."""
    with responses.RequestsMock() as mock:

        def line_up(*bodies):
            for body in bodies:
                status, body = body if isinstance(body, tuple) else (200, body)
                mock.add("POST", URL, body=body, status=status, content_type="text/event-stream")
            return Client(model="openai/gpt-6-sol", api_key="sk-test", retry=0)

        line_up.calls = mock.calls
        yield line_up


def test_the_text_of_all_rounds_is_streamed_and_kept_with_a_gap_between(told):
    client = told(asks(), asks(""), streamed({"content": "It is "}, {"content": "3."}))
    with client.stream("1 + 2?", tools=[add]) as stream:
        chunks = list(stream)
    assert chunks == ["Let me see.", "\n\n", "It is ", "3."]
    assert stream.text == stream.reply.text == "Let me see.\n\nIt is 3."


def test_thoughts_and_sources_of_all_rounds_are_kept(told):
    source = {"url_citation": {"url": "https://example.com"}, "type": "url_citation"}
    client = told(
        streamed({"reasoning_content": "Hm."}, {"content": "x", "annotations": [source]},
                 {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "add", "arguments": "{}"}}]}),
        streamed({"reasoning_content": "Oh."}, {"content": "y", "annotations": [source]}),
    )  # fmt: skip
    answer = client.ask("1 + 2?", tools=[add])
    assert (answer.reasoning, [c.url for c in answer.citations], answer.text) == (
        "Hm.\n\nOh.",
        ["https://example.com"],
        "x\n\ny",
    )


def test_a_stream_tells_the_thoughts_so_far_of_all_rounds(told):
    client = told(
        streamed({"reasoning_content": "Hm."}, {"content": "x"},
                 {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "add", "arguments": "{}"}}]}),
        streamed({"reasoning_content": "Oh."}, {"content": "y"}),
    )  # fmt: skip
    seen = []
    with client.stream("1 + 2?", tools=[add]) as stream:
        seen.extend((chunk, stream.reasoning) for chunk in stream)
    assert seen == [("x", "Hm."), ("\n\n", "Hm.\n\nOh."), ("y", "Hm.\n\nOh.")]
    assert stream.reasoning == stream.reply.reasoning


def test_what_missed_its_schema_is_replaced_and_not_continued(told):
    client = told(asks(), streamed({"content": "Three."}), streamed({"content": '{"value": 3}'}))
    answer = client.ask("1 + 2?", tools=[add], schema=int)
    assert (answer.data, answer.text) == (3, '{"value": 3}')


def test_a_refusal_in_a_later_round_keeps_the_text_and_tries_of_the_earlier(told):
    client = told(asks(), (500, '{"error": {"message": "no"}}'))
    with pytest.raises(ServerError) as caught:
        client.ask("1 + 2?", tools=[add])
    assert caught.value.partial == "Let me see."
    assert [type(attempt.error) for attempt in caught.value.attempts] == [type(None), ServerError]


def test_a_break_in_a_later_round_keeps_the_text_and_tries_of_the_earlier(told):
    client = told(asks(), streamed({"content": "It is"}, end=False))
    with pytest.raises(StreamInterruptedError) as caught:
        client.ask("1 + 2?", tools=[add])
    assert caught.value.partial == "Let me see.\n\nIt is"
    assert len(caught.value.attempts) == 2


def test_a_call_that_is_no_json_is_told_to_the_model(told):
    client = told(asks("", arguments='{"a": '), streamed({"content": "I cannot add."}))
    assert client.ask("1 + 2?", tools=[add]).text == "I cannot add."
    result = json.loads(told.calls[1].request.body)["messages"][-1]
    assert (result["role"], "not a JSON object" in result["content"]) == ("tool", True)


def test_the_thoughts_go_back_with_the_results(sandbox, policy):
    prompt = f"think and {ASKED}"
    with Client(model="deepseek", api_key="sk-test", base_url=f"{sandbox.url}/v1", retry=policy) as client:
        client.ask(prompt, tools=[add])
    turn = json.loads(sandbox.requests[-1].body)["messages"][1]
    assert turn["reasoning_content"].startswith("The user says")


def test_closing_while_a_tool_runs_opens_no_other_round(told):
    client = told(asks())
    holder = []

    def leave(a: int, b: int) -> int:
        holder[0].close()
        return a + b

    leave.__name__ = "add"
    holder.append(client.stream("1 + 2?", tools=[leave]))
    assert list(holder[0]) == ["Let me see."]
    assert (holder[0].reply, len(told.calls)) == (None, 1)


def test_reading_a_stream_that_was_closed_in_between_is_an_error(told):
    client = told(asks())
    stream = client.stream("1 + 2?", tools=[add])
    stream.close()
    with pytest.raises(StreamInterruptedError):
        stream.read()


def test_cancelling_while_a_tool_runs_raises(told):
    client = told(asks())
    holder = []

    def leave(a: int, b: int) -> int:
        thread = threading.Thread(target=holder[0].cancel)
        thread.start()
        thread.join()
        return a + b

    leave.__name__ = "add"
    holder.append(client.stream("1 + 2?", tools=[leave]))
    with pytest.raises(StreamInterruptedError) as caught:
        holder[0].read()
    assert (caught.value.partial, len(told.calls)) == ("Let me see.", 1)


def test_cancelling_while_the_next_round_opens_ends_it(told):
    client = told(asks(), streamed({"content": "It is"}))
    stream = client.stream("1 + 2?", tools=[add])
    rounds = stream._answer
    open_next = rounds._open_next

    def cancelled(*args):
        answer = open_next(*args)
        stream.cancel()
        return answer

    rounds._open_next = cancelled
    # The whole body is here already, so only the connection is gone; what was read stays.
    assert stream.read().text.startswith("Let me see.")


def test_the_total_time_covers_all_rounds(sandbox):
    now = [0.0]
    policy = RetryPolicy(clock=lambda: now[0], sleep=lambda seconds: None)

    def slow(a: int, b: int) -> int:
        now[0] += 20
        return a + b

    slow.__name__ = "add"
    client = Client(model="openai", api_key="sk-test", base_url=f"{sandbox.url}/v1", retry=policy)
    with client, pytest.raises(DeadlineExceededError):
        client.ask(ASKED, tools=[slow], timeout=Timeout(total=10))
    assert len(sandbox.requests) == 1


def test_a_slot_is_free_for_the_next_round_when_the_first_answer_is_only_a_tool_call(told):
    told(asks(""), streamed({"content": "3"}))
    # Without it the second round waits for the slot of the first, here until the total time is over.
    limits = {"rate": Rate(concurrent=1), "timeout": Timeout(total=5)}
    with Client(model="openai/gpt-6-sol", api_key="sk-test", retry=0, **limits) as client:
        assert client.ask("1 + 2?", tools=[add]).text == "3"
