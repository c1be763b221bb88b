from __future__ import annotations

import gc
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from background import in_thread
from hypothesis import given, settings
from hypothesis import strategies as st

from aichatkit import Client, Rate, RetryPolicy
from aichatkit.errors import (
    ChatError,
    ConfigurationError,
    DeadlineExceededError,
)
from aichatkit.limits.rate_limits import RateLimiter, Slot, WindowCounter, parse_quota
from aichatkit.limits.waits import Sleeper
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport.timeouts import Deadline, Timeout


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Still(Clock):
    """A clock that nothing moves, as for those who ask at the same moment."""

    def sleep(self, seconds):
        self.slept.append(seconds)


def waiting(clock, *, total=None, hook=None, closing=None):
    return Sleeper(Deadline(total, clock), closing or threading.Event(), hook, clock.sleep)


def enter(pacer, clock, *, provider="openai", key="", weight=1, **options):
    return pacer.acquire(provider, key, "m", weight, waiting(clock, **options))


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("60/min", 60, 60),
        ("60/m", 60, 60),
        ("60 per minute", 60, 60),
        ("10/s", 10, 1),
        ("10/sec", 10, 1),
        ("10/second", 10, 1),
        ("5/10s", 5, 10),
        ("5 per 10 seconds", 5, 10),
        ("5/2mins", 5, 120),
        ("1/hour", 1, 3600),
        ("1/h", 1, 3600),
        ("1/hours", 1, 3600),
        ("1000/day", 1000, 86400),
        ("1000/d", 1000, 86400),
        (" 60 / MIN ", 60, 60),
    ],
)
def test_a_quota_is_a_count_and_a_time(text, count, seconds):
    assert parse_quota(text) == (count, seconds)


@pytest.mark.parametrize(
    "text",
    ["", "60", "60/", "/min", "0/min", "5/0s", "-1/min", "1.5/s", "60/fortnight", "60//min", "٦/min", 60, b"1/s"],
)
def test_a_quota_that_cannot_be_read_is_refused(text):
    with pytest.raises(ConfigurationError, match="must look like"):
        Rate(requests=text)


@pytest.mark.parametrize("concurrent", [0, -1, 1.5, True, "3"])
def test_a_number_of_places_that_is_none_is_refused(concurrent):
    with pytest.raises(ConfigurationError, match="concurrent"):
        Rate(concurrent=concurrent)


def test_a_rate_without_any_limit_is_refused():
    with pytest.raises(ConfigurationError, match="at least one"):
        Rate(storage="redis://localhost")


def test_tokens_are_named_where_their_quota_cannot_be_read():
    with pytest.raises(ConfigurationError, match="tokens"):
        Rate(tokens="many")


@pytest.mark.parametrize("value", [60, 1.0, ("60/min",), {"requests": "60/min"}])
def test_a_rate_of_another_kind_is_refused(value):
    with pytest.raises(ConfigurationError, match="rate"):
        Rate.of(value)


def test_a_rate_may_be_given_as_text_or_as_itself():
    rate = Rate(tokens="5/s")
    assert (Rate.of("60/min"), Rate.of(rate), Rate.of(None)) == (Rate(requests="60/min"), rate, None)


def test_the_repr_of_a_rate_does_not_show_its_storage():
    assert "hunter2" not in repr(Rate("60/min", storage="redis://:hunter2@host/0"))


@given(
    limit=st.integers(1, 5),
    arrivals=st.lists(st.tuples(st.floats(0, 4), st.integers(1, 7)), min_size=1, max_size=40),
)
@settings(max_examples=150, deadline=None)
def test_no_window_ever_holds_more_than_the_limit(limit, arrivals):
    taken = granted(limit, arrivals)
    for end, _ in taken:
        # A float may fall a hair short of the moment.
        assert sum(weight for moment, weight in taken if end - 10.0 + 1e-6 < moment <= end) <= limit


@given(
    limit=st.integers(1, 5),
    arrivals=st.lists(st.tuples(st.floats(0, 4), st.integers(1, 7)), min_size=1, max_size=40),
)
@settings(max_examples=100, deadline=None)
def test_nobody_waits_longer_than_for_room_or_for_who_came_before(limit, arrivals):
    now, taken = 0.0, granted(limit, arrivals)
    for number, ((moment, weight), (pause, _)) in enumerate(zip(taken, arrivals)):
        now += pause
        sooner = moment - 0.005
        if sooner > now:
            before = taken[:number]
            queued = before[-1][0] > sooner
            full = sum(taken_weight for at, taken_weight in before if sooner - 10.0 < at <= sooner) + weight > limit
            assert queued or full


def granted(limit, arrivals):
    """Return moment and weight of what a counter of ten seconds gives to those who arrive."""
    clock, taken = Clock(), []
    counter = WindowCounter(limit, 10.0, clock)
    for pause, weight in arrivals:
        clock.now += pause
        seconds, _ = counter.reserve(weight)
        taken.append((round(clock.now + seconds, 9), min(weight, limit)))
    assert taken == sorted(taken, key=lambda row: row[0])
    return taken


def test_who_waits_is_told_once_however_many_wait():
    clock, seen = Still(), []
    counter = WindowCounter(1, 60.0, clock)
    assert [counter.reserve(1)[0] for _ in range(4)] == [0, 60, 120, 180]
    pacer = RateLimiter({"": Rate("1/min")}, clock)
    with ThreadPoolExecutor(5) as threads:
        waits = list(threads.map(lambda _: enter(pacer, clock, hook=seen.append)[1], range(5)))
    assert sorted(waits) == [0, 60, 120, 180, 240]
    assert len(seen) == 4


def test_a_wait_that_would_read_as_none_is_not_announced():
    clock, seen = Clock(), []
    pacer = RateLimiter({"": Rate("1/min")}, clock)
    enter(pacer, clock)
    clock.now = 59.99
    assert enter(pacer, clock, hook=seen.append)[1] == pytest.approx(0.01)
    assert seen == []


def test_a_storage_without_room_is_asked_again_after_the_wait_it_told(monkeypatch):
    told = [(2.0, None), (1.0, None), (0.0, 1)]

    class Full:
        def reserve(self, weight):
            return told.pop(0)

    monkeypatch.setattr(RateLimiter, "_build_counter", lambda *args: Full())
    clock = Clock()
    _, waited = enter(RateLimiter({"": Rate("1/min")}, clock), clock)
    assert (clock.slept, waited, told) == ([2.0, 1.0], 3.0, [])


def test_a_request_that_waits_in_vain_for_its_tokens_does_not_count():
    clock = Clock()
    pacer = RateLimiter({"": Rate("2/min", tokens="10/min")}, clock)
    slot, _ = enter(pacer, clock, weight=10)
    with pytest.raises(DeadlineExceededError):
        enter(pacer, clock, weight=10, total=1)
    slot.release(0)
    assert enter(pacer, clock, weight=1)[1] == 0


@given(
    calls=st.lists(
        st.tuples(st.floats(0, 5), st.integers(1, 12), st.integers(0, 20), st.floats(0, 12)), min_size=1, max_size=30
    )
)
@settings(max_examples=200, deadline=None)
def test_what_a_call_gives_back_never_lets_others_pass_the_limit(calls):
    """Settled down to less, an entry counts what was really used for as long as it would have counted anyway."""
    clock = Clock()
    counter = WindowCounter(10, 10.0, clock)
    entries, pending = [], []
    for pause, weight, less, later in calls:
        for moment, reservation, entry, used in sorted(pending, key=lambda row: row[0]):
            if moment <= clock.now + pause:
                clock.now, pause = max(clock.now, moment), max(0.0, clock.now + pause - max(clock.now, moment))
                counter.settle(reservation, used)
                entry[1] = used
        pending = [row for row in pending if row[0] > clock.now]
        clock.now += pause
        seconds, reservation = counter.reserve(weight)
        if seconds == 0:
            entry = [clock.now, min(weight, 10)]
            entries.append(entry)
            pending.append((clock.now + later, reservation, entry, max(0, entry[1] - less)))
            assert sum(used for moment, used in entries if clock.now - 10.0 + 1e-6 < moment <= clock.now) <= 10
        else:
            counter.settle(reservation, 0)


def test_more_than_the_limit_goes_alone():
    clock = Clock()
    counter = WindowCounter(10, 60.0, clock)
    assert counter.reserve(25)[0] == 0
    assert counter.reserve(1)[0] == 60


def test_tokens_that_were_not_used_are_free_again():
    clock = Clock()
    counter = WindowCounter(100, 60.0, clock)
    _, reservation = counter.reserve(90)
    counter.settle(reservation, 20)
    assert counter.reserve(80)[0] == 0
    assert counter.reserve(1)[0] > 0


def test_tokens_used_beyond_the_estimate_are_counted():
    clock = Clock()
    counter = WindowCounter(100, 60.0, clock)
    _, reservation = counter.reserve(10)
    clock.now = 30.0
    counter.settle(reservation, 95)
    assert counter.reserve(10)[0] == 30.0
    clock.now = 60.0
    assert counter.reserve(20)[0] == 30.0


def test_an_entry_that_counts_no_more_gives_nothing_back():
    clock = Clock()
    counter = WindowCounter(100, 60.0, clock)
    _, reservation = counter.reserve(100)
    clock.now = 61.0
    assert counter.reserve(60)[0] == 0
    counter.settle(reservation, 0)
    assert counter.reserve(41)[0] > 0


def test_a_provider_without_a_rate_is_not_paced():
    clock = Clock()
    pacer = RateLimiter({"groq": Rate("1/min")}, clock)
    for _ in range(3):
        slot, waited = enter(pacer, clock)
        slot.release(5)
        assert waited == 0


def test_a_rate_of_its_own_wins_over_the_one_for_all():
    clock = Clock()
    pacer = RateLimiter({"": Rate("1/min"), "openai": Rate("2/min")}, clock)
    waits = [enter(pacer, clock, provider=name)[1] for name in ("openai", "openai", "groq", "groq")]
    assert waits == [0, 0, 0, 60]


def test_each_key_has_a_count_of_its_own():
    clock = Clock()
    pacer = RateLimiter({"": Rate("1/min", tokens="5/min", concurrent=1)}, clock)
    waits = []
    for key in ("a", "b"):
        waits.append(enter(pacer, clock, key=key, weight=5)[1])
    assert waits == [0, 0]


def test_the_whole_wait_is_told_to_the_caller_and_announced():
    clock, seen = Clock(), []
    pacer = RateLimiter({"": Rate("1/min", tokens="10/day")}, clock)
    enter(pacer, clock, weight=10)
    _, waited = enter(pacer, clock, weight=10, hook=seen.append)
    assert waited == 86400 == sum(clock.slept)
    assert [str(wait) for wait in seen] == [
        "pacing openai, waiting 60.0 s",
        "pacing openai, waiting 86340.0 s",
    ]


def test_a_wait_past_the_deadline_is_not_begun():
    clock = Clock()
    pacer = RateLimiter({"": Rate("1/min")}, clock)
    enter(pacer, clock)
    with pytest.raises(DeadlineExceededError, match="pacing openai, waiting 60") as caught:
        enter(pacer, clock, total=59)
    assert (clock.slept, caught.value.retry_after, caught.value.provider, caught.value.model) == ([], 60, "openai", "m")


def test_a_place_is_given_back_where_the_wait_for_the_rate_fails():
    clock = Clock()
    pacer = RateLimiter({"": Rate("1/min", concurrent=1)}, clock)
    enter(pacer, clock)[0].release()
    for _ in range(2):
        with pytest.raises(DeadlineExceededError):
            enter(pacer, clock, total=1)
    clock.now = 60
    assert enter(pacer, clock, total=1)[1] == 0


def test_a_slot_is_given_back_once():
    clock = Clock()
    pacer = RateLimiter({"": Rate(concurrent=1, tokens="100/min")}, clock)
    slot, _ = enter(pacer, clock, weight=50)
    for _ in range(3):
        slot.release(40)
    slot, _ = enter(pacer, clock, weight=60)
    with pytest.raises(DeadlineExceededError):
        pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(0.01), threading.Event()))


def test_a_slot_without_usage_keeps_the_estimate():
    clock = Clock()
    pacer = RateLimiter({"": Rate(tokens="100/min")}, clock)
    enter(pacer, clock, weight=50)[0].release(None)
    assert enter(pacer, clock, weight=51)[1] == 60


def test_a_slot_of_no_rate_is_released_without_effect():
    Slot().release(5)


def test_whoever_waits_for_a_place_gets_it_when_one_is_given_back():
    pacer, told = RateLimiter({"": Rate(concurrent=1)}), threading.Event()
    first, _ = pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(), threading.Event()))
    seen = []

    def hook(wait):
        seen.append(wait)
        told.set()

    result = in_thread(lambda: pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(), threading.Event(), hook)))
    assert told.wait(5)
    first.release()
    slot, waited = result()
    slot.release()
    assert waited > 0
    assert [str(wait) for wait in seen] == ["pacing openai, waiting for a free place"]


def test_a_wait_for_a_place_ends_with_the_deadline():
    pacer = RateLimiter({"": Rate(concurrent=1)})
    pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(), threading.Event()))
    with pytest.raises(DeadlineExceededError, match="expired"):
        pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(0.06), threading.Event()))


def test_a_wait_for_a_place_ends_when_the_client_closes():
    pacer, told, closing = RateLimiter({"": Rate(concurrent=1)}), threading.Event(), threading.Event()
    pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(), closing))
    hook = lambda wait: told.set()  # noqa: E731
    result = in_thread(lambda: pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(), closing, hook)))
    assert told.wait(5)
    closing.set()
    assert "closed" in str(result())


def test_a_place_that_closing_gave_back_is_not_used_any_more():
    pacer, told, closing = RateLimiter({"": Rate(concurrent=1)}), threading.Event(), threading.Event()
    slot, _ = pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(), closing))
    hook = lambda wait: told.set()  # noqa: E731
    result = in_thread(lambda: pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(), closing, hook)))
    assert told.wait(5)
    closing.set()
    slot.release()
    assert "closed" in str(result())
    closing.clear()
    assert pacer.acquire("openai", "", "m", 1, Sleeper(Deadline(0.01), closing))[1] == 0


def test_a_pacer_out_of_a_pickle_keeps_its_rates_and_counts_anew():
    pacer = RateLimiter({"": Rate("1/min", storage="sqlite:///x.db")})
    assert pickle.loads(pickle.dumps(pacer)).rates == pacer.rates


# The pacer inside a client.

URL = "/v1"
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}}\n\n'
PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}\n\n'
END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n' + USAGE + b"data: [DONE]\n\n"
WHOLE = [chunked_head(), chunk(PIECE), chunk(END), chunk(b"")]


@pytest.fixture
def paced():
    """Make a client of a scripted service and the clock it lives by: `paced(rate, script, ...)`."""
    made = []

    def make(rate, *scripts, **options):
        clock = Clock()
        server = RawServer(*(scripts or [WHOLE])).start()
        policy = RetryPolicy(sleep=clock.sleep, clock=clock, random=lambda: 0.5)
        given = {"model": "openai", "api_key": "sk-paced-1", "base_url": server.url + URL, "retry": policy, **options}
        client = Client(rate=rate, **given)
        made.extend([server, client])
        return client, server, clock

    yield make
    for thing in reversed(made):
        thing.close()


def test_the_second_request_of_a_minute_waits_and_the_reply_tells(paced):
    client, server, clock = paced("1/min")
    client.ask("Hi")
    reply = client.ask("Hi")
    assert clock.slept == [60]
    assert [attempt.wait for attempt in reply.attempts] == [60]
    assert len(server.requests) == 2


def test_a_retry_is_paced_as_well(paced):
    client, _, clock = paced("1/min", [response(b"no", status="500 No")], WHOLE)
    reply = client.ask("Hi")
    assert [round(attempt.wait, 3) for attempt in reply.attempts] == [0.25, 59.75]
    assert sum(clock.slept) == 60


def test_real_usage_takes_the_place_of_the_estimate(paced):
    client, _, clock = paced(Rate(tokens="200/min"))
    client.ask("x" * 40, max_tokens=190)
    assert client.ask("x" * 40, max_tokens=160).text == "Hello"
    assert clock.slept == []


def test_a_pacing_wait_past_the_deadline_sends_nothing(paced):
    client, server, clock = paced("1/min")
    client.ask("Hi")
    with pytest.raises(DeadlineExceededError) as caught:
        client.ask("Hi", timeout=Timeout(total=30))
    assert (len(server.requests), clock.slept, caught.value.provider) == (1, [], "openai")
    assert client.health == []


def test_each_key_is_paced_by_itself(paced):
    limited = [response(b"", status="429 No", headers=[("Retry-After", "30")])]
    client, _, clock = paced("1/min", limited, WHOLE, api_key=["sk-paced-1", "sk-paced-2"])
    assert client.ask("Hi").text == "Hello"
    assert clock.slept == []


OPEN = [chunked_head(), chunk(PIECE), "wait-close"]
CUT = [chunked_head(), chunk(PIECE), "close"]


def read_to_its_error(stream):
    with pytest.raises(ChatError):
        stream.read()


def cancel(stream):
    stream.cancel()
    read_to_its_error(stream)


#: How an answer ends that holds the only place, and what the service does meanwhile.
ENDINGS = {
    "read": (WHOLE, lambda stream: stream.read()),
    "closed": (OPEN, lambda stream: stream.close()),
    "left": (OPEN, lambda stream: next(iter(stream))),
    "dropped": (OPEN, lambda stream: None),
    "cut": (CUT, read_to_its_error),
    "cancelled": (OPEN, cancel),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_however_an_answer_ends_its_place_is_free_for_the_next(paced, ending):
    script, end = ENDINGS[ending]
    client, _, _ = paced(Rate(concurrent=1), script, WHOLE, retry=0)
    stream = client.stream("Hi")
    end(stream)
    del stream
    gc.collect()
    assert client.ask("Hi", timeout=Timeout(total=5)).text == "Hello"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([response(b"no", status="401 No")], id="refused"),
        pytest.param(["close"], id="closed"),
        pytest.param([chunked_head(), chunk(b"data: {broken\n\n"), chunk(b"")], id="unreadable"),
    ],
)
def test_a_call_that_fails_gives_its_place_back(paced, script):
    client, _, _ = paced(Rate(concurrent=1), script, WHOLE, retry=0)
    with pytest.raises(ChatError):
        client.ask("Hi")
    assert client.ask("Hi", timeout=Timeout(total=5)).text == "Hello"


def test_closing_the_client_frees_whoever_waits_for_a_place_and_sends_nothing(paced):
    told = threading.Event()
    client, server, _ = paced(Rate(concurrent=1), OPEN, WHOLE, hooks={"wait": lambda wait: told.set()})
    stream = client.stream("Hi")
    result = in_thread(lambda: client.ask("Hi"))
    assert told.wait(5)
    client.close()
    stream.close()
    assert "closed" in str(result())
    assert len(server.requests) == 1
