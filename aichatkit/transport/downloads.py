"""Image URL -> bytes, without trusting the URL, since a server sent it.

Only https and public IP addresses are allowed, without the user's key, cookies or headers; the address is checked after
connecting and before the TLS handshake. The provider's own host, as configured, is always allowed.
Behind a proxy the address cannot be checked, as the proxy resolves the name.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from aichatkit.errors import BadResponseError, BlockedError, ChatError
from aichatkit.images import image_type
from aichatkit.transport.certificates import CertificateAdapter
from aichatkit.transport.connections import Connections, PlainSession
from aichatkit.transport.exceptions import SEND_ERRORS, causes_of, translate_send
from aichatkit.transport.readers import mime_type
from aichatkit.transport.responses import Response
from aichatkit.transport.timeouts import Deadline, Timeout

__all__ = ["download", "is_public"]

_MAX_BYTES = 64 << 20
_MAX_REDIRECTS = 3
#: Not public, although some versions of the standard library say so: special purposes, and gateways to IPv4.
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3"),
        ),
    )
)
#: IPv6 addresses in use on the public internet; the rest of the space is unassigned.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


def download(
    url: str,
    connections: Connections,
    *,
    base_url: str,
    timeout: Timeout,
    deadline: Deadline,
    proxies: Mapping[str, str] | None = None,
) -> bytes:
    """Return the bytes of an image; raise a `ChatError` for an unsafe URL, a wrong type or too many bytes."""
    for _ in range(_MAX_REDIRECTS + 1):
        is_own_host = _origin(url) == _origin(base_url)
        settings = connections.settings(url, proxies, False)
        # A client certificate would identify the user.
        settings = settings if is_own_host else {**settings, "cert": None}
        response = _get(url, connections, settings, is_own_host, timeout, deadline)
        if response.status not in (301, 302, 303, 307, 308):
            return _read_image(response)
        response.close()
        url = _redirected(url, response.headers.get("Location", ""))
    raise BadResponseError(f"{_host(url)}: the picture is behind more than {_MAX_REDIRECTS} redirects")


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet.

    >>> is_public("93.184.215.14"), is_public("127.0.0.1"), is_public("::ffff:1.1.1.1"), is_public("100.64.0.1")
    (True, False, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:
        return False
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC)


class _PrivateAddress(OSError):
    """The connection led to an IP address that is not public."""


class _PublicAdapter(CertificateAdapter):
    """Reject connections to addresses that are not public, before anything is sent."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        pools: Any = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {scheme: _public_pool(pool_cls) for scheme, pool_cls in pools.items()}


def _public_pool(pool_cls: Any) -> Any:
    def new_conn(self: Any) -> Any:
        sock = pool_cls.ConnectionCls._new_conn(self)
        if not is_public(sock.getpeername()[0]):
            sock.close()
            raise _PrivateAddress("not a public address")
        return sock

    connection_cls = type("PublicConnection", (pool_cls.ConnectionCls,), {"_new_conn": new_conn})
    return type("PublicPool", (pool_cls,), {"ConnectionCls": connection_cls})


def _get(
    url: str,
    connections: Connections,
    settings: Mapping[str, Any],
    is_own_host: bool,
    timeout: Timeout,
    deadline: Deadline,
) -> Response:
    if not is_own_host and urlsplit(url).scheme != "https":
        raise BlockedError(f"{_host(url)}: a picture is only fetched over https; its URL was {urlsplit(url).scheme}")
    session = PlainSession()
    session.headers["Accept-Encoding"] = "identity"
    if is_own_host:
        # Use the adapter that carries the chat requests to this host.
        session.mount(url, connections.session.get_adapter(url))
    else:
        session.mount("https://", _PublicAdapter(connections.context, max_retries=0))
    timeouts = deadline.bound_timeout(timeout)
    handled = sys.exc_info()[1]
    try:
        prepared = session.prepare_request(requests.Request("GET", url, auth=_no_auth))
        with connections.pending_request():
            received = session.send(prepared, timeout=timeouts, allow_redirects=False, **settings)
    except SEND_ERRORS as error:
        failure: ChatError
        if any(isinstance(cause, _PrivateAddress) for cause in causes_of(error, handled)):
            failure = _not_public_error(url)
        elif isinstance(error, requests.exceptions.InvalidURL):
            # The service chose it, so it is not a setting of the user's.
            failure = BadResponseError(f"{_host(url)}: the picture's URL is invalid", reason=type(error).__name__)
        else:
            failure = translate_send(error, _host(url), handled)
    else:
        return Response(received, label=_host(url), read_timeout=timeouts[1], deadline=deadline)
    raise failure


def _read_image(response: Response) -> bytes:
    host = _host(response.url)
    if response.status != 200:
        response.close()
        raise BadResponseError(
            f"{host}: the picture could not be fetched (status {response.status})", status=response.status
        )
    content_type = mime_type(response.headers)
    if content_type and not content_type.startswith("image/") and content_type != "application/octet-stream":
        response.close()
        raise BadResponseError(f"{host}: expected an image and got {content_type}")
    content, complete = response.read_body(_MAX_BYTES)
    if not complete:
        raise BadResponseError(f"{host}: the picture is larger than {_MAX_BYTES} bytes")
    image_type(content)
    return content


def _not_public_error(url: str) -> BlockedError:
    return BlockedError(f"{_host(url)}: the picture's address is not public, so it was not fetched")


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        reason = type(error).__name__
    raise BadResponseError(f"{_host(url)}: the picture is redirected to an invalid URL", reason=reason)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        # Its text may quote a part of a password.
        reason = type(error).__name__
    raise BadResponseError("the picture's address cannot be read", reason=reason)


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the picture's host"


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    # An explicit auth, so that requests does not read `.netrc`.
    return request
