"""What rows of batch jobs cost: the batch price of the catalog, else the share that the service documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aichatkit._dataclasses import replace
from aichatkit.batch_jobs.protocols import find_protocol
from aichatkit.call.call import Call
from aichatkit.call.cost import Charge, charge_of, cost_at, utc_now
from aichatkit.call.targets import Target
from aichatkit.catalog.models import Catalog
from aichatkit.catalog.tokens import count_call
from aichatkit.chunks import Bill, Usage
from aichatkit.errors import ConfigurationError
from aichatkit.middleware.estimates import ANSWER_TOKENS, Estimate, Expense
from aichatkit.providers.base import Provider

__all__ = ["batch_charge", "check_priced", "estimate_jobs", "highest_expense"]

#: The highest fees that a request may have.
_BATCH = Bill(tier="batch", search_size="high")
#: What counts of an estimated input may fall short, as a factor.
_MARGIN = 1.1


def batch_charge(
    provider: Provider, models: Sequence[str], usage: Usage, catalog: Catalog, bill: Bill, factor: float | None
) -> Charge:
    """Return the charge for the answer of a row; `factor` applies if the catalog has no batch price."""
    now = utc_now()
    charge = charge_of(provider, models, usage, catalog, bill._replace(tier="batch"), at=now)
    if charge.cost is not None or factor is None:
        return charge
    usual = charge_of(provider, models, usage, catalog, bill._replace(tier=""), at=now)
    return Charge(*(None if amount is None else amount * factor for amount in usual))


def highest_expense(call: Call, target: Target, *, is_marked: bool = False) -> Expense:
    """Return the most that a row may use: the price of its prompt and of the longest answer that its limit allows.

    With `is_marked`, the prompt may be written to the cache for longer than usual.
    """
    most = call.options.params.get("max_tokens") or 0
    prompt = round(count_call(call.messages, call.options, target.model) * _MARGIN) + 1
    usage = Usage(prompt, most, prompt + most, reasoning_tokens=most)
    provider, record = call.context.provider(target.provider), call.context.record(target) or {}
    if record.get("write") and (provider.writes_cache or is_marked):
        usage = replace(usage, cache_write_tokens=prompt)
    bill = _BATCH._replace(long_writes=prompt) if is_marked else _BATCH
    return Expense(_cost(call, target, usage, bill) or 0.0, prompt + most)


def check_priced(call: Call, target: Target) -> None:
    """Raise ConfigurationError if a budget cannot bound what a job costs; nothing is sent."""
    if _cost(call, target, Usage(1, 1)) is None:
        name = f"{target.provider.name}/{target.model}"
        raise ConfigurationError(
            f"budget: the batch price of {name} is not known; pass prices={{{name!r}: {{'input': ..., 'output': ..., "
            "'batch': 0.5}}"
        )


def estimate_jobs(calls: Iterable[Call], target: Target) -> Estimate:
    """Return what the rows of jobs are expected to use, as `estimate_calls` does at the usual price."""
    count = input_tokens = output_tokens = 0
    total: float | None = 0.0
    for call in calls:
        if call.expect is None:
            requests, prompt = 1, count_call(call.messages, call.options, target.model)
            answer = call.options.params.get("max_tokens") or ANSWER_TOKENS
        else:
            requests, prompt, answer, _ = call.expect(call, target)
        cost = _cost(call, target, Usage(prompt, answer, prompt + answer), Bill(tier="batch", search_size="low"))
        count, input_tokens, output_tokens = count + requests, input_tokens + prompt, output_tokens + answer
        total = None if total is None or cost is None else total + cost
    return Estimate(count, input_tokens, output_tokens, total)


def _cost(call: Call, target: Target, usage: Usage, bill: Bill = _BATCH) -> float | None:
    provider, catalog = call.context.provider(target.provider), call.context.catalog
    cost = cost_at(provider, target.model, usage, catalog, bill)
    factor = find_protocol(target.provider).price_factor
    if cost is None and factor is not None:
        usual = cost_at(provider, target.model, usage, catalog, bill._replace(tier=""))
        cost = None if usual is None else usual * factor
    return cost
