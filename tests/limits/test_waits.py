from __future__ import annotations

import logging
import threading

import pytest

from aichatkit import Client
from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    EmptyAnswerError,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    StreamStalledError,
    TimedOutError,
)
from aichatkit.limits.cooldowns import CooldownKey
from aichatkit.limits.waits import Pauses, Sleeper, Wait
from aichatkit.sandbox.raw import RawServer, response
from aichatkit.transport.timeouts import Deadline


def waiting(slept, *, total=None, hook=None):
    return Sleeper(Deadline(total, lambda: 0.0), threading.Event(), hook, slept.append)


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (Wait("openai", "m", 12.04), "pacing openai, waiting 12.0 s"),
        (Wait("openai", "m", 0.0), "pacing openai, waiting for a free place"),
        (Wait("openai", "m", 12.0, RateLimitError("slow")), "rate limited by openai, waiting 12.0 s"),
        (Wait("openai", "m", 0.0, RateLimitError("slow")), "rate limited by openai, retrying at once"),
        (Wait("openai", "m", 0.04, RateLimitError("slow")), "rate limited by openai, retrying at once"),
        (Wait("openai", "m", 0.05, RateLimitError("slow")), "rate limited by openai, waiting 0.1 s"),
        (Wait("openai", "m", 1.5, OverloadedError("busy")), "openai is overloaded, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, ConnectError("gone")), "no connection to openai, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, TimedOutError("slow")), "no answer from openai in time, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, StreamStalledError("slow")), "the answer from openai was cut off, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, StreamInterruptedError("cut")), "the answer from openai was cut off, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, EmptyAnswerError("none")), "an empty answer from openai, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, BadResponseError("odd")), "an unreadable answer from openai, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, ServerError("500")), "a server error from openai, waiting 1.5 s"),
        (Wait("openai", "m", 1.5, ChatError("other")), "an error from openai, waiting 1.5 s"),
    ],
)
def test_a_wait_shows_its_provider_reason_and_length(wait, text):
    assert str(wait) == text


def test_a_wait_is_logged_handed_to_the_hook_and_slept(slept, caplog):
    caplog.set_level(logging.INFO, "aichatkit")
    seen, wait = [], Wait("openai", "m", 2.0)
    waiting(slept, hook=seen.append).wait(wait)
    assert (seen, slept, caplog.messages) == ([wait], [2.0], [str(wait)])


def test_a_wait_without_a_hook_is_slept(slept):
    waiting(slept).wait(Wait("openai", "m", 2.0))
    assert slept == [2.0]


def test_a_hook_that_fails_is_logged_and_the_wait_goes_on(slept, caplog):
    def hook(wait):
        raise LookupError("in the hook")

    waiting(slept, hook=hook).wait(Wait("openai", "m", 2.0))
    assert slept == [2.0]
    assert "in the hook" in caplog.text


def test_a_hook_may_end_the_call_by_what_is_no_ordinary_error(slept):
    def hook(wait):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        waiting(slept, hook=hook).wait(Wait("openai", "m", 2.0))
    assert slept == []


@pytest.mark.parametrize("seconds", [5.0, 6.0])
def test_a_wait_that_would_reach_the_deadline_is_neither_announced_nor_begun(slept, seconds):
    seen = []
    with pytest.raises(DeadlineExceededError, match="total timeout of 5 s") as caught:
        waiting(slept, total=5.0, hook=seen.append).wait(Wait("openai", "m", seconds))
    error = caught.value
    assert (seen, slept) == ([], [])
    assert (error.provider, error.model, error.retry_after) == ("openai", "m", seconds)


def test_a_wait_that_ends_before_the_deadline_is_slept(slept):
    waiting(slept, total=5.0).wait(Wait("openai", "m", 4.9))
    assert slept == [4.9]


def test_after_a_wait_a_closed_client_goes_no_further(slept):
    closing = threading.Event()
    closing.set()
    with pytest.raises(ConfigurationError, match="closed"):
        Sleeper(Deadline(), closing, sleep_function=slept.append).wait(Wait("openai", "m", 1.0))


def test_closing_ends_a_real_sleep_at_once():
    closing = threading.Event()
    seen = []

    def hook(wait):
        seen.append(wait)
        closing.set()

    with pytest.raises(ConfigurationError, match="closed"):
        Sleeper(Deadline(), closing, hook).wait(Wait("openai", "m", 3600.0))
    assert len(seen) == 1


def test_a_limit_is_told_to_the_hook_the_log_and_the_attempts(policy, slept, caplog):
    caplog.set_level(logging.INFO, "aichatkit")
    limited = [response(b"", status="429 No", headers=[("Retry-After", "12")])]
    whole = [response(b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\ndata: [DONE]\n\n')]
    seen = []
    with RawServer(limited, whole) as server:
        url = f"{server.url}/v1"
        hooks = {"wait": seen.append}
        with Client(model="openai/m", api_key="sk-wait-1", base_url=url, retry=policy, hooks=hooks) as client:
            reply = client.ask("Hi")
    assert slept == [13.0]
    assert [(wait.provider, wait.model, wait.seconds, type(wait.error), wait.attempt) for wait in seen] == [
        ("openai", "m", 13.0, RateLimitError, 1)
    ]
    assert [attempt.wait for attempt in reply.attempts] == [13.0, 0.0]
    assert "rate limited by openai, waiting 13.0 s" in caplog.messages


def test_past_pauses_are_forgotten_when_there_are_many():
    now = [0.0]
    pauses = Pauses(lambda: now[0])
    last = CooldownKey.of("openai", None, "last")
    pauses.note(last, 5000.0)
    for number in range(3000):
        now[0] += 1.0
        pauses.note(CooldownKey.of("openai", None, f"m{number}"), 10.0)
    assert len(pauses._ends) <= 1000
    assert pauses.until(last) == 5000.0


def test_a_later_end_of_a_pause_stays():
    pauses = Pauses(lambda: 100.0)
    key = CooldownKey.of("openai", None, "m")
    pauses.note(key, 60.0)
    pauses.note(key, 1.0)
    assert (pauses.until(key), pauses.longest()) == (160.0, 60.0)
    pauses.note(key, 90.0)
    assert pauses.until(key) == 190.0
