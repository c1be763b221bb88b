"""Rows per second and memory of `map`, next to a plain loop of threads over requests.

    python tests/benchmarks/batch.py              a small run
    python tests/benchmarks/batch.py 100000       the whole one, at zero latency

Each number is taken in a process of its own, against a server in another one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from aichatkit import Client

SERVER = Path(__file__).parent.parent / "batch_server.py"
WORKERS = (8, 64, 256)
DELAYS = (0.0, 0.2)


def prompts(rows):
    """Yield prompts one by one: what is held is held by whom asks."""
    return (f"row {number}" for number in range(rows))


def with_map(url, workers, rows, **options):
    """Ask with `map`, and read every result."""
    with Client(model="openai", base_url=url) as client:
        for result in client.map(prompts(rows), workers=workers, as_completed=True, progress=False, **options):
            assert result.text


def with_journal(url, workers, rows):
    """Ask with `map` and a journal."""
    path = f"bench-{os.getpid()}.sqlite"
    try:
        with_map(url, workers, rows, resume=path)
    finally:
        for end in ("", "-wal", "-shm"):
            Path(path + end).unlink(missing_ok=True)


def with_requests(url, workers, rows):
    """Ask with what one writes by hand: no typed errors, no retries, nothing kept on disk."""
    session = requests.Session()
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=workers)
    session.mount("http://", adapter)

    def ask(prompt):
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}], "stream": True}
        answer = session.post(f"{url}/chat/completions", json=body, timeout=60).content
        events = [line[6:] for line in answer.splitlines() if line.startswith(b"data: {")]
        return "".join(choice["delta"]["content"] for event in events for choice in json.loads(event)["choices"])

    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(ask, prompts(rows)))


WAYS = {"map": with_map, "map, journal": with_journal, "requests": with_requests}


def measure(way, url, workers, rows):
    """Take one number in this process and tell it."""
    started = time.perf_counter()
    WAYS[way](url, int(workers), int(rows))
    elapsed = time.perf_counter() - started
    sys.stdout.write(f"{int(rows) / elapsed:.0f} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}")


def main(rows):
    """Measure each way with each number of workers."""
    environment = {**os.environ, "OPENAI_API_KEY": "sk-test"}
    sys.stdout.write(f"{'delay':>6} {'workers':>8} {'rows':>7}  {'way':<14} {'rows/s':>7} {'MiB':>5}\n")
    for delay in DELAYS:
        command = [sys.executable, str(SERVER), "serve", os.devnull, str(delay)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
            for workers in WORKERS:
                count = min(rows, 10 * workers) if delay else rows
                for way in WAYS:
                    child = [sys.executable, __file__, "measure", way, url, str(workers), str(count)]
                    done = subprocess.run(child, env=environment, capture_output=True, text=True, check=True)
                    speed, memory = done.stdout.split()
                    sys.stdout.write(f"{delay:>6} {workers:>8} {count:>7}  {way:<14} {speed:>7} {memory:>5}\n")
                    sys.stdout.flush()
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:])
    else:
        main(int((sys.argv[1:] or ["1500"])[0]))
