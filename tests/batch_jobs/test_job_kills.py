"""A process that is killed with SIGKILL at a step of a job goes on: no row is asked twice, and none is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import job_child
import job_server
import pytest

import aichatkit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL there"),
]
ROWS = [f"row {number}" for number in range(4)]


def start(service, journal, moment):
    root = str(Path(aichatkit.__file__).parent.parent)
    words = [service.kind, service.url, str(journal), str(moment)]
    return subprocess.run(
        [sys.executable, job_child.__file__, *words],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "mistral", "groq", "xai"])
def test_a_killed_process_goes_on_without_asking_twice(service_of, tmp_path, kind):
    moment = 0
    while True:
        service = service_of(kind)
        # The child has a clock of its own: its jobs are done at once.
        service.duration = -1e12
        journal = tmp_path / f"{moment}.sqlite"
        killed = start(service, journal, moment)
        if killed.returncode == 0:
            break
        assert killed.returncode == -9, killed.stderr
        done = start(service, journal, -1)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [f"answer to {row}" for row in ROWS]
        assert service.asked == dict.fromkeys(ROWS, 1)
        # The runs of this test meet each step of the transactions, a few at a time.
        moment += 3
    assert moment > 10
    assert job_server.MODELS[kind]
