"""A process that is killed with SIGKILL at any step of a job goes on: no row is asked twice, and none is lost."""

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

    def run(service, journal, moment, task):
        parent.stdin.write(json.dumps([service.kind, service.url, str(journal), moment, task]) + "\n")
        parent.stdin.flush()
        code, results = int(parent.stdout.readline()), Path(f"{journal}.json")
        return code, json.loads(results.read_text()) if results.exists() else None

    yield run
    parent.stdin.close()
    parent.wait(60)
    parent.stdout.close()


def kill_everywhere(service_of, run, tmp_path, kind, task, wanted):
    moment = 0
    while True:
        service = service_of(kind)
        # The child has a clock of its own: its jobs are done at once.
        service.duration = -1e12
        if task == "decide":
            job_server.answer_questions(service)
        journal = tmp_path / f"{moment}.sqlite"
        code, _ = run(service, journal, moment, task)
        if code == 0:
            return moment
        assert code == -9
        assert run(service, journal, -1, task) == (0, wanted)
        assert set(service.asked.values()) == {1}
        assert len(service.asked) == (8 if task == "decide" else 4)
        assert not service.live
        moment += 1


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "mistral", "groq", "xai"])
def test_a_killed_process_goes_on_without_asking_twice(service_of, run, tmp_path, kind):
    wanted = [f"answer to {row}" for row in ROWS]
    assert kill_everywhere(service_of, run, tmp_path, kind, "map", wanted) > 15


def test_a_killed_process_goes_on_without_asking_a_question_twice(service_of, run, tmp_path):
    wanted = [[True, "calm"], [False, "furious"]] * 2
    assert kill_everywhere(service_of, run, tmp_path, "openai", "decide", wanted) > 15


@pytest.mark.parametrize("kind", ["openai", "azure", "gemini", "mistral"])
def test_a_killed_process_goes_on_without_embedding_twice(service_of, run, tmp_path, kind):
    wanted = [job_server.vector_of(row) for row in ROWS]
    assert kill_everywhere(service_of, run, tmp_path, kind, "embed", wanted) > 15
