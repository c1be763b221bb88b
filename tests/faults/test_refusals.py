"""Rows 17 to 50: the service refuses, with a status."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import responses
from fault_checks import check_safe, fails
from fault_wires import ALL, KEY, OPENAI, named, row

from aichatkit import Client
from aichatkit.errors import (
    AuthenticationError,
    BadResponseError,
    BlockedError,
    ContentFilteredError,
    ContextTooLongError,
    ModelNotFoundError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from aichatkit.sandbox.raw import RawServer, chunk, response
from aichatkit.transport import responses as transport_responses
from aichatkit.transport.timeouts import Timeout

LIMITED = {"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}
CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>cf-please-wait</body></html>"
HTML = [("Content-Type", "text/html")]


def refused(status: int, body: Any = b"", *headers: tuple[str, str]) -> list[bytes]:
    """A script that refuses; a body that is not bytes is sent as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = () if isinstance(body, bytes) else (("Content-Type", "application/json"),)
    return [response(sent, status=f"{status} No", headers=[*kind, *headers])]


def after(*headers: tuple[str, str]) -> list[bytes]:
    return refused(429, LIMITED, *headers)


@row("17", *ALL)
def test_retry_after_is_waited_for_and_a_little_longer(faults, wire):
    fault = faults(wire, after(("Retry-After", "7")), wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked)) == ("Hello", 2)
    assert [7 < wait <= 8 for wait in fault.slept] == [True]
    assert [attempt.wait for attempt in reply.attempts] == [*fault.slept, 0.0]
    assert type(reply.attempts[0].error) is RateLimitError


@row("17-doubled")
def test_retry_after_of_a_double_is_waited_for(wire, policy, slept):
    url = "https://openai.example/v1"
    with responses.RequestsMock() as mock, Client(model="openai", api_key=KEY, base_url=url, retry=policy) as client:
        mock.post(f"{url}/chat/completions", json=LIMITED, status=429, headers={"Retry-After": "7"})
        mock.post(f"{url}/chat/completions", body=wire.body("Hello"), content_type=wire.content_type)
        assert client.ask("Hi").text == "Hello"
        assert len(mock.calls) == 2
    assert [7 < wait <= 8 for wait in slept] == [True]


@row("18")
def test_milliseconds_come_before_seconds(faults, wire):
    fault = faults(wire, after(("Retry-After", "30"), ("Retry-After-Ms", "1500")), wire.whole("Hello"))
    assert fault.client.ask("Hi").text == "Hello"
    assert [1.5 < wait <= 1.7 for wait in fault.slept] == [True]


@row("19")
def test_a_date_counts_from_the_date_of_the_answer_however_wrong_this_clock_is(faults, wire):
    dates = ("Date", "Fri, 29 Sep 2023 16:26:37 GMT"), ("Retry-After", "Fri, 29 Sep 2023 16:26:57 GMT")
    fault = faults(wire, after(*dates), wire.whole("Hello"))
    assert fault.client.ask("Hi").text == "Hello"
    assert [20 <= wait <= 21 for wait in fault.slept] == [True]


@row("20")
@pytest.mark.parametrize(
    "value", ["-5", "nan", "inf", "1_0", "5, 10", "", "soon", "9" * 20, "Fri, 01 Jan 100000 00:00:00 GMT"]
)
def test_a_void_hint_means_our_own_backoff(faults, wire, value):
    fault = faults(wire, after(("Retry-After", value)), wire.whole("Hello"))
    assert fault.client.ask("Hi").text == "Hello"
    # Half of the first step, which is one second where the service limits.
    assert fault.slept == [0.5]


@row("21", *ALL)
def test_a_hint_longer_than_we_wait_ends_the_call_at_once(faults, wire):
    fault = faults(wire, after(("Retry-After", "3600")))
    with fails(RateLimitError) as caught:
        fault.client.ask("Hi")
    assert (len(fault.asked), fault.slept, caught.value.retry_after) == (1, [], 3600)
    assert "max_wait" in caught.value.gave_up


@row("22", *ALL)
def test_a_hint_past_the_deadline_ends_the_call_at_once(faults, wire):
    fault = faults(wire, after(("Retry-After", "5")), timeout=Timeout(total=3))
    with fails(RateLimitError) as caught:
        fault.client.ask("Hi")
    assert (len(fault.asked), fault.slept, caught.value.retry_after) == (1, [], 5)
    assert "deadline" in caught.value.gave_up


@row("23")
def test_a_hint_of_zero_is_spread_by_our_own_jitter(faults, wire):
    fault = faults(wire, after(("Retry-After", "0")), wire.whole("Hello"))
    assert fault.client.ask("Hi").text == "Hello"
    assert [0 < wait <= 1 for wait in fault.slept] == [True]


def told(number: str, status: int, body: Any, kind: Any, *headers: tuple[str, str]) -> Any:
    return pytest.param(refused(status, body, *headers), kind, id=f"row{number}")


def google(quota: str, delay: str) -> dict[str, Any]:
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    return {"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}}


def says(message: str, **codes: Any) -> dict[str, Any]:
    return {"error": {"message": message, **codes}}


QUOTA = says("You exceeded your current quota", code="insufficient_quota", type="insufficient_quota")
PER_DAY = google("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "31s")
NEVER_FITS = says("Request too large. Limit 30000, Requested 41000.", code="rate_limit_exceeded", type="tokens")
KEY_INVALID = says("API key not valid", status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}])
TOO_MANY_TOKENS = says("`inputs` tokens + `max_new_tokens` must be <= 8193", type="invalid_request_error")

ONE_REQUEST = [
    told("24", 500, says("no"), ServerError, ("X-Should-Retry", "false")),
    told("25", 429, QUOTA, QuotaExceededError, ("X-Should-Retry", "true")),
    told("26", 429, QUOTA, QuotaExceededError),
    told("27", 400, says("Your credit balance is too low to access the API"), QuotaExceededError),
    told(
        "28",
        429,
        says("cap", type="rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        QuotaExceededError,
    ),
    told("30", 429, PER_DAY, QuotaExceededError),
    told("31", 402, says("Insufficient Balance"), QuotaExceededError),
    told("33", 429, NEVER_FITS, ContextTooLongError),
    told("35", 401, says(f"Incorrect API key provided: {KEY}", code="invalid_api_key"), AuthenticationError),
    told("36", 400, KEY_INVALID, AuthenticationError),
    told("37", 404, says("The model `x` does not exist", code="model_not_found"), ModelNotFoundError),
    told("38-code", 400, says("too long", code="context_length_exceeded"), ContextTooLongError),
    told("38-status", 413, says("request too large"), ContextTooLongError),
    told("38b", 403, TOO_MANY_TOKENS, ContextTooLongError),
    told("39", 400, says("filtered", code="content_filter"), ContentFilteredError),
    told("41", 500, b"Quota exceeded", QuotaExceededError),
    told("43", 403, CHALLENGE, BlockedError, *HTML),
    told("44", 200, CHALLENGE, BlockedError, *HTML),
]


@row("24-44")
@pytest.mark.parametrize(("script", "kind"), ONE_REQUEST)
def test_what_waiting_does_not_help_costs_one_request(faults, wire, script, kind):
    fault = faults(wire, script)
    with fails(kind) as caught:
        fault.client.ask("Hi")
    assert (len(fault.asked), fault.slept) == (1, [])
    assert [attempt.error for attempt in caught.value.attempts] == [caught.value]


@row("27-44", *[wire for wire in ALL if wire is not OPENAI])
@pytest.mark.parametrize(
    ("script", "kind"),
    [given for given in ONE_REQUEST if given.id in ("row31", "row38-status", "row43", "row44")],
)
def test_every_wire_tells_the_general_refusals_apart(faults, wire, script, kind):
    fault = faults(wire, script)
    with fails(kind):
        fault.client.ask("Hi")
    assert (len(fault.asked), fault.slept) == (1, [])


@row("29")
def test_the_delay_in_a_body_is_waited_for(faults, wire):
    body = google("GenerateRequestsPerMinutePerProjectPerModel", "13.5s")
    fault = faults(wire, refused(429, body), wire.whole("Hello"))
    assert fault.client.ask("Hi").text == "Hello"
    assert [13.5 < wait <= 14.5 for wait in fault.slept] == [True]


@row("32")
def test_a_402_with_a_delay_is_a_limit(faults, wire):
    fault = faults(wire, refused(402, says("in flight"), ("Retry-After", "2")), wire.whole("Hello"))
    assert (fault.client.ask("Hi").text, len(fault.asked)) == ("Hello", 2)


@row("34")
def test_a_large_request_that_would_fit_is_a_limit(faults, wire):
    body = says("Request too large. Limit 30000, Requested 29000.", code="rate_limit_exceeded")
    fault = faults(wire, refused(429, body), wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked), type(reply.attempts[0].error)) == ("Hello", 2, RateLimitError)


@row("39")
def test_a_filtered_prompt_is_not_taken_to_the_next_provider(pair, wire):
    one, two, client = pair([refused(400, says("filtered", code="content_filter"))])
    with fails(ContentFilteredError):
        client.ask("Hi")
    assert (len(one.asked), two.server.requests) == (1, [])


@row("40", *ALL)
@pytest.mark.parametrize("status", [498, 503, 529])
def test_an_overloaded_service_is_asked_again(faults, wire, status):
    fault = faults(wire, refused(status, b"busy"), wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked), type(reply.attempts[0].error)) == ("Hello", 2, OverloadedError)


@row("41", *named("aichats", "aichat", "aichatonline", "aichatonline-classic", "chatgptt"))
def test_a_500_about_a_quota_is_a_quota_at_other_sites(faults, wire):
    fault = faults(wire, refused(500, b"Quota exceeded"))
    with fails(QuotaExceededError):
        fault.client.ask("Hi")
    assert (len(fault.asked), fault.slept) == (1, [])


@row("41-limit", *named("aichatfree"))
def test_a_500_about_a_quota_is_a_limit_at_aichatfree(faults, wire):
    fault = faults(wire, refused(500, b"Quota exceeded"), wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked), type(reply.attempts[0].error)) == ("Hello", 2, RateLimitError)


@row("42", *ALL)
def test_a_page_with_a_500_is_a_passing_fault(faults, wire):
    page = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    fault = faults(wire, refused(500, page, *HTML), wire.whole("Hello"))
    assert (fault.client.ask("Hi").text, len(fault.asked)) == ("Hello", 2)


@row("44-doubled")
def test_a_challenge_page_of_a_double_is_no_answer(wire, policy):
    url = "https://openai.example/v1"
    with responses.RequestsMock() as mock, Client(model="openai", api_key=KEY, base_url=url, retry=policy) as client:
        mock.post(f"{url}/chat/completions", body=CHALLENGE, content_type="text/html")
        with fails(BlockedError):
            client.ask("Hi")
        assert len(mock.calls) == 1


@row("45", *ALL)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(faults, wire, status):
    with RawServer([response(b"stolen")]) as other:
        target = other.url.replace("127.0.0.1", "localhost")
        fault = faults(wire, refused(status, b"", ("Location", f"{target}/elsewhere?secret=1")))
        with fails(BadResponseError) as caught:
            fault.client.ask("Hi")
        assert (len(fault.asked), other.connections) == (1, 0)
    assert "localhost" in str(caught.value)
    assert "secret" not in str(caught.value)


@row("46", *ALL)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_host_is_not_followed_either(faults, wire, status):
    fault = faults(wire, refused(status, b"", ("Location", "/elsewhere")))
    with fails(BadResponseError):
        fault.client.ask("Hi")
    assert [request.path for request in fault.server.requests if request.path == "/elsewhere"] == []
    assert len(fault.asked) == 1


@row("47", OPENAI, *named("aichats"))
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_of_an_endless_error_body_only_the_start_is_read(faults, wire, framing):
    head = b"Transfer-Encoding: chunked\r\n" if framing == "chunked" else b""
    block = b"x" * 16384
    endless = itertools.repeat(chunk(block) if framing == "chunked" else block)
    start = b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\n" + head + b"\r\n"
    fault = faults(wire, lambda request: [start, endless], wire.whole("Hello"))
    assert (fault.client.ask("Hi").text, len(fault.asked)) == ("Hello", 2)
    # What the kernel holds on both sides comes on top of the 64 KB that are read.
    assert fault.server.sent[fault.asked[0].connection] < 20 << 20


@row("48", *ALL)
def test_an_unread_error_body_frees_its_connection_while_the_error_is_kept(faults, wire):
    block = b"x" * (1 << 20)
    head = b"HTTP/1.1 400 No\r\nContent-Length: 94371840\r\n\r\n"
    fault = faults(wire, lambda request: [head, itertools.repeat(block, 90)])
    with pytest.raises(Exception, match="bad request") as kept:
        fault.client.ask("Hi")
    assert fault.server.wait_closed()
    assert fault.asked[0].connection in fault.server.left
    check_safe(kept.value)


@row("48-waiting")
def test_the_connection_of_a_refusal_is_free_before_the_wait(faults, wire):
    closed_at_wait = []
    fault = faults(wire, [b"HTTP/1.1 503 No\r\nContent-Length: 900000\r\n\r\n", b"x" * 200_000], wire.whole("Hello"))
    policy = fault.policy(sleep=lambda seconds: closed_at_wait.append(fault.server.wait_closed(2)))
    assert fault.client.ask("Hi", retry=policy).text == "Hello"
    assert closed_at_wait == [True]


@row("49", OPENAI, *named("aichats"))
def test_an_error_body_that_drips_is_waited_for_only_so_long(faults, monkeypatch, wire):
    monkeypatch.setattr(transport_responses, "_ERROR_SECONDS", 0.15)
    drip = [b"x", 0.03] * 60
    fault = faults(wire, lambda request: [b"HTTP/1.1 400 No\r\nContent-Length: 60\r\n\r\n", drip])
    with pytest.raises(Exception, match="bad request"):
        fault.client.ask("Hi")
    assert fault.server.wait_closed()
    assert fault.server.left == [fault.asked[0].connection]


ODD_BODIES = [
    b'[{"error": {"message": "no"}}]',
    b'"no"',
    b"17",
    b"null",
    b"\xff\xfe\x00 no \x00",
    b'{"error": "no"}',
    b'{"error": ["no", 1]}',
    b'{"error": {"message": {"deep": []}, "code": [], "details": 3}}',
    b"[]",
    b"[" * 5000,
    b'{"error": 1e999}',
]


@row("50", *ALL)
@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_an_error_body_of_any_shape_is_judged_by_its_status(faults, wire, body):
    fault = faults(wire, refused(503, body, ("Content-Type", "application/json")))
    with fails(OverloadedError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.status, len(fault.asked)) == (503, 3)
