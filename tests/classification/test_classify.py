"""What every known refusal means, row by row of the catalogue."""

from __future__ import annotations

import json
import pickle

import pytest
from requests.structures import CaseInsensitiveDict

from aichatkit.classification.classify import (
    Rule,
    event_error,
    find_error,
    is_challenge,
    is_html,
    limit_notice,
    response_error,
)
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    ContentFilteredError,
    ContextTooLongError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    TokenNotFoundError,
)


def openai(code=None, message="", kind=None, **more):
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def anthropic(kind, message="", code=None):
    details = {"details": {"error_code": code}} if code else {}
    return {"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_1"}


def gemini(number, status, message="", *details):
    return {"error": {"code": number, "message": message, "status": status, "details": list(details)}}


def openrouter(number, message="", **metadata):
    return {"error": {"code": number, "message": message, "metadata": metadata}}


def page(title, text=""):
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{text}</body></html>"


def quota(identifier):
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": identifier}]}


def delay(text):
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": text}


def reason(name):
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name}


def refused(status, body=b"", headers=None, **options):
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    return response_error(status, headers or {}, body, provider="acme", **options)


PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
TPM = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested {}."
XAI = "Your team has either used all available credits or reached its monthly spending limit."
COHERE = "You are using a Trial key, which is limited to {}. Upgrade to a Production key with higher rate limits."
AZURE = "Requests have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 60 seconds."

CATALOGUE = [
    # OpenAI
    (429, openai("rate_limit_exceeded", "Rate limit reached", "requests"), RateLimitError),
    (429, openai("insufficient_quota", "You exceeded your current quota", "insufficient_quota"), QuotaExceededError),
    (429, openai("credit_balance_exhausted", "", "insufficient_quota"), QuotaExceededError),
    (429, openai("newer_code", "", "insufficient_quota"), QuotaExceededError),
    (429, openai("billing_hard_limit_reached"), QuotaExceededError),
    (429, openai("project_spend_limit_exceeded"), QuotaExceededError),
    (429, openai("organization_usage_limit_reached"), QuotaExceededError),
    (429, openai("rate_limit_exceeded", TPM.format(35000), "tokens"), ContextTooLongError),
    (429, openai("rate_limit_exceeded", TPM.format(30000), "tokens"), RateLimitError),
    (429, openai("rate_limit_exceeded", "Limit 30000, Used 29000, Requested 2000. Try again in 2s"), RateLimitError),
    (429, openai("slow_down"), RateLimitError),
    (503, openai("server_is_overloaded", "", "service_unavailable_error"), OverloadedError),
    (
        400,
        openai("context_length_exceeded", "This model's maximum context length is 9", param="messages"),
        ContextTooLongError,
    ),
    (400, openai("400", "No connected db.", "no_db_connection"), AuthenticationError),
    (400, openai("content_policy_violation"), ContentFilteredError),
    (400, openai(None, "Your request was rejected as a result of our safety system."), ContentFilteredError),
    (401, openai("invalid_api_key", "Incorrect API key provided"), AuthenticationError),
    (403, openai("unsupported_country_region_territory"), BlockedError),
    (404, openai("model_not_found", "The model `x` does not exist"), ModelNotFoundError),
    (408, openai(), ServerError),
    (409, openai(), ServerError),
    (500, openai(None, "The server had an error"), ServerError),
    (400, openai("unsupported_parameter", "Unsupported parameter: 'max_tokens'", param="max_tokens"), BadRequestError),
    # Servers that speak OpenAI's protocol
    (
        400,
        {"object": "error", "message": "This model's maximum context length is 4096 tokens", "code": 400},
        ContextTooLongError,
    ),
    (400, openai(None, "maximum context length", "BadRequestError", param="input_tokens"), ContextTooLongError),
    (400, openai(None, "The model `x` does not exist", param="model"), ModelNotFoundError),
    (400, openai("exceed_context_size_error"), ContextTooLongError),
    # Azure
    (429, openai("429", AZURE), RateLimitError),
    (429, openai(None, "System is experiencing high demand"), OverloadedError),
    (
        400,
        openai("content_filter", "management policy", innererror={"code": "ResponsibleAIPolicyViolation"}),
        ContentFilteredError,
    ),
    (400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}, ContentFilteredError),
    (404, openai("DeploymentNotFound"), ModelNotFoundError),
    # Anthropic
    (429, anthropic("rate_limit_error"), RateLimitError),
    (429, anthropic("rate_limit_error", "", "ramp_limit_exceeded"), RateLimitError),
    (429, anthropic("rate_limit_error", "", "enforced_spend_limit_reached"), QuotaExceededError),
    (429, anthropic("rate_limit_error", "", "contract_spend_limit_reached"), QuotaExceededError),
    (400, anthropic("invalid_request_error", "Your credit balance is too low to access the API."), QuotaExceededError),
    (402, anthropic("billing_error"), QuotaExceededError),
    (402, anthropic("billing_error", "", "linked_organization_spend_limit_reached"), QuotaExceededError),
    (400, anthropic("invalid_request_error", "", "organization_on_hold"), PermissionDeniedError),
    (529, anthropic("overloaded_error", "Overloaded"), OverloadedError),
    (500, anthropic("api_error"), ServerError),
    (400, anthropic("invalid_request_error", "prompt is too long: 201 tokens > 200 maximum"), ContextTooLongError),
    (413, anthropic("request_too_large"), ContextTooLongError),
    (401, anthropic("authentication_error"), AuthenticationError),
    (403, anthropic("permission_error"), PermissionDeniedError),
    (404, anthropic("not_found_error", "model: claude-x"), ModelNotFoundError),
    # Gemini
    (
        429,
        gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", quota(PER_MINUTE), delay("13.5s")),
        RateLimitError,
    ),
    (429, gemini(429, "RESOURCE_EXHAUSTED", "", quota(PER_MINUTE), quota(PER_DAY), delay("53s")), QuotaExceededError),
    (429, gemini(429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 0, model: x", delay("53s")), QuotaExceededError),
    (429, gemini(429, "RESOURCE_EXHAUSTED", "Quota exceeded, limit: 10, model: x", delay("53s")), RateLimitError),
    (429, gemini(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."), RateLimitError),
    (402, gemini(402, "RESOURCE_EXHAUSTED"), QuotaExceededError),
    (400, gemini(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID")), AuthenticationError),
    (400, [gemini(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID"))], AuthenticationError),
    (400, gemini(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum"), ContextTooLongError),
    (400, gemini(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), BlockedError),
    (400, gemini(400, "FAILED_PRECONDITION", "Please enable billing"), PermissionDeniedError),
    (403, gemini(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), AuthenticationError),
    (404, gemini(404, "NOT_FOUND", "models/x is not found for API version v1beta"), ModelNotFoundError),
    (503, gemini(503, "UNAVAILABLE", "", reason("MODEL_CAPACITY_EXHAUSTED")), OverloadedError),
    (429, gemini(429, "RESOURCE_EXHAUSTED", "", reason("MODEL_CAPACITY_EXHAUSTED")), OverloadedError),
    (504, gemini(504, "DEADLINE_EXCEEDED"), ServerError),
    (500, [gemini(500, "INTERNAL")], ServerError),
    # Groq
    (429, openai("rate_limit_exceeded", "Please try again in 5.289s", "tokens"), RateLimitError),
    (
        413,
        openai("rate_limit_exceeded", "Limit 6000, Requested 7000", "tokens"),
        ContextTooLongError,
    ),
    (498, openai("capacity_exceeded"), OverloadedError),
    (499, openai("request_cancelled"), BadRequestError),
    (422, openai("unprocessable"), BadRequestError),
    (424, openai("failed_dependency"), ServerError),
    (400, openai("model_decommissioned"), ModelNotFoundError),
    # Mistral
    (
        429,
        {"object": "error", "message": "Rate limit", "type": "rate_limited", "code": "1300"},
        RateLimitError,
    ),
    (429, {"message": "Requests rate limit exceeded"}, RateLimitError),
    (
        429,
        {"message": "Service tier capacity exceeded for this", "type": "invalid_request_error"},
        OverloadedError,
    ),
    (503, {"message": "Service tier capacity exceeded for this model."}, OverloadedError),
    (429, {"message": "Monthly request limit reached"}, QuotaExceededError),
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}, BadRequestError),
    (
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model"},
        ModelNotFoundError,
    ),
    # OpenRouter
    (402, openrouter(402, "Insufficient credits", limit_source="openrouter_credits"), QuotaExceededError),
    (402, openrouter(402, "", limit_source="openrouter_key_limit"), QuotaExceededError),
    (402, openrouter(402, "", limit_source="openrouter_in_flight_budget"), RateLimitError),
    (402, openrouter(402, "You requested up to 9 tokens, but can only afford 3"), QuotaExceededError),
    (429, openrouter(429, "Rate limit exceeded: free-models-per-day"), QuotaExceededError),
    (429, openrouter(429, "Provider returned error"), RateLimitError),
    (503, openrouter(503, "No provider"), OverloadedError),
    (502, openrouter(502, "Bad upstream"), ServerError),
    (403, openrouter(403, "flagged", reasons=["violence"], flagged_input="x"), ContentFilteredError),
    (408, openrouter(408), ServerError),
    (404, openrouter(404, "No endpoints found for x"), ModelNotFoundError),
    (404, openrouter(404, "No endpoints found that support image input"), BadRequestError),
    (404, openrouter(404, "No endpoints found that support tool use"), BadRequestError),
    (400, {"error": {"message": "Too long.", "type": "too_many_prompt_tokens", "code": 400}}, ContextTooLongError),
    (400, {"error": "max_tokens: 9 > 8, which is the maximum allowed number of output tokens"}, BadRequestError),
    (400, openrouter(400, "Provider returned error", raw="prompt is too long: 9 tokens"), ContextTooLongError),
    # DeepSeek
    (402, openai("invalid_request_error", "Insufficient Balance"), QuotaExceededError),
    (422, openai(), BadRequestError),
    (400, openai(None, "Model Not Exist", "invalid_request_error"), ModelNotFoundError),
    (400, openai(None, "Content Exists Risk"), ContentFilteredError),
    (429, openai(), RateLimitError),
    (503, openai(), OverloadedError),
    # xAI
    (429, {"code": "Some resource has been exhausted", "error": XAI}, QuotaExceededError),
    (403, {"code": "The caller does not have permission", "error": XAI}, QuotaExceededError),
    (429, {"code": "x", "error": "Too many requests for team"}, RateLimitError),
    (
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key: x"},
        AuthenticationError,
    ),
    # Together
    (402, openai(None, "spending limit"), QuotaExceededError),
    (403, openai(None, "Input tokens + max_tokens exceeds the context length"), ContextTooLongError),
    (403, openai(None, "`inputs` tokens + `max_new_tokens` must be <= 4097"), ContextTooLongError),
    (429, openai(), RateLimitError),
    # Ollama
    (404, {"error": "model 'x' not found"}, ModelNotFoundError),
    (401, {"error": "unauthorized", "signin_url": "https://x.example"}, AuthenticationError),
    (429, {"error": "you've reached your weekly usage limit"}, QuotaExceededError),
    (429, {"error": "too many concurrent requests"}, RateLimitError),
    (502, {"error": "upstream"}, ServerError),
    # Hugging Face
    (402, {"error": "You have exceeded your monthly included credits for Inference Providers."}, QuotaExceededError),
    (403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "not enough balance"}, QuotaExceededError),
    (503, {"error": "Model x is currently loading", "estimated_time": 20.5}, OverloadedError),
    # Cohere
    (429, {"message": COHERE.format("40 API calls / minute")}, RateLimitError),
    (429, {"message": COHERE.format("1000 API calls / month")}, QuotaExceededError),
    (402, {"message": "payment"}, QuotaExceededError),
    (499, {"message": "client closed"}, BadRequestError),
    (400, {"message": "too many tokens: total number of tokens cannot exceed 4081"}, ContextTooLongError),
    # Z.ai, Moonshot
    (429, openai("1302", "concurrency"), RateLimitError),
    (429, openai("1305", "frequency"), RateLimitError),
    (429, openai("1113", "balance"), QuotaExceededError),
    (429, openai("1308", "plan"), QuotaExceededError),
    (429, openai("1321", "plan"), QuotaExceededError),
    (400, openai("1113", "balance"), BadRequestError),
    (400, openai("no_rate_limit_exceeded_here"), BadRequestError),
    # Where only the words tell
    (400, {"error": "Your daily quota exceeded"}, QuotaExceededError),
    (400, openai(None, "This model's maximum context length is 4096", param="messages"), ContextTooLongError),
    (403, openai(None, "Input tokens plus max_tokens is too large"), ContextTooLongError),
    (404, gemini(404, "NOT_FOUND", "Nothing here"), ModelNotFoundError),
    (429, openai(None, "", "exceeded_current_quota_error"), QuotaExceededError),
    (429, openai(None, "", "rate_limit_reached_error"), RateLimitError),
    (429, openai(None, "", "engine_overloaded_error"), OverloadedError),
    # Free sites
    (500, "Quota exceeded", QuotaExceededError),
    (200, page("Just a moment..."), BlockedError),
    (200, page("Attention Required! | Cloudflare"), BlockedError),
    (200, page("x", '<div id="cf-please-wait">'), BlockedError),
    (403, page("Just a moment..."), BlockedError),
    (503, page("Just a moment..."), BlockedError),
    (403, page("Forbidden"), BlockedError),
    (403, "Unusual activity has been detected", BlockedError),
    (403, "Forbidden", PermissionDeniedError),
    (418, {"action": "error", "status": 418, "type": "ERR_BN_LIMIT"}, BlockedError),
    (418, {"action": "error", "status": 418, "type": "ERR_CHALLENGE"}, BlockedError),
    (429, {"type": "ERR_CONVERSATION_LIMIT"}, QuotaExceededError),
    (400, {"message": "Rate limit exceeded, slow down"}, RateLimitError),
    (400, {"error": "You have sent too many requests"}, RateLimitError),
    (400, "Error: Too many requests, please wait", RateLimitError),
    (400, {"msg": "您的请求过于频繁"}, RateLimitError),
    (400, {"msg": "请求过于频繁\uff0c请稍后再试"}, RateLimitError),
    (402, "", QuotaExceededError),
    *[(status, "", ServerError) for status in range(520, 527)],
    # Any gateway
    (200, page("Welcome"), BadResponseError),
    (502, page("502 Bad Gateway"), ServerError),
    (503, page("503"), OverloadedError),
    (504, page("504"), ServerError),
    (500, page("Oops"), ServerError),
    (401, page("Authorization Required"), AuthenticationError),
    (404, page("404 Not Found"), BadResponseError),
    (413, page("413 Request Entity Too Large"), ContextTooLongError),
    (429, page("Too many"), RateLimitError),
    *[(status, "", BadResponseError) for status in (301, 302, 303, 307, 308, 304)],
    (404, {"message": "no such route"}, BadRequestError),
    (410, "", BadRequestError),
    (407, "", BlockedError),
    (451, "", BlockedError),
    (405, "", BadRequestError),
    (204, "", BadResponseError),
    (199, "", BadResponseError),
]


@pytest.mark.parametrize(("status", "body", "kind"), CATALOGUE)
def test_each_row_of_the_catalogue_has_its_class(status, body, kind):
    assert type(refused(status, body)) is kind


IN_BAND = [
    ({"type": "error", "code": "server_is_overloaded", "message": "x", "param": None}, OverloadedError),
    ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, RateLimitError),
    ({"type": "response.failed", "response": None}, ServerError),
    ({"object": "error", "message": "boom"}, ServerError),
    ({"object": "error", "message": "boom", "code": 429}, RateLimitError),
    (anthropic("overloaded_error"), OverloadedError),
    (anthropic("rate_limit_error"), RateLimitError),
    (anthropic("api_error"), ServerError),
    (anthropic("timeout_error"), ServerError),
    (anthropic("invalid_request_error", "prompt is too long: 9 tokens"), ContextTooLongError),
    (anthropic("invalid_request_error", "messages: wrong"), BadRequestError),
    (anthropic("authentication_error"), AuthenticationError),
    (anthropic("permission_error"), PermissionDeniedError),
    (anthropic("not_found_error"), ModelNotFoundError),
    (gemini(429, "RESOURCE_EXHAUSTED"), RateLimitError),
    ([gemini(503, "UNAVAILABLE")], OverloadedError),
    (openrouter(502, "Provider disconnected"), ServerError),
    (openrouter("402", "Insufficient credits"), QuotaExceededError),
    ({"error": {"message": "x", "status_code": 498}}, OverloadedError),
    (openai("1302"), RateLimitError),
    (openai("1113"), QuotaExceededError),
    (openai("x429"), ServerError),
    (openai(429, "You exceeded your current quota"), QuotaExceededError),
    (openai(429, "You exceeded your current quota. Please retry in 16s."), RateLimitError),
    ({"error": "an unknown failure"}, ServerError),
    ({"error": "Insufficient Balance"}, QuotaExceededError),
    ({"error": "Rate limit reached"}, RateLimitError),
    ({"error": ["first", "second"]}, ServerError),
    ({"error": 7}, ServerError),
    ({"error": {}}, ServerError),
    ({"errors": [{"code": "insufficient_quota"}]}, QuotaExceededError),
    ("just text", ServerError),
    (None, ServerError),
    ([], ServerError),
]


@pytest.mark.parametrize(("payload", "kind"), IN_BAND)
def test_an_error_inside_a_200_goes_by_its_own_codes_and_numbers(payload, kind):
    assert type(event_error(payload, provider="acme")) is kind


def test_an_error_inside_a_200_has_the_number_it_names():
    assert event_error(openrouter(502), provider="acme").status == 502


def test_an_error_inside_a_200_without_a_number_has_no_status():
    assert event_error({"error": "x"}, provider="acme").status is None


def test_an_error_inside_a_200_keeps_its_delay():
    assert event_error(gemini(429, "x", "", delay("13.5s")), provider="acme").retry_after == 13.5


def test_a_whole_body_with_status_200_and_an_error_goes_by_its_code():
    assert type(refused(200, openrouter(429))) is RateLimitError


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"7",
        b'"text"',
        b"[]",
        b"[[]]",
        b"[1, 2]",
        b"\xff\xfe\x00\x01",
        b"\x00" * 100,
        b'{"error": "text"}',
        b'{"error": []}',
        b'{"error": [[]]}',
        b'{"error": {"message": {"a": 1}, "code": [], "details": {"violations": 7}}}',
        b'{"detail": [{"loc": ["body", 7], "msg": "m"}]}',
        b'{"detail": [{"loc": ["body"]}]}',
        b'{"message": "\\ud800"}',
        b'{"message": "broken',
        b"[" * 60000,
        b'{"code": ' + b"9" * 5000 + b"}",
        b'data: {"error": "x"}\n\n',
        b"data:\n\n",
        b"\xef\xbb\xbf{}",
        b"x" * 200_000,
    ],
)
@pytest.mark.parametrize(("status", "kind"), [(500, ServerError), (429, RateLimitError), (400, BadRequestError)])
def test_a_body_of_any_shape_is_classified_by_its_status(status, kind, body):
    error = refused(status, body)
    str(error).encode("utf-8")
    assert type(error) is kind


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "m"}, "m"),
        ({"message": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "m"}]}, "body.seed: m"),
        ({"error": {"code": 1}, "message": "m"}, "m"),
        ({"error": {"message": "a", "metadata": {"raw": "b"}}}, "a: b"),
        ("m", "m"),
        ('"m"', "m"),
        ("\x1b[31ma\x00\n b\u202e", "[31ma b"),
        ('event: error\ndata: {"error": "m"}\n\n', "m"),
        (page("Oops"), 'an HTML page titled "Oops"'),
        ("<html>", "an HTML page"),
    ],
)
def test_the_message_is_what_the_service_said(body, said):
    assert f": {said}; " in str(refused(500, body))


def test_a_message_of_500_characters_is_whole():
    assert f": {'x' * 500}; " in str(refused(500, "x" * 500))


def test_a_long_message_is_cut_to_500_characters():
    assert f": {'x' * 499}…; " in str(refused(500, "x" * 9000))


def test_the_message_tells_what_happened_to_whom_and_what_to_do():
    error = refused(429, openai("rate_limit_exceeded", "Slow down"), {"Retry-After": "7"})
    assert str(error) == (
        "acme: rate limit reached (429 rate_limit_exceeded): Slow down; waiting helps, retry after 7 s"
    )


def test_the_model_is_named_where_it_is_not_found():
    assert str(refused(404, openai("model_not_found"), model="x-1")).startswith("acme: model x-1 not found (404 ")


def test_an_error_carries_its_plain_values():
    error = refused(429, anthropic("rate_limit_error"), {"Retry-After": "7"}, model="m")
    fields = (error.provider, error.model, error.status, error.code, error.retry_after, error.request_id)
    assert fields == ("acme", "m", 429, "rate_limit_error", 7.0, "req_1")


def test_an_error_pickles():
    error = refused(429, openai("slow_down"), {"Retry-After": "7"})
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (openai("slow_down", kind="requests"), "slow_down"),
        (openai(None, kind="requests"), "requests"),
        (openai("429", kind="requests"), "requests"),
        (anthropic("rate_limit_error", "", "ramp_limit_exceeded"), "ramp_limit_exceeded"),
        (gemini(429, "RESOURCE_EXHAUSTED"), "RESOURCE_EXHAUSTED"),
        (openrouter(402, limit_source="openrouter_credits"), "openrouter_credits"),
        (openai(1302), "1302"),
        ({"code": True, "type": "error"}, None),
        ("text", None),
    ],
)
def test_the_code_is_the_one_the_service_uses(body, code):
    assert refused(429, body).code == code


@pytest.mark.parametrize("name", ["x-request-id", "Request-Id", "CF-Ray", "X-Generation-Id"])
def test_the_request_id_is_found_in_any_of_its_headers(name):
    assert refused(500, "", {name: "abc"}).request_id == "abc"


@pytest.mark.parametrize("kind", [dict, CaseInsensitiveDict])
def test_headers_are_read_whatever_their_case(kind):
    assert refused(429, "", kind({"RETRY-AFTER": "7"})).retry_after == 7.0


@pytest.mark.parametrize(("said", "told"), [("Slow down.", ": Slow down; "), ("Wait ...", ": Wait; "), ("...", "); ")])
def test_a_full_stop_of_the_service_does_not_stand_in_the_middle(said, told):
    assert f"{told}waiting helps" in str(refused(429, openai("rate_limit_exceeded", said)))


def test_headers_never_enter_the_message():
    assert "secret" not in str(refused(500, "", {"Authorization": "secret", "x-request-id": "secret"}))


def test_a_402_with_a_retry_after_is_a_rate_limit():
    assert type(refused(402, "", {"Retry-After": "3"})) is RateLimitError


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "junk", "RateLimit": '"a";r=0;t=3'}])
def test_a_402_without_a_valid_retry_after_is_a_quota(headers):
    assert type(refused(402, "", headers)) is QuotaExceededError


def test_a_quota_ignores_the_useless_delay_of_the_body():
    assert refused(429, gemini(429, "x", "", quota(PER_DAY), delay("53s"))).retry_after is None


def test_a_quota_keeps_the_delay_of_the_headers():
    assert refused(429, openai("insufficient_quota"), {"Retry-After": "3600"}).retry_after == 3600.0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (openai(None, "You exceeded your current quota, please check your plan"), QuotaExceededError),
        (openai(None, "You exceeded your current quota. Please retry in 16s."), RateLimitError),
    ],
)
def test_vague_quota_words_count_only_without_a_delay(body, kind):
    assert type(refused(429, body)) is kind


ECHO = "quota exceeded, rate limit reached, credit balance is too low, context window, 429"


@pytest.mark.parametrize(
    "body",
    [
        openai("invalid_value", ECHO),
        openai(None, ECHO, param="messages[0].content"),
        openai(None, ECHO, param=["messages"]),
        openai(None, f"Could not parse '{ECHO[:35]}'", "invalid_request_error"),
        {"detail": [{"type": "value_error", "loc": ["body", "messages"], "msg": ECHO}]},
    ],
)
def test_an_echoed_prompt_decides_nothing(body):
    assert type(refused(400, body)) is BadRequestError


def test_a_number_in_the_text_decides_nothing():
    assert type(refused(400, openai(None, "bad value 429 in 500"))) is BadRequestError


@pytest.mark.parametrize(
    ("body", "action"),
    [({"type": "ERR_CHALLENGE"}, "refresh"), ({"type": "ERR_BN_LIMIT"}, "next")],
)
def test_a_stale_token_is_refreshed_and_an_address_ban_is_not_tried_again(body, action):
    assert refused(418, body).action == action


@pytest.mark.parametrize("status", [404, 410, 424])
def test_where_another_provider_may_help_it_is_asked(status):
    assert refused(status, "").action == "next"


@pytest.mark.parametrize(
    ("status", "body", "told", "action"),
    [
        (500, "", "false", "next"),
        (429, "", "false", "next"),
        (418, {"type": "ERR_CHALLENGE"}, "false", "next"),
        (400, "", "false", "stop"),
        (400, "", "true", "retry"),
        (500, "", "true", "retry"),
        (429, openai("insufficient_quota"), "true", "next"),
        (500, "", "junk", "retry"),
    ],
)
def test_x_should_retry_forbids_or_permits_a_retry(status, body, told, action):
    assert refused(status, body, {"X-Should-Retry": told}).action == action


@pytest.mark.parametrize("kind", [QuotaExceededError, StreamInterruptedError])
def test_x_should_retry_lifts_neither_a_quota_nor_an_error_that_is_no_refusal(kind):
    error = refused(500, "x", {"x-should-retry": "true"}, rules=[Rule(500, "x", kind, "stop")])
    assert error.action == "stop"


@pytest.mark.parametrize(("status", "maybe"), [(502, True), (504, True), (500, False), (503, False)])
def test_a_gateway_may_have_lost_only_the_answer(status, maybe):
    assert refused(status, page("x")).maybe_processed is maybe


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://user:pw@other.example/secret?key=1", "other.example"),
        ("/login", "the same host"),
        ("", "the same host"),
        ("http://[::1", "an unreadable address"),
    ],
)
def test_a_redirect_names_only_the_host_it_points_to(location, named):
    error = refused(307, page("moved"), {"Location": location})
    assert str(error) == (
        f"acme: the answer cannot be read (307): redirected to {named}, and redirects are not followed; check base_url"
    )


def test_a_mitigated_header_is_a_challenge_whatever_the_body():
    assert type(refused(403, {"error": "x"}, {"cf-mitigated": "challenge"})) is BlockedError


def test_json_typed_as_html_is_read_as_json():
    assert type(refused(429, openai("insufficient_quota"), {"Content-Type": "text/html"})) is QuotaExceededError


def test_plain_text_typed_as_html_is_read_as_text():
    assert type(refused(500, "Quota exceeded", {"Content-Type": "text/html"})) is QuotaExceededError


RULES = [
    Rule(403, r"^-1$", AuthenticationError, "refresh"),
    Rule(403, "link you followed has expired", TokenNotFoundError, "refresh"),
    Rule(None, "tokenLimitReached", RateLimitError),
    Rule(500, "quota exceeded", RateLimitError),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "action"),
    [
        (403, page("x", "The link you followed has expired."), TokenNotFoundError, "refresh"),
        (403, "-1", AuthenticationError, "refresh"),
        (403, "-12", PermissionDeniedError, "next"),
        (400, {"msg": "no", "tokenLimitReached": True}, RateLimitError, "retry"),
        (500, "QUOTA EXCEEDED", RateLimitError, "retry"),
        (502, "Quota exceeded", QuotaExceededError, "next"),
    ],
)
def test_a_providers_own_rules_come_first(status, body, kind, action):
    error = refused(status, body, rules=RULES)
    assert (type(error), error.action) == (kind, action)


def test_a_providers_own_rules_hold_inside_a_200():
    payload = {"msg": "no", "tokenLimitReached": True}
    assert type(event_error(payload, provider="acme", rules=RULES)) is RateLimitError


def test_rules_survive_a_payload_that_is_no_json():
    circle: dict[object, object] = {"error": "x"}
    circle["self"] = circle
    assert type(event_error(circle, provider="acme", rules=RULES)) is ServerError


@pytest.mark.parametrize(
    "record",
    [
        {"error": {"message": "x"}},
        {"error": {"message": "x"}, "choices": [{}]},
        {"error": "text"},
        {"object": "error", "message": "x"},
        {"type": "error", "error": {}},
        {"type": "error", "code": "x"},
        {"type": "response.failed", "response": {}},
        [{"error": {"code": 500}}],
    ],
)
def test_an_error_record_is_found(record):
    assert find_error(record) is not None


@pytest.mark.parametrize(
    "record",
    [None, 7, "error", [], [{}, {"error": "x"}], [[]], {}, {"error": None, "choices": []}, {"error": ""}, {"type": []}],
)
def test_an_ordinary_record_is_no_error(record):
    assert find_error(record) is None


@pytest.mark.parametrize(
    ("content_type", "start", "html"),
    [
        ("text/html; charset=utf-8", b"<!DOCTYPE html>", True),
        ("TEXT/HTML", b"<p>", True),
        ("application/xhtml+xml", b"<?xml", True),
        ("application/json", b"\xef\xbb\xbf \n<HTML>", True),
        ("", b"<!doctype html>", True),
        ("text/html", b"", False),
        ("text/html", b'{"a": 1}', False),
        ("text/html", b"data: x", False),
        ("text/plain", b"<b>bold</b>", False),
        ("", b"", False),
    ],
)
def test_a_web_page_is_told_from_an_answer(content_type, start, html):
    assert is_html(content_type, start) is html


@pytest.mark.parametrize(
    ("text", "challenge"),
    [
        (page("Just a moment..."), True),
        (page("Verify you are human"), True),
        (page("Captcha"), True),
        (page("Welcome", "Wait just a moment"), False),
        ("", False),
    ],
)
def test_a_challenge_page_is_told_from_an_ordinary_one(text, challenge):
    assert is_challenge(text) is challenge


def test_a_limit_notice_as_an_error_is_a_rate_limit_for_another_provider():
    error = event_error({"error": "The request limit for today has been reached."}, provider="acme")
    assert (type(error), error.action) == (RateLimitError, "next")


NOTICE_TEXTS = [
    "The request limit for today has been reached.",
    "The request limit for today has been reached. Please try again tomorrow!",
    "  \n⚠️ You\u2019ve reached your daily limit. Upgrade to continue.",
    "You have reached your token limit.",
    "Error: Rate limit exceeded",
    "Rate limit reached for gpt-4 in organization org-1",
    "Too many requests, please wait.",
    "[429 Too Many Requests] Quota exceeded for quota metric 'x'",
    "请求过于频繁\uff0c请稍后再试",
]
HONEST_TEXTS = [
    "Hello",
    "",
    "...",
    "A rate limit means that a client may send only so many requests.",
    "Rate limits protect a service. The request limit for today has been reached is what one says.",
    "Too many requests is an HTTP error: it means that the client was too fast.",
    "Too many requests in a short time lead to it.",
    "Rate limit exceeded. This error appears when a client is too fast.",
    "Rate limit reached: the error usually goes away.",
    "You have reached the limit of my knowledge.",
    '"Quota exceeded" means that an allowance is used up.',
    "The request limit for today has been reached. " + "Yet the story goes on. " * 20,
]


@pytest.mark.parametrize("text", NOTICE_TEXTS)
def test_a_limit_notice_is_told_when_it_ended(text):
    assert limit_notice(text, ended=True) is True


@pytest.mark.parametrize("text", NOTICE_TEXTS)
def test_a_limit_notice_is_held_back_from_its_first_character(text):
    assert {limit_notice(text[:end], ended=False) for end in range(len(text) + 1)} == {None}


@pytest.mark.parametrize("text", HONEST_TEXTS)
def test_an_honest_answer_about_limits_is_no_notice(text):
    assert limit_notice(text, ended=True) is False


@pytest.mark.parametrize("text", ["Hello", "Hi", "Certainly! ", "The capital of France", "I", "Rate limits", "{"])
def test_ordinary_text_is_not_held_back(text):
    held = limit_notice(text, ended=False)
    assert held is False or text == "{"


def test_an_honest_answer_is_let_go_at_the_first_word_that_explains():
    assert limit_notice("Too many requests is an HTTP error", ended=False) is False


@pytest.mark.parametrize(
    "words",
    [
        "Context size has been exceeded.",
        "the request exceeds the available context size, try increasing it",
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "prompt is too long: 250000 tokens > 200000 maximum",
        "input is too long for requested model",
        "The prompt is longer than the context window of the model",
        "Input token count (9) exceeds the maximum",
    ],
)
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_prompt_that_is_too_long_is_not_a_server_error_whatever_its_status(words, status):
    body = {"error": {"message": words, "type": "server_error", "code": status}}
    assert type(refused(status, body)) is ContextTooLongError
    assert type(event_error(body, provider="test")) is ContextTooLongError


@pytest.mark.parametrize("words", ["failed to allocate the context window", "no context", "internal error"])
def test_a_failure_that_merely_mentions_a_context_is_a_server_error(words):
    assert type(refused(500, {"error": {"message": words}})) is ServerError


@pytest.mark.parametrize(
    "words",
    [
        "Unexpected endpoint or method. (POST /chat/completions)",
        "Unexpected endpoint or method. (GET /models)",
        "Invalid URL (POST /v1/v1/chat/completions)",
        "Cannot POST /chat/completions",
        "no route matches POST /chat",
    ],
)
def test_a_wrong_address_is_detected_even_with_status_200(words):
    for error in (
        event_error({"error": words}, provider="test"),
        refused(200, {"error": words}),
        event_error({"error": {"message": words}}, provider="test"),
        refused(404, {"error": {"message": words}}),
    ):
        assert isinstance(error, BadRequestError)
        assert error.action == "next"
        assert "base_url" in str(error)


def test_a_rule_that_matches_nothing_words_the_errors_of_its_type():
    rules = [Rule(None, None, AuthenticationError, says=("the door is locked", "ring the bell"))]
    assert str(refused(401, "x", rules=rules)) == "acme: the door is locked (401): x; ring the bell"
    assert "the door" not in str(refused(403, "x", rules=rules))
    assert "the door" not in str(refused(500, "x", rules=rules))


def test_a_rule_can_replace_description_and_advice():
    rule = Rule(401, "", AuthenticationError, says=("the door is locked", "ring the bell"))
    assert str(refused(401, {"error": "No"}, rules=[rule])) == "acme: the door is locked (401): No; ring the bell"
