"""Typed Python functions -> tools a model may call, and its calls -> results."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import logging
import re
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Callable, Optional

from aichatkit.chunks import ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Tool
from aichatkit.structured.convert import build
from aichatkit.structured.schemas import Field, hints_of, object_of
from aichatkit.structured.validation import check

__all__ = ["Toolbox"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ARGUMENTS = re.compile(r"^(?:Args|Arguments|Parameters):[ \t]*$", re.MULTILINE)
_SECTION = re.compile(r"^(?:Returns?|Raises|Yields|Examples?|Attributes|Notes?|See Also|Todo|Warnings?):", re.MULTILINE)
_PARAMETER = re.compile(r"`?\*{0,2}(\w+)`?\s*(?:\([^)]*\))?:\s*(.*)")
_LONGEST_RESULT = 200_000


@dataclasses.dataclass(frozen=True)
class _Function:
    """A function of the user's: what is called, and the types of its parameters."""

    call: Callable[..., Any]
    hints: Mapping[str, Any]


class Toolbox:
    """The tools of a call: functions that are run here, and dicts whose calls are left to the caller."""

    def __init__(self, given: Any = (), approve: Callable[[ToolCall], bool] | None = None) -> None:
        if approve is not None and not callable(approve):
            raise ConfigurationError("approve: must be a function that takes a ToolCall and returns True or False")
        if isinstance(given, Mapping) or callable(given):
            given = [given]
        if isinstance(given, str) or not isinstance(given, typing.Iterable):
            raise ConfigurationError(f"tools: must be a list of functions or dicts, not {type(given).__name__}")
        self._tools: dict[str, Tool] = {}
        self._functions: dict[str, _Function] = {}
        self._approve = approve
        for item in given:
            self._add(item)

    def __bool__(self) -> bool:
        return bool(self._tools)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What the service is told of."""
        return tuple(self._tools.values())

    def runs(self, calls: Sequence[ToolCall]) -> bool:
        """Tell whether all these calls are answered here; a call of a dict tool is the caller's, with all beside it."""
        own = all(call.name in self._functions or call.name not in self._tools for call in calls)
        return bool(calls) and bool(self._functions) and own

    def run(self, call: ToolCall) -> str:
        """Call the function and return its result as text; what goes wrong is told to the model instead."""
        function = self._functions.get(call.name)
        if function is None:
            return f"Error: there is no tool {call.name!r}; there are: {', '.join(self._tools)}"
        if call.broken:
            return "Error: the arguments are not a JSON object; call again with one"
        faults = check(call.arguments, self._tools[call.name].parameters)
        if faults:
            return f"Error: the arguments do not fit: {'; '.join(faults)}"
        if self._approve is not None and not self._approve(call):
            return "Error: the user did not allow this call"
        try:
            arguments = {name: build(value, function.hints[name]) for name, value in call.arguments.items()}
            text = _as_text(function.call(**arguments))
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is the model's to deal with
            logger.debug("the tool %s failed (%s)", call.name, type(error).__name__)
            return f"Error: {type(error).__name__}: {error}"
        if len(text) <= _LONGEST_RESULT:
            return text
        return f"{text[:_LONGEST_RESULT]}\n[cut: the result has {len(text):,} characters]"

    def _add(self, item: Any) -> None:
        if isinstance(item, Mapping):
            tool = _from_mapping(item)
        else:
            name, fields = _signature(item)
            summary, described = _read_docstring(inspect.getdoc(_inner(item)) or "")
            fields = [field._replace(description=described.get(field.name, "")) for field in fields]
            parameters = _with_defaults(object_of(fields, owner=name), item)
            tool = Tool(name, summary, parameters)
            self._functions[name] = _Function(item, {field.name: field.hint for field in fields})
        if tool.name in self._tools:
            raise ConfigurationError(f"tools: there are two tools named {tool.name!r}")
        self._tools[tool.name] = tool


def _inner(function: Any) -> Any:
    return function.func if isinstance(function, functools.partial) else function


def _signature(function: Any) -> tuple[str, list[Field]]:
    name = _name(function)
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    hints = hints_of(_inner(function))
    fields = []
    for parameter in _parameters(function, name):
        if parameter.name in fixed:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigurationError(f"tools: {name} takes {parameter}; a tool's parameters need plain names")
        hint = hints.get(parameter.name, Any)
        # Models send null for what they leave out.
        hint = Optional[hint] if parameter.default is None and hint is not Any else hint
        fields.append(Field(parameter.name, hint, parameter.default is not parameter.empty))
    return name, fields


def _name(function: Any) -> str:
    inner = _inner(function)
    name = getattr(inner, "__name__", None)
    if not callable(inner) or isinstance(inner, type) or name is None:
        what = inner.__name__ if isinstance(inner, type) else type(inner).__name__
        raise ConfigurationError(f"tools: must be functions, methods or dicts, not {what}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"tools: {name} is async; pass a plain function")
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"tools: {name!r} cannot name a tool; use a function with a plain name")
    return str(name)


def _parameters(function: Any, name: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        pass
    raise ConfigurationError(f"tools: the parameters of {name} cannot be read; wrap it in a function of your own")


def _with_defaults(schema: dict[str, Any], function: Any) -> dict[str, Any]:
    """Tell the defaults that are plain values; a reference takes none beside it."""
    for name, inner in schema["properties"].items():
        default = inspect.signature(function).parameters[name].default
        if isinstance(default, (str, int, float)) and not isinstance(default, Enum) and "$ref" not in inner:
            inner["default"] = default
    return schema


def _from_mapping(item: Mapping[str, Any]) -> Tool:
    inner = item.get("function", item)
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            'tools: a dict tool needs a "name", as in {"name": ..., "description": ..., "parameters": ...}'
        )
    parameters = inner.get("parameters") or inner.get("input_schema") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ConfigurationError(f'tools: the "parameters" of {name} must be a JSON schema as a dict')
    return Tool(name, str(inner.get("description") or ""), dict(parameters))


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return what goes before the sections, and the texts of `Args:` by parameter."""
    found, other = _ARGUMENTS.search(text), _SECTION.search(text)
    ends = [match.start() for match in (found, other) if match]
    summary = text[: min(ends)] if ends else text
    return summary.strip(), _read_arguments(text[found.end() :].splitlines()[1:]) if found else {}


def _read_arguments(lines: Sequence[str]) -> dict[str, str]:
    described: dict[str, str] = {}
    depth, name = None, ""
    for line in lines:
        if not line.strip():
            continue
        indented = len(line) - len(line.lstrip())
        if not indented:
            break
        depth = indented if depth is None else depth
        match = _PARAMETER.match(line.strip()) if indented <= depth else None
        if match:
            name = match[1]
            described[name] = match[2].strip()
        elif name:  # a text that goes on below its first line
            described[name] = f"{described[name]} {line.strip()}".strip()
    return described


def _as_text(result: Any) -> str:
    if inspect.isgenerator(result):
        result = list(result)
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return what stands for a value in JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return value.value if isinstance(value, Enum) else str(value)
