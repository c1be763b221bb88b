"""A picture's URL -> its bytes, without trusting the URL: it came from a server.

Only https and public addresses are asked, without key, cookie or header of the user; the address is checked once the
connection stands and before anything is sent. The provider's own host, as configured, is always allowed.
Through a proxy the address cannot be checked: the proxy looks the name up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from aichatkit.errors import BadResponseError, BlockedError, ChatError
from aichatkit.images import image_type
from aichatkit.transport.connections import Connections
from aichatkit.transport.exceptions import SEND_ERRORS, causes_of, translate_send
from aichatkit.transport.readers import mime_type
from aichatkit.transport.responses import Response
from aichatkit.transport.timeouts import Deadline, Timeout

__all__ = ["download", "is_public"]

_MOST_BYTES = 64 << 20
_MOST_HOPS = 3
#: Counted as global by the standard library, yet it leads to any IPv4 address.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def download(
    url: str,
    connections: Connections,
    *,
    home: str,
    timeout: Timeout,
    deadline: Deadline,
    proxies: Mapping[str, str] | None = None,
) -> bytes:
    """Return a picture; raise our own errors for an unsafe address, a wrong type or too many bytes."""
    for _ in range(_MOST_HOPS + 1):
        own_host = _origin(url) == _origin(home)
        settings = connections.settings(url, proxies, False)
        # A certificate of the user's says who asks.
        settings = settings if own_host else {**settings, "cert": None}
        response = _get(url, connections, settings, own_host, timeout, deadline)
        if response.status not in (301, 302, 303, 307, 308):
            return _picture(response)
        response.close()
        url = urljoin(url, response.headers.get("Location", ""))
    raise BadResponseError(f"{_host(url)}: the picture is behind more than {_MOST_HOPS} redirects")


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the public internet.

    >>> is_public("93.184.215.14"), is_public("127.0.0.1"), is_public("::ffff:10.0.0.1"), is_public("100.64.0.1")
    (True, False, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _NAT64 or ip.sixtofour is not None or ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast


class _PrivateAddress(OSError):
    """The connection leads to an address that is not public."""


class _PublicAdapter(HTTPAdapter):
    """Refuse a connection whose other end is not public, before anything is sent over it."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        pools: Any = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {scheme: _guarded_pool(pool) for scheme, pool in pools.items()}


def _guarded_pool(pool: Any) -> Any:
    def connect(self: Any) -> None:
        pool.ConnectionCls.connect(self)
        if not is_public(self.sock.getpeername()[0]):
            self.close()
            raise _PrivateAddress("not a public address")

    connection = type("PublicConnection", (pool.ConnectionCls,), {"connect": connect})
    return type("PublicPool", (pool,), {"ConnectionCls": connection})


def _get(
    url: str,
    connections: Connections,
    settings: Mapping[str, Any],
    own_host: bool,
    timeout: Timeout,
    deadline: Deadline,
) -> Response:
    if not own_host and urlsplit(url).scheme != "https":
        raise BlockedError(f"{_host(url)}: a picture is only fetched over https; its URL was {urlsplit(url).scheme}")
    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"
    if own_host:
        # It is reached the way its answers are.
        session.mount(url, connections.session.get_adapter(url))
    else:
        session.mount("https://", _PublicAdapter(max_retries=0))
    limits = deadline.bound_timeout(timeout)
    try:
        prepared = session.prepare_request(requests.Request("GET", url, auth=_no_auth))
        with connections.sending():
            received = session.send(prepared, timeout=limits, allow_redirects=False, **settings)
    except SEND_ERRORS as error:
        failure: ChatError = (
            _refused(url)
            if any(isinstance(cause, _PrivateAddress) for cause in causes_of(error))
            else translate_send(error, _host(url))
        )
    else:
        return Response(received, who=_host(url), read_timeout=limits[1], deadline=deadline)
    raise failure


def _picture(response: Response) -> bytes:
    host = _host(response.url)
    if response.status != 200:
        response.close()
        raise BadResponseError(
            f"{host}: the picture could not be fetched (status {response.status})", status=response.status
        )
    kind = mime_type(response.headers)
    if kind and not kind.startswith("image/") and kind != "application/octet-stream":
        response.close()
        raise BadResponseError(f"{host}: a picture was expected and {kind} came")
    content, whole = response.read_body(_MOST_BYTES)
    if not whole:
        raise BadResponseError(f"{host}: the picture is larger than {_MOST_BYTES} bytes")
    image_type(content)
    return content


def _refused(url: str) -> BlockedError:
    return BlockedError(f"{_host(url)}: the picture's address is not public, so it was not asked")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        pass
    raise BadResponseError("the picture's address cannot be read")


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the picture's host"


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # Given, so that no `.netrc` is looked at.
    return request
