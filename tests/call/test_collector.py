"""What comes beside the text, put together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aichatkit.call.collector import Collector
from aichatkit.chunks import Answered, Bill, Citation, Finish, Notice, Reasoning, Thought, ToolCall, ToolCallPart, Usage
from aichatkit.errors import BadResponseError


def gathered(*chunks):
    seen = Collector("asked")
    for chunk in chunks:
        seen.add(chunk)
    return seen


def calls(*parts):
    return [(call.id, call.name, call.arguments) for call in gathered(*parts).tool_calls("openai")]


P = ToolCallPart


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        ([P(0, "a", "f", '{"x"'), P(0, arguments=": 1}")], [("a", "f", {"x": 1})]),
        (
            [P(0, "a", "f"), P(1, "b", "g"), P(0, arguments='{"x": 1}'), P(1, arguments='{"y": 2}')],
            [("a", "f", {"x": 1}), ("b", "g", {"y": 2})],
        ),
        # No call has a number.
        (
            [P(None, "a", "f", '{"x"'), P(None, arguments=": 1}"), P(None, "b", "f", "{}")],
            [("a", "f", {"x": 1}), ("b", "f", {})],
        ),
        (
            [P(None, "", "f", '{"x": 1}'), P(None, "", "f", '{"x": 2}')],
            [("call00000", "f", {"x": 1}), ("call00001", "f", {"x": 2})],
        ),
        # Every call has the number 0.
        (
            [P(0, "a", "f", '{"x": 1}'), P(0, "b", "f", "{"), P(0, arguments="}")],
            [("a", "f", {"x": 1}), ("b", "f", {})],
        ),
        # Id and name come with every piece.
        ([P(0, "a", "f", '{"x"'), P(0, "a", "f", ": 1}")], [("a", "f", {"x": 1})]),
        # The id comes late.
        ([P(0, "", "f", "{}"), P(0, "a")], [("a", "f", {})]),
        # No arguments, in every way to say so.
        ([P(0, "a", "f")], [("a", "f", {})]),
        ([P(0, "a", "f", "null")], [("a", "f", {})]),
        ([P(0, "a", "f", " ")], [("a", "f", {})]),
        # A piece of a call that never began.
        ([P(3, arguments='{"x": 1}')], []),
        ([P(0, "a", "f", "{}"), P(1, arguments="{}")], [("a", "f", {})]),
    ],
)
def test_pieces_of_calls_come_together(parts, found):
    assert calls(*parts) == found


@settings(deadline=None)
@given(st.text(), st.lists(st.integers(0, 40), max_size=6))
def test_arguments_survive_every_way_to_cut_them(text, cuts):
    whole = json.dumps({"text": text})
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    pieces = [whole[start:end] for start, end in zip(places, places[1:])]
    assert calls(P(0, "a", "f"), *(P(0, arguments=piece) for piece in pieces)) == [("a", "f", {"text": text})]


@pytest.mark.parametrize("arguments", ['{"x": ', "[1]", "5", '"x"', "false", "[" * 100_000])
def test_arguments_that_are_no_object_are_kept_as_they_came(arguments):
    assert gathered(P(0, "a", "f", arguments)).tool_calls("p") == [ToolCall("a", "f", {}, "", arguments)]


def test_arguments_that_the_length_limit_cut_are_an_error():
    with pytest.raises(BadResponseError, match="'f' was cut off by the length limit"):
        gathered(P(0, "a", "f", '{"x"'), Finish("length")).tool_calls("p")


def test_a_signature_is_kept():
    assert gathered(P(None, "a", "f", "{}", "sig")).tool_calls("gemini") == [ToolCall("a", "f", {}, "gemini:sig")]


def test_signed_thoughts_keep_their_place_among_text_and_calls():
    text = []
    seen = Collector("asked", text)
    for step in ("Let me ", "see.", Reasoning("H"), Reasoning("m.", "s"), P(0, "a", "f"), Reasoning("", "t", True)):
        text.append(step) if isinstance(step, str) else seen.add(step)
    assert seen.thoughts("anthropic") == [
        Thought("Hm.", "anthropic:s", False, 11, 0),
        Thought("", "anthropic:t", True, 11, 1),
    ]


def test_thoughts_without_a_signature_are_nothing_to_send_back():
    assert gathered(Reasoning("Hm.")).thoughts("anthropic") == []


@pytest.mark.parametrize(
    ("chunks", "usage"),
    [
        ([Usage(1, 2)], Usage(1, 2, 3)),
        ([Usage(1, 2, 5)], Usage(1, 2, 5)),
        ([Usage(1), Usage(output_tokens=2)], Usage(1, 2, 3)),
        ([Usage(1, 1), Usage(1, 2)], Usage(1, 2, 3)),
        ([Usage(1)], Usage(1)),
        ([], Usage()),
        ([Usage(5, 1, 6), Usage(0, 0, 0)], Usage(5, 1, 6)),
        ([Usage(5, 4), Usage(3, 1, 4)], Usage(5, 4, 9)),
        ([Usage(5, 4, 3)], Usage(5, 4, 9)),
        ([Usage("5", True, 7.0)], Usage(total_tokens=7)),
        ([Usage(float("nan"), -1, float("inf"))], Usage()),
        ([Usage(10, 1, cached_tokens=161)], Usage(10, 1, 11, cached_tokens=10)),
        ([Usage(cached_tokens=9)], Usage(cached_tokens=9)),
        (
            [Usage(12, 1, cached_tokens=9, cache_write_tokens=2), Bill(uncached=1), Usage(2, 5), Bill(uncached=2)],
            Usage(13, 5, 18, cached_tokens=9, cache_write_tokens=2),
        ),
        ([Usage(3), Bill(prompt=3, tool_prompt=4), Usage(5), Bill(prompt=5)], Usage(9)),
        ([Bill(visible=3), Usage(reasoning_tokens=4)], Usage(None, 7, None, reasoning_tokens=4)),
    ],
)
def test_usage_is_the_largest_that_was_reported_and_has_a_total(chunks, usage):
    assert gathered(*chunks).total_usage() == usage


@pytest.mark.parametrize(
    ("chunks", "reason", "ended", "last"),
    [
        ([], None, False, False),
        ([Finish("stop")], "stop", True, False),
        ([Finish("length", ends=False)], "length", False, False),
        ([Finish("length"), Finish(last=True)], "length", True, True),
        ([P(0, "a", "f"), Finish("stop")], "tool_calls", True, False),
        ([P(0, "a", "f")], "tool_calls", False, False),
        ([P(0, "a", "f"), Finish("length")], "length", True, False),
    ],
)
def test_the_end_is_told(chunks, reason, ended, last):
    seen = gathered(*chunks)
    assert (seen.finish_reason(), seen.ended, seen.last) == (reason, ended, last)


def test_sources_are_named_once_with_their_title():
    seen = gathered(Citation("a"), Citation("a", "A"), Citation("a", "Other"), Citation("b"), Citation("b"))
    assert seen.citations == [Citation("a", "A"), Citation("b")]


def test_model_notice_and_thoughts_are_noted():
    seen = gathered(Answered("real"), Notice("limit"), Notice(""), Reasoning("Hm"), Reasoning("."))
    assert (seen.model, seen.notice, seen.reasoning) == ("real", "limit", ["Hm", "."])


def test_every_text_of_an_answer_can_be_encoded():
    collector = Collector("m")
    for chunk in (
        Answered("m\ud83d", "id\ud83d"),
        Citation("https://example.org/\ud83d", "A\ud83d\ude00"),
        Finish("odd\ud83d"),
        Reasoning("Hm\ud83d", "s"),
        ToolCallPart(0, "c\ud83d", "look\ud83d", r'{"a": "\ud83d"}'),
        ToolCallPart(1, "d", "look", "{broken\ud83d"),
    ):
        collector.add(chunk)
    first, second = collector.tool_calls("openai")
    assert (collector.model, collector.id, collector.reason) == ("m\ufffd", "id\ufffd", "odd\ufffd")
    assert collector.citations == [Citation("https://example.org/\ufffd", "A😀")]
    assert collector.thoughts("openai")[0].text == "Hm\ufffd"
    assert (first.id, first.name, first.arguments) == ("c\ufffd", "look\ufffd", {"a": "\ufffd"})
    assert second.broken == "{broken\ufffd"


def test_a_bill_keeps_the_last_word_and_the_largest_number():
    seen = gathered(
        Bill(cost=0.5, tier="auto", long_writes=3), Bill(cost=0.25, tier="flex"), Bill(long_writes=0), Reasoning("")
    )
    assert seen.total_bill() == Bill(cost=0.5, tier="flex", long_writes=3)
    assert gathered(Reasoning("Hm.")).total_bill() == Bill(reasoned=True)


@pytest.mark.parametrize(("model", "answer_id"), [(5, 7), (None, None), ([], {})])
def test_a_model_or_an_id_that_is_no_text_is_nobodys(model, answer_id):
    seen = gathered(Answered("m", "a"), Answered(model, answer_id))
    assert (seen.model, seen.id) == ("m", "a")
