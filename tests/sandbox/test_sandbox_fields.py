"""What a service refuses the sandbox and a fake refuse as well: wrong values, malformed bodies and wrong addresses."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from sandbox_talk import CHAT, talk

from aichatkit import Client, errors
from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.wires.fields import check_fields, parse_fields
from aichatkit.testing import Fake

CALL = {"role": "user", "content": "Hi"}
#: Of each wire its path, headers, and a body that is taken.
WIRES = {
    "openai": ("/v1/chat/completions", {}, CHAT),
    "openai-responses": ("/v1/responses", {}, {"model": "m", "input": [CALL]}),
    "anthropic": ("/v1/messages", {"anthropic-version": "1"}, {"model": "m", "max_tokens": 9, "messages": [CALL]}),
    "gemini": ("/v1beta/models/m:generateContent", {}, {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
    "cohere": ("/v2/chat", {}, {"model": "m", "messages": [CALL]}),
    "ollama": ("/api/chat", {}, {"model": "m", "messages": [CALL]}),
}
#: Values of every JSON type.
ODD = (None, True, 5, -1.5, "x", [], [5], [[]], ["x"], {}, {"x": 5}, [{}], [{"x": []}], {"type": 5}, [{"function": 5}])


# Values.


@pytest.mark.parametrize("model", ["openai", "openai-responses", "anthropic", "gemini", "cohere", "groq", "mistral"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", "hot"),
        ("temperature", 9),
        ("temperature", True),
        ("top_p", 7),
        ("top_p", -0.1),
        ("stop", 5),
        ("stop", [5]),
        ("seed", "x"),
        ("seed", 1.5),
        ("logit_bias", 5),
        ("max_tokens", "5"),
        ("max_tokens", 0),
        ("reasoning_effort", "hihg"),
    ],
)
def test_a_fake_refuses_the_values_that_services_refuse(model, name, value):
    fake = Fake("Yes.")
    with pytest.raises((errors.ConfigurationError, errors.BadRequestError)) as caught:
        fake.client(model=model).ask("x", **{name: value})
    assert name in str(caught.value) or isinstance(caught.value, errors.BadRequestError)
    assert len(fake.requests) <= 1


@pytest.mark.parametrize("model", ["openai", "openai-responses", "anthropic", "gemini", "cohere", "ollama"])
def test_a_fake_takes_the_values_that_services_take(model):
    # Their current models take no sampling parameters.
    sampling = {} if model in ("anthropic", "gemini") else {"temperature": 1, "top_p": 0.5}
    values = {"max_tokens": 50, **sampling, **({} if model == "openai-responses" else {"stop": ["END"]})}
    assert Fake("Yes.").client(model=model).ask("x", **values).text == "Yes."


def test_a_refusal_is_worded_as_the_service_does(box):
    told = talk(box, "/v1/chat/completions", {**CHAT, "temperature": 9}).json()["error"]
    assert told["message"] == (
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 9 instead."
    )
    assert told["code"] == "decimal_above_max_value"
    told = talk(box, "/v1/chat/completions", {**CHAT, "max_tokens": 0}).json()["error"]
    assert told["message"].startswith("Invalid 'max_tokens': integer below minimum value. Expected a value >= 1")
    told = talk(box, "/v1/chat/completions", {**CHAT, "reasoning_effort": "hihg"}).json()["error"]
    assert told["message"].startswith("Invalid value: 'hihg'. Supported values are: 'none', ")
    told = talk(box, "/v1/chat/completions", {**CHAT, "reasoning_effort": 5}).json()["error"]
    assert told["message"].startswith("Invalid type for 'reasoning_effort'")
    path, headers, body = WIRES["anthropic"]
    told = talk(box, path, {**body, "temperature": 1.5}, headers=headers).json()["error"]
    assert told["message"] == "temperature: Input should be less than or equal to 1"
    told = talk(box, path, {**body, "top_k": -1}, headers=headers).json()["error"]
    assert told["message"] == "top_k: Input should be greater than or equal to 0"
    told = talk(box, path, {**body, "tools": [{"name": 5}]}, headers=headers).json()["error"]
    assert told["message"] == "tools.0.name: Input should be a valid string"


def test_a_table_of_fields_is_checked_along_its_paths():
    fields = parse_fields("integer a.[].b:1..3\nstring c")
    told = []

    def refuse(bad):
        told.append((bad.path, bad.expected, bad.value, bad.is_out_of_bounds))
        return ValueError("refused")

    for record in ({}, [], {"a": 5}, {"a": [{"b": None}, 5, {"b": 2}]}, {"a": {"b": 9}}):
        check_fields(record, fields, refuse)
    for record in ({"a": [{"b": 2}, {"b": 4}]}, {"c": 5}):
        with pytest.raises(ValueError, match="refused"):
            check_fields(record, fields, refuse)
    assert told == [("a[1].b", "an integer", 4, True), ("c", "a string", 5, False)]


# Bodies.


@pytest.mark.parametrize("name", WIRES)
def test_no_body_ends_a_server(box, name):
    path, headers, body = WIRES[name]
    assert talk(box, path, body, headers=headers).status == 200
    fields = {
        *body,
        *("tools", "tool_choice", "stream_options", "response_format", "stop", "text", "format", "options", "thinking"),
        *("generationConfig", "toolConfig", "output_config", "output_format", "reasoning", "stream", "system"),
    }
    for field in sorted(fields):
        for value in ODD:
            answer = talk(box, path, {**body, field: value}, headers=headers)
            assert answer.status in (200, 400), (field, value, answer.status)
            assert answer.status == 200 or b"rror" in answer.body or b"message" in answer.body
    assert talk(box, path, body, headers=headers).status == 200


@pytest.mark.parametrize("name", WIRES)
@pytest.mark.parametrize("value", ODD)
def test_no_message_ends_a_server(box, name, value):
    path, headers, body = WIRES[name]
    key = next(key for key in ("messages", "input", "contents") if key in body)
    for messages in ([value], [CALL, value], [{"role": "user", "content": value}], [{"role": value, "content": "x"}]):
        assert talk(box, path, {**body, key: messages}, headers=headers).status in (200, 400)
    if name == "gemini":
        for parts in ([value], [{"text": value}], [{"functionResponse": value}]):
            record = {"contents": [{"role": "user", "parts": parts}]}
            assert talk(box, path, record, headers=headers).status in (200, 400)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"\xff", b"[" * 100_000, b'"\\ud800"'])
@pytest.mark.parametrize("name", WIRES)
def test_what_is_no_object_is_refused(box, name, content):
    path, headers, _ = WIRES[name]
    assert talk(box, path, body=content, headers=headers).status == 400


@pytest.mark.parametrize(
    "options",
    [
        {"response_format": {"type": "json_schema", "json_schema": "x"}},
        {"extra": {"tools": "x"}},
        {"extra": {"tools": [5]}},
        {"extra": {"stream_options": 5}},
        {"extra": {"messages": 5}},
        {"extra": {"tool_choice": 5}},
        {"extra": {"tool_choice": {"function": 5}}},
    ],
)
def test_a_fake_refuses_malformed_bodies(options):
    with pytest.raises(errors.BadRequestError):
        Fake("Yes.").client(model="openai").ask("x", **options)


# Addresses.


@pytest.mark.parametrize("path", ["", "/v2", "/v1/v1", "/v1/x", "/openai", "/api/v3"])
@pytest.mark.parametrize("model", ["openai", "openai-responses"])
def test_a_wrong_address_is_not_found(box, path, model):
    with Client(model=model, base_url=box.url + path, api_key="k", retry=0) as client:
        with pytest.raises(errors.APIError) as caught:
            client.ask("x")
        assert caught.value.status == 404
        with pytest.raises(errors.ChatError):
            client.models(model)


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/openai/v1", "/api/v1", "/v1/openai", "/compatible-mode/v1", "/api/paas/v4", "/v1beta/openai"],
)
def test_the_addresses_of_compatible_services_are_found(box, path):
    with Client(model="openai", base_url=box.url + path, api_key="k", retry=0) as client:
        assert client.ask("x").text
        assert client.models("openai")


@pytest.mark.parametrize("base_url", ["https://api.openai.com", "https://api.openai.com/v2"])
def test_a_fake_knows_the_address_of_openai(base_url):
    fake = Fake(["Yes."])
    with pytest.raises(errors.APIError) as caught:
        fake.client(model="openai", base_url=base_url).ask("x")
    assert caught.value.status == 404
    assert fake.client(model="openai", base_url="https://gateway.example").ask("x").text == "Yes."
    fake.assert_done()


@pytest.mark.parametrize("number", ["x", 0, 99, 1.5, [], {}])
def test_a_number_of_pictures_that_is_none_is_refused(number):
    with Sandbox() as box:
        data = json.dumps({"prompt": "a cat", "n": number}).encode()
        request = urllib.request.Request(f"{box.url}/v1/images/generations", data)
        request.add_header("Content-Type", "application/json")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 400
        caught.value.close()


@pytest.mark.parametrize(
    ("wire", "fields", "words"),
    [
        ("cohere", {"p": 7}, "p must be between 0 and 1 inclusive"),
        ("cohere", {"max_tokens": 0}, "max_tokens must be between 1 and unbounded inclusive"),
        ("gemini", {"generationConfig": {"temperature": 9}}, ""),
        ("gemini", {"generationConfig": {"topP": 7}}, ""),
    ],
)
def test_a_number_out_of_bounds_is_refused(box, wire, fields, words):
    path, headers, body = WIRES[wire]
    told = talk(box, path, {**body, **fields}, headers=headers)
    assert told.status == 400
    assert words in told.body.decode()
