"""What a fake answers with: texts, calls of tools, data, and everything that can go wrong, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from aichatkit.errors import ChatError, ConfigurationError
from aichatkit.params import nearest
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
    "parse_step",
    "told",
]

#: Pieces of text after which a cut comes: after all there are.
_ALL = 1 << 30
#: Longer than anybody waits, in seconds.
_FOR_EVER = 1e9


class Says:
    """An answer told in detail: the pieces it is streamed in, what the model thinks first, whether it is cut short."""

    def __init__(self, *chunks: str, reasoning: str = "", cut_short: bool = False) -> None:
        if not all(isinstance(chunk, str) for chunk in chunks):
            raise ConfigurationError("Says: its chunks must be strings")
        self.marks: dict[str, Any] = {"parts": list(chunks), "cut-short": cut_short}
        self.marks["thoughts"] = [reasoning] if reasoning else []
        self.text = "".join(chunks)

    def __repr__(self) -> str:
        return f"Says({', '.join(map(repr, self.marks['parts']))})"


class UseTool:
    """A call of a tool: `UseTool("stock", article="A-17")`; a list of them is several calls at once."""

    def __init__(self, tool: str, /, **arguments: Any) -> None:
        self.use = (tool, arguments)

    def __repr__(self) -> str:
        return f"UseTool({self.use[0]!r}, **{self.use[1]!r})"


class Raw:
    """An answer as bytes, for services whose protocol the fake does not speak; several pieces are sent one by one."""

    def __init__(self, *pieces: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.pieces = pieces
        self.status = status
        self.headers = {"Content-Type": "application/octet-stream", **(headers or {})}

    def __repr__(self) -> str:
        return f"Raw(status={self.status})"


class Fault:
    """Any fault of the sandbox by its name, with its options: `Fault("error-page", status=502)`.

    `text` is what the answer would say, as far as the fault lets it come.
    """

    def __init__(self, name: str, /, *, text: str | None = None, **options: Any) -> None:
        if name not in FAULTS:
            raise ConfigurationError(f"there is no fault {name!r}{nearest(name, list(FAULTS))}")
        known = FAULTS[name].options
        for option in options:
            if option not in known:
                raise ConfigurationError(f"the fault {name!r} has no option {option!r}{nearest(option, list(known))}")
        self.plan = Plan(FAULTS[name], {**known, **options})
        self.text = text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if type(self) is not Fault else repr(self.plan.fault.name)})"


class RateLimit(Fault):
    """Too many requests; `retry_after` is how many seconds the service asks to wait."""

    def __init__(self, *, retry_after: float | None = None) -> None:
        super().__init__("rate-limit", retry_after="" if retry_after is None else f"{retry_after:g}")


class Quota(Fault):
    """The allowance or the money is used up."""

    def __init__(self) -> None:
        super().__init__("quota")


class WrongKey(Fault):
    """The key is refused."""

    def __init__(self) -> None:
        super().__init__("unauthorized")


class Blocked(Fault):
    """A page that asks for a browser, in the place of an answer."""

    def __init__(self) -> None:
        super().__init__("challenge")


class BadRequest(Fault):
    """The request is refused as wrong."""

    def __init__(self) -> None:
        super().__init__("bad-request")


class TooLong(Fault):
    """The messages do not fit the model."""

    def __init__(self) -> None:
        super().__init__("context-too-long")


class Filtered(Fault):
    """The prompt is stopped by a content filter."""

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
    """The service fails with a status from 500 on."""

    def __init__(self, status: int = 500) -> None:
        super().__init__("server-error", status=status)


class WebPage(Fault):
    """Some web page with status 200."""

    def __init__(self) -> None:
        super().__init__("html")


class Empty(Fault):
    """A well-formed answer without text."""

    def __init__(self) -> None:
        super().__init__("empty")


class Cut(Fault):
    """This text, and then the connection breaks."""

    def __init__(self, text: str = "") -> None:
        super().__init__("cut", text=text, after=_ALL)


class Stall(Fault):
    """This text, and then silence until the time is out."""

    def __init__(self, text: str = "") -> None:
        super().__init__("stall", text=text, after=_ALL, seconds=_FOR_EVER)


class Silence(Fault):
    """No answer begins before the time is out."""

    def __init__(self) -> None:
        super().__init__("slow-head", seconds=_FOR_EVER)


class Unreachable:
    """Nothing listens at the address."""

    def __repr__(self) -> str:
        return "Unreachable()"


def parse_step(step: Any) -> Any:
    """Return what a fake can answer with; refuse the rest where the test is written."""
    if isinstance(step, ChatError):
        raise ConfigurationError(
            f"a fake answers as a service would, so {type(step).__name__} comes of a step such as "
            f"RateLimit(retry_after=2), Quota() or Cut('Par'); aichatkit.testing.steps has them all"
        )
    if isinstance(step, type) and issubclass(step, (Fault, Unreachable)):
        raise ConfigurationError(f"write {step.__name__}() with brackets")
    known = (str, Says, UseTool, Raw, Fault, Unreachable, BaseException)
    if not isinstance(step, known) and not callable(step) and not _is_uses(step):
        _json_of(step)
    return step


def told(step: Any, call: Call) -> None:
    """Put the text of a step, its pieces and its calls of tools into the call that is being answered."""
    if isinstance(step, Says):
        call.text = step.text
        call.marks.update(step.marks)
    elif isinstance(step, UseTool) or _is_uses(step):
        uses = [step] if isinstance(step, UseTool) else step
        call.marks["uses"] = [each.use for each in uses]
    else:
        call.text = step if isinstance(step, str) else _json_of(step)


def _is_uses(step: Any) -> bool:
    return isinstance(step, Sequence) and bool(step) and all(isinstance(each, UseTool) for each in step)


def _json_of(data: Any) -> str:
    if hasattr(data, "model_dump_json"):
        return str(data.model_dump_json())
    value = asdict(data) if is_dataclass(data) and not isinstance(data, type) else data
    try:
        if value is not None:
            return json.dumps(value)
    except (TypeError, ValueError):
        pass
    raise ConfigurationError(f"a fake cannot answer with {data!r}; pass text, data, a step or a function of the prompt")
