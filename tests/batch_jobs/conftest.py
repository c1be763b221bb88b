"""A service with batch jobs and a client of it, both on a clock that sleeps move."""

from __future__ import annotations

from contextlib import contextmanager

import job_server
import pytest
import sandbox_jobs

from aichatkit import Client, RetryPolicy


@pytest.fixture
def service_of(monkeypatch):
    """Start a service by name; the clock of the runs is its clock."""
    servers = []

    def start(kind="openai"):
        server = job_server.JobServer(kind)
        service = server.__enter__()
        servers.append(server)
        for module in ("mapper", "job"):
            monkeypatch.setattr(f"aichatkit.batch_jobs.{module}._clock", lambda: service.now)
        return service

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def service(service_of):
    """OpenAI's service."""
    return service_of()


@pytest.fixture
def client_of():
    """Make a client of a service."""

    @contextmanager
    def make(service, **options):
        kind = service.kind
        defaults = {
            "model": job_server.MODELS[kind],
            "api_key": {kind: "sk-test"},
            "base_url": {kind: service.url + job_server.PATHS.get(kind, "")},
            "retry": RetryPolicy(sleep=service.sleep, random=lambda: 0.5, base=0),
        }
        with Client(**{**defaults, **options}) as client:
            yield client

    return make


@pytest.fixture
def run(tmp_path, client_of):
    """Run `map` in batch jobs with the journal of the test."""

    def run(service, prompts, client=None, **options):
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False, **options}
        settings = client or {}
        with client_of(service, **settings) as client:
            return client.map(prompts, **options)

    return run


@pytest.fixture
def run_sandbox(tmp_path):
    """Run `map` in batch jobs of a service that the sandbox plays."""

    def run(box, kind, rows=sandbox_jobs.ROWS, **options):
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False, **options}
        with sandbox_jobs.client_of(box, kind) as client:
            return client.map(rows, **options)

    return run
