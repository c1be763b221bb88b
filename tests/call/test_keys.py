"""Several keys for one provider: one that is limited, used up or wrong steps aside for the next."""

from __future__ import annotations

import logging

import pytest

from aichatkit import Client, RetryPolicy
from aichatkit.call.targets import parse_keys
from aichatkit.errors import AuthenticationError, ConfigurationError, QuotaExceededError, RateLimitError
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response

A, B, C = "sk-key-aaaa", "sk-key-bbbb", "sk-key-cccc"
QUOTA = b'{"error": {"message": "no money", "code": "insufficient_quota"}}'
PIECE = b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n'


def whole(text):
    return [chunked_head(), chunk(PIECE % text.encode()), chunk(b"data: [DONE]\n\n"), chunk(b"")]


def refused(status, body=b"", *headers):
    return [response(body, status=f"{status} No", headers=headers)]


def limited(seconds):
    return refused(429, b"", ("Retry-After", str(seconds)))


class Keyed:
    """A service that answers each key by its own scripts, and a client with these keys."""

    def __init__(self, scripts, **options):
        self.scripts = {key: list(given) for key, given in scripts.items()}
        self.now, self.slept = 100.0, []
        self.server = RawServer(self.answer).start()
        self.policy = RetryPolicy(sleep=self.sleep, clock=lambda: self.now, random=lambda: 0.0)
        url = f"{self.server.url}/v1"
        keys = list(scripts)
        given = {"model": "openai/m", "api_key": keys, "base_url": {"openai": url}, "retry": self.policy, **options}
        self.client = Client(**given)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def answer(self, request):
        scripts = self.scripts[request.headers["authorization"].partition(" ")[2]]
        return scripts.pop(0) if len(scripts) > 1 else scripts[0]

    @property
    def asked(self):
        return [request.headers["authorization"].partition(" ")[2] for request in self.server.requests]


@pytest.fixture
def keyed():
    """Make a service and its client: `keyed({key: [script, ...]}, option=value)`."""
    made = []

    def make(scripts, **options):
        one = Keyed(scripts, **options)
        made.append(one)
        return one

    yield make
    for one in made:
        one.client.close()
        one.server.close()


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (limited(30), RateLimitError),
        (refused(429), RateLimitError),
        (refused(429, QUOTA), QuotaExceededError),
        (refused(402), QuotaExceededError),
        (refused(401), AuthenticationError),
    ],
)
def test_the_next_key_is_asked_at_once_and_without_using_up_a_try(keyed, script, kind):
    one = keyed({A: [script], B: [whole("Hello")]})
    reply = one.client.ask("Hi", retry=RetryPolicy(attempts=1, budget=0, sleep=one.sleep, clock=lambda: one.now))
    assert (reply.text, one.asked, one.slept) == ("Hello", [A, B], [])
    assert [type(attempt.error) for attempt in reply.attempts] == [kind, type(None)]


def test_a_key_that_is_used_up_stays_aside(keyed):
    one = keyed({A: [refused(402)], B: [whole("Hello")]})
    for _ in range(3):
        one.client.ask("Hi")
    assert one.asked == [A, B, B, B]
    one.now += 3601
    one.client.ask("Hi")
    assert one.asked[4:] == [A, B]


def test_a_limited_key_comes_back_when_its_time_is_over(keyed):
    one = keyed({A: [limited(30), whole("again")], B: [whole("Hello")]})
    one.client.ask("Hi")
    one.client.ask("Hi")
    one.now += 30
    assert one.client.ask("Hi").text == "again"
    assert one.asked == [A, B, B, A]


def test_where_every_key_is_limited_the_first_to_be_free_is_waited_for(keyed):
    one = keyed({A: [limited(50)], B: [limited(7), whole("Hello")], C: [limited(40)]})
    reply = one.client.ask("Hi")
    assert (reply.text, one.asked, one.slept) == ("Hello", [A, B, C, B], [7])
    assert [attempt.wait for attempt in reply.attempts] == [0, 0, 7, 0]


def test_a_key_that_waits_too_long_does_not_end_the_call_while_another_is_soon_free(keyed):
    one = keyed({A: [limited(5), whole("Hello")], B: [limited(900)]})
    assert one.client.ask("Hi").text == "Hello"
    assert (one.asked, one.slept) == ([A, B, A], [5])


def test_a_wrong_key_does_not_end_the_call_while_another_is_only_limited(keyed):
    one = keyed({A: [limited(5), whole("Hello")], B: [refused(401)]})
    reply = one.client.ask("Hi")
    assert (reply.text, one.asked, one.slept) == ("Hello", [A, B, A], [5])
    assert [type(attempt.error) for attempt in reply.attempts] == [AuthenticationError, RateLimitError, type(None)]


def test_where_no_key_is_any_good_the_error_is_that_of_a_key(keyed):
    one = keyed({A: [refused(401)], B: [refused(402)]})
    with pytest.raises((AuthenticationError, QuotaExceededError)) as caught:
        one.client.ask("Hi")
    assert (one.asked, one.slept, len(caught.value.attempts)) == ([A, B], [], 2)


def test_keys_that_all_cool_already_are_asked_all_the_same(keyed):
    one = keyed({A: [refused(402)], B: [refused(402), whole("Hello")]})
    with pytest.raises(QuotaExceededError):
        one.client.ask("Hi")
    one.now += 1
    with pytest.raises(QuotaExceededError):
        one.client.ask("Hi")
    assert one.asked == [A, B, A]


def test_a_server_error_is_not_the_fault_of_a_key(keyed):
    one = keyed({A: [refused(500), whole("Hello")], B: [whole("other")]})
    assert one.client.ask("Hi").text == "Hello"
    assert (one.asked, len(one.slept)) == ([A, A], 1)


def test_keys_step_aside_before_another_provider_is_asked(keyed):
    one = keyed({A: [refused(402)], B: [whole("Hello")]}, model=["openai/m", "offline"], api_key={"openai": [A, B]})
    assert one.client.ask("Hi").provider == "openai"


def test_another_provider_is_asked_when_no_key_is_left(keyed):
    one = keyed({A: [refused(402)], B: [refused(401)]}, model=["openai/m", "offline"], api_key={"openai": (A, B)})
    assert one.client.ask("Hi").provider == "offline"
    assert one.client.ask("Hi").provider == "offline"
    assert one.asked == [A, B]


def test_one_key_in_a_dict_is_a_key(keyed):
    one = keyed({A: [whole("Hello")]}, api_key={"openai": A})
    assert (one.client.ask("Hi").text, one.asked) == ("Hello", [A])


def test_the_log_tells_that_a_key_steps_aside_and_not_which(keyed, caplog):
    caplog.set_level(logging.DEBUG, "aichatkit")
    one = keyed({A: [refused(402)], B: [whole("Hello")]})
    one.client.ask("Hi")
    assert "openai: a key is skipped (QuotaExceededError)" in caplog.messages
    assert A not in caplog.text


def test_health_tells_keys_apart(keyed):
    one = keyed({A: [refused(402)], B: [refused(401)], C: [whole("Hello")]})
    one.client.ask("Hi")
    rows = one.client.health
    assert {row.reason for row in rows} == {"QuotaExceededError", "AuthenticationError"}
    assert len({row.key for row in rows}) == 2


def test_an_empty_list_of_keys_is_refused():
    with pytest.raises(ConfigurationError, match="empty"):
        parse_keys([], provider="openai")


def test_one_bad_key_of_a_list_is_refused_without_being_shown():
    with pytest.raises(ConfigurationError) as caught:
        Client(model="openai", api_key=[A, "sk-bad key"])
    assert "bad key" not in str(caught.value)
