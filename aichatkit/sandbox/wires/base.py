"""Request -> response: the base class of the wires, with routing, validation and error responses."""

from __future__ import annotations

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from aichatkit._dataclasses import dataclass, field
from aichatkit.sandbox.exchange import APIError, Piece, Request, Response, fragments
from aichatkit.sandbox.prompt_caches import BATCH, CacheUse, Caching, Prompt, PromptCaches


@dataclass(frozen=True)
class Settings:
    """The options of the sandbox that affect its wires."""

    url: str = ""
    seed: int = 0
    api_keys: frozenset[str] | None = None
    secret: str = ""
    password: str | None = None
    prompt_caches: PromptCaches = field(default_factory=PromptCaches)


@dataclass(frozen=True)
class Route:
    """An HTTP method and a path pattern, the name of the wire's handler method, and the endpoint that faults select."""

    method: str
    path: str
    handler: str
    endpoint: str = "chat"


@dataclass
class Call:
    """A request matched to a route of a wire; faults may change `text` and `overrides` before it is answered.

    `on_turns` is called with the user's turns before the answer is composed, and may change both as well.
    """

    request: Request
    wire: Wire
    route: Route
    compose: Callable[[Sequence[str], str | None], str]
    text: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    on_turns: Callable[[Call, Sequence[str]], None] | None = None
    #: How the prompt uses the cache of the service, once it is known.
    caching: Caching | None = None

    def use_cache(self, prompt: Prompt, usual_tokens: int, output_tokens: int) -> CacheUse:
        """Return what a prompt reads from the cache of the service and writes to it.

        Of a model that the catalog does not know, nothing is cached, and the prompt has `usual_tokens`.
        """
        if not prompt.record:
            return CacheUse(usual_tokens)
        if self.route.endpoint == "batch-row":
            prompt = prompt._replace(account=BATCH + prompt.account)
        self.caching = self.wire.settings.prompt_caches.use(prompt)
        self.caching.output_tokens = output_tokens
        return self.caching.use

    def report_turns(self, turns: Sequence[str]) -> None:
        """Call `on_turns` with the user's turns, the first time only."""
        on_turns, self.on_turns = self.on_turns, None
        if on_turns is not None:
            on_turns(self, turns)

    def answer_text(self, turns: Sequence[str], default: str | None = None) -> str:
        """Return the answer to the last of the user's turns; `default` replaces ELIZA's answer."""
        self.report_turns(turns)
        return self.compose(turns, default) if self.text is None else self.text


class Wire(ABC):
    """The server side of one service: its routes, validation, and response formats.

    A handler takes the call and returns a response, or raises `APIError`.
    A wire keeps only the state that the real server would keep between requests.
    """

    name: ClassVar[str]
    routes: ClassVar[Sequence[Route]]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def match(self, request: Request) -> tuple[Route | None, list[str]]:
        """Return the matching route, if any, and the methods that the path allows."""
        routes = [route for route in self.routes if re.fullmatch(route.path, request.path)]
        matches = [route for route in routes if route.method == request.method]
        return (matches[0] if matches else None), [route.method for route in routes]

    def respond(self, call: Call) -> Response:
        """Return the response to a call; errors are formatted as by the real server."""
        handler: Callable[[Call], Response] = getattr(self, call.route.handler)
        try:
            return handler(call)
        except APIError as error:
            return self.error_response(error, call.request)
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
            # A body of a shape that no service takes, deeper than the wire checks.
            return self.error_response(APIError("bad-request"), call.request)

    @abstractmethod
    def error_response(self, error: APIError, request: Request | None = None) -> Response:
        """Build an error response as the real server formats it."""

    def error_event(self, error: APIError) -> bytes:
        """Build the bytes that report an error in the middle of a stream."""
        return self.error_response(error).body + b"\n"

    def keep_alive(self) -> bytes:
        """Build the bytes that keep a stream alive without content."""
        return b"\n"

    def digest(self, *parts: object) -> str:
        """Return hex digits that depend only on the seed, the wire and the parts."""
        text = ":".join(str(part) for part in (self.settings.seed, self.name, *parts))
        return hashlib.sha256(text.encode()).hexdigest()


def text_pieces(text: str, encode: Callable[[str], bytes]) -> list[Piece]:
    """Build one piece for each fragment of a text."""
    return [Piece(encode(fragment)) for fragment in fragments(text)]


def sse_event(record: Any, name: str = "") -> bytes:
    """Build one server-sent event; `name` is for protocols with named events."""
    name_line = f"event: {name}\n" if name else ""
    return f"{name_line}data: {json.dumps(record)}\n\n".encode()


def parse_json(request: Request, *, any_content_type: bool = False) -> dict[str, Any]:
    """Parse the JSON object in a request body; `any_content_type` is for services that ignore the header."""
    if not any_content_type and request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise APIError("wrong-type")
    try:
        record = json.loads(request.body, parse_constant=_refuse_number, parse_float=_parse_float)
    except (ValueError, RecursionError) as error:
        raise APIError("bad-request", "We could not parse the JSON body of your request.") from error
    if not isinstance(record, dict):
        raise APIError("bad-request", "The JSON body of your request has to be an object.")
    return record


def _parse_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:
    # Python's own parser takes NaN and infinities, which JSON does not have.
    raise ValueError(f"{text} is no JSON number")


def require_fields(record: Mapping[str, Any], fields: Iterable[tuple[str, Any]]) -> None:
    """Reject a record if a field is missing or of the wrong type."""
    for name, types in fields:
        value = record.get(name)
        if not isinstance(value, types) or isinstance(value, bool):
            raise APIError("bad-request", f"The field '{name}' is missing or of the wrong type.")


def user_turns(prompt: str) -> list[str]:
    """Extract the user's turns from a prompt that is a transcript.

    >>> user_turns("User: Hi\\nAssistant: Hello!\\nUser: Bye\\nAssistant:")
    ['Hi', 'Bye']
    >>> user_turns("Is this a User: prompt?")
    ['Is this a User: prompt?']
    """
    if not re.search(r"\bassistant:\s*$", prompt, re.IGNORECASE):
        return [prompt]
    parts = re.split(r"(?:^|\s)(user|assistant|system):(?=\s|$)", prompt, flags=re.IGNORECASE)
    labeled = zip(parts[1::2], parts[2::2])
    return [content.strip() for role, content in labeled if role.lower() == "user"]
