"""What a model refuses is healed in the body of every protocol: once, with a warning, and remembered for the model."""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from typing import ClassVar

import pytest
import requests
import responses

from aichatkit import BadRequestError, Client, ModelNotFoundError
from aichatkit.providers.base import NO_OPTIONS, Provider
from aichatkit.providers.request_bodies import add_options
from aichatkit.registry import registry

SSE, LINES = "text/event-stream", "application/x-ndjson"
CHAT = 'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
#: What a protocol answers: its type and body.
ANSWERS = {
    "anthropic": (
        SSE,
        'event: message\ndata: {"type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", '
        '"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 1, "output_tokens": 1}}\n\n'
        'event: message_stop\ndata: {"type": "message_stop"}\n\n',
    ),
    "gemini": (SSE, 'data: {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}\n\n'),
    "ollama": (LINES, '{"message": {"content": "Hi"}, "done": true, "done_reason": "stop"}\n'),
    "cohere": (
        SSE,
        'data: {"type": "content-delta", "delta": {"message": {"content": {"text": "Hi"}}}}\n\n'
        'data: {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}\n\n',
    ),
    "openai-responses": (
        SSE,
        'data: {"type": "response.output_text.delta", "delta": "Hi"}\n\n'
        'data: {"type": "response.completed", "response": {"status": "completed", "output": []}}\n\n',
    ),
}


class Service:
    """Refuses a request with the next of `refusals`, each a status and body, and answers when there are no more."""

    def __init__(self, provider):
        self.kind, self.answer = ANSWERS.get(provider, (SSE, CHAT))
        self.refusals, self.bodies = [], []

    def __call__(self, request):
        self.bodies.append(json.loads(request.body))
        if self.refusals:
            status, body = self.refusals.pop(0)
            return status, {"Content-Type": "application/json"}, json.dumps(body)
        return 200, {"Content-Type": self.kind}, self.answer


@pytest.fixture
def served():
    """Return a function that makes a client and the service its model name leads to."""
    clients = []
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:

        def serve(model, *refusals, **options):
            service = Service(model.partition("/")[0])
            service.refusals += refusals
            mock.add_callback("POST", re.compile(".*"), callback=service)
            base = {"base_url": "https://azure.example"} if model.startswith("azure") else {}
            clients.append(Client(model=model, api_key="k-test", **base, **options))
            return clients[-1], service

        yield serve
    for client in clients:
        client.close()


def error(message, **fields):
    return {"error": {"message": message, "type": "invalid_request_error", **fields}}


def quiet(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reply = call()
    return reply, [str(warning.message) for warning in caught]


def at(body, path):
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body


ONLY_DEFAULT = error(
    "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.",
    param="temperature",
    code="unsupported_value",
)
LONG = "Use 'max_completion_tokens' instead."
MISTRAL = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 1}

#: Model, parameters, status, body -> what the repeated request holds, by path.
HEALED = [
    ("openai/x", {"temperature": 0.5, "seed": 1}, 400, ONLY_DEFAULT, {"temperature": None, "seed": 1}),
    (
        "azure/x",
        {"reasoning_effort": "low"},
        400,
        error("Unknown parameter: 'reasoning_effort'.", param="reasoning_effort"),
        {"reasoning_effort": None},
    ),
    (
        "azure/x",
        {},
        400,
        error("Unknown parameter: 'stream_options'.", param="stream_options"),
        {"stream_options": None},
    ),
    (
        "vllm/x",
        {"max_tokens": 5},
        400,
        error(f"Unsupported parameter: 'max_tokens' is not supported with this model. {LONG}", param="max_tokens"),
        {"max_tokens": None, "max_completion_tokens": 5},
    ),
    (
        "vercel/x",
        {"max_tokens": 5},
        400,
        {"error": {"message": f"'max_tokens' is not supported. {LONG}", "code": "x"}},
        {"max_tokens": None, "max_completion_tokens": 5},
    ),
    (
        "openai/x",
        {"max_tokens": 5},
        422,
        {"detail": [{**MISTRAL, "loc": ["body", "max_completion_tokens"]}]},
        {"max_tokens": 5, "max_completion_tokens": None},
    ),
    (
        "openai/x",
        {"max_tokens": 90000},
        400,
        error(
            "max_tokens is too large: 90000. This model supports at most 16384 "
            "completion tokens, whereas you provided 90000.",
            param="max_tokens",
        ),
        {"max_completion_tokens": 16384},
    ),
    (
        "openai-responses/x",
        {"max_tokens": 5},
        400,
        error(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 5 instead.",
            param="max_output_tokens",
            code="integer_below_min_value",
        ),
        {"max_output_tokens": 16},
    ),
    (
        "openai-responses/x",
        {"temperature": 0.5},
        400,
        error("Unsupported parameter: 'temperature' is not supported with this model.", param="temperature"),
        {"temperature": None},
    ),
    (
        "openai-responses/x",
        {"reasoning_effort": "high"},
        400,
        error(
            "Unsupported value: 'high' is not supported "
            "with the 'x' model. Supported values are: 'none', 'low', and 'medium'.",
            param="***.effort",
        ),
        {"reasoning.effort": "medium"},
    ),
    (
        "openai-responses/x",
        {"reasoning_effort": "low"},
        400,
        error("Unknown parameter: 'reasoning'.", param="reasoning"),
        {"reasoning": None},
    ),
    (
        "openai/x",
        {"stop": list("abcdef")},
        400,
        error(
            "Invalid 'stop': array too long. Expected an array with maximum "
            "length 4, but got an array with length 6 instead.",
            param="stop",
        ),
        {"stop": list("abcd")},
    ),
    (
        "openai/x",
        {"stop": "a"},
        400,
        error("Unsupported parameter: 'stop' is not supported with this model.", param="stop"),
        {"stop": None},
    ),
    (
        "openai/x",
        {"response_format": {"type": "json_object"}},
        400,
        error(
            "Invalid parameter: 'response_format' of type 'json_object' is not supported with this model.",
            param="response_format",
        ),
        {"response_format": None},
    ),
    (
        "openai/x",
        {"verbosity": "low"},
        400,
        error(
            "Unsupported value: 'low' is not supported with the 'x' model. Supported values are: 'medium'.",
            param="verbosity",
        ),
        {"verbosity": "medium"},
    ),
    (
        "anthropic/x",
        {"temperature": 0.5, "top_p": 0.9},
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
            },
        },
        {"temperature": 0.5, "top_p": None},
    ),
    (
        "anthropic/x",
        {},
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for x",
            },
        },
        {"max_tokens": 4096},
    ),
    ("anthropic/x", {"user": "me"}, 400, error("metadata.user_id: Extra inputs are not permitted"), {"metadata": None}),
    (
        "anthropic/x",
        {"stop": "a"},
        400,
        error("stop_sequences: Extra inputs are not permitted"),
        {"stop_sequences": None},
    ),
    (
        "gemini/x",
        {"presence_penalty": 1, "frequency_penalty": 1, "top_k": 3},
        400,
        error("Penalty is not enabled for this model", status="INVALID_ARGUMENT"),
        {"generationConfig": {"topK": 3}},
    ),
    (
        "gemini/x",
        {"logprobs": True, "top_logprobs": 2},
        400,
        error("Logprobs is not enabled for models/x"),
        {"generationConfig": None},
    ),
    (
        "gemini/x",
        {"reasoning_effort": "low"},
        400,
        [
            error(
                "Unable to submit request because thinking_level is not "
                "supported by this model.. Learn more: https://x.example"
            )
        ],
        {"generationConfig.thinkingConfig.thinkingBudget": 1024, "generationConfig.thinkingConfig.thinkingLevel": None},
    ),
    (
        "gemini/x",
        {"top_k": 3},
        400,
        error("Invalid JSON payload received. Unknown name \"topK\" at 'generation_config': Cannot find field."),
        {"generationConfig": None},
    ),
    (
        "gemini/x",
        {"max_tokens": 100000},
        400,
        error(
            "Unable to submit request because it has a maxOutputTokens value of "
            "100000 but the supported range is from 1 (inclusive) to 8193 (exclusive)."
        ),
        {"generationConfig.maxOutputTokens": 8192},
    ),
    ("ollama/gpt-oss", {"reasoning_effort": "high"}, 400, {"error": '"x" does not support thinking'}, {"think": None}),
    (
        "ollama/gpt-oss",
        {"reasoning_effort": "high"},
        400,
        {"error": 'think value "high" is not supported for this model'},
        {"think": True},
    ),
    ("cohere/x", {"top_p": 0.5}, 422, {"message": "unknown field: parameter 'p' is not a valid field"}, {"p": None}),
    (
        "cohere/x",
        {"max_tokens": 9000},
        400,
        {
            "message": "too many tokens: max tokens must be less than or equal to 4096, "
            "the maximum output for this model - received 9000"
        },
        {"max_tokens": 4096},
    ),
    (
        "mistral/x",
        {"seed": 1},
        422,
        {"object": "error", "message": {"detail": [{**MISTRAL, "loc": ["body", "random_seed"]}]}},
        {"random_seed": None},
    ),
    (
        "mistral/x",
        {"reasoning_effort": "high"},
        422,
        {
            "detail": [
                {
                    "type": "enum",
                    "loc": ["body", "reasoning_effort"],
                    "msg": "Input should be 'medium' or 'none'",
                    "ctx": {"expected": "'medium' or 'none'"},
                }
            ]
        },
        {"reasoning_effort": "medium"},
    ),
    (
        "groq/x",
        {"reasoning_effort": "low"},
        400,
        error("property 'reasoning_effort' is unsupported, did you mean 'reasoning_format'?"),
        {"reasoning_effort": None, "reasoning_format": None},
    ),
    (
        "groq/x",
        {"max_tokens": 99999},
        400,
        error(
            "`max_completion_tokens` must be less than or equal to `8192`, the "
            "maximum value for `max_completion_tokens` is less than the `context_window` for this model",
            param="max_completion_tokens",
        ),
        {"max_completion_tokens": 8192},
    ),
    (
        "xai/x",
        {"presence_penalty": 1},
        400,
        {"code": "invalid-argument", "error": "Model x does not support parameter presencePenalty."},
        {"presence_penalty": None},
    ),
    (
        "xai/x",
        {"reasoning_effort": "medium"},
        422,
        {
            "code": "invalid-argument",
            "error": "Failed to deserialize the JSON "
            "body into the target type: reasoning_effort: unknown variant `medium`, expected one of `low`, "
            "`high` at line 1",
        },
        {"reasoning_effort": "low"},
    ),
    (
        "cerebras/x",
        {"parallel_tool_calls": False},
        400,
        {
            "message": "parallel_tool_calls=False is not supported by this model.",
            "type": "invalid_request_error",
            "param": "parallel_tool_calls",
            "code": "wrong_api_format",
        },
        {"parallel_tool_calls": None},
    ),
    (
        "fireworks/x",
        {"user": "me"},
        400,
        error("[{'loc': ('body', 'user'), 'msg': 'extra fields not permitted', 'type': 'value_error.extra'}]"),
        {"user": None},
    ),
    (
        "nvidia/x",
        {"seed": 3},
        400,
        {"message": "Validation: Unsupported parameter(s): seed", "type": "Bad Request", "code": 400},
        {"seed": None},
    ),
    (
        "openrouter/a/x",
        {"reasoning_effort": "low"},
        400,
        error(
            "Provider returned error",
            metadata={"raw": json.dumps(error("reasoning.effort is not supported by this model"))},
        ),
        {"reasoning": None},
    ),
    (
        "minimax/x",
        {"top_p": 0.5},
        200,
        {"base_resp": {"status_code": 2013, "status_msg": "invalid params, unknown field: top_p"}},
        {"top_p": None},
    ),
    (
        "moonshot/x",
        {"temperature": 0.5},
        400,
        error("invalid temperature: only 1 is allowed for this model"),
        {"temperature": None},
    ),
    (
        "deepseek/x",
        {"max_tokens": 9999},
        400,
        error("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
        {"max_tokens": 8192},
    ),
    (
        "dashscope/x",
        {"max_tokens": 9999},
        400,
        error("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]"),
        {"max_tokens": 8192},
    ),
    (
        "sambanova/x",
        {"top_k": 3},
        400,
        error("Additional properties are not allowed ('top_k' was unexpected)"),
        {"top_k": None},
    ),
    ("zai/x", {"top_p": 0.3}, 400, error("该模型不支持 top_p 参数", code="1210"), {"top_p": None}),
    (
        "vllm/x",
        {"top_k": 3},
        400,
        {"object": "error", "message": str([{**MISTRAL, "loc": ("body", "top_k")}])},
        {"top_k": None},
    ),
]


@pytest.mark.parametrize(("model", "params", "status", "body", "expected"), HEALED)
def test_a_refusal_is_healed_with_one_more_request(served, model, params, status, body, expected):
    client, service = served(model, (status, body))
    reply, told = quiet(lambda: client.ask("Hi", **params))
    assert (reply.text, len(service.bodies)) == ("Hi", 2)
    assert {path: at(service.bodies[1], path) for path in expected} == expected
    assert len(told) == 1
    assert "strict=True" in told[0]
    # It is remembered: the next call is right at once, and nothing is said again.
    reply, told = quiet(lambda: client.ask("Hi", **params))
    assert (reply.text, len(service.bodies), told) == ("Hi", 3, [])
    assert service.bodies[2] == service.bodies[1]


@pytest.mark.parametrize(("model", "params", "status", "body", "expected"), HEALED[::4])
def test_strict_heals_nothing(served, model, params, status, body, expected):
    client, service = served(model, (status, body))
    with pytest.raises(BadRequestError):
        client.ask("Hi", strict=True, **params)
    assert len(service.bodies) == 1


def test_every_face_heals(served):
    client, service = served("openai/x", (400, ONLY_DEFAULT))
    assert quiet(lambda: client.stream("Hi", temperature=0.5).read().text)[0] == "Hi"
    for face in (
        lambda: client.chat(model="openai/y", temperature=0.5).ask("Hi").text,
        lambda: client.map(["Hi"], model="openai/z", temperature=0.5).text[0],
    ):
        service.refusals.append((400, ONLY_DEFAULT))
        assert quiet(face)[0] == "Hi"
    assert ["temperature" in body for body in service.bodies] == [True, False] * 3


DECOYS = [
    error(
        "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (64 in the messages, "
        "8936 in the completion)."
    ),
    error(
        "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
        param="temperature",
        code="decimal_below_min_value",
    ),
    error("property 'store' is unsupported, did you mean 'stop'?"),
    error("messages.1.assistant.stop: property 'messages.1.assistant.stop' is unsupported", param="validation_error"),
    error("Invalid request data"),
    error("Unsupported parameter: 'seed' is not supported with this model.", param="seed"),
]


@pytest.mark.parametrize("body", DECOYS)
def test_what_is_no_refusal_of_what_was_sent_is_an_error_at_once(served, body):
    client, service = served("openai/x", (400, body))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadRequestError) as caught:
            client.ask("Hi", temperature=0.5, stop=["a"], max_tokens=8936)
    assert (caught.value.status, len(service.bodies)) == (400, 1)
    assert not vars(caught.value).keys() & {"_refused", "_changes"}


@pytest.mark.parametrize("words", [
    "No endpoints found that support tool use. To learn more, visit: https://x.example/tools",
    '"x" does not support tools',
    "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 325.",
])  # fmt: skip
def test_tools_are_never_left_out(served, words):
    client, service = served("openai/x", (404 if "endpoints" in words else 400, error(words)))
    with pytest.raises(BadRequestError, match="tools are never left out") as caught:
        client.ask("Hi", tools=[{"name": "now"}])
    assert not isinstance(caught.value, ModelNotFoundError)
    assert len(service.bodies) == 1


@pytest.mark.parametrize("name", ["store", "top_k", "reasoning_budget", "seed"])
def test_extra_fields_stay(served, name):
    client, service = served("openai/x", (400, error(f"Unknown parameter: '{name}'.", param=name)))
    with pytest.raises(BadRequestError):
        client.ask("Hi", extra={name: 1}, **({"seed": 2} if name == "seed" else {}))
    assert len(service.bodies) == 1


def test_a_field_of_extra_may_get_another_name(served):
    body = error("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
                 "instead.", param="max_tokens")  # fmt: skip
    client, service = served("openai/x", (400, body))
    quiet(lambda: client.ask("Hi", extra={"max_tokens": 5}))
    assert service.bodies[1]["max_completion_tokens"] == 5


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("model", "path", "words"),
    [
        ("openai/x", "response_format", "Invalid parameter: 'response_format' of type 'json_schema' is not "
        "supported with "
         "this model."),
        ("groq/x", "response_format", "This model does not support response format `json_schema`."),
        ("anthropic/x", "output_config.format", "output_config.format: Extra inputs are not permitted"),
        ("gemini/x", "generationConfig", "JSON mode is not enabled for this model"),
        ("openai-responses/x", "text", "Unsupported parameter: 'text.format' is not supported with this model."),
        ("ollama/x", "format", "structured outputs are not supported"),
    ],
)  # fmt: skip
def test_a_refused_schema_is_asked_for_in_words(served, model, path, words):
    client, service = served(model, (400, error(words)))
    service.answer = service.answer.replace("Hi", '{\\"n\\": 3}')
    (reply, told) = quiet(lambda: client.ask("How many?", schema=SCHEMA))
    assert reply.data == {"n": 3}
    assert at(service.bodies[1], path) is None
    assert "JSON schema" in json.dumps(service.bodies[1])
    assert "in words" in told[0]


def test_a_schema_in_the_response_format_is_asked_for_in_words_as_well(served):
    format_ = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    client, service = served("openai/x", (400, error("This model does not support response format `json_schema`.")))
    quiet(lambda: client.ask("How many?", response_format=format_))
    assert "response_format" not in service.bodies[1]
    assert "JSON schema" in service.bodies[1]["messages"][-1]["content"]
    # A form that was not refused stays.
    client.ask("How many?", response_format={"type": "json_object"})
    assert service.bodies[2]["response_format"] == {"type": "json_object"}


def test_a_wrong_value_of_the_response_format_is_an_error(served):
    client, service = served("openai/x", (400, error("Invalid value: 'object'. Supported values are: 'json_object', "
                             "'json_schema', and 'text'.", param="response_format.type")))  # fmt: skip
    with pytest.raises(BadRequestError):
        client.ask("Hi", response_format={"type": "object"})
    assert len(service.bodies) == 1


@pytest.mark.parametrize(("kind", "sent"), [("json_object", 2), ("text", 1), ("object", 1)])
def test_a_format_is_left_out_only_if_it_is_one_that_others_take(served, kind, sent):
    client, service = served("lmstudio/x", (400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}))
    with contextlib.suppress(BadRequestError):
        quiet(lambda: client.ask("Hi", response_format={"type": kind}))
    assert len(service.bodies) == sent


@pytest.mark.parametrize(
    ("model", "choice", "expected"),
    [
        ("anthropic/x", {"type": "tool", "name": "now"}, {"type": "auto"}),
        ("openai/x", "required", None),
        ("openrouter/a/x", {"type": "function", "function": {"name": "now"}}, None),
    ],
)
def test_a_forced_tool_becomes_the_model_s_own_choice(served, model, choice, expected):
    client, service = served(model, (400, error("Thinking may not be enabled when tool_choice forces tool use.")))
    _, told = quiet(lambda: client.ask("Hi", tools=[{"name": "now"}], extra={"tool_choice": choice}))
    assert service.bodies[1].get("tool_choice") == expected
    assert "auto" in told[0]


def test_tools_with_reasoning_are_asked_for_without_reasoning(served):
    body = error("Function tools with reasoning_effort are not supported for x in /v1/chat/completions. To use "
    "function "
                 "tools, use /v1/responses or set reasoning_effort to 'none'.", param="reasoning_effort")  # fmt: skip
    client, service = served("openai/x", (400, body))
    quiet(lambda: client.ask("Hi", tools=[{"name": "now"}]))
    assert service.bodies[1]["reasoning_effort"] == "none"
    client.ask("Hi", reasoning_effort="low")
    assert service.bodies[2]["reasoning_effort"] == "low"


def test_reasoning_that_needs_a_stream_is_off_without_one(served):
    client, service = served("dashscope/x", (400, error("parameter.enable_thinking must be set to false for "
    "non-streaming "
                             "calls", code="invalid_parameter_error")))  # fmt: skip
    quiet(lambda: client.ask("Hi"))
    assert service.bodies[1]["enable_thinking"] is False


def test_an_empty_list_of_tools_is_not_sent_and_a_full_one_is(served):
    detail = [{**MISTRAL, "loc": ["body", "tools"], "input": []}]
    client, service = served("mistral/x", (422, {"message": detail, "detail": detail, "type": "invalid_request_error"}))
    quiet(lambda: client.ask("Hi", extra={"tools": []}))
    client.ask("Hi", tools=[{"name": "now"}])
    assert ["tools" in body for body in service.bodies] == [True, False, True]


def test_an_effort_becomes_a_budget_for_an_older_model(served):
    client, service = served(
        "anthropic/claude-sonnet-5-5", (400, error("This model does not support the effort parameter."))
    )
    _, told = quiet(lambda: client.ask("Hi", reasoning_effort="low"))
    assert service.bodies[1]["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert "output_config" not in service.bodies[1]
    assert "a budget" in told[0]


def test_a_format_in_extra_moves_to_its_new_place(served):
    body = error("Unsupported parameter: 'response_format'. In the Responses API, this parameter has moved to "
                 "'text.format'. Try again with the new parameter.", param="response_format")  # fmt: skip
    client, service = served("openai-responses/x", (400, body))
    quiet(lambda: client.ask("Hi", extra={"response_format": {"type": "json_object"}}))
    assert service.bodies[1]["text"] == {"format": {"type": "json_object"}}


def test_what_one_word_covers_is_remembered_as_one(served):
    client, service = served("gemini/x", (400, error("Penalty is not enabled for this model")))
    _, told = quiet(lambda: client.ask("Hi", presence_penalty=1))
    assert "'presence_penalty' and 'frequency_penalty'" in told[0]
    client.ask("Hi", frequency_penalty=1)
    assert len(service.bodies) == 3
    assert "generationConfig" not in service.bodies[2]


def test_a_body_that_names_several_is_healed_at_once(served):
    several = [{**MISTRAL, "loc": ["body", name]} for name in ("stop", "temperature", "top_p")]
    client, service = served("mistral/x", (422, {"detail": several}))
    _, told = quiet(lambda: client.ask("Hi", stop="a", temperature=0.5, top_p=0.5, max_tokens=5))
    assert service.bodies[1].keys() == {"model", "messages", "stream", "max_tokens", "prompt_cache_key"}
    assert "'stop' and 'temperature' and 'top_p'" in told[0]


@pytest.mark.parametrize("name", ["prompt_cache_options", "prompt_cache_key", "prompt_cache_breakpoint"])
def test_the_fields_for_the_prompt_cache_are_left_out_together(served, name):
    body = error(f"Unrecognized request argument supplied: {name}")
    client, service = served("openai/gpt-6-luna", (400, body))
    _, told = quiet(lambda: client.ask("Hi", system="word " * 2000))
    assert {"prompt_cache_key", "prompt_cache_options"} <= service.bodies[0].keys()
    assert service.bodies[1].keys() == {"model", "messages", "stream", "stream_options"}
    assert "does not take 'prompt_cache'" in told[0]
    client.ask("Hi", system="word " * 2000)
    assert len(service.bodies) == 3


def test_a_field_for_the_prompt_cache_in_extra_stays(served):
    body = error("Unrecognized request argument supplied: prompt_cache_key")
    client, service = served("openai/gpt-6-luna", (400, body))
    with pytest.raises(BadRequestError):
        client.ask("Hi", extra={"prompt_cache_key": "k"})
    assert len(service.bodies) == 1


def test_the_loss_of_stop_words_is_told(served):
    client, _ = served("openai/x", (400, error("stop is not supported with this model")))
    assert "the stop words no longer end the answer" in quiet(lambda: client.ask("Hi", stop="a"))[1][0]


class Own(Provider):
    """A provider of the user's own, with names and a body of its own."""

    name = "own-names"
    url = "https://own.example"
    path = "/chat"
    params: ClassVar = {"temperature": "generation.heat", "max_tokens": "generation.limit"}

    def build_request(self, messages, model, *, options=NO_OPTIONS):
        body = {"prompt": messages[-1].text}
        add_options(body, self.params, options)
        if model == "listed":
            body = [body]
        return requests.Request("POST", self.api_endpoint, json=body)

    def parse_event(self, event):
        return event.json()["choices"][0]["delta"]["content"] if event.data.startswith("{") else None


@pytest.fixture
def own(served, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {**registry._registered, "own-names": Own})
    return served


@pytest.mark.parametrize("name", ["heat", "generation.heat", "temperature"])
def test_a_service_s_own_names_are_those_of_its_table(own, name):
    client, service = own("own-names/m", (400, error("No.", param=name, code="unsupported_parameter")))
    _, told = quiet(lambda: client.ask("Hi", temperature=0.5))
    assert service.bodies == [{"prompt": "Hi", "generation": {"heat": 0.5}}, {"prompt": "Hi"}]
    assert "'temperature'" in told[0]


@pytest.mark.parametrize(("model", "name"), [("listed", "heat"), ("m", "limit"), ("m", "response_format")])
def test_what_cannot_be_changed_is_an_error(own, model, name):
    client, service = own(f"own-names/{model}", (400, error(f"'{name}' is not supported", param=name)))
    with pytest.raises(BadRequestError):
        client.ask("Hi", temperature=0.5, max_tokens=5)
    assert len(service.bodies) == 1
