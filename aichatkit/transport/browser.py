"""In a browser, urllib3 asks through `fetch`: bodies come decoded, there is no socket, and errors have no cause."""

from __future__ import annotations

import http.client
import io
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import requests
import urllib3

from aichatkit._warnings import warn_user
from aichatkit.errors import ChatError, ConnectError

__all__ = ["connection_error", "is_browser_response", "iter_blocks"]

#: Newer urllib3's, for responses that cannot do it.
_NO_READ1: Any = getattr(getattr(urllib3, "BaseHTTPResponse", None), "read1", None)


def is_browser_response(raw: Any) -> bool:
    """Return whether urllib3 has this response from the browser, which has decoded its body."""
    return _NO_READ1 is not None and getattr(type(raw), "read1", None) is _NO_READ1


def iter_blocks(response: requests.Response, size: int, *, is_stream: bool) -> Iterator[bytes]:
    """Yield a body as the browser hands it over; larger reads would wait until they are full."""
    body = getattr(getattr(response.raw, "_response", None), "body", None)
    if is_stream and not isinstance(body, io.IOBase):
        warn_user(
            "this browser delivers responses only once they are complete, so a stream arrives all at once at its end; "
            "streaming needs JavaScript Promise Integration, or a worker in a cross-origin isolated page"
        )
        is_stream = False
    return response.iter_content(1 if is_stream else size)


def connection_error(causes: Sequence[BaseException], label: str) -> ChatError | None:
    """Return the error for a request that the browser did not send or whose answer it hides; None elsewhere."""
    if sys.platform != "emscripten" or not any(isinstance(cause, http.client.HTTPException) for cause in causes):
        return None
    return ConnectError(
        f"{label}: the browser did not get an answer, and does not say why; is the host right, is the service running, "
        "and does it allow requests from pages of other origins (CORS)?"
    )
