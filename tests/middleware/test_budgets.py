"""Budgets: what could be passed is not begun."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest
import responses

from aichatkit import Client
from aichatkit.chunks import Usage
from aichatkit.errors import BudgetExceededError, ConfigurationError, ConnectError, StreamInterruptedError
from aichatkit.images import ImageRequest
from aichatkit.middleware.budgets import Budget, expense_of
from aichatkit.middleware.estimates import Expense, estimate_partial, expected_expense, highest_cost
from aichatkit.reply import Reply
from aichatkit.sandbox.pictures import png


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


# Pictures.

URL = "https://api.{}/v1/images/generations"
PICTURE = {"b64_json": base64.b64encode(png("a cat")).decode()}
TOKENS = {"usage": {"input_tokens": 0, "output_tokens": 4000, "total_tokens": 4000}}


def draw(model, *, budget=10, prices=None, body=(), returned=1, **options):
    """Return what was spent on pictures."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        for host in ("openai.com", "x.ai", "together.xyz"):
            web.add(responses.POST, URL.format(host), json={"data": [PICTURE] * returned, **dict(body)})
        with Client(model=model, api_key="k", budget=budget, prices=prices, retry=0) as client:
            client.image("A cat", **options)
            assert client._context.budget.reserved.money == 0
            return client._context.budget.spent.money


@pytest.mark.parametrize(
    ("model", "options", "dollars"),
    [
        # The tokens that the service reports.
        ("openai/gpt-image-2.5-flare", {"body": TOKENS}, 4000 * 30e-6),
        # A service that reports nothing: those expected, by quality, size and number.
        ("openai/gpt-image-2.5-flare", {}, 1300 * 30e-6),
        ("openai/gpt-image-2.5-flare", {"quality": "high", "n": 2, "returned": 2}, 2 * 4160 * 30e-6),
        ("openai/gpt-image-2.5-flare", {"quality": "low", "size": "2048x1024"}, 560 * 30e-6),
        ("openai/gpt-image-2.5-flare", {"quality": "low", "size": "512x512"}, 280 * 30e-6),
        # A price for each picture.
        ("xai/grok-imagine-image", {"n": 3, "returned": 3}, 0.06),
        ("together/black-forest-labs/x", {"prices": {"together/black-forest-labs/x": {"per_image": 0.5}}}, 0.5),
        ("openai/gpt-image-x", {"prices": {"openai/gpt-image-x": (0, 100)}, "body": TOKENS}, 0.4),
    ],
)
def test_pictures_count_with_their_price(model, options, dollars):
    assert draw(model, **options) == pytest.approx(dollars, abs=2e-4)


@pytest.mark.parametrize(
    ("model", "budget", "options"),
    [
        ("openai/gpt-image-2.5-flare", 0.03, {}),
        ("openai/gpt-image-2.5-flare", 0.1, {"n": 4}),
        ("openai/gpt-image-2.5-flare", 0.1, {"quality": "high"}),
        ("xai/grok-imagine-image", 0.05, {"n": 3}),
    ],
)
def test_pictures_that_cost_more_than_is_left_are_not_sent(model, budget, options):
    with pytest.raises(BudgetExceededError):
        draw(model, budget=budget, **options)


@pytest.mark.parametrize(
    "model",
    [
        "together/black-forest-labs/FLUX.2-max",
        "xai/grok-imagine-image-9",
        "openrouter/openai/gpt-5-image",
    ],
)
def test_pictures_without_a_price_are_an_error_that_says_what_to_pass(model):
    message = rf"the price of a picture by {model} is not known; pass prices=\{{'{model}': \{{'per_image': ...\}}\}}"
    with pytest.raises(ConfigurationError, match=message):
        draw(model)


def test_a_model_that_draws_in_a_chat_counts_as_one_picture():
    with Client(model="gemini/gemini-3-pro-image", api_key="k") as client:
        call = client._build_call("A cat", 0)
        assert expected_expense(call).money == pytest.approx(1300 * 120e-6, abs=1e-4)
        assert highest_cost(call) == pytest.approx(16_640 * 120e-6, abs=1e-4)
        assert estimate_partial(call, "") == expected_expense(call)


def test_the_most_that_pictures_may_cost_is_their_largest_size():
    with Client(model="openai/gpt-image-2.5-flare", api_key="k") as client:
        call = client._build_call("A cat", 0)
        for request, tokens in ((ImageRequest(n=2), 2 * 16_640), (ImageRequest(quality="low"), 280)):
            assert highest_cost(call.with_image(request)) == pytest.approx(tokens * 30e-6, abs=1e-4)
