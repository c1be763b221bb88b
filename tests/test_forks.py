"""Processes: a fork makes its own connections, disturbs nothing of its parent and waits for nothing of it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import requests
from echo_service import DONE, PIECE, echo, services

from aichatkit import Rate
from aichatkit._locks import Lock, reset_locks
from aichatkit.errors import ServerError, StreamInterruptedError
from aichatkit.limits.cooldowns import CooldownKey
from aichatkit.sandbox.raw import chunk, chunked_head, response

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks"),
    # The servers of these tests run in threads of the parent; the children do without them.
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture
def service():
    with services(api_key="sk-fork-1") as make:
        yield make


def fork(child):
    """Run a function in a forked child; return a function that waits for what it returned."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = "nothing"
        try:
            # Not even a child that hangs outlives its test.
            signal.alarm(10)
            told = child()
        except BaseException as error:  # noqa: BLE001
            told = f"{type(error).__name__}: {error}"
        finally:
            os.write(into, told.encode())
            os._exit(0)
    os.close(into)

    def result():
        with os.fdopen(out) as file:
            told = file.read()
        assert os.waitpid(pid, 0)[1] == 0
        return told

    return result


def connections(server):
    return [request.connection for request in server.requests]


@pytest.mark.parametrize("session", ["own", "theirs"])
def test_a_child_opens_connections_of_its_own_and_the_parent_keeps_its(service, session):
    given = requests.Session() if session == "theirs" else None
    server, client = service(echo, session=given)
    client.ask("warm")
    assert fork(lambda: client.ask("child").text)() == "re: child"
    assert client.ask("parent").text == "re: parent"
    warm, child, parent = connections(server)
    assert warm == parent != child
    if given is not None:
        given.close()


def test_a_session_of_the_users_keeps_its_settings_in_a_child(service):
    with requests.Session() as session:
        session.headers["X-Mine"] = "yes"
        server, client = service(echo, session=session)
        client.ask("warm")
        assert fork(lambda: client.ask("child").text)() == "re: child"
    assert [request.headers.get("x-mine") for request in server.requests] == ["yes", "yes"]


def test_children_forked_before_the_first_call_do_not_share_a_connection(service):
    """What a pre-forking server does with a client that is made when its module is imported."""
    server, client = service(echo)
    workers = [fork(lambda number=number: client.ask(f"{number}").text) for number in range(4)]
    assert [worker() for worker in workers] == [f"re: {number}" for number in range(4)]
    assert len(set(connections(server))) == 4


def test_workers_forked_from_a_warm_client_answer_many_tasks_each(service):
    """Celery's prefork pool in the small: warm in the parent, several tasks in each child."""
    server, client = service(echo)
    client.ask("warm")

    def work(number):
        answers = [client.ask(f"{number}-{task}").text for task in range(5)]
        return "ok" if answers == [f"re: {number}-{task}" for task in range(5)] else repr(answers)

    workers = [fork(lambda number=number: work(number)) for number in range(3)]
    assert [worker() for worker in workers] == ["ok"] * 3
    by_prompt = {}
    for request in server.requests:
        worker = json.loads(request.body)["messages"][-1]["content"].partition("-")[0]
        by_prompt.setdefault(worker, set()).add(request.connection)
    assert sorted(by_prompt) == ["0", "1", "2", "warm"]
    assert sum(len(found) for found in by_prompt.values()) == len(set(connections(server)))


def test_a_child_of_a_child_has_its_own_connection_as_well(service):
    server, client = service(echo)
    client.ask("warm")

    def child():
        client.ask("child")
        return fork(lambda: client.ask("grandchild").text)()

    assert fork(child)() == "re: grandchild"
    assert len(set(connections(server))) == 3


@pytest.mark.parametrize("ending", ["leaves", "closes", "drops"])
def test_a_child_does_not_harm_a_stream_of_its_parent(service, ending):
    gate = threading.Event()
    _, client = service([chunked_head(), chunk(PIECE % b"Hel"), gate, chunk(PIECE % b"lo" + DONE), chunk(b"")])
    stream = client.stream("Hi")
    assert next(stream) == "Hel"

    def child():
        if ending == "closes":
            client.close()
        elif ending == "drops":
            nonlocal stream
            stream = None
        return "gone"

    assert fork(child)() == "gone"
    gate.set()
    assert "".join(stream) == "lo"
    assert stream.reply.text == "Hello"


def test_a_thread_that_reads_a_stream_does_not_stop_a_child_from_asking(service):
    def script(request):
        if b"open" in request.body:
            return [chunked_head(), chunk(PIECE % b"Hello"), "wait-close"]
        return echo(request)

    _, client = service(script)
    stream = client.stream("open")

    def read():
        with contextlib.suppress(StreamInterruptedError):
            list(stream)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert fork(lambda: client.ask("child").text)() == "re: child"
    stream.cancel()
    reader.join(5)


def test_a_lock_that_a_thread_of_the_parent_holds_does_not_stop_a_child(service):
    _, client = service(echo, rate=Rate("100/min", tokens="100000/min", concurrent=5))
    client.ask("warm")
    counter = next(iter(client._context.rate_limiter._counters.values()))
    locks = [
        client._context.cooldowns._lock,
        client._context.retry_budget._lock,
        client._context.rate_limiter._lock,
        counter._lock,
        client._context.connections._lock,
    ]
    held, free = threading.Event(), threading.Event()

    def hold():
        for lock in locks:
            lock.__enter__()
        held.set()
        free.wait(10)
        for lock in locks:
            lock.__exit__(None, None, None)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(5)
    child = fork(lambda: client.ask("child").text)
    told = child()
    free.set()
    holder.join(5)
    assert told == "re: child"
    assert client.ask("parent").text == "re: parent"


def test_a_place_that_the_parent_holds_is_free_in_a_child(service):
    gate = threading.Event()
    held = [chunked_head(), chunk(PIECE % b"Hel"), gate, chunk(DONE), chunk(b"")]
    _, client = service(held, echo, rate=Rate("1/hour", concurrent=1))
    with client.stream("Hi") as stream:
        assert fork(lambda: client.ask("child").text)() == "re: child"
        gate.set()
        assert stream.read().text == "Hel"


def test_what_cools_in_the_parent_cools_in_a_child_and_not_the_other_way(service):
    _, client = service(echo)
    subject = CooldownKey("openai", "", "")
    client._context.cooldowns.record_failure(subject, ServerError("x"))

    def child():
        before = [row.provider for row in client.health]
        client._context.cooldowns.record_success(subject)
        return f"{before} {client.health}"

    assert fork(child)() == "['openai'] []"
    assert [tuple(row[:3]) for row in client.health] == [tuple(subject)]


def test_renewing_frees_a_lock():
    lock = Lock()
    lock.__enter__()
    reset_locks()
    with lock:
        assert lock._lock.locked()
    assert not lock._lock.locked()


def ask_in_spawned(client, prompt, answers):
    """Ask in a process that shares nothing; the key comes from its environment."""
    with client:
        answers.put(client.ask(prompt).text)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["sk-fork-2", None])
def test_a_client_goes_to_a_spawned_process_without_its_key(service, monkeypatch, key):
    server, client = service(echo)
    client.ask("warm")
    if key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    worker = context.Process(target=ask_in_spawned, args=(client, "spawned", answers))
    worker.start()
    assert answers.get(timeout=20) == "re: spawned"
    worker.join(10)
    sent = [request.headers.get("authorization") for request in server.requests]
    assert sent == ["Bearer sk-fork-1", f"Bearer {key}" if key else None]


def test_a_pool_of_forked_processes_maps_prompts(service):
    server, client = service(echo)
    client.ask("warm")
    global _pooled
    _pooled = client
    started = time.monotonic()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        texts = pool.map(_ask_pooled, ["a", "b", "c", "d"])
    assert texts == ["re: a", "re: b", "re: c", "re: d"]
    assert time.monotonic() - started < 10
    assert connections(server)[0] not in connections(server)[1:]


_pooled = None


def _ask_pooled(prompt):
    return _pooled.ask(prompt).text


def test_a_celery_task_asks_with_a_client_of_its_module(service):
    celery = pytest.importorskip("celery")
    _, client = service(echo)
    app = celery.Celery("tasks")
    app.conf.update(task_always_eager=True, task_eager_propagates=True)

    @app.task
    def ask(prompt):
        return client.ask(prompt).text

    assert ask.delay("task").get(timeout=5) == "re: task"


class SoftTimeLimitExceeded(Exception):
    """An ordinary exception that a signal raises in the middle of a call, as Celery's does."""


@pytest.mark.parametrize("where", ["retry sleep", "pacing sleep", "read"])
def test_a_soft_time_limit_passes_through_and_is_not_tried_again(service, where):
    # The time begins where it is to end, not somewhere in what is loaded on the way.
    def expire_soon(*_):
        signal.setitimer(signal.ITIMER_REAL, 0.1)

    def begin(request):
        expire_soon()
        return [chunked_head(), chunk(PIECE % b"Hello"), "wait-close"]

    busy = [response(b"busy", status="503 No", headers=[("Retry-After", "30")])]
    scripts = {"retry sleep": busy, "pacing sleep": echo, "read": begin}
    rate = "1/hour" if where == "pacing sleep" else None
    server, client = service(scripts[where], rate=rate, hooks={"wait": expire_soon})
    if where == "pacing sleep":
        client.ask("first")

    def expire(number, frame):
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, expire)
    started = time.monotonic()
    try:
        with pytest.raises(SoftTimeLimitExceeded):
            client.ask("Hi")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 4
    assert (len(server.requests), client.health) == (1, [])


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import gevent, json, sys
from aichatkit import Client, Rate

client = Client(model="openai/m", api_key="sk-fork-1", base_url=sys.argv[1], rate=Rate(concurrent=4))
jobs = [gevent.spawn(lambda number=number: client.ask(f"{number}").text) for number in range(12)]
gevent.joinall(jobs, timeout=10)
print(json.dumps([job.value for job in jobs]))
"""


@pytest.mark.slow
def test_greenlets_share_a_client(service):
    pytest.importorskip("gevent")
    server, _ = service(echo)
    command = [sys.executable, "-c", GREENLETS, f"{server.url}/v1"]
    told = subprocess.run(command, capture_output=True, timeout=30, check=True, text=True).stdout
    assert json.loads(told) == [f"re: {number}" for number in range(12)]
    assert server.connections <= 4
