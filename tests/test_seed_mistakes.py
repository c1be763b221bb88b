"""The list of mistakes fits the package as it is; `seed_mistakes.py` makes them one by one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from mistakes import MISTAKES

import aichatkit

TESTS = Path(__file__).parent
PACKAGE = Path(aichatkit.__file__).parent


def test_there_are_enough_mistakes_and_no_two_are_the_same():
    assert len({(mistake.file, mistake.old, mistake.new) for mistake in MISTAKES}) == len(MISTAKES) >= 220
    assert len({mistake.what for mistake in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_can_be_made_and_has_tests_that_should_see_it(mistake):
    source = (PACKAGE / mistake.file).read_text(encoding="utf-8")
    assert source.count(mistake.old) == 1
    ast.parse(source.replace(mistake.old, mistake.new))
    assert [name for name in mistake.tests.split() if not (TESTS / name).is_file()] == []
