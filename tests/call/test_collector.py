"""What comes beside the text, put together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aichatkit.call.collector import Collector
from aichatkit.chunks import (
    Answered,
    ArgumentFields,
    Bill,
    Citation,
    Finish,
    Notice,
    Reasoning,
    Thought,
    ToolCall,
    ToolCallPart,
    Usage,
)
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
        # Another id with every piece of one call, with and without its name.
        ([P(0, "a", "f"), P(0, "b", "", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(None, "a", "f", '{"x"'), P(None, "b", "", ": 1}")], [("a", "f", {"x": 1})]),
        ([P(0, "a", "f"), P(0, "b", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(0, "a", "f", '{"x"'), P(0, "b", "f", ": 1}")], [("a", "f", {"x": 1})]),
        ([P(0, "a", "f", '{"x":'), P(0, "", "f", " 1}")], [("a", "f", {"x": 1})]),
        ([P(None, "", "f"), P(None, "", "f", '{"x": 1}')], [("call00000", "f", {"x": 1})]),
        # Another id and another name are another call.
        ([P(0, "a", "f"), P(0, "b", "g", '{"x": 1}')], [("a", "f", {}), ("b", "g", {"x": 1})]),
        ([P(None, "a", "f"), P(None, "b", "f")], [("a", "f", {}), ("b", "f", {})]),
        # Whole calls that all have the number 0, and no id.
        (
            [P(0, "", "f", '{"x": 1}'), P(0, "", "f", '{"x": 2}'), P(0, "", "g", "{}")],
            [("call00000", "f", {"x": 1}), ("call00001", "f", {"x": 2}), ("call00002", "g", {})],
        ),
        # The name comes in pieces, or late, or again with every piece.
        ([P(0, "a", "wea"), P(0, "", "ther"), P(0, arguments="{}")], [("a", "weather", {})]),
        ([P(None, "a", "wea"), P(None, "", "ther"), P(None, arguments="{}")], [("a", "weather", {})]),
        ([P(0, "a", "f"), P(0, "", "f"), P(0, "a", "f", "{}")], [("a", "f", {})]),
        ([P(0, "a", "", '{"x": 1}'), P(0, "", "f")], [("a", "f", {"x": 1})]),
        # A piece of a call that never began.
        ([P(3, arguments='{"x": 1}')], []),
        ([P(0, "a", "f", "{}"), P(1, arguments="{}")], [("a", "f", {})]),
    ],
)
def test_pieces_of_calls_come_together(parts, found):
    assert calls(*parts) == found


def W(position, id="", name="", arguments=""):
    """Return a piece that repeats a whole call."""
    return P(position, id, name, arguments, whole=True)


@pytest.mark.parametrize(
    ("parts", "found"),
    [
        # Told only when it is complete.
        ([W(0, "a", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        # Once, however often it is told.
        ([P(0, "a", "f", '{"x": 1}'), W(0, arguments='{"x":1}'), W(0, "a", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(1, "a", "f", '{"x": 1}'), W(0, "a", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(1, "a", "f", '{"x": 1}'), W(0, "other", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        # What the pieces lack.
        ([P(0, "a", "f"), W(0, arguments='{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(0, "a", "f"), W(0, "other", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(0, "a", "f", '{"x'), W(None, "a", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(0, "a", "f", '": 1}'), W(0, "a", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(0, "", "f"), W(None, "a", "f", '{"x": 1}')], [("a", "f", {"x": 1})]),
        ([P(0, "", "f", "{}"), W(None, "", "g", "{}")], [("call00000", "f", {}), ("call00001", "g", {})]),
        # An end without arguments takes nothing away.
        ([P(0, "a", "f", '{"x": 1}'), W(0, "a", "f", "{}"), W(0, "a", "f")], [("a", "f", {"x": 1})]),
        # Several calls, and those that only the end tells.
        (
            [P(0, "a", "f", '{"x": 1}'), W(0, "a", "f", '{"x": 1}'), W(1, "b", "f", '{"x": 2}')],
            [("a", "f", {"x": 1}), ("b", "f", {"x": 2})],
        ),
        ([W(0, "a", "f", '{"x": 1}'), W(1, "a", "f", '{"x": 2}')], [("a", "f", {"x": 1}), ("a", "f", {"x": 2})]),
        ([W(0, "", "f", "{}"), W(1, "", "f", "{}")], [("call00000", "f", {}), ("call00001", "f", {})]),
    ],
)
def test_a_repeated_call_is_one_call_with_all_that_was_told_of_it(parts, found):
    assert calls(*parts) == found


def test_arguments_that_contradict_each_other_are_broken():
    (call,) = gathered(P(0, "a", "f", '{"x": 1}'), W(0, "a", "f", '{"x": 2}')).tool_calls("p")
    assert (call.arguments, call.broken) == ({}, '{"x": 1}{"x": 2}')


F = ArgumentFields


@pytest.mark.parametrize(
    ("parts", "arguments"),
    [
        ([F([(["city"], "Par")], more=True), F([(["city"], "is")]), F(())], {"city": "Paris"}),
        ([F((), more=True), F(())], {}),
        ([F([(["a"], 1.5), (["b"], None), (["c"], True)])], {"a": 1.5, "b": None, "c": True}),
        ([F([(["a", 0, "b"], "x"), (["a", 0, "b"], "y"), (["a", 1, "b"], "z")])], {"a": [{"b": "xy"}, {"b": "z"}]}),
        ([F([(["a", 0], "x"), (["a", 1], "y"), (["a", 0], "z")])], {"a": ["xz", "y"]}),
    ],
)
def test_arguments_come_field_by_field(parts, arguments):
    (call,) = gathered(P(None, "a", "f"), *parts).tool_calls("gemini")
    assert (call.arguments, call.broken) == (arguments, "")


def test_arguments_of_which_more_was_announced_are_broken():
    (call,) = gathered(P(None, "a", "f"), F([(["city"], "Par")], more=True)).tool_calls("gemini")
    assert (call.arguments, call.broken) == ({}, '{"city": "Par"')


def test_fields_without_a_call_are_nothing():
    assert gathered(F([(["city"], "Paris")])).tool_calls("gemini") == []


@pytest.mark.parametrize("chunk", [Reasoning("a" * 6), P(0, "a", "f", "b" * 6), F([(["x"], "c" * 6)])])
def test_reasoning_and_calls_have_a_bound(chunk):
    seen = Collector("asked", limit=12)
    seen.add(P(None, "", "f"))
    seen.add(chunk)
    with pytest.raises(BadResponseError, match="longer than 12"):
        seen.add(chunk)


@pytest.mark.parametrize("chunk", [Reasoning("Hm."), P(0, "a", "f"), F([(["x"], 1)])])
def test_what_follows_an_end_marker_withdraws_it(chunk):
    seen = gathered(P(None, "", "f"), Finish("stop"), chunk)
    assert not seen.ended
    seen.add(Finish())
    assert seen.ended


@pytest.mark.parametrize("count", ["12", True, -1, [], {}, float("inf")])
def test_what_is_no_count_was_not_reported(count):
    assert gathered(Usage(count, 2, count, count, count)).total_usage() == Usage(None, 2)


def test_a_refusal_is_a_finish_reason_of_its_own():
    seen = gathered(Finish("stop"))
    seen.refused = True
    assert seen.finish_reason() == "content_filter"


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
    assert seen.placed_citations("") == [Citation("a", "A"), Citation("b")]


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
    assert collector.placed_citations("") == [Citation("https://example.org/\ufffd", "A😀")]
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


def test_a_call_does_not_run_without_arguments_that_came_under_another_number():
    for parts in ([P(0, "a", "f"), P(1, arguments='{"x": 1}')], [P(None, "a", "f"), P(0, arguments='{"x": 1}')]):
        (call,) = gathered(*parts).tool_calls("openai")
        assert (call.name, call.arguments, call.broken) == ("f", {}, '{"x": 1}')


@pytest.mark.parametrize("start", ["{}", "null", " "])
def test_a_call_that_begins_with_empty_arguments_does_not_run_without_those_under_another_index(start):
    (call,) = gathered(P(0, "a", "f", start), P(1, arguments='{"x": 1}')).tool_calls("openai")
    assert (call.arguments, call.broken) == ({}, '{"x": 1}')


def test_arguments_under_another_index_reach_the_call_with_their_id():
    for first in (P(1, "a", "", '{"x"'), P(1, "a", "f", '{"x"')):
        parts = [P(0, "b", "g"), P(0, "a", "f"), first, P(1, arguments=": 1}")]
        assert calls(*parts)[1:] == [("a", "f", {"x": 1})]
    # As from gateways that number the pieces.
    parts = [P(0, "a", "f"), P(1, "a", "", '{"x"'), P(2, "a", "", ": 1}"), P(3, "b", "f", "{}")]
    assert calls(*parts) == [("a", "f", {"x": 1}), ("b", "f", {})]


def test_calls_with_one_id_that_are_named_first_stay_apart():
    parts = [P(0, "a", "f"), P(1, "a", "f"), P(0, arguments='{"x": 1}'), P(1, arguments='{"x": 2}')]
    assert calls(*parts) == [("a", "f", {"x": 1}), ("a", "f", {"x": 2})]


def test_a_call_does_not_run_without_arguments_that_came_with_another_id():
    call, nameless = gathered(P(0, "a", "f"), P(1, "b", "", '{"x": 1}')).tool_calls("openai")
    assert (call.name, call.arguments, call.broken) == ("f", {}, '{"x": 1}')
    assert nameless.name == ""


def test_fields_without_a_call_leave_no_call_to_run_with_the_others():
    fields = [ArgumentFields([(("x",), 1)], more=True), P(None, "a", "f"), ArgumentFields([(("y",), 2)])]
    (call,) = gathered(*fields).tool_calls("gemini")
    assert (call.name, call.arguments, call.broken) == ("f", {}, '[[["x"], 1]]')
    (call,) = gathered(ArgumentFields([]), *fields[1:]).tool_calls("gemini")
    assert (call.arguments, call.broken) == ({"y": 2}, "")


@pytest.mark.parametrize("empty", ["{}", " ", "null"])
def test_empty_arguments_under_another_index_are_no_loss(empty):
    (call,) = gathered(P(0, "a", "f"), P(1, arguments=empty)).tool_calls("openai")
    assert (call.arguments, call.broken) == ({}, "")


def test_arguments_of_a_call_that_the_service_runs_itself_are_passed_over():
    parts = [P(0, foreign=True), P(0, arguments='{"query": "x"}'), P(1, "a", "f")]
    (call,) = gathered(*parts).tool_calls("anthropic")
    assert (call.name, call.arguments, call.broken) == ("f", {}, "")


def test_a_call_that_has_its_arguments_is_not_touched_by_others_that_belong_to_none():
    (call,) = gathered(P(0, "a", "f", '{"x": 1}'), P(3, arguments="{}")).tool_calls("openai")
    assert (call.arguments, call.broken) == ({"x": 1}, "")


def test_an_id_or_a_signature_that_is_no_text_counts_as_none():
    (call,) = gathered(P(0, ["a"], "f", "{}", {"s": 1})).tool_calls("openai")
    assert (call.id, call.signature) == ("call00000", "")


@pytest.mark.parametrize("chunk", [P(0, "a", ["f"]), P(0, "a", "f", ["{}"]), Reasoning(["x"])])
def test_a_piece_that_is_no_text_cannot_be_read(chunk):
    with pytest.raises(TypeError, match="is not text"):
        gathered(chunk)


@pytest.mark.parametrize("url", ["", None, 5, ["https://example.org"]])
def test_a_source_without_an_address_is_none(url):
    assert gathered(Citation(url, "A")).placed_citations("") == []


def test_a_title_that_is_no_text_counts_as_none():
    assert gathered(Citation("https://example.org", ["A"])).placed_citations("") == [
        Citation("https://example.org", "")
    ]
