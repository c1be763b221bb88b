from __future__ import annotations

import contextlib
import gc
import multiprocessing
import sqlite3
import sys
import threading
import time
import types

import pytest

from aichatkit import Client, Rate
from aichatkit.errors import ConfigurationError, ConnectError, DeadlineExceededError
from aichatkit.limits.rate_limits import RateLimiter
from aichatkit.limits.shared_rates import SharedCounter
from aichatkit.limits.waits import Sleeper
from aichatkit.transport.timeouts import Deadline, Timeout

limiter = pytest.importorskip("pyrate_limiter", reason="needs the extra `limits`")


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/rates.db"


NAME = "aichatkit:requests:openai:"


@pytest.fixture
def counter():
    """Make a counter that is closed after the test: `counter(storage, limit, seconds)`."""
    with contextlib.ExitStack() as made:

        def make(storage, limit, seconds, *, sliding=True, name=NAME):
            return made.enter_context(contextlib.closing(SharedCounter(storage, name, limit, seconds, sliding=sliding)))

        yield make


def test_counters_of_one_name_count_together(counter, storage):
    one, two = counter(storage, 3, 60), counter(storage, 3, 60)
    assert [one.reserve(1)[0], two.reserve(1)[0], one.reserve(1)[0]] == [0, 0, 0]
    for each in (one, two):
        assert 50 < each.reserve(1)[0] <= 60


def test_counters_of_different_names_count_apart(counter, storage):
    one, two = counter(storage, 1, 60), counter(storage, 1, 60, name="aichatkit:requests:groq:")
    assert [one.reserve(1)[0], two.reserve(1)[0]] == [0, 0]


def test_a_wait_is_long_enough_and_no_longer(counter, storage):
    one = counter(storage, 1, 1.0)
    assert one.reserve(1)[0] == 0
    seconds, _ = one.reserve(1)
    assert 0 < seconds <= 1.01
    time.sleep(seconds + 0.002)
    assert one.reserve(1)[0] == 0


def test_more_than_the_limit_goes_alone(counter, storage):
    one = counter(storage, 10, 60)
    assert one.reserve(25) == (0, 10)
    assert one.reserve(1)[0] > 0


def test_what_was_used_beyond_the_estimate_is_counted_as_far_as_it_fits(counter, storage):
    one = counter(storage, 100, 60)
    _, reservation = one.reserve(40)
    one.settle(reservation, 90)
    assert one.reserve(11)[0] > 0
    assert one.reserve(10)[0] == 0
    one.settle(10, 1000)
    assert one.reserve(1)[0] > 0


def test_half_of_the_excess_is_counted_where_all_of_it_does_not_fit(counter, storage):
    one = counter(storage, 100, 60)
    _, reservation = one.reserve(40)
    one.settle(reservation, 140)
    assert one.reserve(11)[0] > 0
    assert one.reserve(10)[0] == 0


def test_what_was_not_used_comes_back_with_time_only(counter, storage):
    one = counter(storage, 100, 60)
    _, reservation = one.reserve(100)
    one.settle(reservation, 1)
    assert one.reserve(1)[0] > 0


def test_threads_share_one_counter(counter, storage):
    one, taken = counter(storage, 5, 60), []
    threads = [threading.Thread(target=lambda: taken.append(one.reserve(1)[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(taken)[:6].count(0) == 5
    assert len([seconds for seconds in taken if seconds > 0]) == 7


# The library leaves a file open that it could not use.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_storage_that_cannot_be_opened_is_told(counter, tmp_path):
    (tmp_path / "rates.db").write_text("this is no database, but a text that is long enough to look like none")
    with pytest.raises(ConnectError, match="storage cannot be used") as caught:
        counter(f"sqlite:///{tmp_path}/rates.db", 1, 60).reserve(1)
    assert (caught.value.action, caught.value.scope) == ("stop", "")
    assert caught.value.reason == "DatabaseError: file is not a database"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    del caught
    gc.collect()


def test_a_storage_that_breaks_after_the_answer_spoils_nothing(counter, storage):
    one = counter(storage, 10, 60)
    one.reserve(1)
    one._bucket.conn.close()
    one.settle(1, 5)
    with pytest.raises(ConnectError):
        one.reserve(1)


@pytest.mark.parametrize("uri", ["mysql://host/db", "rates.db", "", "sqlite://", "sqlite:///", "http://u:hunter2@h"])
def test_a_storage_that_is_none_is_refused(counter, uri):
    with pytest.raises(ConfigurationError, match="storage must be like") as caught:
        counter(uri, 1, 60).reserve(1)
    assert "hunter2" not in str(caught.value)


def test_without_the_extra_it_is_named(counter, monkeypatch, storage):
    monkeypatch.setitem(sys.modules, "pyrate_limiter", None)
    with pytest.raises(ConfigurationError, match=r"aichatkit\[limits\]") as caught:
        counter(storage, 1, 60).reserve(1)
    assert caught.value.reason.startswith("ModuleNotFoundError: import of pyrate_limiter")


def test_without_the_redis_package_it_is_named(counter, monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError, match="pip install redis") as caught:
        counter("redis://127.0.0.1:1/0", 1, 60).reserve(1)
    assert caught.value.reason.startswith("ModuleNotFoundError: import of redis")


class FakeRedis(types.ModuleType):
    """As much of the redis package as is used to open a storage."""

    class RedisError(Exception):
        """What the package raises."""

    class Redis:
        """A server whose every command fails."""

        opened: list

        @classmethod
        def from_url(cls, url, **options):
            if "bad" in url:
                raise ValueError(f"cannot read {url}")
            cls.opened.append((url, options))
            return cls()

        def __getattr__(self, name):
            raise FakeRedis.RedisError("no server, password hunter2")


@pytest.fixture
def fake_redis(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", FakeRedis("redis"))
    FakeRedis.Redis.opened = []
    return FakeRedis.Redis


@pytest.mark.parametrize("sliding", [True, False])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
def test_a_redis_that_fails_is_a_connect_error_without_its_password(counter, fake_redis, scheme, sliding):
    uri = f"{scheme}://:hunter2@host/0"
    with pytest.raises(ConnectError, match="RedisError") as caught:
        counter(uri, 1, 60, sliding=sliding).reserve(1)
    assert [url for url, _ in fake_redis.opened] == [uri]
    assert "hunter2" not in repr(vars(caught.value))
    assert caught.value.reason == "RedisError"


def test_a_redis_that_is_not_there_says_so(counter):
    pytest.importorskip("redis")
    with pytest.raises(ConnectError) as caught:
        counter("redis://:hunter2@127.0.0.1:1/0", 1, 60).reserve(1)
    assert caught.value.reason.startswith("ConnectionError: Error 111 connecting to 127.0.0.1:1")
    assert "hunter2" not in repr(vars(caught.value))


def test_a_redis_is_not_waited_for_without_end(counter, fake_redis):
    with pytest.raises(ConnectError):
        counter("redis://host/0", 1, 60).reserve(1)
    ((_, options),) = fake_redis.opened
    assert options["socket_timeout"] <= 10
    assert options["socket_connect_timeout"] <= 10


def test_a_redis_uri_that_cannot_be_read_is_refused_without_its_password(counter, fake_redis):
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        counter("redis://:hunter2@bad/0", 1, 60).reserve(1)
    assert "hunter2" not in repr(vars(caught.value))
    assert caught.value.reason == "ValueError"
    assert caught.value.__suppress_context__


def test_requests_are_counted_one_by_one_and_tokens_by_a_bucket_that_refills(counter, monkeypatch, fake_redis):
    made, closed = [], []

    class Bucket:
        """A bucket of the library that lets everything pass."""

        def __init__(self, kind):
            made.append(kind)

        @classmethod
        def init(cls, rates, server, name):
            return cls("sliding")

        def now(self):
            return 0

        def put(self, item):
            return True

        def leak(self, now):
            return 0

        def close(self):
            closed.append(self)

    monkeypatch.setattr(limiter, "RedisBucket", Bucket)
    monkeypatch.setattr(limiter, "StateBucket", lambda rates, algorithm, store: Bucket(type(algorithm).__name__))
    monkeypatch.setattr(limiter, "RedisStateStore", lambda server, name: None)
    for sliding in (True, False):
        one = counter("redis://host/0", 5, 60, sliding=sliding)
        assert one.reserve(1)[0] == 0
        one.close()
    assert (made, len(closed)) == (["sliding", "TokenBucket"], 2)


def test_two_clients_share_requests_and_tokens(storage):
    rate = Rate("5/min", tokens="100/min", storage=storage)
    one, two = RateLimiter({"": rate, "groq": Rate("1/min")}), RateLimiter({"": rate})
    waiting = Sleeper(Deadline(1.0), threading.Event())
    with contextlib.closing(one), contextlib.closing(two):
        one.acquire("groq", "", "m", 1, waiting)
        one.acquire("openai", "", "m", 60, waiting)
        with pytest.raises(DeadlineExceededError):
            two.acquire("openai", "", "m", 60, waiting)
        two.acquire("openai", "another key", "m", 60, waiting)


def test_closing_a_client_closes_its_storage_and_another_goes_on(sandbox, storage):
    options = {"model": "openai", "api_key": "sk-shared-1", "base_url": f"{sandbox.url}/v1"}
    rate = Rate("2/min", storage=storage)
    for _ in range(2):
        with Client(rate=rate, **options) as client:
            client.ask("Hi")
    with Client(rate=rate, **options) as client, pytest.raises(DeadlineExceededError):
        client.ask("Hi", timeout=Timeout(total=5))


def test_a_client_whose_storage_is_gone_asks_nobody_and_cools_nothing(sandbox, tmp_path):
    (tmp_path / "rates.db").mkdir()
    rate, keys = Rate("5/min", storage=f"sqlite:///{tmp_path}/rates.db"), {"openai": "sk-shared-1"}
    with Client(model=["openai", "offline"], api_key=keys, base_url={"openai": f"{sandbox.url}/v1"}, rate=rate) as one:
        with pytest.raises(ConnectError, match="storage"):
            one.ask("Hi")
        assert one.health == []


def test_processes_take_turns_at_the_file(counter, storage, tmp_path):
    """Without the lock the library lets processes pass the limit together."""
    filelock = pytest.importorskip("filelock")
    one, taken = counter(storage, 3, 60), []
    one.reserve(1)
    thread = threading.Thread(target=lambda: taken.append(one.reserve(1)[0]))
    with filelock.FileLock(f"{tmp_path}/rates.db.lock"):
        thread.start()
        thread.join(0.15)
        assert taken == []
    thread.join(5)
    assert taken == [0]


def take_often(storage, until, gate, moments):
    """Take as often as the rate lets, and tell when each began and ended."""
    own = SharedCounter(storage, NAME, 10, 1.0, sliding=True)
    gate.wait(120)
    end, found = time.monotonic() + until, []
    while time.monotonic() < end:
        before = time.time()
        seconds, _ = own.reserve(1)
        if seconds == 0:
            found.append((before, time.time()))
        else:
            time.sleep(min(seconds, 0.05))
    own.close()
    moments.put(found)


@pytest.mark.slow
def test_processes_share_a_rate_by_a_file(counter, storage):
    counter(storage, 10, 1.0).reserve(1)
    context = multiprocessing.get_context("spawn")
    gate, moments = context.Barrier(4), context.Queue()
    workers = [context.Process(target=take_often, args=(storage, 1.2, gate, moments)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [moment for _ in workers for moment in moments.get(timeout=120)]
    for worker in workers:
        worker.join(60)
    # What was surely taken within the time, however long each process had to wait for its turn.
    assert max(sum(start <= before and after < start + 0.98 for before, after in found) for start, _ in found) <= 11
    assert len(found) >= 10


def test_the_file_survives_what_is_written_by_others(counter, storage, tmp_path):
    counter(storage, 3, 60).reserve(1)
    with contextlib.closing(sqlite3.connect(tmp_path / "rates.db")) as found:
        tables = [name for (name,) in found.execute("select name from sqlite_master where type = 'table'")]
    assert tables == ["aichatkit_requests_openai_"]
