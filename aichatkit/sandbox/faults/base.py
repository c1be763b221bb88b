"""Text -> plan: what a fault is, and how one is written in a script or a URL."""

from __future__ import annotations

import inspect
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aichatkit._dataclasses import dataclass, field
from aichatkit.sandbox.exchange import Answer, Piece
from aichatkit.sandbox.wires import Call

#: Makes the answer as it would be without the fault.
Reply = Callable[[], Answer]


@dataclass(frozen=True)
class Fault:
    """A named way to spoil an answer; `options` are its defaults, `on` the kind of request it is for."""

    name: str
    description: str
    apply: Callable[..., Answer] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    on: str = "chat"


#: Name -> fault, in the order they are written down.
FAULTS: dict[str, Fault] = {}

_Apply = TypeVar("_Apply", bound=Callable[..., Answer])


def fault(*, on: str = "chat") -> Callable[[_Apply], _Apply]:
    """Register a function as the fault of its name; its docstring describes it, its defaults are the options."""

    def register(apply: _Apply) -> _Apply:
        options = {
            name: parameter.default
            for name, parameter in inspect.signature(apply).parameters.items()
            if parameter.default is not parameter.empty
        }
        name = apply.__name__.replace("_", "-")
        FAULTS[name] = Fault(name, inspect.getdoc(apply) or "", apply, options, on)
        return apply

    return register


@dataclass(frozen=True)
class Plan:
    """A fault with the options somebody chose for it; `times` bounds how often a URL meets it."""

    fault: Fault
    options: Mapping[str, Any] = field(default_factory=dict)
    on: str = "chat"
    times: int | None = None

    def fits(self, call: Call) -> bool:
        """Tell whether the fault is meant for this kind of request."""
        return self.on in ("any", call.route.kind)

    def spoil(self, reply: Reply, call: Call) -> Answer:
        """Make the spoiled answer."""
        return self.fault.apply(reply, call, **self.options)


def parse_plan(text: str) -> Plan:
    """Read `NAME` or `NAME,option=value,...`; every fault also takes `on` and `times`."""
    name, *settings = text.split(",")
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; there are: {', '.join(sorted(FAULTS))}")
    chosen = FAULTS[name]
    options = dict(chosen.options)
    on, times = chosen.on, None
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip().replace("-", "_")
        if key == "on":
            on = value
        elif key == "times":
            times = int(value)
        elif equals and key in options:
            options[key] = _value(value, options[key])
        else:
            raise ValueError(f"the fault {name!r} takes {', '.join([*options, 'on', 'times'])}, not {setting!r}")
    return Plan(chosen, options, on, times)


def split_prefix(target: str) -> tuple[list[str], str]:
    """Take the leading `/fault/NAME` segments off a path.

    >>> split_prefix("/fault/cut,after=3/v1/models")
    (['cut,after=3'], '/v1/models')
    """
    chosen = []
    while target.startswith("/fault/"):
        text, slash, rest = target[len("/fault/") :].partition("/")
        chosen.append(urllib.parse.unquote(text))
        target = slash + rest or "/"
    return chosen, target


def cut_after(answer: Answer, after: int) -> Answer:
    """Drop what follows the first `after` pieces of text, or the second half of a body that is one document.

    The head goes on promising the whole.
    """
    pieces = list(answer.pieces)
    if answer.framing == "length":
        answer.length = len(answer.body)
    places = [index for index, piece in enumerate(pieces) if piece.kind == "text"]
    if len(pieces) == 1 and answer.framing == "length":
        whole = pieces[0].data
        answer.pieces = [Piece(whole[: len(whole) // 2])]
    elif after < len(places):
        answer.pieces = pieces[: places[after]]
    else:
        answer.pieces = [piece for piece in pieces if piece.kind not in ("finish", "done")]
    return answer


def _value(text: str, default: Any) -> Any:
    if isinstance(default, (int, float)):
        return type(default)(text)
    return text
