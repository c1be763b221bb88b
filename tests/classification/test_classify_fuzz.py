"""Whatever a service sends, the answer is one of our errors with a sane delay."""

from __future__ import annotations

import json
import math

import pytest

from aichatkit.classification.classify import Rule, event_error, find_error, limit_notice, response_error
from aichatkit.classification.retry_after import parse_rate_limits, parse_retry_after
from aichatkit.classification.table import NOTICE_STARTS
from aichatkit.errors import ChatError, RateLimitError

hypothesis = pytest.importorskip("hypothesis")
pytestmark = pytest.mark.slow
st = pytest.importorskip("hypothesis.strategies")

BOUNDED = hypothesis.settings(
    derandomize=True,
    max_examples=250,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
WORDS = [
    "rate_limit_exceeded",
    "quota exceeded",
    "limit: 0",
    "Limit 5, Requested 9",
    "try again in 5s",
    "PerDay",
    "\ud800",
]
KEYS = ["error", "errors", "message", "detail", "details", "code", "type", "status", "param", "metadata", "violations"]
KEYS += ["retry_after", "retryDelay", "loc", "msg", "response", "raw", "object", "request_id", "innererror", "reasons"]
NAMES = ["Retry-After", "retry-after-ms", "Date", "x-ratelimit-reset", "x-ratelimit-remaining", "RateLimit", "location"]
NAMES += ["anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining", "content-type", "x-should-retry"]
VALUES = ["7", "-1", "0", "nan", "1_0", "9" * 30, "Fri, 29 Sep 2023 16:26:57 GMT", "Fri, 31 Dec 100000 23:59:59 GMT"]
VALUES += [
    "2026-10-01T12:00:30Z",
    "0001-01-01T00:00:00+23:59",
    "6m0s",
    "r=0;t=3",
    "text/html",
    "true",
    "false",
    "1790000000",
]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS)
scalars |= st.integers(min_value=400, max_value=599)
records = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
headers = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=20), max_size=6)
bodies = st.binary(max_size=200) | records.map(lambda record: json.dumps(record).encode())
bodies |= st.sampled_from([b"<html><title>", b"data: {", b"[" * 5000, b"{" * 5000])
rules = st.sampled_from([[], [Rule(None, "quota", RateLimitError)]])


def sane(seconds):
    return seconds is None or (math.isfinite(seconds) and seconds >= 0)


@BOUNDED
@hypothesis.given(st.integers(100, 599), headers, bodies, rules)
def test_any_refusal_is_one_of_our_errors_with_a_sane_delay(status, fields, body, own):
    error = response_error(status, fields, body, provider="acme", rules=own)
    str(error).encode("utf-8")
    assert isinstance(error, ChatError)
    assert sane(error.retry_after)


@BOUNDED
@hypothesis.given(records, rules)
def test_any_record_is_one_of_our_errors_with_a_sane_delay(record, own):
    find_error(record)
    error = event_error(record, provider="acme", rules=own)
    str(error).encode("utf-8")
    assert sane(error.retry_after)


@BOUNDED
@hypothesis.given(headers, records, st.text(max_size=60))
def test_any_delay_is_none_or_finite(fields, body, message):
    assert sane(parse_retry_after(fields, body, message))


@BOUNDED
@hypothesis.given(headers)
def test_any_limits_are_finite_and_not_negative(fields):
    numbers = [number for window in parse_rate_limits(fields).values() for number in window.values()]
    assert all(sane(number) for number in numbers)


@BOUNDED
@hypothesis.given(st.sampled_from(NOTICE_STARTS) | st.text(max_size=30), st.text(max_size=60), st.integers(0, 80))
def test_text_once_let_go_is_never_a_notice(opening, rest, cut):
    text = opening + rest
    if limit_notice(text[:cut], ended=False) is False:
        assert limit_notice(text, ended=True) is False
