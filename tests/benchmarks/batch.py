"""Rows per second, CPU for a row and memory of `map`, next to a plain loop of threads over requests and to LiteLLM.

    python tests/benchmarks/batch.py --quick           two minutes, without LiteLLM
    python tests/benchmarks/batch.py                   100,000 rows; installs LiteLLM for itself first
    python tests/benchmarks/batch.py --rows 1000000    more of them

Each number is taken in a process of its own, against a server in another one; the ways take turns, and a ratio is the
median over rounds of way / requests in the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bench

HERE = Path(__file__).resolve().parent
SERVER = HERE.parent / "support" / "batch_server.py"
HEADS = ("answers after", "workers", "rows", "", "rows/s", "CPU us/row", "x requests", "peak MiB")
#: LiteLLM takes many times as long for a row, and so is measured once, with fewer of them.
MOST_OF_LITELLM = 1_000
#: With 256 workers a row of LiteLLM was seen to wait until its own time of ten minutes was over.
PATIENCE = 300.0


def prompts(rows: int) -> Iterator[str]:
    """Yield prompts one by one: what is held is held by whom asks."""
    return (f"row {number}" for number in range(rows))


def with_map(url: str, workers: int, rows: int, **options: Any) -> None:
    """Ask with `map`, and read every result."""
    from aichatkit import Client

    with Client(model="openai", api_key="sk-test", base_url=url) as client:
        for result in client.map(prompts(rows), workers=workers, as_completed=True, progress=False, **options):
            assert result.text


def with_journal(url: str, workers: int, rows: int) -> None:
    """Ask with `map` and a journal: each answer is on disk before it is told."""
    path = f"bench-{os.getpid()}.sqlite"
    try:
        with_map(url, workers, rows, resume=path)
    finally:
        for end in ("", "-wal", "-shm"):
            Path(path + end).unlink(missing_ok=True)


def with_requests(url: str, workers: int, rows: int) -> None:
    """Ask with what one writes by hand: no typed errors, no retries, nothing kept on disk."""
    import requests

    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=workers)
    session.mount("http://", adapter)

    def ask(prompt: str) -> str:
        body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": prompt}], "stream": True}
        answer = session.post(f"{url}/chat/completions", json=body, timeout=60).content
        events = [line[6:] for line in answer.splitlines() if line.startswith(b"data: {")]
        return "".join(choice["delta"]["content"] for event in events for choice in json.loads(event)["choices"])

    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(ask, prompts(rows)))


def with_litellm(url: str, workers: int, rows: int) -> None:
    """Ask with LiteLLM's `batch_completion`, which takes a list and returns when all rows are done."""
    import litellm

    messages = [[{"role": "user", "content": prompt}] for prompt in prompts(rows)]
    answers = litellm.batch_completion(
        model="openai/gpt-6-luna", messages=messages, max_workers=workers, api_base=url, api_key="sk-test"
    )
    assert all(answer.choices[0].message.content for answer in answers)


WAYS = {"requests": with_requests, "map": with_map, "map, journal": with_journal, "litellm": with_litellm}


def measure(way: str, url: str, workers: str, rows: str) -> None:
    """Take one number in this process and tell it."""
    # What is loaded and made on first use is no cost of a row.
    WAYS[way](url, int(workers), 2 * int(workers))
    taken, started = time.process_time(), time.perf_counter()
    WAYS[way](url, int(workers), int(rows))
    speed = int(rows) / (time.perf_counter() - started)
    cpu = (time.process_time() - taken) / int(rows) * 1e6
    json.dump([speed, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024], sys.stdout)


def main() -> None:
    """Measure each way with each number of workers, at both delays."""
    options = _options()
    pythons = dict.fromkeys(("requests", "map", "map, journal"), bench.environment("own", ["requests", "tenacity"]))
    if not options.quick:
        pythons["litellm"] = bench.environment("litellm", ["litellm"])
    _say("| " + " | ".join(HEADS) + " |\n|---:|---:|---:|---|" + "---:|" * 4)
    for delay, workers, rows, rounds in _plan(options):
        found: dict[str, list[list[float]]] = {way: [] for way in pythons}
        with _Server(delay) as url:
            for turn in range(rounds):
                ways = [way for way in pythons if turn == 0 or way != "litellm"]
                for way in ways if turn % 2 == 0 else reversed(ways):
                    found[way] += _take(pythons[way], way, url, workers, _rows_of(way, rows))
        for way, taken in found.items():
            if not taken:
                _say(f"| {delay * 1000:.0f} ms | {workers} | {_rows_of(way, rows):,} | {way} | not done | | | |")
                continue
            ratio = statistics.median(one[1] / base[1] for one, base in zip(taken, found["requests"]))
            speed, cpu, memory = (statistics.median(column) for column in zip(*taken))
            cells = (f"{delay * 1000:.0f} ms", workers, f"{_rows_of(way, rows):,}", way, f"{speed:,.0f}", f"{cpu:,.0f}")
            _say("| " + " | ".join(map(str, (*cells, f"{ratio:.2f}", f"{memory:.0f}"))) + " |")


def _plan(options: argparse.Namespace) -> Iterator[tuple[float, int, int, int]]:
    """Yield delay, workers, rows and rounds: a short run for the ratios, then all rows for the memory."""
    few = 1_000 if options.quick else 3_000
    for workers in (8, 64, 256):
        yield 0.0, workers, few, 3 if options.quick else 5
    for workers in (8, 64, 256):
        yield 0.2, workers, (10 if options.quick else 40) * workers, 1
    yield 0.0, 8, options.rows or (10_000 if options.quick else 100_000), 1


def _rows_of(way: str, rows: int) -> int:
    return min(rows, MOST_OF_LITELLM) if way == "litellm" else rows


def _take(python: Path, way: str, url: str, workers: int, rows: int) -> list[list[float]]:
    """Return what one process tells; nothing where LiteLLM does not end."""
    command = [str(python), __file__, "measure", way, url, str(workers), str(rows)]
    limit = PATIENCE if way == "litellm" else None
    try:
        done = subprocess.run(command, env=bench.surroundings({}), capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return []
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr[-2000:]}")
    return [[float(number) for number in json.loads(done.stdout.strip().splitlines()[-1])]]


class _Server:
    """A service in a process of its own."""

    def __init__(self, delay: float) -> None:
        command = [sys.executable, str(SERVER), "serve", os.devnull, str(delay)]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return f"http://127.0.0.1:{self._process.stdout.readline().strip()}/v1"

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds, without LiteLLM")
    parser.add_argument("--rows", type=int, help="rows of the last run, which shows that memory does not grow")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:])
    else:
        main()
