"""Every error the package raises, as one tree.

    ChatError
    ├─ ConfigurationError                    nothing was sent
    │  ├─ UnknownProviderError  UnknownModelError
    │  └─ MissingKeyError
    ├─ TransportError
    │  ├─ ConnectError
    │  └─ TimedOutError
    ├─ DeadlineExceededError                 the total time ran out
    ├─ APIError                              the service refused
    │  ├─ AuthenticationError  PermissionDeniedError  BlockedError
    │  ├─ BadRequestError ─ ContextTooLongError  ContentFilteredError  ModelNotFoundError
    │  ├─ RateLimitError                     waiting helps
    │  ├─ QuotaExceededError                 waiting does not
    │  └─ ServerError ─ OverloadedError
    ├─ BadResponseError                      the answer cannot be read
    │  ├─ EmptyAnswerError
    │  └─ TokenNotFoundError
    ├─ StreamInterruptedError                the answer broke off
    │  └─ StreamStalledError                 also a TimedOutError
    ├─ BudgetExceededError  SchemaError  ToolError  JournalError
    └─ AllProvidersFailedError               every provider of the list failed

Each class also inherits what a `requests` user already catches.
Errors hold plain values only, so they pickle, and never a request, a response or a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import requests

from aichatkit._lazy import lazy_module

if TYPE_CHECKING:
    from aichatkit.display import reprs
else:
    reprs = lazy_module("aichatkit.display.reprs")

__all__ = [
    "APIError",
    "AllProvidersFailedError",
    "AuthenticationError",
    "BadRequestError",
    "BadResponseError",
    "BlockedError",
    "BudgetExceededError",
    "ChatError",
    "ConfigurationError",
    "ConnectError",
    "ContentFilteredError",
    "ContextTooLongError",
    "DeadlineExceededError",
    "EmptyAnswerError",
    "JournalError",
    "MissingKeyError",
    "ModelNotFoundError",
    "OverloadedError",
    "PermissionDeniedError",
    "QuotaExceededError",
    "RateLimitError",
    "SchemaError",
    "ServerError",
    "StreamInterruptedError",
    "StreamStalledError",
    "TimedOutError",
    "TokenNotFoundError",
    "ToolError",
    "TransportError",
    "UnknownModelError",
    "UnknownProviderError",
]


class ChatError(Exception):
    """Base of every error of the package.

    `retry_after` is in seconds, `partial` the text that had arrived, `attempts` every try of the call in order,
    `param` the field a service refused where it names one.
    """

    #: What the client does next: "retry" here, "refresh" tokens and retry once, "next" provider, or "stop".
    action: str = "stop"
    #: What a cooldown covers: "model", "key", "provider", or "" for nothing.
    scope: ClassVar[str] = ""
    #: How long that is left alone where the service does not say, in seconds.
    cooldown: ClassVar[float] = 0.0

    def __init__(
        self,
        message: str = "",
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        partial: str = "",
        attempts: Any = (),
        request_id: str | None = None,
        action: str | None = None,
        maybe_processed: bool = False,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.partial = partial
        self.attempts = list(attempts)
        self.request_id = request_id
        self.maybe_processed = maybe_processed
        self.param = param
        self.gave_up = ""
        if action is not None:
            self.action = action

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if name not in ("request", "response")}
        # The state comes last, as it may lead back here: an error knows its attempts, and each of them its error.
        return type(self), (self.message,), state

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this in the place of its own traceback, which shows lines a key may stand in.
        return reprs.error_lines(self)

    def _repr_html_(self) -> str:
        return reprs.error_html(self)


class ConfigurationError(ChatError, ValueError):
    """The call cannot be made as it stands; nothing was sent."""


class UnknownProviderError(ConfigurationError, LookupError):
    """No provider has this name."""


class UnknownModelError(ConfigurationError, LookupError):
    """No provider that could be asked lists this model."""


class MissingKeyError(ConfigurationError):
    """A provider needs a key and none was given or found; the message names every variable looked up."""

    action = "next"


class TransportError(ChatError, requests.RequestException):
    """The network failed before an answer could be read."""

    action = "retry"
    scope = "provider"
    cooldown = 10.0


class ConnectError(TransportError, requests.ConnectionError):
    """The connection could not be made or broke; `maybe_processed` tells whether the request may have arrived."""

    #: Whether it was a kept connection that broke before an answer: the service had most likely closed it already.
    stale: bool = False


class TimedOutError(TransportError, requests.Timeout):
    """The service was silent for too long; `phase` is "connect", "head" or "read"."""

    def __init__(self, message: str = "", *, phase: str = "read", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.phase = phase


class DeadlineExceededError(ChatError, requests.Timeout):
    """The total time of the call ran out."""


class APIError(ChatError):
    """The service refused the request."""


class AuthenticationError(APIError):
    """The key is missing, wrong or no longer valid."""

    action = "next"
    scope = "key"
    cooldown = 3600.0


class PermissionDeniedError(APIError):
    """The key is valid and may not do this."""

    action = "next"
    scope = "key"
    cooldown = 3600.0


class BlockedError(APIError):
    """A challenge page, captcha or region block stands before the service."""

    action = "next"
    scope = "provider"
    cooldown = 300.0


class BadRequestError(APIError):
    """The request is wrong; no other provider would take it either."""


class ContextTooLongError(BadRequestError):
    """The messages do not fit into the model's context window."""

    action = "next"


class ContentFilteredError(BadRequestError):
    """The prompt or the answer was stopped by a content filter."""


class ModelNotFoundError(BadRequestError):
    """The service does not know this model."""

    action = "next"
    scope = "model"
    cooldown = 3600.0


class RateLimitError(APIError):
    """Too many requests for now: waiting helps, so this is retried."""

    action = "retry"
    scope = "model"
    cooldown = 15.0


class QuotaExceededError(APIError):
    """Money or an allowance is used up: waiting does not help, so the next provider is asked."""

    action = "next"
    scope = "key"
    cooldown = 3600.0


class ServerError(APIError):
    """The service failed on its side."""

    action = "retry"
    scope = "provider"
    cooldown = 10.0


class OverloadedError(ServerError):
    """The service has no capacity right now."""


class BadResponseError(ChatError):
    """The answer cannot be read: HTML with status 200, broken JSON, too large, or a redirect."""

    action = "next"
    scope = "provider"
    cooldown = 60.0


class EmptyAnswerError(BadResponseError):
    """The service answered with success and no text."""

    action = "retry"
    cooldown = 10.0


class TokenNotFoundError(BadResponseError, RuntimeError):
    """The page of a site no longer holds the tokens its chat needs."""


class StreamInterruptedError(ChatError):
    """The answer broke off, or ended without its end marker; `partial` holds the text that came."""

    scope = "provider"
    cooldown = 10.0


class StreamStalledError(StreamInterruptedError, TimedOutError):
    """The answer fell silent in the middle for longer than the read timeout; `partial` holds the text that came."""


class BudgetExceededError(ChatError):
    """The budget of the client would be passed."""


class SchemaError(ChatError):
    """The answer does not fit the schema; `partial` holds its text."""


class ToolError(ChatError):
    """A tool could not be called, or the rounds ran out."""


class JournalError(ChatError):
    """The file of a run or a cache cannot be used; what was written before is kept."""


class AllProvidersFailedError(ChatError):
    """Every provider of the list failed; `errors` holds one error each, in order."""

    def __init__(self, message: str = "", *, errors: Any = (), **fields: Any) -> None:
        super().__init__(message, **fields)
        self.errors = list(errors)
