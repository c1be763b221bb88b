"""Estimates and budgets of decisions: the requests after splitting, with the tokens of the questions."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import pytest

import aichatkit as ai
from aichatkit import BudgetExceededError, Client, ConfigurationError
from aichatkit.middleware.estimates import highest_cost

QUESTIONS = {"refund?": bool, "topic": Literal["bug", "billing"], "anger": ["calm", "annoyed", "furious"]}
MANY = {f"is it number {number}?": bool for number in range(300)}
ROWS = [{"text": "I want a refund."}, {"text": "All is well, thank you."}]


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """A machine without tiktoken."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)


@pytest.fixture
def decider(sandbox, policy):
    """A client at the sandbox."""
    with Client("openai/gpt-6-luna", api_key="k", base_url=f"{sandbox.url}/v1", retry=policy) as client:
        yield client


def test_a_row_is_one_request_without_output_and_what_it_costs_is_close(decider, sandbox):
    estimate = decider.estimate(ROWS, "{text}", decide=QUESTIONS)
    assert sandbox.requests == []
    assert (estimate.calls, estimate.output_tokens) == (2, 0)
    assert estimate.cost == pytest.approx(estimate.input_tokens * 1e-7)
    run = decider.map(ROWS, "{text}", decide=QUESTIONS, progress=False)
    used = sum(row.reply.usage.input_tokens for row in run)
    assert used / 2 < estimate.input_tokens < used * 2


def test_questions_count_and_too_many_of_them_are_several_requests():
    client = Client("typesafe", api_key="k")
    few, many = (client.estimate(["Hi"], decide=questions) for questions in (QUESTIONS, MANY))
    assert (few.calls, many.calls) == (1, 3)
    assert many.input_tokens > 300 * 8 > few.input_tokens
    assert Client("gemini", api_key="k").estimate(["Hi"] * 2, decide=MANY).calls == 2


def test_letters_are_a_request_for_each_question_with_one_token(policy):
    client = Client("ollama/llama3.2")
    estimate = client.estimate(["Hi"], decide=QUESTIONS, emulate=True)
    assert (estimate.calls, estimate.output_tokens, estimate.cost) == (3, 3, 0.0)
    once = client.estimate(["Hi"], decide={"refund?": bool}, emulate=True)
    assert estimate.input_tokens > 2 * once.input_tokens


def test_structured_output_is_one_request_with_output():
    estimate = Client("anthropic/claude-sonnet-5-5").estimate(["Hi"], decide=QUESTIONS)
    assert estimate.calls == 1
    assert 5 < estimate.output_tokens < 60
    assert estimate.cost > 0


def test_in_batch_jobs_the_same_requests_cost_half():
    client = Client("anthropic/claude-sonnet-5-5")
    live, jobs = (client.estimate(["Hi", "Ho"], decide=QUESTIONS, batch=batch) for batch in (False, True))
    assert (jobs.calls, jobs.input_tokens, jobs.output_tokens) == (live.calls, live.input_tokens, live.output_tokens)
    assert jobs.cost == pytest.approx(live.cost / 2)


def test_rows_that_cannot_be_filled_do_not_count_and_options_are_checked():
    client = Client("openai", api_key="k")
    assert client.estimate([{"text": "a"}, {"other": "b"}], "{text}", decide=QUESTIONS).calls == 1
    with pytest.raises(ConfigurationError, match="threshold and emulate are for decide="):
        client.estimate(["Hi"], threshold=0.5)
    with pytest.raises(ConfigurationError, match="gpt-6-luna answers at a decisions endpoint"):
        client.estimate(["Hi"], decide=QUESTIONS, batch=True)
    with pytest.raises(ConfigurationError, match="temperature: cannot be used with decide="):
        client.estimate(["Hi"], decide=QUESTIONS, temperature=0.5)
    with pytest.raises(ConfigurationError, match="asks nothing"):
        client.estimate(["Hi"], decide={"refund": bool})


def test_a_budget_knows_that_decisions_write_nothing_and_that_chat_models_do():
    from aichatkit.decisions.decide import build_decision_call
    from aichatkit.decisions.forms import DecisionForm

    client = Client("openai/gpt-6-luna", api_key="k")
    decided, emulated = (
        highest_cost(build_decision_call(client, "Hi", DecisionForm.build(QUESTIONS, None, None, emulate)))
        for emulate in (None, True)
    )
    assert 0 < decided < 1e-4 < emulated


def test_a_run_within_a_budget_stops_where_the_questions_use_it_up(decider, sandbox):
    one = decider.estimate(["Hi"], decide=QUESTIONS)
    run = decider.map(["Hi"] * 50, decide=QUESTIONS, budget=one.cost * 3, progress=False, workers=1)
    assert any(isinstance(row.error, BudgetExceededError) for row in run)
    assert 0 < len(sandbox.requests) < 10


def test_likelihoods_are_estimated_like_other_questions():
    questions = {"chance": Annotated[float, (0, 1), "Is it spam?"]}
    assert ai.Client("typesafe", api_key="k").estimate(["Hi"], decide=questions).calls == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [({"threshold": 0.8}, "anthropic/claude.* has no probabilities"), ({"emulate": False}, "has no decision models")],
)
def test_an_estimate_of_what_cannot_be_answered_is_the_error_of_the_call(options, words):
    with Client("anthropic", api_key={"anthropic": "k", "openai": "k"}) as client:
        with pytest.raises(ConfigurationError, match=words):
            client.decide("Hi", {"a?": bool}, **options)
        with pytest.raises(ConfigurationError, match=words):
            client.estimate(["Hi"], decide={"a?": bool}, **options)
        # The next model answers.
        models = ["anthropic", "openai/gpt-6-luna"]
        assert client.estimate(["Hi"], decide={"a?": bool}, model=models, **options).calls == 1
