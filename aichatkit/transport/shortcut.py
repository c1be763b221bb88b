"""Request -> response head: repeat a request on a pooled connection, without the layers that would change nothing.

`requests` and urllib3 build the same head for the same settings every time, for longer than the rest of a short call
takes. A request that anyone else may see or change is left to them: hooks, doubles, instrumentation, other adapters.
"""

from __future__ import annotations

import errno
import http.client
import logging
import socket
import ssl
from collections.abc import Mapping
from operator import attrgetter
from types import FunctionType
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import connection, connectionpool
from urllib3 import exceptions as urllib3_errors

from aichatkit._dataclasses import NamedTuple
from aichatkit.transport.connections import PlainSession, pool_key_of
from aichatkit.transport.pools import MAX_JOINED_BODY, PendingRequest, is_tracked
from aichatkit.transport.prepared import remember

__all__ = ["RepeatedResponse", "Shortcut", "is_untouched"]

_POOL = "urlopen _make_request _get_conn _put_conn _validate_conn ConnectionCls ResponseCls"
_CONNECTION = "request putrequest putheader endheaders send getresponse"
#: What a request passes through on its usual way; whoever replaces any of it wants to see every request.
_WATCHED = {
    PlainSession: "send get_adapter",
    HTTPAdapter: "send build_response add_headers cert_verify get_connection_with_tls_context request_url",
    connectionpool.HTTPConnectionPool: _POOL,
    connectionpool.HTTPSConnectionPool: _POOL,
    connection.HTTPConnection: _CONNECTION,
    connection.HTTPSConnection: _CONNECTION,
    http.client.HTTPConnection: f"{_CONNECTION} _send_request _send_output",
}
#: The modules that define it.
_MODULES = frozenset({"requests.sessions", "requests.adapters", "http.client", "urllib3.connection"}) | {
    "urllib3.connectionpool",
    "urllib3.response",
}
_getters = [
    (attrgetter(*(name for name in names.split() if hasattr(owner, name))), owner) for owner, names in _WATCHED.items()
]
_SESSION_NAMES, _ADAPTER_NAMES = frozenset(dir(PlainSession)), frozenset(dir(HTTPAdapter))
#: Errors of sending after which the response can still be read.
_SENT_ANYWAY = (errno.EPIPE, errno.ECONNRESET, getattr(errno, "EPROTOTYPE", errno.EPIPE))

_CertificateError: Any = connection.CertificateError  # type: ignore[attr-defined]
_NO_HOOKS: dict[str, list[Any]] = {"response": []}

_untouched: list[Any] = []


def is_untouched() -> bool:
    """Return whether requests, urllib3 and http.client are as they were installed, with nothing replaced in them."""
    current = [get(owner) for get, owner in _getters]
    if current == _untouched:
        return True
    if not all(_is_original(value) for values in current for value in values):
        return False
    _untouched[:] = current
    return True


def _is_original(value: Any) -> bool:
    if isinstance(value, type):
        return value.__module__ in _MODULES
    # Not `isinstance`: wrappers take on the class of what they wrap.
    return type(value) is FunctionType and value.__globals__.get("__name__") in _MODULES


class _Head(NamedTuple):
    """The head of a request around the length of its body, and the key of the pool it is sent through."""

    before: bytes
    after: bytes
    pool_key: Any
    settings: Mapping[str, Any]


class Shortcut:
    """Repeats requests that have gone the usual way before, each with another body.

    Only for a Session of the package that nobody has changed, on a connection of its pool, open or new.
    """

    def __init__(self, session: requests.Session, adapter: Any) -> None:
        self._session = session
        self._adapter = adapter
        self._heads: dict[Any, _Head] = {}

    def learn(
        self,
        request: requests.Request,
        headers: Mapping[str, str],
        auth: tuple[str, str],
        settings: Mapping[str, Any],
        head: bytes,
    ) -> None:
        """Remember the head of a request that goes the usual way."""
        key = self._key(request, headers, auth)
        if key is None or not settings["verify"]:
            return
        pool_key = pool_key_of(str(request.url), settings)
        before, length, after = head.partition(b"\r\nContent-Length: %d\r\n" % len(request.data))
        if pool_key is not None and length and b"\r\ncontent-length:" not in after.lower():
            remember(self._heads, key, _Head(before + length[:18], after, pool_key, settings))

    def send(
        self,
        request: requests.Request,
        headers: Mapping[str, str],
        auth: tuple[str, str],
        settings: Mapping[str, Any],
        timeout: tuple[float, float],
        pending: PendingRequest,
    ) -> RepeatedResponse | None:
        """Send a request and return its response with the body unread; None if it must go the usual way."""
        key = self._key(request, headers, auth)
        head = None if key is None else self._heads.get(key)
        if head is None or head.settings is not settings or pending.fresh:
            return None
        # The adapter forgets its pools when it is closed.
        pool = self._adapter.pools.get(head.pool_key)
        conn = None if pool is None else _take_connection(pool)
        if conn is None:
            return None
        pending.reused = conn.sock is not None
        if not pending.reused:
            _connect(conn, pool, str(request.url), timeout[0])
        try:
            inner = _exchange(conn, head, request, timeout, pending)
        except (OSError, http.client.HTTPException) as error:
            failure = error
        except BaseException:
            _discard(conn, pool)
            raise
        else:
            if inner.will_close:
                # The response keeps the socket open until it is read.
                _discard(conn, pool)
            return RepeatedResponse(inner, str(request.url), pool, None if inner.will_close else conn)
        _discard(conn, pool)
        raise _as_requests_error(failure)

    def _key(self, request: requests.Request, headers: Mapping[str, str], auth: tuple[str, str]) -> Any:
        """Return what the head of a request depends on, None if the request must go the usual way."""
        body, session = request.data, self._session
        if type(body) is not bytes or len(body) > MAX_JOINED_BODY or request.params or request.files or request.json:
            return None
        stored = getattr(session.headers, "_store", None)
        if stored is None or self._is_changed() or not is_untouched() or connectionpool.log.isEnabledFor(logging.DEBUG):
            return None
        return request.method, request.url, tuple(stored.items()), tuple(headers.items()), auth

    def _is_changed(self) -> bool:
        """Return whether the Session has been given anything but headers and settings."""
        session, adapter = self._session, self._adapter
        adapters = session.adapters
        return bool(
            session.auth
            or session.params
            or session.hooks != _NO_HOOKS
            or getattr(session.cookies, "_cookies", True)
            or len(adapters) != 2
            or adapters.get("https://") is not adapter
            or adapters.get("http://") is not adapter
            or not _SESSION_NAMES.isdisjoint(vars(session))
            or not _ADAPTER_NAMES.isdisjoint(vars(adapter))
        )


class RepeatedResponse:
    """What the package needs of a `requests.Response`, and of its `raw`, around a response of `http.client`."""

    _content = False

    def __init__(self, inner: Any, url: str, pool: Any, conn: Any) -> None:
        self.status_code: int = inner.status
        self.url = url
        self.headers = _headers_of(inner)
        self._fp = self._original_response = inner
        self._pool = pool
        self._connection = conn

    @property
    def raw(self) -> RepeatedResponse:
        """The object itself: an attribute would be a cycle, which only the garbage collector frees."""
        return self

    def iter_content(self, size: int) -> Any:
        """Yield the decoded body, for encodings that only urllib3 knows."""
        response = requests.Response()
        raw: Any = urllib3.HTTPResponse
        response.raw = raw(self._fp, headers=self.headers, status=self.status_code, preload_content=False)
        return response.iter_content(size)

    def close(self) -> None:
        """Close the connection."""
        self._fp.close()
        if self._connection is not None:
            self._connection.close()
        self.release_conn()

    def release_conn(self) -> None:
        """Put the connection back into its pool."""
        conn, self._connection = self._connection, None
        if conn is not None:
            self._pool._put_conn(conn)


class _Headers(CaseInsensitiveDict[str]):
    """The headers of a response; `get` takes one step instead of four."""

    _store: dict[str, tuple[str, str]]

    def get(self, key: str, default: Any = None) -> Any:
        item = self._store.get(key.lower())
        return default if item is None else item[1]


def _headers_of(inner: Any) -> _Headers:
    """Return the headers of a response of `http.client` as `requests` does: repeated ones are joined."""
    headers = _Headers()
    store = headers._store
    fields = getattr(inner, "fields", None)
    if fields is None:
        fields = [(name.lower(), name, value) for name, value in inner.headers.items()]
    for lower_name, name, value in fields:
        first = store.get(lower_name)
        store[lower_name] = (name, value) if first is None else (first[0], f"{first[1]}, {value}")
    return headers


def _take_connection(pool: Any) -> Any:
    """Take a connection from a pool, open or still to be opened; None if this pool is not a plain one."""
    if "urlopen" in vars(pool):
        return None
    try:
        conn = pool._get_conn()
    except urllib3_errors.ClosedPoolError:
        return None
    if is_tracked(conn) and not conn.debuglevel:
        pool.num_requests += 1
        return conn
    pool._put_conn(conn)
    return None


def _connect(conn: Any, pool: Any, url: str, timeout: float) -> None:
    """Open a connection; raise what `requests` raises if that fails."""
    conn.timeout = timeout
    try:
        conn.connect()
    except (OSError, urllib3_errors.HTTPError, http.client.HTTPException, _CertificateError) as error:
        failure = error
    except BaseException:
        _discard(conn, pool)
        raise
    else:
        return
    _discard(conn, pool)
    raise _as_connect_error(failure, pool, url)


def _exchange(conn: Any, head: _Head, request: Any, timeout: tuple[float, float], pending: PendingRequest) -> Any:
    """Send a request and return the response of `http.client`, with its head read."""
    body, sock = request.data, conn.sock
    sock.settimeout(timeout[0])
    _send(conn, b"%b%d\r\n%b%b" % (head.before, len(body), head.after, body))
    pending.wait_on(sock)
    sock.settimeout(timeout[1])
    inner = conn.response_class(sock, method=request.method)
    try:
        inner.begin()
    except BaseException:
        inner.close()
        raise
    conn.has_answered = True
    return inner


def _send(conn: Any, data: bytes) -> None:
    try:
        conn.send(data)
    except OSError as error:
        # As urllib3 does: a server may close the connection after it has answered.
        if error.errno not in _SENT_ANYWAY:
            raise


def _discard(conn: Any, pool: Any) -> None:
    conn.close()
    pool._put_conn(conn)


def _as_requests_error(error: Exception) -> requests.RequestException:
    """Return the exception that `requests` raises for one of `http.client` or of a socket."""
    # Python 3.9 has two separate timeout classes.
    if isinstance(error, (TimeoutError, socket.timeout)):
        return requests.ReadTimeout(error)
    if isinstance(error, ssl.SSLError):
        return requests.exceptions.SSLError(error)
    return requests.ConnectionError(urllib3_errors.ProtocolError("Connection aborted.", error))


def _as_connect_error(error: Exception, pool: Any, url: str) -> requests.RequestException:
    """Return the exception that `requests` raises for a connection that could not be opened."""
    # Python 3.9 has two separate timeout classes.
    if isinstance(error, (TimeoutError, socket.timeout)):
        return requests.ReadTimeout(error)
    if isinstance(error, (ssl.SSLError, _CertificateError)):
        error = urllib3_errors.SSLError(error)
    elif not isinstance(error, urllib3_errors.HTTPError):
        error = urllib3_errors.ProtocolError("Connection aborted.", error)
    wrapped = urllib3_errors.MaxRetryError(pool, url, error)
    if isinstance(error, urllib3_errors.SSLError):
        return requests.exceptions.SSLError(wrapped)
    if isinstance(error, urllib3_errors.ConnectTimeoutError) and not isinstance(
        error, urllib3_errors.NewConnectionError
    ):
        return requests.ConnectTimeout(wrapped)
    return requests.ConnectionError(wrapped)
