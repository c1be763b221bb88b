"""Parameters that a model refuses are left out before anything is sent, and the user hears of it once."""

from __future__ import annotations

import re
import warnings

import pytest
import responses
from sent import sent

from aichatkit import ChatError, Client, ConfigurationError
from aichatkit.catalog.efforts import clamp, with_effort
from aichatkit.catalog.parameters import adapt

SAMPLING = {"temperature": 0.5, "top_p": 0.9}
NO_SAMPLING = [
    "anthropic/claude-sonnet-5-5",
    "anthropic/claude-opus-4-8",
    "anthropic/claude-fable-5-2",
    "gemini/gemini-flash-latest",
    "gemini/gemini-3.6-flash",
    "openai/o3",
    "openai/gpt-5-mini",
    "openai/gpt-6-astra",
    "openai/gpt-6.1-sol",
    "openai-responses/gpt-6.1-sol",
    "moonshot/kimi-k2.6",
]


def has_sampling(body):
    fields = {**body, **body.get("generationConfig", {})}
    return [name for name in ("temperature", "top_p", "topP", "top_k", "topK") if name in fields]


@pytest.mark.parametrize("model", NO_SAMPLING)
def test_sampling_parameters_are_left_out_with_one_warning(model):
    body, warned = sent(model, **SAMPLING)
    assert has_sampling(body) == []
    assert len(warned) == 1
    assert re.search(
        r"does not take temperature, top_p.*, so temperature and top_p are left out; strict=True", warned[0]
    )
    assert warned[0].startswith(model.replace("/", ": "))


@pytest.mark.parametrize("model", NO_SAMPLING)
def test_a_strict_call_raises_before_anything_is_sent(model):
    with pytest.raises(ConfigurationError, match=f"{model.partition('/')[2]} does not take temperature"):
        sent(model, temperature=0.5, strict=True)


@pytest.mark.parametrize("model", NO_SAMPLING)
def test_the_value_that_is_the_default_anyway_is_left_out_without_a_word(model):
    body, warned = sent(model, temperature=1, top_p=1.0, strict=True)
    assert (has_sampling(body), warned) == ([], [])


@pytest.mark.parametrize(
    "model",
    ["openai/gpt-4o", "openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-flash", "xai/grok-4.3"],
)
def test_other_models_get_their_temperature(model):
    body, warned = sent(model, temperature=0.5)
    assert has_sampling(body) == ["temperature"]
    assert warned == []


@pytest.mark.parametrize(
    ("model", "effort", "taken"),
    [
        ("openai/gpt-6-luna", "none", True),
        ("openai/gpt-6-luna", "low", False),
        ("openai/gpt-5.4", None, True),
        ("openai/gpt-5.4", "high", False),
        ("openai/gpt-5.5", None, True),
        ("openai/gpt-6-luna", None, True),
        ("openai/gpt-6.2-sol", None, True),
        ("openai/gpt-6.1-sol", None, False),
        ("openai/o3", "none", False),
    ],
)
def test_openai_s_models_take_a_temperature_as_long_as_they_do_not_reason(model, effort, taken):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body, _ = sent(model, temperature=0.5, reasoning_effort=effort)
    assert ("temperature" in body) is taken


def test_the_warning_says_when_a_temperature_would_be_taken():
    assert "unless reasoning_effort='none'" in sent("openai/gpt-6-luna", temperature=0.5, reasoning_effort="low")[1][0]
    assert "unless" not in sent("openai/o3", temperature=0.5)[1][0]


def test_openai_s_reasoning_models_refuse_penalties_and_probabilities_as_well():
    refused = {"presence_penalty": 0.5, "logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 5}}
    body, warned = sent("openai/gpt-6.1-sol", **refused, frequency_penalty=0, seed=7, stop="END")
    assert body == {"seed": 7, "stop": ["END"]}
    assert "presence_penalty, logit_bias, logprobs and top_logprobs are left out" in warned[0]


@pytest.mark.parametrize(
    ("model", "options", "left", "message"),
    [
        ("anthropic/claude-sonnet-4-5", {"temperature": 0.2, "top_k": 5}, {}, "temperature and top_k are left out"),
        ("anthropic/claude-sonnet-4-6", {"top_p": 0.9}, {}, "top_p is left out"),
        ("anthropic/claude-opus-4-5", {"top_p": 0.97}, {"top_p": 0.97}, None),
        ("anthropic/claude-haiku-4-5", {"temperature": 1}, {}, None),
        ("anthropic/claude-haiku-4-5", {"temperature": 0.5, "max_tokens": 1500}, {"temperature": 0.5}, "no room"),
    ],
)
def test_a_claude_that_thinks_takes_hardly_any_sampling_parameters(model, options, left, message):
    body, warned = sent(model, reasoning_effort="low", **options)
    assert {name: body[name] for name in ("temperature", "top_p", "top_k") if name in body} == left
    assert [message in warning for warning in warned] == ([True] if message else [])


def test_a_claude_takes_one_of_temperature_and_top_p():
    body, warned = sent("anthropic/claude-sonnet-4-5", temperature=0.2, top_p=0.5)
    assert (body["temperature"], "top_p" in body) == (0.2, False)
    assert "does not take temperature and top_p together, so top_p is left out" in warned[0]


@pytest.mark.parametrize(
    ("model", "limit", "field"),
    [
        ("openai/gpt-4o", 16_384, "max_completion_tokens"),
        ("openai-responses/gpt-6-luna", 128_000, "max_output_tokens"),
        ("anthropic/claude-haiku-4-5", 64_000, "max_tokens"),
        ("groq/openai/gpt-oss-120b", 65_536, "max_completion_tokens"),
        ("cohere/command-a-03-2025", 8000, "max_tokens"),
    ],
)
def test_a_limit_above_what_the_model_can_write_is_lowered_to_that(model, limit, field):
    body, warned = sent(model, max_tokens=999_999)
    assert body == {field: limit}
    assert warned == [
        f"{model.replace('/', ': ', 1)} writes at most {limit:,} tokens, fewer than max_tokens=999999, "
        f"so max_tokens={limit} is sent; strict=True forbids that"
    ]
    with pytest.raises(ConfigurationError, match="max_tokens=999999"):
        sent(model, max_tokens=999_999, strict=True)


def test_a_limit_that_fits_is_sent_as_it_is():
    assert sent("openai/gpt-4o", max_tokens=16_384, strict=True) == ({"max_completion_tokens": 16_384}, [])


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-sonnet-5-5", 128_000),
        ("claude-haiku-4-5", 64_000),
        ("claude-haiku-4-5-20251001", 64_000),
        ("unknown", 8192),
    ],
)
def test_anthropic_s_limit_is_what_the_model_can_write(model, limit):
    assert sent(f"anthropic/{model}") == ({"max_tokens": limit}, [])


@pytest.mark.parametrize(
    ("model", "field"),
    [
        *((f"{name}/x", "max_completion_tokens") for name in ("openai", "groq", "cerebras")),
        *((f"{name}/x", "max_tokens") for name in ("mistral", "deepseek", "openrouter", "xai", "together", "cohere")),
        ("openai-responses/x", "max_output_tokens"),
    ],
)
def test_the_limit_goes_by_the_service_s_own_name(model, field):
    assert sent(model, max_tokens=5)[0] == {field: 5}


@pytest.fixture
def claude():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as service:
        service.add(responses.POST, re.compile(".*"), status=418, json={})
        with Client(model="anthropic/claude-sonnet-5-5", api_key="k", retry=0) as client:
            yield client


def warnings_of(client, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ChatError):
            client.ask("Hi", **options)
    return caught


def test_a_client_warns_once_for_each_model(claude):
    assert len(warnings_of(claude, temperature=0.5)) == 1
    assert len(warnings_of(claude, temperature=0.2)) == 0
    assert len(warnings_of(claude, top_p=0.2)) == 0
    assert len(warnings_of(claude, temperature=0.2, model="anthropic/claude-opus-5-5")) == 1
    assert len(warnings_of(claude, reasoning_effort="minimal")) == 1
    assert len(warnings_of(claude, reasoning_effort="minimal")) == 0


def test_the_warning_is_given_at_the_user_s_line(claude):
    assert warnings_of(claude, temperature=0.5)[0].filename == __file__


def test_a_warning_that_is_an_error_keeps_the_request_back(claude):
    with pytest.raises(UserWarning, match="does not take temperature"):
        claude.ask("Hi", temperature=0.5)
    assert len(responses.calls) == 0


def test_what_was_warned_of_is_not_remembered_without_end(claude, monkeypatch):
    monkeypatch.setattr("aichatkit.call.model_rules._MAX_WARNED", 1)
    assert len(warnings_of(claude, temperature=0.5)) == 1
    assert len(warnings_of(claude, temperature=0.5, model="anthropic/claude-opus-5-5")) == 1
    assert len(warnings_of(claude, temperature=0.5)) == 1


def test_a_model_that_draws_has_rules_of_its_own():
    with pytest.raises(ConfigurationError, match="draws and takes no 'temperature'"):
        sent("openai/gpt-image-2", temperature=0.5)


def test_a_strict_target_gives_way_to_the_next_one():
    model = ["anthropic/claude-sonnet-5-5", "openai/gpt-6-luna"]
    with responses.RequestsMock() as service:
        service.add(responses.POST, re.compile("https://api.openai.com/.*"), status=418, json={})
        with (
            Client(model=model, api_key={"openai": "k", "anthropic": "k"}, retry=0) as client,
            pytest.raises(ChatError),
        ):
            client.ask("Hi", temperature=0.5, strict=True)


def test_the_parameters_of_the_caller_stay_as_they_are():
    params = {"temperature": 0.5, "max_tokens": 10}
    adapt(params, {"no_sampling": True, "max_out": 5}, service="x", model="m", supported=["temperature"])
    assert params == {"temperature": 0.5, "max_tokens": 10}


@pytest.mark.parametrize(
    ("record", "service", "effort"),
    [
        ({"effort": "high"}, "openai", "high"),
        ({"caps": "tools"}, "openai", ""),
        ({"caps": "tools reasoning"}, "xai", "none minimal low medium high xhigh max"),
        ({"caps": "tools"}, "deepinfra", "none minimal low medium high xhigh max"),
        ({}, "house", "none minimal low medium high xhigh max"),
        ({"caps": "tools"}, "house", "none minimal low medium high xhigh max"),
    ],
)
def test_what_the_catalog_lacks_is_assumed_from_the_service(record, service, effort):
    assert with_effort(record, service, "some-model")["effort"] == effort


@pytest.mark.parametrize(
    ("effort", "efforts", "clamped"),
    [
        ("xhigh", "low high max", "high"),
        ("medium", "low high max", "low"),
        ("minimal", "medium high", "medium"),
        ("none", "medium high", "medium"),
        ("minimal", "none high", "none"),
        ("low", "none high", "high"),
        ("minimal", "none low", "low"),
        ("high", "none", "none"),
    ],
)
def test_the_next_lower_effort_is_sent_and_never_a_higher_one_if_there_is_a_lower(effort, efforts, clamped):
    assert clamp(effort, {"effort": efforts}) == clamped
