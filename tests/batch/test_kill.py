"""A run that is killed at any moment goes on where it was: no row lost, none doubled, none paid twice but in flight."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import batch_server
import pytest

import aichatkit

ROWS, KILLS, WORKERS = 400, 6, 8
SERVER = Path(batch_server.__file__)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL there"),
]


def start(*words, **options):
    root = str(Path(aichatkit.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.Popen([sys.executable, str(SERVER), *map(str, words)], env=environment, **options)


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def kill_and_finish(folder, *, rows=ROWS, kills=KILLS, seed=1):
    """Kill a run again and again, let it end, and return what was asked and what came of it."""
    draw = random.Random(seed)
    log, journal, out = folder / "asked.txt", folder / "run.sqlite", folder / "out.csv"
    server = start("serve", log, stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
        done = 0
        while done < kills:
            before = len(lines(log))
            run = start("run", url, journal, rows, out)
            # Killed once rows are under way, at a moment of chance.
            share = max(1, (rows - before) // (kills - done + 1))
            while len(lines(log)) < before + draw.randint(1, 2 * share) and run.poll() is None:
                time.sleep(0.002)
            time.sleep(draw.random() * 0.01)
            run.send_signal(signal.SIGKILL)
            run.wait(20)
            done += 1
        assert start("run", url, journal, rows, out).wait(120) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    with open(out, encoding="utf-8", newline="") as file:
        return Counter(lines(log)), list(csv.DictReader(file))


def check(asked, results, *, rows=ROWS, kills=KILLS):
    assert [(row["prompt"], row["answer"]) for row in results] == [
        (f"row {number}", f"answer to row {number}") for number in range(rows)
    ]
    assert len(asked) == rows
    assert sum(asked.values()) <= rows + kills * WORKERS


def test_no_row_is_lost_or_doubled(tmp_path):
    check(*kill_and_finish(tmp_path))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        asked, results = kill_and_finish(Path(folder), rows=2000, kills=50, seed=7)
        check(asked, results, rows=2000, kills=50)
        sys.stdout.write(f"50 kills over 2000 rows: {sum(asked.values())} asked, {len(results)} answered, none lost\n")
