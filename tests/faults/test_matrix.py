"""The matrix has no holes: every row of it is a test."""

from __future__ import annotations

import re
from pathlib import Path

ROWS = {*map(str, range(1, 125)), "38b", "71b"}
#: Rows that are ways to run all the others: under gevent, and with other versions of what the package stands on.
RUNS = {"111", "124"}
_MARK = re.compile(r'(?:\brow\(|\btold\(\s*|\bid=)"(?:row)?(\d+b?)')


def test_every_row_is_tested():
    sources = [file.read_text("utf-8") for file in Path(__file__).parent.glob("test_*.py")]
    found = {number for source in sources for number in _MARK.findall(source)}
    # The mark "72-74" holds two rows, one per wire.
    found |= {"74"}
    assert ROWS - RUNS - found == set()
