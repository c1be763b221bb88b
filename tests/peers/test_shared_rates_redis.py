"""One rate for several processes and machines, kept in a Redis."""

from __future__ import annotations

import contextlib
import multiprocessing
import time

import peer_servers
import pytest

from aichatkit import Client, Rate
from aichatkit.errors import ConnectError, DeadlineExceededError
from aichatkit.limits.shared_rates import SharedCounter
from aichatkit.transport.timeouts import Timeout

pytest.importorskip("pyrate_limiter", reason="needs the extra `limits`")
pytest.importorskip("redis", reason="needs the redis package")


def take_often(storage, seconds, gate, moments):
    """Take as often as the rate lets, and tell when each began and ended."""
    own = SharedCounter(storage, "aichatkit:requests:openai:", 10, 1.0, sliding=True)
    gate.wait(120)
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        before = time.time()
        wait, _ = own.reserve(1)
        if wait == 0:
            found.append((before, time.time()))
        else:
            time.sleep(min(wait, 0.05))
    own.close()
    moments.put(found)


def test_four_processes_share_ten_requests_a_second(redis):
    context = multiprocessing.get_context("spawn")
    gate, moments = context.Barrier(4), context.Queue()
    workers = [context.Process(target=take_often, args=(redis.url, 2.0, gate, moments)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [moment for _ in workers for moment in moments.get(timeout=120)]
    for worker in workers:
        worker.join(60)
    # Redis counts by the clock of who asks, and each may be held up between its look at the clock and its take.
    assert max(sum(start <= before and after < start + 0.98 for before, after in found) for start, _ in found) <= 14
    assert len(found) >= 18


def test_clients_share_requests_and_tokens(redis, sandbox):
    rate = Rate("3/min", tokens="1000/min", storage=redis.url)
    options = {"model": "openai", "api_key": "sk-redis-1", "base_url": f"{sandbox.url}/v1", "rate": rate}
    with Client(**options) as one, Client(**options) as two:
        replies = [client.ask("Hi") for client in (one, two, one)]
        with pytest.raises(DeadlineExceededError, match="pacing openai"):
            two.ask("Hi", timeout=Timeout(total=5))
    assert all(reply.text for reply in replies)


def test_tokens_beyond_the_estimate_are_counted(redis):
    one = SharedCounter(redis.url, "aichatkit:tokens:openai:excess", 100, 60.0, sliding=False)
    with contextlib.closing(one):
        _, reservation = one.reserve(10)
        one.settle(reservation, 100)
        assert one.reserve(50)[0] > 0


def test_a_redis_that_has_gone_is_told_at_once_and_no_provider_is_blamed(sandbox):
    with contextlib.ExitStack() as running:
        peer = running.enter_context(peer_servers.run_redis())
        rate = Rate("1000/min", storage=peer.url)
        with Client(
            model=["openai", "offline"],
            api_key={"openai": "sk-redis-1"},
            base_url={"openai": f"{sandbox.url}/v1"},
            rate={"openai": rate},
        ) as client:
            client.ask("Hi")
            running.close()
            started = time.monotonic()
            with pytest.raises(ConnectError, match="storage cannot be used") as caught:
                client.ask("Hi")
            assert time.monotonic() - started < 5
            assert (client.health, caught.value.__cause__) == ([], None)


def test_the_password_of_a_storage_is_in_no_error(redis):
    storage = redis.url.replace("redis://", "redis://nobody:hunter2@")
    with pytest.raises(ConnectError) as caught:
        SharedCounter(storage, "name", 1, 60.0, sliding=True).reserve(1)
    assert "hunter2" not in repr((caught.value, vars(caught.value)))
