"""Why a prompt was not read from the cache: the first part that differs from an earlier request, or another reason."""

from __future__ import annotations

import dataclasses
import logging
import re
import warnings

import pytest
from test_cache_scenarios import CLAUDE, GPT, HANDBOOK, OLD_GPT, World, with_fees

from aichatkit.chunks import Usage
from aichatkit.display.reply_record import reply_record
from aichatkit.messages import Message
from aichatkit.prompt_caching import misses
from aichatkit.prompt_caching.policy import CacheDecision, History
from aichatkit.prompt_caching.services import CacheRules
from aichatkit.sandbox import Sandbox
from aichatkit.sandbox.pictures import png

SEEK = "deepseek/deepseek-v4-flash"
every = pytest.mark.parametrize("model", [CLAUDE, GPT, OLD_GPT, SEEK])


@pytest.fixture
def world():
    with Sandbox() as box:
        yield World(box)


def tool(name, says="Use it."):
    def function(text: str) -> str:
        return text

    function.__name__, function.__doc__ = name, says
    return function


A, B, OTHER_A = tool("a"), tool("b"), tool("a", "Use it well.")


def last_miss(world, model, *calls, mode="auto", pause=20):
    """Make calls one after the other and return what the last one missed; those before it are made twice."""
    with world.client(model, mode) as client:
        for options in calls[:-1]:
            for _ in range(2):
                client.ask("Question?", **{"system": HANDBOOK, **options})
                world.wait(pause)
        return client.ask("Question?", **{"system": HANDBOOK, **calls[-1]}).cache_miss


@every
@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"system": f"It is 12:01. {HANDBOOK}"}, {"system": f"It is 12:07. {HANDBOOK}"}, "character 11 on: .*a time"),
        (
            {"system": f"User 1b4e28ba-2fa1-11d2-883f-0016d3cca427. {HANDBOOK}"},
            {"system": f"User 7c9e6679-7425-40de-944b-e07fc1f90ae7. {HANDBOOK}"},
            "the system prompt differs from character 6 on: 'User 7c9e6679-7425.*looks like a UUID",
        ),
        ({"system": f"On 2026-11-27. {HANDBOOK}"}, {"system": f"On 2026-11-28. {HANDBOOK}"}, "looks like a date"),
        ({"system": f"Row 1117. {HANDBOOK}"}, {"system": f"Row 1118. {HANDBOOK}"}, "looks like a number"),
        ({"system": f"Be brief. {HANDBOOK}"}, {"system": f"Be polite. {HANDBOOK}"}, "on: 'Be polite. word word .*'$"),
        ({"tools": [A, B]}, {"tools": [B, A]}, "^the tools are in another order$"),
        ({"tools": [A]}, {"tools": [A, B]}, "^the tool 'b' was added$"),
        ({"tools": [A, B]}, {"tools": [A]}, "^the tool 'b' was removed$"),
        ({"tools": [A]}, {"tools": [OTHER_A]}, "^the tool 'a' has changed$"),
    ],
)
def test_the_first_part_that_differs_is_named(world, model, before, after, reason):
    reply = last_miss(world, model, before, after)
    assert re.search(reason, reply), reply


@with_fees
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"schema": {"type": "object", "properties": {"a": {"type": "string"}}}}, "schema"),
        ({"tools": [A], "tool_choice": "none"}, "tool_choice"),
    ],
)
def test_a_setting_that_changed_is_named(world, model, options, name):
    before = {"tools": options["tools"]} if "tools" in options else {}
    assert last_miss(world, model, before, options) == f"{name} has changed"


@every
def test_a_prompt_that_is_read_or_begins_like_no_other_misses_nothing(world, model):
    with world.client(model) as client:
        replies = [client.ask(f"Question {number}?", system=HANDBOOK) for number in range(4)]
        assert [reply.cache_miss for reply in replies[2:]] == ["", ""]
        assert client.ask("Question?", system="other " * 4000).cache_miss == ""
        assert client.ask("Other " * 4000).cache_miss == ""
        assert client.ask("Hello").cache_miss == ""


@every
def test_conversations_miss_nothing_but_what_was_not_written_yet(world, model):
    with world.client(model) as client:
        conversation = client.chat(system=HANDBOOK)
        misses = []
        for number in range(5):
            misses.append(conversation.ask(f"Question {number}?").cache_miss)
            world.wait(20)
    written = "it was not in the cache yet; this request wrote it" if model in (CLAUDE, GPT) else ""
    assert misses == ["", written, "", "", ""]


@with_fees
def test_a_time_in_a_tool_result_is_no_break(world, model):
    times = iter(range(100))

    def now() -> str:
        """Return the time."""
        return f"It is 12:00:{next(times):02}."

    with world.client(model) as client:
        conversation = client.chat(system=HANDBOOK, tools=[now])
        misses = [conversation.ask("call now {}").cache_miss for _ in range(4)]
    assert misses[1:] == [""] * 3


@every
def test_what_has_expired_is_said(world, model):
    reason = last_miss(world, model, {}, {}, pause=4000)
    assert reason.endswith("expired: it was sent 67 min before") or "as it is kept for" in reason
    assert reason.startswith("expired, as" if model in (CLAUDE, GPT) else "probably expired")
    assert last_miss(world, model, {"system": HANDBOOK + "1"}, {"system": HANDBOOK + "2"}, pause=40_000) == ""
    assert last_miss(world, model, {}, {}, pause=100_000) == ""


@every
def test_what_the_service_dropped_is_said(world, model):
    with world.client(model) as client:
        for _ in range(3):
            client.ask("Question?", system=HANDBOOK)
        world.wait(20)
        world.box.prompt_caches.clear()
        reason = client.ask("Question?", system=HANDBOOK).cache_miss
    assert reason == "the service did not find it, although it was sent 20 s before"


@with_fees
def test_what_was_not_marked_is_said(world, model):
    assert last_miss(world, model, {}, {}, mode=False) == "prompt_cache=False"
    with world.client(model, "safe") as client:
        replies = [client.ask("Question?", system=HANDBOOK) for _ in range(2)]
    assert replies[1].cache_miss == "a prompt with this beginning was not marked for the cache yet"


@with_fees
def test_marks_that_have_stopped_are_said(world, model):
    with world.client(model) as client, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(6):
            reply = client.ask("Question?", system=HANDBOOK)
            world.box.prompt_caches.clear()
    assert "is no longer marked for the cache" in reply.cache_miss
    assert "reply.cache_miss says why" in str(caught[-1].message)


@with_fees
def test_a_prompt_that_is_too_short_is_said(world, model):
    words = 400 if model == CLAUDE else 900
    reason = last_miss(world, model, {"system": "word " * words}, {"system": "word " * words})
    assert reason.startswith("only about the first ")
    assert reason.endswith(f"caches prompts of at least {512 if model == CLAUDE else 1024}")
    assert last_miss(world, OLD_GPT, {"system": "word " * 900}, {"system": "word " * 900}) == ""


@pytest.mark.parametrize("model", [GPT, OLD_GPT, SEEK])
def test_a_prompt_of_instructions_alone_is_answered_and_compared(world, model):
    instructions = [Message("system", HANDBOOK)]
    with world.client(model) as client:
        replies = [client.ask(instructions) for _ in range(2)]
        world.box.prompt_caches.clear()
        last = client.ask(instructions)
    assert all(reply.text for reply in replies)
    assert "the service did not find it" in last.cache_miss


@every
def test_a_history_that_was_changed_is_said(world, model):
    with world.client(model) as client:
        conversation = client.chat(system=HANDBOOK)
        for number in range(4):
            conversation.ask(f"Question {number}?")
        turns = list(conversation.history)
        edited = [Message("system", HANDBOOK), *turns[:2], Message("user", "Something else?"), *turns[3:]]
        edited = [turn for number, turn in enumerate(edited) if turn.role != "system" or number == 0]
        reply = client.ask([*edited, Message("user", "And now?")])
        assert reply.cache_miss == "message 3 of the conversation has changed"
        dropped = client.ask([edited[0], *edited[3:], Message("user", "And then?")])
        assert dropped.cache_miss.startswith("the oldest messages were dropped")


def test_a_picture_that_was_changed_is_said(world):
    with world.client(CLAUDE) as client:
        conversation = client.chat(system=HANDBOOK)
        conversation.ask("Hello")
        conversation.ask("What is it?", files=[png("a cat")])
        conversation.ask("And now?")
        turns = [turn for turn in conversation.history if turn.role != "system"]
        picture = client.chat(system=HANDBOOK)
        picture.ask("What is it?", files=[png("a dog")])
        other = next(turn for turn in picture.history if turn.role == "user")
        reply = client.ask([Message("system", HANDBOOK), *turns[:2], other, *turns[3:], Message("user", "Then?")])
    assert reply.cache_miss == "message 3 of the conversation (it has files) has changed"


def test_a_model_that_changed_is_said(world):
    with world.client(CLAUDE) as client:
        client.ask("Question?", system=HANDBOOK)
        reply = client.ask("Question?", system=HANDBOOK, model="anthropic/claude-haiku-5-5")
    assert (
        reply.cache_miss == "the model changed from claude-sonnet-5-5 to claude-haiku-5-5, and each has its own cache"
    )


def test_a_conversation_under_another_system_prompt_is_the_same_one(world):
    with world.client(CLAUDE) as client:
        first = client.ask([Message("system", "word " * 4000), Message("user", "Hello")])
        turns = [Message("user", "Hello"), Message("assistant", first.text), Message("user", "And?")]
        reply = client.ask([Message("system", "thing " * 4000), *turns])
    assert reply.cache_miss.startswith("the system prompt differs from character 1 on: 'thing ")


def test_gemini_leaves_out_what_was_not_read(world):
    with world.client("gemini/gemini-3.8-flash") as client:
        client.ask("Question?", system=f"It is 12:01. {HANDBOOK}")
        reply = client.ask("Question?", system=f"It is 12:02. {HANDBOOK}")
        assert (reply.usage.cached_tokens, "looks like a time" in reply.cache_miss) == (None, True)


@pytest.mark.parametrize("words", [1800, 3500, 5000])
def test_gemini_is_not_blamed_for_prompts_that_it_never_caches(world, words):
    options = {"system": "word " * words}
    assert last_miss(world, "gemini/gemini-3.8-flash", options, options) == ""


@pytest.mark.parametrize("omits_zero", [True, False])
def test_without_a_count_there_is_nothing_to_say(omits_zero):
    trace = misses.Trace("m", {}, {}, "", [(1, False)], [5000, 5001], 0.0)
    decision = CacheDecision(None)
    decision.history = History(trace, [trace], CacheRules("none", omits_zero=omits_zero), 300.0)
    assert decision.explain(Usage()) == ""
    assert decision.explain(Usage(5001, cached_tokens=0)).startswith("the service did not find it")


def test_only_the_last_requests_are_remembered(world, monkeypatch):
    monkeypatch.setattr("aichatkit.prompt_caching.memory._MAX_TRACES", 2)
    with world.client(OLD_GPT) as client:
        client.ask("Question?", system=f"It is 12:01. {HANDBOOK}")
        for word in ("one ", "two "):
            client.ask("Question?", system=word * 4000)
        assert client.ask("Question?", system=f"It is 12:02. {HANDBOOK}").cache_miss == ""


def test_no_text_is_logged_and_the_reason_is_part_of_the_record(world, caplog):
    caplog.set_level(logging.DEBUG)
    with world.client(OLD_GPT) as client:
        client.ask("Question?", system=f"It is 12:01. {HANDBOOK}")
        reply = client.ask("Question?", system=f"It is 12:02. {HANDBOOK}")
    assert "12:0" not in caplog.text
    assert reply_record(reply)["cache_miss"] == reply.cache_miss != ""
    assert dataclasses.replace(reply, text="").cache_miss == reply.cache_miss


def test_seconds_and_minutes():
    assert [misses._seconds(seconds) for seconds in (20, 119, 120, 3600)] == ["20 s", "119 s", "2 min", "60 min"]
