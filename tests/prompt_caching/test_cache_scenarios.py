"""What conversations, tool rounds, runs and single prompts cost, by the sandbox's account of its prompt caches."""

from __future__ import annotations

import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from aichatkit import Client, ConfigurationError, RetryPolicy
from aichatkit.batch_jobs.http import JobHTTP
from aichatkit.batch_jobs.protocols import find_protocol
from aichatkit.batch_jobs.work import build_row
from aichatkit.prompt_caching import runs
from aichatkit.sandbox import Sandbox

CLAUDE, GPT, RESPONSES, OLD_GPT = (
    "anthropic/claude-sonnet-5-5",
    "openai/gpt-6-luna",
    "openai-responses/gpt-6-luna",
    "openai/gpt-5.4",
)
WITH_FEES = (CLAUDE, GPT, RESPONSES)
#: 4,000 and 20,000 tokens.
HANDBOOK = "word " * 3999 + "word"
LONG = "word " * 20_000
with_fees = pytest.mark.parametrize("model", WITH_FEES)


class World:
    """A sandbox and clients that share a clock."""

    def __init__(self, box):
        self.box = box
        self.time = 0.0

    def client(self, model, mode="auto", **options):
        base = self.box.url if model.startswith(("anthropic", "gemini")) else f"{self.box.url}/v1"
        policy = RetryPolicy(clock=lambda: self.time, sleep=self.wait)
        return Client(model=model, base_url=base, api_key="k", prompt_cache=mode, retry=policy, **options)

    def wait(self, seconds):
        self.time += seconds
        self.box.prompt_caches.skip(seconds)

    def cost_of(self, scenario, model, mode, *arguments):
        """Return what a scenario costs in a world of its own; the client must know the same."""
        self.box.prompt_caches.clear()
        with self.client(model, mode) as client:
            told = scenario(self, client, *arguments)
        if told is not None:
            assert told == pytest.approx(self.box.prompt_caches.cost)
        return self.box.prompt_caches.cost

    @property
    def uses(self):
        return [charge.use for charge in self.box.prompt_caches.charges]

    @property
    def read_share(self):
        return sum(use.read for use in self.uses) / sum(use.total for use in self.uses)

    @property
    def written(self):
        return [use.written for use in self.uses]


@pytest.fixture
def world():
    with Sandbox() as box:
        yield World(box)


def look(city: str) -> str:
    """Look up the weather of a city."""
    return f"{city}: fair"


def chat(world, client, turns=6, gap=20.0, system=HANDBOOK):
    conversation = client.chat(system=system)
    for turn in range(turns):
        conversation.ask(f"Question {turn}?")
        world.wait(gap)
    return conversation.cost


def tool_loop(world, client, rounds=4):
    """Let the model call a tool so many times in succession."""
    box, count = world.box, iter(range(rounds))
    answers = [None] * rounds
    box.says(None)
    total = 0.0

    def again(city: str) -> str:
        """Look up the weather of a city."""
        return f"{city}: fair {next(count)}"

    conversation = client.chat(system=HANDBOOK, tools=[again])
    for _ in answers:
        total += conversation.ask('call again {"city": "Oslo"}').cost
    return total


def run(world, client, rows=12, template=HANDBOOK + "\n\n{text}"):
    results = client.map([f"Is {row} good?" for row in range(rows)], template, progress=False)
    assert not any(results.errors)
    return results.cost


def one_offs(world, client, count=4):
    return sum(client.ask(f"{number} {HANDBOOK}").cost for number in range(count))


def one_document(world, client):
    return sum(client.ask(f"{LONG}\n\nQuestion {number}?").cost for number in range(4))


def same_system(world, client, count=5, gap=5.0):
    total = 0.0
    for number in range(count):
        total += client.ask(f"Question {number}?", system=HANDBOOK).cost
        world.wait(gap)
    return total


def short_chat(world, client):
    return chat(world, client, system="Be brief.")


def slow_chat(world, client):
    return chat(world, client, gap=4000.0)


def job_like_run(world, client):
    return run(world, client, rows=1)


SCENARIOS = [chat, tool_loop, run, one_document, one_offs, same_system, short_chat, slow_chat, job_like_run]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("model", [*WITH_FEES, OLD_GPT, "anthropic/claude-haiku-4-5"])
def test_no_scenario_costs_more_than_without_caching(world, scenario, model):
    without = world.cost_of(scenario, model, False)
    for mode in ("auto", "safe"):
        assert world.cost_of(scenario, model, mode) <= without * 1.000001


@with_fees
def test_a_conversation_of_50_turns_reads_most_of_its_input_from_the_cache(world, model):
    world.cost_of(chat, model, "auto", 50)
    assert world.read_share > 0.9
    assert world.written[0] == 0


@with_fees
@pytest.mark.parametrize("where", ["template", "system", "prompts"])
def test_a_run_over_a_long_beginning_writes_it_once_and_reads_it_for_every_other_row(world, model, where):
    world.box.delay = 0.002
    rows = [f"Is {row} good?" for row in range(40)]
    with world.client(model, system=LONG if where == "system" else None) as client:
        if where == "template":
            results = client.map(rows, LONG + "{text}", progress=False)
        else:
            results = client.map([LONG + row if where == "prompts" else row for row in rows], progress=False)
    assert not any(results.errors)
    assert [written for written in world.written if written] == [pytest.approx(20_000, abs=9)]
    assert world.read_share > 0.97
    assert results.cost == pytest.approx(world.box.prompt_caches.cost)


@pytest.mark.parametrize("model", [OLD_GPT, "gemini/gemini-3.8-flash"])
def test_the_first_row_goes_alone_where_writing_is_free_as_well(world, model):
    world.box.delay = 0.01
    with world.client(model) as client:
        client.map([f"Is {row} good?" for row in range(16)], LONG + "{text}", progress=False)
    assert [use.read > 0 for use in world.uses] == [False] + [True] * 15


def test_few_rows_or_a_short_beginning_do_not_wait_where_writing_is_free(world):
    with world.client(OLD_GPT) as client:
        client.map(["a", "b"], HANDBOOK + "{text}", progress=False)
        client.map(["a", "b"] * 5, "Good? {text}", progress=False)
    assert len(world.uses) == 12


@pytest.mark.parametrize("model", [GPT, RESPONSES])
def test_single_prompts_write_nothing_on_newer_models(world, model):
    world.cost_of(one_offs, model, "auto")
    assert world.written == [0] * 4
    assert world.box.requests[0].json()["prompt_cache_options"] == {"mode": "explicit"}


@pytest.mark.parametrize("model", [GPT, OLD_GPT, CLAUDE])
def test_short_prompts_are_sent_as_they_were(world, model):
    with world.client(model) as client:
        client.ask("Hi")
        client.chat(system="Be brief.").ask("Hello")
    for request in world.box.requests:
        assert not {name for name in request.json() if "cache" in name}
        assert b"cache" not in request.body


@with_fees
def test_questions_about_one_document_read_it_from_the_second_on(world, model):
    with world.client(model) as client:
        for number in range(5):
            client.ask(f"{LONG}\n\nQuestion {number}?")
    assert [use.written > 0 for use in world.uses] == [False, True, False, False, False]
    assert [use.read > 17_000 for use in world.uses] == [False, False, True, True, True]


@with_fees
def test_a_system_prompt_is_marked_when_it_is_seen_again(world, model):
    world.cost_of(same_system, model, "auto")
    assert [use.written > 0 for use in world.uses] == [False, True, False, False, False]
    assert [use.read > 0 for use in world.uses] == [False, False, True, True, True]


@with_fees
def test_threads_that_ask_at_the_same_time_pay_for_one_write(world, model):
    world.box.delay = 0.01
    with world.client(model) as client, ThreadPoolExecutor(8) as pool:
        client.ask("Question?", system=HANDBOOK)
        list(pool.map(lambda number: client.ask(f"Question {number}?", system=HANDBOOK), range(24)))
    assert sum(use.written > 1000 for use in world.uses) == 1
    assert sum(use.read > 1000 for use in world.uses) >= 12


@with_fees
def test_true_marks_from_the_first_request_on(world, model):
    world.cost_of(chat, model, True, 3)
    assert [use.written > 0 for use in world.uses] == [True, True, True]
    assert world.uses[1].read >= 4000


@with_fees
def test_an_hour_outlasts_a_pause(world, model):
    cost = world.cost_of(chat, model, "1h", 4, 3000.0)
    assert [use.read > 0 for use in world.uses] == [False, True, True, True]
    assert world.uses[0].long_written > 4000
    assert cost < world.cost_of(chat, model, False, 4, 3000.0)


@with_fees
def test_safe_marks_a_conversation_once_a_run_has_saved_more_than_that_can_cost(world, model):
    with world.client(model, "safe") as client:
        conversation = client.chat(system=HANDBOOK)
        for turn in range(3):
            conversation.ask(f"Question {turn}?")
        assert world.written == [0, 0, 0]
        client.map([f"Is {row} good?" for row in range(10)], system=HANDBOOK, progress=False)
        world.box.prompt_caches.charges.clear()
        conversation.ask("And now?")
    assert world.uses[0].read >= 4000


@with_fees
def test_a_mode_can_be_set_for_one_call(world, model):
    with world.client(model, False) as client:
        client.ask("Hi", system=HANDBOOK, prompt_cache=True)
        client.ask("Hi", system=HANDBOOK)
    assert [use.written > 0 for use in world.uses] == [True, False]


def test_marks_stop_after_three_prompts_that_were_not_read_back(world):
    with world.client(CLAUDE) as client, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        conversation = client.chat(system=HANDBOOK)
        for turn in range(10):
            conversation.ask(f"Question {turn}?")
            with world.box.prompt_caches._lock:
                world.box.prompt_caches._entries.clear()
    assert sum(written > 0 for written in world.written) == 4
    assert [str(warning.message)[:50] for warning in caught] == ["anthropic: claude-sonnet-5-5: 3 prompts in success"]


def test_prompts_that_end_after_one_tool_call_are_soon_no_longer_marked(world):
    with world.client(CLAUDE) as client:
        for number in range(8):
            client.ask(f'{number} {HANDBOOK} call look {{"city": "Oslo"}}', tools=[look])
    assert sum(written > 3000 for written in world.written) == 1


@with_fees
def test_a_run_whose_first_row_fails_sends_the_next_one_alone(world, model):
    world.box.script("bad-request", None)
    world.box.delay = 0.005
    with world.client(model) as client:
        results = client.map([f"Is {row} good?" for row in range(10)], LONG + "{text}", progress=False)
    assert sum(error is not None for error in results.errors) <= 1
    assert len([written for written in world.written if written]) == 1


def test_a_run_of_unknown_length_is_marked_from_its_second_row_on(world):
    world.box.delay = 0.005
    with world.client(CLAUDE) as client:
        rows = (f"Is {row} good?" for row in range(10))
        client.map(rows, LONG + "{text}", progress=False)
    assert [use.written > 0 for use in world.uses] == [False, True] + [False] * 8
    assert [use.read > 0 for use in world.uses] == [False, False] + [True] * 8


def test_a_column_that_is_the_same_in_every_row_counts_as_common(world):
    pandas = pytest.importorskip("pandas")
    rows = [{"manual": LONG, "question": f"Is {row} good?"} for row in range(6)]
    with world.client(CLAUDE) as client:
        client.map(rows, "{manual} {question}", progress=False)
        client.map(pandas.DataFrame(rows), "{manual} {question}", progress=False)
    assert [use.written > 1000 for use in world.uses] == [True] + [False] * 11


def test_a_row_that_begins_differently_shares_less(world, monkeypatch):
    monkeypatch.setattr(runs, "_MAX_COMPARED", 3)
    prompts = [*(f"{LONG}Is {row} good?" for row in range(4)), "Another question."]
    with world.client(CLAUDE) as client:
        assert not any(client.map(prompts, progress=False).errors)
    assert [use.read > 0 for use in world.uses].count(True) == 3


def test_a_file_with_a_row_that_cannot_be_read_is_reported_by_the_run(world, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Good?"}\n{', encoding="utf-8")
    with world.client(CLAUDE) as client, pytest.raises(ConfigurationError, match="line 2 cannot be read"):
        client.map(path, LONG + "{text}", progress=False)
    assert len(world.uses) == 1


def test_a_file_of_one_row_is_not_marked(world, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Good?"}\n', encoding="utf-8")
    with world.client(CLAUDE) as client:
        client.map(path, LONG + "{text}", progress=False)
    assert world.written == [0]


def test_a_later_row_that_fails_changes_nothing(world):
    world.box.script(None, "bad-request")
    with world.client(CLAUDE) as client:
        results = client.map([f"Is {row} good?" for row in range(6)], LONG + "{text}", workers=2, progress=False)
    assert sum(error is not None for error in results.errors) == 1
    assert [use.read > 0 for use in world.uses] == [False] + [True] * 4


def test_after_a_pause_one_row_goes_alone_again(world):
    world.box.delay = 0.005

    def rows():
        for row in range(12):
            if row == 6:
                while len(world.uses) < 6:
                    threading.Event().wait(0.005)
                world.wait(400)
            yield f"Is {row} good?"

    with world.client(CLAUDE) as client:
        client.map(rows(), LONG + "{text}", workers=4, progress=False)
    assert sum(use.written > 0 for use in world.uses) <= 2


def test_a_run_in_processes_of_the_users_own_caches_as_well(world):
    with world.client(CLAUDE) as client, ThreadPoolExecutor(4) as executor:
        client.map([f"Is {row} good?" for row in range(8)], LONG + "{text}", executor=executor, progress=False)
    assert [use.written > 0 for use in world.uses] == [True] + [False] * 7


def test_a_row_of_a_batch_job_for_a_newer_model_writes_nothing(world):
    with world.client(GPT) as client:
        call, short = client._build_call(HANDBOOK, 1), client._build_call("Hi", 1)
        target = call.targets[0]
        provider = call.context.provider(target.provider)
        protocol = find_protocol(target.provider)(JobHTTP(provider, None, call))
        body, other = build_row(call, target, protocol).body, build_row(short, target, protocol).body
    assert body["prompt_cache_options"] == {"mode": "explicit"}
    assert "prompt_cache_options" not in other


@with_fees
@pytest.mark.parametrize("mode", ["auto", "safe"])
def test_random_workloads_cost_at_most_one_premium_for_each_prefix_more(world, model, mode):
    for seed in range(8):
        premium = []

        def workload(world, client, seed=seed, premium=premium):
            chance = random.Random(seed)
            total = 0.0
            for conversation in range(3):
                talk = client.chat(system=f"{conversation} {HANDBOOK}" if chance.random() < 0.5 else None)
                for turn in range(chance.randrange(1, 6)):
                    reply = talk.ask(f"{turn} " + "word " * chance.choice((5, 500, 3000)))
                    total += reply.cost
                    world.wait(chance.choice((5, 100, 400, 2000, 9000)))
                premium.append(total)
            return total

        without = world.cost_of(workload, model, False)
        most = max(use.total for use in world.uses)
        price = 2.0 if model == CLAUDE else 0.1
        allowed = 0 if mode == "safe" else 3 * 0.25 * most * price / 1e6
        assert world.cost_of(workload, model, mode) <= without + allowed + 1e-12
