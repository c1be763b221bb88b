"""The other mainstream protocols against the same two servers: one promise each, for every protocol."""

from __future__ import annotations

import peer_servers
import pytest

from aichatkit import (
    Client,
    ContextTooLongError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
)

GREETING = "Hello from a real server: zażółć gęślą jaźń 🦊, twice over, in many small chunks."
#: Provider -> where aimock and llmock speak its protocol; llmock has no Ollama.
AIMOCK = {"anthropic": "", "cohere": "", "gemini": "", "ollama": "", "openai-responses": "/v1"}
LLMOCK = {"anthropic": "/anthropic", "cohere": "/cohere", "gemini": "/gemini/v1beta", "openai-responses": "/v1"}


@pytest.fixture
def connect(policy):
    """Make clients of a provider at an address, closed after the test: `connect("gemini", url)`."""
    made = []

    def make(provider, url, **options):
        made.append(Client(**{"model": provider, "api_key": "sk-peers", "base_url": url, "retry": policy, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(params=AIMOCK)
def told(request, aimock, connect):
    """A client of aimock that does not really wait, for each protocol."""
    return connect(request.param, aimock.url + AIMOCK[request.param])


@pytest.fixture(params=LLMOCK)
def watched(request, judged, connect):
    """An llmock that judges, and a client of it that really waits, for each protocol."""

    def run(*options, **client_options):
        llmock = judged(*options)
        address = llmock.url + LLMOCK[request.param]
        return llmock, connect(request.param, address, **{"retry": None, **client_options})

    return run


def test_text_comes_whole_and_in_pieces(told):
    with told.stream("hello") as stream:
        chunks = list(stream)
    assert "".join(chunks) == GREETING
    assert len(chunks) > 5
    assert stream.reply.complete


def test_usage_is_counted(told):
    usage = told.ask("count my tokens").usage
    assert (usage.input_tokens, usage.output_tokens) in ((10, 5), (0, 0), (0, None))


@pytest.mark.parametrize("provider", ["anthropic", "cohere", "gemini"])
def test_a_short_answer_says_why(provider, aimock, connect):
    # aimock gives no reason in the forms of Ollama and of Responses.
    assert connect(provider, aimock.url).ask("stop at the limit").finish_reason == "length"


def test_a_tool_call_is_put_together_from_its_pieces(told):
    (call,) = told.ask("weather in Oslo").tool_calls
    assert (call.name, call.arguments) == ("get_weather", {"city": "Oslo"})


def test_a_rate_limit_is_retried_as_told(told, slept):
    with pytest.raises(RateLimitError) as caught:
        told.ask("too many requests")
    assert len(caught.value.attempts) == 3
    assert min(slept) >= 1


def test_a_quota_costs_one_request(told):
    with pytest.raises(QuotaExceededError) as caught:
        told.ask("no money left")
    assert len(caught.value.attempts) == 1


def test_a_breakdown_is_retried(told):
    with pytest.raises(ServerError) as caught:
        told.ask("break down")
    assert len(caught.value.attempts) == 3


def test_a_cut_line_is_an_error_with_the_text_so_far(told):
    # aimock cuts after its third record, which in some protocols comes before the first text.
    with pytest.raises(StreamInterruptedError) as caught:
        told.ask("cut the line")
    assert "This answer never shows its end".startswith(caught.value.partial)


def test_the_wait_that_was_asked_for_is_seen(watched):
    llmock, client = watched()
    peer_servers.plan(llmock, type="fail", status=429, retry_after=0.3)
    assert client.ask("hi").text == "Hello! You said: hi"
    assert peer_servers.verdict(llmock)["findings"] == []


@pytest.mark.parametrize("kind", ["truncate", "disconnect"])
def test_a_broken_stream_is_no_answer(watched, kind):
    llmock, client = watched()
    peer_servers.plan(llmock, type="stream_fault", kind=kind, after_chunks=5)
    with pytest.raises(StreamInterruptedError) as caught:
        client.ask("one two three four")
    assert "Hello! You said: one two three".startswith(caught.value.partial)
    assert client.ask("one two three four").text == "Hello! You said: one two three four"


def test_a_context_window_is_told_apart(watched):
    _, client = watched("--context-window", "50")
    with pytest.raises(ContextTooLongError):
        client.ask("word " * 500)
