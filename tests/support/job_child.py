"""Processes that run rows in batch jobs and kill themselves at a durable transaction, before or after it.

Each is a fork of one that has imported the package: a line of JSON in, the exit code out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import job_server

from aichatkit import Client, RetryPolicy
from aichatkit.batch_jobs import run_options
from aichatkit.storage.sqlite import Database


def die_at(moment):
    """Kill this process at the nth moment."""
    transaction, passed = Database.transaction, [0]

    def pass_by():
        if passed[0] == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        passed[0] += 1

    @contextlib.contextmanager
    def guarded(self, *, durable=True):
        if durable:
            pass_by()
        with transaction(self, durable=durable) as connection:
            yield connection
        if durable:
            pass_by()

    Database.transaction = guarded


def main(kind, url, journal, moment, task):
    if int(moment) >= 0:
        die_at(int(moment))
    now = [1_795_000_000.0]
    run_options._clock = lambda: now[0]

    def sleep(seconds):
        now[0] += seconds

    with Client(
        model=job_server.TASK_MODELS.get((task, kind), job_server.MODELS[kind]),
        api_key={kind: "sk-test"},
        base_url={kind: url + job_server.PATHS.get(kind, "")},
        retry=RetryPolicy(sleep=sleep),
    ) as client:
        rows, options = [f"row {number}" for number in range(4)], {"batch": True, "resume": journal}
        if task == "embed":
            found = list(client.embed(rows, model=job_server.TASK_MODELS[(task, kind)], **options))
        elif task == "decide":
            questions = {"refund?": bool, "anger": ["calm", "furious"]}
            results = client.map(rows, decide=questions, emulate=True, progress=False, **options)
            found = [[each["refund?"].value, each["anger"].label] for each in results.data]
        else:
            found = client.map(rows, progress=False, **options).text
        Path(f"{journal}.json").write_text(json.dumps(found))


def serve():
    """Run one process for each line, with the arguments in it, and write how it ended."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                main(*json.loads(line))
                code = 0
            finally:
                traceback.print_exc() if code else None
                os._exit(code)
        _, status = os.waitpid(child, 0)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
