"""Python functions with type hints -> tool definitions, and tool calls -> results."""

from __future__ import annotations

import functools
import inspect
import logging
import re
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Callable, Optional

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit._reasons import reason_of
from aichatkit._surrogates import repair
from aichatkit.chunks import ToolCall
from aichatkit.errors import ConfigurationError
from aichatkit.messages import Content
from aichatkit.providers.base import Tool, ToolSource
from aichatkit.structured.convert import convert
from aichatkit.structured.fit import fit_arguments
from aichatkit.structured.schema_checks import check_schema
from aichatkit.structured.schemas import Field, hints_of, object_schema
from aichatkit.structured.validation import find_errors
from aichatkit.tools.results import result_content
from aichatkit.tools.sources import Findings, RemoteTool
from aichatkit.transport.connections import Connections

__all__ = ["Toolbox"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ARGS_HEADING = re.compile(r"^(?:Args|Arguments|Parameters):[ \t]*$", re.MULTILINE)
_HEADING = re.compile(r"^(?:Returns?|Raises|Yields|Examples?|Attributes|Notes?|See Also|Todo|Warnings?):", re.MULTILINE)
_ARG_LINE = re.compile(r"`?\*{0,2}(\w+)`?\s*(?:\([^)]*\))?:\s*(.*)")


class _Function(NamedTuple):
    """A user's function and the type hints of its parameters."""

    call: Callable[..., Any]
    hints: Mapping[str, Any]


class Toolbox:
    """The tools of a call: functions that run here, and dict definitions whose calls are returned to the caller.

    An MCP server adds all its tools; `connections` are those of the client that calls.
    `approve` is called with each `ToolCall` before its function runs; if it returns False, the model gets an error.
    """

    def __init__(
        self,
        tools: Any = (),
        approve: Callable[[ToolCall], bool] | None = None,
        connections: Connections | None = None,
    ) -> None:
        if approve is not None and not callable(approve):
            raise ConfigurationError("approve: must be a function that takes a ToolCall and returns True or False")
        if isinstance(tools, (Mapping, ToolSource)) or callable(tools):
            tools = [tools]
        if isinstance(tools, str) or not isinstance(tools, typing.Iterable):
            raise ConfigurationError(f"tools: must be a list of functions or dicts, not {type(tools).__name__}")
        self._tools: dict[str, Tool] = {}
        self._functions: dict[str, _Function] = {}
        self._remote: dict[str, RemoteTool] = {}
        self._approve = approve
        sources = []
        for tool in tools:
            if isinstance(tool, ToolSource):
                sources.append(tool)
            else:
                self._add(tool)
        # Last, as it may start them, which a mistake in another tool must prevent.
        for source in sources:
            self._add_source(source, connections)

    def __bool__(self) -> bool:
        return bool(self._tools)

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tool definitions sent to the service."""
        return tuple(self._tools.values())

    @property
    def origins(self) -> list[str]:
        """Where tools run that run elsewhere, such as the URLs of MCP servers."""
        return sorted({tool.origin for tool in self._remote.values() if tool.origin})

    def can_run(self, calls: Sequence[ToolCall]) -> bool:
        """Return whether all these calls can be run here.

        If one of them is for a dict tool, the caller gets all of them. A call to an unknown tool can be run: its result
        is an error for the model.
        """
        own = {**self._functions, **self._remote}
        runnable = all(call.name in own or call.name not in self._tools for call in calls)
        return bool(calls) and bool(own) and runnable

    def run(self, call: ToolCall) -> Content:
        """Call the function and return its result; if it fails, return an error message for the model."""
        function, remote = self._functions.get(call.name), self._remote.get(call.name)
        if function is None and remote is None:
            return f"Error: there is no tool {call.name!r}; there are: {', '.join(self._tools)}"
        if call.broken:
            return "Error: the arguments are not a JSON object; call again with one"
        if remote is not None:
            return remote.run(call, self._approve)
        assert function is not None
        return self._run_function(function, call)

    def findings(self, text: str) -> Findings:
        """Return the searches that tools ran for an answer with this text, and the citations of what they found."""
        parts = [tool.findings(text) for tool in self._remote.values()]
        return Findings(
            [search for part in parts for search in part.searches],
            [citation for part in parts for citation in part.citations],
        )

    def _run_function(self, function: _Function, call: ToolCall) -> Content:
        parameters = self._tools[call.name].parameters
        try:
            fields = fit_arguments(call.arguments, parameters)
            errors = find_errors(fields, parameters)
        except RecursionError:
            errors = ["they are nested too deeply"]
        if errors:
            return f"Error: the arguments do not fit: {'; '.join(errors)}"
        if self._approve is not None and not self._approve(replace(call, arguments=fields)):
            return "Error: the user did not allow this call"
        try:
            arguments = {name: convert(value, function.hints[name]) for name, value in fields.items()}
            return result_content(function.call(**arguments), call.name)
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is reported to the model
            logger.debug("the tool %s failed (%s)", call.name, type(error).__name__)
            return repair(f"Error: {type(error).__name__}: {error}")

    def _add(self, tool: Any) -> None:
        if isinstance(tool, Mapping):
            definition = _parse_dict_tool(tool)
        else:
            name, fields = _parse_signature(tool)
            summary, descriptions = _parse_docstring(inspect.getdoc(_underlying(tool)) or "")
            fields = [field._replace(description=descriptions.get(field.name, "")) for field in fields]
            parameters = _add_defaults(object_schema(fields, owner=name), tool)
            definition = Tool(name, summary, parameters)
            self._functions[name] = _Function(tool, {field.name: field.hint for field in fields})
        if definition.name in self._tools:
            raise ConfigurationError(f"tools: there are two tools named {definition.name!r}")
        self._tools[definition.name] = definition

    def _add_source(self, source: ToolSource, connections: Connections | None) -> None:
        for tool in source.open_tools(connections):
            name = tool.definition.name
            if name in self._tools:
                raise ConfigurationError(
                    f"tools: {source.name!r} has a tool named {name!r}, and so has another; {source.rename_hint}"
                )
            self._tools[name] = tool.definition
            self._remote[name] = tool


def _underlying(function: Any) -> Any:
    return function.func if isinstance(function, functools.partial) else function


def _parse_signature(function: Any) -> tuple[str, list[Field]]:
    name = _parse_name(function)
    bound = function.keywords if isinstance(function, functools.partial) else {}
    hints = hints_of(_annotated(function))
    fields = []
    for parameter in _parameters_of(function, name):
        if parameter.name in bound:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(
                f"tools: the parameter {parameter.name!r} of {name} is positional-only, but tools are called with "
                "keyword arguments; wrap it in another function"
            )
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(f"tools: {name} takes {parameter}; a tool's parameters need plain names")
        hint = hints.get(parameter.name, Any)
        # Models send null for arguments they leave out.
        hint = Optional[hint] if parameter.default is None and hint is not Any else hint
        fields.append(Field(parameter.name, hint, parameter.default is not parameter.empty))
    return name, fields


def _parse_name(function: Any) -> str:
    underlying = _underlying(function)
    name = getattr(underlying, "__name__", None)
    if not callable(underlying) or isinstance(underlying, type) or name is None:
        type_name = underlying.__name__ if isinstance(underlying, type) else type(underlying).__name__
        raise ConfigurationError(f"tools: must be functions, methods or dicts, not {type_name}")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"tools: {name} is async; pass a plain function")
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"tools: {name!r} cannot name a tool; use a function with a plain name")
    return str(name)


def _annotated(function: Any) -> Any:
    """Return what has the annotations: of an object with `__call__`, that method."""
    underlying = _underlying(function)
    wrapped = inspect.unwrap(underlying)
    return underlying if inspect.isroutine(wrapped) else type(wrapped).__call__


def _parameters_of(function: Any, name: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError) as error:
        reason = reason_of(error)
    raise ConfigurationError(
        f"tools: the parameters of {name} cannot be read; wrap it in a function of your own", reason=reason
    )


def _add_defaults(schema: dict[str, Any], function: Any) -> dict[str, Any]:
    """Add the defaults that are plain values, except next to a `$ref`, which allows no other keywords."""
    for name, inner in schema["properties"].items():
        default = inspect.signature(function).parameters[name].default
        if isinstance(default, (str, int, float)) and not isinstance(default, Enum) and "$ref" not in inner:
            inner["default"] = default
    return schema


def _parse_dict_tool(tool: Mapping[str, Any]) -> Tool:
    definition = tool.get("function", tool)
    name = definition.get("name") if isinstance(definition, Mapping) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            'tools: a dict tool needs a "name", as in {"name": ..., "description": ..., "parameters": ...}'
        )
    parameters = definition.get("parameters") or definition.get("input_schema") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ConfigurationError(f'tools: the "parameters" of {name} must be a JSON schema as a dict')
    check_schema(parameters, f"tools: {name}")
    return Tool(name, str(definition.get("description") or ""), dict(parameters))


def _parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return the text before the first section, and the parameter descriptions in the `Args:` section."""
    args, other = _ARGS_HEADING.search(text), _HEADING.search(text)
    ends = [match.start() for match in (args, other) if match]
    summary = text[: min(ends)] if ends else text
    return summary.strip(), _parse_args_section(text[args.end() :].splitlines()[1:]) if args else {}


def _parse_args_section(lines: Sequence[str]) -> dict[str, str]:
    descriptions: dict[str, str] = {}
    depth, name = None, ""
    for line in lines:
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        if not indent:
            break
        depth = indent if depth is None else depth
        match = _ARG_LINE.match(line.strip()) if indent <= depth else None
        if match:
            name = match[1]
            descriptions[name] = match[2].strip()
        elif name:  # a continuation line
            descriptions[name] = f"{descriptions[name]} {line.strip()}".strip()
    return descriptions
