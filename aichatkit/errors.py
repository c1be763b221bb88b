"""Every error the package raises, as one tree.

    ChatError
    ├─ ConfigurationError                    raised before anything is sent
    │  ├─ UnknownProviderError  UnknownModelError
    │  └─ MissingKeyError
    ├─ TransportError
    │  ├─ ConnectError
    │  └─ TimedOutError
    ├─ DeadlineExceededError                 the total timeout expired
    ├─ APIError                              the service rejected the request
    │  ├─ AuthenticationError  PermissionDeniedError  BlockedError
    │  ├─ BadRequestError ─ ContextTooLongError  ContentFilteredError  ModelNotFoundError
    │  ├─ RateLimitError                     waiting helps
    │  ├─ QuotaExceededError                 waiting does not help
    │  └─ ServerError ─ OverloadedError
    ├─ BadResponseError                      the response cannot be parsed
    │  ├─ EmptyAnswerError
    │  └─ TokenNotFoundError
    ├─ StreamInterruptedError                the answer was cut off
    │  └─ StreamStalledError                 also a TimedOutError
    ├─ BudgetExceededError  SchemaError  ToolError  JournalError
    ├─ MCPError                              an MCP server failed
    ├─ BatchPendingError  BatchExpiredError  BatchGoneError     rows of batch jobs
    └─ AllProvidersFailedError               every provider in the list failed

Classes also inherit from the `requests` and built-in exceptions that existing code already catches.
Errors hold plain values only, never a request, a response or a key, so they can be pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import requests

from aichatkit._lazy import lazy_module
from aichatkit._surrogates import repair

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
    "BatchExpiredError",
    "BatchGoneError",
    "BatchPendingError",
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
    "MCPError",
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
    """Base class of every error in the package.

    `provider` and `model` name the target that failed, `status` is the HTTP status, `code` the service's error code.
    `retry_after` is in seconds, `partial` is the text received before the error.
    `attempts` lists every attempt of the call in order, `param` is the rejected field if the service names one.
    `request_id` is the service's ID for the request, to quote in a support ticket.
    `maybe_processed` is True if the service may have processed, and may charge for, the failed request.
    `gave_up` says why the request was not retried again, "" if retries do not apply to this error.
    `reason` is the type and message of the exception of another package that caused this error, as one line without
    API keys; "" if there is none. The exception itself is not kept.
    """

    #: What the client does next: "retry", "refresh" tokens and retry once, go on to the "next" provider, or "stop".
    action: str = "stop"
    #: What the cooldown applies to: the "model" with this key or with "any key", the "key", the "provider", or "" for
    #: no cooldown. Behind one address there may be a server for each model, so a failure says nothing about the others.
    scope: ClassVar[str] = ""
    #: Length of the cooldown in seconds, unless the service specifies one.
    cooldown: ClassVar[float] = 0.0
    #: The parameters that the service refused, and the changes to the request; both are removed before it is raised.
    _refused: Any = ()
    _changes: Any = ()

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
        reason: str = "",
    ) -> None:
        # It may quote a service, and must be printable.
        message = repair(str(message))
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.partial = repair(partial)
        self.attempts = list(attempts)
        self.request_id = request_id
        self.maybe_processed = maybe_processed
        self.param = param
        self.reason = reason
        self.gave_up = ""
        if action is not None:
            self.action = action

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in self.__dict__.items() if name not in ("request", "response")}
        # Attributes go into the state, which pickle restores last: an error refers to its attempts, which refer back to
        # their errors.
        return type(self), (self.message,), state

    def _render_traceback_(self) -> list[str]:
        # Replaces IPython's traceback, which shows source lines that may contain an API key.
        return reprs.error_lines(self)

    def _repr_html_(self) -> str:
        return reprs.error_html(self)


class ConfigurationError(ChatError, ValueError):
    """The client or call is misconfigured; nothing was sent."""


class UnknownProviderError(ConfigurationError, LookupError):
    """There is no provider with this name."""


class UnknownModelError(ConfigurationError, LookupError):
    """No eligible provider lists this model."""


class MissingKeyError(ConfigurationError):
    """A provider needs an API key and none is set; the message names every environment variable that was checked."""

    action = "next"


class TransportError(ChatError, requests.RequestException):
    """The network failed before a response was received."""

    action = "retry"
    scope = "provider"
    cooldown = 10.0


class ConnectError(TransportError, requests.ConnectionError):
    """The connection failed or was lost; `maybe_processed` is True if the request may have reached the service."""

    #: True if a keep-alive connection broke before a response: the service had most likely closed it already.
    stale: bool = False


class TimedOutError(TransportError, requests.Timeout):
    """The service did not respond in time; `phase` is "connect", "head" or "read"."""

    scope = "any key"

    def __init__(self, message: str = "", *, phase: str = "read", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.phase = phase


class DeadlineExceededError(ChatError, requests.Timeout):
    """The total timeout of the call expired."""


class APIError(ChatError):
    """The service rejected the request."""


class AuthenticationError(APIError):
    """The API key is missing, wrong or no longer valid."""

    action = "next"
    scope = "key"
    cooldown = 3600.0


class PermissionDeniedError(APIError):
    """The API key is valid but lacks permission for this request."""

    action = "next"
    scope = "key"
    cooldown = 3600.0


class BlockedError(APIError):
    """A challenge page, CAPTCHA or region block prevents access to the service."""

    action = "next"
    scope = "provider"
    cooldown = 300.0


class BadRequestError(APIError):
    """The request is invalid; no other provider would accept it either."""


class ContextTooLongError(BadRequestError):
    """The messages do not fit in the model's context window."""

    action = "next"


class ContentFilteredError(BadRequestError):
    """A content filter blocked the prompt or the answer."""


class ModelNotFoundError(BadRequestError):
    """The service does not serve this model; `successor` is the name to use instead, None if not known."""

    successor: str | None = None
    action = "next"
    scope = "model"
    cooldown = 3600.0


class RateLimitError(APIError):
    """Too many requests in a short time: waiting helps, so the request is retried."""

    action = "retry"
    scope = "model"
    cooldown = 15.0


class QuotaExceededError(APIError):
    """The credit or quota is used up: waiting does not help, so the next provider is tried."""

    action = "next"
    scope = "key"
    cooldown = 3600.0


class ServerError(APIError):
    """The service failed with an internal error."""

    action = "retry"
    scope = "any key"
    cooldown = 10.0


class OverloadedError(ServerError):
    """The service is temporarily out of capacity."""


class BadResponseError(ChatError):
    """The response cannot be parsed: HTML with status 200, invalid JSON, an oversized body, or a redirect."""

    action = "next"
    scope = "any key"
    cooldown = 60.0


class EmptyAnswerError(BadResponseError):
    """The service reported success but returned no text."""

    action = "retry"
    cooldown = 10.0


class TokenNotFoundError(BadResponseError, RuntimeError):
    """A website's page no longer contains the tokens that its chat requires."""


class StreamInterruptedError(ChatError):
    """The answer was cut off or ended without its end marker; `partial` holds the text received."""

    scope = "any key"
    cooldown = 10.0


class StreamStalledError(StreamInterruptedError, TimedOutError):
    """The stream stalled for longer than the read timeout; `partial` holds the text received."""


class BudgetExceededError(ChatError):
    """The call would exceed the budget of the client or batch."""


class SchemaError(ChatError):
    """The answer does not match the schema; `partial` holds its text."""

    #: False if another answer of the model would fail in the same way.
    repairable: bool = True


class ToolError(ChatError):
    """A tool could not be called, or the tool rounds (`max_rounds`) ran out."""


class MCPError(ChatError):
    """An MCP server could not be started or reached, or refused a request.

    `server` is its name, `data` what the server says about the error, `stderr` the last text that its process printed.
    `code` is the server's error code as text, or "changed" (the tools are not those of `pin=`), "timeout", "closed",
    "redirect", "session", "status", "unreadable" or "version".
    `maybe_processed` is True if a tool may have run although no result arrived; it is never called again on its own.
    """

    def __init__(
        self, message: str = "", *, server: str = "", data: Any = None, stderr: str = "", **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.server = server
        self.data = data
        self.stderr = repair(stderr)


class JournalError(ChatError):
    """The file of a batch journal or cache cannot be used; what it already contains is kept."""


class BatchPendingError(ChatError):
    """The row is in a batch job that has not ended; the same call collects its answer later. `job` is its ID."""

    def __init__(self, message: str = "", *, job: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.job = job


class BatchExpiredError(ChatError):
    """The batch job expired before the row was answered, as did those before it; `job` is the ID of the last one."""

    def __init__(self, message: str = "", *, job: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.job = job


class BatchGoneError(ChatError):
    """The service no longer has the batch job `job` or its results; it has to be released before its rows are sent."""

    def __init__(self, message: str = "", *, job: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.job = job


class AllProvidersFailedError(ChatError):
    """Every provider in the list failed; `errors` holds one error for each, in order."""

    def __init__(self, message: str = "", *, errors: Any = (), **fields: Any) -> None:
        super().__init__(message, **fields)
        self.errors = list(errors)
