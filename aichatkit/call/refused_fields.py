"""The fields of a request body that a service may refuse, and their paths in each protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit.classification.parameter_names import MAX_TOKENS, canonical

__all__ = [
    "BUDGET",
    "BUDGETS",
    "CACHE_FIELDS",
    "FORMATS",
    "LEVEL",
    "LEVELS",
    "THINKING",
    "Body",
    "find_paths",
    "get",
    "pop_field",
    "renamed",
    "schema_of",
    "set_field",
]

Body = dict[str, Any]

#: Fields that set the response format.
FORMATS = (
    "response_format",
    "text.format",
    "output_config.format",
    "generationConfig.responseJsonSchema",
    "format",
)
#: Fields that hold an effort as a word, those that hold a budget, and all that request reasoning.
LEVELS = (
    "reasoning_effort",
    "reasoning.effort",
    "output_config.effort",
    "generationConfig.thinkingConfig.thinkingLevel",
    "think",
)
BUDGETS = (
    "thinking.budget_tokens",
    "thinking.token_budget",
    "thinking_budget",
    "generationConfig.thinkingConfig.thinkingBudget",
)
THINKING = (
    *LEVELS,
    "thinking",
    "thinking_budget",
    "enable_thinking",
    "generationConfig.thinkingConfig",
    "reasoning.summary",
    "reasoning_format",
)
LEVEL, BUDGET = "generationConfig.thinkingConfig.thinkingLevel", "generationConfig.thinkingConfig.thinkingBudget"
#: Fields for the prompt cache, wherever they are in a body.
CACHE_FIELDS: Mapping[str, Sequence[str]] = {
    "cache_control": ("cache_control",),
    "prompt_cache": ("prompt_cache_options", "prompt_cache_breakpoint", "prompt_cache_key"),
}
#: Fields of requests that no table of parameters lists.
_OTHERS: Mapping[str, Sequence[str]] = {
    "cache_control": ("cache_control",),
    "prompt_cache": ("prompt_cache",),
    "max_tokens": (*MAX_TOKENS, "options.num_predict", "generationConfig.maxOutputTokens"),
    "reasoning_effort": LEVELS,
    "response_format": FORMATS,
    "stream_options": ("stream_options",),
    "thinking": THINKING,
    "tool_choice": ("tool_choice", "toolConfig.functionCallingConfig.mode"),
}
_PARTNERS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


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
    others = (path for path in _OTHERS.get(name, ()) if path in CACHE_FIELDS or get(body, path) is not None)
    found.update(dict.fromkeys(others, meant))
    if name == "reasoning_effort":
        # Of an object that holds the effort, the rest may stay.
        found = {path: param for path, param in found.items() if not any(each.startswith(f"{path}.") for each in found)}
    return [(param, path) for path, param in found.items()]


def renamed(path: str, target: str | None) -> str | None:
    """Return the path of a field under the name that the service asks for, or its other usual name."""
    parent, _, last = path.rpartition(".")
    if target is not None and "." in target:
        return target if canonical(target) == canonical(last) and target != path else None
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


def set_field(body: Body, path: str, value: Any) -> None:
    """Set a field without changing objects that the body shares with the caller's."""
    name, _, rest = path.partition(".")
    if not rest:
        body[name] = value
        return
    inner = body.get(name)
    body[name] = dict(inner) if isinstance(inner, Mapping) else {}
    set_field(body[name], rest, value)


def pop_field(body: Body, path: str) -> bool:
    """Remove a field; return whether it was there. An object that becomes empty by it goes as well."""
    name, _, rest = path.partition(".")
    inner = body.get(name)
    if not rest:
        return body.pop(name, None) is not None
    if not isinstance(inner, Mapping):
        return False
    body[name] = copy = dict(inner)
    removed = pop_field(copy, rest)
    if removed and not copy:
        del body[name]
    return removed
