"""A service with batch jobs and a client of it, both on a clock that sleeps move."""

from __future__ import annotations

import contextlib
from contextlib import contextmanager

import job_server
import pytest
import sandbox_jobs

from aichatkit import Client, RetryPolicy
from aichatkit.batch import journal as journals
from aichatkit.batch_jobs.http import JobHTTP
from aichatkit.storage.sqlite import Database


@pytest.fixture
def service_of(monkeypatch):
    """Start a service by name; the clock of the runs is its clock."""
    servers = []

    def start(kind="openai"):
        server = job_server.JobServer(kind)
        service = server.__enter__()
        servers.append(server)
        for module in ("run_options", "job"):
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


class KilledError(BaseException):
    """The process is dead."""


class Death:
    """Kills the process before or after its nth durable transaction or request; what is dead does nothing more."""

    def __init__(self, moment):
        self.remaining = moment
        self.is_dead = False

    def pass_by(self):
        if self.is_dead:
            raise KilledError
        self.remaining -= 1
        if self.remaining < 0:
            self.is_dead = True
            raise KilledError


@pytest.fixture
def die_at(monkeypatch):
    """Return a context in which the process dies at a moment; it tells whether it came to that."""
    transaction, exchange = Database.transaction, JobHTTP._exchange
    deaths = []

    @contextlib.contextmanager
    def guarded_transaction(self, *, durable=True):
        death = deaths[-1] if deaths else None
        if death is None:
            with transaction(self, durable=durable) as connection:
                yield connection
            return
        if durable or death.is_dead:
            death.pass_by()
        with transaction(self, durable=durable) as connection:
            yield connection
        if durable:
            death.pass_by()

    def guarded_exchange(self, *args, **kwargs):
        if not deaths:
            return exchange(self, *args, **kwargs)
        deaths[-1].pass_by()
        found = exchange(self, *args, **kwargs)
        with contextlib.ExitStack() as stack:
            # A process takes its temporary files with it.
            stack.callback(getattr(found, "close", int))
            deaths[-1].pass_by()
            stack.pop_all()
        return found

    monkeypatch.setattr(Database, "transaction", guarded_transaction)
    monkeypatch.setattr(JobHTTP, "_exchange", guarded_exchange)

    @contextlib.contextmanager
    def die(moment):
        death = Death(moment)
        deaths.append(death)
        try:
            yield death
        except KilledError:
            pass
        finally:
            deaths.pop()
            journals._open_owners.clear()

    return die
