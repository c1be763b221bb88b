"""A process that is killed with SIGKILL at any step of a job goes on: no row is asked twice, and none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import job_child
import pytest

import aichatkit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL there"),
]
ROWS = [f"row {number}" for number in range(4)]


@pytest.fixture(scope="module")
def run():
    """Run the rows in a process that dies at a moment, and return its exit code and its results."""
    root = str(Path(aichatkit.__file__).parent.parent)
    parent = subprocess.Popen(
        [sys.executable, job_child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": root},
    )

    def run(service, journal, moment):
        parent.stdin.write(json.dumps([service.kind, service.url, str(journal), moment]) + "\n")
        parent.stdin.flush()
        code, results = int(parent.stdout.readline()), Path(f"{journal}.json")
        return code, json.loads(results.read_text()) if results.exists() else None

    yield run
    parent.stdin.close()
    parent.wait(60)
    parent.stdout.close()


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "mistral", "groq", "xai"])
def test_a_killed_process_goes_on_without_asking_twice(service_of, run, tmp_path, kind):
    moment = 0
    while True:
        service = service_of(kind)
        # The child has a clock of its own: its jobs are done at once.
        service.duration = -1e12
        journal = tmp_path / f"{moment}.sqlite"
        code, _ = run(service, journal, moment)
        if code == 0:
            break
        assert code == -9
        assert run(service, journal, -1) == (0, [f"answer to {row}" for row in ROWS])
        assert service.asked == dict.fromkeys(ROWS, 1)
        moment += 1
    assert moment > 15
