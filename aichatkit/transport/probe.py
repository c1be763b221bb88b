"""URL -> probe: whether a service can be reached, by which route, and what its clock says."""

from __future__ import annotations

import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
from requests.utils import select_proxy

from aichatkit._dataclasses import NamedTuple
from aichatkit._reasons import reason_of
from aichatkit.errors import ConnectError
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport

__all__ = ["TLS", "Probe", "probe"]

#: The TLS library in use.
TLS = ssl.OPENSSL_VERSION
_TIMEOUT = Timeout(connect=5, read=10)


class Probe(NamedTuple):
    """The result of a request without a key or prompt; any status shows that the service can be reached.

    `proxy` is the host and port of the proxy used; without a proxy, `address` is the IP address of the service.
    `skew` is how many seconds its clock is ahead of the local one, None if the response has no date.
    """

    status: int
    elapsed: float
    proxy: str = ""
    address: str = ""
    skew: float | None = None


def probe(url: str, *, provider: str, connections: Connections, direct: bool = False) -> Probe:
    """Send a GET request to a URL; raise a `ChatError` if the service cannot be reached."""
    started = time.monotonic()
    deadline = Deadline(30)
    proxy = _proxy_address(url, connections, direct)
    address = "" if proxy else _resolve(url, provider)
    http = Transport(connections, provider=provider, base_url=url, timeout=_TIMEOUT, deadline=deadline, direct=direct)
    response = http.send(requests.Request("GET", url, headers={}))
    response.close()
    return Probe(response.status, time.monotonic() - started, proxy, address, _skew(response.headers.get("Date", "")))


def _proxy_address(url: str, connections: Connections, direct: bool) -> str:
    """Return the host and port of the proxy that applies, without its secret user name and password."""
    proxy = select_proxy(url, connections.settings(url, None, direct).get("proxies"))
    return urlsplit(proxy if "://" in proxy else f"//{proxy}").netloc.rpartition("@")[2] if proxy else ""


def _resolve(url: str, provider: str) -> str:
    host = urlsplit(url).hostname or ""
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        failure = ConnectError(
            f"{provider}: the name {host} is not found ({getattr(error, 'strerror', None) or type(error).__name__}); "
            "check the network and its DNS, or set a proxy",
            provider=provider,
            reason=reason_of(error),
        )
    else:
        return str(addresses[0][4][0])
    raise failure


def _skew(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
