"""A refusal in any shape and wording becomes the parameters it is about, and what is demanded; nothing else does."""

from __future__ import annotations

import json

import pytest

from aichatkit.classification.refused_params import find_refused

OUT, AUTO = "leave_out", "auto"


def error(message, **fields):
    return {"error": {"message": message, "type": "invalid_request_error", **fields}}


def sent(*found):
    return [tuple(part for part in refused if part is not None) for refused in found]


#: Words -> what is refused, as (parameter, what to do, the value for it).
WORDINGS = {
    # Sampling parameters.
    "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value is supported.": [
        ("temperature", OUT)
    ],
    "Unsupported parameter: 'presence_penalty' is not supported with this model.": [("presence_penalty", OUT)],
    "Unsupported parameter: \u2018top_p\u2019 is not supported with this model.": [("top_p", OUT)],
    "This model has beta-limitations, temperature, top_p and n are fixed at 1, while presence_penalty and "
    "frequency_penalty are fixed at 0.": [
        ("temperature", OUT),
        ("top_p", OUT),
        ("presence_penalty", OUT),
        ("frequency_penalty", OUT),
    ],
    "`temperature` is deprecated for this model.": [("temperature", OUT)],
    "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation.": [
        ("temperature", OUT)
    ],
    "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.": [("top_p", OUT)],
    "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode.": [("temperature", OUT)],
    "temperature must be set to 1 when thinking is on": [("temperature", OUT)],
    "temperature: this model only supports temperature = 1": [("temperature", OUT)],
    "create() got an unexpected keyword argument 'min_p'": [("min_p", OUT)],
    "`top_k` must be unset when thinking is enabled.": [("top_k", OUT)],
    "temperature, top_p and top_k are not supported for this model": [
        ("temperature", OUT),
        ("top_p", OUT),
        ("top_k", OUT),
    ],
    "top_p: Extra inputs are not permitted": [("top_p", OUT)],
    "Model grok-4-0709 does not support parameter presencePenalty.": [("presence_penalty", OUT)],
    "Argument not supported on this model: stop": [("stop", OUT)],
    "property 'logprobs' is unsupported": [("logprobs", OUT), ("top_logprobs", OUT)],
    "`logprobs` is not supported with this model": [("logprobs", OUT), ("top_logprobs", OUT)],
    "logprobs is not supported with tools + stream": [("logprobs", OUT), ("top_logprobs", OUT)],
    "top_logprobs is not available for this model": [("top_logprobs", OUT)],
    "Presence penalty is not enabled for models/gemini-x": [("presence_penalty", OUT)],
    "Penalties are not supported for this model": [("presence_penalty", OUT), ("frequency_penalty", OUT)],
    "Log probabilities are not available for this model.": [("logprobs", OUT), ("top_logprobs", OUT)],
    "Unrecognized request argument supplied: seed": [("seed", OUT)],
    "Unrecognized request arguments supplied: seed, logit_bias": [("seed", OUT), ("logit_bias", OUT)],
    "Additional properties are not allowed ('frequency_penalty' was unexpected)": [("frequency_penalty", OUT)],
    "Validation: Unsupported parameter(s): `seed`, `stop`": [("seed", OUT), ("stop", OUT)],
    "unknown field: parameter 'seed' is not a valid field": [("seed", OUT)],
    "Malformed input request: #: extraneous key [top_k] is not permitted, please reformat your input and try again.": [
        ("top_k", OUT)
    ],
    "This model doesn't support the stopSequences field. Remove stopSequences and try again.": [("stop", OUT)],
    "Invalid JSON payload received. Unknown name \"topK\" at 'generation_config': Cannot find field.": [("top_k", OUT)],
    "invalid temperature: only 1 is allowed for this model": [("temperature", OUT)],
    "invalid top_p: only 0.95 is allowed for this model": [("top_p", OUT)],
    "invalid params, unknown field: top_p": [("top_p", OUT)],
    "body.seed: property 'body.seed' is unsupported": [("seed", OUT)],
    "body -> seed\n  Extra inputs are not permitted (type=value_error.extra)": [("seed", OUT)],
    "1 validation error for ChatCompletionRequest\nverbosity\n  Extra inputs are not permitted "
    "[type=extra_forbidden]": [("verbosity", OUT)],
    "Extra inputs are not permitted, field: 'top_logprobs', value: 3": [("top_logprobs", OUT)],
    "'parallel_tool_calls' is only allowed when 'tools' are specified.": [("parallel_tool_calls", OUT)],
    "The 'stream_options' parameter is only allowed when 'stream' is enabled.": [("stream_options", OUT)],
    "litellm.UnsupportedParamsError: openai does not support parameters: ['logit_bias'], for model=x. To drop these, "
    "set `litellm.drop_params=True`": [("logit_bias", OUT)],
    "The parameter `seed` specified in the request are not valid: not supported by the current model. Request id: 02": [
        ("seed", OUT)
    ],
    "该模型不支持 temperature 参数": [("temperature", OUT)],
    "参数 `top_k` 不支持": [("top_k", OUT)],
    "El parámetro 'seed' no es compatible con este modelo": [("seed", OUT)],
    "user: extra fields not permitted": [("user", OUT)],
    # Two at once.
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one.": [("top_p", OUT)],
    "The model returned the following errors: temperature and top_p cannot be used together": [("top_p", OUT)],
    "Specify either temperature or top_p, not both": [("top_p", OUT)],
    "invalid request: cannot specify both frequency_penalty and presence_penalty": [("presence_penalty", OUT)],
    # The limit of the answer.
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.": [
        ("max_tokens", "rename", "max_completion_tokens")
    ],
    "property 'max_tokens' is unsupported, did you mean 'max_completion_tokens'?": [
        ("max_tokens", "rename", "max_completion_tokens")
    ],
    "max_completion_tokens: Extra inputs are not permitted": [("max_tokens", "rename")],
    "max_tokens is too large: 20480. This model supports at most 4096 completion tokens, whereas you provided 20480.": [
        ("max_tokens", "at_most", 4096)
    ],
    "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-x": [
        ("max_tokens", "at_most", 64000)
    ],
    "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]": [("max_tokens", "at_most", 8192)],
    "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 16,384]": [
        ("max_tokens", "at_most", 16384)
    ],
    "`max_completion_tokens` must be less than or equal to `8192`, the maximum value for `max_completion_tokens` "
    "is less"
    " than the `context_size` for this model": [("max_tokens", "at_most", 8192)],
    "'max_tokens' : number must be at most 8192": [("max_tokens", "at_most", 8192)],
    "`max_new_tokens` must be <= 2048": [("max_tokens", "at_most", 2048)],
    "Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1 "
    "(inclusive) to 8193 (exclusive). Update the value and try again.": [("max_tokens", "at_most", 8192)],
    "max_tokens must be between 1 and 4096": [("max_tokens", "at_most", 4096)],
    "The parameter `max_completion_tokens` specified in the request are not valid: integer above maximum value, "
    "expected "
    "a value <= 12288, but got 32000 instead. Request id: 02": [("max_tokens", "at_most", 12288)],
    "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value "
    "that is lower"
    " than 4096.": [("max_tokens", "at_most", 4096)],
    "max_tokens must be less than 4097": [("max_tokens", "at_most", 4096)],
    "max_tokens 不能超过 8192": [("max_tokens", "at_most", 8192)],
    "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 5 instead.": [
        ("max_tokens", "at_least", 16)
    ],
    "max_output_tokens must be at least 16": [("max_tokens", "at_least", 16)],
    # Effort.
    "Unsupported value: 'minimal' is not supported with the 'gpt-x' model. Supported values are: 'none', 'low', and "
    "'high'.": [("reasoning_effort", "one_of", ("none", "low", "high"))],
    "Unsupported value: 'reasoning_effort' does not support 'none' with this model. Supported values are: 'minimal', "
    "'low', 'medium', and 'high'.": [("reasoning_effort", "one_of", ("minimal", "low", "medium", "high"))],
    "`reasoning_effort` must be one of `none` or `default`": [("reasoning_effort", "one_of", ("none", "default"))],
    "Failed to deserialize the JSON body into the target type: reasoning_effort: unknown variant `minimal`, "
    "expected one "
    "of `low`, `high` at line 1 column 200": [("reasoning_effort", "one_of", ("low", "high"))],
    "Failed to deserialize the JSON body into the target type: reasoning_effort: unknown variant `max`, expected "
    "`low` or "
    "`high` at line 1 column 200": [("reasoning_effort", "one_of", ("low", "high"))],
    "Validation error for `reasoning_effort`: expected one of `'low' | 'medium' | 'high'`, received `'xhigh'`.": [
        ("reasoning_effort", "one_of", ("low", "medium", "high"))
    ],
    'level "max" not supported, valid levels: low, medium, high, xhigh': [
        ("reasoning_effort", "one_of", ("low", "medium", "high", "xhigh"))
    ],
    "Unexpected reasoning effort high. Supported types are xhigh (default), medium, and low.": [
        ("reasoning_effort", "one_of", ("xhigh", "default", "medium", "low"))
    ],
    'invalid think value: "minimal" (must be "high", "medium", "low", true, or false)': [
        ("reasoning_effort", "one_of", ("high", "medium", "low"))
    ],
    "output_config.effort: Input should be 'low', 'medium' or 'high'": [
        ("reasoning_effort", "one_of", ("low", "medium", "high"))
    ],
    'think value "high" is not supported for this model': [("reasoning_effort", "not_value", "high")],
    "Thinking level MINIMAL is not supported for this model. Please retry with other thinking level.": [
        ("reasoning_effort", "not_value", "minimal")
    ],
    "Supported values for reasoning_effort are low and high, got medium": [
        ("reasoning_effort", "one_of", ("low", "high"))
    ],
    "reasoning_effort 'xhigh' is not a valid choice. Choices: low, medium, high": [
        ("reasoning_effort", "one_of", ("low", "medium", "high"))
    ],
    "Invalid JSON payload received. Unknown name \"thinkingLevel\" at 'generation_config.thinking_config': Cannot find "
    "field.": [("reasoning_effort", OUT)],
    "Unsupported parameter: 'reasoning_effort'. In the Responses API, this parameter has moved to "
    "'reasoning.effort'. Try "
    "again with the new parameter.": [("reasoning_effort", "rename", "reasoning.effort")],
    "cannot specify both 'thinking' and 'reasoning_effort'": [("thinking", "leave_budget")],
    "You can only set only one of thinking budget and thinking level.": [("thinking", "leave_budget")],
    "Thinking can't be disabled for this model. Remove 'thinking_config.thinking_budget' from your request.": [
        ("thinking", OUT)
    ],
    "The model does not support setting thinking_budget to 0.": [("thinking", "not_value", "none")],
    "Unsupported thinking type for the current model: disabled": [("thinking", "not_value", "none")],
    "thinking.type: Input should be 'adaptive'": [("thinking", "adaptive")],
    "Thinking level is not supported for this model.": [("reasoning_effort", OUT)],
    "Unable to submit request because thinking_level is not supported by this model.": [("reasoning_effort", OUT)],
    "Model grok-x does not support parameter reasoningEffort.": [("reasoning_effort", OUT)],
    "Model grok-x does not support parameter reasoning Effort.": [("reasoning_effort", OUT)],
    "This model does not support the effort parameter.": [("reasoning_effort", OUT)],
    "property 'reasoning_effort' is unsupported, did you mean 'reasoning_format'?": [("reasoning_effort", OUT)],
    "Unknown parameter: 'reasoning'.": [("thinking", OUT)],
    "Reasoning is mandatory for this endpoint and cannot be disabled.": [("thinking", "not_value", "none")],
    "Budget 0 is invalid. This model only works in thinking mode.": [("thinking", "not_value", "none")],
    '"llama3.2" does not support thinking': [("thinking", OUT)],
    "The thinking budget 50000 is invalid. Please choose a value between 512 and 24576.": [
        ("thinking", "at_least", 512),
        ("thinking", "at_most", 24576),
    ],
    '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
    '"output_config.effort" to '
    "control thinking behavior.": [("thinking", "adaptive")],
    "adaptive thinking is not supported on this model": [("thinking", "budget")],
    "Function tools with reasoning_effort are not supported for gpt-x in /v1/chat/completions. To use function "
    "tools, use "
    "/v1/responses or set reasoning_effort to 'none'.": [("reasoning_effort", "off")],
    "parameter.enable_thinking must be set to false for non-streaming calls": [("thinking", "no_thinking")],
    # Tools, stop words and the format of the answer.
    "Thinking may not be enabled when tool_choice forces tool use.": [("tool_choice", AUTO)],
    "tool_choice 'required' is incompatible with thinking enabled": [("tool_choice", AUTO)],
    "The tool_choice parameter does not support being set to required or object in thinking mode": [
        ("tool_choice", AUTO)
    ],
    "No endpoints found that support the provided 'tool_choice' value. To learn more, visit: https://x.example/tools": [
        ("tool_choice", AUTO)
    ],
    "No endpoints found that support tool use. To learn more about provider routing, visit: https://x.example/a": [
        ("tools", "report")
    ],
    "registry.ollama.ai/library/gemma:2b does not support tools": [("tools", "report")],
    "tool calling is not supported with this model": [("tools", "report")],
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set': [("tools", "report")],
    "tool use is not supported by this model": [("tools", "report")],
    "Invalid value for 'tool_choice': expected one of 'auto' or 'none'": [("tool_choice", AUTO)],
    '"auto" tool choice is not supported': [("tool_choice", AUTO)],
    "Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 325.": [
        ("tools", "report")
    ],
    "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length 9 "
    "instead.": [("stop", "first", 4)],
    "'stop' : maximum number of items is 4": [("stop", "first", 4)],
    "`stop` supports up to 3 stop sequences. Given: 6": [("stop", "first", 3)],
    "Too many stop sequences.": [("stop", "first", 4)],
    "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model. Learn more about "
    "supported models at the Structured Outputs guide: https://x.example/guides": [
        ("response_format", "in_words", "json_schema")
    ],
    "Invalid parameter: 'response_format' of type 'json_object' is not supported with this model.": [
        ("response_format", "in_words", "json_object")
    ],
    "This model does not support response format `json_schema`. See supported models at https://x.example": [
        ("response_format", "in_words", "json_schema")
    ],
    "Failed to deserialize the JSON body into the target type: response_format: This response_format type is "
    "unavailable "
    "now at line 1 column 9": [("response_format", "in_words")],
    "JSON mode is not enabled for this model": [("response_format", "in_words")],
    "'response_format.type' must be 'json_schema' or 'text'": [("response_format", "one_of", ("json_schema", "text"))],
    "Function calling with a response mime type: 'application/json' is unsupported": [("response_format", "in_words")],
    "Unsupported parameter: 'response_format'. In the Responses API, this parameter has moved to 'text.format'. "
    "Try again "
    "with the new parameter.": [("response_format", "rename", "text.format")],
    "system.1.cache_control.ephemeral.scope: Extra inputs are not permitted": [("cache_control", OUT)],
}


@pytest.mark.parametrize("words", WORDINGS)
def test_every_wording_is_understood(words):
    assert sent(*find_refused(error(words))) == WORDINGS[words]


#: What is no refusal of a parameter, although it looks like one.
DECOYS = [
    error(
        "This model's maximum context length is 8192 tokens. However, you requested 8256 tokens (64 in the messages, "
        "8192 in the completion).",
        param="messages",
    ),
    error("The total length of all messages is too long."),
    error("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 6000 `inputs` tokens and 4096 `max_new_tokens`"),
    error("'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 8000."),
    error(
        "Could not finish the message because max_tokens or model output limit was reached. Please try again with "
        "higher max_tokens."
    ),
    error(
        "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
        param="temperature",
        code="decimal_below_min_value",
    ),
    error("temperature: Input should be less than or equal to 1"),
    error("Invalid temperature value, the valid range of temperature is [0, 2]"),
    error("'temperature' : number must be at most 2"),
    error("`top_p` must be > 0.0 and < 1.0"),
    error("invalid params, temperature must be in (0,1]"),
    error("max_tokens must be at least 1, got -5"),
    error("Invalid type for 'seed': expected an integer, but got a string instead.", param="seed", code="invalid_type"),
    error("Invalid value: 'object'. Supported values are: 'png', 'gif'.", param="response_format.type"),
    error(
        "Invalid schema for response_format 'response': In context=(), 'additionalProperties' is required to be "
        "supplied and to be false.",
        param="text.format.schema",
        code="invalid_json_schema",
    ),
    error("Invalid schema for function 'stop': 'temperature' is not supported"),
    error("This model does not support assistant message prefill. The conversation must end with a user message."),
    error("This model does not support user messages with images"),
    error("No endpoints found that support image input"),
    error("Developer instruction is not enabled for models/gemma-3"),
    error("property 'store' is unsupported, did you mean 'stop'?"),
    error("Unrecognized key 'store' (valid parameters are temperature, stop)"),
    error("unknown field `store`, expected one of `temperature`, `stop`, `seed` at line 1 column 2"),
    error("Unknown parameter: 'store'. Supported parameters: temperature, top_p"),
    error(
        "messages.1.assistant.reasoning_content: property 'messages.1.assistant.reasoning_content' is unsupported",
        param="validation_error",
    ),
    error("messages[0].user.stop: Extra inputs are not permitted"),
    error(
        "Invalid JSON payload received. Unknown name \"stop\" at 'tools[0].function_declarations[5].parameters': "
        "Cannot "
        "find field."
    ),
    error("Incorrect API key provided. You can obtain an API key from https://x.example", code="invalid-argument"),
    error("The model `temperature` does not exist or you do not have access to it.", code="model_not_found"),
    error("Request contains an invalid argument."),
    error("Invalid request data"),
    error("This model doesn't support the s3Uri field. Remove s3Uri and try again."),
    *(
        error("Bad thing", param=name)
        for name in ("temperature", "stop", "tools", "response_format", "reasoning_effort")
    ),
    error("cannot specify both seed and top_k"),
    {"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 3, "user", "stop"], "msg": "Extra inputs"}]},
    {
        "object": "error",
        "message": {
            "detail": [
                {
                    "loc": ["body", "messages", 31, "assistant", "reasoning_content"],
                    "msg": "Extra inputs are not permitted",
                    "input": "\n",
                }
            ]
        },
    },
    {"code": "invalid-argument", "error": "Incorrect API key provided."},
    "a page of text without a fault",
    "",
    None,
    17,
    [],
    [[]],
    {"error": {"code": "1210", "message": "API 调用参数有误\uff0c请检查文档"}},
]


@pytest.mark.parametrize("body", DECOYS, ids=lambda body: str(body)[-60:])
def test_other_errors_refuse_no_parameter(body):
    assert find_refused(body) == ()


PYDANTIC = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 1}
LIST = "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted', 'input': 1}]"
WORDS = "Unsupported parameter: 'seed' is not supported with this model."

SHAPES = {
    "param": error("No.", param="seed", code="unsupported_parameter"),
    "path": error("No.", param="body.seed", code="unknown_parameter"),
    "masked path": error("Unknown parameter.", param="***.seed"),
    "empty param": error(WORDS, param=""),
    "null param": error(WORDS, param=None),
    "a word as param": error(WORDS, param="validation_error"),
    "string": {"error": WORDS},
    "code beside": {"code": "invalid-argument", "error": "Model x does not support parameter seed."},
    "list": [error(WORDS)],
    "no error object": {"message": WORDS},
    "flat": {"message": "seed is not supported", "type": "invalid_request_error", "param": "seed", "code": "wrong"},
    "detail list": {"detail": [PYDANTIC]},
    "detail string": {"detail": WORDS},
    "message.detail": {"object": "error", "message": {"detail": [PYDANTIC]}},
    "message list": {"object": "Error", "message": [PYDANTIC], "detail": [PYDANTIC]},
    "python list": error(LIST),
    "python list alone": {"message": LIST, "code": 400},
    "python list as error": {"error": LIST},
    "JSON list": {"message": json.dumps([PYDANTIC])},
    "JSON in a message": error(f"litellm.BadRequestError: OpenAIException - {json.dumps(error(WORDS))}"),
    "python in a message": error(f"Error code: 400 - {error(WORDS)!r}"),
    "cause": error("Provider returned error", cause={"message": json.dumps(error(WORDS))}),
    "raw": error("Provider returned error", metadata={"raw": json.dumps(error(WORDS)), "provider_name": "x"}),
    "details": error("Invalid JSON payload received.", details=[{"fieldViolations": [{"description": WORDS}]}]),
    "base_resp": {"base_resp": {"status_code": 2013, "status_msg": "invalid params, unknown field: seed"}},
    "text": WORDS,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_body_is_read(shape):
    assert sent(*find_refused(SHAPES[shape])) == [("seed", OUT)]


def test_a_body_can_refuse_several_parameters():
    several = [{**PYDANTIC, "loc": ["body", name]} for name in ("seed", "stop", "max_completion_tokens")]
    assert sent(*find_refused({"detail": several})) == [("seed", OUT), ("stop", OUT), ("max_tokens", "rename")]


def test_an_unknown_parameter_keeps_the_name_of_the_service():
    assert sent(*find_refused(error("Unknown parameter: 'heat'", param="generation.heat"))) == [
        ("generation.heat", OUT)
    ]


def test_a_value_is_attributed_to_the_field_of_the_body():
    body = error("Invalid value: 'max'. Supported values are: 'low', 'high'.", param="reasoning.effort")
    assert sent(*find_refused(body)) == [("reasoning_effort", "one_of", ("low", "high"))]


@pytest.mark.parametrize("body", ["[" * 5000, {"error": "{" * 5000}, {"error": {"message": "x{" + "[" * 9000}}])
def test_a_body_nested_too_deeply_refuses_nothing(body):
    assert find_refused(body) == ()


def test_only_part_of_a_deep_or_long_body_is_read():
    deep = error(WORDS)
    for _ in range(20):
        deep = {"error": deep}
    assert find_refused(deep) == ()
    assert find_refused({"errors": [{"message": "No."}] * 100 + [{"message": WORDS}]}) == ()
    assert find_refused({"errors": [{"message": f"{number}{'x' * 990}"} for number in range(5)], "msg": WORDS}) == ()
    assert find_refused({"errors": [{"message": "No."}] * 40, "details": [{"message": WORDS}]}) == ()
