"""The server of llama.cpp with a model of random numbers: real answers, to the letter where a grammar spells them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import model_servers
import pytest

from aichatkit import AuthenticationError, BadRequestError, Client, ContextTooLongError

KNOWN = "hello world, zażółć 🦊 done."
GRAMMAR = f'root ::= "{KNOWN}"'
#: Provider -> where the server speaks its protocol.
PROTOCOLS = {"llamacpp": "/v1", "openai": "/v1", "openai-responses": "/v1", "anthropic": ""}
#: Those that take fields of the server's own; from Anthropic's messages it takes no grammar and no schema.
OPEN = ["llamacpp", "openai", "openai-responses"]


@dataclass
class Lamp:
    """What a schema asks for; open text would be noise that is not always UTF-8."""

    color: Literal["red", "green"]
    lit: bool


@pytest.fixture
def connect():
    """Make clients of a llama-server, closed after the test: `connect("openai", llama)`."""
    made = []

    def make(provider, llama, **options):
        address = llama.url + PROTOCOLS[provider]
        made.append(
            Client(**{"model": f"{provider}/tiny", "api_key": llama.key, "base_url": address, "retry": 0, **options})
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture(scope="session")
def told():
    """A server that is told at its start what to say to everybody."""
    with model_servers.run_llama("--grammar", GRAMMAR) as peer:
        yield peer


@pytest.fixture(scope="session")
def endless():
    """A server that writes one answer at a time, which never ends."""
    forever = ("--grammar", "root ::= [a-z]+", "--ignore-eos", "--context-shift", "--parallel", "1")
    with model_servers.run_llama(*forever) as peer:
        yield peer


@pytest.mark.parametrize("provider", OPEN)
def test_a_grammar_is_passed_on_and_its_text_streamed_to_the_letter(llama, connect, provider):
    with connect(provider, llama).stream("say it", extra={"grammar": GRAMMAR}) as stream:
        chunks = list(stream)
    assert "".join(chunks) == KNOWN == stream.reply.text
    assert len(chunks) > 5
    assert (stream.reply.complete, stream.reply.finish_reason) == (True, "stop")


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_a_known_text_comes_to_the_letter_over_every_protocol(told, connect, provider):
    reply = connect(provider, told).ask("say it")
    assert (reply.text, reply.complete, reply.finish_reason) == (KNOWN, True, "stop")


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_tokens_are_counted(told, connect, provider):
    usage = connect(provider, told).ask("say it").usage
    # A letter outside ASCII is a token for each of its bytes, and the end is one more.
    assert usage.output_tokens == len(KNOWN.encode()) + 1
    assert usage.input_tokens > 10
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


@pytest.mark.parametrize("provider", ["anthropic", "llamacpp", "openai"])
def test_an_answer_cut_at_the_limit_says_so(told, connect, provider):
    reply = connect(provider, told).ask("say it", max_tokens=8)
    assert (reply.text, reply.finish_reason) == (KNOWN[:8], "length")
    assert reply.usage.output_tokens == 8


@pytest.mark.parametrize("provider", ["llamacpp", "openai"])
def test_a_schema_shapes_even_noise(llama, connect, provider):
    lamp = connect(provider, llama).ask("which lamp?", schema=Lamp, max_tokens=200).data
    assert isinstance(lamp, Lamp)
    assert lamp.color in ("red", "green")
    assert isinstance(lamp.lit, bool)


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_a_wrong_key_is_refused_once(llama, connect, provider):
    with pytest.raises(AuthenticationError) as caught:
        connect(provider, llama, api_key="sk-wrong-one", retry=2).ask("hi")
    assert len(caught.value.attempts) == 1
    assert "sk-wrong-one" not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize("provider", PROTOCOLS)
def test_a_prompt_longer_than_the_context_is_told_apart(llama, connect, provider):
    with pytest.raises(ContextTooLongError):
        connect(provider, llama).ask("word " * 400)


def test_a_grammar_that_is_none_is_a_bad_request(llama, connect):
    with pytest.raises(BadRequestError) as caught:
        connect("llamacpp", llama).ask("hi", extra={"grammar": "root ::= nothing-of-the-kind"})
    assert caught.value.status == 400


@pytest.mark.parametrize("provider", ["anthropic", "llamacpp", "openai"])
def test_models_are_listed(llama, connect, provider):
    assert connect(provider, llama).models(provider) == ["tiny"]


def test_a_conversation_is_sent_whole(told, connect):
    chat = connect("llamacpp", told).chat(system="Be brief.")
    first, second = chat.ask("one"), chat.ask("two")
    assert (first.text, second.text) == (KNOWN, KNOWN)
    assert second.usage.input_tokens > first.usage.input_tokens + len(KNOWN)


def test_many_threads_share_two_places(told, connect):
    client = connect("llamacpp", told)
    with ThreadPoolExecutor(16) as threads:
        texts = list(threads.map(lambda number: client.ask(f"prompt {number}").text, range(64)))
    assert texts == [KNOWN] * 64
    assert told.wait_idle()


@pytest.mark.parametrize("provider", PROTOCOLS)
@pytest.mark.parametrize("leave", ["cancel", "close"])
def test_a_stream_left_early_frees_its_place(endless, connect, provider, leave):
    client = connect(provider, endless)
    stream = client.stream("never end")
    assert next(stream)
    assert endless.busy_slots() == 1
    getattr(stream, leave)()
    assert endless.wait_idle()
    assert client.ask("be short", max_tokens=3).text
