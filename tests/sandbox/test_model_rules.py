"""The sandbox refuses models and parameters as the services do: retired names, sampling, efforts, limits, endpoints."""

from __future__ import annotations

import pytest
import requests

from aichatkit import Client, ModelNotFoundError
from aichatkit.sandbox.wires.model_rules import find_record, sampling_of, unsupported_effort

MESSAGES = [{"role": "user", "content": "Hi"}]
VERSION = {"anthropic-version": "2023-06-01"}


def post(sandbox, path, body, **headers):
    return requests.post(sandbox.url + path, json=body, headers=headers, timeout=10)


def chat(sandbox, model, **fields):
    return post(sandbox, "/v1/chat/completions", {"model": model, "messages": MESSAGES, **fields})


def claude(sandbox, model, **fields):
    return post(sandbox, "/v1/messages", {"model": model, "max_tokens": 9, "messages": MESSAGES, **fields}, **VERSION)


def test_a_retired_model_is_not_found_in_the_words_of_its_service(sandbox):
    told = chat(sandbox, "gpt-4.1-nano")
    assert (told.status_code, told.json()["error"]["code"]) == (404, "model_not_found")
    assert told.json()["error"]["message"].startswith("The model `gpt-4.1-nano` does not exist")
    told = claude(sandbox, "claude-3-5-haiku-latest")
    assert (told.status_code, told.json()["error"]["message"]) == (404, "model: claude-3-5-haiku-latest")
    contents = {"contents": [{"parts": [{"text": "Hi"}]}]}
    told = post(sandbox, "/v1beta/models/gemini-2.0-flash:generateContent", contents)
    assert told.status_code == 404
    assert "models/gemini-2.0-flash is no longer available" in told.json()["error"]["message"]


@pytest.mark.parametrize("model", ["gpt-4o", "my-own", "gpt-6-luna"])
def test_a_model_that_is_alive_on_the_day_of_the_data_or_unknown_is_answered(sandbox, model):
    assert chat(sandbox, model).status_code == 200


def test_a_model_of_the_responses_api_is_no_chat_model(sandbox):
    told = chat(sandbox, "gpt-5.5-pro")
    assert told.status_code == 404
    assert told.json()["error"]["message"].startswith("This is not a chat model")
    assert post(sandbox, "/v1/responses", {"model": "gpt-5.5-pro", "input": "Hi"}).status_code == 200


def test_sampling_that_a_model_refuses_is_named(sandbox):
    told = chat(sandbox, "gpt-6.1-sol", temperature=0.2).json()["error"]
    assert (told["param"], told["code"]) == ("temperature", "unsupported_value")
    assert chat(sandbox, "gpt-6.1-sol", temperature=1).status_code == 200
    assert chat(sandbox, "gpt-6-luna", temperature=0.2).status_code == 200
    assert chat(sandbox, "gpt-6-luna", temperature=0.2, reasoning_effort="low").status_code == 400
    told = claude(sandbox, "claude-sonnet-5-5", top_k=3)
    assert (told.status_code, told.json()["error"]["message"]) == (400, "`top_k` is not supported by this model.")


def test_an_effort_that_a_model_does_not_take_is_refused_with_those_it_takes(sandbox):
    told = chat(sandbox, "gpt-5.1", reasoning_effort="minimal").json()["error"]
    assert told["message"].endswith("Supported values are: 'none', 'low', 'medium', 'high'.")
    told = post(sandbox, "/v1/responses", {"model": "gpt-5.1", "input": "Hi", "reasoning": {"effort": "max"}}).json()
    assert told["error"]["param"] == "reasoning.effort"


def test_more_tokens_than_a_model_can_write_are_refused(sandbox):
    told = claude(sandbox, "claude-sonnet-5-5", max_tokens=128_001)
    assert told.json()["error"]["message"].startswith("max_tokens: 128001 > 128000, which is the maximum")


def test_a_model_that_reasons_takes_only_the_newer_name_of_the_limit(sandbox):
    told = chat(sandbox, "gpt-6-luna", max_tokens=9).json()["error"]
    assert (told["param"], told["code"]) == ("max_tokens", "unsupported_parameter")
    assert chat(sandbox, "gpt-6-luna", max_completion_tokens=9).status_code == 200
    assert chat(sandbox, "gpt-4o", max_tokens=9).status_code == 200


@pytest.mark.parametrize(
    ("model", "name"), [("gpt-6-luna", "max_completion_tokens"), ("gpt-4o", "max_tokens"), ("my-own", "max_tokens")]
)
@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
def test_a_client_sends_the_name_that_the_model_takes_behind_any_address(sandbox, model, name):
    with Client(model=f"openai/{model}", api_key="k", base_url=f"{sandbox.url}/v1", retry=0) as client:
        assert client.ask("Hi", max_tokens=9).complete
    assert sandbox.requests[-1].json()[name] == 9
    assert len(sandbox.requests) == 1


def test_usage_has_the_form_that_each_service_sends(sandbox):
    usage = claude(sandbox, "claude-sonnet-5-5").json()["usage"]
    assert (usage["cache_read_input_tokens"], usage["service_tier"]) == (0, "standard")
    details = chat(sandbox, "gpt-6-luna").json()["usage"]["prompt_tokens_details"]
    assert details == {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0}
    contents = {"contents": [{"parts": [{"text": "Hi"}]}]}
    usage = post(sandbox, "/v1beta/models/m:generateContent", contents).json()["usageMetadata"]
    assert usage["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": usage["promptTokenCount"]}]


def test_what_is_served_as_another_model_is_answered():
    assert find_record("xai", "grok-4-fast")["served_as"] == "grok-4.3"


def test_what_is_not_known_is_not_refused():
    assert sampling_of({}, {"temperature": 0.2}) is None
    assert sampling_of({"no_sampling": True}, {}) is None
    assert unsupported_effort({}, "low") is None
    assert unsupported_effort({"effort": "low"}, None) is None


def test_a_client_learns_of_the_refusals_as_from_the_services(sandbox):
    base = {"openai": f"{sandbox.url}/v1", "anthropic": sandbox.url}
    with Client(model="openai", api_key=dict.fromkeys(base, "k"), base_url=base, retry=0) as client:
        with pytest.warns(UserWarning, match="retired on"), pytest.raises(ModelNotFoundError) as caught:
            client.ask("Hi", model="anthropic/claude-3-7-sonnet-latest")
        assert caught.value.successor == "claude-sonnet-5-5"
