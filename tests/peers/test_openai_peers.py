"""The `openai` provider against two servers that others wrote, one of which judges how a client behaves."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import peer_servers
import pytest
import requests

from aichatkit import (
    AuthenticationError,
    BadRequestError,
    BadResponseError,
    ChatError,
    Client,
    ContextTooLongError,
    ModelNotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamInterruptedError,
    Usage,
)

GREETING = "Hello from a real server: zażółć gęślą jaźń 🦊, twice over, in many small chunks."
CUT = "This answer never shows its end because the line is cut."


@pytest.fixture
def connect():
    """Make clients of a peer, closed after the test: `connect(peer.url)`."""
    made = []

    def make(url, **options):
        made.append(Client(**{"model": "openai", "api_key": "sk-peers", "base_url": f"{url}/v1", **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def told(aimock, connect, policy):
    """A client of aimock that does not really wait."""
    return connect(aimock.url, retry=policy)


def requests_for(aimock, prompt):
    journal = requests.get(f"{aimock.url}/v1/_requests", headers={"Authorization": "Bearer x"}, timeout=10).json()
    return sum(entry["body"]["messages"][-1]["content"] == prompt for entry in journal)


def test_aimock_text_comes_whole_and_in_pieces(told):
    with told.stream("hello") as stream:
        chunks = list(stream)
    assert "".join(chunks) == GREETING == stream.reply.text
    assert len(chunks) > 5


def test_aimock_end_is_seen(told):
    reply = told.ask("hello")
    assert (reply.complete, reply.finish_reason) == (True, "stop")


def test_aimock_usage_is_asked_for_and_counted(told):
    assert told.ask("count my tokens").usage == Usage(input_tokens=10, output_tokens=5, total_tokens=15)


def test_aimock_says_why_an_answer_is_short(told):
    assert told.ask("stop at the limit").finish_reason == "length"


# It reasons under names of its time only.
@pytest.mark.filterwarnings("ignore::aichatkit.RetiredModelWarning")
def test_aimock_reasoning_stays_out_of_the_text(told):
    reply = told.ask("think first", model="openai/o3-mini")
    assert (reply.text, reply.reasoning) == ("42", "Six times seven is forty-two.")


def test_aimock_tool_call_is_put_together_from_its_pieces(told):
    reply = told.ask("weather in Oslo")
    (call,) = reply.tool_calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Oslo"})
    assert call.id
    assert (reply.text, reply.finish_reason) == ("", "tool_calls")
    assert len(reply.attempts) == 1


def test_aimock_remembers_a_conversation(told):
    chat = told.chat(system="Be brief.")
    chat.ask("hello")
    assert chat.ask("count my tokens").text == "Fifteen in all."
    assert len(chat.history) == 4


def test_aimock_rate_limit_is_retried_as_told(aimock, told, slept):
    before = requests_for(aimock, "too many requests")
    with pytest.raises(RateLimitError) as caught:
        told.ask("too many requests")
    assert requests_for(aimock, "too many requests") - before == 3
    assert len(slept) == 2
    assert min(slept) >= caught.value.retry_after >= 1


def test_aimock_quota_costs_one_request(aimock, told, slept):
    before = requests_for(aimock, "no money left")
    with pytest.raises(QuotaExceededError) as caught:
        told.ask("no money left")
    assert caught.value.code == "insufficient_quota"
    assert requests_for(aimock, "no money left") - before == 1
    assert slept == []


def test_aimock_breakdown_is_retried(aimock, told):
    before = requests_for(aimock, "break down")
    with pytest.raises(ServerError) as caught:
        told.ask("break down")
    assert requests_for(aimock, "break down") - before == 3
    assert [attempt.error.status for attempt in caught.value.attempts] == [500, 500, 500]


def test_aimock_cut_line_is_an_error_with_the_text_so_far(told):
    with told.stream("cut the line") as stream, pytest.raises(StreamInterruptedError) as caught:
        list(stream)
    assert caught.value.partial
    assert CUT.startswith(caught.value.partial)
    assert stream.text == caught.value.partial
    assert stream.reply is None


def test_aimock_refuses_a_wrong_key_once(start, connect):
    aimock = start(peer_servers.run_aimock, environment={"AIMOCK_API_KEYS": "sk-the-right-one"})
    with pytest.raises(AuthenticationError) as caught:
        connect(aimock.url, api_key="sk-a-wrong-one").ask("hello")
    assert len(caught.value.attempts) == 1
    assert "sk-a-wrong-one" not in f"{caught.value!r} {caught.value}"
    assert connect(aimock.url, api_key="sk-the-right-one").ask("hello").text == GREETING


def test_aimock_chaos_gives_whole_answers_or_errors(start, connect, policy):
    chaos = ["--chaos-ratelimit", "0.2", "--chaos-disconnect", "0.2", "--chaos-malformed", "0.1", "--chaos-drop", "0.1"]
    client = connect(start(peer_servers.run_aimock, *chaos).url, retry=policy)
    texts, errors = outcomes(client, ["hello"] * 40)
    assert set(texts) == {GREETING}
    assert all(GREETING.startswith(error.partial) for error in errors)


def outcomes(client, prompts):
    """Ask every prompt; return the texts that came and the errors that were raised, and let nothing else pass."""
    texts, errors = [], []
    for prompt in prompts:
        try:
            texts.append(client.ask(prompt).text)
        except ChatError as error:
            errors.append(error)
    return texts, errors


def echo(prompt):
    return f"Hello! You said: {prompt}"


def test_llmock_streams(judged, connect):
    reply = connect(judged().url).ask("zażółć 🦊")
    assert (reply.text, reply.complete) == (echo("zażółć 🦊"), True)


def test_llmock_sees_the_wait_that_it_asked_for(judged, connect):
    llmock = judged("--tpm", "60000")
    client = connect(llmock.url)
    spent = client.ask("spend nearly all", max_tokens=59_800)
    assert spent.limits["tokens"]["remaining"] < 500
    # It gives back a thousand tokens in a second.
    reply = client.ask("one more", max_tokens=2_500)
    assert reply.text == echo("one more")
    assert [type(attempt.error) for attempt in reply.attempts] == [RateLimitError, type(None)]
    assert reply.attempts[0].wait >= reply.attempts[0].error.retry_after > 0
    assert peer_servers.verdict(llmock)["findings"] == []


def test_llmock_is_not_hammered_where_its_wait_is_too_long(judged, connect):
    llmock = judged("--rpm", "1")
    client = connect(llmock.url, retry=RetryPolicy(max_wait=5))
    client.ask("first")
    with pytest.raises(RateLimitError) as caught:
        client.ask("second")
    assert 5 < caught.value.retry_after <= 60
    assert peer_servers.verdict(llmock)["attempts"] == 2


def test_llmock_limits_each_key_on_its_own(judged, connect):
    llmock = judged("--rpm", "1")
    assert connect(llmock.url, api_key="sk-one-of-two").ask("hi").text == echo("hi")
    assert connect(llmock.url, api_key="sk-two-of-two").ask("hi").text == echo("hi")


def test_llmock_failures_are_retried_after_their_wait(judged, connect):
    llmock = judged()
    peer_servers.plan(llmock, type="fail", status=503, retry_after=0.2, times=2)
    begun = time.monotonic()
    assert connect(llmock.url).ask("hi").text == echo("hi")
    assert time.monotonic() - begun >= 0.4
    assert peer_servers.verdict(llmock)["findings"] == []


def test_llmock_failures_without_a_hint_are_retried_with_growing_waits(judged, connect):
    llmock = judged()
    peer_servers.plan(llmock, type="fail", status=500, times=2)
    # It sees the waits with all that a busy machine adds.
    policy = RetryPolicy(base=1.0, random=lambda: 1.0)
    assert connect(llmock.url, retry=policy).ask("hi").text == echo("hi")
    assert peer_servers.verdict(llmock)["findings"] == []


def test_llmock_outage_costs_no_more_than_the_attempts(judged, connect):
    llmock = judged("--error-rate-503", "1")
    with pytest.raises(ServerError) as caught:
        connect(llmock.url, retry=1).ask("hi")
    assert len(caught.value.attempts) == 2
    assert peer_servers.verdict(llmock)["attempts"] == 2


def test_llmock_flaky_service_is_asked_politely_by_many_threads(judged, connect):
    llmock = judged("--error-rate-503", "0.3")
    client = connect(llmock.url, retry=2)
    prompts = [f"prompt {number}" for number in range(16)]
    with ThreadPoolExecutor(16) as threads:
        for prompt, (texts, errors) in zip(prompts, threads.map(lambda one: outcomes(client, [one]), prompts)):
            assert texts == [echo(prompt)] or (not texts and isinstance(errors[0], ServerError))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, ModelNotFoundError),
        (422, BadRequestError),
    ],
)
def test_llmock_refusals_that_no_retry_can_fix_cost_one_request(judged, connect, status, kind):
    llmock = judged()
    peer_servers.plan(llmock, type="fail", status=status, times=None)
    with pytest.raises(kind):
        connect(llmock.url).ask("hi")
    assert peer_servers.verdict(llmock)["attempts"] == 1


def test_llmock_context_window_is_told_apart(judged, connect):
    with pytest.raises(ContextTooLongError):
        connect(judged("--context-window", "50").url).ask("word " * 500)


@pytest.mark.parametrize("kind", ["truncate", "disconnect"])
def test_llmock_stream_that_breaks_before_its_first_text_is_asked_again(judged, connect, kind):
    llmock = judged()
    peer_servers.plan(llmock, type="stream_fault", kind=kind, after_chunks=1)
    assert connect(llmock.url, retry=RetryPolicy(base=0.01)).ask("hi").text == echo("hi")


@pytest.mark.parametrize("kind", ["truncate", "disconnect"])
def test_llmock_stream_that_breaks_after_text_is_for_the_caller_to_ask_again(judged, connect, kind):
    llmock = judged()
    client = connect(llmock.url)
    peer_servers.plan(llmock, type="stream_fault", kind=kind, after_chunks=4)
    with pytest.raises(StreamInterruptedError) as caught:
        client.ask("hi")
    assert caught.value.partial == "Hello! You said: "
    assert client.ask("hi").text == echo("hi")


@pytest.mark.parametrize("after", [0, 1, 3])
def test_llmock_damaged_chunk_is_never_skipped(judged, connect, after):
    llmock = judged()
    peer_servers.plan(llmock, type="stream_fault", kind="malformed", after_chunks=after)
    with pytest.raises(BadResponseError) as caught:
        connect(llmock.url, retry=0).ask("hi")
    assert echo("hi").startswith(caught.value.partial)


def test_llmock_stall_is_not_sat_through(judged, connect):
    llmock = judged()
    peer_servers.plan(llmock, type="stream_fault", kind="stall", after_chunks=3, stall_seconds=20)
    with pytest.raises(StreamInterruptedError) as caught:
        connect(llmock.url, timeout=(5, 3)).ask("hi")
    assert caught.value.partial == "Hello! You "
    assert connect(llmock.url).ask("hi").text == echo("hi")


def test_llmock_random_stream_faults_lose_no_text(judged, connect):
    faults = ("truncate=0.1", "disconnect=0.05", "malformed=0.05")
    llmock = judged(*(part for fault in faults for part in ("--stream-fault", fault)))
    client = connect(llmock.url, retry=0)
    for number in range(20):
        prompt = f"tell me all of story number {number}"
        # The verdict calls more than ten attempts a storm.
        for _ in range(9):
            texts, errors = outcomes(client, [prompt])
            if texts:
                break
            assert echo(prompt).startswith(errors[0].partial)
        assert texts == [echo(prompt)]
