"""Answers whose records are odd: no foreign error, no text twice or lost, no call with a part of its arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from event_rules import cut
from odd_records import (
    ARGUMENTS,
    CALL_WIRES,
    ODD_VALUES,
    PIECES,
    RECORD_WIRES,
    SIDE_FIELDS,
    TEXT,
    TEXT_WIRES,
    OddWire,
    Outcome,
    change,
    places,
    read,
)

from aichatkit.errors import StreamInterruptedError
from aichatkit.registry import registry

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

pytestmark = pytest.mark.slow
#: Examples of each test that draws them, for each wire.
EXAMPLES = 60
BOUNDED = hypothesis.settings(
    derandomize=True,
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    # The answers are short as they are.
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
CUTS = st.lists(st.integers(0, 4000), max_size=8)
ALL_WIRES = (*TEXT_WIRES, *CALL_WIRES)
SIDED = [wire for wire in (*RECORD_WIRES, *CALL_WIRES) if places(wire.records, side=True)]
#: Fields that hold arguments as an object, which may be any.
_OBJECTS = {"gemini": "args", "ollama": "arguments"}


@st.composite
def odd_answers(draw: Any, records: Any) -> list[Any]:
    """Change up to three things: a field, or whether, when and how often a record comes."""
    records = list(records)
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.integers(0, max(len(records) - 1, 0)))
        action = draw(st.sampled_from(("field", "field", "field", "drop", "repeat", "move")))
        if action == "field" and (found := places(records)):
            at, path = draw(st.sampled_from(found))
            records[at] = change(records[at], path, draw(st.sampled_from((..., *ODD_VALUES))))
        elif action == "repeat" and records:
            records.insert(number, records[number])
        elif records:
            record = records.pop(number)
            if action == "move":
                records.insert(draw(st.integers(0, len(records))), record)
    return records


def is_exact(outcome: Outcome, wire: OddWire) -> bool:
    """Return whether an answer is whole: its text and calls, and its end where the protocol has one."""
    reply = outcome.reply
    if reply is None or (registry[wire.provider].requires_end and reply.complete is not True):
        return False
    if wire.calls:
        return [(call.name, call.arguments, call.broken) for call in reply.tool_calls] == [("weather", ARGUMENTS, "")]
    return outcome.text == reply.text == TEXT


def runs_nothing_else(outcome: Outcome) -> bool:
    """Return whether every call that a tool would be run for has all of its arguments."""
    calls = outcome.reply.tool_calls if outcome.reply else []
    return all(call.broken or call.arguments == ARGUMENTS for call in calls)


@pytest.mark.parametrize("wire", ALL_WIRES, ids=str)
def test_the_answers_are_whole_before_anything_is_odd(wire: OddWire) -> None:
    assert is_exact(read(wire, [wire.body(wire.records)]), wire)


# The lines of aichats are no events, and a CR in them belongs to the text.
@pytest.mark.parametrize("wire", [wire for wire in ALL_WIRES if wire.provider != "aichats"], ids=str)
def test_the_ends_of_lines_make_no_difference_wherever_they_are_cut(wire: OddWire) -> None:
    body = wire.body(wire.records)
    expected = read(wire, [body]).summary()
    assert read(wire, [body.rstrip(b"\n")]).summary() == expected
    for end in (b"\r\n", b"\r"):
        others = body.replace(b"\n", end)
        for place in (place for place in range(1, len(others)) if others[place - 1 : place] == b"\r"):
            assert read(wire, [others[:place], others[place:]]).summary() == expected, (end, place)


@pytest.mark.parametrize("wire", [*RECORD_WIRES, *CALL_WIRES], ids=str)
def test_one_odd_field_costs_no_more_than_itself(wire: OddWire) -> None:
    for at, path in places(wire.records):
        for value in (..., *ODD_VALUES):
            records = [*wire.records[:at], change(wire.records[at], path, value), *wire.records[at + 1 :]]
            outcome = read(wire, [wire.body(records)])
            odd = at, path, value
            if any(step in SIDE_FIELDS for step in path):
                assert is_exact(outcome, wire), odd
            assert all(outcome.text.count(piece) <= 1 for piece in PIECES), odd
            if _OBJECTS.get(wire.provider) not in path:
                assert runs_nothing_else(outcome), odd


@pytest.mark.parametrize("wire", ALL_WIRES, ids=str)
@hypothesis.given(data=st.data())
@BOUNDED
def test_an_odd_answer_is_a_reply_or_an_error_of_the_package_however_it_is_cut(wire: OddWire, data: Any) -> None:
    body = wire.body(data.draw(odd_answers(wire.records)))
    outcome = read(wire, [body])
    assert read(wire, cut(body, *data.draw(CUTS))).summary() == outcome.summary()
    if outcome.reply is None:
        assert outcome.text == outcome.error.partial
        return
    reply = outcome.reply
    assert reply.text == outcome.text
    assert reply.text or reply.tool_calls
    assert reply.complete is (True if registry[wire.provider].requires_end else reply.complete)
    assert all(isinstance(word, str) for call in reply.tool_calls for word in (call.id, call.name))
    json.dumps(reply.to_dict(), allow_nan=False)


@pytest.mark.parametrize("wire", SIDED, ids=str)
@hypothesis.given(data=st.data())
@BOUNDED
def test_odd_side_fields_do_not_cost_the_answer(wire: OddWire, data: Any) -> None:
    records = list(wire.records)
    for _ in range(data.draw(st.integers(1, 2))):
        at, path = data.draw(st.sampled_from(places(records, side=True) or places(wire.records, side=True)))
        if (at, path) not in places(records):
            continue
        records[at] = change(records[at], path, data.draw(st.sampled_from((..., *ODD_VALUES))))
    assert is_exact(read(wire, [wire.body(records)]), wire)


@pytest.mark.parametrize("wire", ALL_WIRES, ids=str)
def test_an_answer_that_is_cut_off_anywhere_is_whole_or_keeps_its_text_and_runs_no_tool(wire: OddWire) -> None:
    body = wire.body(wire.records)
    for place in range(len(body)):
        outcome = read(wire, [body[:place]])
        if outcome.reply is None:
            assert outcome.error.partial == outcome.text, place
            assert not outcome.text or isinstance(outcome.error, StreamInterruptedError), place
        elif registry[wire.provider].requires_end:
            # Only what follows the end marker is missing.
            assert is_exact(outcome, wire), place
        assert TEXT.startswith(outcome.text.rstrip("\ufffd")), place


@pytest.mark.parametrize("wire", CALL_WIRES, ids=str)
def test_no_tool_runs_where_one_record_is_missing_or_comes_elsewhere(wire: OddWire) -> None:
    # The last record stays: what follows it would not be read.
    *records, last = wire.records
    for number, record in enumerate(records):
        others = [*records[:number], *records[number + 1 :]]
        assert runs_nothing_else(read(wire, [wire.body([*others, last])])), number
        for place in range(len(records)):
            moved = [*others[:place], record, *others[place:], last]
            assert runs_nothing_else(read(wire, [wire.body(moved)])), (number, place)
    assert runs_nothing_else(read(wire, [wire.body(records)]))
