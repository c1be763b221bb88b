"""Texts -> vectors in one request, with the keys, limits and retries of a call; a batch that is too large is halved."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit.call.attempt import TargetAttempts
from aichatkit.call.call import Call
from aichatkit.call.request import ProviderRequest, fetch_json, prepare
from aichatkit.call.targets import Target
from aichatkit.embeddings.answers import read_vectors
from aichatkit.embeddings.services import find_service
from aichatkit.embeddings.wires import WIRES, EmbeddingOptions, build_request
from aichatkit.errors import BadRequestError, ChatError, ContextTooLongError
from aichatkit.limits.retries import retry
from aichatkit.messages import Message
from aichatkit.providers.base import NO_OPTIONS
from aichatkit.reply import Reply
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    from aichatkit.client import Client

__all__ = ["Vectors", "embed_batch"]

_MAX_BYTES = 512 << 20
#: How services say that a request has too many texts or tokens: in so many words, or by a limit and what it counts.
_TOO_LARGE = re.compile(r"too (?:big|large|long|many)|exceed")
_LIMIT = re.compile(r"\b(?:allowed|at most|fewer than|less than|limit|max|maximum|no more than|supports up to)\b|<=")
_COUNTED = re.compile(r"\b(?:(?:batch|document|element|input|item|text|token)(?:e?s)?|requests)\b")


class Vectors(NamedTuple):
    """The vectors of a batch, an error for each text that has none; and its tokens, None if they are not known."""

    rows: Sequence[bytes | ChatError]
    tokens: int | None


class _Received:
    """The answer to one request, for `TargetAttempts`, which manages the slots of rate limits."""

    def __init__(self, vectors: list[bytes], tokens: int | None) -> None:
        self.vectors = vectors
        self.tokens = tokens

    def when_closed(self, callback: Callable[[Reply | None], None]) -> None:
        """Call back at once: the answer is complete."""
        callback(None)

    def when_failed(self, callback: Callable[[ChatError], None]) -> None:
        """Do nothing: the answer is complete."""


class _EmbeddingAttempts(TargetAttempts):
    """The attempts to get the vectors of some texts."""

    def __init__(
        self, call: Call, target: Target, texts: Sequence[str], options: EmbeddingOptions, **check: Any
    ) -> None:
        super().__init__(call, target, call.sleeper(), [])
        self._texts = texts
        self._embedding_options = options
        self._expected = check

    def check(self) -> None:
        """Find the endpoint; nothing is sent."""
        self.provider = self.context.provider(self.target.provider)
        self._service = find_service(self.target.provider)
        self._request = ProviderRequest(
            self.provider, self.target.model, self.call.messages, NO_OPTIONS, self.context.catalog
        )

    def _send(self, request: ProviderRequest, http: Transport) -> Any:
        provider, model = self.provider, self.target.model
        tokens = prepare(provider, http)
        http_request = build_request(provider, self._service, model, self._texts, self._embedding_options, tokens)
        if self.context.on_request is not None:
            self._emit_request(http_request)
        record, _ = fetch_json(
            http, http_request, provider=provider, model=model, limit=_MAX_BYTES, what="the embeddings"
        )
        return _Received(
            *read_vectors(record, WIRES[self._service.wire], provider, model, len(self._texts), **self._expected)
        )


def embed_batch(
    client: Client, texts: Sequence[str], *, target: Target, options: EmbeddingOptions, **settings: Any
) -> Vectors:
    """Return the vectors of the texts of a batch; a text that the service refuses is the only one that fails."""
    width, normalize, call_options = settings["width"], settings["normalize"], settings["call_options"]
    call = client._build_call("?", 0, model=f"{target.provider.name}/{target.model}", **call_options)
    call = replace(call, targets=[target], messages=[Message("user", text) for text in texts], in_batch=True)
    attempts = _EmbeddingAttempts(call, target, texts, options, width=width, normalize=normalize)
    try:
        attempts.check()
        received: Any = retry(attempts)
    except BaseException as error:
        attempts.give_up(error)
        if isinstance(error, ChatError):
            error.attempts = list(attempts.state.attempts)
        if not isinstance(error, BadRequestError) or not _is_too_large(error):
            raise
        failure: ChatError = error
    else:
        return Vectors(received.vectors, received.tokens)
    if len(texts) == 1:
        failure.__traceback__ = None
        return Vectors([failure], 0)
    # The refused request cost nothing, so its halves are no repetition.
    middle = len(texts) // 2
    halves = [
        embed_batch(client, half, target=target, options=options, **settings)
        for half in (texts[:middle], texts[middle:])
    ]
    tokens = [half.tokens for half in halves]
    return Vectors(
        [row for half in halves for row in half.rows],
        None if None in tokens else sum(count or 0 for count in tokens),
    )


def _is_too_large(error: BadRequestError) -> bool:
    message = f"{error.message} {error.code or ''}".lower()
    if isinstance(error, ContextTooLongError) or _TOO_LARGE.search(message):
        return True
    return bool(_LIMIT.search(message) and _COUNTED.search(message))
