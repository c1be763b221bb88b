"""Address -> probe: whether a service can be reached at all, by which way, and what its clock says."""

from __future__ import annotations

import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from requests.utils import select_proxy

from aichatkit.errors import ConnectError
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport

__all__ = ["TLS", "Probe", "probe"]

#: What TLS is spoken with.
TLS = ssl.OPENSSL_VERSION
_LIMITS = Timeout(connect=5, read=10)


class Probe(NamedTuple):
    """What came of a request without key or prompt; any status shows that the service can be reached.

    `proxy` is the host and port it went through, `address` the service's where there is no proxy, `skew` how many
    seconds the service's clock is ahead of ours, None where it tells no time.
    """

    status: int
    elapsed: float
    proxy: str = ""
    address: str = ""
    skew: float | None = None


def probe(url: str, *, provider: str, connections: Connections, direct: bool = False) -> Probe:
    """Ask for a page at an address and return what that showed; raise our own errors where there is no way to it."""
    started = time.monotonic()
    deadline = Deadline(30)
    proxy = _proxy(url, connections, direct)
    address = "" if proxy else _look_up(url, provider)
    http = Transport(connections, provider=provider, home=url, timeout=_LIMITS, deadline=deadline, direct=direct)
    response = http.send(requests.Request("GET", url, headers={}))
    response.close()
    return Probe(response.status, time.monotonic() - started, proxy, address, _skew(response.headers.get("Date", "")))


def _proxy(url: str, connections: Connections, direct: bool) -> str:
    """Return host and port of the proxy that applies; its user and password are nobody's business."""
    chosen = select_proxy(url, connections.settings(url, None, direct).get("proxies"))
    return urlsplit(chosen if "://" in chosen else f"//{chosen}").netloc.rpartition("@")[2] if chosen else ""


def _look_up(url: str, provider: str) -> str:
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        failure = ConnectError(
            f"{provider}: the name {host} is not found ({getattr(error, 'strerror', None) or type(error).__name__}); "
            "check the network and its DNS, or set a proxy",
            provider=provider,
        )
    else:
        return str(found[0][4][0])
    raise failure


def _skew(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (TypeError, ValueError, IndexError):
        return None
