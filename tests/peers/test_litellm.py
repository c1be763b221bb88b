"""The LiteLLM proxy, with the sandbox and llama.cpp behind it: three protocols, and errors in its own clothes."""

from __future__ import annotations

import model_servers
import peer_servers
import pytest

from aichatkit import (
    AuthenticationError,
    ChatError,
    Client,
    ContextTooLongError,
    ModelNotFoundError,
    RateLimitError,
    ServerError,
)
from aichatkit.sandbox import Sandbox

KNOWN = "through two servers: zażółć gęślą jaźń 🦊, to the letter."
KEY = "sk-master"
#: Provider -> where the proxy speaks its protocol.
PROTOCOLS = {"anthropic": "", "gemini": "/v1beta", "openai": "/v1", "openai-responses": "/v1"}
#: Model -> the fault of the sandbox behind it.
FAULTS = {
    "breaks-off": "cut,after=2",
    "broken": "server-error",
    "fails-late": "error-event,after=2",
    "throttled": "rate-limit,retry-after=7",
    "too-long": "context-too-long",
}


@pytest.fixture(scope="session")
def proxy():
    """The proxy at .url, in front of llama-server for `llama`, of the sandbox for all its other models."""
    with Sandbox() as sandbox:
        sandbox.says(KNOWN)
        models = {"eliza": behind(sandbox.url)}
        models.update((f"limited-{name}", behind(sandbox.url, rpm=1)) for name in PROTOCOLS)
        models.update((name, behind(f"{sandbox.url}/fault/{fault}")) for name, fault in FAULTS.items())
        models["unstarted"] = behind(sandbox.url, mock_response="litellm.InternalServerError")
        if not peer_servers.PROGRAMS["AICHATKIT_LLAMA"]:
            with model_servers.run_litellm(models, key=KEY) as peer:
                yield peer
            return
        with model_servers.run_llama("--grammar", f'root ::= "{KNOWN}"') as llama:
            models["llama"] = behind(llama.url, api_key=llama.key)
            with model_servers.run_litellm(models, key=KEY) as peer:
                yield peer


def behind(url, **parameters):
    # "openai/" would send what comes over Anthropic's protocol to Responses.
    return {"model": "hosted_vllm/eliza", "api_base": f"{url}/v1", "api_key": "sk-behind", **parameters}


@pytest.fixture(params=PROTOCOLS)
def provider(request):
    return request.param


@pytest.fixture
def connect(proxy, provider, policy):
    """Make a client for a model of the proxy that does not really wait, closed after the test."""
    made = []

    def make(model, **options):
        options = {"api_key": KEY, "base_url": proxy.url + PROTOCOLS[provider], "retry": policy, **options}
        made.append(Client(model=f"{provider}/{model}", **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(params=["eliza", "llama"])
def model(request):
    if request.param == "llama" and not peer_servers.PROGRAMS["AICHATKIT_LLAMA"]:
        pytest.skip("AICHATKIT_LLAMA does not name llama-server")
    return request.param


def test_text_comes_to_the_letter_and_in_pieces(connect, model):
    with connect(model).stream("hello") as stream:
        chunks = list(stream)
    assert "".join(chunks) == KNOWN == stream.reply.text
    assert len(chunks) > 5
    assert (stream.reply.complete, stream.reply.finish_reason) == (True, "stop")
    assert len(stream.reply.attempts) == 1


def test_usage_is_what_the_proxy_tells(connect, provider, model):
    usage = connect(model).ask("hello").usage
    if provider == "gemini":
        # Its streams over this protocol count nothing.
        assert usage.input_tokens == 0
    else:
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 10


def test_its_own_limit_is_a_rate_limit(connect, provider, slept):
    client = connect(f"limited-{provider}")
    assert client.ask("first").text == KNOWN
    # It counts by the minutes of the clock, and one may begin in between.
    with pytest.raises(RateLimitError) as caught:
        list(map(client.ask, ["again"] * 5))
    assert caught.value.status == 429
    assert caught.value.retry_after == (None if provider == "anthropic" else 60)


def test_the_wait_of_the_service_behind_is_heard_through_the_proxy(connect, provider, slept):
    with pytest.raises(RateLimitError) as caught:
        connect("throttled").ask("hello")
    assert len(caught.value.attempts) == 3
    # The proxy passes the hint on under a name of its own, and over OpenAI's protocols only.
    assert caught.value.retry_after == (7 if provider.startswith("openai") else None)
    assert min(slept) >= (7 if provider.startswith("openai") else 0)


def test_a_breakdown_behind_is_retried(connect, slept):
    with pytest.raises(ServerError) as caught:
        connect("broken").ask("hello")
    assert [attempt.error.status for attempt in caught.value.attempts] == [500, 500, 500]
    assert len(slept) == 2


def test_a_breakdown_told_in_an_event_stream_is_one_all_the_same(proxy, policy):
    options = {"api_key": KEY, "base_url": f"{proxy.url}/v1", "retry": policy}
    with Client(model="openai-responses/unstarted", **options) as client, pytest.raises(ServerError) as caught:
        client.ask("hello")
    assert (caught.value.status, caught.value.code) == (500, "internal_server_error")
    assert "Error processing stream start" in str(caught.value)
    assert len(caught.value.attempts) == 3


@pytest.mark.parametrize("model", ["breaks-off", "fails-late"])
def test_an_answer_that_breaks_off_behind_is_no_answer(connect, model):
    with pytest.raises(ChatError) as caught:
        connect(model, retry=0).ask("hello")
    assert KNOWN.startswith(caught.value.partial)


def test_a_prompt_too_long_for_the_model_behind_is_told_apart(connect):
    with pytest.raises(ContextTooLongError) as caught:
        connect("too-long").ask("hello")
    assert len(caught.value.attempts) == 1


def test_an_unknown_model_is_not_found(connect):
    with pytest.raises(ModelNotFoundError):
        connect("no-such-model").ask("hello")


def test_a_wrong_key_costs_one_request_and_is_not_shown(connect):
    # Without a database the proxy answers 400, "No connected db", to a key it does not know.
    with pytest.raises(AuthenticationError) as caught:
        connect("eliza", api_key="sk-a-wrong-one").ask("hello")
    assert len(caught.value.attempts) == 1
    assert "sk-a-wrong-one" not in f"{caught.value!r} {caught.value}"


def test_models_are_listed(proxy):
    with Client(model="openai", api_key=KEY, base_url=f"{proxy.url}/v1") as client:
        assert {"eliza", "broken"} <= set(client.models("openai"))
