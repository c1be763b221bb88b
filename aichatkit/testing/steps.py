"""The answers of a fake: text, tool calls, data, and every failure by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.params import is_number, suggestion
from aichatkit.sandbox.faults import FAULTS, Plan
from aichatkit.sandbox.wires import Call

__all__ = [
    "BadRequest",
    "Blocked",
    "Cut",
    "Empty",
    "Failure",
    "Fault",
    "Filtered",
    "NoModel",
    "Overloaded",
    "Quota",
    "RateLimit",
    "Raw",
    "Says",
    "Silence",
    "Stall",
    "TooLong",
    "Unreachable",
    "UseTool",
    "WebPage",
    "WrongKey",
    "apply_step",
    "parse_step",
]

#: More text pieces than any answer has: the fault comes after all of them.
_ALL = 1 << 30
#: Longer than any timeout, in seconds.
_FOREVER = 1e9


class Says:
    """An answer in detail: the chunks it is streamed in, the reasoning before it, and whether it is truncated."""

    def __init__(self, *chunks: str, reasoning: str = "", cut_short: bool = False) -> None:
        if not all(isinstance(chunk, str) for chunk in chunks):
            raise ConfigurationError("Says: its chunks must be strings")
        self.marks: dict[str, Any] = {"text-parts": list(chunks), "truncated": cut_short}
        self.marks["reasoning-parts"] = [reasoning] if reasoning else []
        self.text = "".join(chunks)

    def __repr__(self) -> str:
        return f"Says({', '.join(map(repr, self.marks['text-parts']))})"


class UseTool:
    """A tool call: `UseTool("stock", article="A-17")`; a list of them makes parallel tool calls."""

    def __init__(self, tool: str, /, **arguments: Any) -> None:
        self.use = (tool, arguments)

    def __repr__(self) -> str:
        return f"UseTool({self.use[0]!r}, **{self.use[1]!r})"


class Raw:
    """An answer as raw bytes, for services with a protocol unknown to the fake; pieces are sent one by one."""

    def __init__(self, *pieces: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.pieces = pieces
        self.status = status
        self.headers = {"Content-Type": "application/octet-stream", **(headers or {})}

    def __repr__(self) -> str:
        return f"Raw(status={self.status})"


class Fault:
    """Any fault of the sandbox by its name, with its options: `Fault("error-page", status=502)`.

    `text` is the text of the answer, unless the fault suppresses it.
    """

    def __init__(self, name: str, /, *, text: str | None = None, **options: Any) -> None:
        if not isinstance(name, str) or name not in FAULTS:
            raise ConfigurationError(f"there is no fault {name!r}{suggestion(name, list(FAULTS))}")
        defaults = FAULTS[name].options
        for option in options:
            if option not in defaults:
                hint = suggestion(option, list(defaults))
                raise ConfigurationError(f"the fault {name!r} has no option {option!r}{hint}")
        self.plan = Plan(FAULTS[name], {**defaults, **options})
        self.text = text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if type(self) is not Fault else repr(self.plan.fault.name)})"


class RateLimit(Fault):
    """Too many requests; `retry_after` is the delay the service asks for, in seconds."""

    def __init__(self, *, retry_after: float | None = None) -> None:
        if retry_after is not None and not (is_number(retry_after) and retry_after <= sys.float_info.max):
            raise ConfigurationError(f"RateLimit: retry_after must be a number of seconds, not {retry_after!r:.60}")
        super().__init__("rate-limit", retry_after="" if retry_after is None else f"{retry_after:g}")


class Quota(Fault):
    """The quota or the credit is used up."""

    def __init__(self) -> None:
        super().__init__("quota")


class WrongKey(Fault):
    """The API key is rejected."""

    def __init__(self) -> None:
        super().__init__("unauthorized")


class Blocked(Fault):
    """A browser challenge page instead of an answer."""

    def __init__(self) -> None:
        super().__init__("challenge")


class BadRequest(Fault):
    """The request is rejected as invalid."""

    def __init__(self) -> None:
        super().__init__("bad-request")


class TooLong(Fault):
    """The messages exceed the context window of the model."""

    def __init__(self) -> None:
        super().__init__("context-too-long")


class Filtered(Fault):
    """The prompt is blocked by a content filter."""

    def __init__(self) -> None:
        super().__init__("content-filter")


class NoModel(Fault):
    """The service has no such model."""

    def __init__(self) -> None:
        super().__init__("model-not-found")


class Overloaded(Fault):
    """The service has no capacity."""

    def __init__(self) -> None:
        super().__init__("overloaded")


class Failure(Fault):
    """The service fails with a status of 500 or above."""

    def __init__(self, status: int = 500) -> None:
        super().__init__("server-error", status=status)


class WebPage(Fault):
    """An HTML page with status 200 instead of an answer."""

    def __init__(self) -> None:
        super().__init__("html")


class Empty(Fault):
    """A well-formed answer without text."""

    def __init__(self) -> None:
        super().__init__("empty")


class Cut(Fault):
    """This text, then the connection is closed in the middle of the stream."""

    def __init__(self, text: str = "") -> None:
        super().__init__("cut", text=text, after=_ALL)


class Stall(Fault):
    """This text, then silence until the timeout."""

    def __init__(self, text: str = "") -> None:
        super().__init__("stall", text=text, after=_ALL, seconds=_FOREVER)


class Silence(Fault):
    """No response before the timeout."""

    def __init__(self) -> None:
        super().__init__("slow-head", seconds=_FOREVER)


class Unreachable:
    """A refused connection: nothing listens at the address."""

    def __repr__(self) -> str:
        return "Unreachable()"


def parse_step(step: Any) -> Any:
    """Return a valid step; reject an invalid one as soon as the fake is created."""
    if isinstance(step, ChatError):
        raise ConfigurationError(
            f"a fake answers as a service would, so {type(step).__name__} comes of a step such as "
            f"RateLimit(retry_after=2), Quota() or Cut('Par'); aichatkit.testing.steps has them all"
        )
    if isinstance(step, type) and issubclass(step, (Fault, Unreachable)):
        raise ConfigurationError(f"write {step.__name__}() with brackets")
    step_types = (str, Says, UseTool, Raw, Fault, Unreachable, BaseException)
    if not isinstance(step, step_types) and not callable(step) and not _is_tool_call_list(step):
        _to_json(step)
    return step


def apply_step(step: Any, call: Call) -> None:
    """Set the text, chunks and tool calls of a step on the call it answers."""
    if isinstance(step, Says):
        call.text = step.text
        call.overrides.update(step.marks)
    elif isinstance(step, UseTool) or _is_tool_call_list(step):
        tool_calls = [step] if isinstance(step, UseTool) else step
        call.overrides["tool-calls"] = [tool_call.use for tool_call in tool_calls]
    else:
        call.text = step if isinstance(step, str) else _to_json(step)


def _is_tool_call_list(step: Any) -> bool:
    return isinstance(step, Sequence) and bool(step) and all(isinstance(item, UseTool) for item in step)


def _to_json(data: Any) -> str:
    if hasattr(data, "model_dump_json"):
        return str(data.model_dump_json())
    value = asdict(data) if is_dataclass(data) and not isinstance(data, type) else data
    try:
        if value is not None:
            return json.dumps(value)
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(f"a fake cannot answer with {data!r}; pass text, data, a step or a function of the prompt")
