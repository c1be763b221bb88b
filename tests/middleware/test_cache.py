"""The cache: an identical call is answered without a request, and nothing doubtful is kept."""

from __future__ import annotations

import copy
import pickle
import sqlite3
from dataclasses import dataclass

import pytest

from aichatkit import Cache, Client, ConfigurationError, JournalError, SchemaError, StreamInterruptedError
from aichatkit.errors import ChatError
from aichatkit.middleware.cache import store_reply
from aichatkit.reply import Reply
from aichatkit.sandbox import Sandbox
from aichatkit.storage.records import encode


@dataclass
class City:
    """A city."""

    name: str


@pytest.fixture
def sandbox():
    with Sandbox() as running:
        running.says(["First answer here.", "Second.", "Third.", "Fourth."])
        yield running


@pytest.fixture
def kept():
    return {}


@pytest.fixture
def client(sandbox, kept):
    with Client(model="openai", api_key="sk-test", base_url=f"{sandbox.url}/v1", cache=kept, retry=0) as client:
        yield client


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


# Calls.


def test_an_identical_call_is_answered_without_a_request(client, sandbox):
    first, second = client.ask("Hi"), client.ask("Hi")
    assert len(sandbox.requests) == 1
    assert (first.text, first.cached) == (second.text, False)
    assert (second.cached, second.cost, second.usage) == (True, 0.0, first.usage)


def test_a_stream_is_replayed_in_pieces(client, sandbox):
    client.ask("Hi")
    with client.stream("Hi") as stream:
        pieces = list(stream)
    assert pieces == ["First", " answer", " here."]
    assert stream.text == "First answer here."
    assert stream.reply.cached
    assert len(sandbox.requests) == 1


def test_a_stream_fills_the_cache_when_it_has_ended(client, sandbox, kept):
    stream = client.stream("Hi")
    next(stream)
    assert kept == {}
    stream.read()
    assert client.ask("Hi").cached


def test_rows_are_answered_from_it(client, sandbox):
    client.ask("a")
    results = client.map(["a", "b"])
    assert [result.reply.cached for result in results] == [True, False]
    assert len(sandbox.requests) == 2


def test_a_hit_costs_no_budget(sandbox, kept):
    options = {"model": "openai", "base_url": f"{sandbox.url}/v1", "cache": kept}
    with Client(**options) as client:
        client.ask("Hi")
    with Client(**options, budget=0) as client:
        reply = client.ask("Hi")
        assert (reply.cached, reply.cost, reply.saved) == (True, 0.0, 0.0)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "openai/gpt-6-sol"},
        {"temperature": 0},
        {"max_tokens": 5},
        {"system": "Be brief."},
        {"extra": {"a": 1}},
        {"files": [b"text of a file"]},
        {"strict": True},
    ],
)
def test_another_call_is_another_question(client, sandbox, options):
    client.ask("Hi")
    assert not client.ask("Hi", **options).cached


def test_another_address_is_another_service(client, kept):
    client.ask("Hi")
    with Sandbox() as other, Client(model="openai", api_key="k", base_url=f"{other.url}/v1", cache=kept) as elsewhere:
        assert not elsewhere.ask("Hi").cached


def stock(name: str) -> int:
    """Return the stock of a thing."""
    return len(name)


@pytest.mark.parametrize(
    ("options", "cached"),
    [
        ({"temperature": 0.7}, False),
        ({"temperature": 0.7, "seed": 1}, True),
        ({"temperature": 0}, True),
        ({"tools": [stock]}, False),
        ({"raw": True}, False),
    ],
)
def test_calls_that_ask_for_chance_or_act_are_asked_each_time(client, options, cached):
    client.ask("Hi", **options)
    assert client.ask("Hi", **options).cached is cached


@pytest.mark.parametrize("fault", ["cut,after=1", "content-filter", "quota"])
def test_what_is_not_complete_is_not_kept(client, sandbox, kept, fault):
    sandbox.script(fault)
    with pytest.raises(ChatError):
        client.ask("Hi")
    assert kept == {}


def test_a_stream_that_was_left_is_not_kept(client, kept):
    with client.stream("Hi") as stream:
        next(stream)
    assert kept == {}


def test_an_answer_without_an_end_marker_is_not_kept(client, kept, sandbox):
    with Client(model="aichats", base_url=sandbox.url, cache=kept) as site:
        assert site.ask("Hi").complete is None
    assert kept == {}


def test_the_data_of_a_schema_is_made_again(client, sandbox):
    sandbox.says('{"name": "Paris"}')
    assert client.ask("Which?", schema=City).data == City("Paris")
    again = client.ask("Which?", schema=City)
    assert (again.cached, again.data) == (True, City("Paris"))


@pytest.mark.parametrize("record", ["nonsense", encode(SchemaError("x")), '{"reply": {"nonsense": 1}}'])
def test_what_cannot_be_read_is_asked_for(client, kept, record):
    client.ask("Hi")
    kept.update(dict.fromkeys(kept, record))
    assert not client.ask("Hi").cached
    assert client.ask("Hi").cached


def test_an_answer_that_misses_its_schema_is_asked_for(client, sandbox, kept):
    sandbox.says(['{"name": "Paris"}', '{"name": "Rome"}'])
    client.ask("Which?", schema=City)
    kept.update({key: record.replace("name", "nom") for key, record in kept.items()})
    assert client.ask("Which?", schema=City).data == City("Rome")


def test_neither_keys_nor_headers_nor_prompts_are_kept(client, kept):
    client.ask("My secret prompt", headers={"X-Secret": "hush"})
    told = repr(kept)
    assert "sk-test" not in told
    assert "hush" not in told
    assert "prompt" not in told


# Replays.


def test_a_replay_that_is_closed_early_is_unfinished(client):
    client.ask("Hi")
    stream = client.stream("Hi")
    assert (stream.provider, stream.model, stream.attempts) == ("openai", "gpt-6-luna", [])
    assert next(stream) == "First"
    stream.cancel()
    with pytest.raises(StreamInterruptedError) as caught:
        stream.read()
    assert caught.value.partial == "First"
    assert stream.reply is None


def test_a_replay_that_is_closed_at_its_last_word_is_unfinished(client):
    client.ask("Hi")
    stream = client.stream("Hi")
    assert [next(stream) for _ in range(3)] == ["First", " answer", " here."]
    stream.close()
    assert list(stream) == []
    assert stream.reply is None


def test_who_waits_for_the_end_of_a_replay_is_told(client):
    client.ask("Hi")
    stream, told = client.stream("Hi"), []
    stream.when_complete(told.append)
    assert told == []
    stream.read()
    stream.when_complete(told.append)
    assert [reply.cached for reply in told] == [True, True]


def test_a_conversation_keeps_what_came_from_the_cache(client):
    client.ask("Hi")
    chat = client.chat()
    assert chat.ask("Hi").cached
    assert [message.role for message in chat.history] == ["user", "assistant"]


# Files.


def test_a_file_holds_for_the_next_client(sandbox, tmp_path):
    options = {"model": "openai", "base_url": f"{sandbox.url}/v1"}
    with Client(**options, cache=tmp_path / "answers.sqlite") as client:
        client.ask("Hi")
    with Client(**options, cache=str(tmp_path / "answers.sqlite")) as client:
        assert client.ask("Hi").cached


def test_an_answer_expires(tmp_path):
    clock = Clock()
    cache = Cache(tmp_path / "c.sqlite", expire=60, clock=clock)
    cache["a"] = "1"
    clock.now += 59
    cache["b"] = "2"
    assert (cache["a"], list(cache), len(cache)) == ("1", ["a", "b"], 2)
    clock.now += 1
    assert (cache.get("a"), list(cache)) == (None, ["b"])
    cache["c"] = "3"
    with sqlite3.connect(tmp_path / "c.sqlite") as connection:
        assert connection.execute("SELECT COUNT(*) FROM entries").fetchone() == (2,)
    connection.close()
    cache.close()


def test_the_oldest_go_when_there_are_too_many(tmp_path):
    cache = Cache(tmp_path / "c.sqlite", max_entries=2)
    for key in "abca":
        cache[key] = key
    assert list(cache) == ["c", "a"]
    del cache["c"]
    assert list(cache) == ["a"]
    with pytest.raises(KeyError):
        del cache["c"]
    cache.close()


@pytest.mark.parametrize("options", [{"expire": 0}, {"expire": True}, {"max_entries": -1}, {"max_entries": "many"}])
def test_limits_must_be_numbers(options):
    with pytest.raises(ConfigurationError, match="must be a number above 0"):
        Cache("c.sqlite", **options)


@pytest.mark.parametrize("number", [1.5, float("inf")])
def test_a_part_of_an_entry_cannot_be_kept(number):
    with pytest.raises(ConfigurationError, match=r"cache: max_entries must be a whole number, not "):
        Cache("c.sqlite", max_entries=number)


@pytest.mark.parametrize("cache", [3, "", True, [1]])
def test_anything_else_is_refused(cache):
    with pytest.raises(ConfigurationError, match="cache: must be a path"):
        Client(model="offline", cache=cache)


def test_a_damaged_file_is_told_before_anything_is_sent(sandbox, tmp_path):
    (tmp_path / "c.sqlite").write_bytes(b"nothing" * 99)
    client = Client(model="openai", base_url=f"{sandbox.url}/v1", cache=tmp_path / "c.sqlite")
    with client, pytest.raises(JournalError, match=r"the cache .* is not a database, or damaged"):
        client.ask("Hi")
    assert sandbox.requests == []


def test_a_cache_that_takes_nothing_more_spoils_no_answer(sandbox, tmp_path, monkeypatch, caplog):
    def full(self, key, record):
        raise JournalError("the disk is full")

    monkeypatch.setattr(Cache, "__setitem__", full)
    with Client(model="openai", base_url=f"{sandbox.url}/v1", cache=tmp_path / "c.sqlite") as client:
        assert client.ask("Hi").text == "First answer here."
    assert "the disk is full" in caplog.text


def test_a_client_in_another_process_shares_the_file_and_not_the_dict(client, kept, tmp_path):
    client.ask("Hi")
    assert copy.copy(client).ask("Hi").cached
    assert pickle.loads(pickle.dumps(client))._context.cache == {}
    with Client(model="offline", cache=tmp_path / "c.sqlite") as first:
        first.ask("Hi")
        with pickle.loads(pickle.dumps(first)) as second:
            assert second.ask("Hi").cached


def test_a_reply_is_not_stored_without_a_cache_or_if_another_answer_may_come():
    cache: dict[str, str] = {}
    with Client(model="offline", cache=cache) as client:
        store_reply(client._build_call("Hi", 1, temperature=1.0), Reply("Hello", "offline", "eliza", complete=True))
    with Client(model="offline") as client:
        store_reply(client._build_call("Hi", 1), Reply("Hello", "offline", "eliza", complete=True))
    assert cache == {}
