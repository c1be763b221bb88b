"""Rows 91 to 99: what moves on to the next provider, and what stops."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from fault_checks import check_safe, fails
from fault_wires import ALL, OPENAI, PLAIN, STREAMING, named, row
from test_refusals import NEVER_FITS, QUOTA, refused, says

from aichatkit import RetryPolicy
from aichatkit.errors import (
    AllProvidersFailedError,
    AuthenticationError,
    BadRequestError,
    ChatError,
    ConnectError,
    OverloadedError,
    QuotaExceededError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.sandbox.raw import chunk
from aichatkit.transport.timeouts import Timeout


@row("91")
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(refused(401, says("bad key")), id="key"),
        pytest.param(refused(403, says("not allowed")), id="permission"),
        pytest.param(refused(404, says("no model", code="model_not_found")), id="model"),
        pytest.param(refused(429, QUOTA), id="quota"),
        pytest.param(refused(429, NEVER_FITS), id="context"),
        pytest.param(refused(429, b"", ("Retry-After", "3600")), id="hint-too-long"),
        pytest.param(refused(301, b"", ("Location", "/")), id="redirect"),
        pytest.param([OPENAI.fixed(b"data: {broken\n\n")], id="unreadable"),
    ],
)
def test_the_next_provider_answers_after_one_request(pair, wire, script):
    one, two, client = pair([script])
    reply = client.ask("Hi")
    assert (reply.text, reply.provider, one.slept) == ("second", "aichatfree", [])
    assert (len(one.asked), len(two.asked)) == (1, 1)
    assert [attempt.provider for attempt in reply.attempts] == ["openai", "aichatfree"]


@row("91-passing")
@pytest.mark.parametrize(
    ("script", "asked"),
    [
        pytest.param(refused(500, b"no"), 3, id="server"),
        pytest.param(refused(429, b""), 3, id="limit"),
        pytest.param([OPENAI.fixed(b"data: [DONE]\n\n")], 3, id="empty"),
        pytest.param(["close"], 2, id="maybe-processed"),
        pytest.param(refused(502, b"gateway"), 2, id="gateway"),
    ],
)
def test_the_next_provider_answers_once_the_tries_are_used_up(pair, wire, script, asked):
    one, two, client = pair([script])
    reply = client.ask("Hi")
    assert (reply.text, len(one.asked), len(two.asked), len(one.slept)) == ("second", asked, 1, asked - 1)
    assert [attempt.provider for attempt in reply.attempts] == ["openai"] * asked + ["aichatfree"]


@row("93")
def test_a_bad_request_is_not_taken_to_the_next_provider(pair, wire):
    one, two, client = pair([refused(400, says("no such parameter", param="x"))])
    with fails(BadRequestError):
        client.ask("Hi")
    assert (len(one.asked), two.server.requests) == (1, [])


@row("94")
@pytest.mark.parametrize("ending", [["close"], ["reset"], [chunk(b"")], [chunk(b"data: {broken\n\n")]])
def test_after_text_nothing_moves_on(pair, wire, ending):
    one, two, client = pair([[*wire.begun("Hel", "lo"), 0.01, *ending]])
    with pytest.raises(Exception, match="openai") as caught:
        client.ask("Hi")
    assert (caught.value.partial, caught.value.action) == ("Hello", "stop")
    assert (len(one.asked), two.server.requests, one.slept) == (1, [], [])


@row("94-stream", *[wire for wire in STREAMING if wire is not PLAIN])
def test_a_cut_after_text_is_not_taken_to_the_next_provider(faults, wire):
    two = faults(PLAIN, PLAIN.whole("second"))
    one = faults(wire, [*wire.begun("Hello"), "close"])
    urls = {wire.provider: one.url, "aichatfree": two.url}
    both = faults(wire, model=[wire.provider, "aichatfree"], base_url=urls)
    with fails(StreamInterruptedError):
        both.client.ask("Hi")
    assert (len(one.asked), two.server.requests) == (1, [])


@row("95")
def test_when_all_fail_each_cause_is_told_in_order(pair, wire):
    _, _, client = pair([refused(401, says("bad key"))], [refused(500, b"broken")])
    with fails(AllProvidersFailedError) as caught:
        client.ask("Hi")
    error = caught.value
    assert [type(each) for each in error.errors] == [AuthenticationError, ServerError]
    assert [each.provider for each in error.errors] == ["openai", "aichatfree"]
    assert [attempt.provider for attempt in error.attempts] == ["openai"] + ["aichatfree"] * 3
    assert "openai" in str(error)
    assert "aichatfree" in str(error)


@row("95-soonest")
def test_when_all_are_limited_the_soonest_hint_is_told(pair, wire):
    _, _, client = pair([refused(429, b"", ("Retry-After", "900"))], [refused(429, b"", ("Retry-After", "300"))])
    with fails(AllProvidersFailedError) as caught:
        client.ask("Hi")
    assert caught.value.retry_after == 300


@row("95-alone", *ALL)
def test_a_lone_provider_fails_with_its_own_error(faults, wire):
    fault = faults(wire, refused(402, b""))
    with fails(QuotaExceededError):
        fault.client.ask("Hi")


@row("95-unsent")
def test_a_provider_that_is_down_is_passed_over(pair, wire):
    one, two, client = pair([])
    one.server.close()
    reply = client.ask("Hi")
    assert (reply.text, [type(attempt.error) for attempt in reply.attempts[:3]]) == ("second", [ConnectError] * 3)
    assert len(two.asked) == 1


@row("99", OPENAI, *named("aichatfree"))
def test_a_wait_past_the_deadline_is_not_begun(faults, wire):
    fault = faults(wire, refused(503, b"busy"), timeout=Timeout(total=5), tries={"base": 8.0, "random": lambda: 1.0})
    with pytest.raises(ServerError) as caught:
        fault.client.ask("Hi")
    assert (len(fault.asked), fault.slept) == (1, [])
    assert "deadline" in caught.value.gave_up


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def policy(self, **options: Any) -> RetryPolicy:
        return RetryPolicy(clock=self, sleep=self.sleep, random=lambda: 0.5, **options)


@row("92")
@pytest.mark.parametrize(
    ("script", "asked"), [(refused(429, QUOTA), 1), (refused(401, b""), 1), (refused(503, b""), 3)]
)
def test_the_second_call_passes_over_what_is_cooling(pair, wire, script, asked):
    clock = Clock()
    one, two, client = pair([script], retry=clock.policy())
    assert client.ask("Hi").provider == "aichatfree"
    assert client.ask("Hi").provider == "aichatfree"
    assert (len(one.asked), len(two.asked)) == (asked, 2)
    clock.now += 3601
    assert client.ask("Hi").provider == "aichatfree"
    assert len(one.asked) == 2 * asked


@row("92-alone", *ALL)
def test_a_lone_provider_is_never_passed_over(faults, wire):
    fault = faults(wire, refused(402, b""), wire.whole("Hello"))
    with fails(QuotaExceededError):
        fault.client.ask("Hi")
    assert fault.client.ask("Hi").text == "Hello"


@row("96")
def test_when_all_are_cooling_the_first_to_be_free_is_waited_for(pair, wire):
    clock = Clock()
    limited = [refused(429, b"", ("Retry-After", str(seconds))) for seconds in (50, 40)]
    one, two, client = pair([limited[0]], [limited[1], PLAIN.whole("second")], retry=clock.policy(attempts=1))
    with fails(AllProvidersFailedError):
        client.ask("Hi")
    assert clock.slept == []
    assert client.ask("Hi").text == "second"
    assert clock.slept == [40]
    assert (len(one.asked), len(two.asked)) == (1, 2)


@row("96-deadline")
def test_when_all_are_cooling_past_the_deadline_the_call_fails_at_once(pair, wire):
    clock = Clock()
    limited = [refused(429, b"", ("Retry-After", str(seconds))) for seconds in (50, 40)]
    one, two, client = pair([limited[0]], [limited[1]], retry=clock.policy(attempts=1))
    with fails(AllProvidersFailedError):
        client.ask("Hi")
    with pytest.raises(ChatError) as caught:
        client.ask("Hi", timeout=Timeout(total=20))
    check_safe(caught.value)
    assert (caught.value.retry_after, clock.slept) == (40, [])
    assert (len(one.asked), len(two.asked)) == (1, 1)


@row("97")
def test_after_a_cooldown_one_of_many_threads_probes(pair, wire):
    clock, gate, probing = Clock(), threading.Event(), threading.Event()

    def answered(request):
        probing.set()
        return [gate, *wire.whole("first")]

    one, two, client = pair([refused(503, b""), answered], retry=clock.policy(attempts=1))
    assert client.ask("Hi").provider == "aichatfree"
    clock.now += 11
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(client.ask("Hi").provider)) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert probing.wait(5)
    for _ in range(2000):
        if len(answers) == 19:
            break
        time.sleep(0.005)
    gate.set()
    for thread in threads:
        thread.join(5)
    assert sorted(answers) == ["aichatfree"] * 19 + ["openai"]
    assert (len(one.asked), len(two.asked)) == (2, 20)


@row("98", *ALL)
def test_a_small_budget_keeps_failing_calls_from_becoming_many_requests(faults, wire):
    fault = faults(wire, refused(500, b"no"), tries={"budget": 25})
    for _ in range(4):
        with fails(ServerError) as caught:
            fault.client.ask("Hi")
    assert len(fault.asked) == 6
    assert "budget" in caught.value.gave_up


@row("99-budget")
def test_a_veto_by_the_deadline_spends_nothing_of_the_budget(faults, wire):
    fault = faults(wire, refused(503, b"busy"), tries={"budget": 10, "base": 8.0, "random": lambda: 1.0})
    for _ in range(3):
        with fails(OverloadedError) as caught:
            fault.client.ask("Hi", timeout=Timeout(total=2))
        assert "deadline" in caught.value.gave_up
    with fails(OverloadedError):
        fault.client.ask("Hi")
    # One retry was left to be paid for: the last call's.
    assert len(fault.asked) == 3 + 2
