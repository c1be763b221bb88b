"""One attempt: prepare, send, and read until the first text is in hand."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Callable

import requests

from aichatkit import params
from aichatkit.answers import Answer
from aichatkit.messages import Message
from aichatkit.providers.base import Options, Provider, parsing
from aichatkit.transport import Transport

__all__ = ["Ask", "check_options", "open_answer", "prepare"]


@dataclass(frozen=True)
class Ask:
    """What one provider is asked."""

    provider: Provider
    model: str
    messages: Sequence[Message]
    options: Options


def open_answer(ask: Ask, http: Transport, *, clock: Callable[[], float] = time.monotonic) -> Answer:
    """Send the request and return the answer with its first text in hand; raise one of our errors."""
    started = clock()
    request = _build(ask, http)
    response = http.send(request)
    if not 200 <= response.status < 300:
        raise http.refusal(response, model=ask.model)
    answer = Answer(
        ask.provider, ask.model, response, http=http, alt=_last_text(ask.messages), started=started, clock=clock
    )
    try:
        answer.start()
    except BaseException:
        answer.close()
        raise
    return answer


def prepare(provider: Provider, http: Transport) -> Mapping[str, str]:
    """Return what the provider's handshake gives; data that cannot be read is a BadResponseError naming it."""
    with parsing(provider.name, "handshake"):
        return provider.prepare(http)


def check_options(provider: type[Provider], options: Options) -> None:
    """Refuse what the provider does not take, before anything is sent."""
    params.refuse_unsupported(options.params, provider.params, provider=provider.name)


def _build(ask: Ask, http: Transport) -> requests.Request:
    provider = ask.provider
    tokens = prepare(provider, http)
    with parsing(provider.name, "prompt"):
        if _takes_options(type(provider).build_request):
            build: Any = provider.build_request
            return build(ask.messages, ask.model, options=replace(ask.options, tokens=tokens))  # type: ignore[no-any-return]
        request = provider.build_request(ask.messages, ask.model)
    if tokens:
        request.headers = {**(request.headers or {}), **tokens}
    return request


@cache
def _takes_options(build_request: Callable[..., requests.Request]) -> bool:
    return "options" in inspect.signature(build_request).parameters


def _last_text(messages: Sequence[Message]) -> str:
    content = messages[-1].content
    return content if isinstance(content, str) else ""
