"""CA bundles and the operating system's certificates -> TLS contexts, each loaded once instead of per connection."""

from __future__ import annotations

import os
import ssl
import sys
import weakref
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from aichatkit._locks import Lock
from aichatkit._reasons import reason_of
from aichatkit.errors import ConfigurationError
from aichatkit.transport.prepared import remember

__all__ = [
    "BUNDLE_VARIABLES",
    "CHECKS_HOSTNAMES",
    "SYSTEM",
    "CertificateAdapter",
    "bundle_context",
    "count_certificates",
    "environment_bundle",
    "stamp_of",
    "system_context",
]

#: urllib3 1 checks host names itself, and cannot pass an IP address to an SSL context that does.
CHECKS_HOSTNAMES = urllib3.__version__.startswith("1.")  # type: ignore[attr-defined]
#: The value of `verify` for the certificates of the operating system.
SYSTEM = "system"
#: The variables that `requests` reads, and the one that OpenSSL and most other programs read.
_REQUESTS_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_OPENSSL_VARIABLE = "SSL_CERT_FILE"
#: All of them, the first that is set counts.
BUNDLE_VARIABLES = (*_REQUESTS_VARIABLES, _OPENSSL_VARIABLE)
#: What the client speaks, as TLS names it.
_PROTOCOLS = ("http/1.1",)

_contexts: dict[Any, ssl.SSLContext] = {}
_contexts_lock = Lock()


def system_context() -> ssl.SSLContext:
    """Return a TLS context that trusts what the operating system trusts.

    Raises:
        ConfigurationError: it needs truststore, which is not installed.
    """
    return _for_threads(_build_system_context())


def _for_threads(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context with its protocols and its client certificate set once.

    urllib3 sets both for every connection, and OpenSSL frees the former ones while other threads may be copying them.
    """
    context.check_hostname = not CHECKS_HOSTNAMES
    context.set_alpn_protocols(_PROTOCOLS)
    shared: Any = context
    shared.set_alpn_protocols = _keep_protocols
    shared.load_cert_chain = _ChainLoader(context)
    return context


def _keep_protocols(protocols: Any) -> None:
    """Do nothing: the protocols are set."""


class _ChainLoader:
    """The `load_cert_chain` of a context: reads the files of a client certificate again only when they have changed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        # Without a cycle, which only the garbage collector would free.
        self._context = weakref.ref(context)
        self._lock = Lock()
        self._loaded: Any = None

    def __call__(self, certfile: str, keyfile: str | None = None, password: Any = None) -> None:
        """Load the files, unless they are those of the last time."""
        key = (certfile, keyfile, password, stamp_of(certfile), stamp_of(keyfile))
        with self._lock:
            if key != self._loaded:
                context: Any = self._context()
                type(context).load_cert_chain(context, certfile, keyfile, password)
                self._loaded = key


def _build_system_context() -> ssl.SSLContext:
    try:
        import truststore
    except ImportError as error:
        reason = reason_of(error)
    else:
        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return context
    if sys.platform == "linux":
        # OpenSSL knows where the distribution has its certificates, and reads SSL_CERT_FILE and SSL_CERT_DIR.
        return ssl.create_default_context()
    raise ConfigurationError(
        "verify: the certificates of this system need the extra: pip install 'aichatkit[truststore]' (Python 3.10)",
        reason=reason,
    )


def count_certificates(path: str) -> int | None:
    """Return how many certificates a CA bundle has, None for a folder; raise OSError if none can be read."""
    if os.path.isdir(path):
        return None
    return len(ssl.create_default_context(cafile=path).get_ca_certs())


def environment_bundle() -> str | None:
    """Return the CA bundle of SSL_CERT_FILE, which `requests` ignores, unless a variable that it reads is set."""
    if any(os.environ.get(name) for name in _REQUESTS_VARIABLES):
        return None
    return os.environ.get(_OPENSSL_VARIABLE) or None


def stamp_of(verify: Any) -> tuple[int, int, int] | None:
    """Return what changes when a CA bundle is renewed in place, None for everything that is not the path of one."""
    if not isinstance(verify, str):
        return None
    try:
        stat = os.stat(verify)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def bundle_context(verify: Any) -> ssl.SSLContext:
    """Return the TLS context of a CA bundle, or of the one of `requests` if `verify` is True."""
    location = requests.utils.DEFAULT_CA_BUNDLE_PATH if verify is True else str(verify)
    is_directory = os.path.isdir(location)
    try:
        # A missing file is an error here.
        os.stat(location)
        key = (location, stamp_of(location))
        with _contexts_lock:
            context = _contexts.get(key)
            if context is None:
                context = ssl.create_default_context(
                    capath=location if is_directory else None, cafile=None if is_directory else location
                )
                remember(_contexts, key, _for_threads(context))
    except OSError as error:
        errno, reason = error.errno, error.strerror
    else:
        return context
    # An error of OpenSSL does not name the file; `requests` turns a ValueError into an InvalidURL.
    raise OSError(errno, reason, location)


class CertificateAdapter(HTTPAdapter):
    """An adapter that may have a TLS context of its own, for connections to services and to proxies."""

    def __init__(self, context: ssl.SSLContext | None = None, **options: Any) -> None:
        self.context = context
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Give the context to the pools of services."""
        super().init_poolmanager(*args, **self._with_context(kwargs))

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        """Give the context to the pools behind a proxy."""
        return super().proxy_manager_for(proxy, **self._with_context(kwargs))

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        """Replace the CA bundle of a pool by the context."""
        host_params, pool_kwargs = super().build_connection_pool_key_attributes(request, verify, cert)
        context = self.context_for(verify, cert) if host_params["scheme"] == "https" else None
        if context is not None:
            pool_kwargs.pop("ca_certs", None)
            pool_kwargs.pop("ca_cert_dir", None)
            pool_kwargs["ssl_context"] = context
        return host_params, pool_kwargs

    def context_for(self, verify: Any, cert: Any) -> ssl.SSLContext | None:
        """Return the context of a connection, None for the one that `requests` would make."""
        return self.context if verify else None

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave the verification to the context; only a client certificate is added."""
        has_context = url.lower().startswith("https") and "ssl_context" in getattr(conn, "conn_kw", {})
        if cert is not None or not has_context:
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        if has_context:
            conn.cert_reqs, conn.ca_certs, conn.ca_cert_dir = "CERT_REQUIRED", None, None

    def _with_context(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs if self.context is None else {**kwargs, "ssl_context": self.context}
