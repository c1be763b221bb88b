"""The memory of a run in batch jobs does not grow with the number of its rows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

#: Rows of one job: what a run holds at once.
JOB_ROWS = 500
#: The length of a prompt: a row in memory takes more than that, in bytes.
PROMPT = 8_000
MOST_PER_ROW = 5_000


@pytest.fixture(scope="module")
def benchmark():
    path = Path(__file__).parent.parent / "benchmarks" / "batch_jobs_memory.py"
    spec = importlib.util.spec_from_file_location("batch_jobs_memory", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="it does not report its peak memory")
def test_more_rows_take_no_more_memory(benchmark):
    with benchmark.serving() as url:
        few, many = (benchmark.measure(url, "batch", rows, JOB_ROWS, PROMPT) for rows in (1_000, 2_500))
    assert (many - few) * (1 << 20) / 1_500 < MOST_PER_ROW
