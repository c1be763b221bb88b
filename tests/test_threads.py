from __future__ import annotations

import json
import sys
import threading
import time

import pytest
from background import in_thread
from echo_service import echo, services

from aichatkit import Rate, RetryPolicy
from aichatkit.errors import ChatError, ConfigurationError, ServerError, StreamInterruptedError
from aichatkit.sandbox.raw import chunk, chunked_head, response

#: A tracer makes every call several times slower; fewer of them will do then.
CALLS = 100 if sys.gettrace() is None else 25
OPEN = [chunked_head(), chunk(b'data: {"choices": [{"delta": {"content": "Hello"}}]}\n\n'), "wait-close"]


@pytest.fixture
def service():
    with services(api_key="sk-thread-1") as make:
        yield make


@pytest.mark.slow
def test_100_answers_for_each_of_64_threads_are_not_mixed_up_and_leak_no_connection(service):
    server, client = service(echo)
    gate = threading.Barrier(64)

    def ask(thread):
        gate.wait(10)
        prompts = [f"thread {thread}, call {call}" for call in range(CALLS)]
        return [prompt for prompt in prompts if client.ask(prompt).text != f"re: {prompt}"]

    results = [in_thread(lambda thread=thread: ask(thread)) for thread in range(64)]
    assert [wrong for result in results for wrong in result()] == []
    assert len(server.requests) == 64 * CALLS
    assert server.connections <= 64
    client.close()
    assert server.wait_closed()


def test_streams_that_many_threads_read_at_once_are_not_mixed_up(service):
    _, client = service(echo)
    gate = threading.Barrier(32)

    def read(number):
        with client.stream(f"prompt {number}") as stream:
            first = next(stream)
            # Every stream is open now.
            gate.wait(10)
            return first + "".join(stream)

    results = [in_thread(lambda number=number: read(number)) for number in range(32)]
    assert [result() for result in results] == [f"re: prompt {number}" for number in range(32)]


def test_threads_with_several_providers_keep_their_stories_apart(service):
    """Each reply tells its own attempts and no one else's."""

    def moody(request):
        prompt = json.loads(request.body)["messages"][-1]["content"]
        seen.append(prompt)
        if seen.count(prompt) <= int(prompt):
            return [response(b"no", status="500 No")]
        return echo(request)

    seen = []
    policy = RetryPolicy(attempts=4, sleep=lambda seconds: None)
    _, client = service(moody, retry=policy)
    results = [in_thread(lambda number=number: client.ask(str(number % 3))) for number in (0, 1, 2)]
    assert [len(result().attempts) for result in results] == [1, 2, 3]


def test_threads_share_the_places_of_a_rate(service):
    busy, most = [], []
    lock = threading.Lock()

    def script(request):
        with lock:
            busy.append(request)
            most.append(len(busy))
        yield 0.01
        with lock:
            busy.remove(request)
        yield from echo(request)

    _, client = service(script, rate=Rate(concurrent=3))
    results = [in_thread(lambda number=number: client.ask(f"{number}").text) for number in range(12)]
    assert [result() for result in results] == [f"re: {number}" for number in range(12)]
    assert max(most) <= 3


def test_threads_share_the_requests_of_a_rate(service):
    slept = []
    _, client = service(echo, rate="5/hour", retry=RetryPolicy(sleep=slept.append, clock=lambda: 3600.0 * len(slept)))
    results = [in_thread(lambda: client.ask("Hi").text) for _ in range(10)]
    assert {result() for result in results} == {"re: Hi"}
    assert slept


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_a_blocked_read_is_ended_from_another_thread_at_once(service, how):
    server, client = service(OPEN)
    reading = threading.Event()
    stream = client.stream("Hi")

    def read():
        for _ in stream:
            reading.set()

    result = in_thread(read)
    assert reading.wait(5)
    started = time.monotonic()
    (stream.cancel if how == "cancel" else client.close)()
    error = result()
    assert time.monotonic() - started < 4
    assert (type(error), error.partial) == (StreamInterruptedError, "Hello")
    assert server.wait_closed()


def test_a_wait_for_the_head_is_ended_by_closing_the_client(service):
    asked = threading.Event()
    server, client = service(lambda request: [asked.set(), "wait-close"][1:])
    result = in_thread(lambda: client.ask("Hi"))
    assert asked.wait(5)
    started = time.monotonic()
    client.close()
    assert isinstance(result(), ChatError)
    assert time.monotonic() - started < 4
    assert len(server.requests) == 1


def test_a_retry_sleep_is_ended_by_closing_the_client(service):
    waiting = threading.Event()
    busy = [response(b"busy", status="503 No", headers=[("Retry-After", "30")])]
    server, client = service(busy, hooks={"wait": lambda wait: waiting.set()})
    result = in_thread(lambda: client.ask("Hi"))
    assert waiting.wait(5)
    started = time.monotonic()
    client.close()
    error = result()
    assert time.monotonic() - started < 4
    assert isinstance(error, ServerError)
    assert (error.gave_up, len(server.requests)) == ("the client was closed", 1)


def test_a_pacing_sleep_is_ended_by_closing_the_client(service):
    waiting = threading.Event()
    server, client = service(echo, rate="1/hour", hooks={"wait": lambda wait: waiting.set()})
    client.ask("Hi")
    result = in_thread(lambda: client.ask("Hi"))
    assert waiting.wait(5)
    started = time.monotonic()
    client.close()
    assert isinstance(result(), ConfigurationError)
    assert time.monotonic() - started < 4
    assert len(server.requests) == 1


def test_a_wait_for_cooling_providers_is_ended_by_closing_the_client(service):
    waiting = threading.Event()
    busy = [response(b"busy", status="503 No", headers=[("Retry-After", "30")])]
    server, client = service(busy, retry=RetryPolicy(attempts=1), hooks={"wait": lambda wait: waiting.set()})
    both = ["openai/m", "openai/n"]
    with pytest.raises(ChatError):
        client.ask("Hi", model=both)
    result = in_thread(lambda: client.ask("Hi", model=both))
    assert waiting.wait(5)
    started = time.monotonic()
    client.close()
    assert isinstance(result(), ConfigurationError)
    assert time.monotonic() - started < 4
    # Both in the first call, none in the second.
    assert len(server.requests) == 2
