"""Perplexity's Agent API: Responses with its own search, schemas, usage and sources; the models of chat are gone."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest
import responses
from recorded import recording

from aichatkit import Client, RetiredModelWarning
from aichatkit.chunks import Bill, Citation, Cited, Search, Source
from aichatkit.errors import ConfigurationError, ModelNotFoundError, ServerError
from aichatkit.messages import Message

NAME = "perplexity"
SEARCH = {"type": "web_search"}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PERPLEXITY_API_KEY", "sk-p")


def test_a_recorded_answer_has_text_sources_usage_and_the_cost_it_tells(asks):
    reply = asks(NAME, recording(NAME))
    assert reply.text == "The capital of France is Paris, la Ville Lumière."
    assert reply.citations == [
        Citation("https://en.wikipedia.org/wiki/Paris", "Paris - Wikipedia"),
        Citation("https://www.britannica.com/place/Paris", "Paris | Britannica"),
    ]
    assert (reply.model, reply.finish_reason, reply.complete) == ("perplexity/sonar", "stop", True)
    usage = reply.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens, usage.searches) == (6, 12, 18, 1)
    assert [bill.cost for bill in wires.of_kind(wires.chunks(NAME, recording(NAME)), Bill)] == [0.0025315]


def test_every_item_has_its_type_and_the_assistant_s_turn_is_plain_text():
    turns = [Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello!")]
    sent = wires.body(NAME, turns)
    assert sent["input"] == [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "message", "role": "assistant", "content": "Hello!"},
    ]
    assert (sent["model"], sent["stream"]) == ("perplexity/sonar", True)
    kinds = [item["type"] for item in wires.body(NAME, wires.ROUND)["input"]]
    assert kinds == ["message", "function_call", "function_call", "function_call_output", "function_call_output"]


def test_sonar_searches_for_every_answer():
    sent = wires.body(NAME)
    assert (sent["tools"], sent["tool_choice"]) == ([SEARCH], "required")


def test_beside_functions_the_search_is_the_model_s_choice():
    sent = wires.body(NAME, tools=[wires.WEATHER])
    assert [tool["type"] for tool in sent["tools"]] == ["function", "web_search"]
    assert "tool_choice" not in sent


def test_the_user_s_own_tools_and_choice_are_left_alone():
    own = [{**SEARCH, "search_context_size": "low"}]
    sent = wires.body(NAME, extra={"tools": own})
    assert sent["tools"] == own
    assert "tool_choice" not in sent
    assert wires.body(NAME, extra={"tool_choice": "auto"})["tool_choice"] == "auto"


@pytest.mark.parametrize("model", ["openai/gpt-6-luna", "perplexity/glm-5.3-flash"])
def test_another_model_searches_only_if_told_to(model):
    sent = wires.body(NAME, model=model)
    assert sent["model"] == model
    assert not {"tools", "tool_choice"} & set(sent)


def test_a_preset_stands_in_a_field_of_its_own():
    sent = wires.body(NAME, model="preset/low")
    assert sent["preset"] == "low"
    assert not {"model", "tools", "tool_choice"} & set(sent)


def test_parameters_and_schemas_go_by_the_service_s_names():
    sent = wires.body(NAME, params={"max_tokens": 9, "reasoning_effort": "low"}, schema=wires.STRICT)
    assert (sent["max_output_tokens"], sent["reasoning"]) == (9, {"effort": "low"})
    answer = {"name": "answer", "schema": wires.STRICT, "strict": True}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": answer}
    assert "text" not in sent


def test_no_header_of_another_service_goes_out(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    request = wires.request(NAME)
    assert request.url == "https://api.perplexity.ai/v1/responses"
    assert "OpenAI-Organization" not in request.headers


def test_it_takes_pictures_and_no_pdf():
    assert wires.body(NAME, wires.with_file(wires.PICTURE_URL))["input"][0]["content"][1]["type"] == "input_image"
    with pytest.raises(ConfigurationError, match="pdf"):
        wires.body(NAME, wires.with_file(wires.PAPER))


@pytest.mark.parametrize(
    ("model", "successor"),
    [
        ("sonar", "perplexity/sonar"),
        ("sonar-pro", "preset/low"),
        ("sonar-reasoning-pro", "preset/medium"),
        ("sonar-reasoning", "preset/medium"),
        ("sonar-deep-research", "preset/high"),
    ],
)
def test_a_model_of_the_ended_chat_is_answered_with_its_successor_and_nothing_is_sent(model, successor, web):
    warned = pytest.warns(RetiredModelWarning, match=f"perplexity/{model} retired on 2026-09-27; use perplexity/")
    with Client(model=f"perplexity/{model}") as client, warned, pytest.raises(ModelNotFoundError) as caught:
        client.ask("Hi")
    assert caught.value.successor == successor
    assert f"{model!r} was retired on 2026-09-27" in str(caught.value)
    assert str(caught.value).endswith(f"'perplexity/{successor}'")
    assert not web.calls


@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
def test_after_an_ended_model_the_next_of_the_list_answers(sandbox):
    urls = {"openai": f"{sandbox.url}/v1"}
    with Client(model=["perplexity/sonar", "openai"], api_key={"openai": "k"}, base_url=urls) as c:
        assert c.ask("Hi").provider == "openai"


def test_results_of_an_item_are_sources_and_those_without_a_title_count():
    item = {"type": "search_results", "results": [{"url": "https://example.org/", "title": None}]}
    events = [{"type": "response.output_item.done", "output_index": 0, "item": item}]
    document = {"object": "response", "status": "completed", "output": [item]}
    for body in (b"".join(map(wires.event, events)), json.dumps(document).encode()):
        assert wires.of_kind(wires.chunks(NAME, body), Cited) == [Cited("https://example.org/", "", "number", number=1)]


def test_a_search_has_its_query_and_marks_in_the_text_their_places(asks):
    found = {
        "id": "s1",
        "type": "search_results",
        "queries": ["tides"],
        "results": [{"id": 2, "url": "https://example.org/b", "title": "B"}, {"url": "https://example.org/a"}],
    }
    nothing = {"type": "search_results", "results": []}
    message = {"type": "message", "content": [{"type": "output_text", "text": "Für Ebbe 🌊[2]."}]}
    document = {"object": "response", "status": "completed", "output": [found, nothing, message]}
    reply = asks(NAME, json.dumps(document).encode(), content_type="application/json")
    assert reply.searches == [Search("tides", [Source("https://example.org/b", "B"), Source("https://example.org/a")])]
    assert Citation("https://example.org/b", "B", 10, 13, "[2]") in reply.citations


def test_a_start_without_a_response_and_a_gateway_s_done_say_nothing():
    assert wires.chunks(NAME, wires.event({"type": "response.created"})) == []
    assert wires.chunks(NAME, b"data: [DONE]\n\n") == []


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed", "error": {"message": "Something broke", "type": "internal_error"}},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "Something broke"}}},
        {"type": "response.cancelled", "response": {"status": "cancelled", "error": {"message": "Something broke"}}},
    ],
)
def test_a_run_that_failed_behind_status_200_is_an_error(asks, event):
    with pytest.raises(ServerError, match="Something broke"):
        asks(NAME, wires.event(event))


def test_it_answers_and_fills_a_schema_at_the_sandbox(sandbox):
    with Client(model="perplexity", api_key="k", base_url=sandbox.url) as client:
        assert client.ask("Hello").text
        assert set(client.ask("Hello", schema=wires.STRICT).data) == {"n"}


@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
@pytest.mark.parametrize("model", ["sonar-pro", "perplexity/sonar"])
def test_a_gateway_may_still_answer_in_the_form_of_chat_completions(model):
    usage = {"prompt_tokens": 26, "completion_tokens": 832, "total_tokens": 858, "search_context_size": "high"}
    document = {
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Paris."}, "finish_reason": "stop"}],
        "search_results": [{"title": "Paris", "url": "https://example.org/paris"}],
        "usage": usage,
    }
    with responses.RequestsMock() as web:
        path = "/chat/completions" if model == "sonar-pro" else "/v1/responses"
        web.post(f"https://gateway.example{path}", json=document)
        with Client(model=f"perplexity/{model}", base_url="https://gateway.example") as client:
            reply = client.ask("Capital of France?")
    assert (reply.text, reply.complete) == ("Paris.", True)
    assert reply.citations == [Citation("https://example.org/paris", "Paris")]
    if model == "sonar-pro":
        assert reply.cost == pytest.approx(26 * 3e-6 + 832 * 15e-6 + 0.014)


@pytest.mark.parametrize("noise", [b"data: : ping\n\n", b"data: data:\n\n", b"data:  \n\n", b"data: [DONE]\n\n"])
def test_events_that_are_not_json_are_skipped(asks, noise):
    assert asks(NAME, noise + recording(NAME)).text == "The capital of France is Paris, la Ville Lumière."


def test_a_response_that_repeats_a_tool_with_a_field_named_choices_is_not_a_chat_completion(asks):
    tools = [{"type": "function", "parameters": {"properties": {"choices": {}}}}]
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]
    response = {"object": "response", "status": "completed", "tools": tools, "output": output}
    assert asks(NAME, wires.event({"type": "response.completed", "response": response})).text == "Hi"
