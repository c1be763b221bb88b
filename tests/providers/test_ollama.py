"""Ollama: one JSON object a line, a server that may not run, and an address in many forms."""

from __future__ import annotations

import json

import provider_wires as wires
import pytest
from recorded import recording

from aichatkit import Client
from aichatkit.chunks import Finish
from aichatkit.errors import ConfigurationError, ConnectError, ModelNotFoundError, ServerError, StreamInterruptedError
from aichatkit.messages import Message
from aichatkit.registry import registry


@pytest.fixture
def told(asks):
    """Read one answer of these lines."""

    def read(*records, **options):
        return asks("ollama", b"\n".join(json.dumps(record).encode() for record in records), **options)

    return read


def says(text, **more):
    return {"model": "llama3.2", "message": {"role": "assistant", "content": text, **more}, "done": False}


DONE = {"model": "llama3.2", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}


def test_parameters_stand_under_options():
    params = {"max_tokens": 9, "stop": "END", "repetition_penalty": 1.1, "reasoning_effort": "low", "seed": 7}
    extra = {"options": {"num_ctx": 4096}, "keep_alive": "5m"}
    sent = wires.body("ollama", model="gpt-oss", params=params, extra=extra)
    assert sent == {
        "model": "gpt-oss",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "options": {"num_predict": 9, "stop": ["END"], "repeat_penalty": 1.1, "seed": 7, "num_ctx": 4096},
        "think": "low",
        "keep_alive": "5m",
    }


def test_a_schema_is_the_format():
    assert wires.body("ollama", schema=wires.STRICT)["format"] == wires.STRICT


def test_arguments_of_tools_are_objects_and_results_go_by_name():
    sent = wires.body("ollama", wires.ROUND, tools=[wires.WEATHER])
    assert sent["tools"][0]["function"]["parameters"] == wires.WEATHER.parameters
    _, asked, first, _ = sent["messages"]
    assert asked["tool_calls"][0] == {"function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    assert first == {"role": "tool", "tool_name": "weather", "content": "rain"}


def test_pictures_stand_beside_the_text():
    turn = wires.body("ollama", wires.with_file(wires.PICTURE))["messages"][0]
    assert turn == {"role": "user", "content": "What is this?", "images": ["iVBORw0KGgo="]}


def test_a_text_file_is_text():
    turn = wires.body("ollama", wires.with_file(wires.NOTE))["messages"][0]
    assert turn["content"] == "What is this?\nnote.txt:\nRemember."


def test_a_picture_s_address_and_other_files_are_refused():
    with pytest.raises(ConfigurationError, match=r"by its address.*files=requests\.get\(url, timeout=30\)\.content"):
        wires.body("ollama", wires.with_file(wires.PICTURE_URL))
    with pytest.raises(ConfigurationError, match="kind 'pdf'"):
        wires.body("ollama", wires.with_file(wires.PAPER))


def test_a_developer_is_the_system():
    assert wires.body("ollama", [Message("developer", "Be brief.")])["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", None),
        ("gpu", "http://gpu:11434"),
        ("gpu:8080", "http://gpu:8080"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("http://gpu:11434/", "http://gpu:11434"),
        ("https://ollama.com", "https://ollama.com"),
        ("gpu/path", "http://gpu:11434/path"),
        ("gpu:8080/path/", "http://gpu:8080/path"),
        (":8080/path", "http://127.0.0.1:8080/path"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("::1", "http://[::1]:11434"),
        ("2001:db8::1", "http://[2001:db8::1]:11434"),
        ("::1/path", "http://[::1]:11434/path"),
        ("http://::1", "http://[::1]"),
        ("[::]:8200", "http://[::1]:8200"),
        ("::", "http://[::1]:11434"),
        ("http://0.0.0.0:8200", "http://127.0.0.1:8200"),
        ("http://0.0.0.0", "http://127.0.0.1"),
        ("gpu:", "http://gpu:11434"),
        (" gpu ", "http://gpu:11434"),
        ('"gpu"', "http://gpu:11434"),
        ("'gpu:8080'", "http://gpu:8080"),
        ("HTTP://GPU:1", "HTTP://GPU:1"),
    ],
)
def test_the_host_of_the_environment_may_have_any_form(host, url, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert registry["ollama"].find_base_url() == url


def test_it_needs_no_key_and_sends_one_where_there_is_one(asks, web, monkeypatch):
    asks("ollama", recording("ollama"))
    assert "Authorization" not in web.calls[0].request.headers
    monkeypatch.setenv("OLLAMA_API_KEY", "cloud")
    asks("ollama", recording("ollama"))
    assert web.calls[1].request.headers["Authorization"] == "Bearer cloud"


def test_a_recorded_answer_has_text_usage_and_reason_though_no_line_ends_it(asks):
    reply = asks("ollama", recording("ollama"))
    assert reply.text == "The capital of France is Paris, la Ville Lumière."
    assert (reply.finish_reason, reply.complete, reply.model) == ("stop", True, "llama3.2")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (31, 12, 43)


def test_the_last_line_may_hold_text_and_lack_a_count(told):
    last = {**DONE, "message": {"content": "lo"}, "eval_count": 2}
    reply = told(says("Hel"), last)
    assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("Hello", None, 2)


def test_a_reason_alone_is_an_end_too(told):
    reply = told(says("Hi"), {"done_reason": "length"})
    assert (reply.complete, reply.finish_reason) == (True, "length")


def test_done_without_a_reason_is_a_stop():
    assert wires.chunks("ollama", b'{"done": true}') == [Finish("stop", last=True)]


def test_thoughts_are_kept_apart(told):
    reply = told(says("", thinking="Hm."), says("Hello"), DONE)
    assert (reply.text, reply.reasoning) == ("Hello", "Hm.")


def test_calls_of_tools_are_kept_apart_though_nothing_numbers_them(told):
    def call(name, **fields):
        return says("", tool_calls=[{"function": {"name": name, **fields}}])

    reply = told(call("weather", arguments={"city": "Oslo"}), call("now", arguments={}), call("then"), DONE)
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("weather", {"city": "Oslo"}),
        ("now", {}),
        ("then", {}),
    ]
    assert len({call.id for call in reply.tool_calls}) == 3
    assert reply.finish_reason == "tool_calls"


def test_a_stream_that_is_never_done_is_cut(told):
    with pytest.raises(StreamInterruptedError) as caught:
        told(says("Hi"))
    assert caught.value.partial == "Hi"


def test_an_error_line_in_the_middle_is_an_error(told):
    with pytest.raises(ServerError, match="model runner"):
        told(says("Hi"), {"error": "model runner has unexpectedly stopped"})


def test_a_model_that_was_not_pulled_is_not_found(asks):
    body = b'{"error":"model \'nosuch\' not found"}'
    with pytest.raises(ModelNotFoundError):
        asks("ollama/nosuch", body, status=404, content_type="application/json")


def test_a_server_that_does_not_run_is_told_with_the_way_to_start_it():
    with Client(base_url={"ollama": "http://127.0.0.1:9"}, retry=0) as client, pytest.raises(ConnectError) as caught:
        client.ask("Hi", model="ollama")
    assert str(caught.value).endswith("Start it with: ollama serve")
    assert caught.value.args == (caught.value.message,)


def test_the_environment_s_proxy_is_not_asked_for_this_machine(sandbox, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Client(base_url={"ollama": sandbox.url}, retry=0) as client:
        assert client.ask("Hi", model="ollama").complete


def test_it_lists_the_models_that_are_there(sandbox):
    with Client(base_url={"ollama": sandbox.url}, retry=0) as client:
        assert "eliza:latest" in client.models("ollama")


def test_a_record_with_more_than_text_is_no_end():
    record = {"model": "m", "message": {"role": "assistant", "content": "Hi", "thinking": "Hm"}, "done": False}
    assert wires.of_kind(wires.chunks("ollama", json.dumps(record).encode() + b"\n"), Finish) == []
