"""One attempt: prepare, send, and read until the first text is in hand."""

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
from aichatkit.call.answer import Answer
from aichatkit.catalog.prices import Price
from aichatkit.errors import ConfigurationError
from aichatkit.messages import File, Message, iter_files, text_of_file
from aichatkit.providers.base import Options, Provider, parsing
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    import inspect
else:
    inspect = lazy_module("inspect")

__all__ = ["ProviderRequest", "check_ask", "open_answer", "optional_fields", "prepare"]

# With an option `json.dumps` makes an encoder for every call.
_encode = json.JSONEncoder(allow_nan=False).encode


@dataclass(frozen=True)
class ProviderRequest:
    """What one provider is asked."""

    provider: Provider
    model: str
    messages: Sequence[Message]
    options: Options
    prices: Mapping[str, Price] = field(default_factory=dict, repr=False)
    #: Fields of the body, by the service's names, that are not sent.
    left_out: frozenset[str] = frozenset()
    keep_raw: bool = False


def open_answer(
    ask: ProviderRequest,
    http: Transport,
    *,
    clock: Callable[[], float] = time.monotonic,
    on_request: Callable[[requests.Request], None] | None = None,
) -> Answer:
    """Send the request and return the answer with its first text in hand; raise one of our errors."""
    started = clock()
    ask = _with_instructions(ask)
    if "text" not in ask.provider.takes_files:
        ask = replace(ask, messages=_with_text_files(ask.messages))
    request = _build(ask, http)
    if ask.left_out:
        optional = optional_fields(ask)
        for name in ask.left_out & set(optional):
            _leave_out(request.json, optional[name])
    request = _serialised(request, ask.provider)
    if on_request is not None:
        on_request(request)
    response = http.send(request)
    if not 200 <= response.status < 300:
        raise http.refusal(response, model=ask.model)
    answer = Answer(
        ask.provider,
        ask.model,
        response,
        http=http,
        alt=_last_text(ask.messages),
        started=started,
        clock=clock,
        prices=ask.prices,
        keep_raw=ask.keep_raw,
        turn=len(ask.messages),
    )
    try:
        answer.start()
    except BaseException:
        answer.close()
        raise
    return answer


def optional_fields(ask: ProviderRequest) -> dict[str, str]:
    """Return the fields that may be left out where the model refuses them: what it may call them -> their path."""
    provider = ask.provider
    # A service may know a parameter by another name at its own address than elsewhere.
    names = [provider.params, getattr(provider, "own_params", {})]
    paths = {"stream_options", *(table[name] for table in names for name in ask.options.params if name in table)}
    return {**{path.rpartition(".")[2]: path for path in paths}, **{path: path for path in paths}}


def prepare(provider: Provider, http: Transport) -> Mapping[str, str]:
    """Return the provider's settings and what its handshake gives; unreadable data is a BadResponseError naming it."""
    if type(provider).prepare is Provider.prepare:
        return provider.find_settings()
    with parsing(provider.name, "handshake"):
        return {**provider.find_settings(), **provider.prepare(http)}


def check_ask(ask: ProviderRequest) -> None:
    """Refuse what the provider does not take, before anything is sent."""
    provider, options = ask.provider, ask.options
    params.reject_unsupported(options.params, provider.params, provider=provider.name)
    if options.tools and not provider.takes_tools:
        raise ConfigurationError(f"{provider.name} does not take tools", provider=provider.name, action="next")
    if options.extra and not _takes_options(type(provider).build_request):
        raise ConfigurationError(f"{provider.name} does not take extra fields", provider=provider.name, action="next")
    for file in iter_files(ask.messages):
        _check_file(file, provider)


def _build(ask: ProviderRequest, http: Transport) -> requests.Request:
    provider = ask.provider
    tokens = prepare(provider, http)
    with parsing(provider.name, "prompt"):
        if _takes_options(type(provider).build_request):
            build: Any = provider.build_request
            options = replace(ask.options, tokens=tokens) if tokens else ask.options
            return build(ask.messages, ask.model, options=options)  # type: ignore[no-any-return]
        request = provider.build_request(ask.messages, ask.model)
    if tokens:
        request.headers = {**(request.headers or {}), **tokens}
    return request


def _serialised(request: requests.Request, provider: Provider) -> requests.Request:
    """Turn the body into bytes here, where what cannot be told in JSON is known to be the caller's."""
    if request.json is None:
        return request
    try:
        body = _encode(request.json).encode()
    except (TypeError, ValueError, RecursionError) as error:
        problem = str(error) or type(error).__name__
    else:
        request.data, request.json = body, None
        request.headers = {"Content-Type": "application/json", **(request.headers or {})}
        return request
    raise ConfigurationError(
        f"{provider.name}: the request cannot be told in JSON ({problem}); check parameters, extra, tools and messages",
        provider=provider.name,
    )


def _leave_out(body: Any, path: str) -> None:
    *outer, last = path.split(".")
    for name in outer:
        body = body.get(name, {})
    body.pop(last, None)


def _check_file(file: File, provider: Provider) -> None:
    name = file.name or f"the {file.kind}"
    if file.kind not in provider.takes_files and not (file.kind == "text" and file.data):
        takes = f"it takes {', '.join(sorted(provider.takes_files))}" if provider.takes_files else "it takes text only"
        problem = f"does not take {file.kind} files ({name}); {takes}"
    elif len(file.data) > provider.max_file:
        problem = f"takes files of at most {provider.max_file:,} bytes, and {name} has {len(file.data):,}"
    else:
        return
    raise ConfigurationError(f"{provider.name} {problem}", provider=provider.name, action="next")


def _with_instructions(ask: ProviderRequest) -> ProviderRequest:
    """Where the service cannot hold an answer to a schema by itself, ask for it in the words of the user's turn."""
    schema = ask.options.schema
    if schema is None or ask.provider.takes_schema:
        return ask
    words = f"Answer with nothing but JSON that fits this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
    place = max((i for i, message in enumerate(ask.messages) if message.role == "user"), default=None)
    messages = list(ask.messages)
    if place is None:
        messages.append(Message("user", words))
    else:
        messages[place] = _with_words(messages[place], words)
    return replace(ask, messages=messages, options=replace(ask.options, schema=None))


def _with_words(message: Message, words: str) -> Message:
    content = message.content
    if isinstance(content, str):
        return Message(message.role, f"{content}\n\n{words}")
    return Message(message.role, [*content, {"type": "text", "text": words}])


def _with_text_files(messages: Sequence[Message]) -> Sequence[Message]:
    """Put text files into the text, for services that take nothing else."""
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
def _takes_options(build_request: Callable[..., requests.Request]) -> bool:
    code = getattr(build_request, "__code__", None)
    if code is None or vars(build_request):
        # No function, or a decorated one.
        return "options" in inspect.signature(build_request).parameters
    # The names of `*` and `**` follow those of the other parameters.
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return "options" in code.co_varnames[:count]


def _last_text(messages: Sequence[Message]) -> str:
    content = messages[-1].content
    return content if isinstance(content, str) else ""
