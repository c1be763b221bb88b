"""Reasoning effort: one scale for all services, and what each model gets for each of its words."""

from __future__ import annotations

import provider_wires as wires
import pytest
from sent import sent

from aichatkit import ConfigurationError
from aichatkit.params import EFFORTS
from aichatkit.providers.base import Options
from aichatkit.providers.effort_fields import effort_fields
from aichatkit.registry import registry


def plain(words):
    """Return the field of chat completions for each word; `-` is no field."""
    return [{} if word == "-" else {"reasoning_effort": word} for word in words.split()]


def summarized(words):
    return [
        {"reasoning": {"effort": word.strip("!"), **({} if word.endswith("!") else {"summary": "auto"})}}
        for word in words.split()
    ]


def nested(words):
    return [{"reasoning": {"effort": word}} for word in words.split()]


def parsed(words):
    """Return Groq's fields; a word with `!` comes without thoughts."""
    return [
        {"reasoning_effort": word.strip("!"), **({} if word.endswith("!") else {"reasoning_format": "parsed"})}
        for word in words.split()
    ]


def budgets(*tokens, efforts=""):
    fields = [{"thinking": {"type": "enabled", "budget_tokens": count}} if count else {} for count in tokens]
    words = efforts.split() or [""] * len(fields)
    return [
        {"max_tokens": 64_000, **field, **({"output_config": {"effort": word}} if word.strip("-") else {})}
        for field, word in zip(fields, words)
    ]


def adaptive(none, words, **display):
    def fields(word):
        return {"thinking": {"type": "adaptive", **display}, "output_config": {"effort": word}}

    return [{"max_tokens": 128_000, **field} for field in (none, *map(fields, words.split()))]


def levels(words):
    """Return Gemini's levels; a word with `!` comes without thoughts."""
    return [
        thinking({"thinkingLevel": word.strip("!"), **({} if word.endswith("!") else {"includeThoughts": True})})
        for word in words.split()
    ]


def thinking_budgets(first, *tokens):
    """Return Gemini's budgets; the first is for no reasoning, so the thoughts are not requested."""
    shown = [thinking({"thinkingBudget": count, "includeThoughts": True}) for count in tokens]
    return [thinking({"thinkingBudget": first}), *shown]


def thinking(config):
    return {"generationConfig": {"thinkingConfig": config}}


def switched(words):
    """Return the switch and, in parentheses, the level of each word: `off`, `on` or `on(high)`."""
    fields = []
    for word in words.split():
        switch, _, level = word.rstrip(")").partition("(")
        state = {"thinking": {"type": {"off": "disabled", "on": "enabled"}[switch]}}
        fields.append({**state, **({"reasoning_effort": level} if level else {})})
    return fields


def qwen(*budgets):
    return [{"enable_thinking": budget != 0, **({"thinking_budget": budget} if budget else {})} for budget in budgets]


def cohere(*budgets):
    return [
        {"thinking": {"type": "enabled", "token_budget": budget} if budget else {"type": "disabled"}}
        for budget in budgets
    ]


def think(*values):
    return [{"think": value} for value in values]


SUMMARIZED = {"display": "summarized"}
NOTHING = [{}] * 7
TABLE = {
    "openai/o3": plain("low low low medium high high high"),
    "openai/gpt-5": plain("minimal minimal low medium high high high"),
    "openai/gpt-5-mini": plain("minimal minimal low medium high high high"),
    "openai/gpt-5-nano": plain("minimal minimal low medium high high high"),
    "openai/gpt-5.1": plain("none low low medium high high high"),
    "openai/gpt-5.2": plain("none low low medium high xhigh xhigh"),
    "openai/gpt-5.4-mini": plain("none low low medium high xhigh xhigh"),
    "openai/gpt-5.5": plain("none low low medium high xhigh xhigh"),
    "openai/gpt-5.6-terra": plain("none low low medium high xhigh xhigh"),
    "openai/gpt-6-luna": plain("none low low medium high xhigh max"),
    "openai/gpt-6-sol": plain("none low low medium high xhigh max"),
    "openai/gpt-6.1-terra": plain("none low low medium high xhigh max"),
    "openai/gpt-6-astra": plain("low low low medium high xhigh max"),
    "openai/gpt-6.1-sol": plain("low low low medium high xhigh max"),
    "openai/gpt-6-rosalind": plain("low low low medium high xhigh max"),
    "openai/chat-latest": plain("medium medium medium medium medium medium medium"),
    "openai/gpt-9-new": plain(" ".join(EFFORTS)),
    "mistral/new": plain(" ".join(EFFORTS)),
    "moonshot/new": plain(" ".join(EFFORTS)),
    "deepseek/new": switched("off on(minimal) on(low) on(medium) on(high) on(xhigh) on(max)"),
    "gemini/new": levels("MINIMAL! MINIMAL LOW MEDIUM HIGH XHIGH XHIGH"),
    "ollama/new": think(False, "low", "low", "medium", "high", "high", "max"),
    "openai/ft:gpt-5-mini:me::1": plain("minimal minimal low medium high high high"),
    "openai/gpt-4o": NOTHING,
    "openai/gpt-4.1": NOTHING,
    "openai/ft:gpt-4o-mini:me::1": NOTHING,
    "openai-responses/o3-pro": summarized("low! low low medium high high high"),
    "openai-responses/gpt-5.4-pro": summarized("low! low low medium high xhigh xhigh"),
    "openai-responses/gpt-5.5-pro": summarized("medium! medium medium medium high xhigh xhigh"),
    "openai-responses/gpt-6-luna": summarized("none! low low medium high xhigh max"),
    "azure/gpt-6-luna": plain("none low low medium high xhigh max"),
    "anthropic/claude-haiku-4-5": budgets(0, 1024, 2048, 8192, 24_576, 32_768, 32_768),
    "anthropic/claude-sonnet-4-5": budgets(0, 1024, 2048, 8192, 24_576, 32_768, 32_768),
    "anthropic/claude-opus-4-5": budgets(
        *(0, 1024, 2048, 8192, 24_576, 32_768, 32_768), efforts="- low low medium high high high"
    ),
    "anthropic/claude-opus-4-6": adaptive({}, "low low medium high high max"),
    "anthropic/claude-sonnet-4-6": adaptive({}, "low low medium high high max"),
    "anthropic/claude-opus-4-7": adaptive({}, "low low medium high xhigh max", **SUMMARIZED),
    "anthropic/claude-opus-4-8": adaptive({}, "low low medium high xhigh max", **SUMMARIZED),
    **dict.fromkeys(
        ("anthropic/claude-sonnet-5", "anthropic/claude-opus-5", "anthropic/claude-haiku-5-5"),
        adaptive({"thinking": {"type": "disabled"}}, "low low medium high xhigh max", **SUMMARIZED),
    ),
    "anthropic/claude-sonnet-5-5": adaptive(
        {"thinking": {"type": "between_tools"}, "output_config": {"effort": "low"}},
        "low low medium high xhigh max",
        **SUMMARIZED,
    ),
    **dict.fromkeys(
        ("anthropic/claude-opus-5-5", "anthropic/claude-fable-5-1", "anthropic/claude-mythos-5"),
        adaptive({"output_config": {"effort": "low"}}, "low low medium high xhigh max", **SUMMARIZED),
    ),
    "anthropic/claude-3-5-haiku-latest": [{"max_tokens": 8192}] * 7,
    "gemini/gemini-2.5-pro": thinking_budgets(128, 128, 1024, 8192, 24_576, 32_768, 32_768),
    "gemini/gemini-2.5-flash": thinking_budgets(0, 1024, 1024, 8192, 24_576, 24_576, 24_576),
    "gemini/gemini-2.5-flash-preview-09-2025": thinking_budgets(0, 1024, 1024, 8192, 24_576, 24_576, 24_576),
    "gemini/gemini-2.5-flash-lite": thinking_budgets(0, 512, 1024, 8192, 24_576, 24_576, 24_576),
    "gemini/gemini-3-flash-preview": levels("MINIMAL! MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
    "gemini/gemini-3.5-flash-lite": levels("MINIMAL! MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
    "gemini/gemini-3.6-flash": levels("MINIMAL! MINIMAL LOW MEDIUM HIGH HIGH HIGH"),
    "gemini/gemini-3.1-pro-preview": levels("LOW! LOW LOW MEDIUM HIGH HIGH HIGH"),
    "gemini/gemini-flash-latest": levels("LOW! LOW LOW MEDIUM HIGH HIGH HIGH"),
    "gemini/gemini-4-argon": levels("LOW! LOW LOW MEDIUM HIGH HIGH HIGH"),
    "gemini/gemini-4-hydrogen": levels("LOW! LOW LOW MEDIUM HIGH XHIGH XHIGH"),
    "gemini/gemma-4-31b-it": levels("MINIMAL! MINIMAL MINIMAL HIGH HIGH HIGH HIGH"),
    "gemini/gemini-2.0-flash": NOTHING,
    "xai/grok-4.3": plain("none low low medium high high high"),
    "xai/grok-4.5": plain("low low low medium high high high"),
    "xai/grok-4.6": plain("low low low medium high xhigh xhigh"),
    "xai/grok-4.7": plain("low low low medium high xhigh xhigh"),
    **dict.fromkeys(
        ("xai/grok-4", "xai/grok-4-fast", "xai/grok-4.1-fast-reasoning", "xai/grok-4.20-reasoning"), NOTHING
    ),
    "deepseek/deepseek-flash": switched("off on(low) on(low) on(high) on(high) on(high) on(max)"),
    "deepseek/deepseek-v4-pro": switched("off on(low) on(low) on(high) on(high) on(high) on(max)"),
    "mistral/mistral-small-latest": plain("none none high high high high high"),
    "mistral/mistral-large-4": plain("none none high high high high high"),
    "mistral/codestral-latest": NOTHING,
    "groq/openai/gpt-oss-120b": parsed("low! low low medium high high high"),
    "groq/qwen/qwen3.8-27b": parsed("none! low low medium high high high"),
    "groq/qwen/qwen3-32b": parsed("none! default default default default default default"),
    "groq/llama-3.3-70b-versatile": NOTHING,
    "moonshot/kimi-k3": plain("low low low low high high max"),
    "moonshot/kimi-k3.1-pro": plain("low low low low high high max"),
    "moonshot/kimi-k2.6": switched("off on on on on on on"),
    "moonshot/kimi-k2.7-code": switched("on on on on on on on"),
    "zai/glm-5.3": switched("off on(low) on(low) on(low) on(high) on(high) on(max)"),
    "zai/glm-5.2": switched("off on on on on on on"),
    "zai/glm-4.6": switched("off on on on on on on"),
    "dashscope/qwen3.8-flash": qwen(0, 1024, 1024, 8192, 24_576, None, None),
    "dashscope/qwen3-next-80b-a3b-thinking": qwen(1024, 1024, 1024, 8192, 24_576, None, None),
    "dashscope/qwen3-coder-plus": NOTHING,
    "cerebras/gpt-oss-120b": plain("low low low medium high high high"),
    "together/openai/gpt-oss-120b": plain("low low low medium high high high"),
    "together/moonshotai/Kimi-K3": plain("low low low low high high max"),
    "together/meta-llama/Llama-3.3-70B-Instruct-Turbo": NOTHING,
    "fireworks/accounts/fireworks/models/gpt-oss-20b": plain("low low low medium high high high"),
    "fireworks/accounts/fireworks/models/qwen3p6-plus": [
        {"reasoning_effort": value} for value in ("none", 1024, 1024, 8192, 24_576, 32_768, 32_768)
    ],
    "fireworks/accounts/fireworks/models/deepseek-v4p1-flash": plain(" ".join(EFFORTS)),
    "nvidia/openai/gpt-oss-120b": plain("low low low medium high high high"),
    "bedrock/openai.gpt-oss-20b": plain("low low low medium high high high"),
    "meta/muse-spark-1.3": plain("none minimal low medium high xhigh xhigh"),
    "meta/muse-wonder-1.0": plain("minimal minimal low medium high xhigh max"),
    "openrouter/openrouter/auto": nested(" ".join(EFFORTS)),
    "vercel/openai/gpt-6-luna": nested(" ".join(EFFORTS)),
    "cohere/command-a-reasoning-08-2025": cohere(0, 1024, 2048, 8192, 24_576, 32_768, 32_768),
    "cohere/command-a-03-2025": NOTHING,
    "minimax/MiniMax-M3": NOTHING,
    "ollama/gpt-oss:20b": think("low", "low", "low", "medium", "high", "high", "high"),
    "ollama/qwen3:8b": think(False, True, True, True, True, True, True),
    "ollama/deepseek-r1:8b-llama-distill": think(False, True, True, True, True, True, True),
    "ollama/llama3.2": NOTHING,
    "ollama/gemma3:4b": NOTHING,
    "ollama/mistral-nemo": NOTHING,
    "ollama/qwen2.5:7b": NOTHING,
    "ollama/magistral": think(False, True, True, True, True, True, True),
    "ollama/qwen3-coder:30b": NOTHING,
    "ollama-v1/qwen3": plain("none low low medium high high high"),
}
CASES = [(model, effort, fields) for model, row in TABLE.items() for effort, fields in zip(EFFORTS, row)]


@pytest.fixture(autouse=True)
def _region(monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com")


@pytest.mark.parametrize(("model", "effort", "fields"), CASES, ids=lambda value: value if type(value) is str else "")
def test_an_effort_is_sent_in_the_form_of_the_model(model, effort, fields):
    body, _ = sent(model, reasoning_effort=effort)
    assert body == fields


def test_every_row_has_a_value_for_each_word():
    assert {len(row) for row in TABLE.values()} == {7}


@pytest.mark.parametrize(
    ("model", "effort", "message"),
    [
        (
            "openai/o3",
            "max",
            "o3 does not take reasoning_effort='max' (it takes 'low', 'medium' and 'high'), so 'high'",
        ),
        ("openai/gpt-5.1", "minimal", "so 'low' is sent"),
        ("gemini/gemini-flash-latest", "none", "so 'low' is sent"),
        ("anthropic/claude-opus-5-5", "none", "so 'low' is sent"),
        ("moonshot/kimi-k2.6", "low", "reasoning_effort='low' (it can only reason or not), so it reasons"),
        ("groq/qwen/qwen3-32b", "low", "(it can only reason or not), so it reasons"),
        ("openai/gpt-4o", "low", "gpt-4o does not take reasoning_effort, so it is left out"),
        ("minimax/MiniMax-M3", "none", "does not take reasoning_effort, so it is left out"),
        ("lmstudio/qwen", "high", "does not take reasoning_effort, so it is left out"),
    ],
)
def test_an_effort_that_the_model_does_not_take_is_worth_one_warning(model, effort, message):
    _, warned = sent(model, reasoning_effort=effort)
    assert len(warned) == 1
    assert message in warned[0]
    with pytest.raises(ConfigurationError, match="reasoning_effort"):
        sent(model, reasoning_effort=effort, strict=True)


@pytest.mark.parametrize(
    ("model", "effort"),
    [("openai/gpt-6-luna", "max"), ("anthropic/claude-sonnet-5-5", "none"), ("groq/qwen/qwen3-32b", "high")],
)
def test_an_effort_that_the_model_takes_is_not_worth_a_word(model, effort):
    _, warned = sent(model, reasoning_effort=effort, strict=True)
    assert warned == []


@pytest.mark.parametrize("model", ["openai/my-model", "openai-responses/my-model", "azure/my-deployment"])
def test_any_effort_goes_to_an_unknown_model_of_another_server(model):
    for effort in EFFORTS:
        body, warned = sent(model, reasoning_effort=effort, base_url="https://gw.example/v1")
        assert (body.get("reasoning_effort") or body["reasoning"]["effort"]) == effort
        assert warned == []


def test_a_name_of_another_vendor_gets_a_budget_on_anthropic_s_protocol():
    body, _ = sent("anthropic/glm-5.3", reasoning_effort="low", base_url="https://api.z.ai/api/anthropic")
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}


def test_an_unknown_claude_is_taken_for_one_of_the_newest():
    body, _ = sent("anthropic/claude-opus-9", reasoning_effort="high")
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert body["output_config"] == {"effort": "high"}


def test_groq_gets_no_format_where_the_user_decides_about_the_thoughts():
    body, _ = sent("groq/openai/gpt-oss-120b", reasoning_effort="low", extra={"include_reasoning": False})
    assert body == {"reasoning_effort": "low", "include_reasoning": False}


@pytest.mark.parametrize(
    ("model", "max_tokens", "fields"),
    [
        ("anthropic/claude-sonnet-4-5", 4000, {"thinking": {"type": "enabled", "budget_tokens": 2976}}),
        ("anthropic/claude-sonnet-4-5", 2048, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        ("gemini/gemini-2.5-flash", 4000, {"thinkingBudget": 2976, "includeThoughts": True}),
        ("dashscope/qwen3.8-flash", 4000, {"enable_thinking": True, "thinking_budget": 2976}),
        ("cohere/command-a-reasoning-08-2025", 4000, {"thinking": {"type": "enabled", "token_budget": 2976}}),
    ],
)
def test_a_budget_leaves_room_for_the_answer(model, max_tokens, fields):
    body, warned = sent(model, reasoning_effort="high", max_tokens=max_tokens)
    body = body.get("generationConfig", {}).get("thinkingConfig", body)
    assert {name: value for name, value in body.items() if name != "max_tokens"} == fields
    assert warned == []


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("anthropic/claude-sonnet-4-5", {"max_tokens": 1500}),
        ("anthropic/claude-opus-4-5", {"max_tokens": 1500}),
        ("gemini/gemini-2.5-flash", {"thinkingBudget": 0}),
        ("gemini/gemini-2.5-pro", {"thinkingBudget": 128, "includeThoughts": True}),
        ("dashscope/qwen3.8-flash", {"max_tokens": 1500, "enable_thinking": False}),
        ("cohere/command-a-reasoning-08-2025", {"max_tokens": 1500, "thinking": {"type": "disabled"}}),
        ("fireworks/accounts/fireworks/models/qwen3p6-plus", {"max_tokens": 1500, "reasoning_effort": "none"}),
    ],
)
def test_without_room_to_think_the_model_only_answers_and_the_user_hears_of_it(model, fields):
    body, warned = sent(model, reasoning_effort="high", max_tokens=1500)
    assert body.get("generationConfig", {}).get("thinkingConfig", body) == fields
    assert len(warned) == 1
    assert "has no room to think within max_tokens=1500" in warned[0]
    with pytest.raises(ConfigurationError, match="max_tokens=1500"):
        sent(model, reasoning_effort="high", max_tokens=1500, strict=True)


def test_the_smallest_budget_needs_no_word_where_thinking_cannot_be_switched_off():
    body, warned = sent("gemini/gemini-2.5-pro", reasoning_effort="minimal", max_tokens=500)
    assert body["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 128
    assert warned == []


@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-5-5", "openai/gpt-6-luna", "gemini/gemini-flash-latest"])
def test_levels_leave_the_limit_as_it_is(model):
    body, warned = sent(model, reasoning_effort="high", max_tokens=500)
    assert 500 in (
        body.get("max_tokens"),
        body.get("max_completion_tokens"),
        *body.get("generationConfig", {}).values(),
    )
    assert warned == []


def test_a_request_that_is_built_directly_follows_the_same_rules():
    assert "think" not in wires.body("ollama", model="llama3.2", params={"reasoning_effort": "low"})
    assert wires.body("openrouter", params={"reasoning_effort": "low"})["reasoning"] == {"effort": "low"}
    options = Options(params={"reasoning_effort": "none"})
    assert effort_fields(registry["anthropic"](), "claude-opus-9", options) == {"output_config.effort": "low"}
    assert effort_fields(registry["lmstudio"](), "any", options) == {}


def test_the_field_of_an_effort_can_be_merged_with_extra():
    body, _ = sent("openrouter/a/b", reasoning_effort="low", extra={"reasoning": {"exclude": True}})
    assert body["reasoning"] == {"effort": "low", "exclude": True}
