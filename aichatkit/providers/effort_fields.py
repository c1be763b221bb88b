"""Reasoning effort -> fields of the request body, in the form that each protocol and service has for it."""

from __future__ import annotations

from typing import Any, Callable

from aichatkit.catalog.efforts import budget_for, clamp, fit_budget, with_effort
from aichatkit.catalog.layers import Record
from aichatkit.providers.base import Options, Provider
from aichatkit.providers.request_bodies import DEFAULT_MAX_TOKENS

__all__ = ["STYLES", "effort_fields", "rules_of", "service_of"]

_EFFORT = "output_config.effort"
#: Services whose name people also use for other servers that speak the same protocol.
_GENERIC = frozenset({"openai", "openai-responses", "azure"})

Fields = dict[str, Any]


def service_of(provider: Provider, record: Record) -> str:
    """Return whose models a provider has; empty for an unknown model on another server than the service's own."""
    if provider.name in _GENERIC and not record and provider.url != type(provider).url:
        return ""
    return provider.priced_as or provider.name


def rules_of(provider: Provider, model: str, record: Record) -> Record:
    """Return what is known or assumed about a model, including the efforts that it takes."""
    return with_effort(record, service_of(provider, record), model)


def effort_fields(provider: Provider, model: str, options: Options) -> Fields:
    """Return the fields that request the reasoning effort of a call, by their path in the body."""
    effort, path = options.params.get("reasoning_effort"), provider.params.get("reasoning_effort")
    if effort is None or path is None:
        return {}
    rules = rules_of(provider, model, options.record)
    if not rules["effort"]:
        return {}
    return STYLES[provider.effort_style](path, effort, rules, options)


def _field(path: str, effort: str, rules: Record, options: Options) -> Fields:
    if rules.get("thinking") == "budget" and effort != "none":
        # Some models at Fireworks take a number of tokens instead of a level.
        return {path: _budget(effort, rules, options, "fireworks")}
    return {path: effort}


def _responses(path: str, effort: str, rules: Record, options: Options) -> Fields:
    return {path: effort, **({"reasoning.summary": "auto"} if _shows(effort, options) else {})}


def _groq(path: str, effort: str, rules: Record, options: Options) -> Fields:
    # It refuses `reasoning_format` together with `include_reasoning`.
    shows = _shows(effort, options) and "include_reasoning" not in options.extra
    return {path: effort, **({"reasoning_format": "parsed"} if shows else {})}


def _switch(path: str, effort: str, rules: Record, options: Options) -> Fields:
    """DeepSeek, Moonshot and Z.ai: a switch, a level, or both."""
    thinking, fields = rules.get("thinking"), Fields()
    if thinking != "level":
        fields["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
    if thinking == "level" or (thinking != "switch" and effort != "none"):
        fields[path] = effort
    return fields


def _qwen(path: str, effort: str, rules: Record, options: Options) -> Fields:
    budget = _budget(effort, rules, options, "dashscope")
    return {"enable_thinking": budget != 0, **({"thinking_budget": budget} if budget else {})}


def _cohere(path: str, effort: str, rules: Record, options: Options) -> Fields:
    budget = _budget(effort, rules, options, "cohere")
    return {"thinking": {"type": "enabled", "token_budget": budget} if budget else {"type": "disabled"}}


def _ollama(path: str, effort: str, rules: Record, options: Options) -> Fields:
    return {path: effort != "none" if rules.get("thinking") == "switch" or effort == "none" else effort}


def _gemini(path: str, effort: str, rules: Record, options: Options) -> Fields:
    # A budget and a level together are refused.
    level = clamp(effort, rules)
    fields: Fields = {f"{path}.thinkingLevel": level.upper()}
    if rules.get("thinking") == "budget":
        lowest = 0 if "none" in rules["effort"].split() else budget_for("minimal", rules, "gemini")
        fields = {f"{path}.thinkingBudget": _budget(level, rules, options, "gemini") or lowest}
    return {**fields, **({f"{path}.includeThoughts": True} if _shows(effort, options) and any(fields.values()) else {})}


def _anthropic(path: str, effort: str, rules: Record, options: Options) -> Fields:
    form = rules.get("thinking", "adaptive")
    if form.startswith("budget"):
        return _anthropic_budget(form, effort, rules, options)
    shown = {"display": "summarized"} if rules.get("hides_thoughts") else {}
    thinks: Fields = {"thinking": {"type": "adaptive", **shown}, _EFFORT: effort}
    if _shows(effort, options):
        return thinks
    # Forms without thinking before the answer; a model that always thinks does so at its lowest effort.
    forms: dict[str, Fields] = {
        "on": {"thinking": {"type": "disabled"}},
        "between_tools": {"thinking": {"type": "between_tools"}, _EFFORT: "low"},
        "always": {_EFFORT: "low"},
    }
    return forms.get(form, {})


def _anthropic_budget(form: str, effort: str, rules: Record, options: Options) -> Fields:
    budget = _budget(effort, rules, options, "anthropic", default=rules.get("max_out", DEFAULT_MAX_TOKENS))
    fields: Fields = {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget else {}
    if form == "budget effort" and effort != "none":
        fields[_EFFORT] = clamp(effort, {"effort": "low medium high"})
    return fields


def _budget(effort: str, rules: Record, options: Options, service: str, *, default: int | None = None) -> int | None:
    budget = budget_for(effort, rules, service)
    return budget if budget is None else fit_budget(budget, options.params.get("max_tokens", default))


def _shows(effort: str, options: Options) -> bool:
    """Return whether the caller wants reasoning, and therefore the thoughts that a service hides by default."""
    return effort != "none" and not options.hide_thoughts


STYLES: dict[str, Callable[[str, str, Record, Options], Fields]] = {
    "": _field,
    "responses": _responses,
    "groq": _groq,
    "switch": _switch,
    "qwen": _qwen,
    "cohere": _cohere,
    "ollama": _ollama,
    "gemini": _gemini,
    "anthropic": _anthropic,
}
