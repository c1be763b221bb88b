"""Rows 1 to 16: what goes wrong before an answer's head is there."""

from __future__ import annotations

import socket
import ssl
import threading

import pytest
import requests
import responses
from fault_checks import check_safe, fails
from fault_wires import ALL, DONE, KEY, OPENAI, OVER_TLS, PLAIN, STOP, row

from aichatkit import Client, RetryPolicy
from aichatkit.errors import BadResponseError, ConnectError, DeadlineExceededError, TimedOutError
from aichatkit.sandbox.raw import RawServer, chunk
from aichatkit.transport.timeouts import Timeout

pytestmark = pytest.mark.slow

FAKE = "https://openai.example/v1"
PROMPTS = f"{FAKE}/chat/completions"


@pytest.fixture
def doubled():
    slept: list[float] = []
    policy = RetryPolicy(sleep=slept.append, random=lambda: 0.5)
    urls = {"openai": FAKE, "aichatfree": "https://free.example"}
    with (
        responses.RequestsMock() as mock,
        Client(model="openai", api_key={"openai": KEY}, base_url=urls, retry=policy) as client,
    ):
        yield mock, client, slept


def answered(mock, wire=OPENAI, url=PROMPTS):
    mock.post(url, body=wire.body("Hello"), content_type=wire.content_type)


@row("1", *ALL)
def test_an_answer_without_a_fault_is_asked_for_once(faults, wire):
    fault = faults(wire, wire.whole("Hel", "lo"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked), fault.slept) == ("Hello", 1, [])
    assert reply.complete is (True if wire.end else None)
    assert [attempt.error for attempt in reply.attempts] == [None]


@row("1-doubled")
def test_an_answer_of_a_double_is_the_same(doubled, wire):
    mock, client, _ = doubled
    answered(mock)
    assert client.ask("Hi").text == "Hello"
    assert len(mock.calls) == 1


@row("2", *ALL)
def test_a_refused_port_is_tried_three_times_and_nothing_was_sent(faults, wire):
    # Nobody listens at a port that is only held, and nobody else gets it meanwhile.
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        fault = faults(wire, base_url={wire.provider: f"http://127.0.0.1:{held.getsockname()[1]}{wire.base}"})
        with fails(ConnectError) as caught:
            fault.client.ask("Hi")
    assert (caught.value.maybe_processed, len(caught.value.attempts)) == (False, 3)
    assert [0 < wait <= 8 for wait in fault.slept] == [True, True]


@row("3")
def test_a_connect_timeout_is_tried_again(doubled, wire):
    mock, client, slept = doubled
    mock.post(PROMPTS, body=requests.ConnectTimeout("too slow"))
    answered(mock)
    reply = client.ask("Hi")
    assert (reply.text, len(mock.calls), len(slept)) == ("Hello", 2, 1)
    error = reply.attempts[0].error
    assert (type(error), error.phase, error.maybe_processed) == (TimedOutError, "connect", False)


@row("4", *ALL)
def test_a_name_that_does_not_resolve_is_told_by_name(faults, wire):
    fault = faults(wire, base_url={wire.provider: f"http://chat.invalid{wire.base}"})
    with fails(ConnectError) as caught:
        fault.client.ask("Hi")
    assert "chat.invalid" in str(caught.value)
    assert not caught.value.maybe_processed


@row("5")
def test_a_tls_failure_is_not_tried_again_here(doubled, wire):
    mock, client, slept = doubled
    mock.post(PROMPTS, body=requests.exceptions.SSLError("bad record"))
    answered(mock, PLAIN, "https://free.example/api/generate")
    reply = client.ask("Hi", model=["openai", "aichatfree"])
    assert (reply.provider, len(mock.calls), slept) == ("aichatfree", 2, [])
    assert type(reply.attempts[0].error) is ConnectError


@row("6", *ALL)
def test_the_certificate_of_another_host_is_refused_before_anything_is_sent(faults, authority, wire):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("other.example").configure_cert(context)
    with RawServer(wire.whole("never"), tls=context) as server:
        fault = faults(wire, base_url={wire.provider: server.url + wire.base}, verify=str(authority[1]))
        with fails(ConnectError) as caught:
            fault.client.ask("Hi")
        assert (server.requests, server.connections) == ([], 1)
    assert (caught.value.action, caught.value.maybe_processed, fault.slept) == ("next", False, [])


@row("7", *ALL)
def test_a_server_that_closes_after_the_request_is_asked_once_more(faults, wire):
    fault = faults(wire, ["close"], wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked)) == ("Hello", 2)
    assert reply.attempts[0].error.maybe_processed


@row("8", *ALL)
def test_a_reset_before_the_head_is_asked_once_more(faults, wire):
    fault = faults(wire, ["reset"], wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, len(fault.asked)) == ("Hello", 2)
    assert reply.attempts[0].error.maybe_processed


@row("8-doubled")
def test_a_reset_of_a_double_is_asked_once_more(doubled, wire):
    mock, client, _ = doubled
    mock.post(PROMPTS, body=requests.ConnectionError(ConnectionResetError(104, "reset")))
    answered(mock)
    reply = client.ask("Hi")
    assert (reply.text, len(mock.calls), reply.attempts[0].error.maybe_processed) == ("Hello", 2, True)


@row("9", *ALL)
def test_a_head_that_does_not_come_is_asked_for_once_more(faults, wire):
    fault = faults(wire, ["wait-close"], wire.whole("Hello"), timeout=(5, 0.5))
    reply = fault.client.ask("Hi")
    error = reply.attempts[0].error
    assert (reply.text, len(fault.asked)) == ("Hello", 2)
    assert (type(error), error.phase, error.maybe_processed) == (TimedOutError, "head", True)


@row("9-doubled")
def test_a_head_of_a_double_that_does_not_come_is_asked_for_once_more(doubled, wire):
    mock, client, _ = doubled
    mock.post(PROMPTS, body=requests.ReadTimeout("silent"))
    answered(mock)
    assert (client.ask("Hi").text, len(mock.calls)) == ("Hello", 2)


@row("10")
@pytest.mark.parametrize(("repeats", "asked"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_what_may_have_been_processed_is_repeated_only_as_often_as_allowed(doubled, wire, repeats, asked):
    mock, client, slept = doubled
    mock.post(PROMPTS, body=requests.ReadTimeout("silent"))
    with fails(TimedOutError) as caught:
        client.ask("Hi", retry=RetryPolicy(ambiguous=repeats, sleep=slept.append))
    assert (len(mock.calls), len(slept)) == (asked, asked - 1)
    assert caught.value.maybe_processed
    assert caught.value.gave_up


@row("11", OPENAI, PLAIN)
def test_a_head_that_drips_outlives_the_read_timeout_and_ends_at_the_deadline(faults, wire):
    head = b"HTTP/1.1 200 OK\r\nX: yz\r\n\r\n"
    drip = [step for place in range(len(head)) for step in (head[place : place + 1], 0.04)]
    fault = faults(wire, [*drip, "close"], timeout=Timeout(connect=5, read=0.8, total=0.9))
    # 26 bytes in 1.04 s: each within the silence allowed, together past the total.
    with fails(DeadlineExceededError):
        fault.client.ask("Hi")
    assert len(fault.asked) == 1


@row("12", *ALL)
def test_a_head_cut_in_the_middle_is_no_answer(faults, wire):
    fault = faults(wire, [b"HTTP/1.1 200 OK\r\nContent-Type: te", "close"], wire.whole("Hello"))
    assert (fault.client.ask("Hi").text, len(fault.asked)) == ("Hello", 2)


@row("13")
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", id="row13-garbage"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", id="row14-101-headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", id="row14-70KB-header"),
    ],
)
def test_what_is_not_http_goes_to_the_next_provider(pair, wire, head):
    one, two, client = pair([[head, "close"]])
    reply = client.ask("Hi")
    assert (reply.provider, len(one.asked), len(two.asked), one.slept) == ("aichatfree", 1, 1, [])
    error = reply.attempts[0].error
    assert (type(error), error.action) == (BadResponseError, "next")
    check_safe(error)


@row("15", *ALL)
def test_an_idle_connection_the_server_closed_is_not_used_again(faults, wire):
    fault = faults(wire, [*wire.whole("Hello"), "close"], wire.whole("again"))
    assert fault.client.ask("Hi").text == "Hello"
    assert fault.server.wait_closed()
    reply = fault.client.ask("Hi")
    assert (reply.text, len(reply.attempts), len(fault.asked)) == ("again", 1, 2)
    assert fault.server.connections == 2


@row("16", *ALL)
def test_a_connection_closed_at_the_moment_of_reuse_is_replaced_once(faults, wire):
    fault = faults(wire, wire.whole("Hello"), ["close"], wire.whole("again"))
    assert fault.client.ask("Hi").text == "Hello"
    reply = fault.client.ask("Hi")
    assert (reply.text, len(reply.attempts), len(fault.asked)) == ("again", 2, 3)
    assert fault.asked[0].connection == fault.asked[1].connection != fault.asked[2].connection
    # At once: what was kept says nothing about the service.
    assert reply.attempts[0].wait == 0.0
    assert reply.attempts[0].error.stale


@row("16-new")
def test_a_new_connection_that_breaks_is_not_asked_again_at_once(faults, wire):
    fault = faults(wire, ["close"], wire.whole("Hello"))
    reply = fault.client.ask("Hi")
    assert (reply.text, reply.attempts[0].error.stale) == ("Hello", False)
    assert reply.attempts[0].wait > 0.0


def test_after_a_stale_connection_no_other_kept_one_is_tried(faults):
    waits = threading.Event()
    slow = [*OPENAI.begun("Hello"), waits, chunk(STOP + DONE) + chunk(b"")]
    fault = faults(OPENAI, slow, OPENAI.whole("Hello"), ["close"], OPENAI.whole("Hello"))
    client = fault.client
    with client.stream("Hi") as first:
        client.ask("Hi")
        waits.set()
        first.read()
    # Two connections are kept now; one of them breaks, and the other is as old.
    client.ask("Hi")
    connections = [request.connection for request in fault.asked]
    assert len(set(connections)) == 3
    assert connections[3] not in connections[:3]


@pytest.mark.skipif(not OVER_TLS, reason="only where the servers speak TLS")
def test_the_matrix_runs_over_tls_when_asked_to(faults):
    fault = faults(OPENAI, OPENAI.whole("Hello"))
    assert fault.url.startswith("https://")
    assert fault.client.ask("Hi").text == "Hello"
