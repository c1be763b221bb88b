"""Text -> plan: faults, and the syntax for them in a script or a URL."""

from __future__ import annotations

import inspect
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aichatkit._dataclasses import dataclass, field
from aichatkit.sandbox.exchange import Piece, Response
from aichatkit.sandbox.wires import Call

#: Returns the response without the fault.
Respond = Callable[[], Response]


@dataclass(frozen=True)
class Fault:
    """A named fault of a response; `options` are its options with their defaults, `on` the endpoint it applies to."""

    name: str
    description: str
    apply: Callable[..., Response] = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    on: str = "chat"


#: Name -> fault, in the order of definition.
FAULTS: dict[str, Fault] = {}

_Apply = TypeVar("_Apply", bound=Callable[..., Response])


def fault(*, on: str = "chat") -> Callable[[_Apply], _Apply]:
    """Register a function as a fault, with its name, docstring, and parameters with defaults as the options."""

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
    """A fault with its options; `times` limits how often it applies to a URL."""

    fault: Fault
    options: Mapping[str, Any] = field(default_factory=dict)
    on: str = "chat"
    times: int | None = None

    def applies_to(self, call: Call) -> bool:
        """Return whether the fault applies to the endpoint of this call."""
        return self.on in ("any", call.route.endpoint)

    def apply(self, respond: Respond, call: Call) -> Response:
        """Build the faulty response."""
        return self.fault.apply(respond, call, **self.options)


def parse_plan(text: str) -> Plan:
    """Parse `NAME` or `NAME,option=value,...`; every fault also takes `on` and `times`."""
    name, *settings = text.split(",")
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; there are: {', '.join(sorted(FAULTS))}")
    selected = FAULTS[name]
    options = dict(selected.options)
    on, times = selected.on, None
    for setting in settings:
        key, equals, value = setting.partition("=")
        key = key.strip().replace("-", "_")
        if key == "on":
            on = value
        elif key == "times":
            times = int(value)
        elif equals and key in options:
            options[key] = _convert(value, options[key])
        else:
            raise ValueError(f"the fault {name!r} takes {', '.join([*options, 'on', 'times'])}, not {setting!r}")
    return Plan(selected, options, on, times)


def split_prefix(target: str) -> tuple[list[str], str]:
    """Split the leading `/fault/NAME` segments from a path.

    >>> split_prefix("/fault/cut,after=3/v1/models")
    (['cut,after=3'], '/v1/models')
    """
    names = []
    while target.startswith("/fault/"):
        text, slash, rest = target[len("/fault/") :].partition("/")
        names.append(urllib.parse.unquote(text))
        target = slash + rest or "/"
    return names, target


def cut_after(response: Response, after: int) -> Response:
    """Drop everything after the first `after` pieces of text, or the second half of a body in one piece.

    The content length in the head stays that of the complete body.
    """
    pieces = list(response.pieces)
    if response.framing == "length":
        response.length = len(response.body)
    text_indexes = [index for index, piece in enumerate(pieces) if piece.phase == "text"]
    if len(pieces) == 1 and response.framing == "length":
        body = pieces[0].data
        response.pieces = [Piece(body[: len(body) // 2])]
    elif after < len(text_indexes):
        response.pieces = pieces[: text_indexes[after]]
    else:
        response.pieces = [piece for piece in pieces if piece.phase not in ("finish", "done")]
    return response


def _convert(text: str, default: Any) -> Any:
    if isinstance(default, (int, float)):
        return type(default)(text)
    return text
