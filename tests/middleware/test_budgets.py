"""Budgets: what could be passed is not begun."""

from __future__ import annotations

import copy
import pickle

import pytest

from aichatkit import Client
from aichatkit.chunks import Usage
from aichatkit.errors import BudgetExceededError, ConfigurationError, ConnectError, StreamInterruptedError
from aichatkit.middleware.budgets import Budget, expense_of
from aichatkit.middleware.estimates import Expense
from aichatkit.reply import Reply


def test_what_fits_is_held_back_and_what_does_not_is_not():
    purse = Budget(money=1.0)
    assert purse.reserve(Expense(0.6, 5)) == Expense(0.6, 5)
    assert purse.reserve(Expense(0.6, 5)) is None
    assert purse.reserve(Expense(0.4, 5)) == Expense(0.4, 5)


def test_what_was_held_back_and_not_spent_is_free_again():
    purse = Budget(tokens=10)
    held = purse.reserve(Expense(0.0, 10))
    purse.settle(held, Expense(0.0, 2))
    assert purse.spent == Expense(0.0, 2)
    assert purse.reserve(Expense(0.0, 8)) is not None


def test_the_dearest_so_far_is_expected_of_the_next():
    purse = Budget(money=1.0, tokens=100)
    purse.settle(purse.reserve(Expense(0.1, 1)), Expense(0.7, 1))
    assert purse.reserve(Expense(0.1, 1)) is None


def test_nothing_left_fits_nothing_but_what_is_free():
    purse = Budget(money=0)
    assert purse.reserve(Expense(0.0, 5)) is not None
    assert purse.reserve(Expense(0.001, 5)) is None


@pytest.mark.parametrize(("money", "tokens", "there"), [(None, None, False), (0, None, True), (None, 5, True)])
def test_a_purse_without_a_limit_is_none(money, tokens, there):
    assert bool(Budget(money, tokens)) is there


@pytest.mark.parametrize("value", [-1, True, "2", float("nan"), float("inf")])
def test_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(ConfigurationError, match="budget: must be a number"):
        Budget(value)
    with pytest.raises(ConfigurationError, match="max_tokens_total: must be a number"):
        Budget(None, value)


@pytest.mark.parametrize(
    ("limits", "told"),
    [((2, None), "0.5000 of 2 US dollars"), ((None, 9), "7 of 9 tokens"), ((2, 9), "dollars and 7 of")],
)
def test_the_error_tells_what_is_spent(limits, told):
    purse = Budget(*limits)
    purse.settle(Expense(), Expense(0.5, 7))
    error = purse.exceeded()
    assert isinstance(error, BudgetExceededError)
    assert told in str(error)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda purse: pickle.loads(pickle.dumps(purse))])
def test_a_copy_knows_what_is_spent_and_holds_nothing(copied):
    purse = Budget(money=1.0)
    purse.settle(purse.reserve(Expense(0.5, 1)), Expense(0.5, 1))
    purse.reserve(Expense(0.5, 1))
    other = copied(purse)
    assert other.spent == Expense(0.5, 1)
    assert other.reserve(Expense(0.5, 1)) is not None


def test_what_a_service_does_not_tell_counts_as_expected():
    reply = Reply("a", "b", "c")
    assert expense_of(reply, Expense(0.5, 7)) == Expense(0.5, 7)
    told = Reply("a", "b", "c", cost=0.0, usage=Usage(total_tokens=3))
    assert expense_of(told, Expense(0.5, 7)) == Expense(0.0, 3)


def test_what_may_cost_more_is_held_back_whole_where_it_fits():
    purse = Budget(money=1.0)
    assert purse.reserve(Expense(0.1, 5), 0.6) == Expense(0.6, 5)
    assert purse.reserve(Expense(0.1, 5), 0.4) == Expense(0.4, 5)


def test_one_call_at_a_time_may_cost_more_than_is_left():
    purse = Budget(money=1.0)
    first = purse.reserve(Expense(0.1, 5), 3.0)
    assert first == Expense(0.1, 5)
    assert purse.reserve(Expense(0.1, 5), 3.0) is None
    assert purse.reserve(Expense(0.1, 5), 0.2) == Expense(0.2, 5)
    purse.settle(first, Expense(0.3, 5))
    assert purse.reserve(Expense(0.1, 5), 3.0) == Expense(0.3, 5)
    assert copy.deepcopy(purse).reserve(Expense(0.1, 5), 3.0) is not None


def test_the_error_tells_what_is_held_back_for_others():
    purse = Budget(money=1.0)
    purse.reserve(Expense(0.75, 5))
    assert "0.0000 of 1 US dollars spent, and 0.7500 reserved" in str(purse.exceeded())
    assert "max_tokens= reserves less" in str(purse.exceeded())


def test_an_answer_that_tells_no_tokens_counts_its_text(sandbox):
    prices = {"openai/mine": (0.0, 1_000_000.0)}
    sandbox.says("word " * 400)
    with Client(model="openai/mine", base_url=f"{sandbox.url}/v1", budget=9999, prices=prices) as client:
        reply = client.ask("Hi", extra={"stream_options": None})
        assert reply.cost is None
        assert client._context.budget.spent.money > 400
        client.map(["Hi"], extra={"stream_options": None}, progress=False)
        assert client._context.budget.spent.money > 800


def test_a_call_with_tools_goes_on_only_while_the_budget_is_not_spent(sandbox):
    def add(a: int, b: int) -> int:
        return a + b

    prices = {"openai/mine": (0.0, 1_000_000.0)}
    with Client(model="openai/mine", base_url=f"{sandbox.url}/v1", budget=2, prices=prices, max_tokens=1) as client:
        with pytest.raises(BudgetExceededError, match="of 2 US dollars"):
            client.ask('call add {"a": 1, "b": 2}', tools=[add])
        assert len(sandbox.requests) == 1
        assert client._context.budget.spent.money > 2


@pytest.mark.parametrize(("fault", "error"), [("cut", StreamInterruptedError), ("reset-head", ConnectError)])
def test_a_failure_that_may_have_been_charged_counts_as_expected(sandbox, fault, error):
    prices = {"openai/mine": (0.0, 1_000_000.0)}
    url = f"{sandbox.url}/fault/{fault}/v1"
    with Client(model="openai/mine", base_url=url, budget=999, prices=prices, max_tokens=50, retry=0) as client:
        with pytest.raises(error):
            client.ask("Tell me a story.")
        assert client._context.budget.spent.money >= 50
        assert client._context.budget._reserved.money == 0
