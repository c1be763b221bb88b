"""Every form of a delay that services send, and every void one."""

from __future__ import annotations

import json

import pytest
from requests.structures import CaseInsensitiveDict

from aichatkit.classification.retry_after import parse_rate_limits, parse_retry_after

NOW = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT

VOID_NUMBERS = ["-5", "nan", "inf", "-inf", "1_0", "5, 10", "", " ", "junk", "1" * 20]
VOID_NUMBERS += ["\u0667", "1e3", "+7", "0x10", "7s"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 7.25 "}, 7.25),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "999999999"}, 999_999_999.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "9", "retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "9", "retry-after-ms": "0"}, 9.0),
        ({"Retry-After": "9", "retry-after-ms": "junk"}, 9.0),
        ({"Retry-After": "junk", "retry-after-ms": "0"}, 0.0),
        ({"llm_provider-retry-after": "11"}, 11.0),
        ({"Retry-After": "2", "llm_provider-retry-after": "11"}, 2.0),
        ({"Retry-After": "Mon, 21 Sep 2026 14:13:40 GMT"}, 20.0),
        ({"Retry-After": "Monday, 21-Sep-26 14:13:40 GMT"}, 20.0),
        ({"Retry-After": "Mon Sep 21 14:13:40 2026"}, 20.0),
        ({"Retry-After": "Xyz, 21 Sep 2026 14:13:40 GMT"}, 20.0),
        ({"Retry-After": "Fri, 29 Sep 2023 16:26:57 GMT", "Date": "Fri, 29 Sep 2023 16:26:37 GMT"}, 20.0),
        ({"Retry-After": "Sunday, 06-Nov-94 08:49:37 GMT", "Date": "Sun Nov  6 08:49:30 1994"}, 7.0),
    ],
)
def test_a_header_delay_is_read_in_every_form(headers, seconds):
    assert parse_retry_after(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        *VOID_NUMBERS,
        "Fri, 31 Dec 100000 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 21 Sep 2026 14:13:00 GMT",
        "Mon, 31 Feb 2027 14:13:00 GMT",
        "Mon, 21 Foo 2026 14:13:40 GMT",
        "Mon, 21 Sep 2026 99:13:40 GMT",
        "Mon, 21 Sep 2026",
        "on Mon, 21 Sep 2026 14:13:40 GMT",
        "Mon, 21 Sep 2026 14:13:40 GMT or so",
    ],
)
@pytest.mark.parametrize("name", ["Retry-After", "retry-after-ms", "llm_provider-retry-after"])
def test_a_void_header_counts_as_not_sent(name, value):
    assert parse_retry_after({name: value}, now=NOW) is None


def test_without_a_date_header_or_clock_the_local_clock_is_used():
    assert parse_retry_after({"Retry-After": "Fri, 29 Sep 2023 16:26:57 GMT"}) is None


@pytest.mark.parametrize("kind", [dict, CaseInsensitiveDict])
@pytest.mark.parametrize("name", ["retry-after", "Retry-After", "RETRY-AFTER"])
def test_header_names_match_whatever_their_case(kind, name):
    assert parse_retry_after(kind({name: "7"})) == 7.0


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "20.04466179s"}


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"details": [{"@type": "other"}, RETRY_INFO]}}, 20.04466179),
        ([{"error": {"details": [RETRY_INFO]}}], 20.04466179),
        ({"details": RETRY_INFO}, 20.04466179),
        ({"error": "Model x is loading", "estimated_time": 32.5}, 32.5),
        ({"error": {"metadata": {"retry_after_seconds": 12}}}, 12.0),
        ({"error": {"retry_after": 3}}, 3.0),
        ({"retry_after": 0}, 0.0),
    ],
)
def test_a_delay_in_the_body_is_read(body, seconds):
    assert parse_retry_after({}, body) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [True, None, "soon", -1, float("nan"), float("inf"), 10**400, 1e9, [], {}])
def test_a_void_delay_in_the_body_counts_as_not_sent(value):
    assert parse_retry_after({}, {"error": {"retry_after": value, "details": [{"retryDelay": value}]}}) is None


@pytest.mark.parametrize("delay", ["-5s", "53", "s", "nan", "1_0s", "99999999999s", "\u0667s", "999999999d", "5x"])
def test_a_void_retry_info_counts_as_not_sent(delay):
    assert parse_retry_after({}, {"error": {"details": [{"retryDelay": delay}]}}) is None


@pytest.mark.parametrize("body", [None, [], [[]], ["x"], "text", 7, {"error": "x"}, {"error": {"details": [1, None]}}])
def test_a_body_of_any_shape_is_no_hint_and_no_exception(body):
    assert parse_retry_after({}, body) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (
            {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2026-09-21T14:13:30Z"},
            10.0,
        ),
        (
            {
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "2026-09-21T14:13:30Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-09-21T16:14:20+02:00",
                "anthropic-ratelimit-requests-remaining": "9",
                "anthropic-ratelimit-requests-reset": "2026-09-21T15:00:00Z",
            },
            60.0,
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1790000030"}, 31.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1790000030500"}, 31.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "60"}, 60.0),
        ({"llm_provider-x-ratelimit-remaining-tokens": "0", "llm_provider-x-ratelimit-reset-tokens": "60"}, 60.0),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "5"}, 5.0),
        ({"RateLimit": '"default;r=9";r=0;t=30'}, 30.0),
        ({"RateLimit": '"a";r=0;t=30, "b";r=0;t=40, "c";r=1;t=50'}, 40.0),
        ({"RateLimit": '"a";r=0;t=30', "Retry-After": "2"}, 2.0),
    ],
)
def test_the_latest_reset_of_a_used_up_window_is_a_hint(headers, seconds):
    assert parse_retry_after(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "60"},
        {"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"},
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "0"},
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "-1"},
        {"x-ratelimit-remaining-tokens": "0"},
        {"x-ratelimit-reset-tokens": "60"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1690000000"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "at 1790000030"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "at 2026-09-21T14:13:30Z"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-99-21T14:13:30Z"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0001-01-01T00:00:00+23:59"},
        {"RateLimit": '"a";r=1;t=30'},
        {"RateLimit": '"a";r=0'},
        {"RateLimit": '"a";t=3'},
        {"RateLimit": "junk"},
    ],
)
def test_a_window_with_something_left_or_without_a_sane_reset_is_no_hint(headers):
    assert parse_retry_after(headers, now=NOW) is None


def test_a_duration_to_the_full_refill_is_no_hint():
    assert parse_retry_after({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}) is None


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit reached. Please try again in 5.289s. Visit x", 5.289),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 20ms.", 0.02),
        ("Please retry in 53.2s.", 53.2),
        ("Please retry after 60 seconds.", 60.0),
        ("quota will reset after 4h28m20s", 16100.0),
        ("Try again in ~4293 min", 257_580.0),
        ("wait 1 minute, 5 seconds", 65.0),
        ("TRY AGAIN IN 2 HOURS", 7200.0),
        ("Try again in 2 days", 172_800.0),
    ],
)
def test_words_are_the_last_resort(message, seconds):
    assert parse_retry_after({}, message=message) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "It took 5s.",
        "try again later",
        "try again in 5",
        "try again in 5 sheep",
        "try again in -5s",
        "try again in 5\u017f",
        "try again in \u0667 s",
        "try again in 99999999999s",
        "try again in 999999999 days",
        "x" * 3000 + " try again in 5s",
    ],
)
def test_words_without_a_delay_are_no_hint(message):
    assert parse_retry_after({}, message=message) is None


def test_headers_come_before_the_body_and_the_body_before_words():
    body, message = {"retry_after": 2}, "try again in 3s"
    assert [parse_retry_after({"retry-after": "1"}, body, message), parse_retry_after({}, body, message)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, {}),
        (
            {
                "X-RateLimit-Limit-Requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "150000",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-tokens": "2m59.56s",
            },
            {
                "requests": {"limit": 60, "remaining": 59, "reset": 1.0},
                "tokens": {"limit": 150000, "remaining": 149984, "reset": 179.56},
            },
        ),
        (
            {"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"},
            {},
        ),
        ({"x-ratelimit-reset-tokens": "17ms"}, {"tokens": {"reset": 0.017}}),
        (
            {
                "anthropic-ratelimit-input-tokens-limit": "50",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:13:30Z",
            },
            {"input_tokens": {"limit": 50, "remaining": 0, "reset": 10.0}},
        ),
        (
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "1790000030000"},
            {"requests": {"limit": 20, "remaining": 1, "reset": 31.0}},
        ),
        (
            {"ratelimit-limit": "9", "llm_provider-ratelimit-limit": "5", "ratelimit-policy": '"x"'},
            {"requests": {"limit": 9}},
        ),
        ({"x-ratelimit-limit-requests": "\u0667", "x-ratelimit-reset-requests": "about 6m0s"}, {}),
    ],
)
def test_limits_of_every_service_come_in_one_vocabulary(headers, limits):
    assert parse_rate_limits(headers, now=NOW) == {subject: pytest.approx(values) for subject, values in limits.items()}


def test_limits_are_plain_json():
    limits = parse_rate_limits({"x-ratelimit-limit": "20", "x-ratelimit-reset": "1s"})
    assert json.loads(json.dumps(limits)) == limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 1 minute and 30 seconds.", 90),
        ("try again in 1 minute, and 30 seconds", 90),
        ("retry after 1 hour, 2 minutes and 3 seconds", 3723),
        ("wait 2 min & 5 s", 125),
        ("resets in 1h and 1m", 3660),
        ("Try again in 5 seconds and read the docs of 7 days.", 5),
    ],
)
def test_parts_of_a_duration_can_be_joined_by_words(text, seconds):
    assert parse_retry_after({}, message=text) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), (" 7.5 ", 7.5), ("7s", 7), ("1m30s", 90), (7, 7), ("", None), ("x", None), ("-7", None), ([7], None)],
)
@pytest.mark.parametrize("key", ["retry_after", "retry_after_seconds", "retryAfter", "resets_in_seconds"])
def test_seconds_in_the_body_can_be_text(key, value, seconds):
    assert parse_retry_after({}, {key: value}) == seconds
    assert parse_retry_after({}, {"error": {key: value, "message": "slow down"}}) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1790000030500"}, 31),
        ({"X-RateLimit-Remaining": 0, "X-RateLimit-Reset": 1790000030500}, 31),
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1790000030500"}, None),
        ({"Retry-After": "9", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1790000030500"}, 9),
        ({}, None),
        ("text", None),
    ],
)
@pytest.mark.parametrize("place", ["error", "metadata"])
def test_headers_in_the_body_are_read(headers, seconds, place):
    body = {"error": {"metadata": {"headers": headers}} if place == "metadata" else {"headers": headers}}
    assert parse_retry_after({}, body, now=1790000000.0) == seconds
    assert parse_retry_after({"Retry-After": "3"}, body, now=1790000000.0) == 3
