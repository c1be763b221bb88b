"""With prompt_cache=True, a job of one row writes the beginning that the rows share, and the other jobs read it."""

from __future__ import annotations

import pytest
from sandbox_jobs import client_of

from aichatkit.batch_jobs.prices import highest_expense
from aichatkit.sandbox import Sandbox

HANDBOOK = "word " * 8000
ROWS = [{"text": f"I am sad about {number}"} for number in range(12)]


@pytest.fixture
def box():
    with Sandbox() as box:
        yield box


@pytest.fixture
def run(box, tmp_path):
    """Run `map` in batch jobs; the rows share a system prompt."""

    def run(rows=ROWS, *, kind="anthropic", mode=True, template="{text}", client=None, **options):
        options = {"batch": True, "resume": tmp_path / "run.sqlite", "progress": False, "system": HANDBOOK, **options}
        with client_of(box, kind, prompt_cache=mode, **(client or {})) as asking:
            return asking.map(rows, template, **options)

    return run


def sizes(box):
    return [len(job.rows) for job in box.jobs]


@pytest.mark.parametrize("mode", [True, "1h"])
@pytest.mark.parametrize("where", ["system", "template", "rows"])
def test_one_row_goes_first_and_the_others_read_what_it_wrote(box, run, mode, where, tmp_path):
    rows = [{"text": HANDBOOK + row["text"]} for row in ROWS] if where == "rows" else ROWS
    template = f"{HANDBOOK}{{text}}" if where == "template" else "{text}"
    options = {"template": template, "system": HANDBOOK if where == "system" else None}
    results = run(rows, mode=mode, **options)
    assert not results.failed
    assert sizes(box) == [1, 11]
    assert 8000 <= results.usage.cache_write_tokens <= 8010
    assert results.usage.cached_tokens == 11 * results.usage.cache_write_tokens
    assert results.cost == pytest.approx(box.prompt_caches.cost)
    assert results.saved > 0
    box.prompt_caches.clear()
    without = run(rows, mode="auto", resume=tmp_path / "other.sqlite", **options)
    assert without.usage.cache_write_tokens == 0
    assert results.cost < 0.3 * without.cost


def test_without_the_wish_or_with_too_little_in_common_no_row_is_marked(box, run, tmp_path):
    for number, options in enumerate(({"mode": "auto"}, {"mode": "safe"}, {"system": "Be brief."}, {"rows": ROWS[:1]})):
        results = run(resume=tmp_path / f"{number}.sqlite", **options)
        assert results.usage.cache_write_tokens == 0
    assert sizes(box) == [12, 12, 12, 1]


@pytest.mark.parametrize("kind", ["openai", "gemini"])
def test_other_services_take_no_marks_in_jobs(box, run, kind):
    assert not run(kind=kind).failed
    assert sizes(box) == [12]


def test_a_last_row_is_not_marked_as_nothing_would_read_it(box, run):
    run(ROWS[:1])
    results = run(ROWS[:2])
    assert sizes(box) == [1, 1]
    assert results.usage.cache_write_tokens == 0


def test_if_the_first_row_fails_the_next_one_goes_alone(box, run):
    box.script("content-filter,on=batch-row")
    results = run()
    assert [result.position for result in results.failed] == [0]
    assert sizes(box) == [1, 1, 10]
    assert results.usage.cached_tokens == 10 * results.usage.cache_write_tokens


def test_after_three_failures_the_others_are_sent(box, run):
    box.script(*["content-filter,on=batch-row"] * 3)
    assert len(run().failed) == 3
    assert sizes(box) == [1, 1, 1, 9]


def test_without_waiting_the_others_follow_once_the_first_has_ended(box, run):
    results = run(wait=False)
    assert (sizes(box), results.pending) == ([1], 1)
    assert {str(error) for error in results.errors if "not sent" in str(error)} == {
        "not sent yet: jobs before it have to end first; the same call sends it later"
    }
    assert run(wait=False).pending == 1
    box.advance(61)
    assert run(wait=False).pending == 11
    assert sizes(box) == [1, 11]
    box.advance(61)
    assert not run(wait=False).failed


def test_a_job_that_this_key_cannot_collect_holds_nothing_back(box, run):
    run(wait=False)
    results = run(client={"api_key": {"anthropic": "sk-other"}})
    assert (results.pending, len(results.failed)) == (1, 1)
    assert sizes(box) == [1, 1, 10]


def test_an_iterator_of_unknown_length_is_primed_as_well(box, run):
    results = run(iter(ROWS))
    assert sizes(box) == [1, 11]
    assert not results.failed


def test_questions_are_not_marked(box, run):
    results = run(decide={"sad?": bool}, emulate=True, system=None)
    assert sizes(box) == [12]
    assert results.usage.cache_write_tokens == 0


def test_a_budget_holds_the_price_of_a_long_write(box):
    with client_of(box, "anthropic") as client:
        call = client._build_call(HANDBOOK, 0, max_tokens=5)
        plain, marked = (highest_expense(call, call.targets[0], is_marked=mark) for mark in (False, True))
    assert marked.tokens == plain.tokens
    assert marked.money == pytest.approx(2 * plain.money, rel=0.01)
