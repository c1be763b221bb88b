"""Network exceptions of every layer -> `ChatError`, in one place.

The error depends on how far the request got: not sent, possibly processed, or the response already started.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import zlib
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING

import requests
from urllib3 import exceptions as urllib3_errors

from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.errors import (
    BadResponseError,
    ChatError,
    ConfigurationError,
    ConnectError,
    StreamInterruptedError,
    TimedOutError,
)
from aichatkit.transport.authorization import PROXY_ADVICE
from aichatkit.transport.encodings import UnknownEncodingError

if TYPE_CHECKING:
    from aichatkit.transport import browser
else:
    # Only needed for errors.
    browser = lazy_module("aichatkit.transport.browser")

__all__ = ["READ_ERRORS", "SEND_ERRORS", "causes_of", "passed_through", "translate_read", "translate_send"]

#: Everything `requests` and the layers below it raise while a request is sent.
SEND_ERRORS = (requests.RequestException, urllib3_errors.HTTPError, http.client.HTTPException, OSError, UnicodeError)
#: Everything they raise while a body is read; direct reads also raise errors of urllib3 and http.client.
READ_ERRORS = (*SEND_ERRORS, zlib.error)

_REFUSED = (urllib3_errors.NewConnectionError, ConnectionRefusedError, socket.gaierror)
_NOT_SENT = (*_REFUSED, urllib3_errors.ConnectTimeoutError)
# Python 3.9 has two separate timeout classes.
_TIMED_OUT = (urllib3_errors.ReadTimeoutError, TimeoutError, socket.timeout, requests.Timeout)
# Checked before proxy errors: urllib3 also blames the proxy for a connection that broke behind it.
_BROKEN = (http.client.RemoteDisconnected, ConnectionError, http.client.IncompleteRead)
_UNSENDABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidHeader,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidProxyURL,
    UnicodeError,
)
#: The functions of urllib3 that run before any of the request is sent.
_CONNECTING = frozenset({"connect", "_prepare_proxy", "_validate_conn"})
#: What servers say to a client certificate that is missing or that they do not trust.
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")
#: The message of `http.client` if a proxy refuses to connect.
_TUNNEL = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")
#: Their messages quote the complete header or URL, and possibly a key with it.
_QUOTING = (*_UNSENDABLE, http.client.InvalidURL)


def translate_send(error: BaseException, label: str, handled: BaseException | None = None) -> ChatError:
    """Return the `ChatError` for an exception raised before the response head was received.

    `label` names the service; `handled` is the exception the caller was already handling, as for `causes_of`.
    """
    causes = list(causes_of(error, handled))
    # An invalid header of the response is the service's fault, though requests uses the same name for it.
    if isinstance(error, _UNSENDABLE) and not _any(causes, urllib3_errors.InvalidHeader):
        return _unsendable(error, label)
    failure = _translate_before_head(error, causes, label)
    failure.reason = _full_reason(causes)
    return failure


def _unsendable(error: BaseException, label: str) -> ConfigurationError:
    name = type(error).__name__
    if isinstance(error, requests.exceptions.InvalidSchema) and "SOCKS" in str(error):
        message = "a SOCKS proxy needs PySocks; install aichatkit[socks], or set another proxy"
    else:
        message = f"the request cannot be sent ({name}); check URL, headers and proxy"
    return ConfigurationError(f"{label}: {message}", reason=name)


def translate_read(error: BaseException, label: str, handled: BaseException | None = None) -> ChatError:
    """Return the `ChatError` for an exception raised while the body was read; `handled` is as for `causes_of`."""
    causes = list(causes_of(error, handled))
    failure = _translate_in_body(causes, label)
    failure.reason = _full_reason(causes)
    return failure


def _translate_before_head(error: BaseException, causes: list[BaseException], label: str) -> ChatError:
    if _is_about_a_file(error):
        path, problem = getattr(error, "filename", None), getattr(error, "strerror", None)
        file = (
            f"the certificate file {path!r} cannot be read ({problem})" if path else "a certificate file cannot be read"
        )
        return ConfigurationError(f"{label}: {file}; check verify=, cert=, REQUESTS_CA_BUNDLE and SSL_CERT_FILE")
    is_connecting = _is_connecting(causes)
    if (
        isinstance(error, requests.ConnectTimeout)
        or any(map(_is_connect_timeout, causes))
        or (is_connecting and _has_timed_out(causes))
    ):
        return TimedOutError(
            f"{label}: no connection in time; check the network or raise timeout connect=", phase="connect"
        )
    if _has_timed_out(causes):
        return TimedOutError(
            f"{label}: no answer in time; raise timeout read=, the service may be slow",
            phase="head",
            maybe_processed=True,
        )
    failure = _refused_tunnel(causes, label) or _translate_connection(error, causes, label)
    if is_connecting:
        failure.maybe_processed = False
    return failure


def _translate_in_body(causes: list[BaseException], label: str) -> ChatError:
    if _has_timed_out(causes):
        return TimedOutError(
            f"{label}: silent for too long in the middle of the answer; ask again, or raise timeout read=",
            phase="read",
            maybe_processed=True,
        )
    for cause in causes:
        if isinstance(cause, UnknownEncodingError):
            return BadResponseError(
                f"{label}: the answer is encoded as {cause}, which cannot be decoded; "
                "configure the service or the gateway to send it uncompressed"
            )
    if _any(causes, (zlib.error, urllib3_errors.DecodeError, requests.exceptions.ContentDecodingError)):
        return BadResponseError(f"{label}: the compressed answer is damaged")
    return StreamInterruptedError(
        f"{label}: the connection broke in the middle of the answer ({_reason(causes)}); ask again",
        action="retry",
        maybe_processed=True,
    )


def _translate_connection(error: BaseException, causes: list[BaseException], label: str) -> ChatError:
    if isinstance(error, requests.exceptions.SSLError) or _any(causes, (ssl.SSLError, urllib3_errors.SSLError)):
        return ConnectError(
            f"{label}: TLS failed ({_reason(causes)}); {_tls_advice(causes)}",
            action="next",
        )
    if _any(causes, _BROKEN) and not _any(causes, _REFUSED):
        return ConnectError(
            f"{label}: the connection broke before an answer came ({_reason(causes)})", maybe_processed=True
        )
    if any(map(_is_proxy_error, causes)):
        return ConnectError(
            f"{label}: the proxy did not connect ({_reason(causes)}); check proxies= and the environment"
        )
    if _any(causes, _NOT_SENT):
        return ConnectError(f"{label}: cannot connect ({_reason(causes)}); is the host right and the service running?")
    if (unexplained := browser.connection_error(causes, label)) is not None:
        return unexplained
    if _any(causes, (http.client.HTTPException, requests.exceptions.InvalidHeader)):
        return BadResponseError(f"{label}: the response is not HTTP ({_reason(causes)})")
    return ConnectError(f"{label}: the request failed ({_reason(causes)})", maybe_processed=True)


def _tls_advice(causes: list[BaseException]) -> str:
    alerts = " ".join(str(cause) for cause in causes if isinstance(cause, ssl.SSLError)).upper()
    if any(words in alerts for words in _WANTS_CERTIFICATE):
        return "the server wants another client certificate; pass cert=(certificate, key)"
    if "KEY_VALUES_MISMATCH" in alerts:
        return "the key of cert= does not belong to its certificate"
    if any("key is encrypted" in str(cause) for cause in causes):
        return (
            "the key of cert= is encrypted: pass it decrypted, or mount an adapter on session= with a TLS context that "
            "has loaded it with its password"
        )
    if "PEM" in alerts:
        return "check the files of cert="
    if _any(causes, (ssl.SSLEOFError,)):
        return "the server hung up; if it wants a client certificate, pass cert=(certificate, key)"
    if _any(causes, (ssl.SSLCertVerificationError,)):
        return (
            "check the certificate, the clock and REQUESTS_CA_BUNDLE; if your company inspects TLS, its certificate is "
            "trusted with verify='system', or verify= and the path of its CA bundle"
        )
    return "check the certificate, the clock and REQUESTS_CA_BUNDLE"


def _has_timed_out(causes: list[BaseException]) -> bool:
    # In a browser, urllib3 raises the base class, below which older versions also have connections that were refused.
    return _any(causes, _TIMED_OUT) or any(type(cause) is urllib3_errors.TimeoutError for cause in causes)


def _refused_tunnel(causes: list[BaseException], label: str) -> ConnectError | None:
    """Return the error for a proxy that rejects CONNECT, None for any other failure."""
    match = next(filter(None, (_TUNNEL.match(str(cause)) for cause in causes if type(cause) is OSError)), None)
    if match is None:
        return None
    status = int(match.group(1))
    # Never the proxy's own text, which may quote the password.
    name = http.client.responses.get(status, "")
    may_help = status >= 500 or status in (408, 425, 429)
    advice = "try again later" if may_help else "waiting does not help"
    if status == 407:
        advice = PROXY_ADVICE
    return ConnectError(
        f"{label}: the proxy did not connect ({f'{status} {name}'.rstrip()}); {advice}",
        status=status,
        action="retry" if may_help else "next",
    )


def causes_of(error: BaseException, handled: BaseException | None = None) -> Iterator[BaseException]:
    """Yield an error and its causes, following arguments, reasons and contexts, as each layer wraps in its own way.

    In a caller's `except` block Python appends the exception `handled` there to the contexts; it is not a cause.
    """
    pending: list[BaseException | None] = [error]
    visited = {id(handled)}
    while pending:
        current = pending.pop(0)
        if not isinstance(current, BaseException) or id(current) in visited:
            continue
        visited.add(id(current))
        yield current
        pending.extend([getattr(current, "reason", None), *current.args, current.__cause__, current.__context__])


def _is_connecting(causes: list[BaseException]) -> bool:
    """Return whether a failure came from urllib3's code that connects, up to the end of the TLS handshake."""
    return any(passed_through(cause, _CONNECTING, "urllib3") for cause in causes)


def passed_through(error: BaseException, functions: Container[str], package: str) -> bool:
    """Return whether an exception was raised in or below one of these functions of a package."""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name in functions and package in code.co_filename:
            return True
        trace = trace.tb_next
    return False


def _is_about_a_file(error: BaseException) -> bool:
    """Return whether a bare OSError is about the files of `verify` and `cert`, which `requests` does not wrap."""
    if isinstance(error, requests.RequestException) or _any([error], (*_TIMED_OUT, *_BROKEN, socket.gaierror)):
        return False
    if isinstance(error, ssl.SSLError):
        library, reason = getattr(error, "library", None), getattr(error, "reason", None)
        return library in ("PEM", "X509") or "PEM" in str(reason)
    return isinstance(error, OSError) and (error.errno is None or error.filename is not None)


def _is_connect_timeout(cause: BaseException) -> bool:
    # Refused connections and unknown host names are subclasses of it.
    return isinstance(cause, urllib3_errors.ConnectTimeoutError) and not isinstance(
        cause, urllib3_errors.NewConnectionError
    )


def _is_proxy_error(cause: BaseException) -> bool:
    # PySocks is an optional extra, so its errors are recognized by their module only.
    error_types = (urllib3_errors.ProxyError, requests.exceptions.ProxyError)
    return isinstance(cause, error_types) or type(cause).__module__ == "socks"


def _any(causes: list[BaseException], error_types: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, error_types) for cause in causes)


def _innermost(causes: list[BaseException]) -> BaseException:
    informative = [cause for cause in causes if isinstance(cause, (OSError, http.client.HTTPException, EOFError))]
    return (informative or causes)[-1]


def _reason(causes: list[BaseException]) -> str:
    """Describe the innermost cause by class or system message only: other messages may quote a URL with a secret."""
    innermost = _innermost(causes)
    if isinstance(innermost, OSError) and innermost.strerror:
        return innermost.strerror
    return type(innermost).__name__


def _full_reason(causes: list[BaseException]) -> str:
    # The exceptions of `requests` wrap another one, and may quote objects.
    innermost = _innermost([cause for cause in causes if not isinstance(cause, requests.RequestException)] or causes)
    if isinstance(innermost, _QUOTING):
        return type(innermost).__name__
    if tunnel := _TUNNEL.match(str(innermost)):
        return f"OSError: {tunnel.group()} {http.client.responses.get(int(tunnel.group(1)), '')}".rstrip()
    return reason_of(innermost)
