"""Rows 87 to 90: the total time runs out. These rows wait for real, some tenths of a second each."""

from __future__ import annotations

import itertools
import time

import pytest
from fault_checks import fails
from fault_wires import OPENAI, PLAIN, STREAMING, named, row

from aichatkit.errors import DeadlineExceededError
from aichatkit.sandbox.raw import chunk, chunked_head
from aichatkit.transport.timeouts import Timeout

pytestmark = pytest.mark.slow

TOTAL = 0.6
LIMITS = Timeout(connect=5, read=30, total=TOTAL)


@pytest.fixture
def in_time():
    started = time.monotonic()
    yield
    assert TOTAL <= time.monotonic() - started < TOTAL + 3


@row("87", OPENAI, PLAIN, *named("aichatonline"))
def test_a_talkative_stream_ends_at_the_deadline(faults, wire, in_time):
    talk = itertools.cycle([0.03, chunk(wire.piece("x"))])
    fault = faults(wire, lambda request: [*wire.begun("Hello"), talk], timeout=LIMITS)
    with fails(DeadlineExceededError) as caught:
        fault.client.ask("Hi")
    assert caught.value.partial.startswith("Hellox")
    assert len(fault.asked) == 1
    assert fault.server.wait_closed()


@row("88", *[wire for wire in named("openai", "aichatonline-classic") if wire in STREAMING])
def test_pings_do_not_outlive_the_deadline(faults, wire, in_time):
    pings = itertools.cycle([chunk(b": ping\n\n"), 0.03])
    fault = faults(wire, lambda request: [chunked_head(), pings], timeout=LIMITS)
    with fails(DeadlineExceededError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked), fault.slept) == ("", 1, [])


@row("89", OPENAI)
@pytest.mark.parametrize("begun", [0, 1, 2], ids=["no-head", "head", "text"])
def test_silence_ends_at_the_deadline_when_that_comes_first(faults, wire, in_time, begun):
    fault = faults(wire, [*wire.begun("Hello")[:begun], "wait-close"], timeout=LIMITS)
    with fails(DeadlineExceededError) as caught:
        fault.client.ask("Hi")
    assert (caught.value.partial, len(fault.asked)) == ("Hello" if begun == 2 else "", 1)
    assert fault.server.wait_closed()


@row("90", OPENAI, PLAIN)
def test_a_chunk_that_drips_ends_at_the_deadline(faults, wire, in_time):
    piece = wire.piece("lo" * 50)
    drip = [step for byte in piece for step in (bytes([byte]), 0.03)]
    fault = faults(wire, [*wire.begun("Hel"), b"%x\r\n" % len(piece), drip], timeout=LIMITS)
    with fails(DeadlineExceededError) as caught:
        fault.client.ask("Hi")
    assert caught.value.partial.startswith("Hel")
    assert len(fault.asked) == 1


@row("90-before-each-try", OPENAI)
def test_the_deadline_bounds_all_tries_together(faults, wire, in_time):
    fault = faults(
        wire, ["wait-close"], timeout=Timeout(connect=5, read=0.35, total=TOTAL), tries={"ambiguous": 9, "base": 0}
    )
    with fails(DeadlineExceededError) as caught:
        fault.client.ask("Hi")
    assert len(fault.asked) == 2
    assert len(caught.value.attempts) == 2
