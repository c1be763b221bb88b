"""Exchange -> wire: what every service has, its routes, its checks, its answers and its refusals."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from aichatkit._dataclasses import dataclass, field
from aichatkit.sandbox.exchange import Answer, Piece, Request, Trouble


@dataclass(frozen=True)
class Settings:
    """What a sandbox was started with, as far as the wires care."""

    url: str = ""
    seed: int = 0
    api_keys: frozenset[str] | None = None
    secret: str = ""
    password: str | None = None


@dataclass(frozen=True)
class Route:
    """A method and a path pattern, the kind of request it is, and the method of the wire that answers it."""

    method: str
    path: str
    handler: str
    kind: str = "chat"


@dataclass
class Call:
    """One request on its way through a wire; faults may change `text` and `marks` before it is answered.

    `decide` is told the user's turns before an answer is made, and may change both as well.
    """

    request: Request
    wire: Wire
    route: Route
    compose: Callable[[Sequence[str], str | None], str]
    text: str | None = None
    marks: dict[str, Any] = field(default_factory=dict)
    decide: Callable[[Call, Sequence[str]], None] | None = None

    def read(self, turns: Sequence[str]) -> None:
        """Let what decides see the user's turns, once."""
        decide, self.decide = self.decide, None
        if decide is not None:
            decide(self, turns)

    def say(self, turns: Sequence[str], otherwise: str | None = None) -> str:
        """Answer the last of the user's turns, with `otherwise` if given in the place of ELIZA's words."""
        self.read(turns)
        return self.compose(turns, otherwise) if self.text is None else self.text


class Wire(ABC):
    """One service: a name, routes, checks, and the real server's shapes.

    A handler takes the call and returns an answer, or raises `Trouble`.
    A wire keeps what its real server would keep between two requests, and nothing else.
    """

    name: ClassVar[str]
    routes: ClassVar[Sequence[Route]]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def find(self, request: Request) -> tuple[Route | None, list[str]]:
        """Look up a route; beside it the methods that the path takes."""
        routes = [route for route in self.routes if re.fullmatch(route.path, request.path)]
        fitting = [route for route in routes if route.method == request.method]
        return (fitting[0] if fitting else None), [route.method for route in routes]

    def answer(self, call: Call) -> Answer:
        """Answer a call, or refuse it in the shape of the real server."""
        handler: Callable[[Call], Answer] = getattr(self, call.route.handler)
        try:
            return handler(call)
        except Trouble as trouble:
            return self.refuse(trouble, call.request)

    @abstractmethod
    def refuse(self, trouble: Trouble, request: Request | None = None) -> Answer:
        """Make the real server's refusal."""

    def interrupt(self, trouble: Trouble) -> bytes:
        """Make what a stream that has begun says about a trouble."""
        return self.refuse(trouble).body + b"\n"

    def comment(self) -> bytes:
        """Make bytes that keep a stream alive and say nothing."""
        return b"\n"

    def token(self, *parts: object) -> str:
        """Make hex digits that depend on the seed, the wire and the parts only."""
        text = ":".join(str(part) for part in (self.settings.seed, self.name, *parts))
        return hashlib.sha256(text.encode()).hexdigest()


def fragments(text: str) -> list[str]:
    """Cut a text into the word fragments a model would send.

    >>> fragments("Tell me about yourself.")
    ['Tell', ' me', ' about', ' yours', 'elf.']
    """
    return re.findall(r"\s*\S{1,5}|\s+", text)


def text_pieces(text: str, encode: Callable[[str], bytes]) -> list[Piece]:
    """Make one piece for each fragment of a text."""
    return [Piece(encode(fragment)) for fragment in fragments(text)]


def read_json(request: Request, *, any_type: bool = False) -> dict[str, Any]:
    """Read the JSON object in a body, with its content type unless the service does not look at it."""
    if not any_type and request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Trouble("wrong-type")
    try:
        record = request.json()
    except ValueError as error:
        raise Trouble("bad-request", "We could not parse the JSON body of your request.") from error
    if not isinstance(record, dict):
        raise Trouble("bad-request", "The JSON body of your request has to be an object.")
    return record


def need(record: Mapping[str, Any], fields: Iterable[tuple[str, Any]]) -> None:
    """Refuse a record that lacks a field or holds another type in it."""
    for name, kind in fields:
        if not isinstance(record.get(name), kind):
            raise Trouble("bad-request", f"The field '{name}' is missing or of the wrong type.")


def user_turns(prompt: str) -> list[str]:
    """Take the user's turns out of a prompt that is a whole transcript.

    >>> user_turns("User: Hi\\nAssistant: Hello!\\nUser: Bye\\nAssistant:")
    ['Hi', 'Bye']
    >>> user_turns("Is this a User: prompt?")
    ['Is this a User: prompt?']
    """
    if not re.search(r"\bassistant:\s*$", prompt, re.IGNORECASE):
        return [prompt]
    parts = re.split(r"(?:^|\s)(user|assistant|system):(?=\s|$)", prompt, flags=re.IGNORECASE)
    labelled = zip(parts[1::2], parts[2::2])
    return [content.strip() for role, content in labelled if role.lower() == "user"]
