"""What a run or a client may spend: money by the price table, and tokens."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from aichatkit._locks import Lock
from aichatkit.errors import BudgetExceededError, ConfigurationError
from aichatkit.reply import Reply

__all__ = ["Budget", "Expense", "expense_of"]


class Expense(NamedTuple):
    """What an answer takes, or is expected to take."""

    money: float = 0.0
    tokens: int = 0

    def plus(self, other: Expense) -> Expense:
        """Return both together."""
        return Expense(self.money + other.money, self.tokens + other.tokens)

    def at_least(self, other: Expense) -> Expense:
        """Return the larger of each."""
        return Expense(max(self.money, other.money), max(self.tokens, other.tokens))


class Budget:
    """Money and tokens that many threads spend; what is under way is held back.

    A row is taken to cost what is expected of it, or as much as the dearest one before.
    """

    def __init__(self, money: Any = None, tokens: Any = None) -> None:
        self.money = _check(money, "budget")
        self.tokens = _check(tokens, "max_tokens_total")
        self._spent = Expense()
        self._held = Expense()
        self._dearest = Expense()
        self._lock = Lock()

    def __bool__(self) -> bool:
        return self.money is not None or self.tokens is not None

    @property
    def spent(self) -> Expense:
        """What was spent so far."""
        return self._spent

    def hold(self, expected: Expense) -> Expense | None:
        """Hold back what a row may cost and return it; None where that does not fit."""
        with self._lock:
            needed = expected.at_least(self._dearest)
            held = self._held.plus(needed)
            whole = held.plus(self._spent)
            if _passes(whole.money, self.money) or _passes(whole.tokens, self.tokens):
                return None
            self._held = held
            return needed

    def settle(self, held: Expense, spent: Expense) -> None:
        """Replace what was held back by what was spent."""
        with self._lock:
            # Rounding leaves crumbs behind, which must not count as something under way.
            left = self._held.money - held.money
            self._held = Expense(left if self._held.tokens > held.tokens else 0.0, self._held.tokens - held.tokens)
            self._spent = self._spent.plus(spent)
            self._dearest = self._dearest.at_least(spent)

    def exceeded(self) -> BudgetExceededError:
        """Return the error for what does not fit any more."""
        told = []
        if self.money is not None:
            told.append(f"{self._spent.money:.4f} of {self.money:g} US dollars")
        if self.tokens is not None:
            told.append(f"{self._spent.tokens} of {self.tokens:g} tokens")
        return BudgetExceededError(f"not asked: the budget could be passed, with {' and '.join(told)} spent")

    def __getstate__(self) -> dict[str, Any]:
        # What is under way here is not under way there.
        return {**self.__dict__, "_lock": None, "_held": Expense()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock())


def expense_of(reply: Reply, held: Expense) -> Expense:
    """Return what an answer took; what the service does not tell counts as it was expected."""
    tokens = reply.usage.total_tokens
    return Expense(held.money if reply.cost is None else reply.cost, held.tokens if tokens is None else tokens)


def _passes(amount: float, limit: float | None) -> bool:
    return limit is not None and amount > limit


def _check(value: Any, name: str) -> float | None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    if value is not None and not fits:
        raise ConfigurationError(f"{name}: must be a number from 0 on, not {value!r}")
    return value  # type: ignore[no-any-return]
