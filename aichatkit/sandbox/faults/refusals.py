"""Error responses in the format of each wire: rate limits, quotas, keys, server errors, challenge pages."""

from __future__ import annotations

from aichatkit.sandbox.exchange import APIError, Response, html_response
from aichatkit.sandbox.faults.base import Respond, fault
from aichatkit.sandbox.wires import Call

_CHALLENGE = """<!DOCTYPE html>
<html lang="en-US"><head><title>Just a moment...</title></head>
<body><div id="cf-please-wait">Checking that you are human, by the sandbox.</div></body></html>
"""
_PAGE = """<!DOCTYPE html>
<html><head><title>Welcome</title></head><body><p>This is a page and no answer.</p></body></html>
"""
_EDGE_HEADERS = [("Server-Timing", "edge"), ("CF-RAY", "0000000000000000-SBX")]


@fault()
def rate_limit(
    respond: Respond, call: Call, retry_after: str = "", retry_after_ms: str = "", status: int = 0
) -> Response:
    """Too many requests, with a retry delay in the headers if one is set."""
    headers = []
    if retry_after:
        headers.append(("Retry-After", retry_after))
    if retry_after_ms:
        headers.append(("retry-after-ms", retry_after_ms))
    return call.wire.error_response(APIError("rate-limit", status=status or None, headers=headers), call.request)


@fault()
def unauthorized(respond: Respond, call: Call) -> Response:
    """The API key is rejected, and repeated in the error."""
    # Some services repeat the rejected key; a client must not expose it.
    headers = call.request.headers
    key = headers.get("authorization", "") or headers.get("x-api-key", "") or headers.get("x-goog-api-key", "")
    return call.wire.error_response(
        APIError("unauthorized", f"Incorrect API key provided: {key.rpartition(' ')[2]}"), call.request
    )


@fault()
def server_error(
    respond: Respond, call: Call, status: int = 500, retry_after: str = "", should_retry: str = ""
) -> Response:
    """The service fails."""
    headers = [("Retry-After", retry_after)] if retry_after else []
    headers += [("x-should-retry", should_retry)] if should_retry else []
    return call.wire.error_response(APIError("server-error", status=status, headers=headers), call.request)


@fault()
def error_page(respond: Respond, call: Call, status: int = 502) -> Response:
    """An HTML error page of a gateway."""
    return html_response(f"<html><head><title>{status} Bad Gateway</title></head></html>", status)


@fault()
def challenge(respond: Respond, call: Call, status: int = 403) -> Response:
    """A browser challenge page."""
    return html_response(_CHALLENGE, status, _EDGE_HEADERS)


@fault()
def challenge_200(respond: Respond, call: Call) -> Response:
    """A browser challenge page with status 200."""
    return challenge(respond, call, 200)


@fault()
def html(respond: Respond, call: Call) -> Response:
    """An HTML page with status 200."""
    return html_response(_PAGE)


@fault()
def error_200(respond: Respond, call: Call, kind: str = "server-error") -> Response:
    """An error object with status 200."""
    response = call.wire.error_response(APIError(kind), call.request)
    response.status = 200
    return response


@fault()
def quota(respond: Respond, call: Call, status: int = 0) -> Response:
    """The quota is used up."""
    return call.wire.error_response(APIError("quota", status=status or None), call.request)


@fault()
def forbidden(respond: Respond, call: Call, status: int = 0) -> Response:
    """The API key lacks permission."""
    return call.wire.error_response(APIError("forbidden", status=status or None), call.request)


@fault()
def bad_request(respond: Respond, call: Call, status: int = 0) -> Response:
    """The request is invalid."""
    return call.wire.error_response(APIError("bad-request", status=status or None), call.request)


@fault()
def context_too_long(respond: Respond, call: Call, status: int = 0) -> Response:
    """The messages exceed the context window."""
    return call.wire.error_response(APIError("context-too-long", status=status or None), call.request)


@fault()
def content_filter(respond: Respond, call: Call, status: int = 0) -> Response:
    """The prompt is blocked by a content filter."""
    return call.wire.error_response(APIError("content-filter", status=status or None), call.request)


@fault()
def model_not_found(respond: Respond, call: Call, status: int = 0) -> Response:
    """The model does not exist."""
    return call.wire.error_response(APIError("model-not-found", status=status or None), call.request)


@fault()
def overloaded(respond: Respond, call: Call, status: int = 0) -> Response:
    """The service has no capacity."""
    return call.wire.error_response(APIError("overloaded", status=status or None), call.request)
