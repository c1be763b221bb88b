"""Rows 100 to 112: connections are kept, freed, woken, shared among threads and not shared with a fork."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time

import pytest
import requests
from background import in_thread
from fault_checks import check_safe, fails
from fault_wires import ALL, OPENAI, PLAIN, STREAMING, named, row

from aichatkit.errors import ServerError, StreamInterruptedError
from aichatkit.sandbox.raw import chunk, response

pytestmark = pytest.mark.slow

GEVENT = "gevent" in sys.modules
forks = pytest.mark.skipif(GEVENT or not hasattr(os, "fork"), reason="needs a fork, and gevent forks another way")


@row("100", *ALL)
@pytest.mark.usefixtures("patient")
def test_an_answer_that_ended_gives_its_connection_to_the_next_call(faults, wire):
    fault = faults(wire, wire.whole("Hel", "lo"))
    for _ in range(4):
        assert fault.client.ask("Hi").text == "Hello"
    assert fault.server.connections == 1
    assert {request.connection for request in fault.server.requests} == {1}


@row("100-late", *[wire for wire in STREAMING if wire.end])
@pytest.mark.usefixtures("patient")
def test_the_end_of_the_body_may_come_a_little_after_the_end_marker(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(wire.end), 0.01, chunk(b"")])
    for _ in range(2):
        assert fault.client.ask("Hi").text == "Hello"
    assert fault.server.connections == 1


@row("100-hung", OPENAI)
def test_a_server_that_hangs_after_the_end_marker_costs_a_moment_and_the_connection(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), chunk(wire.end), "wait-close"])
    started = time.monotonic()
    assert fault.client.ask("Hi").text == "Hello"
    assert time.monotonic() - started < 4
    assert fault.server.wait_closed()


@row("100-talking", OPENAI)
def test_a_server_that_talks_on_after_the_end_marker_is_left(faults, wire):
    fault = faults(wire, lambda request: [*wire.begun("Hello"), chunk(wire.end), iter(lambda: chunk(b": x\n\n"), b"")])
    assert fault.client.ask("Hi").text == "Hello"
    assert fault.server.wait_closed()


@row("100-length", *STREAMING)
def test_a_body_with_a_length_keeps_its_connection(faults, wire):
    fault = faults(wire, [wire.fixed(wire.body("Hello"))])
    for _ in range(3):
        assert fault.client.ask("Hi").text == "Hello"
    assert fault.server.connections == 1


@row("101", *STREAMING)
def test_leaving_a_with_block_early_closes_the_connection(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "wait-close"])
    with fault.client.stream("Hi") as stream:
        for text in stream:
            assert text == "Hel"
            break
    assert fault.server.wait_closed()
    assert (stream.text, stream.reply, len(fault.server.left)) == ("Hel", None, 1)


@row("101-break", *STREAMING)
def test_leaving_the_loop_closes_the_connection_though_the_stream_has_a_name(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "wait-close"])
    stream = fault.client.stream("Hi")
    for _ in stream:
        break
    assert fault.server.wait_closed()
    assert list(stream) == []


@row("101-close", *STREAMING)
def test_closing_twice_is_fine_and_ends_the_iteration(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "wait-close"])
    stream = fault.client.stream("Hi")
    assert next(stream) == "Hel"
    stream.close()
    stream.close()
    assert fault.server.wait_closed()
    with pytest.raises(StopIteration):
        next(stream)
    with pytest.raises(StreamInterruptedError, match="closed before") as caught:
        stream.read()
    assert caught.value.partial == "Hel"


@row("102", *STREAMING)
def test_dropping_a_stream_closes_the_connection(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "wait-close"])
    stream = fault.client.stream("Hi")
    collecting = gc.isenabled()
    gc.disable()
    try:
        # Without the collector: a stream must not be part of a cycle.
        del stream
        assert fault.server.wait_closed()
    finally:
        if collecting:
            gc.enable()


@row("103", *STREAMING)
def test_an_exception_in_the_loop_closes_the_connection_while_its_traceback_is_kept(faults, wire):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "wait-close"])

    def read_on():
        for text in fault.client.stream("Hi"):
            raise LookupError(text)

    with pytest.raises(LookupError) as kept:
        read_on()
    assert fault.server.wait_closed()
    assert kept.value.__traceback__ is not None


@row("104", *ALL)
def test_refusals_that_are_tried_again_use_one_connection_or_free_it(faults, wire):
    fault = faults(wire, [response(b"broken", status="500 No")] * 1)
    with fails(ServerError):
        fault.client.ask("Hi")
    assert len(fault.asked) == 3
    # Read to its end, each refusal hands its connection on; none stays behind.
    assert fault.server.open_connections == 1
    assert {request.connection for request in fault.server.requests} == {1}


@row("105-body", *STREAMING)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_in_the_loop_body_frees_the_connection(faults, wire, stop):
    fault = faults(wire, [*wire.begun("Hel", "lo"), "wait-close"])
    stream = fault.client.stream("Hi")

    def read_on():
        for text in stream:
            raise stop(text)

    with pytest.raises(stop):
        read_on()
    assert fault.server.wait_closed()
    assert (stream.text, len(fault.asked)) == ("Hel", 1)


@pytest.fixture
def ctrl_c():
    """Have Ctrl-C raise, as it does for whoever starts Python by hand; in the background it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(started):
    """Press Ctrl-C for the main thread once `started` is set."""

    def press():
        assert started.wait(5)
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


@pytest.mark.skipif(GEVENT, reason="signals go to the loop there")
@row("105-read", *STREAMING)
def test_an_interrupt_in_a_read_frees_the_connection_and_keeps_the_text(faults, ctrl_c, wire):
    fault = faults(wire, [*wire.begun("Hello"), "wait-close"])
    reading = threading.Event()
    stream = fault.client.stream("Hi")
    thread = interrupted(reading)

    def read_on():
        for _ in stream:
            reading.set()

    with pytest.raises(KeyboardInterrupt):
        read_on()
    thread.join(5)
    assert fault.server.wait_closed()
    assert (stream.text, len(fault.asked), fault.slept) == ("Hello", 1, [])


@pytest.mark.skipif(GEVENT, reason="signals go to the loop there")
@row("105-head", OPENAI, PLAIN)
def test_an_interrupt_before_the_head_frees_the_connection(faults, ctrl_c, wire):
    asked = threading.Event()
    fault = faults(wire, lambda request: [asked.set(), "wait-close"][1:])
    thread = interrupted(asked)
    with pytest.raises(KeyboardInterrupt):
        fault.client.ask("Hi")
    thread.join(5)
    assert fault.server.wait_closed()
    assert (len(fault.asked), fault.slept) == (1, [])


@row("105-sleep", OPENAI, PLAIN)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_the_sleep_ends_the_call(faults, wire, stop):
    fault = faults(wire, [response(b"busy", status="503 No")])

    def sleep(seconds):
        raise stop

    with pytest.raises(stop):
        fault.client.ask("Hi", retry=fault.policy(sleep=sleep))
    assert len(fault.asked) == 1


@row("106", *STREAMING)
@pytest.mark.parametrize("how", ["close", "cancel"])
def test_a_blocked_read_is_woken_from_another_thread(faults, wire, how):
    fault = faults(wire, [*wire.begun("Hello"), "wait-close"])
    stream = fault.client.stream("Hi")
    reading = threading.Event()

    def read():
        for _ in stream:
            reading.set()

    result = in_thread(read)
    assert reading.wait(5)
    time.sleep(0.02)
    started = time.monotonic()
    (fault.client.close if how == "close" else stream.cancel)()
    error = result()
    assert time.monotonic() - started < 4
    assert (type(error), error.partial, error.action) == (StreamInterruptedError, "Hello", "stop")
    check_safe(error)
    assert fault.server.wait_closed()
    assert len(fault.asked) == 1


@row("106-head", OPENAI)
def test_a_cancelled_stream_that_nobody_reads_says_so_when_read(faults, wire):
    fault = faults(wire, [*wire.begun("Hello"), "wait-close"])
    stream = fault.client.stream("Hi")
    stream.cancel()
    with fails(StreamInterruptedError) as caught:
        list(stream)
    assert "cancel" in str(caught.value)
    assert caught.value.partial == "Hello"


@row("107", OPENAI, PLAIN, *named("aichatonline"))
def test_closing_the_client_wakes_a_retry_sleep(faults, wire):
    waiting = threading.Event()
    script = [response(b"busy", status="503 No", headers=[("Retry-After", "30")])]
    fault = faults(wire, script, hooks={"wait": lambda wait: waiting.set()})
    result = in_thread(lambda: fault.client.ask("Hi", retry=2))
    assert waiting.wait(5)
    time.sleep(0.02)
    started = time.monotonic()
    fault.client.close()
    error = result()
    assert time.monotonic() - started < 4
    assert (type(error).__name__, error.gave_up) == ("OverloadedError", "the client was closed")
    assert len(fault.asked) == 1
    check_safe(error)


@row("108", OPENAI, PLAIN, *named("aichatonline"))
def test_many_threads_share_one_client_and_no_answer_is_mixed_up(faults, wire):
    gate = threading.Barrier(64)
    # Each thread gets its own prompt back, in two pieces.
    fault = faults(wire, lambda request: wire.whole("re: ", prompt_in(request)))

    def ask(number):
        gate.wait(10)
        return fault.client.ask(f"prompt-{number:02}-end").text

    results = [in_thread(lambda number=number: ask(number)) for number in range(64)]
    texts = [result() for result in results]
    assert texts == [f"re: prompt-{number:02}-end" for number in range(64)]
    assert fault.server.connections <= 64


def prompt_in(request):
    body = request.body.decode()
    place = body.index("prompt-")
    return body[place : body.index("-end", place) + 4]


@row("108-again", OPENAI)
def test_the_pool_keeps_a_connection_for_each_of_64_threads(faults, wire):
    open_now = threading.Barrier(64)

    def script(request):
        open_now.wait(10)
        return [wire.fixed(wire.body("Hello"))]

    fault = faults(wire, script)
    for _ in range(2):
        results = [in_thread(lambda: fault.client.ask("Hi").text) for _ in range(64)]
        assert [result() for result in results] == ["Hello"] * 64
    assert fault.server.connections == 64


def in_fork(child):
    """Run a function in a fork and return what it prints about itself."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        try:
            os.write(into, child().encode())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as file:
        told = file.read()
    os.waitpid(pid, 0)
    return told


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@row("109", *ALL)
@pytest.mark.parametrize("session", ["own", "theirs"])
def test_a_fork_makes_its_own_connections(faults, wire, session):
    given = requests.Session() if session == "theirs" else None
    fault = faults(wire, wire.whole("Hello"), session=given)
    fault.client.ask("Hi")
    before = len(fault.asked)
    assert in_fork(lambda: fault.client.ask("Hi").text) == "Hello"
    assert fault.client.ask("Hi").text == "Hello"
    parent, child, again = [request.connection for request in fault.asked][before - 1 :]
    assert parent == again != child
    if given is not None:
        given.close()


@forks
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@row("110", *STREAMING)
def test_a_fork_that_ends_does_not_harm_the_parents_stream(faults, wire):
    gate = threading.Event()
    fault = faults(wire, [*wire.begun("Hel"), gate, *wire.more("lo"), *wire.whole("x")[2:]])
    stream = fault.client.stream("Hi")
    assert next(stream) == "Hel"

    def child():
        fault.client.close()
        return "gone"

    assert in_fork(child) == "gone"
    gate.set()
    assert "".join(["Hel", *stream])[:5] == "Hello"


@row("112", OPENAI, PLAIN)
def test_what_is_not_our_error_passes_through_untouched(faults, wire):
    class Killed(BaseException):
        """What gevent raises in a greenlet is of this kind."""

    fault = faults(wire, [response(b"busy", status="503 No")])

    def sleep(seconds):
        raise Killed

    with pytest.raises(Killed):
        fault.client.ask("Hi", retry=fault.policy(sleep=sleep))
    assert len(fault.asked) == 1


@pytest.mark.skipif(not GEVENT, reason="only under gevent")
@row("112-gevent", *STREAMING)
@pytest.mark.parametrize("how", ["timeout", "kill"])
def test_a_greenlet_that_ends_in_a_read_frees_its_connection(faults, wire, how):
    import gevent

    fault = faults(wire, [*wire.begun("Hello"), "wait-close"])
    stream = fault.client.stream("Hi")
    if how == "timeout":
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            list(stream)
    else:
        reader = gevent.spawn(list, stream)
        gevent.sleep(0.05)
        reader.kill(timeout=2)
        assert isinstance(reader.value, gevent.GreenletExit)
    assert fault.server.wait_closed()
    assert (stream.text, len(fault.asked), fault.slept) == ("Hello", 1, [])
