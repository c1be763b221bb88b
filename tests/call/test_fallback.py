from __future__ import annotations

import json
import logging
import threading
import time

import pytest

from aichatkit import Client, Rate, RetryPolicy
from aichatkit.call import attempt as asking
from aichatkit.errors import (
    AllProvidersFailedError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    MissingKeyError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from aichatkit.sandbox.raw import RawServer, chunk, chunked_head, response
from aichatkit.transport.timeouts import Timeout

ANSWER = [
    chunked_head(),
    chunk(b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'),
    chunk(b"data: [DONE]\n\n"),
    chunk(b""),
]
LIMITED = [response(b"", status="429 Too Many")]
QUOTA = [response(b'{"error": {"code": "insufficient_quota", "message": "no money"}}', status="429 No")]
DENIED = [response(b"", status="401 No")]
BUSY = [response(b"", status="503 No")]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def policy(self, **options) -> RetryPolicy:
        return RetryPolicy(sleep=self.sleep, clock=lambda: self.now, random=lambda: 0.5, **options)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def serve(clock):
    """Serve OpenAI's protocol by scripts, or by a function of the key that asks; return server and client."""
    made = []

    def make(*scripts, **options):
        server = RawServer(*scripts).start()
        given = {"model": "openai", "api_key": "sk-first-key", "base_url": server.url}
        given.update(retry=clock.policy(), timeout=(5, 5))
        client = Client(**{**given, **options})
        made.extend([client, server])
        return server, client

    yield make
    for each in made:
        each.close()


def keys_of(server: RawServer) -> list[str]:
    return [request.headers["authorization"].partition(" ")[2] for request in server.requests]


def by_key(**scripts):
    """Answer each key with its own script, the last one again and again."""
    counts: dict[str, int] = {}

    def answer(request):
        key = request.headers["authorization"].partition(" ")[2]
        counts[key] = counts.get(key, 0) + 1
        given = scripts[key]
        return given[min(counts[key], len(given)) - 1]

    return answer


# The story.


def test_a_reply_a_stream_and_an_error_tell_every_try(serve, clock):
    _, client = serve(BUSY, LIMITED, ANSWER)
    stream = client.stream("Hi")
    told = [(attempt.provider, type(attempt.error).__name__, attempt.wait) for attempt in stream.attempts]
    assert told == [("openai", "OverloadedError", 0.25), ("openai", "RateLimitError", 1.0), ("openai", "NoneType", 0)]
    assert stream.read().attempts == stream.attempts
    assert clock.slept == [0.25, 1.0]


def test_an_error_tells_every_try_and_why_it_gave_up(serve):
    _, client = serve(BUSY)
    with pytest.raises(ServerError) as caught:
        client.ask("Hi")
    error = caught.value
    assert [attempt.wait for attempt in error.attempts] == [0.25, 0.5, 0.0]
    assert error.attempts[-1].error is error
    assert (error.provider, error.model, error.gave_up) == ("openai", error.attempts[0].model, "tried 3 times")


def test_an_answer_that_breaks_off_tells_its_own_try_as_failed(serve):
    _, client = serve(BUSY, [*ANSWER[:2], "close"])
    stream = client.stream("Hi")
    with pytest.raises(Exception, match="broke") as caught:
        stream.read()
    assert [type(attempt.error).__name__ for attempt in caught.value.attempts] == [
        "OverloadedError",
        "StreamInterruptedError",
    ]


# Several keys.


def test_a_key_that_is_limited_steps_aside_for_the_next_at_once(serve, clock):
    server, client = serve(by_key(one=[LIMITED], two=[ANSWER]), api_key={"openai": ["one", "two"]})
    reply = client.ask("Hi")
    assert (reply.text, keys_of(server), clock.slept) == ("Hi", ["one", "two"], [])
    assert [type(attempt.error).__name__ for attempt in reply.attempts] == ["RateLimitError", "NoneType"]


@pytest.mark.parametrize("script", [QUOTA, DENIED])
def test_a_key_that_is_used_up_or_refused_steps_aside_and_stays_aside(serve, script):
    server, client = serve(by_key(one=[script], two=[ANSWER]), api_key=["one", "two"])
    client.ask("Hi")
    client.ask("Hi")
    assert keys_of(server) == ["one", "two", "two"]


def test_when_every_key_stepped_aside_the_one_that_is_free_first_is_told(serve):
    later = [response(b"", status="429 No", headers=[("Retry-After", "900")])]
    server, client = serve(by_key(one=[QUOTA], two=[later], three=[DENIED]), api_key=["one", "two", "three"])
    with pytest.raises(RateLimitError) as caught:
        client.ask("Hi")
    assert (keys_of(server), caught.value.retry_after) == (["one", "two", "three"], 900)
    kinds = {QuotaExceededError, RateLimitError, AuthenticationError}
    assert {type(attempt.error) for attempt in caught.value.attempts} == kinds
    assert caught.value.attempts[-1].error is caught.value


def test_a_key_that_cooled_off_comes_back(serve, clock):
    server, client = serve(by_key(one=[LIMITED, ANSWER], two=[ANSWER]), api_key=["one", "two"])
    client.ask("Hi")
    clock.now += 16
    client.ask("Hi")
    assert keys_of(server) == ["one", "two", "one"]


def test_where_all_keys_are_cooling_one_of_them_is_tried_and_not_the_others(serve):
    server, client = serve(by_key(one=[DENIED], two=[DENIED]), api_key=["one", "two"])
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            client.ask("Hi")
    assert keys_of(server) == ["one", "two", "one"]


def test_another_key_does_not_help_against_trouble_of_the_service(serve):
    server, client = serve(by_key(one=[BUSY, ANSWER], two=[ANSWER]), api_key=["one", "two"])
    client.ask("Hi")
    assert keys_of(server) == ["one", "one"]


# Fields a model refuses.


def refusing(name: str):
    body = {"error": {"message": f"Unsupported parameter: '{name}'", "param": name, "code": "unsupported_parameter"}}

    def answer(request):
        if name in request.json():
            return [response(json.dumps(body).encode(), status="400 No")]
        return ANSWER

    return answer


def test_a_field_the_model_refuses_is_left_out_with_a_warning_and_remembered(serve):
    server, client = serve(refusing("temperature"))
    with pytest.warns(UserWarning, match="'temperature'"):
        assert client.ask("Hi", temperature=1).text == "Hi"
    assert client.ask("Hi", temperature=1).text == "Hi"
    assert ["temperature" in request.json() for request in server.requests] == [True, False, False]


def test_a_field_the_caller_insists_on_is_not_left_out(serve):
    server, client = serve(refusing("temperature"))
    with pytest.raises(BadRequestError):
        client.ask("Hi", temperature=1, strict=True)
    assert len(server.requests) == 1


def test_a_field_that_is_no_option_is_not_left_out(serve):
    server, client = serve(refusing("messages"))
    with pytest.raises(BadRequestError):
        client.ask("Hi")
    assert len(server.requests) == 1


# Several providers.


@pytest.fixture
def chain(serve, clock):
    """OpenAI's protocol twice, as two providers, each by its scripts."""

    def make(first, second, **options):
        one, _ = serve(*first)
        two, _ = serve(*second)
        given = {
            "model": ["openai", "groq/x"],
            "api_key": {"openai": "sk-openai-1", "groq": "gsk-groq-1"},
            "base_url": {"openai": one.url, "groq": two.url},
            "retry": clock.policy(),
        }
        _, client = serve(**{**given, **options})
        return one, two, client

    return make


def test_each_provider_is_asked_with_its_own_key(chain):
    one, two, client = chain([DENIED], [ANSWER])
    assert client.ask("Hi").provider == "groq"
    assert (keys_of(one), keys_of(two)) == (["sk-openai-1"], ["gsk-groq-1"])


def test_each_provider_has_its_own_tries(chain, clock):
    one, two, client = chain([BUSY], [BUSY, BUSY, ANSWER])
    assert client.ask("Hi").provider == "groq"
    assert (len(one.requests), len(two.requests)) == (3, 3)
    assert clock.slept == [0.25, 0.5, 0.25, 0.5]


def test_the_deadline_covers_all_of_them(chain, clock):
    _, _, client = chain([BUSY], [BUSY])
    with pytest.raises(AllProvidersFailedError) as caught:
        client.ask("Hi", timeout=Timeout(total=1))
    assert sum(clock.slept) < 1
    assert "deadline" in caught.value.errors[-1].gave_up


def test_a_failure_after_the_first_text_cools_the_provider_too(chain):
    failing = [*ANSWER[:2], chunk(b'data: {"error": {"message": "boom", "code": 500}}\n\n'), chunk(b"")]
    one, two, client = chain([failing, ANSWER], [ANSWER])
    with pytest.raises(ServerError) as caught:
        client.ask("Hi")
    assert (caught.value.partial, two.requests) == ("Hi", [])
    assert client.ask("Hi").provider == "groq"
    assert len(one.requests) == 1


def test_a_provider_without_a_key_is_passed_over(chain):
    one, _, client = chain([ANSWER], [ANSWER], api_key={"groq": "gsk-groq-1"}, base_url=None)
    with pytest.raises(MissingKeyError, match="OPENAI_API_KEY"):
        client.ask("Hi", model="openai")
    assert one.requests == []


def test_moving_on_is_logged(chain, caplog):
    caplog.set_level(logging.INFO, "aichatkit")
    chain([DENIED], [ANSWER])[2].ask("Hi")
    assert "openai failed (AuthenticationError), moving on" in caplog.text


def test_all_that_failed_is_told(chain):
    _, _, client = chain([DENIED], [QUOTA])
    with pytest.raises(AllProvidersFailedError) as caught:
        client.ask("Hi")
    error = caught.value
    assert [type(each) for each in error.errors] == [AuthenticationError, QuotaExceededError]
    assert "2 providers" in str(error)
    assert all(each.__traceback__ is None for each in error.errors)


def test_the_shortest_hint_of_all_is_told(chain):
    limited = [[response(b"", status="429 No", headers=[("Retry-After", str(seconds))])] for seconds in (900, 300)]
    _, _, client = chain([limited[0]], [limited[1]])
    with pytest.raises(AllProvidersFailedError) as caught:
        client.ask("Hi")
    assert caught.value.retry_after == 300
    # Both are cooling now, for longer than a call waits.
    with pytest.raises(AllProvidersFailedError, match="on cooldown") as again:
        client.ask("Hi")
    assert again.value.retry_after == 300


def test_what_waits_for_a_cooldown_is_told_to_the_hook(chain, clock):
    waits = []
    limited = [response(b"", status="429 No", headers=[("Retry-After", "50")])]
    _, _, client = chain(
        [limited, ANSWER], [limited, ANSWER], retry=clock.policy(attempts=1), hooks={"wait": waits.append}
    )
    with pytest.raises(AllProvidersFailedError):
        client.ask("Hi")
    assert client.ask("Hi").text == "Hi"
    assert [(wait.provider, wait.seconds, wait.error) for wait in waits] == [("openai", 50, None)]


def test_an_interrupt_ends_the_call_and_gives_the_probe_back(chain, clock, monkeypatch):
    one, _, client = chain([BUSY, ANSWER], [ANSWER], retry=clock.policy(attempts=1))
    assert client.ask("Hi").provider == "groq"
    clock.now += 11

    def stop(self, event):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(client.providers["openai"], "parse_event", stop)
        with pytest.raises(KeyboardInterrupt):
            client.ask("Hi")
    # The interrupted call was the probe; at once the next one may be.
    assert client.ask("Hi").provider == "openai"
    assert len(one.requests) == 3


def test_an_interrupt_before_anything_was_asked_passes(serve, monkeypatch):
    _, client = serve(ANSWER)

    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(client.providers["openai"], "wants_key", stop)
    monkeypatch.setattr(client.providers["openai"], "find_key", classmethod(stop))
    client._context.keys.clear()
    with pytest.raises(KeyboardInterrupt):
        client.ask("Hi")


# Pacing.


def test_calls_keep_the_rate(serve, clock):
    _, client = serve(ANSWER, rate="2/min")
    replies = [client.ask("Hi") for _ in range(3)]
    assert clock.slept == [60.0]
    assert [reply.attempts[0].wait for reply in replies] == [0.0, 0.0, 60.0]


def test_a_call_that_fails_gives_its_place_back(serve, clock):
    limits = Timeout(connect=5, read=5, total=5)
    _, client = serve(DENIED, ANSWER, rate=Rate(concurrent=1), retry=0, timeout=limits)
    with pytest.raises(AuthenticationError):
        client.ask("Hi")
    assert client.ask("Hi").text == "Hi"
    with client.stream("Hi") as stream:
        assert next(stream) == "Hi"
    assert client.ask("Hi").text == "Hi"


def test_a_place_that_does_not_come_free_is_waited_for_until_the_deadline(serve, caplog):
    caplog.set_level(logging.INFO, "aichatkit")
    server, client = serve([*ANSWER[:2], "wait-close"], rate=Rate(concurrent=1), retry=0)
    with client.stream("Hi"):
        with pytest.raises(DeadlineExceededError):
            client.ask("Hi", timeout=Timeout(total=0.5))
        assert "pacing openai, waiting for a free place" in caplog.text
        assert len(server.requests) == 1


def test_a_client_that_closes_ends_a_wait_for_the_rate(serve, clock):
    server, client = serve(ANSWER, rate="1/min", retry=RetryPolicy(sleep=lambda seconds: client.close()))
    client.ask("Hi")
    with pytest.raises(ConfigurationError, match="closed"):
        client.ask("Hi")
    assert len(server.requests) == 1


# Limits.


def test_a_server_on_this_machine_may_be_silent_for_longer(serve, monkeypatch):
    seen = []
    transport = asking.Transport
    monkeypatch.setattr(
        asking, "Transport", lambda *args, **kwargs: seen.append(kwargs["timeout"]) or transport(*args, **kwargs)
    )
    server, _ = serve(ANSWER)
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        Client(model="openai", api_key="sk-first-key", base_url=url, retry=0).ask("Hi")
    with pytest.raises(ConnectError):
        Client(model="openai", api_key="sk-first-key", base_url="http://far.example", retry=0).ask("Hi")
    assert [(timeout.connect, timeout.read) for timeout in seen] == [(5, 300), (5, 300), (5, 60)]


def test_a_key_from_the_environment_is_checked(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk secret")
    _, client = serve(ANSWER, api_key=None, base_url={"openai": "http://127.0.0.1:9"})
    with pytest.raises(ValueError, match="copy the key again") as caught:
        client.ask("Hi")
    assert "secret" not in str(caught.value)


def test_a_stream_can_be_ended_from_another_thread(serve):
    server, client = serve([*ANSWER[:2], "wait-close"])
    stream = client.stream("Hi")
    assert next(stream) == "Hi"
    threading.Timer(0.02, client.close).start()
    started = time.monotonic()
    with pytest.raises(Exception, match="cancelled"):
        next(stream)
    assert time.monotonic() - started < 4
    assert server.wait_closed()


def test_a_limit_that_is_told_is_kept_for_the_user(serve):
    limited = [response(b"", status="429 No", headers=[("Retry-After", "900")])]
    server, client = serve(limited)
    with pytest.raises(RateLimitError) as caught:
        client.ask("Hi")
    assert (caught.value.retry_after, len(server.requests)) == (900, 1)


def test_an_address_that_cannot_be_used_ends_a_run_before_it_starts(serve, monkeypatch):
    server, client = serve(ANSWER)
    monkeypatch.setenv("GROQ_BASE_URL", "ftp://wrong.example")
    with pytest.raises(ConfigurationError, match="GROQ_BASE_URL: must start with http"):
        client.map(["Hi"], model=["groq/m", "openai/m"], progress=False)
    assert server.requests == []


# Several models of one service.

PAGE = [response(b"<html><title>Sorry</title></html>", headers=[("Content-Type", "text/html")])]
EMPTY = [chunked_head(), chunk(b"data: [DONE]\n\n"), chunk(b"")]
FAILED = {
    "500": ([response(b"", status="500 No")], 1),
    "503": ([response(b'{"error": {"message": "x"}}', status="503 No")], 1),
    "overloaded": ([response(b'{"error": {"type": "overloaded_error"}}', status="529 No")], 1),
    "silence": ([0.4], 1),
    "empty": (EMPTY, 1),
    "page": (PAGE, 1),
}


def models_of(server):
    return [json.loads(request.body)["model"] for request in server.requests]


@pytest.mark.parametrize("how", ["ask", "stream", "chat", "map"])
@pytest.mark.parametrize("failure", FAILED)
def test_the_next_model_of_a_service_is_asked_after_a_failure_of_one(serve, failure, how):
    def script(request):
        return FAILED[failure][0] if json.loads(request.body)["model"] == "one" else ANSWER

    server, _ = serve(script)
    _, client = serve(
        model=["openai/one", "openai/two", "offline"],
        api_key={"openai": "sk-openai-1"},
        base_url={"openai": server.url},
        retry=0,
        timeout=Timeout(read=0.2),
    )
    if how == "map":
        (row,) = client.map(["Hi"], progress=False)
        assert row.error is None
    else:
        reply = {"ask": client.ask, "stream": lambda text: client.stream(text).read(), "chat": client.chat().ask}[how](
            "Hi"
        )
        assert reply.provider == "openai"
    assert models_of(server) == ["one", "two"]


@pytest.mark.parametrize("refusal", [DENIED, QUOTA])
def test_a_refused_key_skips_the_other_models_of_its_service_and_says_so(serve, refusal, caplog):
    caplog.set_level(logging.INFO, "aichatkit")
    server, client = serve(refusal, model=["openai/one", "openai/two"], retry=0)
    with pytest.raises((AuthenticationError, QuotaExceededError), match=r"skipped: openai/two"):
        client.ask("Hi")
    assert models_of(server) == ["one"]
    assert "openai/two is on cooldown" in caplog.text


def test_of_several_that_failed_what_was_skipped_is_told_too(serve):
    one, two = serve(DENIED)[0], serve([response(b"", status="500 No")])[0]
    _, client = serve(
        model=["openai/one", "openai/two", "groq/x"],
        api_key={"openai": "sk-openai-1", "groq": "gsk-groq-1"},
        base_url={"openai": one.url, "groq": two.url},
        retry=0,
    )
    with pytest.raises(AllProvidersFailedError, match=r"skipped: openai/two"):
        client.ask("Hi")
