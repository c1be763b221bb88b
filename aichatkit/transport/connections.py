"""The Session of a client: made on first use, once per process, with connections that are kept and shared."""

from __future__ import annotations

import os
import ssl
import threading
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from aichatkit._locks import Lock
from aichatkit._version import __version__
from aichatkit.errors import ConfigurationError
from aichatkit.transport.pools import PendingRequest, track
from aichatkit.transport.prepared import Heads, remember

__all__ = ["POOL", "Connections"]

#: Connections kept per host, without bound: a pool smaller than the threads throws away what the next one needs.
#: There are never more than were under way at once.
POOL = 0
#: urllib3 1 compares certificates with names by itself, and cannot hand an address in numbers to a context that does.
_COMPARES_NAMES = urllib3.__version__.startswith("1.")  # type: ignore[attr-defined]
#: Hosts whose connections are kept.
_HOSTS = 16
#: Addresses whose settings are remembered.
_MOST_SETTINGS = 1000

# `requests` leaves out what is None, whether it came from the environment or from the Session.
_NO_PROXIES = {"http": None, "https": None, "all": None}

_contexts: dict[str, ssl.SSLContext] = {}
_contexts_lock = Lock()
# Sessions of a parent process: closing them here could disturb the parent, or wait for a lock nobody holds any more.
_inherited: list[Any] = []


class Connections:
    """The Session of a client, its own or the user's, and the responses that are under way on it."""

    def __init__(
        self,
        session: requests.Session | None = None,
        *,
        proxies: Mapping[str, str] | None = None,
        verify: bool | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.own = session is None
        self.proxies = dict(proxies or {})
        self.verify = verify
        self.headers = dict(headers or {})
        self.live: weakref.WeakSet[Any] = weakref.WeakSet()
        self._heads: set[PendingRequest] = set()
        self._session = session
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._settings: dict[Any, dict[str, Any]] = {}
        self.heads: Heads = {}

    @property
    def session(self) -> requests.Session:
        """The Session of this process."""
        if self._session is None or self._pid != os.getpid():
            self._renew()
        assert self._session is not None
        return self._session

    def settings(self, url: str, proxies: Mapping[str, str] | None, direct: bool) -> dict[str, Any]:
        """Return proxies, verify and cert for a URL; the environment is asked once per host.

        Proxies given by the user win over the environment, and a call's over the client's; `direct` allows none.
        """
        given = self.given_proxies(proxies, direct)
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc, direct, tuple(sorted(given.items())))
        found = self._settings.get(key)
        if found is None:
            found = dict(self.session.merge_environment_settings(url, given, True, self.verify, None))
            _check_proxy(requests.utils.select_proxy(url, found["proxies"]))
            # Pictures come from anywhere, so the number of URLs has no bound.
            remember(self._settings, key, found, _MOST_SETTINGS)
        return found

    def given_proxies(self, proxies: Mapping[str, str] | None, direct: bool) -> dict[str, Any]:
        """Return the proxies that were set by hand: the call's, else the client's; none at all where `direct`."""
        if direct:
            return dict(_NO_PROXIES)
        return dict(self.proxies if proxies is None else proxies)

    def track(self, response: Any) -> None:
        """Remember a response that is under way, so that closing can wake whoever reads it."""
        with self._lock:
            self.live.add(response)

    def sending(self, *, anew: bool = False) -> PendingRequest:
        """Return a context in which `close` wakes this thread while it waits for the head of an answer.

        `anew` takes no connection that was kept.
        """
        if self._pid != os.getpid():
            self._renew()
        return PendingRequest(self._heads, self._lock, anew=anew)

    def portable(self) -> dict[str, Any]:
        """Return what another process needs to make the same connections; a Session of the package is made anew."""
        session = None if self.own else self._session
        return {"session": session, "proxies": self.proxies, "verify": self.verify, "headers": self.headers}

    def close(self) -> None:
        """Wake every blocked read and close the Session; after a fork these are still the parent's."""
        if self._pid != os.getpid():
            return
        with self._lock:
            live, heads = list(self.live), list(self._heads)
        for response in live:
            response.cancel()
        for head in heads:
            head.cancel()
        if self._session is not None:
            self._session.close()

    def _renew(self) -> None:
        if self._pid != os.getpid():
            # The lock of the parent may be held by a thread that does not exist here.
            self._lock = threading.Lock()
        with self._lock:
            if self._pid != os.getpid():
                self._forget_parent()
            if self._session is None:
                self._session = _build_session()

    def _forget_parent(self) -> None:
        _inherited.append((self._session, self.live))
        self.live = weakref.WeakSet()
        self._heads = set()
        self._settings = {}
        if self.own:
            self._session = None
        else:
            _renew_pools(self._session)
        self._pid = os.getpid()


def _check_proxy(address: Any) -> None:
    """Refuse a proxy without a host, which `requests` stumbles over; its URL may hold a password."""
    try:
        host = urlsplit(address if "://" in address else f"http://{address}").hostname if address else "none"
    except ValueError:
        host = None
    if not host:
        raise ConfigurationError(
            "the URL of the proxy names no host; check proxies= and HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"
        )


def _renew_pools(session: Any) -> None:
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            _inherited.append(adapter.poolmanager)
            # What unpickling does: the same settings, a pool of its own.
            fresh: Any = adapter
            fresh.__setstate__(fresh.__getstate__())


class _Adapter(HTTPAdapter):
    """Keep a pool for many threads, and read the CA file once instead of for every connection."""

    def __init__(self) -> None:
        super().__init__(pool_connections=_HOSTS, pool_maxsize=POOL, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        track(self.poolmanager)
        # Finding the pool of a host takes as long as all else that is done with a request before it is sent.
        self._pools: dict[Any, Any] = {}

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        parts = urlsplit(request.url)
        key = (parts.scheme, parts.netloc, verify, str(cert), tuple(sorted((proxies or {}).items())))
        pool = self._pools.get(key)
        # Whose pool was closed meanwhile gets a new one.
        if pool is None or pool.pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            remember(self._pools, key, pool, _HOSTS)
        return pool

    def request_url(self, request: Any, proxies: Any) -> str:
        return str(super().request_url(request, proxies) if proxies else request.path_url)

    def close(self) -> None:
        self._pools.clear()
        super().close()

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not known:
            track(manager)
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if verify and cert is None and host["scheme"] == "https" and not _COMPARES_NAMES:
            pool.pop("ca_certs", None)
            pool.pop("ca_cert_dir", None)
            pool["ssl_context"] = _context(verify)
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        if url.lower().startswith("https") and "ssl_context" in getattr(conn, "conn_kw", {}):
            conn.cert_reqs, conn.ca_certs, conn.ca_cert_dir = "CERT_REQUIRED", None, None
        else:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]


def _build_session() -> requests.Session:
    session = requests.Session()
    adapter = _Adapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["User-Agent"] = f"aichatkit/{__version__}"
    # Compression buys nothing on small pieces and invites proxies to hold them back.
    session.headers["Accept-Encoding"] = "identity"
    return session


def _context(verify: Any) -> ssl.SSLContext:
    location = requests.utils.DEFAULT_CA_BUNDLE_PATH if verify is True else str(verify)
    with _contexts_lock:
        context = _contexts.get(location)
        if context is None:
            folder = os.path.isdir(location)
            context = ssl.create_default_context(
                capath=location if folder else None, cafile=None if folder else location
            )
            _contexts[location] = context
    return context
