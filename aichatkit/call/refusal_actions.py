"""Changes to a request body after a refusal, and the sentences that warn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from aichatkit.call.refused_fields import (
    BUDGET,
    BUDGETS,
    CACHE_FIELDS,
    LEVEL,
    LEVELS,
    THINKING,
    Body,
    get,
    pop_field,
    set_field,
)
from aichatkit.catalog.efforts import budget_for, fit_budget
from aichatkit.params import EFFORTS

__all__ = ["ACTIONS", "BECOMES_BUDGET", "LOSSES", "SENTENCES"]

#: Fields whose effort becomes a budget when it is left out.
BECOMES_BUDGET = (LEVEL, "output_config.effort")

_SCALE = EFFORTS[1:]
#: Tokens of reasoning if the effort is not one of ours, and instead of a budget of 0 that the model refuses.
_USUAL_BUDGET, _LEAST_BUDGET = 8192, 512

#: The effect of leaving a parameter out, if it is not obvious.
LOSSES = {
    "stop": "; the stop words no longer end the answer",
    "stream_options": "; streams may not report their usage",
    "response_format": "; the answer may be in another format",
}
SENTENCES = {
    "rename": "takes {to!r} instead of {path!r}, so that name is sent",
    "at_most": "takes at most {to} for {param!r}, so that is sent",
    "at_least": "takes no less than {to} for {param!r}, so that is sent",
    "first": "takes at most {to} stop words, so only the first {to} are sent; the others no longer end the answer",
    "one_of": "takes only {to} for {param!r}, so the nearest of them is sent",
    "not_value": "does not take {to!r} for {param!r}, so the nearest value is sent",
    "auto": "cannot be forced to call a tool here, so 'tool_choice' is \"auto\"",
    "in_words": "does not take a schema, so the prompt asks for it in words",
    "off": "does not reason while it has tools, so 'reasoning_effort' is \"none\"; openai-responses may take both",
    "no_thinking": "reasons only in a stream, so its reasoning is off here",
    "adaptive": "takes no budget for its reasoning, so it chooses one by the effort",
    "leave_budget": "takes an effort or a budget for its reasoning and not both, so the effort is sent",
    "budget": "takes a budget for its reasoning and no effort, so one is sent if it fits the request",
    "leave_empty": "does not take tools, so their empty list is not sent",
}


def _leave_out(body: Body, path: str, to: Any) -> bool:
    if to is not None and get(body, f"{path}.type") != to:
        return False
    if path in CACHE_FIELDS:
        return sum(_strip_everywhere(body, name) for name in CACHE_FIELDS[path]) > 0
    if path == "output_config.effort":
        return _effort_to_budget(body, path)
    if path == LEVEL and get(body, path) is not None:
        budget = budget_for(str(get(body, path)).lower(), {}, "gemini")
        pop_field(body, path)
        set_field(body, BUDGET, _USUAL_BUDGET if budget is None else budget)
        return True
    if path == "reasoning_effort":
        # Groq and others show reasoning if a separate field requests it, which is refused as well.
        body.pop("reasoning_format", None)
    if path == "reasoning.effort":
        pop_field(body, "reasoning.summary")
    removed = pop_field(body, path)
    if path.endswith("responseLogprobs"):
        pop_field(body, "generationConfig.logprobs")
    return removed


def _effort_to_budget(body: Body, path: str) -> bool:
    effort = get(body, path)
    if effort is None:
        return False
    pop_field(body, path)
    thinking = body.get("thinking")
    # A budget excludes some sampling parameters and forced tools: then the effort just goes.
    if thinking is None and any(
        body.get(name) is not None for name in ("temperature", "top_k", "top_p", "tool_choice")
    ):
        return True
    if thinking is None or thinking.get("type") == "adaptive":
        body.pop("thinking", None)
        _set_budget(body, effort)
    return True


def _set_budget(body: Body, effort: str) -> None:
    budget = fit_budget(budget_for(effort, {}, "anthropic") or 0, body.get("max_tokens", 0))
    if budget:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _budget(body: Body, path: str, to: Any) -> bool:
    if path != "thinking" or get(body, "thinking.type") != "adaptive":
        return False
    del body["thinking"]
    _set_budget(body, get(body, "output_config.effort") or "high")
    pop_field(body, "output_config.effort")
    return True


def _adaptive(body: Body, path: str, to: Any) -> bool:
    budget = get(body, "thinking.budget_tokens")
    if path != "thinking" or budget is None:
        return False
    body["thinking"] = {"type": "adaptive"}
    if get(body, "output_config.effort") is None:
        fits = [effort for effort in _SCALE[1:4] if (budget_for(effort, {}, "anthropic") or 0) <= budget]
        set_field(body, "output_config.effort", fits[-1] if fits else "low")
    return True


def _strip_everywhere(body: Body, name: str) -> bool:
    stripped = _without(body, name)
    changed: bool = stripped != body
    body.clear()
    body.update(stripped)
    return changed


def _without(value: Any, name: str) -> Any:
    """Return a copy without the fields of a name: the body shares objects with the caller's."""
    if isinstance(value, dict):
        return {key: _without(item, name) for key, item in value.items() if key != name}
    return [_without(item, name) for item in value] if isinstance(value, list) else value


def _rename(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    if value is None or get(body, to) is not None:
        return False
    pop_field(body, path)
    if to == "text.format" and isinstance(value, Mapping) and isinstance(value.get("json_schema"), Mapping):
        value = {"type": "json_schema", **value["json_schema"]}
    set_field(body, to, value)
    return True


def _bound(body: Body, path: str, choose: Callable[[int], int]) -> bool:
    changed = False
    for place in (path, *BUDGETS) if path in THINKING else (path,):
        value = get(body, place)
        if isinstance(value, int) and not isinstance(value, bool) and choose(value) != value:
            set_field(body, place, choose(value))
            changed = True
    return changed


def _at_most(body: Body, path: str, to: Any) -> bool:
    return _bound(body, path, lambda value: min(value, to))


def _at_least(body: Body, path: str, to: Any) -> bool:
    return _bound(body, path, lambda value: max(value, to))


def _first(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    if not isinstance(value, (list, tuple)) or len(value) <= to:
        return False
    set_field(body, path, list(value[:to]))
    return True


def _one_of(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    if not isinstance(value, str) or value.lower() in {each.lower() for each in to}:
        return False
    set_field(body, path, _nearest(value.lower(), to))
    return True


def _nearest(effort: str, taken: Sequence[str]) -> str:
    """Return the next lower value that is taken, else the lowest: rounding up costs money.

    "none" switches reasoning off: only "minimal" becomes "none", and only if the one other value is "high".
    """
    names = {each.lower(): each for each in taken}
    if effort == "minimal" and set(names) == {"none", "high"}:
        return names["none"]
    levels = [level for level in _SCALE if level in names]
    if not levels:
        return taken[-1] if effort != "none" else taken[0]
    place = _SCALE.index(effort) if effort in _SCALE else -1
    return names[next((level for level in reversed(levels) if _SCALE.index(level) <= place), levels[0])]


def _not_value(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    if to == "none" and path in THINKING and _think_after_all(body):
        return True
    if not isinstance(value, str) or value.lower() != to:
        return False
    nearest = _nearest(to, [level for level in _SCALE[1:] if level != to])
    set_field(body, path, True if path == "think" else nearest.upper() if value.isupper() else nearest)
    return True


def _think_after_all(body: Body) -> bool:
    """Undo what switches reasoning off, other than an effort."""
    if get(body, BUDGET) == 0:
        set_field(body, BUDGET, _LEAST_BUDGET)
        return True
    is_off = body.get("enable_thinking") is False, body.get("think") is False, get(body, "thinking.type") == "disabled"
    for name in (name for name, off in zip(("enable_thinking", "think", "thinking"), is_off) if off):
        del body[name]
    return any(is_off)


def _auto(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    choice_type = value.get("type") if isinstance(value, Mapping) else value
    if value is None:
        return False
    if path != "tool_choice" or choice_type in ("any", "tool"):
        rest = {name: each for name, each in value.items() if name != "name"} if isinstance(value, Mapping) else {}
        set_field(body, path, {**rest, "type": "auto"} if rest else "AUTO")
        return True
    # Left out, it is "auto".
    return pop_field(body, path)


def _in_words(body: Body, path: str, to: Any) -> bool:
    # Done before the body is built.
    return False


def _off(body: Body, path: str, to: Any) -> bool:
    if not path or not body.get("tools") or get(body, path) == "none":
        return False
    set_field(body, path, "none")
    return True


def _no_thinking(body: Body, path: str, to: Any) -> bool:
    for name in ("thinking_budget", "reasoning_effort"):
        body.pop(name, None)
    changed = body.get("enable_thinking") is not False
    body["enable_thinking"] = False
    return changed


def _leave_empty(body: Body, path: str, to: Any) -> bool:
    return get(body, path) == [] and pop_field(body, path)


def _leave_budget(body: Body, path: str, to: Any) -> bool:
    return path not in LEVELS and pop_field(body, BUDGET if path == "generationConfig.thinkingConfig" else path)


ACTIONS: Mapping[str, Callable[[Body, str, Any], bool]] = {
    "adaptive": _adaptive,
    "at_least": _at_least,
    "at_most": _at_most,
    "auto": _auto,
    "budget": _budget,
    "first": _first,
    "in_words": _in_words,
    "leave_budget": _leave_budget,
    "leave_empty": _leave_empty,
    "leave_out": _leave_out,
    "no_thinking": _no_thinking,
    "not_value": _not_value,
    "off": _off,
    "one_of": _one_of,
    "rename": _rename,
}
