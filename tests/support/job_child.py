"""A process that runs rows in batch jobs and kills itself at a durable transaction, before or after it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

import job_server

from aichatkit import Client, RetryPolicy
from aichatkit.batch_jobs import mapper
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


def main(kind, url, journal, moment):
    if int(moment) >= 0:
        die_at(int(moment))
    now = [1_795_000_000.0]
    mapper._clock = lambda: now[0]

    def sleep(seconds):
        now[0] += seconds

    with Client(
        model=job_server.MODELS[kind],
        api_key={kind: "sk-test"},
        base_url={kind: url + job_server.PATHS.get(kind, "")},
        retry=RetryPolicy(sleep=sleep),
    ) as client:
        results = client.map([f"row {number}" for number in range(4)], batch=True, resume=journal, progress=False)
        sys.stdout.write(json.dumps(results.text))


if __name__ == "__main__":
    main(*sys.argv[1:])
