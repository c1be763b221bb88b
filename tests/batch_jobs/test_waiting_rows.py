"""Rows in jobs, in memory or on disk: what goes in comes out as it was, and blocks may change while they are read."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from aichatkit.batch.rows import Row
from aichatkit.batch_jobs.waiting_rows import DiskRows, MemoryRows


def row(number, prompt="Hello"):
    return Row(number, number, prompt, {"text": prompt})


def key(number):
    return number.to_bytes(4, "big")


@pytest.fixture(params=[MemoryRows, DiskRows])
def rows(request):
    made = request.param()
    yield made
    made.close()


def fill(rows, count):
    for number in range(count):
        rows[key(number)] = row(number)


def test_a_row_comes_back_as_it_was(rows):
    prompts = ["plain", "\ud800", 10**5000, [1, ("a", None)], {"b": [True, 1.5, b"c"]}, object(), OrderedDict(a=1)]
    deep = []
    for _ in range(50):
        deep = [deep]
    for number, prompt in enumerate([*prompts, deep, {1: "a"}]):
        rows[key(number)] = row(number, prompt)
    for number, prompt in enumerate([*prompts, deep, {1: "a"}]):
        assert rows.get(key(number)) == row(number, prompt)
        assert type(rows[key(number)].prompt) is type(prompt)
        assert rows.pop(key(number)) == row(number, prompt)
    assert not rows


def test_rows_are_counted_found_and_removed(rows):
    fill(rows, 1300)
    assert len(rows) == 1300
    assert key(1299) in rows
    assert key(1300) not in rows
    assert rows.take([key(3), key(9999), key(1299)]) == [(row(3), key(3)), (row(1299), key(1299))]
    assert len(rows) == 1298
    del rows[key(4)]
    with pytest.raises(KeyError):
        del rows[key(4)]
    with pytest.raises(KeyError):
        rows[key(4)]
    assert list(rows)[:3] == [key(0), key(1), key(2)]
    rows.close()
    assert len(rows) == 0


def test_blocks_end_although_rows_are_put_back(rows):
    fill(rows, 700)
    rows[key(700)] = row(700, object())
    seen = []
    for block in rows.blocks():
        seen += block
        for taken, taken_key in rows.take(block):
            rows[taken_key] = taken
    assert sorted(seen) == [key(number) for number in range(701)]
    assert len(rows) == 701


def test_blocks_end_if_the_rows_have_gone(rows):
    fill(rows, 700)
    blocks = rows.blocks()
    first = next(blocks)
    rows.take([key(number) for number in range(700)])
    assert len(first) == 300
    assert [each for block in blocks for each in block if each in rows] == []
