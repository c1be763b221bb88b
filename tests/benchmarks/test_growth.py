"""Twice the size, at most 2.2 times the work: counted in calls, so that a busy machine changes nothing."""

from __future__ import annotations

import sys
from typing import Any

import growth
import pytest


def calls_of(case: growth.Case, size: int) -> int:
    """Return how many functions are called, of Python and of C."""
    count = 0

    def watch(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    with growth.prepared(case, size) as work:
        work()
        usual = sys.getprofile()
        sys.setprofile(watch)
        try:
            work()
        finally:
            sys.setprofile(usual)
    return count


@pytest.mark.parametrize("case", growth.CASES, ids=lambda case: case.title)
def test_twice_the_size_takes_at_most_a_little_more_than_twice_the_work(case):
    half, whole = calls_of(case, case.light // 2), calls_of(case, case.light)
    assert half < whole
    assert whole / half <= growth.BOUND, (half, whole)


def test_work_that_grows_with_the_square_is_found():
    def prepare(client: Any, adapter: Any, size: int) -> Any:
        return lambda: [len(str(number)) for number in range(size * size)]

    case = growth.Case("square", "things", 40, 40, prepare)
    assert calls_of(case, 40) / calls_of(case, 20) > growth.BOUND
