"""Strict JSON: digits, invalid numbers, and text that can be encoded."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal

import pytest

from aichatkit import _json
from aichatkit._surrogates import join_pieces, repair, repair_escapes

EXACT = ["98765432109876543.21", "1.10", "-0.00", "1e3", "1.5E+2", "0.1234567890123456789", "1e-999"]


@pytest.mark.parametrize("text", EXACT)
def test_numbers_are_written_as_they_were_read(text):
    value = _json.loads(f'{{"n": [{text}]}}')
    assert _json.dumps(value) == f'{{"n": [{text}]}}'
    assert Decimal(str(value["n"][0])) == Decimal(text)


@pytest.mark.parametrize("text", ["1.5", "0.1", "1e+30", "-2.25"])
def test_a_number_that_a_float_represents_exactly_is_a_float(text):
    assert type(_json.loads(text)) is float


@pytest.mark.parametrize("text", EXACT)
def test_digits_survive_copies_and_other_processes(text):
    number = _json.Digits(text)
    copies = [copy.deepcopy(number), pickle.loads(pickle.dumps(number))]
    assert [(str(other), other == number) for other in copies] == [(text, True)] * 2


@pytest.mark.parametrize(
    ("text", "whole", "number"),
    [
        ("9007199254740993.0", True, 9007199254740993),
        ("9007199254740993.5", False, 9007199254740994),
        ("-1.50e1", True, -15),
        ("1e3", True, 1000),
        ("0e999999999", True, 0),
        ("15e-1", False, 1),
        ("1e-999999999", False, 0),
    ],
)
def test_whole_numbers_are_detected_from_their_digits(text, whole, number):
    digits = _json.Digits(text)
    assert (digits.is_integer(), int(digits)) == (whole, number)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"x": -Infinity}', "1e999", "-1e400", "nan", ""])
def test_numbers_outside_json_are_rejected(text):
    with pytest.raises(ValueError, match=r"."):
        _json.loads(text)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_outside_json_are_not_written(number):
    with pytest.raises(ValueError, match="Out of range"):
        _json.dumps(number)


@pytest.mark.parametrize("text", ["[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101, "[" * 5000 + "]" * 5000])
def test_data_nested_too_deeply_is_rejected(text):
    with pytest.raises(RecursionError):
        _json.loads(text)


def test_brackets_in_text_and_side_by_side_are_not_deep():
    assert _json.loads('["' + "[" * 500 + r"\"[" + '"]') == ["[" * 500 + '"[']
    assert len(_json.loads("[" + ",".join(["[]"] * 500) + "]")) == 500


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"a": 1}', {"a": 1}),
        (r'"{\"a\": 1}"', {"a": 1}),
        (r'"\"{}\""', {}),
        ("", {}),
        (" ", {}),
        ("null", {}),
        ("[1]", None),
        ("{", None),
        ('{"a": NaN}', None),
        ("3", None),
        ("[" * 200 + "]" * 200, None),
    ],
)
def test_arguments_are_an_object_even_if_encoded_twice(text, fields):
    assert _json.loads_object(text) == fields


def test_plain_values_have_no_digits():
    value = _json.plain(_json.loads('{"a": [1.10, "x"], "b": 2.50}'))
    assert (value, {type(value["b"]), type(value["a"][0])}) == ({"a": [1.1, "x"], "b": 2.5}, {float})


def test_a_text_cannot_pass_for_a_number():
    assert _json.dumps(["@1.5", _json.Digits("1.50")]) == '["@1.5", 1.50]'


# Surrogates


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("plain", "plain"),
        ("Grüße 😀", "Grüße 😀"),
        ("a\ud83d b", "a\ufffd b"),
        ("\ude00", "\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
    ],
)
def test_lone_surrogates_are_replaced_and_pairs_joined(text, repaired):
    assert repair(text) == repaired
    assert repair(repaired) is repaired


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        (r'"\ud83d"', r'"\ufffd"'),
        (r'"\uD83D\uDE00"', r'"\uD83D\uDE00"'),
        (r'"\\ud83d"', r'"\\ud83d"'),
        (r'"\\\ud83d"', r'"\\\ufffd"'),
        (r'"\ude00\ud83d\n"', r'"\ufffd\ufffd\n"'),
        (r'"\u00e9"', r'"\u00e9"'),
    ],
)
def test_escaped_lone_surrogates_are_replaced(text, repaired):
    assert repair_escapes(text) == repaired


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        (["a\ud83d", "\ude00b"], ["a", "😀b"]),
        (["\ud83d", "\ude00"], ["😀"]),
        (["\ud83d", "x"], ["\ufffdx"]),
        (["\ud83d", "\ud83d", "\ude00"], ["\ufffd", "😀"]),
        (["a\ud83d"], ["a", "\ufffd"]),
        (["é", "😀"], ["é", "😀"]),
    ],
)
def test_surrogates_in_two_pieces_are_joined(pieces, joined):
    assert list(join_pieces(pieces)) == joined
