"""Parameters: sent only when given, left out once a model refuses them, and never where `strict` forbids it."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import pytest
import responses

from aichatkit import BadRequestError, Client, ConfigurationError

URL = "https://api.openai.com/v1/chat/completions"
ANSWER = 'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


def refusal(param, **fields):
    return {
        "error": {"message": f"Unsupported value: {param}", "type": "invalid_request_error", "param": param, **fields}
    }


@pytest.fixture
def service():
    """Refuse what `service.refuses` names, as OpenAI does, and answer otherwise."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:

        def answer(request):
            body = json.loads(request.body)
            mock.bodies.append(body)
            for name in mock.refuses:
                if name in body:
                    return 400, {}, json.dumps(refusal(name))
            return 200, {"Content-Type": "text/event-stream"}, ANSWER

        mock.bodies, mock.refuses = [], []
        mock.add_callback("POST", URL, callback=answer)
        yield mock


@pytest.fixture
def openai():
    with Client(model="openai/gpt-x", api_key="sk-test") as client:
        yield client


def test_nothing_is_sent_that_was_not_given(service, openai):
    openai.ask("Hi")
    assert set(service.bodies[0]) == {"model", "messages", "stream", "stream_options"}


def test_what_is_given_is_sent_and_none_is_not(service, openai):
    openai.ask("Hi", temperature=0, stop="x", seed=None)
    assert (service.bodies[0]["temperature"], service.bodies[0]["stop"]) == (0, ["x"])
    assert "seed" not in service.bodies[0]


def test_a_refused_field_is_left_out_with_a_warning_at_the_user_s_line(service, openai):
    service.refuses.append("temperature")
    with pytest.warns(UserWarning, match="gpt-x does not take 'temperature'") as caught:
        assert openai.ask("Hi", temperature=0.5).text == "Hi"
    assert [Path(warning.filename).name for warning in caught] == ["test_attempt.py"]
    assert ["temperature" in body for body in service.bodies] == [True, False]


@pytest.mark.parametrize("face", ["stream", "chat", "rounds"])
def test_the_warning_names_the_user_s_line_from_every_face(service, openai, face):
    service.refuses.append("temperature")
    faces = {
        "stream": lambda: openai.stream("Hi", temperature=0.5).read(),
        "chat": lambda: openai.chat(temperature=0.5).ask("Hi"),
        "rounds": lambda: openai.ask("Hi", temperature=0.5, tools=[{"name": "x"}]),
    }
    with pytest.warns(UserWarning, match="temperature") as caught:
        faces[face]()
    assert [Path(warning.filename).name for warning in caught] == ["test_attempt.py"]


def test_it_is_remembered_for_the_model_and_the_client(service, openai):
    service.refuses.append("temperature")
    with pytest.warns(UserWarning, match="temperature"):
        openai.ask("Hi", temperature=0.5)
    openai.ask("Hi", temperature=0.5)
    assert "temperature" not in service.bodies[-1]
    assert len(service.bodies) == 3
    with pytest.warns(UserWarning, match="gpt-y"):
        openai.ask("Hi", temperature=0.5, model="openai/gpt-y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pickle.loads(pickle.dumps(openai))
    again._context.keys.update(openai._context.keys)
    again.ask("Hi", temperature=0.5)
    assert "temperature" not in service.bodies[-1]


def test_strict_forbids_it_also_where_it_is_remembered(service, openai):
    service.refuses.append("temperature")
    with pytest.raises(BadRequestError) as caught:
        openai.ask("Hi", temperature=0.5, strict=True)
    assert (caught.value.param, len(service.bodies)) == ("temperature", 1)
    with pytest.warns(UserWarning, match="temperature"):
        openai.ask("Hi", temperature=0.5)
    with pytest.raises(BadRequestError):
        openai.ask("Hi", temperature=0.5, strict=True)
    assert "temperature" in service.bodies[-1]


def test_one_call_is_repeated_once_and_the_next_is_right_at_once(service, openai):
    service.refuses += ["temperature", "top_p"]
    asked = {"temperature": 0.5, "top_p": 0.9, "seed": 1}
    with pytest.warns(UserWarning, match="does not take"), pytest.raises(BadRequestError, match="the next call"):
        openai.ask("Hi", **asked)
    assert openai.ask("Hi", **asked).text == "Hi"
    assert len(service.bodies) == 3
    assert set(service.bodies[-1]) == {"model", "messages", "stream", "stream_options", "seed"}


def test_a_change_that_does_not_help_is_forgotten(service, openai):
    service.replace("POST", URL, json=refusal("temperature"), status=400)
    with pytest.warns(UserWarning, match="temperature"), pytest.raises(BadRequestError) as caught:
        openai.ask("Hi", temperature=0.5)
    assert (caught.value.param, len(service.calls)) == ("temperature", 2)
    with pytest.warns(UserWarning, match="temperature"), pytest.raises(BadRequestError):
        openai.ask("Hi", temperature=0.5)
    assert "temperature" in json.loads(service.calls[2].request.body)


@pytest.mark.parametrize("param", ["messages", "model", "logit_bias", "", None, "messages[0].content"])
def test_what_the_user_did_not_choose_is_an_error(service, openai, param):
    service.replace("POST", URL, json=refusal(param), status=400)
    with pytest.raises(BadRequestError):
        openai.ask("Hi", temperature=0.5)
    assert len(service.calls) == 1


def test_extra_is_never_left_out(service, openai):
    service.refuses.append("top_k")
    with pytest.raises(BadRequestError):
        openai.ask("Hi", extra={"top_k": 5})
    assert len(service.bodies) == 1


def test_extra_goes_through_unchanged(service, openai):
    extra = {"service_tier": "flex", "metadata": {"a": [1, None]}, "stream_options": {"include_obfuscation": False}}
    openai.ask("Hi", extra=extra)
    body = service.bodies[0]
    assert (body["service_tier"], body["metadata"]) == ("flex", {"a": [1, None]})
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert extra["stream_options"] == {"include_obfuscation": False}


def test_a_field_of_the_answer_s_schema_is_not_taken_for_a_parameter(service, openai):
    service.refuses.append("user")
    schema = {"type": "object", "properties": {"user": {"type": "string"}}}
    with pytest.warns(UserWarning, match="user"):
        openai.stream("Hi", user="me", schema=schema)
    assert service.bodies[-1]["response_format"]["json_schema"]["schema"] == schema
    assert "user" not in service.bodies[-1]


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_place_in_mistral_s_form_is_understood(service, wrapped):
    detail = [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Extra inputs are not permitted"}]
    url = "https://api.mistral.ai/v1/chat/completions"
    refused = {"object": "error", "message": {"detail": detail}} if wrapped else {"detail": detail}
    service.add("POST", url, json=refused, status=422)
    service.add("POST", url, body=ANSWER, content_type="text/event-stream")
    with Client(model="mistral", api_key="m-test") as client, pytest.warns(UserWarning, match="temperature"):
        assert client.ask("Hi", temperature=0.5).text == "Hi"
    assert "temperature" not in json.loads(service.calls[-1].request.body)


def test_a_field_inside_an_object_is_left_out_there(service):
    url = "https://openrouter.ai/api/v1/chat/completions"
    service.add("POST", url, json=refusal("reasoning.effort"), status=400)
    service.add("POST", url, body=ANSWER, content_type="text/event-stream")
    service.add("POST", url, body=ANSWER, content_type="text/event-stream")
    with Client(model="openrouter/a/b", api_key="o-test") as client:
        with pytest.warns(UserWarning, match="effort"):
            client.ask("Hi", reasoning_effort="low", extra={"reasoning": {"exclude": True}})
        assert json.loads(service.calls[-1].request.body)["reasoning"] == {"exclude": True}
        client.ask("Hi")
    assert "reasoning" not in json.loads(service.calls[-1].request.body)


def test_a_parameter_no_service_has_is_refused_before_anything_is_sent(service, openai):
    with pytest.raises(ConfigurationError, match="did you mean 'temperature'"):
        openai.ask("Hi", temprature=0.5)
    with pytest.raises(ConfigurationError, match="openai does not take 'top_k'"):
        openai.ask("Hi", top_k=5)
    assert service.bodies == []


def test_a_provider_without_options_takes_no_extra(client, sandbox):
    with pytest.raises(ConfigurationError, match="aichats does not take extra fields"):
        client.ask("Hi", extra={"a": 1}, model="aichats")
    assert sandbox.requests == []


def test_models_without_end_are_not_all_remembered(service, monkeypatch):
    monkeypatch.setattr("aichatkit.call.call._MAX_MEMO", 2)
    service.refuses = ["temperature"]
    with Client(model="openai", api_key="sk-test") as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in "abca":
            client.ask("Hi", model=f"openai/{model}", temperature=0.5)
    assert ["temperature" in body for body in service.bodies] == [True, False] * 4
