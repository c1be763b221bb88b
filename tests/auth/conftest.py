"""The batch jobs of a service on loopback, as their own tests have them."""

from __future__ import annotations

from contextlib import contextmanager

import job_server
import pytest
import responses

from aichatkit import Client, RetryPolicy


@pytest.fixture
def web():
    """All of the web; what a test does not name is not there."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def service_of(monkeypatch):
    """Start a service with batch jobs."""
    servers = []

    def start(kind="openai"):
        servers.append(job_server.JobServer(kind))
        service = servers[-1].__enter__()
        for module in ("run_options", "job"):
            monkeypatch.setattr(f"aichatkit.batch_jobs.{module}._clock", lambda: service.now)
        return service

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def run(tmp_path):
    """Run `map` in batch jobs with the journal of the test."""

    @contextmanager
    def client_of(service, **options):
        kind = service.kind
        base_url = {kind: service.url + job_server.PATHS.get(kind, "")}
        policy = RetryPolicy(sleep=service.sleep, random=lambda: 0.5, base=0)
        with Client(**{"model": job_server.MODELS[kind], "base_url": base_url, "retry": policy, **options}) as client:
            yield client

    def run(service, prompts, client, **options):
        with client_of(service, **client) as made:
            return made.map(prompts, batch=True, resume=tmp_path / "run.sqlite", progress=False, **options)

    return run
