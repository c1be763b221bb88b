"""Where a body is marked for the prompt cache, in each protocol; the text and its order stay the same."""

from __future__ import annotations

import provider_wires as wires
import pytest

from aichatkit.chunks import Thought, ToolCall
from aichatkit.messages import Message, ToolCallsMessage, ToolResultMessage
from aichatkit.prompt_caching.plan import HEAD, CachePlan
from aichatkit.providers.cache_marks import mark_head

MARK = {"cache_control": {"type": "ephemeral"}}
POINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}
SYSTEM, QUESTION = Message("system", "Be brief."), Message("user", "Rule one. Is it good?")
CALL = ToolCall("call1", "weather", {"city": "Oslo"})
ROUND = [
    SYSTEM,
    QUESTION,
    ToolCallsMessage("assistant", "", [CALL]),
    ToolResultMessage("tool", "fair", CALL),
]


def body(name, messages, plan, **options):
    return wires.body(name, messages, cache=plan, **options)


def text(words, **mark):
    return {"type": "text", "text": words, **mark}


def test_anthropic_marks_the_system_prompt_and_the_last_block_of_a_message():
    found = body("anthropic", ROUND, CachePlan([HEAD, 1, 3]))
    assert found["system"] == [text("Be brief.", **MARK)]
    assert found["messages"][0]["content"] == [text(QUESTION.content, **MARK)]
    (result,) = found["messages"][2]["content"]
    assert (result["type"], result["cache_control"]) == ("tool_result", {"type": "ephemeral"})


def test_anthropic_keeps_a_mark_for_an_hour():
    found = body("anthropic", ROUND, CachePlan([HEAD], is_long=True))
    assert found["system"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_anthropic_marks_the_last_tool_if_there_is_no_system_prompt():
    found = body("anthropic", [QUESTION], CachePlan([HEAD]), tools=[wires.WEATHER, wires.WEATHER])
    assert [tool.get("cache_control") for tool in found["tools"]] == [None, {"type": "ephemeral"}]
    assert "cache_control" not in str(body("anthropic", [QUESTION], CachePlan([HEAD])))
    payload = {"system": "Be brief."}
    mark_head(payload, CachePlan([1]))
    assert payload == {"system": "Be brief."}


def test_anthropic_marks_the_beginning_that_rows_share():
    found = body("anthropic", [SYSTEM, QUESTION], CachePlan(part=(1, 9)))
    assert found["messages"][0]["content"] == [text("Rule one.", **MARK), text(" Is it good?")]
    assert found["system"] == "Be brief."


@pytest.mark.parametrize("length", [0, len(QUESTION.content), 999])
def test_a_beginning_without_a_rest_is_not_split(length):
    found = body("anthropic", [QUESTION], CachePlan(part=(0, length)))
    assert found["messages"][0]["content"] == [text(QUESTION.content)]


def test_anthropic_marks_neither_thoughts_nor_what_is_not_there():
    signed = ToolCallsMessage("assistant", "", [], "", [Thought("Hm.", "anthropic:c2ln")])
    messages = [QUESTION, signed, Message("user", ""), QUESTION]
    found = body("anthropic", messages, CachePlan([1, 2], part=(2, 4)))
    assert "cache_control" not in str(found)


def test_openrouter_takes_the_marks_of_anthropic_on_parts():
    found = body("openrouter", ROUND, CachePlan([HEAD, 3], part=(1, 9), is_long=True))
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert [message["content"] for message in found["messages"]] == [
        [text("Be brief.", **hour)],
        [text("Rule one.", **hour), text(" Is it good?")],
        None,
        [text("fair", **hour)],
    ]


def test_openai_marks_all_but_the_end_which_it_marks_on_its_own():
    found = body("openai", ROUND, CachePlan([HEAD, 1, 3], key="k"))
    contents = [message["content"] for message in found["messages"]]
    assert contents == [[text("Be brief.", **POINT)], [text(QUESTION.content, **POINT)], None, "fair"]
    assert (found["prompt_cache_key"], "prompt_cache_options" in found) == ("k", False)


def test_openai_writes_only_what_is_marked():
    found = body("openai", [SYSTEM, QUESTION], CachePlan(part=(1, 9), writes_nothing=True))
    assert found["messages"][1]["content"] == [text("Rule one.", **POINT), text(" Is it good?")]
    assert found["prompt_cache_options"] == {"mode": "explicit"}
    assert "prompt_cache_key" not in found


@pytest.mark.parametrize(
    ("plan", "options"),
    [
        (CachePlan([0], is_long=True), {"mode": "implicit", "ttl": "12h"}),
        (CachePlan([0], is_long=True, writes_nothing=True), {"mode": "explicit", "ttl": "12h"}),
        (CachePlan(is_long=True, writes_nothing=True), {"mode": "explicit"}),
        (CachePlan(is_long=True), None),
    ],
)
@pytest.mark.parametrize("name", ["openai", "openai-responses"])
def test_openai_keeps_a_prompt_for_twelve_hours(name, plan, options):
    assert body(name, [QUESTION], plan).get("prompt_cache_options") == options


def test_parts_that_the_caller_passed_stay_as_they_are():
    parts = [{"type": "text", "text": "Rule one."}, {"type": "text", "text": "Is it good?"}]
    found = body("openai", [Message("user", parts), QUESTION], CachePlan([0]))
    assert found["messages"][0]["content"] == [text("Rule one."), text("Is it good?", **POINT)]
    assert parts[1] == text("Is it good?")


def test_responses_are_marked_on_the_items_of_a_message():
    found = body("openai-responses", ROUND, CachePlan([HEAD, 1, 3], writes_nothing=True, key="k"))
    system, question, call, result = found["input"]
    assert system["content"] == [{"type": "input_text", "text": "Be brief.", **POINT}]
    assert question["content"] == [{"type": "input_text", "text": QUESTION.content, **POINT}]
    assert result["output"] == [{"type": "input_text", "text": "fair", **POINT}]
    assert ("content" in call, found["prompt_cache_key"]) == (False, "k")


def test_xai_gets_a_header_that_groups_requests():
    assert wires.request("xai", cache=CachePlan(key="k")).headers["x-grok-conv-id"] == "k"
    assert "x-grok-conv-id" not in wires.request("xai").headers
    assert wires.body("xai", cache=CachePlan(key="k")) == wires.body("xai")


def test_mistral_gets_no_key_if_caching_is_off():
    assert "prompt_cache_key" not in wires.body("mistral", cache=CachePlan(is_off=True))
    assert "prompt_cache_key" in wires.body("mistral")
