"""What makes it fast, counted: no clock decides here, so a busy machine changes nothing."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from bench_wires import Case, end, event, fire, head

from aichatkit import Client
from aichatkit.sandbox.raw import RawServer, chunk

#: Rooms that only some calls enter.
LATE = """
    _warnings attachments batch.journal batch.progress batch.result_store batch.results batch.rows batch.run
    batch.tables batch.task_queue batch.templates batch.workers call.collector call.fallback
    call.list_models call.request catalog.context_windows catalog.tokens classification.classify
    chats.chat classification.decide classification.error_bodies classification.retry_after classification.table
    cli images limits.rate_limits limits.shared_rates middleware.budgets middleware.estimates middleware.fingerprints
    middleware.tool_rounds sandbox storage.sqlite structured.convert structured.dialects structured.fit
    structured.forms structured.schemas structured.validation tools.functions tools.results
"""
#: Modules of the package that making a client loads, with room for a few more: 47 at the time of writing.
MOST_MODULES = 49
#: Those that an answer takes, also with room: 71 at the time of writing.
MOST_FOR_AN_ANSWER = 73
#: What others bring, and a client does without: each costs as much as several modules of our own.
HEAVY = {"ast", "asyncio", "dataclasses", "difflib", "dis", "inspect", "pkgutil", "tenacity", "uuid"}


def loaded_after(code: str) -> set[str]:
    show = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.fixture
def streaming() -> Iterator[Any]:
    """A server of long streams, and a client of it."""
    with RawServer(lambda request: [head(case_of(request)), *fire(case_of(request))]) as server:
        yield server


def case_of(request: Any) -> Case:
    return Case.parse(request.path.split("/")[2])


def client_of(server: RawServer, case: Case) -> Client:
    return Client(model=f"{case.wire}/bench", api_key="sk-guard-key", base_url=server.url + case.path, retry=0)


def test_importing_the_package_loads_little():
    before = loaded_after("import logging")
    assert loaded_after("import aichatkit") - before == {"aichatkit", "aichatkit._version"}


def test_making_a_client_loads_little_more_than_requests():
    # Others load what they find installed, so only our own modules and those we would bring are counted.
    loaded = loaded_after("from aichatkit import Client; Client()")
    own = {name for name in loaded if name.startswith("aichatkit.")}
    assert not own & {f"aichatkit.{name}" for name in LATE.split()}
    assert len(own) <= MOST_MODULES, sorted(own)
    assert not (loaded - loaded_after("import requests")) & HEAVY
    assert not loaded & {"sqlite3", "uuid", "decimal", "multiprocessing", "http.server", "email.mime"}


def test_an_answer_loads_little_more_than_requests(streaming):
    url = streaming.url + Case(events=3).path
    client = f"Client(model='openai/bench', api_key='sk-guard-key', base_url={url!r})"
    loaded = loaded_after(f"from aichatkit import Client; {client}.ask('Hi')")
    own = {name for name in loaded if name.startswith("aichatkit.")}
    assert len(own) <= MOST_FOR_AN_ANSWER, sorted(own)
    assert not (loaded - loaded_after("import requests")) & HEAVY


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("wire", ["openai", "anthropic", "ollama"])
def test_finished_streams_share_one_connection_and_take_one_request_each(streaming, wire, framing):
    case = Case(wire=wire, framing=framing, events=50)
    with client_of(streaming, case) as client:
        for _ in range(5):
            assert len(list(client.stream("Hi"))) == 50
            assert client.ask("Hi").complete
    assert (streaming.connections, len(streaming.requests)) == (1, 10)


def peak_of(client: Client) -> int:
    """Return the most memory that was held beyond the text while a stream was read."""
    gc.collect()
    tracemalloc.start()
    try:
        size = sum(map(len, client.stream("Hi")))
        # The text is promised, once as it grows and once whole.
        return tracemalloc.get_traced_memory()[1] - 2 * size
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("framing", ["chunked", "length", "gzip"])
def test_memory_does_not_grow_with_the_length_of_a_stream(streaming, framing):
    peaks = []
    for events in (1_000, 2_000, 30_000):
        case = Case(framing=framing, events=events)
        with client_of(streaming, case) as client:
            peaks.append(peak_of(client))
    # The first one pays for what is made once.
    assert peaks[2] - peaks[1] < 1 << 19, peaks


@pytest.mark.parametrize(("framing", "most"), [("chunked", 12), ("length", 12), ("big", 12), ("close", 12)])
def test_a_thousand_events_take_few_reads(streaming, monkeypatch, framing, most):
    reads = []
    read_into = socket.socket.recv_into

    def counted(self: socket.socket, buffer: Any, *args: Any) -> int:
        got = read_into(self, buffer, *args)
        # What is read in full says how much is asked for; a short read says only how fast the server is.
        reads.append((got, len(buffer)))
        return got

    case = Case(framing=framing, events=10_000)
    with client_of(streaming, case) as client:
        stream = client.stream("Hi")
        monkeypatch.setattr(socket.socket, "recv_into", counted)
        assert sum(1 for _ in stream) == 10_000
    filled = [got for got, asked in reads if got == asked]
    assert len(filled) <= most * 10, len(filled)
    # Only what is left of a body of known length may be asked for in smaller pieces.
    assert sum(1 for _, asked in reads if asked < 8192) <= 100


def test_an_event_is_handed_out_before_the_next_one_is_sent():
    # However many chunks are taken at a time, none waits for another.
    pieces = [chunk(event("openai", text)) for text in ("one", "two", "three")]
    gates = [threading.Event() for _ in pieces]
    steps = [step for piece, gate in zip(pieces, gates) for step in (piece, gate)]
    last = b"".join(map(chunk, end("openai"))) + chunk(b"")
    with RawServer([head(Case()), *steps, last]) as server, client_of(server, Case()) as client:
        stream = client.stream("Hi")
        for gate, text in zip(gates, ("one", "two", "three")):
            assert next(stream) == text
            gate.set()
        assert list(stream) == []


def test_a_call_prepares_one_request_and_looks_at_the_environment_once(streaming, monkeypatch):
    case = Case(events=3)
    looked = []
    merge = requests.Session.merge_environment_settings

    def counted(self: requests.Session, *args: Any) -> Any:
        looked.append(args)
        return merge(self, *args)

    monkeypatch.setattr(requests.Session, "merge_environment_settings", counted)
    with client_of(streaming, case) as client:
        for _ in range(5):
            client.ask("Hi")
    assert len(looked) == 1
