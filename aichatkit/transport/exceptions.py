"""Network exceptions of every layer -> our own errors, in one place.

What came over the wire decides: nothing was sent, it may have been processed, or the answer was under way.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import zlib
from collections.abc import Iterator

import requests
from urllib3 import exceptions as urllib3_errors

from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    StreamInterruptedError,
    TimedOutError,
)

__all__ = ["READ_ERRORS", "SEND_ERRORS", "causes_of", "translate_read", "translate_send"]

#: Everything `requests` and the layers below it raise while a request goes out.
SEND_ERRORS = (requests.RequestException, urllib3_errors.HTTPError, http.client.HTTPException, OSError, UnicodeError)
#: Everything the layers raise while a body comes in; urllib3 and http.client leak from the direct reads.
READ_ERRORS = (*SEND_ERRORS, zlib.error)

_REFUSED = (urllib3_errors.NewConnectionError, ConnectionRefusedError)
_NOT_SENT = (*_REFUSED, urllib3_errors.ConnectTimeoutError)
# Python 3.9 knows two kinds of time-out.
_TIMED_OUT = (urllib3_errors.ReadTimeoutError, TimeoutError, socket.timeout, requests.Timeout)
# Looked for before a proxy's errors: urllib3 blames the proxy for a request that broke off behind it as well.
_BROKE = (http.client.RemoteDisconnected, ConnectionError, http.client.IncompleteRead)
_CANNOT_BE_SENT = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidProxyURL,
    UnicodeError,
)


def translate_send(error: BaseException, who: str) -> ChatError:
    """Return our error for what was raised before the head of the answer was there; `who` names the service."""
    if isinstance(error, _CANNOT_BE_SENT):
        # The text of these holds the whole header or URL, and with it perhaps a key.
        return ConfigurationError(
            f"{who}: the request cannot be sent ({type(error).__name__}); check URL, headers and proxy"
        )
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        # `requests` wraps what the network raises; what comes bare is about the files of `verify` and `cert`.
        return ConfigurationError(f"{who}: a certificate file cannot be read; check verify= and REQUESTS_CA_BUNDLE")
    causes = list(causes_of(error))
    if isinstance(error, requests.ConnectTimeout) or any(map(_is_connect_timeout, causes)):
        return TimedOutError(
            f"{who}: no connection in time; check the network or raise timeout connect=", phase="connect"
        )
    if _any(causes, _TIMED_OUT):
        return TimedOutError(
            f"{who}: no answer in time; raise timeout read=, the service may be slow",
            phase="head",
            maybe_processed=True,
        )
    return _translate_connection(error, causes, who)


def translate_read(error: BaseException, who: str) -> ChatError:
    """Return our error for what was raised while the body was read."""
    causes = list(causes_of(error))
    if _any(causes, _TIMED_OUT):
        return TimedOutError(
            f"{who}: silent for too long in the middle of the answer; ask again, or raise timeout read=",
            phase="read",
            maybe_processed=True,
        )
    if _any(causes, (zlib.error, urllib3_errors.DecodeError, requests.exceptions.ContentDecodingError)):
        return BadResponseError(f"{who}: the compressed answer is damaged")
    return StreamInterruptedError(
        f"{who}: the connection broke in the middle of the answer ({_reason(causes)}); ask again",
        action="retry",
        maybe_processed=True,
    )


def _translate_connection(error: BaseException, causes: list[BaseException], who: str) -> ChatError:
    if isinstance(error, requests.exceptions.SSLError) or _any(causes, (ssl.SSLError, urllib3_errors.SSLError)):
        return ConnectError(
            f"{who}: TLS failed ({_reason(causes)}); check the certificate, the clock and REQUESTS_CA_BUNDLE",
            action="next",
        )
    if _any(causes, _BROKE) and not _any(causes, _REFUSED):
        return ConnectError(
            f"{who}: the connection broke before an answer came ({_reason(causes)})", maybe_processed=True
        )
    if any(map(_is_proxy_error, causes)):
        return ConnectError(f"{who}: the proxy did not connect ({_reason(causes)}); check proxies= and the environment")
    if _any(causes, _NOT_SENT):
        return ConnectError(f"{who}: cannot connect ({_reason(causes)}); is the host right and the service running?")
    if _any(causes, (http.client.HTTPException, requests.exceptions.InvalidHeader)):
        return BadResponseError(f"{who}: what came back is not HTTP ({_reason(causes)})")
    return ConnectError(f"{who}: the request failed ({_reason(causes)})", maybe_processed=True)


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """Walk arguments, reasons and contexts, as each layer hides the next one in another place."""
    pending, seen = [error], set()
    while pending:
        current = pending.pop(0)
        if not isinstance(current, BaseException) or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending.extend([getattr(current, "reason", None), *current.args, current.__cause__, current.__context__])


def _is_connect_timeout(cause: BaseException) -> bool:
    # A refused connection and an unknown name are of this class as well.
    return isinstance(cause, urllib3_errors.ConnectTimeoutError) and not isinstance(
        cause, urllib3_errors.NewConnectionError
    )


def _is_proxy_error(cause: BaseException) -> bool:
    # PySocks is an extra, so its errors are known by their home only.
    kinds = (urllib3_errors.ProxyError, requests.exceptions.ProxyError)
    return isinstance(cause, kinds) or type(cause).__module__ == "socks"


def _any(causes: list[BaseException], kinds: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _reason(causes: list[BaseException]) -> str:
    """Name the innermost cause by class and system message only: texts of outer layers may hold a URL with a secret."""
    told = [cause for cause in causes if isinstance(cause, (OSError, http.client.HTTPException, EOFError))]
    innermost = (told or causes)[-1]
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return type(innermost).__name__
