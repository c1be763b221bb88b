"""Question -> act: what the sandbox does about a prompt with tools, a schema or a wish for thoughts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aichatkit._dataclasses import dataclass, field
from aichatkit.sandbox.exchange import Trouble
from aichatkit.sandbox.wires.base import Call, fragments
from aichatkit.sandbox.wires.schemas import smallest


@dataclass(frozen=True)
class Question:
    """What a request asks, free of its wire.

    `tools` maps the names on offer to their schemas, `forced` is one that has to be called ("*" is any);
    `results` are what tools have returned since the last of the user's `turns`; `schema` is that of the answer.
    """

    turns: Sequence[str]
    tools: Mapping[str, Any] = field(default_factory=dict)
    forced: str | None = None
    results: Sequence[str] = ()
    schema: Any = None
    limit: int | None = None


@dataclass(frozen=True)
class ToolUse:
    """One call of a tool."""

    id: str
    name: str
    arguments: dict[str, Any]

    @property
    def parts(self) -> list[str]:
        """The arguments as JSON, in the pieces they are streamed in."""
        text = json.dumps(self.arguments)
        return [text[place : place + 6] for place in range(0, len(text), 6)]


@dataclass(frozen=True)
class Act:
    """What the answer consists of, in the order it is sent: thoughts, text, uses of tools."""

    thoughts: Sequence[str]
    parts: Sequence[str]
    uses: Sequence[ToolUse]
    cut_short: bool
    prompt_tokens: int

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.parts)

    @property
    def thought(self) -> str:
        """All thoughts together."""
        return "".join(self.thoughts)

    @property
    def output_tokens(self) -> int:
        """How many pieces the model would be paid for."""
        return len(self.thoughts) + len(self.parts) + sum(len(use.parts) for use in self.uses)

    def finish(self, stop: str, length: str, tools: str) -> str:
        """Choose the wire's word for how the answer ended."""
        if self.uses:
            return tools
        return length if self.cut_short else stop


def act(call: Call, question: Question) -> Act:
    """Decide what to answer.

    The marks "parts", "thoughts", "uses" and "cut-short" of the call tell it.
    Without them a prompt like `call weather {"city": "Oslo"}` calls a tool that is on offer;
    one with the word "think" in it is thought about.
    """
    call.read(question.turns)
    prompt = question.turns[-1] if question.turns else ""
    tokens = sum(len(fragments(turn)) for turn in [*question.turns, *question.results])
    if {"parts", "uses"} & set(call.marks):
        marks = call.marks
        uses = [ToolUse(call.wire.token(prompt, place)[:20], *use) for place, use in enumerate(marks.get("uses", ()))]
        return Act(marks.get("thoughts", ()), marks.get("parts", ()), uses, bool(marks.get("cut-short")), tokens)
    uses = [] if call.text is not None or question.results else _uses(call, question, prompt)
    thoughts = fragments(f"The user says: {prompt}") if _wants_thoughts(call, prompt) else []
    parts = [] if uses else fragments(call.say(question.turns, otherwise=_special(question)))
    limit = len(parts) if question.limit is None else question.limit
    if not isinstance(limit, int):
        raise Trouble("bad-request", "The limit of tokens must be a whole number.")
    return Act(thoughts, parts[:limit], uses, limit < len(parts), tokens)


def _wants_thoughts(call: Call, prompt: str) -> bool:
    return call.text is None and re.search(r"\bthink\b", prompt) is not None


def _uses(call: Call, question: Question, prompt: str) -> list[ToolUse]:
    found = [(name, arguments) for name, arguments in _asked(prompt) if name in question.tools]
    if not found and question.forced and question.tools:
        name = question.forced if question.forced in question.tools else next(iter(question.tools))
        found = [(name, smallest(question.tools[name]) or {})]
    return [ToolUse(call.wire.token(prompt, place)[:20], *use) for place, use in enumerate(found)]


def _asked(prompt: str) -> list[tuple[str, dict[str, Any]]]:
    """Read the calls that a prompt asks for.

    >>> _asked('call add {"a": 1} and then call stop')
    [('add', {'a': 1}), ('stop', {})]
    """
    found = []
    for match in re.finditer(r"\bcall ([\w.-]*\w)\s*", prompt):
        try:
            arguments, _ = json.JSONDecoder().raw_decode(prompt, match.end())
        except ValueError:
            arguments = {}
        found.append((match[1], arguments if isinstance(arguments, dict) else {}))
    return found


def _special(question: Question) -> str | None:
    if question.schema is not None:
        return json.dumps(smallest(question.schema) if question.schema else {"answer": "text"})
    if question.results:
        return "The tool says: " + "; ".join(question.results)
    return None
