"""Typed Python functions -> tools a model may call, and its calls -> results."""

from __future__ import annotations

import inspect
import json
import logging
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, Callable

from aichatkit import schemas
from aichatkit.chunks import ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.providers.base import Tool

__all__ = ["Toolbox"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_PARAMETER = re.compile(r"^\s+`?\*{0,2}(\w+)`?\s*(?:\([^)]*\))?:\s*(.+)$")
_LONGEST_RESULT = 200_000


class Toolbox:
    """The tools of a call: functions that are run here, and dicts whose calls are left to the caller."""

    def __init__(self, given: Sequence[Any], approve: Callable[[ToolCall], bool] | None = None) -> None:
        self.tools: list[Tool] = []
        self._functions: dict[str, Callable[..., Any]] = {}
        self._approve = approve
        for item in given:
            self._add(item)

    def __bool__(self) -> bool:
        return bool(self.tools)

    def runs(self, calls: Sequence[ToolCall]) -> bool:
        """Tell whether all these calls are answered here; a call of a dict tool is the caller's."""
        known = {tool.name for tool in self.tools}
        return bool(calls) and all(call.name in self._functions or call.name not in known for call in calls)

    def run(self, call: ToolCall) -> str:
        """Call the function and return its result as text; what goes wrong is told to the model instead."""
        function = self._functions.get(call.name)
        if function is None:
            return f"Error: there is no tool {call.name!r}; there are {', '.join(self._functions)}"
        faults = schemas.check(call.arguments, self._schema(call.name))
        if faults:
            return f"Error: the arguments do not fit: {'; '.join(faults)}"
        if self._approve is not None and not self._approve(call):
            return "Error: the user did not allow this call"
        hints = typing.get_type_hints(function, include_extras=True)
        try:
            arguments = {name: schemas.build(value, hints.get(name, Any)) for name, value in call.arguments.items()}
            result = function(**arguments)
        except Exception as error:  # whatever a user's function raises is the model's to deal with
            logger.debug("the tool %s failed", call.name, exc_info=True)
            return f"Error: {type(error).__name__}: {error}"
        return _as_text(result)[:_LONGEST_RESULT]

    def _add(self, item: Any) -> None:
        tool = _from_mapping(item) if isinstance(item, Mapping) else _from_function(item)
        if any(tool.name == other.name for other in self.tools):
            raise ConfigurationError(f"tools: there are two tools named {tool.name!r}")
        self.tools.append(tool)
        if not isinstance(item, Mapping):
            self._functions[tool.name] = item

    def _schema(self, name: str) -> Mapping[str, Any]:
        return next(tool.parameters for tool in self.tools if tool.name == name)


def _from_function(function: Any) -> Tool:
    if not callable(function) or not hasattr(function, "__name__"):
        raise ConfigurationError(f"tools: must be functions or dicts, not {type(function).__name__}")
    name = function.__name__
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"tools: {name!r} cannot name a tool; use a function with a plain name")
    summary, described = _read_docstring(inspect.getdoc(function) or "")
    properties, required = {}, []
    hints = typing.get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConfigurationError(f"tools: {name} takes {parameter}; a tool's parameters need plain names")
        schema = schemas.schema_of(hints.get(parameter.name, Any))
        if parameter.name in described:
            schema.setdefault("description", described[parameter.name])
        properties[parameter.name] = schema
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Tool(name, summary, parameters)


def _from_mapping(item: Mapping[str, Any]) -> Tool:
    inner = item.get("function", item)
    name = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            'tools: a dict tool needs a "name", as in {"name": ..., "description": ..., "parameters": ...}'
        )
    parameters = inner.get("parameters") or inner.get("input_schema") or {"type": "object", "properties": {}}
    return Tool(name, str(inner.get("description") or ""), dict(parameters))


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return what goes before the sections, and the lines of `Args:` by parameter."""
    before, _, section = text.partition("\nArgs:\n")
    described = {}
    for line in section.splitlines():
        if line and not line[0].isspace():
            break
        match = _PARAMETER.match(line)
        if match:
            described[match.group(1)] = match.group(2).strip()
    return re.split(r"\n(?:Returns|Raises|Example|Examples):", before)[0].strip(), described


def _as_text(result: Any) -> str:
    if isinstance(result, str):
        return result
    if hasattr(result, "model_dump_json"):
        return str(result.model_dump_json())
    if is_dataclass(result) and not isinstance(result, type):
        result = asdict(result)
    return json.dumps(result, ensure_ascii=False, default=str)
