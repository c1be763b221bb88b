from __future__ import annotations

import json
import pickle
import threading
from datetime import datetime, timedelta, timezone

import pytest

from aichatkit import Client, RetryPolicy
from aichatkit.errors import (
    AllProvidersFailedError,
    APIError,
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    BlockedError,
    ConnectError,
    ContentFilteredError,
    ContextTooLongError,
    DeadlineExceededError,
    EmptyAnswerError,
    ModelNotFoundError,
    OverloadedError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    StreamStalledError,
    TimedOutError,
    TokenNotFoundError,
)
from aichatkit.limits.cooldowns import CooldownKey, Cooldowns
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport.timeouts import Timeout

KEY, OTHER = "sk-health-1111", "sk-health-2222"
HERE = CooldownKey.of("openai", KEY, "m")
SAME_KEY = CooldownKey.of("openai", KEY, "n")
SAME_PROVIDER = CooldownKey.of("openai", OTHER, "m")
ELSEWHERE = CooldownKey.of("groq", KEY, "m")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Cooldowns(clock)


#: Which of these are left alone after a failure of one, and for how long: the same model, another model with the
#: same key, another key, another provider.
TABLE = [
    (RateLimitError("x"), 15, "model"),
    (RateLimitError("x", retry_after=40), 40, "model"),
    (RateLimitError("x", retry_after=2), 2, "model"),
    (QuotaExceededError("x"), 3600, "key"),
    (QuotaExceededError("x", retry_after=120), 120, "key"),
    (QuotaExceededError("x", retry_after=86400), 86400, "key"),
    (OverloadedError("x"), 10, "any key"),
    (ServerError("x"), 10, "any key"),
    (ServerError("x", retry_after=30), 30, "any key"),
    (ServerError("x", retry_after=1), 10, "any key"),
    (ConnectError("x"), 10, "provider"),
    (ConnectError("x", maybe_processed=True), 10, "provider"),
    (TimedOutError("x"), 10, "any key"),
    (AuthenticationError("x"), 3600, "key"),
    (PermissionDeniedError("x"), 3600, "key"),
    (ModelNotFoundError("x"), 3600, "model"),
    (BlockedError("x"), 300, "provider"),
    (EmptyAnswerError("x"), 10, "any key"),
    (BadResponseError("x"), 60, "any key"),
    (TokenNotFoundError("x"), 60, "any key"),
    (StreamInterruptedError("x"), 10, "any key"),
    (ContextTooLongError("x"), 0, ""),
    (BadRequestError("x"), 0, ""),
    (ContentFilteredError("x"), 0, ""),
    (DeadlineExceededError("x"), 0, ""),
    (AuthenticationError("x", action="refresh"), 0, ""),
]
REACH = {
    "provider": (1, 1, 1, 0),
    "key": (1, 1, 0, 0),
    "model": (1, 0, 0, 0),
    "any key": (1, 0, 1, 0),
    "": (0, 0, 0, 0),
}


@pytest.mark.parametrize(("error", "seconds", "scope"), TABLE)
def test_what_a_failure_leaves_alone_and_for_how_long(health, error, seconds, scope):
    health.record_failure(HERE, error)
    waits = tuple(health.peek(subject) for subject in (HERE, SAME_KEY, SAME_PROVIDER, ELSEWHERE))
    assert waits == tuple(seconds * reached for reached in REACH[scope])


@pytest.mark.parametrize("kind", [StreamInterruptedError, StreamStalledError])
def test_an_answer_that_broke_off_counts_as_one_failure_and_cools_nothing(health, kind):
    health.record_failure(HERE, kind("x", partial="Hello"))
    assert (health.peek(HERE), health.cooling()) == (0, [])
    health.record_failure(HERE, ServerError("x"))
    assert health.peek(HERE) == 20


def test_each_further_failure_of_a_provider_doubles_the_time_up_to_five_minutes(health, clock):
    seconds = []
    for _ in range(7):
        health.record_failure(HERE, ServerError("x"))
        seconds.append(health.peek(HERE))
        clock.now += seconds[-1]
    assert seconds == [10, 20, 40, 80, 160, 300, 300]


def test_one_trouble_that_many_threads_meet_is_one_failure(health, clock):
    for _ in range(64):
        health.record_failure(HERE, ServerError("x"))
        clock.now += 0.01
    assert ([row.failures for row in health.cooling()], round(health.peek(HERE))) == ([1], 10)


def test_ten_thousand_failures_are_no_problem_of_arithmetic(health, clock):
    for _ in range(10_000):
        clock.now += 300
        health.record_failure(HERE, ServerError("x"))
    assert health.peek(HERE) == 300


def test_a_limit_does_not_double(health):
    for _ in range(3):
        health.record_failure(HERE, RateLimitError("x"))
    assert health.peek(HERE) == 15


def test_an_answer_clears_everything_in_its_way(health):
    for error in (ServerError("x"), QuotaExceededError("x"), RateLimitError("x")):
        health.record_failure(HERE, error)
    health.record_success(HERE)
    assert (health.peek(HERE), health.cooling()) == (0, [])
    health.record_failure(HERE, ServerError("x"))
    assert health.peek(HERE) == 10


def test_the_longest_of_several_reasons_counts(health):
    health.record_failure(HERE, RateLimitError("x"))
    health.record_failure(HERE, QuotaExceededError("x"))
    assert health.admit(HERE) == 3600


def test_what_never_failed_is_admitted_every_time(health):
    assert [health.admit(HERE) for _ in range(3)] == [0, 0, 0]


def test_after_the_time_one_is_admitted_and_the_others_look_again_in_a_second(health, clock):
    health.record_failure(HERE, ServerError("x"))
    clock.now += 10
    assert [health.peek(HERE), health.admit(HERE), health.admit(HERE), health.peek(HERE)] == [0, 0, 1, 1]
    assert health.peek(HERE, probes=False) == 0


def test_of_twenty_threads_one_probes(health, clock):
    health.record_failure(HERE, ServerError("x"))
    clock.now += 10
    gate, admitted = threading.Barrier(20), []

    def ask():
        gate.wait(5)
        admitted.append(health.admit(HERE))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(admitted) == [0] + [1] * 19


def test_a_probe_that_fails_cools_for_longer(health, clock):
    health.record_failure(HERE, ServerError("x"))
    clock.now += 10
    health.admit(HERE)
    health.record_failure(HERE, ServerError("x"))
    assert health.peek(HERE) == 20
    clock.now += 20
    assert health.admit(HERE) == 0


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda health: health.release_probe(HERE), id="given-back"),
        pytest.param(lambda health: health.record_failure(HERE, BadRequestError("x")), id="no-verdict"),
        pytest.param(
            lambda health: health.record_failure(HERE, AuthenticationError("x", action="refresh")), id="refresh"
        ),
        pytest.param(lambda health: health.record_success(HERE), id="answered"),
    ],
)
def test_when_a_probe_has_ended_without_a_failure_another_may_be_asked(health, clock, end):
    health.record_failure(HERE, ServerError("x"))
    clock.now += 10
    health.admit(HERE)
    end(health)
    assert health.admit(HERE) == 0


def test_a_probe_that_hangs_holds_the_others_back_for_a_minute(health, clock):
    health.record_failure(HERE, ServerError("x"))
    clock.now += 10
    health.admit(HERE)
    clock.now += 59
    assert health.admit(HERE) == 1
    clock.now += 1
    assert health.admit(HERE) == 0


def test_what_cools_is_listed_with_reason_and_end_the_longest_first(health):
    health.record_failure(HERE, ServerError("x"))
    health.record_failure(ELSEWHERE, QuotaExceededError("x"))
    health.record_failure(ELSEWHERE, RateLimitError("x", retry_after=40))
    before = datetime.now(timezone.utc)
    rows = health.cooling()
    assert [(row.provider, row.model, row.reason, row.failures, row.seconds) for row in rows] == [
        ("groq", "", "QuotaExceededError", 1, 3600),
        ("groq", "m", "RateLimitError", 1, 40),
        ("openai", "m", "ServerError", 1, 10),
    ]
    assert rows[2].key == ""
    assert timedelta(0) <= rows[0].until - before - timedelta(seconds=3600) < timedelta(seconds=5)


def test_what_has_cooled_is_listed_no_more(health, clock):
    health.record_failure(HERE, ServerError("x"))
    clock.now += 10
    assert health.cooling() == []


def test_keys_are_told_apart_without_being_kept(health):
    health.record_failure(HERE, QuotaExceededError("x"))
    health.record_failure(SAME_PROVIDER, QuotaExceededError("x"))
    first, second = health.cooling()
    assert first.key != second.key
    for key in (KEY, OTHER):
        assert key not in repr((HERE, SAME_PROVIDER, health.cooling(), vars(health)))
    assert CooldownKey.of("openai", None, "m").key == ""


def test_out_of_a_pickle_nothing_is_cooling(clock):
    health = Cooldowns()
    health.record_failure(HERE, ServerError("x"))
    again = pickle.loads(pickle.dumps(health))
    again.record_failure(ELSEWHERE, RateLimitError("x", retry_after=5))
    assert [row.provider for row in again.cooling()] == ["groq"]


# The table inside a client: two services, asked in order.

PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def whole(text):
    return [chunked_head(), chunk(PIECE % text.encode()), chunk(DONE), chunk(b"")]


def refused(status, body=b"", *headers):
    return [response(body, status=f"{status} No", headers=headers)]


def says(message, **fields):
    return json.dumps({"error": {"message": message, **fields}}).encode()


class Pair:
    """Two services of OpenAI's protocol, a client that asks them in order, and the clock it lives by."""

    def __init__(self, first, second, **options):
        self.clock, self.slept = Clock(), []
        self.one, self.two = RawServer(*first).start(), RawServer(*second).start()
        self.policy = RetryPolicy(sleep=self.sleep, clock=self.clock, random=lambda: 0.5)
        self.client = Client(
            **{
                "model": ["openai/m", "groq/m"],
                "api_key": {"openai": KEY, "groq": OTHER},
                "base_url": {"openai": f"{self.one.url}/v1", "groq": f"{self.two.url}/v1"},
                "retry": self.policy,
                **options,
            }
        )

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.clock.now += seconds

    @property
    def asked(self):
        return len(self.one.requests), len(self.two.requests)

    @property
    def cooling(self):
        return [(row.provider, row.reason, round(row.seconds)) for row in self.client.health]


@pytest.fixture
def pair():
    """Make two scripted services and a client: `pair(first_scripts, second_scripts, option=value)`."""
    made = []

    def make(first, second=None, **options):
        both = Pair(first, second or [whole("second")], **options)
        made.append(both)
        return both

    yield make
    for both in made:
        both.client.close()
        both.one.close()
        both.two.close()


PAGE = b"<html><title>Just a moment...</title><script src='/cdn-cgi/challenge-platform/x'></script></html>"
HTML = ("Content-Type", "text/html")
#: What the first service does, how often it is asked, how many waits that takes, and what cools then for how long.
MOVES_ON = {
    "rate-limited": (refused(429), 3, 15),
    "rate-limited-with-hint": (refused(429, b"", ("Retry-After", "20")), 3, 20),
    "rate-limited-for-too-long": (refused(429, b"", ("Retry-After", "900")), 1, 900),
    "quota": (refused(429, says("no money", code="insufficient_quota")), 1, 3600),
    "payment": (refused(402), 1, 3600),
    "overloaded": (refused(503), 3, 10),
    "server-error": (refused(500), 3, 10),
    "maybe-processed": (["close"], 2, 10),
    "wrong-key": (refused(401), 1, 3600),
    "forbidden": (refused(403, says("not allowed")), 1, 3600),
    "no-such-model": (refused(404, says("no model", code="model_not_found")), 1, 3600),
    "challenge-page": (refused(403, PAGE, HTML), 1, 300),
    "context-too-long": (refused(400, says("too long", code="context_length_exceeded")), 1, None),
    "empty": ([chunked_head(), chunk(DONE), chunk(b"")], 3, 10),
    "unreadable": ([chunked_head(), chunk(b"data: {broken\n\n"), chunk(b"")], 1, 60),
    "redirect": (refused(302, b"", ("Location", "/elsewhere")), 1, 60),
}


@pytest.mark.parametrize("case", MOVES_ON)
def test_what_moves_on_to_the_next_provider_and_what_cools_then(pair, case):
    script, asked, seconds = MOVES_ON[case]
    both = pair([script])
    reply = both.client.ask("Hi")
    assert (reply.text, reply.provider, both.asked) == ("second", "groq", (asked, 1))
    assert [attempt.provider for attempt in reply.attempts] == ["openai"] * asked + ["groq"]
    assert len(both.slept) == asked - 1
    assert [(row[0], row[2]) for row in both.cooling] == ([("openai", seconds)] if seconds else [])


def test_a_service_that_is_not_there_moves_on(pair):
    both = pair([[]])
    both.one.close()
    assert both.client.ask("Hi").provider == "groq"
    assert (len(both.slept), both.cooling) == (2, [("openai", "ConnectError", 10)])


STOPS = {
    "bad-request": (refused(400, says("no such parameter")), BadRequestError),
    "filtered": (refused(400, says("filtered", code="content_filter")), ContentFilteredError),
}


@pytest.mark.parametrize("case", STOPS)
def test_what_stops_the_call_and_cools_nothing(pair, case):
    script, kind = STOPS[case]
    both = pair([script])
    with pytest.raises(kind) as caught:
        both.client.ask("Hi")
    assert (type(caught.value), both.asked, both.slept, both.cooling) == (kind, (1, 0), [], [])


def test_a_cut_after_text_stops_and_counts_as_one_failure(pair):
    both = pair([[chunked_head(), chunk(PIECE % b"Hel"), "close"], refused(500)])
    with pytest.raises(StreamInterruptedError) as caught:
        both.client.ask("Hi")
    assert (caught.value.partial, both.asked, both.cooling) == ("Hel", (1, 0), [])
    both.client.ask("Hi")
    assert both.cooling == [("openai", "ServerError", 20)]


def test_the_deadline_stops_the_call_and_cools_nothing(pair):
    both = pair([["wait-close"]], retry=RetryPolicy(sleep=lambda seconds: None))
    with pytest.raises(DeadlineExceededError):
        both.client.ask("Hi", timeout=Timeout(total=1.5))
    assert (both.asked, both.cooling) == ((1, 0), [])


def test_the_user_order_counts_again_once_the_first_has_cooled(pair):
    both = pair([refused(503), refused(503), refused(503), whole("first")])
    providers = [both.client.ask("Hi").provider for _ in range(2)]
    both.clock.now += 11
    providers.append(both.client.ask("Hi").provider)
    assert (providers, both.asked) == (["groq", "groq", "openai"], (4, 2))


def test_a_model_that_is_not_there_leaves_the_other_models_alone(pair):
    both = pair([refused(404, says("no model", code="model_not_found")), whole("first")])
    both.client.ask("Hi")
    assert both.client.ask("Hi", model=["openai/n", "groq/m"]).text == "first"


def test_a_probe_whose_request_was_wrong_does_not_hold_others_back(pair):
    both = pair([refused(503), refused(400, says("no such parameter")), whole("first")])
    once = RetryPolicy(attempts=1, sleep=both.sleep, clock=both.clock)
    both.client.ask("Hi", retry=once)
    both.clock.now += 11
    with pytest.raises(BadRequestError):
        both.client.ask("Hi")
    assert both.client.ask("Hi").text == "first"


def test_a_probe_that_was_never_sent_does_not_hold_others_back(pair):
    text = [response(b"first", headers=[("Content-Type", "text/plain")])]
    both = pair([refused(503), text], model=["aichatfree", "groq/m"], api_key={"groq": OTHER})
    both.client._context.base_urls.update({"aichatfree": both.one.url, "groq": f"{both.two.url}/v1"})
    once = RetryPolicy(attempts=1, sleep=both.sleep, clock=both.clock)
    both.client.ask("Hi", retry=once)
    both.clock.now += 11
    reply = both.client.ask("Hi", extra={"seen": "only by a provider that takes it"})
    assert (reply.provider, both.asked) == ("groq", (1, 2))
    assert both.client.ask("Hi").text == "first"


def limited(seconds):
    return refused(429, b"", ("Retry-After", str(seconds)))


@pytest.fixture
def cooling(pair):
    """Make two services that are cooling for 50 and for 40 seconds, and answer after that."""

    def make(**options):
        both = pair([limited(50), whole("first")], [limited(40), whole("second")], **options)
        once = RetryPolicy(attempts=1, sleep=both.sleep, clock=both.clock)
        with pytest.raises(AllProvidersFailedError):
            both.client.ask("Hi", retry=once)
        return both

    return make


def test_where_all_are_cooling_the_one_that_is_free_first_is_waited_for(cooling):
    seen = []
    both = cooling(hooks={"wait": seen.append})
    reply = both.client.ask("Hi")
    assert (reply.text, both.slept, both.asked) == ("second", [40], (1, 2))
    assert [(wait.provider, wait.seconds) for wait in seen] == [("groq", 40)]


def test_where_all_are_cooling_for_longer_than_a_wait_may_be_the_shortest_is_told(cooling):
    both = cooling()
    with pytest.raises(AllProvidersFailedError, match="on cooldown") as caught:
        both.client.ask("Hi", retry=RetryPolicy(max_wait=30, sleep=both.sleep, clock=both.clock))
    assert (caught.value.retry_after, both.slept, both.asked) == (40, [], (1, 1))
    assert "openai (RateLimitError, 50 s), groq (RateLimitError, 40 s)" in str(caught.value)


def test_where_all_are_cooling_past_the_deadline_the_shortest_is_told(cooling):
    both = cooling()
    with pytest.raises(DeadlineExceededError) as caught:
        both.client.ask("Hi", timeout=Timeout(total=39))
    assert (caught.value.retry_after, both.slept, both.asked) == (40, [], (1, 1))


@pytest.mark.parametrize("script", [refused(402), refused(401), refused(503), limited(900)])
def test_a_lone_provider_is_never_refused(pair, script):
    both = pair([script, script, script, whole("first")], model="openai/m", retry=0)
    for _ in range(3):
        with pytest.raises(APIError):
            both.client.ask("Hi")
    assert both.client.ask("Hi").text == "first"
    assert both.slept == []


def test_of_subjects_without_end_only_those_that_matter_are_remembered(clock):
    health = Cooldowns(clock)
    health.record_failure(CooldownKey.of("openai", KEY, "long"), ModelNotFoundError("no", retry_after=9000))
    for number in range(5000):
        clock.now += 1
        health.record_failure(CooldownKey.of("openai", KEY, f"m{number}"), ModelNotFoundError("no"))
    rows = {row.model for row in health.cooling()}
    assert {"long", "m4999"} <= rows
    assert len(rows) <= 1000


def test_what_cools_no_more_is_forgotten_first(clock):
    health = Cooldowns(clock)
    for number in range(400):
        health.record_failure(CooldownKey.of("openai", KEY, f"old{number}"), ModelNotFoundError("no"))
    clock.now += 10000
    for number in range(800):
        health.record_failure(CooldownKey.of("openai", KEY, f"new{number}"), ModelNotFoundError("no"))
    assert len(health.cooling()) == 800


def test_health_tells_no_key(pair):
    both = pair([refused(402)])
    both.client.ask("Hi")
    assert KEY not in repr(both.client.health)
    assert both.client.health[0].key
