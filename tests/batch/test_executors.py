"""Rows asked elsewhere: threads, processes, loky, Dask and MPI; what travels has no keys, and a worker may die."""

from __future__ import annotations

import csv
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from aichatkit import ChatError, Client, ConfigurationError, ContentFilteredError, Rate, RetryPolicy
from aichatkit.batch import workers as workers_module
from aichatkit.batch.mapper import ask_row
from aichatkit.batch.workers import BoundAsk, ThreadWorkers, answer_row

METHODS = [name for name in ("spawn", "fork") if name in multiprocessing.get_all_start_methods()]


@pytest.fixture
def caller(sandbox, monkeypatch):
    """A client that pickles, and a key for the workers in their environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-worker")
    with Client(model="openai", api_key="sk-of-the-caller", base_url=f"{sandbox.url}/v1") as client:
        yield client


def numbered(number):
    return [f"p{i}" for i in range(number)]


def keys_seen(sandbox):
    return {request.headers["Authorization"] for request in sandbox.requests}


def asked(sandbox):
    return sorted(request.json()["messages"][-1]["content"] for request in sandbox.requests)


class Here(Executor):
    """Ask at once; `spoil` gives an exception to put in the place of an outcome."""

    def __init__(self, *spoils):
        self.spoils = list(spoils)
        self.most = self.now = 0

    def submit(self, fn, /, *args, **kwargs):
        spoil = self.spoils.pop(0) if self.spoils else None
        future = Future()
        if isinstance(spoil, RuntimeError) and not isinstance(spoil, BrokenExecutor):
            raise spoil
        if spoil == "cancelled":
            future.cancel()
        elif spoil is not None:
            future.set_exception(spoil)
        else:
            future.set_result(fn(*args, **kwargs))
        return future


class BrokenOnSubmit(Here):
    def submit(self, fn, /, *args, **kwargs):
        raise BrokenExecutor("gone")


class KilledWorker(Exception):
    """As Dask names it."""


class Broken(Executor):
    """Take rows, and break once there are two of them."""

    def __init__(self):
        self.futures = []

    def submit(self, fn, /, *args, **kwargs):
        if len(self.futures) == 2:
            raise BrokenExecutor("a worker died")
        self.futures.append(Future())
        if len(self.futures) == 2:
            for future in self.futures:
                future.set_exception(BrokenExecutor("a worker died"))
        return self.futures[-1]


class Slow(Executor):
    """Answer each row in a thread, a little later; `most` is how many were under way at once."""

    def __init__(self):
        self.now = self.most = 0
        self._lock = threading.Lock()

    def submit(self, fn, /, *args, **kwargs):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        future = Future()
        threading.Timer(0.02, self._answer, (future, fn, args)).start()
        return future

    def _answer(self, future, fn, args):
        outcome = fn(*args)
        with self._lock:
            self.now -= 1
        future.set_result(outcome)


# Real executors.


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_processes_ask_with_keys_of_their_own(caller, sandbox, method, tmp_path):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        results = caller.map(numbered(20), executor=pool, resume=tmp_path / "run.sqlite")
        assert results.failed == []
        assert pool.submit(abs, -1).result() == 1
    assert asked(sandbox) == sorted(numbered(20))
    assert keys_seen(sandbox) == {"Bearer sk-of-the-worker"}


def test_threads_of_the_user_ask_with_the_keys_of_the_client(caller, sandbox):
    with ThreadPoolExecutor(3) as pool:
        assert caller.map(numbered(9), executor=pool, workers=3).failed == []
        assert pool.submit(abs, -1).result() == 1
    assert keys_seen(sandbox) == {"Bearer sk-of-the-caller"}


@pytest.mark.slow
def test_loky_asks(caller, sandbox):
    loky = pytest.importorskip("loky")
    pool = loky.get_reusable_executor(max_workers=2, timeout=5)
    try:
        assert caller.map(numbered(20), executor=pool, schema=None).failed == []
    finally:
        pool.shutdown(wait=True, kill_workers=True)
    assert keys_seen(sandbox) == {"Bearer sk-of-the-worker"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_dask_asks(caller, sandbox):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 2, "host": "127.0.0.1", "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as dask:
        assert caller.map(["same"] * 20, executor=dask.get_executor()).failed == []
    # Equal rows are asked each by itself.
    assert asked(sandbox) == ["same"] * 20
    assert keys_seen(sandbox) == {"Bearer sk-of-the-worker"}


MPI = """
import sys
from mpi4py.futures import MPIPoolExecutor
from aichatkit import Client

if __name__ == "__main__":
    with MPIPoolExecutor() as pool, Client(model="openai", base_url=sys.argv[1]) as client:
        client.map([f"p{number}" for number in range(20)], executor=pool, resume=sys.argv[2]).save(sys.argv[3])
"""


@pytest.mark.slow
def test_mpi_asks(sandbox, tmp_path):
    pytest.importorskip("mpi4py")
    if shutil.which("mpiexec") is None:
        pytest.skip("needs an MPI, such as openmpi-bin of Debian")
    (tmp_path / "run.py").write_text(MPI, encoding="utf-8")
    command = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", "run.py"]
    options = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    options.update(OMPI_MCA_rmaps_base_oversubscribe="1", OPENAI_API_KEY="sk-of-the-worker")
    root = str(Path(workers_module.__file__).parent.parent)
    subprocess.run(
        [*command, f"{sandbox.url}/v1", "run.sqlite", "out.csv"],
        cwd=tmp_path,
        env={**os.environ, **options, "PYTHONPATH": root},
        check=True,
        timeout=100,
    )
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert [(row["prompt"], row["error"]) for row in csv.DictReader(file)] == [(p, "") for p in numbered(20)]
    assert asked(sandbox) == sorted(numbered(20))
    assert keys_seen(sandbox) == {"Bearer sk-of-the-worker"}


@pytest.mark.slow
@pytest.mark.skipif("fork" not in METHODS, reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_processes_share_the_rate_of_the_client_by_its_storage(sandbox, monkeypatch, tmp_path):
    pytest.importorskip("pyrate_limiter", reason="needs the extra `limits`")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-worker")
    rate = Rate("10/s", storage=f"sqlite:///{tmp_path}/rates.db")
    pool = ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork"))
    with pool, Client(model="openai", base_url=f"{sandbox.url}/v1", rate=rate) as client:
        started = time.monotonic()
        assert client.map(numbered(21), executor=pool, workers=3).failed == []
    assert len(sandbox.requests) == 21
    # Ten at once, ten a second later, and the last after another; three counts of their own would let all go at once.
    assert time.monotonic() - started > 1.9


def die_once(path):
    """Start a pool whose first task kills its process."""
    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    if not os.path.exists(path):
        open(path, "w").close()
        pool.submit(os._exit, 1)
    return pool


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes die another way there")
def test_rows_of_a_worker_that_died_are_asked_again(caller, sandbox, tmp_path):
    results = caller.map(numbered(12), executor=lambda: die_once(tmp_path / "died"), resume=tmp_path / "run.sqlite")
    assert results.failed == []
    assert set(asked(sandbox)) == set(numbered(12))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes die another way there")
def test_an_executor_that_cannot_be_replaced_ends_the_run_which_goes_on_later(caller, tmp_path):
    journal = tmp_path / "run.sqlite"
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    pids = pool.submit(os.getpid).result()
    rows = iter(numbered(40))

    def killing():
        for number, row in enumerate(rows):
            if number == 20:
                os.kill(pids, signal.SIGKILL)
            yield row

    with pytest.raises(ChatError, match=r"start again with resume=") as caught:
        caller.map(killing(), executor=pool, workers=2, resume=journal)
    assert any(result.reply for result in caught.value.results)
    pool.shutdown()
    assert caller.map(numbered(40), resume=journal).failed == []


# What befalls a row.


@pytest.mark.parametrize("spoil", ["cancelled", BrokenExecutor("died"), KilledWorker("died"), KeyboardInterrupt()])
def test_a_row_that_was_lost_is_asked_again(caller, sandbox, spoil):
    results = caller.map(numbered(3), executor=Here(None, spoil))
    assert results.failed == []
    assert len(sandbox.requests) == 3


def test_a_row_that_kills_every_worker_fails_alone(caller, sandbox):
    died = [BrokenExecutor("died")] * 3
    results = caller.map(numbered(3), executor=Here(*died), workers=1)
    assert [error is None for error in results.errors] == [False, True, True]
    assert "died 3 times" in str(results.errors[0])


def test_what_cannot_be_asked_there_ends_the_run(caller):
    with pytest.raises(ChatError, match="a row could not be sent: ValueError: no such thing"):
        caller.map(numbered(3), executor=Here(ValueError("no such thing")))


def test_the_class_of_an_executor_makes_one(caller):
    results = caller.map(numbered(3), executor=ThreadPoolExecutor)
    assert not results.failed


def test_an_executor_that_was_shut_down_is_told(caller):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(ConfigurationError, match="takes no more rows") as caught:
        caller.map(numbered(3), executor=pool)
    assert len(caught.value.results.failed) == 3


def test_executors_that_break_again_and_again_end_the_run(caller):
    made = []
    with pytest.raises(ChatError, match="a worker died and broke the executor"):
        caller.map(numbered(3), executor=lambda: made.append(1) or BrokenOnSubmit())
    assert len(made) == 4


def test_an_error_of_a_row_travels_as_it_is(caller, sandbox):
    sandbox.script("content-filter")
    (error,) = caller.map(["a"], executor=Here()).errors
    assert isinstance(error, ContentFilteredError)
    assert error.__traceback__ is None


# What travels.


def test_what_travels_is_small_and_without_keys(caller):
    bound_ask = BoundAsk(partial(ask_row, caller), {"model": None})
    sent = pickle.dumps((answer_row, bound_ask, "p", "1"))
    assert pickle.dumps((answer_row, bound_ask, "p", "1")) == sent
    assert len(sent) < 10_000
    assert b"sk-of" not in sent


def test_a_process_makes_a_client_once(caller, monkeypatch):
    monkeypatch.setattr(workers_module, "_clients", {})
    sent = pickle.dumps(BoundAsk(partial(ask_row, caller), {}))
    first, second = pickle.loads(sent), pickle.loads(sent)
    assert first.ask.args[0] is second.ask.args[0]


def test_a_process_keeps_few_clients(monkeypatch):
    monkeypatch.setattr(workers_module, "_clients", {})
    for number in range(9):
        with Client(model="offline", seed=number) as client:
            pickle.loads(pickle.dumps(BoundAsk(partial(ask_row, client), {})))
    assert len(workers_module._clients) == 4


def test_a_client_that_cannot_be_pickled_is_told():
    with Client(model="offline", retry=RetryPolicy(sleep=lambda seconds: None)) as client:
        with pytest.raises(ConfigurationError, match="the client cannot be pickled"):
            pickle.dumps(BoundAsk(partial(ask_row, client), {}))
        with ProcessPoolExecutor(1) as pool, pytest.raises(ChatError, match="cannot be pickled"):
            client.map(["a"], executor=pool)


# Threads of our own.


def test_a_thread_hands_on_what_went_wrong():
    pool = ThreadWorkers(1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(5)
    pool.shutdown()


def test_threads_are_made_as_they_are_needed_and_end():
    pool = ThreadWorkers(3)
    assert [pool.submit(abs, -number).result(5) for number in range(5)] == list(range(5))
    assert len(pool._threads) == 3
    pool.shutdown(wait=True)
    assert not any(thread.is_alive() for thread in pool._threads)
    ThreadWorkers(1).shutdown(wait=False)


@pytest.mark.parametrize("available", [0, 1, 2])
def test_a_run_makes_do_with_the_threads_there_are(monkeypatch, available):
    started, names = threading.Thread.start, set()

    def start(thread):
        if thread.name.startswith("aichatkit-map"):
            if len(names) == available:
                raise RuntimeError("can't start new thread")
            names.add(thread.name)
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    with Client(model="offline") as client:
        results = client.map(numbered(12), "{prompt}", workers=4, progress=False)
        assert [result.prompt for result in results] == numbered(12)
        assert not results.failed
    assert len(names) == available


def test_rows_whose_worker_died_are_asked_one_after_the_other(caller):
    slow = Slow()
    executors = iter([Broken(), slow])
    results = caller.map(numbered(2), executor=lambda: next(executors), workers=2)
    assert results.failed == []
    assert slow.most == 1
