"""Templates: columns go in once, braces in data stay."""

from __future__ import annotations

import pytest

from aichatkit.batch.templates import Template, is_missing
from aichatkit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "fields", "prompt"),
    [
        ("Say {word}.", {"word": "hi"}, "Say hi."),
        ("{a}{b}{a}", {"a": 1, "b": 2.5}, "12.51"),
        ("{ a }", {"a": "x"}, "x"),
        ("{two words}", {"two words": "x"}, "x"),
        ("{{{a}}}", {"a": "x"}, "{x}"),
        ('{{"k": {a}}}', {"a": "x"}, '{"k": x}'),
        ("{a}", {"a": "{b} {{c}} {0} %s"}, "{b} {{c}} {0} %s"),
        ("{a.__class__}", {"a.__class__": "x"}, "x"),
        ("{a}", {"a": ""}, ""),
    ],
)
def test_columns_are_filled_in_once(text, fields, prompt):
    assert Template(text).fill(fields) == prompt


@pytest.mark.parametrize("text", ["{", "a } b", "{}", "{ }", "{a} {", "{{a} }"])
def test_a_stray_brace_is_refused(text):
    with pytest.raises(ConfigurationError, match="brace at position"):
        Template(text)


@pytest.mark.parametrize("text", ["", "Same for all", "{{a}}"])
def test_a_template_without_a_column_is_refused(text):
    with pytest.raises(ConfigurationError, match="names no column"):
        Template(text)


def test_a_template_must_be_a_text():
    with pytest.raises(ConfigurationError, match="not int"):
        Template(3)


def test_a_column_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(ConfigurationError, match="no column 'revew'; did you mean 'review'"):
        Template("{revew}").check(["review", "id"])


@pytest.mark.parametrize("value", [None, float("nan")])
def test_an_empty_cell_is_no_prompt(value):
    with pytest.raises(ConfigurationError, match="column 'a' is empty"):
        Template("Say {a}").fill({"a": value})


def test_what_pandas_has_for_nothing_is_missing():
    pandas = pytest.importorskip("pandas")
    assert is_missing(pandas.NA)
    assert is_missing(pandas.NaT)
