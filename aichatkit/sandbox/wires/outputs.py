"""Chat request -> output: how the sandbox answers a prompt, with tool calls, structured output or reasoning."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import dataclass, field
from aichatkit.sandbox.exchange import fragments
from aichatkit.sandbox.wires.base import Call
from aichatkit.sandbox.wires.schemas import minimal_instance
from aichatkit.sandbox.wires.searches import WebSearch, play_search


@dataclass(frozen=True)
class ChatRequest:
    """The content of a chat request, independent of its protocol.

    `tools` maps the names of the available tools to their schemas; `tool_choice` is one that must be called
    ("*" for any); `tool_results` are those returned since the last of the user's `turns`;
    `schema` is that of the structured output.
    """

    turns: Sequence[str]
    tools: Mapping[str, Any] = field(default_factory=dict)
    tool_choice: str | None = None
    tool_results: Sequence[str] = ()
    schema: Any = None
    max_tokens: int | None = None
    #: Whether the model may search the web, and whether the service adds links to the text.
    searches: bool = False
    adds_links: bool = False
    #: Whether a search of the service comes before the calls of functions.
    adds_server_calls: bool = False


@dataclass(frozen=True)
class ToolCall:
    """One tool call of the model."""

    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def argument_parts(self) -> list[str]:
        """The arguments as JSON, split into the parts they are streamed in."""
        text = json.dumps(self.arguments)
        return [text[start : start + 6] for start in range(0, len(text), 6)]


@dataclass(frozen=True)
class Output:
    """The output of the model, in the order it is sent: reasoning, text, tool calls."""

    reasoning_parts: Sequence[str]
    text_parts: Sequence[str]
    tool_calls: Sequence[ToolCall]
    truncated: bool
    prompt_tokens: int
    search: WebSearch | None = None
    adds_server_calls: bool = False

    @property
    def text(self) -> str:
        """The complete text."""
        return "".join(self.text_parts)

    @property
    def reasoning(self) -> str:
        """The complete reasoning."""
        return "".join(self.reasoning_parts)

    @property
    def output_tokens(self) -> int:
        """The number of tokens that would be billed: one per part."""
        arguments = sum(len(tool_call.argument_parts) for tool_call in self.tool_calls)
        return len(self.reasoning_parts) + len(self.text_parts) + arguments

    def finish_reason(self, stop: str, length: str, tool_calls: str) -> str:
        """Return the finish reason, given the names that the protocol has for each."""
        if self.tool_calls:
            return tool_calls
        return length if self.truncated else stop


def build_output(call: Call, request: ChatRequest) -> Output:
    """Build the model's output for a request.

    If the call overrides "text-parts" or "tool-calls", they are the output, with "reasoning-parts" and "truncated".
    Otherwise a prompt such as `call weather {"city": "Oslo"}` calls an available tool,
    and a prompt with the word "think" adds reasoning.
    """
    call.report_turns(request.turns)
    prompt = request.turns[-1] if request.turns else ""
    tokens = sum(len(fragments(turn)) for turn in [*request.turns, *request.tool_results])
    if {"text-parts", "tool-calls"} & set(call.overrides):
        overrides = call.overrides
        tool_calls = _build_tool_calls(call, prompt, overrides.get("tool-calls", ()))
        reasoning, text_parts = overrides.get("reasoning-parts", ()), overrides.get("text-parts", ())
        return Output(reasoning, text_parts, tool_calls, bool(overrides.get("truncated")), tokens)
    tool_calls = [] if call.text is not None or request.tool_results else _choose_tools(call, request, prompt)
    reasoning = fragments(f"The user says: {prompt}") if _wants_reasoning(call, prompt) else []
    search = play_search(call, request.turns) if request.searches and not tool_calls else None
    if search is not None and request.schema is None:
        return Output(reasoning, search.text_parts(with_links=request.adds_links), [], False, tokens, search)
    parts = [] if tool_calls else fragments(call.answer_text(request.turns, default=_default_text(request)))
    limit = len(parts) if request.max_tokens is None else request.max_tokens
    adds_calls = request.adds_server_calls
    return Output(reasoning, parts[:limit], tool_calls, limit < len(parts), tokens, adds_server_calls=adds_calls)


def _wants_reasoning(call: Call, prompt: str) -> bool:
    return call.text is None and re.search(r"\bthink\b", prompt) is not None


def _choose_tools(call: Call, request: ChatRequest, prompt: str) -> list[ToolCall]:
    calls = [(name, arguments) for name, arguments in _parse_calls(prompt) if name in request.tools]
    if not calls and request.tool_choice and request.tools:
        name = request.tool_choice if request.tool_choice in request.tools else next(iter(request.tools))
        calls = [(name, minimal_instance(request.tools[name]) or {})]
    return _build_tool_calls(call, prompt, calls)


def _build_tool_calls(call: Call, prompt: str, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[ToolCall]:
    return [
        ToolCall(call.wire.digest(prompt, index)[:20], name, arguments) for index, (name, arguments) in enumerate(calls)
    ]


def _parse_calls(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    """Parse the tool calls requested in a prompt.

    >>> _parse_calls('call add {"a": 1} and then call stop')
    [('add', {'a': 1}), ('stop', {})]
    """
    calls = []
    for match in re.finditer(r"\bcall ([\w.-]*\w)\s*", prompt):
        try:
            arguments, _ = json.JSONDecoder().raw_decode(prompt, match.end())
        except ValueError:
            arguments = {}
        calls.append((match[1], arguments if isinstance(arguments, dict) else {}))
    return calls


def _default_text(request: ChatRequest) -> str | None:
    if request.schema is not None:
        return json.dumps(minimal_instance(request.schema) if request.schema else {"answer": "text"})
    if request.tool_results:
        return "The tool says: " + "; ".join(request.tool_results)
    return None
