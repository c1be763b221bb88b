"""The fields of a request body that a service may refuse: where they stand in each protocol, and how each is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from aichatkit.classification.parameter_names import MAX_TOKENS, canonical

__all__ = ["ACTIONS", "FORMATS", "LOSSES", "SENTENCES", "find_paths", "get", "renamed", "schema_of"]

Body = dict[str, Any]

#: Where the format of the answer is asked for.
FORMATS = (
    "response_format",
    "text.format",
    "output_config.format",
    "generationConfig.responseJsonSchema",
    "format",
)
#: Where an effort stands as a word, and what else asks for reasoning.
_LEVELS = (
    "reasoning_effort",
    "reasoning.effort",
    "output_config.effort",
    "generationConfig.thinkingConfig.thinkingLevel",
    "think",
)
_BUDGETS = (
    "thinking.budget_tokens",
    "thinking.token_budget",
    "thinking_budget",
    "generationConfig.thinkingConfig.thinkingBudget",
)
_THINKING = (
    *_LEVELS,
    "thinking",
    "thinking_budget",
    "enable_thinking",
    "generationConfig.thinkingConfig",
    "reasoning.summary",
    "reasoning_format",
)
_LEVEL, _BUDGET = "generationConfig.thinkingConfig.thinkingLevel", "generationConfig.thinkingConfig.thinkingBudget"
#: Fields of requests that no table of parameters lists.
_OTHERS: Mapping[str, Sequence[str]] = {
    "cache_control": ("cache_control",),
    "max_tokens": (*MAX_TOKENS, "options.num_predict", "generationConfig.maxOutputTokens"),
    "reasoning_effort": _LEVELS,
    "response_format": FORMATS,
    "stream_options": ("stream_options",),
    "thinking": _THINKING,
    "tool_choice": ("tool_choice", "toolConfig.functionCallingConfig.mode"),
}
_PARTNERS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

_SCALE = ("minimal", "low", "medium", "high", "xhigh", "max")
#: Tokens of reasoning for an effort, for models that take a budget and no effort.
_EFFORT_BUDGETS = {"none": 0, "minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
_MIN_BUDGET, _ANSWER_TOKENS, _LEAST_BUDGET = 1024, 1024, 512

#: What a parameter that is left out no longer does, where that is not plain.
LOSSES = {
    "stop": "; the stop words no longer end the answer",
    "stream_options": "; the usage of a stream may not be told",
    "response_format": "; the answer may be in another format",
}
SENTENCES = {
    "rename": "takes {to!r} in place of {path!r}, so that name is sent",
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
    "budget": "takes a budget for its reasoning and no effort, so a budget is sent",
}


def get(body: object, path: str) -> Any:
    """Return the value at a dotted path, None if there is none."""
    for name in path.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def find_paths(name: str, tables: Sequence[Mapping[str, str]], body: Body) -> list[tuple[str, str]]:
    """Return the parameters, each with its path, that a service may mean by a name.

    `name` is the package's, or a service's own that only its table of parameters knows.
    """
    found: dict[str, str] = {}
    meant = "reasoning_effort" if name == "thinking" else name
    for param, path in (pair for table in tables for pair in table.items()):
        is_meant = meant == param if canonical(name) else name in (param, path, path.rpartition(".")[2])
        if is_meant:
            found[path] = param
    others = (path for path in _OTHERS.get(name, ()) if path == "cache_control" or get(body, path) is not None)
    found.update(dict.fromkeys(others, meant))
    return [(param, path) for path, param in found.items()]


def renamed(path: str, target: str | None) -> str | None:
    """Return the path of a field under the name that the service asks for, or its other usual name."""
    parent, _, last = path.rpartition(".")
    if target == "text.format":
        return target if last == "response_format" else None
    if canonical(last) != "max_tokens":
        return None
    new = target if target is not None and canonical(target) == "max_tokens" else _PARTNERS.get(last)
    if new is None or new == last:
        return None
    return f"{parent}.{new}" if parent else new


def schema_of(response_format: Mapping[str, Any]) -> Any:
    """Return the JSON schema in a `response_format`, None if it has none."""
    inner = response_format.get("json_schema")
    if isinstance(inner, Mapping):
        return inner.get("schema", inner if "type" in inner or "properties" in inner else None)
    return response_format.get("schema")


def _set(body: Body, path: str, value: Any) -> None:
    """Set a field without changing objects that the body shares with the caller's."""
    name, _, rest = path.partition(".")
    if not rest:
        body[name] = value
        return
    inner = body.get(name)
    body[name] = dict(inner) if isinstance(inner, Mapping) else {}
    _set(body[name], rest, value)


def _pop(body: Body, path: str) -> bool:
    """Remove a field; return whether it was there. An object that becomes empty by it goes as well."""
    name, _, rest = path.partition(".")
    inner = body.get(name)
    if not rest:
        return body.pop(name, None) is not None
    if not isinstance(inner, Mapping):
        return False
    body[name] = copy = dict(inner)
    removed = _pop(copy, rest)
    if removed and not copy:
        del body[name]
    return removed


def _leave_out(body: Body, path: str, to: Any) -> bool:
    if to is not None and get(body, f"{path}.type") != to:
        return False
    if path == "cache_control":
        return _strip(body, path)
    if path == "output_config.effort":
        return _effort_to_budget(body, path)
    if path == _LEVEL and get(body, path) is not None:
        level = str(get(body, path)).lower()
        _pop(body, path)
        _set(body, _BUDGET, 1024 if level == "low" else _EFFORT_BUDGETS.get(level, 8192))
        return True
    if path == "reasoning_effort":
        # Groq and others show reasoning by a field of its own, which is refused as well.
        body.pop("reasoning_format", None)
    if path == "reasoning.effort":
        _pop(body, "reasoning.summary")
    removed = _pop(body, path)
    if path.endswith("responseLogprobs"):
        _pop(body, "generationConfig.logprobs")
    return removed


def _effort_to_budget(body: Body, path: str) -> bool:
    effort = get(body, path)
    if effort is None:
        return False
    _pop(body, path)
    thinking = body.get("thinking")
    # A budget excludes some sampling parameters and forced tools: then the effort just goes.
    if thinking is None and any(body.get(name) is not None for name in ("temperature", "top_k", "top_p", "tool_choice")):
        return True
    if thinking is None or thinking.get("type") == "adaptive":
        body.pop("thinking", None)
        _set_budget(body, effort)
    return True


def _set_budget(body: Body, effort: str) -> None:
    budget = min(_EFFORT_BUDGETS.get(effort, 0), body.get("max_tokens", 0) - _ANSWER_TOKENS)
    if budget >= _MIN_BUDGET:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _budget(body: Body, path: str, to: Any) -> bool:
    if path != "thinking" or get(body, "thinking.type") != "adaptive":
        return False
    del body["thinking"]
    _set_budget(body, get(body, "output_config.effort") or "high")
    _pop(body, "output_config.effort")
    return True


def _adaptive(body: Body, path: str, to: Any) -> bool:
    budget = get(body, "thinking.budget_tokens")
    if path != "thinking" or budget is None:
        return False
    body["thinking"] = {"type": "adaptive"}
    if get(body, "output_config.effort") is None:
        fits = [effort for effort in _SCALE[1:4] if _EFFORT_BUDGETS[effort] <= budget]
        _set(body, "output_config.effort", fits[-1] if fits else "low")
    return True


def _strip(value: Any, name: str) -> bool:
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    removed = isinstance(value, dict) and value.pop(name, None) is not None
    return any([removed, *(_strip(item, name) for item in items)])


def _rename(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    if value is None or get(body, to) is not None:
        return False
    _pop(body, path)
    if to == "text.format" and isinstance(value, Mapping) and isinstance(value.get("json_schema"), Mapping):
        value = {"type": "json_schema", **value["json_schema"]}
    _set(body, to, value)
    return True


def _bound(body: Body, path: str, choose: Callable[[int], int]) -> bool:
    changed = False
    for place in (path, *_BUDGETS) if path in _THINKING else (path,):
        value = get(body, place)
        if isinstance(value, int) and not isinstance(value, bool) and choose(value) != value:
            _set(body, place, choose(value))
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
    _set(body, path, list(value[:to]))
    return True


def _one_of(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    if not isinstance(value, str) or value.lower() in {each.lower() for each in to}:
        return False
    _set(body, path, _nearest(value.lower(), to))
    return True


def _nearest(effort: str, taken: Sequence[str]) -> str:
    """Return the next lower value that is taken, else the lowest: rounding up costs money.

    "none" is the off switch: only "minimal" becomes it, and only where the one other value is "high".
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
    if to == "none" and path in _THINKING and _think_after_all(body):
        return True
    if not isinstance(value, str) or value.lower() != to:
        return False
    nearest = _nearest(to, [level for level in _SCALE[1:] if level != to])
    _set(body, path, True if path == "think" else nearest.upper() if value.isupper() else nearest)
    return True


def _think_after_all(body: Body) -> bool:
    """Undo what switches reasoning off, other than an effort."""
    if get(body, _BUDGET) == 0:
        _set(body, _BUDGET, _LEAST_BUDGET)
        return True
    is_off = body.get("enable_thinking") is False, body.get("think") is False, get(body, "thinking.type") == "disabled"
    for name in (name for name, off in zip(("enable_thinking", "think", "thinking"), is_off) if off):
        del body[name]
    return any(is_off)


def _auto(body: Body, path: str, to: Any) -> bool:
    value = get(body, path)
    kind = value.get("type") if isinstance(value, Mapping) else value
    if value is None:
        return False
    if path != "tool_choice" or kind in ("any", "tool"):
        rest = {name: each for name, each in value.items() if name != "name"} if isinstance(value, Mapping) else {}
        _set(body, path, {**rest, "type": "auto"} if rest else "AUTO")
        return True
    # Left out, it is "auto".
    return _pop(body, path)


def _in_words(body: Body, path: str, to: Any) -> bool:
    # Done before the body is built.
    return False


def _off(body: Body, path: str, to: Any) -> bool:
    if not path or not body.get("tools") or get(body, path) == "none":
        return False
    _set(body, path, "none")
    return True


def _no_thinking(body: Body, path: str, to: Any) -> bool:
    for name in ("thinking_budget", "reasoning_effort"):
        body.pop(name, None)
    changed = body.get("enable_thinking") is not False
    body["enable_thinking"] = False
    return changed


ACTIONS: Mapping[str, Callable[[Body, str, Any], bool]] = {
    "adaptive": _adaptive,
    "at_least": _at_least,
    "at_most": _at_most,
    "auto": _auto,
    "budget": _budget,
    "first": _first,
    "in_words": _in_words,
    "leave_out": _leave_out,
    "no_thinking": _no_thinking,
    "not_value": _not_value,
    "off": _off,
    "one_of": _one_of,
    "rename": _rename,
}
