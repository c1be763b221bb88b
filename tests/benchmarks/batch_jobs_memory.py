"""Peak memory of a run in batch jobs next to that of a live run: each in a process of its own, the sandbox in another.

python tests/benchmarks/batch_jobs_memory.py [ROWS]
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator

#: The most that a run in batch jobs may take more than a live run, in MiB, for 100,000 rows.
LIMIT = 64
_OPTIONS = {"progress": False}


def main(rows: int) -> int:
    """Measure both runs and write what they take; return 1 if batch jobs take too much more."""
    with serving() as url:
        live, batch = measure(url, "live", rows), measure(url, "batch", rows)
    sys.stdout.write(f"{rows:,} rows: live {live:.0f} MiB, batch jobs {batch:.0f} MiB, {batch - live:+.0f} MiB\n")
    return int(batch - live > LIMIT)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run a sandbox whose jobs take no time, in a process of its own, and yield its URL."""
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.stdout.readline().decode().strip()
    finally:
        server.stdin.close()
        server.wait(30)
        server.stdout.close()


def measure(url: str, mode: str, rows: int, job_rows: int = 10_000, size: int = 100) -> float:
    """Return the peak memory of a run in a process of its own, in MiB.

    `job_rows` are the most rows of a job, `size` is the length of a prompt.
    """
    words = [sys.executable, __file__, mode, url, str(rows), str(job_rows), str(size)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=3600)
    return float(json.loads(done.stdout)["peak"])


def serve() -> None:
    """Serve until the standard input ends."""
    from aichatkit.sandbox import Sandbox

    with Sandbox(batch_seconds=0) as sandbox:
        sandbox.says("good")
        sys.stdout.write(sandbox.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def run(mode: str, url: str, rows: int, job_rows: int, size: int) -> None:
    """Make one run and write the peak memory of this process."""
    from aichatkit import Client
    from aichatkit.batch_jobs import planner

    planner._JOB_ROWS = job_rows
    prompts = (f"Is review {number} good or bad?".ljust(size, ".") for number in range(rows))
    with tempfile.TemporaryDirectory() as folder:
        options = {"resume": f"{folder}/run.sqlite", **_OPTIONS}
        if mode == "batch":
            options.update(batch=True, wait=False)
        with Client(model="openai/gpt-6-luna", api_key="any", base_url=f"{url}/v1") as client:
            found = sum(bool(result.text) for result in client.map(prompts, as_completed=True, **options))
            assert found == rows
    # In bytes on macOS, and in KiB elsewhere.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    sys.stdout.write(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    elif len(sys.argv) == 6:
        run(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
