"""Each change to a body: what it makes of the fields that are there, and that it leaves all others alone."""

from __future__ import annotations

from copy import deepcopy

import pytest

from aichatkit.call.refusal_actions import ACTIONS, SENTENCES
from aichatkit.call.refusals import Change, apply, describe
from aichatkit.call.refused_fields import find_paths, renamed, schema_of
from aichatkit.providers.base import Options

GEMINI = "generationConfig.thinkingConfig"
ENABLED = {"type": "enabled", "budget_tokens": 3000}


def thinking(**fields):
    return {"generationConfig": {"thinkingConfig": fields}}


#: What is done, the path, the value for it, the body -> the body after it; None if it makes no difference.
CHANGES = [
    ("leave_out", "seed", None, {"seed": 1, "stop": "a"}, {"stop": "a"}),
    ("leave_out", "seed", None, {"stop": "a"}, None),
    ("leave_out", "options.seed", None, {"options": {"seed": 1}}, {}),
    ("leave_out", "options.seed", None, {"options": {"seed": 1, "stop": "a"}}, {"options": {"stop": "a"}}),
    ("leave_out", "options.seed", None, {"options": 3}, None),
    ("leave_out", "options.seed", None, {"options": {"stop": "a"}}, None),
    ("leave_out", "response_format", "json_object", {"response_format": {"type": "json_schema"}}, None),
    ("leave_out", "response_format", "json_object", {"response_format": {"type": "json_object"}}, {}),
    ("leave_out", "cache_control", None, {"system": [{"text": "a"}], "n": 1}, None),
    (
        "leave_out",
        "cache_control",
        None,
        {"system": [{"text": "a", "cache_control": {"type": "ephemeral"}}], "tools": [{"a": {"cache_control": 1}}]},
        {"system": [{"text": "a"}], "tools": [{"a": {}}]},
    ),
    ("leave_out", "reasoning_effort", None, {"reasoning_effort": "low", "reasoning_format": "parsed"}, {}),
    ("leave_out", "reasoning.effort", None, {"reasoning": {"effort": "low", "summary": "auto"}}, {}),
    ("leave_out", f"{GEMINI}.thinkingLevel", None, thinking(thinkingLevel="LOW"), thinking(thinkingBudget=1024)),
    ("leave_out", f"{GEMINI}.thinkingLevel", None, thinking(thinkingLevel="HIGH"), thinking(thinkingBudget=24576)),
    ("leave_out", f"{GEMINI}.thinkingLevel", None, thinking(includeThoughts=True), None),
    # Anthropic: a budget in place of an effort, where the rest of the request allows one.
    (
        "leave_out",
        "output_config.effort",
        None,
        {"output_config": {"effort": "low"}, "max_tokens": 8192},
        {"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 8192},
    ),
    (
        "leave_out",
        "output_config.effort",
        None,
        {"output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}, "max_tokens": 8192},
        {"thinking": {"type": "enabled", "budget_tokens": 7168}, "max_tokens": 8192},
    ),
    (
        "leave_out",
        "output_config.effort",
        None,
        {"output_config": {"effort": "low"}, "max_tokens": 50},
        {"max_tokens": 50},
    ),
    (
        "leave_out",
        "output_config.effort",
        None,
        {"output_config": {"effort": "low"}, "max_tokens": 8192, "temperature": 0},
        {"max_tokens": 8192, "temperature": 0},
    ),
    (
        "leave_out",
        "output_config.effort",
        None,
        {"output_config": {"effort": "low"}, "thinking": ENABLED},
        {"thinking": ENABLED},
    ),
    ("leave_out", "output_config.effort", None, {"output_config": {"format": {}}}, None),
    (
        "budget",
        "thinking",
        None,
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}, "max_tokens": 64000},
        {"thinking": {"type": "enabled", "budget_tokens": 8192}, "max_tokens": 64000},
    ),
    ("budget", "thinking", None, {"thinking": ENABLED}, None),
    (
        "adaptive",
        "thinking",
        None,
        {"thinking": ENABLED},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
    ),
    (
        "adaptive",
        "thinking",
        None,
        {"thinking": {"type": "enabled", "budget_tokens": 9000}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}},
    ),
    (
        "adaptive",
        "thinking",
        None,
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "max"}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
    ),
    (
        "adaptive",
        "thinking",
        None,
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
    ),
    ("adaptive", "thinking", None, {"thinking": {"type": "adaptive"}}, None),
    ("leave_budget", "thinking", None, {"thinking": ENABLED, "reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    ("leave_budget", "reasoning_effort", None, {"reasoning_effort": "low"}, None),
    (
        "leave_budget",
        GEMINI,
        None,
        thinking(thinkingBudget=5, thinkingLevel="LOW"),
        thinking(thinkingLevel="LOW"),
    ),
    ("rename", "max_tokens", "max_completion_tokens", {"max_tokens": 5}, {"max_completion_tokens": 5}),
    ("rename", "max_tokens", "max_completion_tokens", {}, None),
    ("rename", "max_tokens", "max_completion_tokens", {"max_tokens": 5, "max_completion_tokens": 6}, None),
    ("rename", "reasoning_effort", "reasoning.effort", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
    (
        "rename",
        "response_format",
        "text.format",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
        {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}}}},
    ),
    (
        "rename",
        "response_format",
        "text.format",
        {"response_format": {"type": "json_object"}, "text": {"verbosity": "low"}},
        {"text": {"verbosity": "low", "format": {"type": "json_object"}}},
    ),
    ("at_most", "max_tokens", 9, {"max_tokens": 10}, {"max_tokens": 9}),
    ("at_most", "max_tokens", 9, {"max_tokens": 9}, None),
    ("at_most", "max_tokens", 9, {"max_tokens": "many"}, None),
    ("at_most", "max_tokens", 0, {"max_tokens": True}, None),
    ("at_least", "max_tokens", 16, {"max_tokens": 10}, {"max_tokens": 16}),
    ("at_least", "thinking", 4000, {"thinking": ENABLED}, {"thinking": {"type": "enabled", "budget_tokens": 4000}}),
    ("at_most", GEMINI, 24576, thinking(thinkingBudget=50000), thinking(thinkingBudget=24576)),
    ("first", "stop", 2, {"stop": ["a", "b", "c"]}, {"stop": ["a", "b"]}),
    ("first", "stop", 2, {"stop": ["a", "b"]}, None),
    ("first", "stop", 2, {"stop": "abc"}, None),
    ("one_of", "think", ("low", "high"), {"think": True}, None),
    ("one_of", "reasoning_effort", ("low", "high"), {"reasoning_effort": "high"}, None),
    (
        "one_of",
        f"{GEMINI}.thinkingLevel",
        ("LOW", "HIGH"),
        thinking(thinkingLevel="MEDIUM"),
        thinking(thinkingLevel="LOW"),
    ),
    ("not_value", "reasoning_effort", "xhigh", {"reasoning_effort": "xhigh"}, {"reasoning_effort": "high"}),
    ("not_value", "reasoning_effort", "xhigh", {"reasoning_effort": "low"}, None),
    ("not_value", "reasoning_effort", "none", {"reasoning_effort": "none"}, {"reasoning_effort": "low"}),
    (
        "not_value",
        f"{GEMINI}.thinkingLevel",
        "minimal",
        thinking(thinkingLevel="MINIMAL"),
        thinking(thinkingLevel="LOW"),
    ),
    ("not_value", "think", "high", {"think": "high"}, {"think": True}),
    ("not_value", "think", "none", {"think": False}, {}),
    ("not_value", "enable_thinking", "none", {"enable_thinking": False}, {}),
    ("not_value", "thinking", "none", {"thinking": {"type": "disabled"}}, {}),
    ("not_value", GEMINI, "none", thinking(thinkingBudget=0), thinking(thinkingBudget=512)),
    ("not_value", GEMINI, "none", thinking(thinkingBudget=900), None),
    ("auto", "tool_choice", None, {"tool_choice": "required"}, {}),
    ("auto", "tool_choice", None, {}, None),
    (
        "auto",
        "tool_choice",
        None,
        {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    (
        "auto",
        "toolConfig.functionCallingConfig.mode",
        None,
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}},
    ),
    ("off", "reasoning_effort", None, {"tools": [1]}, {"tools": [1], "reasoning_effort": "none"}),
    ("off", "reasoning_effort", None, {"tools": [1], "reasoning_effort": "none"}, None),
    ("off", "reasoning_effort", None, {}, None),
    ("off", "", None, {"tools": [1]}, None),
    ("no_thinking", "enable_thinking", None, {"thinking_budget": 9}, {"enable_thinking": False}),
    ("no_thinking", "enable_thinking", None, {"enable_thinking": False}, None),
    ("leave_empty", "tools", None, {"tools": []}, {}),
    ("leave_empty", "tools", None, {"tools": [1]}, None),
    ("in_words", "response_format", None, {"response_format": {}}, None),
]


@pytest.mark.parametrize(("do", "path", "to", "body", "after"), CHANGES)
def test_a_change_of_the_body(do, path, to, body, after):
    changed = deepcopy(body)
    assert ACTIONS[do](changed, path, to) == (after is not None)
    assert changed == (body if after is None else after)


def test_objects_of_the_caller_are_not_changed():
    shared = {"type": "enabled", "budget_tokens": 1, "seed": 1}
    body = {"thinking": shared}
    ACTIONS["leave_out"](body, "thinking.seed", None)
    ACTIONS["at_least"](body, "thinking", 1024)
    assert shared == {"type": "enabled", "budget_tokens": 1, "seed": 1}
    assert body == {"thinking": {"type": "enabled", "budget_tokens": 1024}}


@pytest.mark.parametrize(
    ("effort", "taken", "nearest"),
    [
        ("minimal", ("none", "low", "medium", "high"), "low"),
        ("none", ("minimal", "low"), "minimal"),
        ("none", ("low", "high"), "low"),
        ("minimal", ("none", "high"), "none"),
        ("low", ("none", "high"), "high"),
        ("max", ("low", "medium", "xhigh"), "xhigh"),
        ("xhigh", ("high", "low"), "high"),
        ("medium", ("LOW", "HIGH"), "LOW"),
        ("low", ("none", "default"), "default"),
        ("minimal", ("high",), "high"),
        ("huge", ("low", "high"), "low"),
        ("high", ("default", "xhigh", "medium"), "medium"),
        ("none", ("default",), "default"),
    ],
)
def test_the_nearest_effort_is_never_a_dearer_one_if_a_cheaper_is_taken(effort, taken, nearest):
    body = {"reasoning_effort": effort}
    assert ACTIONS["one_of"](body, "reasoning_effort", taken)
    assert body == {"reasoning_effort": nearest}


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("max_tokens", None, "max_completion_tokens"),
        ("max_completion_tokens", "developer", "max_tokens"),
        ("max_tokens", "max_output_tokens", "max_output_tokens"),
        ("max_tokens", "max_tokens", None),
        ("max_output_tokens", None, None),
        ("inference.max_tokens", "max_new_tokens", "inference.max_new_tokens"),
        ("response_format", "text.format", "text.format"),
        ("text.format", "text.format", None),
        ("seed", "text.format", None),
        ("seed", "random_seed", None),
    ],
)
def test_the_other_name_of_a_field(path, target, expected):
    assert renamed(path, target) == expected


def test_the_schema_of_a_response_format():
    assert schema_of({"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "string"}}}) == {
        "type": "string"
    }
    assert schema_of({"type": "json_object", "json_schema": {"type": "string"}}) == {"type": "string"}
    assert schema_of({"type": "json_object", "json_schema": {"name": "a"}}) is None
    assert schema_of({"type": "json_object", "schema": {"type": "string"}}) == {"type": "string"}
    assert schema_of({"type": "text"}) is None


def test_a_service_s_own_name_is_found_in_its_table_alone():
    tables = [{"temperature": "generation.heat"}, {"max_tokens": "limit"}]
    assert find_paths("heat", tables, {}) == [("temperature", "generation.heat")]
    assert find_paths("generation.heat", tables, {}) == [("temperature", "generation.heat")]
    assert find_paths("temperature", tables, {}) == [("temperature", "generation.heat")]
    thinking_tables = [{"reasoning_effort": GEMINI}]
    assert find_paths("reasoning_effort", thinking_tables, thinking(thinkingLevel="LOW")) == [
        ("reasoning_effort", f"{GEMINI}.thinkingLevel")
    ]
    assert find_paths("reasoning_effort", [{"reasoning_effort": "thinking"}], {}) == [("reasoning_effort", "thinking")]
    assert find_paths("store", tables, {"store": True}) == []


def test_what_the_caller_set_is_not_changed():
    body = {"seed": 1}
    assert not apply(body, Change("seed", "seed", "leave_out"), Options(extra={"seed": 1}))
    assert not apply([], Change("seed", "seed", "leave_out"), Options())
    assert body == {"seed": 1}


@pytest.mark.parametrize("do", SENTENCES)
def test_every_change_has_a_sentence(do):
    to = ("low", "high") if do == "one_of" else 4
    (sentence,) = describe([Change("max_tokens", "max_tokens", do, to)])
    assert "{" not in sentence
    assert "('" not in sentence


def test_leaving_out_a_nested_field_does_not_change_the_caller_s_objects():
    system = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]
    body = {"system": system}
    assert apply(body, Change("cache_control", "cache_control", "leave_out"), Options())
    assert body == {"system": [{"type": "text", "text": "a"}]}
    assert system[0]["cache_control"] == {"type": "ephemeral"}
