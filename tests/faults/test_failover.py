"""Rows 91 to 99: what moves on to the next provider, and what stops."""

from __future__ import annotations

import pytest
from fault_checks import fails
from fault_wires import ALL, OPENAI, PLAIN, STREAMING, named, row
from test_refusals import NEVER_FITS, QUOTA, refused, says

from aichatkit.errors import (
    AllProvidersFailedError,
    AuthenticationError,
    BadRequestError,
    ConnectError,
    QuotaExceededError,
    ServerError,
    StreamInterruptedError,
)
from aichatkit.sandbox.raw import chunk
from aichatkit.timeouts import Timeout


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
    fault = faults(wire, refused(503, b"busy"), timeout=Timeout(total=0.2), tries={"base": 8.0, "random": lambda: 1.0})
    with pytest.raises(ServerError) as caught:
        fault.client.ask("Hi")
    assert (len(fault.asked), fault.slept) == (1, [])
    assert "deadline" in caught.value.gave_up
