from __future__ import annotations

import re

import pytest

from aichatkit.sandbox.eliza import Eliza, eliza
from aichatkit.sandbox.script import DEFAULT_ANSWERS, FAREWELLS, RULES, SILENCE


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hello!", "Hello! How are you feeling today?"),
        ("hi, I am so sad", "How long have you been so sad?"),
        ("I need my mother", "What would it mean to you to get your mother?"),
        ("You are clever", "What makes you think so of me?"),
        ("Why is the sky blue?", "What answer would please you most?"),
        ("I\u2019m a teacher", "How did you come to be a teacher?"),
        ("I love books", "What is it about books that you love?"),
        ("Who are you?", "I am ELIZA, played by the sandbox: a listener of 1966, no language model. And who are you?"),
        ("Goodbye.", FAREWELLS[0]),
        ("...", SILENCE[0]),
        ("Hmm {0} {", DEFAULT_ANSWERS[0]),
    ],
)
def test_it_answers_by_its_script(said, answer):
    assert Eliza().answer(said) == answer


def test_it_does_not_say_the_same_thing_twice_in_a_row():
    speaker = Eliza()
    assert len({speaker.answer("I am sad") for _ in range(3)}) == 3


def test_it_comes_back_to_what_was_said_about_my_something():
    assert eliza(["I worry about my old car", "Hmm"]) == "Earlier you spoke of your old car. Let us go back to that."


def test_another_seed_says_other_things():
    assert len({eliza(["I am sad"], seed) for seed in range(3)}) == 3


def test_the_same_seed_says_the_same_things():
    turns = ["Hello", "I am sad", "my dog is ill", "Hmm", "Hmm", "because"]
    assert eliza(turns, 7) == eliza(turns, 7)


def test_it_has_something_to_say_to_nobody():
    assert eliza([]) == SILENCE[0]


def test_a_book_of_a_prompt_is_answered_at_once():
    assert eliza(["I think that " + "word " * 100_000]).startswith("What makes you so sure that word word")


@pytest.mark.parametrize("rule", RULES, ids=[rule[0] for rule in RULES])
def test_each_rule_fills_its_answers_from_its_pattern(rule):
    pattern, answers = rule
    groups = re.compile(pattern).groups
    for answer in answers:
        assert "{" not in answer.format(*["x"] * groups)
