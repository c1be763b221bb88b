"""Batch jobs of many rows against a service on loopback: rows per second and memory of sending and of collecting.

python tests/benchmarks/batch_jobs.py [ROWS]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

import job_server

from aichatkit import Client, RetryPolicy
from aichatkit.batch_jobs import run_options


def main(rows: int) -> None:
    """Send `rows` rows, let their jobs end, and collect them."""
    with tempfile.TemporaryDirectory() as folder, job_server.JobServer("openai") as service:
        run_options._clock = lambda: service.now
        settings = {"api_key": {"openai": "sk-test"}, "base_url": {"openai": f"{service.url}/v1"}}
        options = {"batch": True, "resume": f"{folder}/run.sqlite", "wait": False, "progress": False}
        with Client(model="openai/gpt-6-luna", retry=RetryPolicy(sleep=service.sleep), **settings) as client:
            prompts = [f"row {number}" for number in range(rows)]
            report("planned and uploaded", rows, lambda: client.map(prompts, **options))
            service.sleep(service.duration)
            report(
                "ended (the service's own work)", rows, lambda: [service.settle(job) for job in service.jobs.values()]
            )
            results = report("collected", rows, lambda: client.map(prompts, **options))
            assert not results.failed
            report("found in the journal", rows, lambda: client.map(prompts, **options))


def report(step, rows, work):
    """Run one step and write what it took; the service runs in the same process, and its memory counts as well."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sys.stdout.write(
        f"{step}: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s, peak +{grown >> 10} MiB\n"
    )
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
