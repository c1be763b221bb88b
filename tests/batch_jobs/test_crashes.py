"""A run that dies at any step goes on where it was: no row is asked twice, none is lost, and money counts once."""

from __future__ import annotations

import pytest

from aichatkit.batch_jobs.job import list_jobs

ROWS = [f"row {number}" for number in range(5)]
KINDS = ("openai", "anthropic", "gemini", "mistral", "groq", "xai")


def check(service, results, path, rows=ROWS):
    assert results.text == [service.answer(row) for row in rows]
    assert service.asked == dict.fromkeys(rows, 1)
    assert not service.live
    jobs = list_jobs(path)
    assert all(job.state in ("done", "released") for job in jobs)
    if results.cost is not None:
        assert sum(job.cost for job in jobs) == pytest.approx(results.cost)


def kill_everywhere(service_of, run, die_at, tmp_path, kind, **options):
    moment = 0
    while True:
        service = service_of(kind)
        path = tmp_path / f"{moment}.sqlite"
        with die_at(moment) as death:
            run(service, ROWS, resume=path, **options)
        if not death.is_dead:
            break
        check(service, run(service, ROWS, resume=path, **options), path)
        moment += 1
    return moment


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_service_dies_at_every_step(service_of, run, die_at, tmp_path, kind):
    assert kill_everywhere(service_of, run, die_at, tmp_path, kind) > 25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", ["upload", "create", "poll", "results"])
def test_an_answer_that_is_lost_on_its_way_costs_nothing_twice(service_of, run, tmp_path, kind, step):
    service = service_of(kind)
    steps = {
        "upload": lambda method, path: method == "POST" and ("files" in path or "session" in path),
        "create": lambda method, path: method == "POST" and path.endswith(("batches", "jobs", ":batchGenerateContent")),
        "poll": lambda method, path: method == "GET" and path.rpartition("/")[2].startswith(("batch_", "b", "msg")),
        "results": lambda method, path: path.endswith(("content", "results", ":download")),
    }
    if kind == "anthropic" and step == "upload":
        pytest.skip("its rows are in the creation")
    faults = ["drop"]
    service.fault = lambda method, path: faults.pop() if faults and steps[step](method, path) else None
    check(service, run(service, ROWS), tmp_path / "run.sqlite")
    assert not faults
    assert len(service.jobs) == 1
