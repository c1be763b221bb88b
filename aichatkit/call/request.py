"""Messages and options -> request -> answer: prepare, send, and read up to the first text."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Callable

import requests

from aichatkit import params
from aichatkit._dataclasses import dataclass, field, replace
from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit._surrogates import repair_escapes
from aichatkit.call.answer import Answer
from aichatkit.catalog.models import Catalog
from aichatkit.errors import BadResponseError, ChatError, ConfigurationError
from aichatkit.messages import File, Message, ToolCallsMessage, iter_files, text_of_file
from aichatkit.providers.base import Options, Provider, parsing
from aichatkit.transport.responses import Response
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    import inspect

    from aichatkit import _json
    from aichatkit.call import multipart, refusals
    from aichatkit.providers import image_fields, search_fields, tool_fields
else:
    _json = lazy_module("aichatkit._json")
    inspect = lazy_module("inspect")
    # Few models refuse a parameter.
    refusals = lazy_module("aichatkit.call.refusals")
    # Few calls generate images.
    multipart = lazy_module("aichatkit.call.multipart")
    image_fields = lazy_module("aichatkit.providers.image_fields")
    # Few calls search, or use tools of the service.
    search_fields = lazy_module("aichatkit.providers.search_fields")
    tool_fields = lazy_module("aichatkit.providers.tool_fields")

__all__ = [
    "ProviderRequest",
    "build_http_request",
    "check_request",
    "encode_body",
    "fetch_json",
    "file_problem",
    "prepare",
    "send_request",
]

# Made once: `json.dumps` makes an encoder for every call if it gets an option.
_encode = json.JSONEncoder(allow_nan=False).encode


@dataclass(frozen=True)
class ProviderRequest:
    """A request to one provider, before the provider builds the HTTP request."""

    provider: Provider
    model: str
    messages: Sequence[Message]
    options: Options
    catalog: Catalog = field(default_factory=Catalog, repr=False)
    #: Changes to the body that follow from what the model refused.
    changes: Sequence[refusals.Change] = ()
    keep_raw: bool = False


def send_request(
    request: ProviderRequest,
    http: Transport,
    *,
    clock: Callable[[], float] = time.monotonic,
    on_request: Callable[[requests.Request], None] | None = None,
) -> Answer:
    """Send the request and return the answer with its first text received; raise one of our errors."""
    started, original = clock(), request
    request, http_request = build_http_request(request, http)
    body: Any = http_request.json
    http_request = encode_body(http_request, request)
    if on_request is not None:
        on_request(http_request)
    try:
        return _open(request, http.send(http_request), http, started=started, clock=clock)
    except ChatError as error:
        if error._refused:
            refusals.note_refusal(error, body, original)
        raise


def build_http_request(request: ProviderRequest, http: Transport) -> tuple[ProviderRequest, requests.Request]:
    """Return the request as it is sent, with instructions in place of what the service does not support.

    Its body is not encoded yet.
    """
    request = _with_instructions(request)
    if "text" not in request.provider.takes_files:
        request = replace(request, messages=_with_text_files(request.messages))
    http_request = _build(request, http)
    for change in request.changes:
        refusals.apply(http_request.json, change, request.options)
    return request, http_request


def _open(
    request: ProviderRequest, response: Response, http: Transport, *, started: float, clock: Callable[[], float]
) -> Answer:
    if not 200 <= response.status < 300:
        raise http.refusal(response, model=request.model)
    answer = Answer(
        request.provider,
        request.model,
        response,
        http=http,
        alt=_last_text(request.messages),
        started=started,
        clock=clock,
        catalog=request.catalog,
        keep_raw=request.keep_raw,
        turn=len(request.messages),
        writes_long=request.options.cache is not None and request.options.cache.is_long,
    )
    try:
        answer.start()
    except BaseException:
        answer.close()
        raise
    return answer


def fetch_json(
    http: Transport, http_request: requests.Request, *, provider: Provider, model: str, limit: int, what: str
) -> tuple[Any, Mapping[str, str]]:
    """Send a request that is answered by one JSON document; return it and the headers.

    `what` names the answer in errors.

    Raises:
        ChatError: the service refused the request, or its answer is longer than `limit` bytes or no JSON.
    """
    response = http.send(http_request)
    if not 200 <= response.status < 300:
        raise http.refusal(response, model=model)
    body, complete = response.read_body(limit)
    if not complete:
        raise BadResponseError(f"{provider.name}: {what} are larger than {limit:,} bytes", provider=provider.name)
    try:
        return json.loads(body), response.headers
    except (ValueError, RecursionError) as error:
        reason = reason_of(error)
    raise BadResponseError(
        f"{provider.name}: expected JSON and got: {body[:100].decode('utf-8', 'replace')!r}",
        provider=provider.name,
        reason=reason,
    )


def prepare(provider: Provider, http: Transport, messages: Sequence[Message] = ()) -> Mapping[str, str]:
    """Return the provider's settings and the result of its handshake; unreadable data is a BadResponseError."""
    if type(provider).prepare is Provider.prepare:
        return provider.find_settings()
    hook: Any = provider.prepare
    with parsing(provider.name, "handshake"):
        tokens = hook(http, messages=messages) if _takes(type(provider).prepare, "messages") else hook(http)
        return {**provider.find_settings(), **tokens}


def check_request(request: ProviderRequest) -> None:
    """Raise if the provider does not support what is requested; nothing is sent."""
    provider, options = request.provider, request.options
    if provider.no_chat:
        instead = provider.no_chat.format(f"{provider.name}/{request.model}")
        message = f"{provider.name} does not chat; call {instead}"
        raise ConfigurationError(message, provider=provider.name, action="next")
    if options.params:
        params.reject_unsupported(options.params, provider.params, provider=provider.name)
    if options.tools and not provider.takes_tools:
        raise ConfigurationError(f"{provider.name} does not take tools", provider=provider.name, action="next")
    if options.has_tool_fields:
        if options.search is not None:
            search_fields.check_search(provider, request.model, options)
        tool_fields.check_tool_fields(provider, options)
    if options.extra and not _takes(type(provider).build_request, "options"):
        raise ConfigurationError(f"{provider.name} does not take extra fields", provider=provider.name, action="next")
    if options.image is not None or provider.draws(request.model):
        image_fields.check_image(provider, request.model, request.messages, options)
    for file in iter_files(request.messages):
        _check_file(file, provider)


def _build(request: ProviderRequest, http: Transport) -> requests.Request:
    provider = request.provider
    tokens = prepare(provider, http, request.messages)
    with parsing(provider.name, "prompt"):
        if _takes(type(provider).build_request, "options"):
            build: Any = provider.build_request
            options = replace(request.options, tokens=tokens) if tokens else request.options
            return build(request.messages, request.model, options=options)  # type: ignore[no-any-return]
        http_request = provider.build_request(request.messages, request.model)
    if tokens:
        http_request.headers = {**(http_request.headers or {}), **tokens}
    return http_request


def encode_body(http_request: requests.Request, request: ProviderRequest) -> requests.Request:
    """Encode the body as JSON here: a value that cannot be encoded is known to come from the caller."""
    if http_request.json is None:
        return http_request
    if http_request.files:
        files: Any = http_request.files
        form, content_type = multipart.encode_form(http_request.json, files, provider=request.provider.name)
        http_request.data, http_request.json, http_request.files = form, None, []
        http_request.headers = {**(http_request.headers or {}), "Content-Type": content_type}
        return http_request
    # Only the arguments of tool calls hold numbers that a float cannot.
    encode = _json.dumps if any(isinstance(message, ToolCallsMessage) for message in request.messages) else _encode
    try:
        body = repair_escapes(encode(http_request.json)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem, reason = str(error) or type(error).__name__, reason_of(error)
    else:
        http_request.data, http_request.json = body, None
        http_request.headers = {"Content-Type": "application/json", **(http_request.headers or {})}
        return http_request
    name = request.provider.name
    raise ConfigurationError(
        f"{name}: the request is not JSON serializable ({problem}); check parameters, extra, tools and messages",
        provider=name,
        reason=reason,
    )


def _check_file(file: File, provider: Provider) -> None:
    problem = file_problem(file, provider)
    if problem:
        raise ConfigurationError(f"{provider.name} {problem}", provider=provider.name, action="next")


def file_problem(file: File, provider: Provider) -> str:
    """Return why a service does not take a file, "" if it does."""
    name = file.name or f"the {file.kind}"
    if file.kind not in provider.takes_files and not (file.kind == "text" and file.data):
        takes = f"it takes {', '.join(sorted(provider.takes_files))}" if provider.takes_files else "it takes text only"
        return f"does not take {file.kind} files ({name}); {takes}"
    if file.kind == "image" and not _takes_image(file, provider):
        types = ", ".join(sorted(name.partition("/")[2] for name in provider.takes_images))
        return f"does not take images of type {file.media_type} ({name}), only {types}; convert it first"
    if len(file.data) > provider.max_file:
        return f"takes files of at most {provider.max_file:,} bytes, and {name} has {len(file.data):,}"
    return ""


def _takes_image(file: File, provider: Provider) -> bool:
    """Return whether a service takes images of this type; the type of a URL may be unknown."""
    media_type = {"image/jpg": "image/jpeg"}.get(file.media_type, file.media_type)
    is_known = bool(file.data) or not media_type.endswith("*")
    return not provider.takes_images or not is_known or media_type in provider.takes_images


def _with_instructions(request: ProviderRequest) -> ProviderRequest:
    """For a service without structured output, ask for JSON in the last user message."""
    is_refused = bool(request.changes) and refusals.describes_schema(request.changes)
    if is_refused:
        request = refusals.schema_in_words(request)
    schema = request.options.schema
    if schema is None or (request.provider.takes_schema_for(request.model, request.options) and not is_refused):
        return request
    instructions = f"Answer with nothing but JSON that fits this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
    position = max((i for i, message in enumerate(request.messages) if message.role == "user"), default=None)
    messages = list(request.messages)
    if position is None:
        messages.append(Message("user", instructions))
    else:
        messages[position] = _with_text(messages[position], instructions)
    return replace(request, messages=messages, options=replace(request.options, schema=None))


def _with_text(message: Message, text: str) -> Message:
    content = message.content
    if isinstance(content, str):
        return Message(message.role, f"{content}\n\n{text}")
    return Message(message.role, [*content, {"type": "text", "text": text}])


def _with_text_files(messages: Sequence[Message]) -> Sequence[Message]:
    """Insert text files into the message text, for services that accept no files."""
    # A new list each time: a provider of the user's own may edit it.
    return [
        message if isinstance(message.content, str) else replace(message, content=list(map(_as_text, message.content)))
        for message in messages
    ]


def _as_text(part: dict[str, Any]) -> dict[str, Any]:
    file = part.get("file")
    if not isinstance(file, File) or file.kind != "text" or not file.data:
        return part
    return {"type": "text", "text": text_of_file(file)}


@cache
def _takes(hook: Callable[..., Any], name: str) -> bool:
    """Return whether a hook of a provider has a parameter of this name."""
    code = getattr(hook, "__code__", None)
    if code is None or vars(hook):
        # Not a function, or a decorated one.
        return name in inspect.signature(hook).parameters
    # The names of `*` and `**` follow those of the other parameters.
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return name in code.co_varnames[:count]


def _last_text(messages: Sequence[Message]) -> str:
    content = messages[-1].content
    if isinstance(content, str):
        return content
    return "\n".join(str(part["text"]) for part in content if part["type"] == "text")
