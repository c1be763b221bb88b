"""Parameters of a call -> those that its model takes, and what had to change for that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aichatkit._dataclasses import NamedTuple
from aichatkit.catalog.efforts import budget_for, clamp, fit_budget, with_effort
from aichatkit.catalog.layers import Record

__all__ = ["Adapted", "Change", "adapt"]

_SAMPLING = ("temperature", "top_p", "top_k")
#: What else models of a service refuse if they refuse sampling parameters.
_ALSO_REFUSED = {
    "openai": ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
    "moonshot": ("presence_penalty", "frequency_penalty"),
}
#: The values that mean the same as leaving the parameter out.
_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logprobs": False}
#: Forms of thinking at Anthropic that can be combined with some sampling parameters.
_OPTIONAL_THINKING = ("budget", "budget effort", "adaptive")


class Change(NamedTuple):
    """A parameter that is not sent as requested: what it is about, why, and what is done instead."""

    topic: str
    problem: str
    remedy: str


class Adapted(NamedTuple):
    """The parameters that are sent.

    `hide_thoughts` is set if the caller wants no reasoning, although the model may not be able to switch it off.
    """

    params: dict[str, Any]
    changes: list[Change]
    hide_thoughts: bool
    record: Record


def adapt(
    params: Mapping[str, Any], record: Record, *, service: str, model: str, supported: Collection[str]
) -> Adapted:
    """Return the parameters that a model takes.

    >>> found = adapt({"max_tokens": 9000}, {"max_out": 8000}, service="x", model="m", supported=["max_tokens"])
    >>> found.params, found.changes[0].problem
    ({'max_tokens': 8000}, 'writes at most 8,000 tokens, fewer than max_tokens=9000')
    """
    sent, changes = dict(params), list[Change]()
    effort = params.get("reasoning_effort")
    if effort is not None or "no_sampling" in record:
        record = with_effort(record, service, model)
    if effort is not None:
        changes += _adapt_effort(sent, record, supported)
    changes += _limit_length(sent, record)
    changes += _check_budget(sent, record, service)
    changes += _drop_sampling(sent, record, service, supported)
    if service == "anthropic":
        changes += _drop_while_thinking(sent, record, service)
    return Adapted(sent, changes, effort == "none", record)


def _adapt_effort(sent: dict[str, Any], record: Record, supported: Collection[str]) -> list[Change]:
    effort, thinking = sent["reasoning_effort"], record.get("thinking")
    if "reasoning_effort" not in supported or not record["effort"]:
        del sent["reasoning_effort"]
        return [Change("reasoning_effort", "does not take reasoning_effort", "it is left out")]
    if effort == "none" and thinking == "between_tools":
        # It is not off, but the model does not think before it answers.
        return []
    sent["reasoning_effort"] = clamp(effort, record)
    efforts = record["effort"].split()
    if effort in efforts:
        return []
    if thinking == "switch":
        takes, remedy = "it can only reason or not", "it reasons"
    else:
        takes = f"it takes {_listed([repr(name) for name in efforts], 'and')}"
        remedy = f"{sent['reasoning_effort']!r} is sent"
    return [Change("reasoning_effort", f"does not take reasoning_effort={effort!r} ({takes})", remedy)]


def _limit_length(sent: dict[str, Any], record: Record) -> list[Change]:
    max_tokens, limit = sent.get("max_tokens"), record.get("max_out")
    if max_tokens is None or limit is None or max_tokens <= limit:
        return []
    sent["max_tokens"] = limit
    problem = f"writes at most {limit:,} tokens, fewer than max_tokens={max_tokens}"
    return [Change("max_tokens", problem, f"max_tokens={limit} is sent")]


def _check_budget(sent: dict[str, Any], record: Record, service: str) -> list[Change]:
    max_tokens = sent.get("max_tokens")
    if max_tokens is None or _thinks(sent, record, service) or sent.get("reasoning_effort", "none") == "none":
        return []
    lowest = clamp("none", record)
    if sent["reasoning_effort"] == lowest:
        return []
    sent["reasoning_effort"] = lowest
    remedy = "it does not think" if lowest == "none" else f"reasoning_effort={lowest!r} is sent"
    return [Change("reasoning_effort", f"has no room to think within max_tokens={max_tokens}", remedy)]


def _thinks(sent: Mapping[str, Any], record: Record, service: str) -> bool:
    """Return whether the call asks the model to think, and leaves tokens for it."""
    effort = sent.get("reasoning_effort", "none")
    if effort == "none":
        return False
    if not record.get("thinking", "").startswith("budget") and service not in ("dashscope", "cohere"):
        return True
    budget = budget_for(effort, record, service)
    return budget is None or fit_budget(budget, sent.get("max_tokens")) > 0


def _drop_sampling(sent: dict[str, Any], record: Record, service: str, supported: Collection[str]) -> list[Change]:
    if not record.get("no_sampling") or (service == "openai" and not _reasons(sent, record)):
        return []
    refused = [name for name in (*_SAMPLING, *_ALSO_REFUSED.get(service, ())) if name in supported]
    unless = " unless reasoning_effort='none'" if service == "openai" and "none" in record["effort"].split() else ""
    return _drop(sent, refused, "sampling", f"does not take {_listed(refused, 'or')}{unless}")


def _reasons(sent: Mapping[str, Any], record: Record) -> bool:
    """Return whether a model of OpenAI is known to reason in a call: they take sampling parameters if they do not."""
    effort = sent.get("reasoning_effort", record.get("effort_default"))
    return effort != "none" if effort is not None else "none" not in record["effort"].split()


def _drop_while_thinking(sent: dict[str, Any], record: Record, service: str) -> list[Change]:
    if record.get("thinking") not in _OPTIONAL_THINKING:
        return []
    changes = []
    if _thinks(sent, record, service):
        refused = ["temperature", "top_k", *(["top_p"] if not 0.95 <= sent.get("top_p", 1) <= 1 else [])]
        changes = _drop(sent, refused, "thinking", f"does not take {_listed(refused, 'or')} while it thinks")
    if "temperature" in sent and "top_p" in sent:
        changes += _drop(sent, ["top_p"], "top_p", "does not take temperature and top_p together")
    return changes


def _drop(sent: dict[str, Any], refused: Collection[str], topic: str, problem: str) -> list[Change]:
    """Remove parameters; report only those that would have had an effect."""
    dropped = [name for name in refused if name in sent]
    worth = [name for name in dropped if name not in _DEFAULTS or sent[name] != _DEFAULTS[name]]
    for name in dropped:
        del sent[name]
    verb = "is" if len(worth) == 1 else "are"
    return [Change(topic, problem, f"{_listed(worth, 'and')} {verb} left out")] if worth else []


def _listed(names: Collection[str], conjunction: str) -> str:
    """Return names as a phrase.

    >>> _listed(["a"], "or"), _listed(["a", "b", "c"], "or")
    ('a', 'a, b or c')
    """
    *most, last = names
    return f"{', '.join(most)} {conjunction} {last}" if most else last
