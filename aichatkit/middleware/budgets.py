"""Call -> answer within a budget: a limit on what a client or a batch run spends, in US dollars or tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

from aichatkit._dataclasses import replace
from aichatkit._locks import Lock
from aichatkit.call.call import Call
from aichatkit.errors import BudgetExceededError, ChatError, ConfigurationError
from aichatkit.middleware.estimates import Expense, check_priced, estimate_partial, expected_expense, highest_cost
from aichatkit.params import is_number
from aichatkit.reply import Reply

if TYPE_CHECKING:
    from aichatkit.call.answer import Answer
    from aichatkit.call.answer_like import AnswerLike

__all__ = ["Budget", "Reservation", "expense_of", "within_budget"]


class Reservation(Expense):
    """What a budget reserves for a call; `is_bound` is False if the answer may cost more."""

    is_bound: bool = True

    @classmethod
    def of(cls, amount: Expense, *, is_bound: bool) -> Reservation:
        """Return the reservation of an amount."""
        reservation = cls(*amount)
        reservation.is_bound = is_bound
        return reservation


class Budget:
    """A limit on money or tokens that many threads spend; calls in progress reserve what they may cost.

    A call reserves the most it may cost if that fits. If not, it reserves its expected cost, or the cost of the
    most expensive call so far if that is more, and is the only one in progress that may cost more than it reserved:
    so at most one answer exceeds the limit.
    """

    def __init__(self, money: Any = None, tokens: Any = None) -> None:
        self.money = _parse_limit(money, "budget")
        self.tokens = _parse_limit(tokens, "max_tokens_total")
        self._spent = Expense()
        self._reserved = Expense()
        self._largest = Expense()
        self._has_unbound = False
        self._lock = Lock()

    def __bool__(self) -> bool:
        return self.money is not None or self.tokens is not None

    @property
    def spent(self) -> Expense:
        """What has been spent."""
        return self._spent

    @property
    def reserved(self) -> Expense:
        """What is reserved for calls and jobs in progress."""
        return self._reserved

    def reserve(self, amount: Expense, highest: float = 0.0) -> Expense | None:
        """Reserve what a call may cost and return it; None if it does not fit.

        `amount` is its expected cost, `highest` the most money it may cost if that is more.
        """
        with self._lock:
            needed = amount.at_least(self._largest)
            highest_needed = needed.at_least(Expense(money=highest))
            if self._fits(highest_needed):
                reservation = Reservation.of(highest_needed, is_bound=True)
            elif self._fits(needed) and not self._has_unbound:
                reservation = Reservation.of(needed, is_bound=False)
                self._has_unbound = True
            else:
                return None
            self._reserved = self._reserved.plus(reservation)
            return reservation

    def hold(self, most: Expense) -> None:
        """Reserve exactly the most that a batch job may cost, whether or not it fits: the job may be running."""
        with self._lock:
            self._reserved = self._reserved.plus(most)

    def count(self, held: Expense, spent: Expense) -> None:
        """Replace what was held for a batch job, or for none, by what was spent."""
        with self._lock:
            money = max(0.0, self._reserved.money - held.money)
            self._reserved = Expense(money, max(0, self._reserved.tokens - held.tokens))
            self._spent = spent.plus(self._spent)

    def settle(self, reserved: Expense, spent: Expense) -> None:
        """Replace what was reserved by what was spent."""
        with self._lock:
            # A rounding error that remains must not count as a call in progress.
            money = self._reserved.money - reserved.money
            tokens = self._reserved.tokens - reserved.tokens
            self._reserved = Expense(money if tokens > 0 else 0.0, tokens)
            if isinstance(reserved, Reservation) and not reserved.is_bound:
                self._has_unbound = False
            self._spent = self._spent.plus(spent)
            self._largest = self._largest.at_least(spent)

    def is_exceeded_by(self, amount: Expense) -> bool:
        """Return whether what has been spent and `amount` exceed the limit."""
        total = self._spent.plus(amount)
        return _exceeds(total.money, self.money) or _exceeds(total.tokens, self.tokens)

    def exceeded(self) -> BudgetExceededError:
        """Return the error for a call that no longer fits."""
        amounts = []
        if self.money is not None:
            amounts.append(f"{self._spent.money:.4f} of {self.money:g} US dollars")
        if self.tokens is not None:
            amounts.append(f"{self._spent.tokens} of {self.tokens:g} tokens")
        reserved = self._reserved.money if self.money is not None else 0.0
        hint = f", and {reserved:.4f} reserved for calls in progress; max_tokens= reserves less" if reserved else ""
        return BudgetExceededError(f"not sent: the budget could be exceeded, with {' and '.join(amounts)} spent{hint}")

    def _fits(self, amount: Expense) -> bool:
        return not self.is_exceeded_by(self._reserved.plus(amount))

    def __getstate__(self) -> dict[str, Any]:
        # Calls in progress here are not in progress in the process that loads this.
        return {**self.__dict__, "_lock": None, "_reserved": Expense(), "_has_unbound": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())


def within_budget(call: Call, open_next: Callable[[Call], AnswerLike]) -> AnswerLike:
    """Open an answer within the client's budget, and count its cost when it has ended.

    An answer that is closed early counts as its prompt and the text received; one that breaks off counts as at least
    its expected cost. A call with tools goes on to its next round only while the budget is not exceeded.

    Raises:
        BudgetExceededError: the call could exceed the budget; nothing was sent.
    """
    budget = call.context.budget
    assert budget is not None
    check_priced(call)
    expected = expected_expense(call)
    reserved = budget.reserve(expected, highest_cost(call))
    if reserved is None:
        raise budget.exceeded()
    opened: list[Answer] = []
    failures: list[ChatError] = []

    def on_answer(answer: Answer) -> None:
        opened.append(answer)
        answer.when_failed(failures.append)

    def before_round() -> None:
        if budget.is_exceeded_by(_spent_so_far(call, opened, expected)):
            raise budget.exceeded()

    def on_closed(reply: Reply | None) -> None:
        spent = _spent_so_far(call, opened, expected) if reply is None else expense_of(reply, _estimate(call, reply))
        budget.settle(reserved, spent.at_least(expected) if failures else spent)
        # An error holds the frames it passed through, which hold these.
        opened.clear()
        failures.clear()

    try:
        answer = open_next(replace(call, on_answer=on_answer, before_round=before_round))
    except ChatError as error:
        budget.settle(reserved, expected if error.maybe_processed or error.partial else Expense())
        raise
    answer.when_closed(on_closed)
    return answer


def _estimate(call: Call, reply: Reply) -> Expense:
    """Return the expected cost of a reply, estimated from its text if the service does not report tokens."""
    expected = expected_expense(call)
    if reply.cost is not None:
        return expected
    return expected.at_least(estimate_partial(call, reply.reasoning + reply.text))


def expense_of(reply: Reply, expected: Expense) -> Expense:
    """Return the cost of a reply; what the service does not report counts as expected."""
    tokens = reply.usage.total_tokens
    return Expense(expected.money if reply.cost is None else reply.cost, expected.tokens if tokens is None else tokens)


def _spent_so_far(call: Call, opened: list[Answer], expected: Expense) -> Expense:
    """Return the cost of the answers of a call that has not finished, as far as it is known."""
    replies = [answer.reply for answer in opened if answer.reply is not None]
    spent = Expense()
    for reply in replies:
        spent = spent.plus(expense_of(reply, expected))
    last = opened[-1]
    text = "" if last.reply is not None else last.reasoning + last.text
    if text or not replies:
        spent = spent.plus(estimate_partial(call, text))
    return spent


def _exceeds(amount: float, limit: float | None) -> bool:
    return limit is not None and amount > limit


def _parse_limit(value: Any, name: str) -> float | None:
    if value is not None and not (is_number(value) and value < math.inf):
        raise ConfigurationError(f"{name}: must be a number of at least 0, not {value!r}")
    return value  # type: ignore[no-any-return]
