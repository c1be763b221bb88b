"""The Session of a client: created on first use, once per process, with pooled connections that threads share."""

from __future__ import annotations

import os
import ssl
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from aichatkit._lazy import lazy_module
from aichatkit._version import __version__
from aichatkit.errors import ConfigurationError
from aichatkit.transport.certificates import (
    SYSTEM,
    CertificateAdapter,
    bundle_context,
    environment_bundle,
    stamp_of,
    system_context,
)
from aichatkit.transport.pools import PendingRequest, track_connections
from aichatkit.transport.prepared import HeaderCache, remember
from aichatkit.transport.secrets import is_secret
from aichatkit.transport.timeouts import Deadline

if TYPE_CHECKING:
    from aichatkit.transport import shortcut
    from aichatkit.transport.shortcut import Shortcut
else:
    # Many processes send a single request.
    shortcut = lazy_module("aichatkit.transport.shortcut")

__all__ = ["POOL_SIZE", "Connections", "PlainSession", "pool_key_of"]

#: Connections kept per host, 0 for no limit: a pool smaller than the number of threads closes connections that the
#: next request needs. The pool never holds more than there were concurrent requests.
POOL_SIZE = 0
#: Maximum number of hosts with pooled connections.
_MAX_HOSTS = 16
#: Maximum number of cached settings, one entry per host and set of proxies.
_MAX_SETTINGS = 1000

# `requests` drops proxies that are None, whether they come from the environment or from the Session.
_NO_PROXIES = {"http": None, "https": None, "all": None}

#: The environment variables that are read for a request, as the keys of the dict behind `os.environ`.
_VARIABLES = tuple(
    os.environ.encodekey(name)
    for lower in (
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle"),
        "ssl_cert_file",
    )
    for name in (lower, lower.upper())
)

# Before Python 3.12, CONNECT is sent as HTTP/1.0, and a proxy that signs in the connection, by NTLM, would close it.
_CONNECT_HEADERS = {"Proxy-Connection": "keep-alive"} if sys.version_info < (3, 12) else {}

# Sessions of the parent process, kept alive: closing them could disturb the parent, or deadlock on a lock held at fork.
_inherited: list[Any] = []


class Connections:
    """The Session of a client, its own or the user's, and the requests and responses in progress on it."""

    def __init__(
        self,
        session: requests.Session | None = None,
        *,
        proxies: Mapping[str, str] | None = None,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.owns_session = session is None
        self.cert = cert
        #: The TLS context of every connection, None if it follows from the CA bundle.
        self.context = system_context() if verify == SYSTEM else None
        self.proxies = dict(proxies or {})
        self.verify = verify
        self.headers = dict(headers or {})
        self.open_responses: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pending: set[PendingRequest] = set()
        self._session = session
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._settings: dict[Any, tuple[dict[str, Any], Any]] = {}
        self.header_cache: HeaderCache = {}
        self._has_sent = False
        #: Created with the second request.
        self._shortcut: Shortcut | None = None

    @property
    def session(self) -> requests.Session:
        """The Session of this process."""
        if self._session is None or self._pid != os.getpid():
            self._renew()
        assert self._session is not None
        return self._session

    def settings(self, url: str, proxies: Mapping[str, str] | None, direct: bool) -> dict[str, Any]:
        """Return the `Session.send` arguments for a URL: proxies, verify, cert.

        Cached per host until the environment changes. Explicit proxies take precedence over the environment, the call's
        over the client's; `direct` disables all.
        """
        parts = urlsplit(url)
        own = self.proxies if proxies is None else proxies
        key = (parts.scheme, parts.netloc, direct, tuple(sorted(own.items())) if own else (), _environment())
        settings, stamp = self._settings.get(key, (None, None))
        # Bundles may be renewed in place.
        if settings is None or stamp != stamp_of(settings["verify"]):
            explicit = self.explicit_proxies(proxies, direct)
            session = self.session
            settings = dict(
                session.merge_environment_settings(url, explicit, True, self.verify_for(session), self.cert)
            )
            if self.context is not None:
                # The context verifies.
                settings["verify"] = True
            _check_proxy(requests.utils.select_proxy(url, settings["proxies"]))
            # Images are downloaded from any number of hosts.
            remember(self._settings, key, (settings, stamp_of(settings["verify"])), _MAX_SETTINGS)
        return settings

    def verify_for(self, session: requests.Session) -> Any:
        """Return `verify` for a request, None to leave it to the Session and the variables that `requests` reads.

        Left to `requests`, a variable would take precedence over a CA bundle of the Session.
        """
        if self.verify is not None:
            return self.verify
        if session.verify is not True:
            return session.verify
        return environment_bundle() if session.trust_env else None

    def explicit_proxies(self, proxies: Mapping[str, str] | None, direct: bool) -> dict[str, Any]:
        """Return the proxies passed to the call, or else to the client; `direct` disables all proxies."""
        if direct:
            return dict(_NO_PROXIES)
        return dict(self.proxies if proxies is None else proxies)

    def auth(self) -> Any:
        """Return what signs the requests of the user's Session, None if nothing does."""
        return None if self.owns_session else self.session.auth or None

    def has_auth(self) -> bool:
        """Return whether the user's Session has an `auth` that signs requests."""
        return self.auth() is not None

    def track(self, response: Any) -> None:
        """Register a response in progress, so that `close` can wake the thread that reads it."""
        with self._lock:
            self.open_responses.add(response)

    def find_shortcut(self) -> Shortcut | None:
        """Return the shortcut for requests like earlier ones on the package's own Session, None for the first."""
        if self._shortcut is None and self._has_sent:
            session = self.session
            self._shortcut = shortcut.Shortcut(session, session.adapters["https://"])
        self._has_sent = True
        return self._shortcut

    def forget_settings(self) -> None:
        """Read the proxy and certificate settings again for the next request, e.g. after a failed connection."""
        self._settings = {}

    def pending_request(self, *, fresh: bool = False, deadline: Deadline | None = None) -> PendingRequest:
        """Return a context manager: inside it, `close` wakes this thread while it waits for the response head.

        `fresh` requires a new connection instead of a pooled one; `deadline` limits every wait inside.
        """
        if self._pid != os.getpid():
            self._renew()
        return PendingRequest(self._pending, self._lock, fresh=fresh, deadline=deadline)

    def check_portable(self) -> None:
        """Raise ConfigurationError if the client's headers or proxies contain secrets, which must not be pickled."""
        names = [f"header {name}" for name, value in self.headers.items() if is_secret(name, value)]
        names += [f"proxy for {name}" for name, url in self.proxies.items() if "@" in str(url)]
        if names:
            raise ConfigurationError(
                f"a client with a secret in its {names[0]} cannot be pickled; create it in the other process, "
                "or set the secret in the environment"
            )

    def portable(self) -> dict[str, Any]:
        """Return constructor arguments for a copy; a Session created by the package is left out."""
        session = None if self.owns_session else self._session
        options = {"proxies": self.proxies, "verify": self.verify, "cert": self.cert, "headers": self.headers}
        return {"session": session, **options}

    def without_keys(self) -> Connections:
        """Return connections to other servers: the same proxies and certificates, without headers, auth and cookies."""
        session = None
        if not self.owns_session:
            own, session = self.session, PlainSession()
            session.adapters, session.proxies = own.adapters, own.proxies
            session.trust_env, session.verify = own.trust_env, own.verify
        return Connections(session, proxies=self.proxies, verify=self.verify)

    def close(self) -> None:
        """Wake every blocked read and close the Session; do nothing in a forked child that has not used it yet."""
        if self._pid != os.getpid():
            return
        with self._lock:
            responses, pending_requests = list(self.open_responses), list(self._pending)
        for response in responses:
            response.cancel()
        for pending in pending_requests:
            pending.cancel()
        if self._session is not None:
            self._session.close()

    def _renew(self) -> None:
        if self._pid != os.getpid():
            # The parent's lock may be held by a thread that does not exist in the child.
            self._lock = threading.Lock()
        with self._lock:
            if self._pid != os.getpid():
                self._reset_after_fork()
            if self._session is None:
                self._session = _build_session(self.context)

    def _reset_after_fork(self) -> None:
        _inherited.append((self._session, self.open_responses))
        self.open_responses = weakref.WeakSet()
        self._pending = set()
        self._settings = {}
        self._shortcut = None
        if self.owns_session:
            self._session = None
        else:
            _renew_pools(self._session)
        self._pid = os.getpid()


def _environment() -> tuple[Any, ...]:
    # Faster than `os.environ.get`, which encodes the name and catches an exception for every unset variable.
    return tuple(map(os.environ._data.get, _VARIABLES))  # type: ignore[attr-defined]


def _check_proxy(proxy: Any) -> None:
    """Reject a proxy URL without a host, which `requests` fails on; do not quote it, as it may hold a password."""
    try:
        host = urlsplit(proxy if "://" in proxy else f"http://{proxy}").hostname if proxy else "none"
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
            # The way unpickling does it: the same settings, a new pool.
            fresh: Any = adapter
            fresh.__setstate__(fresh.__getstate__())


class _Adapter(CertificateAdapter):
    """Keep one pool for many threads, and load the CA file once instead of for every connection."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(context, pool_connections=_MAX_HOSTS, pool_maxsize=POOL_SIZE, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        track_connections(self.poolmanager)
        # Looking up the pool of a host takes as long as everything else done with a request before it is sent.
        self.pools: dict[Any, Any] = {}

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        key = _pool_key(request.url, verify, cert, proxies)
        pool = self.pools.get(key)
        # The pool may have been closed in the meantime.
        if pool is None or pool.pool is None:
            pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
            remember(self.pools, key, pool, _MAX_HOSTS)
        return pool

    def request_url(self, request: Any, proxies: Any) -> str:
        return str(super().request_url(request, proxies) if proxies else request.path_url)

    def close(self) -> None:
        self.pools.clear()
        super().close()

    def proxy_headers(self, proxy: Any) -> dict[str, str]:
        return {**super().proxy_headers(proxy), **_CONNECT_HEADERS}

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **kwargs)
        if is_new:
            track_connections(manager)
        return manager

    def context_for(self, verify: Any, cert: Any) -> ssl.SSLContext | None:
        own = super().context_for(verify, cert)
        if own is None and verify and cert is None:
            return bundle_context(verify)
        return own


def _pool_key(url: str, verify: Any, cert: Any, proxies: Any) -> tuple[Any, ...]:
    parts = urlsplit(url)
    # Bundles may be renewed in place.
    bundle = (verify, stamp_of(verify))
    return parts.scheme, parts.netloc, bundle, str(cert), tuple(sorted((proxies or {}).items()))


def pool_key_of(url: str, settings: Mapping[str, Any]) -> Any:
    """Return the key of the pool for a request, None if it is sent through a proxy."""
    if requests.utils.select_proxy(url, settings["proxies"]):
        return None
    return _pool_key(url, settings["verify"], settings["cert"], settings["proxies"])


class PlainSession(requests.Session):
    """A Session that never follows redirects, nor parses their addresses."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: parsing the address may fail, even if the redirect is not followed."""


def _build_session(context: ssl.SSLContext | None) -> requests.Session:
    session = PlainSession()
    adapter = _Adapter(context)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["User-Agent"] = f"aichatkit/{__version__}"
    # Compression gains nothing on small chunks, and makes proxies buffer them.
    session.headers["Accept-Encoding"] = "identity"
    return session
