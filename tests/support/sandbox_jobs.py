"""Rows for batch jobs that the sandbox plays, and a client of it whose waits move its clock."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

import job_server

from aichatkit import Client, RetryPolicy

ROWS = [f"I am sad about {number}" for number in range(6)]


@contextmanager
def client_of(box, kind, **options):
    # A day in steps of a minute would take seconds.
    policy = RetryPolicy(sleep=lambda seconds: box.advance(20 * seconds), clock=box.now, random=lambda: 0.5, base=0)
    urls = {kind: box.url + job_server.PATHS.get(kind, "")}
    settings = {"model": job_server.MODELS[kind], "api_key": {kind: "sk-test"}, "base_url": urls, "retry": policy}
    with Client(**{**settings, **options}) as client:
        yield client


def answered(box):
    return Counter(row.prompt for row in box.ledger if row.state == "answered")
