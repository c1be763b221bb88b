from __future__ import annotations

import logging
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aichatkit.errors import (
    AuthenticationError,
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    TimedOutError,
)
from aichatkit.limits.retries import RetryBudget, RetryPolicy, RetryState, clock_of, retry
from aichatkit.limits.waits import Sleeper
from aichatkit.reply import Attempt
from aichatkit.transport.timeouts import Deadline


class Run:
    """One call that fails with the given errors, in order, and then works."""

    def __init__(self, *errors: BaseException, total: float | None = None, hook=None, tokens: int = 100, **policy):
        self.slept: list[float] = []
        self.now = 0.0
        self.errors = list(errors)
        self.calls = 0
        self.closing = threading.Event()
        self.budget = RetryBudget(tokens)
        options = {"sleep": self.sleep, "clock": lambda: self.now, "random": lambda: 1.0, **policy}
        self.policy = RetryPolicy(**options)
        sleeper = Sleeper(Deadline(total, self.policy.now), self.closing, hook, self.policy.sleep)
        self.attempts: list[Attempt] = []
        self.state = RetryState(
            self.policy, sleeper, self.budget, "test", "model-1", self.attempts, clock_of(self.policy)
        )

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def open(self) -> str:
        self.calls += 1
        self.now += 0.25
        if self.errors:
            raise self.errors.pop(0)
        return "opened"

    def __call__(self) -> str:
        return retry(self)


def ambiguous() -> ConnectError:
    return ConnectError("broke", maybe_processed=True)


# What is tried again.


def test_what_works_is_called_once():
    run = Run()
    assert (run(), run.calls, run.slept) == ("opened", 1, [])
    assert run.attempts == [Attempt("test", "model-1", elapsed=0.25)]


@pytest.mark.parametrize("error", [ServerError("x"), RateLimitError("x"), ConnectError("x"), TimedOutError("x")])
def test_passing_faults_are_tried_again(error):
    run = Run(error)
    assert (run(), run.calls, len(run.slept)) == ("opened", 2, 1)


@pytest.mark.parametrize(
    "error", [QuotaExceededError("x"), AuthenticationError("x"), BadResponseError("x"), ChatError("x")]
)
def test_what_waiting_does_not_help_is_not_tried_again(error):
    run = Run(error)
    with pytest.raises(type(error)) as caught:
        run()
    assert (caught.value, run.calls, run.slept) == (error, 1, [])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError()])
def test_what_is_not_ours_ends_the_second_try_as_it_does_the_first(error):
    run = Run(ServerError("x"), error)
    with pytest.raises(type(error)) as caught:
        run()
    assert caught.value is error
    assert (run.calls, len(run.slept)) == (2, 1)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(), GeneratorExit(), ValueError(), ConnectionError(), MemoryError()]
)
def test_what_is_not_ours_passes_through(error):
    run = Run(error)
    with pytest.raises(type(error)) as caught:
        run()
    assert (caught.value is error, run.calls, run.slept, run.attempts) == (True, 1, [], [])


def test_after_the_last_try_the_last_error_comes_out_unchanged():
    errors = [ServerError(str(number)) for number in range(5)]
    run = Run(*errors)
    with pytest.raises(ServerError) as caught:
        run()
    assert caught.value is errors[2]
    assert (run.calls, caught.value.gave_up) == (3, "tried 3 times")
    assert caught.value.__cause__ is None
    assert [attempt.error for attempt in run.attempts] == errors[:3]


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_tries_are_counted_with_the_first(attempts):
    run = Run(*[ServerError("x") for _ in range(9)], attempts=attempts)
    with pytest.raises(ServerError) as caught:
        run()
    assert run.calls == attempts
    assert caught.value.gave_up == ("retries are off" if attempts == 1 else f"tried {attempts} times")


# What may have been processed.


@pytest.mark.parametrize(("allowed", "calls"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_what_may_have_been_processed_is_repeated_only_so_often(allowed, calls):
    run = Run(*[ambiguous() for _ in range(9)], ambiguous=allowed)
    with pytest.raises(ConnectError) as caught:
        run()
    assert run.calls == calls
    assert caught.value.gave_up


def test_what_was_surely_not_sent_does_not_count_as_ambiguous():
    run = Run(ConnectError("a"), ambiguous(), ConnectError("b"), attempts=4)
    assert run() == "opened"
    assert run.calls == 4


def stale(error: ConnectError) -> ConnectError:
    error.stale = True
    return error


def test_a_stale_connection_is_retried_immediately_the_first_time_only():
    run = Run(stale(ConnectError("a")), stale(ConnectError("b")), attempts=4, base=0.5)
    assert (run(), run.calls) == ("opened", 3)
    assert run.slept == [0.0, 1.0]


# Fresh tokens.


def refreshing() -> AuthenticationError:
    return AuthenticationError("stale", action="refresh")


def test_stale_tokens_are_fetched_anew_once_and_at_once():
    run = Run(refreshing())
    assert (run(), run.calls, run.slept) == ("opened", 2, [0.0])


def test_a_refresh_needs_neither_tries_nor_budget():
    run = Run(refreshing(), attempts=1, tokens=0)
    assert (run(), run.calls) == ("opened", 2)


def test_tokens_that_are_refused_again_are_not_fetched_again():
    run = Run(refreshing(), refreshing())
    with pytest.raises(AuthenticationError) as caught:
        run()
    assert run.calls == 2
    assert "fresh tokens" in caught.value.gave_up


# How long is waited.


def test_the_backoff_doubles_up_to_its_cap():
    run = Run(*[ServerError("x") for _ in range(7)], attempts=8)
    assert run() == "opened"
    assert run.slept == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_the_backoff_is_slower_where_the_service_limits():
    run = Run(*[RateLimitError("x") for _ in range(4)], attempts=5)
    run()
    assert run.slept == [1.0, 2.0, 4.0, 8.0]


def test_jitter_is_full():
    draws = iter([0.0, 0.5, 0.999])
    run = Run(*[ServerError("x") for _ in range(3)], attempts=4, random=lambda: next(draws))
    run()
    assert run.slept == [0.0, 0.5, 1.998]


def test_many_tries_do_not_overflow():
    run = Run(*[ServerError("x") for _ in range(1100)], attempts=1200, tokens=100_000, cap=1.0)
    assert run() == "opened"
    assert set(run.slept[5:]) == {1.0}


def test_without_a_base_nothing_is_waited():
    run = Run(ServerError("x"), RateLimitError("x"), base=0.0)
    run()
    assert run.slept == [0.0, 0.0]


@pytest.mark.parametrize(
    ("hint", "waits"), [(5.0, 5.5), (7.0, 7.7), (30.0, 31.0), (60.0, 61.0), (0.5, 0.55), (0.0, 0.5)]
)
def test_a_hint_is_waited_for_and_a_little_more(hint, waits):
    run = Run(RateLimitError("x", retry_after=hint))
    run()
    assert run.slept == [pytest.approx(waits)]


def test_a_hint_is_never_cut_short():
    run = Run(RateLimitError("x", retry_after=20.0), random=lambda: 0.0)
    run()
    assert run.slept == [20.0]


# What ends it.


@pytest.mark.parametrize(("hint", "calls"), [(10.0, 2), (10.001, 1), (3600.0, 1)])
def test_a_hint_longer_than_the_longest_wait_ends_it(hint, calls):
    run = Run(RateLimitError("x", retry_after=hint), max_wait=10.0)
    if calls == 2:
        assert run() == "opened"
    else:
        with pytest.raises(RateLimitError) as caught:
            run()
        assert "max_wait" in caught.value.gave_up
        assert run.slept == []
    assert run.calls == calls


@pytest.mark.parametrize(("total", "calls"), [(5.8, 2), (5.7, 1)])
def test_a_wait_past_the_deadline_is_not_begun(total, calls):
    # The try took 0.25 s and the wait takes 5.5 s.
    run = Run(RateLimitError("x", retry_after=5.0), total=total)
    if calls == 2:
        assert run() == "opened"
    else:
        with pytest.raises(RateLimitError) as caught:
            run()
        assert ("deadline" in caught.value.gave_up, run.slept) == (True, [])
    assert run.calls == calls


def test_a_client_that_closes_ends_it_before_the_wait():
    run = Run(ServerError("x"))
    run.closing.set()
    with pytest.raises(ServerError) as caught:
        run()
    assert (run.calls, run.slept, caught.value.gave_up) == (1, [], "the client was closed")


def test_a_client_that_closes_during_the_wait_ends_it():
    run = Run(ServerError("x"), sleep=lambda seconds: run.closing.set())
    with pytest.raises(ServerError) as caught:
        run()
    assert (run.calls, caught.value.gave_up) == (1, "the client was closed")


def test_without_a_sleep_of_ones_own_closing_wakes_it():
    run = Run(ServerError("x"), sleep=None, base=8.0)
    threading.Timer(0.02, run.closing.set).start()
    with pytest.raises(ServerError):
        run()
    assert run.calls == 1


def test_the_budget_ends_it_and_says_so():
    run = Run(*[ServerError("x") for _ in range(9)], attempts=9, tokens=25)
    with pytest.raises(ServerError) as caught:
        run()
    assert run.calls == 3
    assert "budget" in caught.value.gave_up


def test_what_may_have_been_processed_costs_twice_as_much():
    run = Run(*[ambiguous() for _ in range(9)], attempts=9, ambiguous=9, tokens=45)
    with pytest.raises(ConnectError):
        run()
    assert run.calls == 3


def test_a_retry_that_works_gives_its_price_back():
    run = Run(ServerError("x"), ServerError("x"), tokens=20)
    run()
    again = Run(ServerError("x"), ServerError("x"))
    again.state.budget = run.budget
    assert again() == "opened"


@pytest.mark.parametrize("veto", ["attempts", "hint", "deadline", "closing"])
def test_a_veto_costs_nothing_of_the_budget(veto):
    run = Run(RateLimitError("x", retry_after=30.0), total=9 if veto == "deadline" else None, tokens=10)
    if veto == "attempts":
        run.state.policy = RetryPolicy(attempts=1)
    elif veto == "hint":
        run.state.policy = RetryPolicy(max_wait=1)
    elif veto == "closing":
        run.closing.set()
    with pytest.raises(RateLimitError):
        run()
    assert run.budget.draw(ServerError("x")) == 10


# The story.


def test_each_try_is_told_with_its_error_wait_and_time():
    first, second = ServerError("a"), ServerError("b", provider="behind", model="other")
    run = Run(first, second)
    run()
    assert run.attempts == [
        Attempt("test", "model-1", first, 0.5, 0.25),
        Attempt("test", "model-1", second, 1.0, 0.25),
        Attempt("test", "model-1", None, 0.0, 0.25),
    ]
    assert (first.provider, first.model) == ("test", "model-1")
    assert (second.provider, second.model) == ("behind", "other")


def test_what_pacing_waited_is_told_apart_from_the_time_of_the_try():
    run = Run()
    run.state.paced = 0.1
    run()
    assert (run.attempts[0].wait, run.attempts[0].elapsed) == (0.1, 0.15)


def test_an_error_that_is_kept_holds_no_frames():
    error = ServerError("x")
    Run(error)()
    assert error.__traceback__ is None


def test_a_hook_sees_each_wait_before_it_begins():
    seen = []
    run = Run(ServerError("a"), RateLimitError("b"), hook=lambda wait: seen.append((wait, list(run.slept))))
    run()
    assert [(wait.provider, wait.model, wait.seconds, wait.attempt) for wait, _ in seen] == [
        ("test", "model-1", 0.5, 1),
        ("test", "model-1", 2.0, 2),
    ]
    assert [slept for _, slept in seen] == [[], [0.5]]
    assert [type(wait.error) for wait, _ in seen] == [ServerError, RateLimitError]


def test_a_hook_that_raises_is_logged_and_ends_nothing(caplog):
    def hook(wait):
        raise LookupError("in the hook")

    run = Run(ServerError("x"), hook=hook)
    assert run() == "opened"
    assert "in the hook" in caplog.text


def test_a_wait_is_logged(caplog):
    caplog.set_level(logging.INFO, "aichatkit")
    Run(RateLimitError("x", retry_after=5.0))()
    assert "rate limited by test, waiting 5.5 s" in caplog.text


# The policy.


@pytest.mark.parametrize(("value", "attempts"), [(None, 3), (0, 1), (2, 3), (RetryPolicy(attempts=5), 5)])
def test_a_user_may_pass_a_number_of_retries(value, attempts):
    assert RetryPolicy.of(value).attempts == attempts


@pytest.mark.parametrize("value", [-1, 1.5, True, "2", object()])
def test_another_value_is_refused(value):
    with pytest.raises(ConfigurationError, match="retry"):
        RetryPolicy.of(value)


@pytest.mark.parametrize(
    "field",
    [
        {"attempts": 0},
        {"attempts": 1.5},
        {"attempts": True},
        {"ambiguous": 0.5},
        {"budget": -1},
        {"base": -0.1},
        {"base": "1"},
        {"cap": float("nan")},
        {"max_wait": float("inf")},
        {"max_wait": 1e9},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(field):
    with pytest.raises(ConfigurationError, match=next(iter(field))):
        RetryPolicy(**field)


def test_a_policy_keeps_its_tools_out_of_its_repr():
    assert repr(RetryPolicy(sleep=print)) == repr(RetryPolicy())


def test_the_clock_of_the_policy_is_the_one_that_counts():
    assert RetryPolicy(clock=lambda: 7.0).now() == 7.0
    assert RetryPolicy().now() > 0


# The retry budget.


def server_error(**fields):
    return ServerError("boom", **fields)


def test_four_failing_calls_on_a_small_budget_draw_twice():
    budget = RetryBudget(25)
    assert [budget.draw(server_error()) for _ in range(4)] == [10, 10, 0, 0]


def test_a_retry_that_may_repeat_work_costs_double():
    budget = RetryBudget(30)
    assert budget.draw(server_error(maybe_processed=True)) == 20
    assert budget.draw(server_error(maybe_processed=True)) == 0
    assert budget.draw(server_error()) == 10


def test_what_a_retry_drew_comes_back_when_it_works():
    budget = RetryBudget(10)
    budget.refund(budget.draw(server_error()))
    assert budget.draw(server_error()) == 10


def test_a_call_that_needed_no_retry_earns_one_up_to_the_capacity():
    budget = RetryBudget(10)
    budget.draw(server_error())
    for _ in range(9):
        budget.refund(0)
    assert budget.draw(server_error()) == 0
    for _ in range(50):
        budget.refund(0)
    assert [budget.draw(server_error()), budget.draw(server_error())] == [10, 0]


def test_a_budget_out_of_a_pickle_is_full():
    budget = RetryBudget(10)
    budget.draw(server_error())
    assert pickle.loads(pickle.dumps(budget)).draw(RateLimitError("slow")) == 10


def test_a_budget_is_not_overdrawn_by_many_threads():
    budget = RetryBudget(100)
    with ThreadPoolExecutor(30) as threads:
        drawn = list(threads.map(lambda _: budget.draw(server_error()), range(30)))
    assert sum(drawn) == 100
