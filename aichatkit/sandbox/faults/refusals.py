"""Faults that refuse in the shape of each wire: limits, quotas, keys, failures, challenge pages."""

from __future__ import annotations

from aichatkit.sandbox.exchange import Answer, Trouble, page_answer
from aichatkit.sandbox.faults.base import Reply, fault
from aichatkit.sandbox.wires import Call

_CHALLENGE = """<!DOCTYPE html>
<html lang="en-US"><head><title>Just a moment...</title></head>
<body><div id="cf-please-wait">Checking that you are human, by the sandbox.</div></body></html>
"""
_PAGE = """<!DOCTYPE html>
<html><head><title>Welcome</title></head><body><p>This is a page and no answer.</p></body></html>
"""
_EDGE = [("Server-Timing", "edge"), ("CF-RAY", "0000000000000000-SBX")]


@fault()
def rate_limit(reply: Reply, call: Call, retry_after: str = "", retry_after_ms: str = "", status: int = 0) -> Answer:
    """Too many requests, with a hint how long to wait if one is given."""
    headers = []
    if retry_after:
        headers.append(("Retry-After", retry_after))
    if retry_after_ms:
        headers.append(("retry-after-ms", retry_after_ms))
    return call.wire.refuse(Trouble("rate-limit", status=status or None, headers=headers), call.request)


@fault()
def unauthorized(reply: Reply, call: Call) -> Answer:
    """The key is wrong, and is repeated in the error."""
    # Some services repeat the key they refuse; a client must not pass that on.
    sent = call.request.headers
    key = sent.get("authorization", "") or sent.get("x-api-key", "") or sent.get("x-goog-api-key", "")
    return call.wire.refuse(
        Trouble("unauthorized", f"Incorrect API key provided: {key.rpartition(' ')[2]}"), call.request
    )


@fault()
def server_error(reply: Reply, call: Call, status: int = 500, retry_after: str = "", should_retry: str = "") -> Answer:
    """The service failed."""
    headers = [("Retry-After", retry_after)] if retry_after else []
    headers += [("x-should-retry", should_retry)] if should_retry else []
    return call.wire.refuse(Trouble("server-error", status=status, headers=headers), call.request)


@fault()
def error_page(reply: Reply, call: Call, status: int = 502) -> Answer:
    """A gateway's HTML page."""
    return page_answer(f"<html><head><title>{status} Bad Gateway</title></head></html>", status)


@fault()
def challenge(reply: Reply, call: Call, status: int = 403) -> Answer:
    """A page that asks for a browser."""
    return page_answer(_CHALLENGE, status, _EDGE)


@fault()
def challenge_200(reply: Reply, call: Call) -> Answer:
    """A page that asks for a browser, with success."""
    return challenge(reply, call, 200)


@fault()
def html(reply: Reply, call: Call) -> Answer:
    """Some HTML page, with success."""
    return page_answer(_PAGE)


@fault()
def error_200(reply: Reply, call: Call, kind: str = "server-error") -> Answer:
    """An error object, with success."""
    answer = call.wire.refuse(Trouble(kind), call.request)
    answer.status = 200
    return answer


@fault()
def quota(reply: Reply, call: Call, status: int = 0) -> Answer:
    """The allowance is used up."""
    return call.wire.refuse(Trouble("quota", status=status or None), call.request)


@fault()
def forbidden(reply: Reply, call: Call, status: int = 0) -> Answer:
    """The key may not do this."""
    return call.wire.refuse(Trouble("forbidden", status=status or None), call.request)


@fault()
def bad_request(reply: Reply, call: Call, status: int = 0) -> Answer:
    """The request is wrong."""
    return call.wire.refuse(Trouble("bad-request", status=status or None), call.request)


@fault()
def context_too_long(reply: Reply, call: Call, status: int = 0) -> Answer:
    """The messages do not fit the model."""
    return call.wire.refuse(Trouble("context-too-long", status=status or None), call.request)


@fault()
def content_filter(reply: Reply, call: Call, status: int = 0) -> Answer:
    """The prompt is stopped by a filter."""
    return call.wire.refuse(Trouble("content-filter", status=status or None), call.request)


@fault()
def model_not_found(reply: Reply, call: Call, status: int = 0) -> Answer:
    """The model does not exist."""
    return call.wire.refuse(Trouble("model-not-found", status=status or None), call.request)


@fault()
def overloaded(reply: Reply, call: Call, status: int = 0) -> Answer:
    """The service has no capacity."""
    return call.wire.refuse(Trouble("overloaded", status=status or None), call.request)
