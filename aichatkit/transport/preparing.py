"""Request -> prepared request, without what `Session.prepare_request` asks anew for each call and finds the same."""

from __future__ import annotations

from typing import Any, TypeVar

import requests
from requests.structures import CaseInsensitiveDict

__all__ = ["Heads", "keep", "prepare"]

T = TypeVar("T")
#: Sets of headers that were checked once, by what they were made from; a client has its own, as they may hold keys.
Heads = dict[Any, "CaseInsensitiveDict[str]"]

#: Addresses and sets of headers kept; those that hold a token or a nonce differ from call to call.
_MOST = 100

_addresses: dict[str, str] = {}


def prepare(session: requests.Session, request: requests.Request, heads: Heads) -> requests.PreparedRequest:
    """Return what `session.prepare_request` would.

    Where the Session holds nothing but headers there is nothing to merge, an address is taken apart once only, and the
    same headers are checked once.
    """
    if request.params or request.files or session.params or session.auth or len(session.cookies):
        return session.prepare_request(request)
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    address = str(request.url)
    known = _addresses.get(address)
    if known is None:
        prepared.prepare_url(address, None)
        keep(_addresses, address, str(prepared.url))
    else:
        prepared.url = known
    prepared.headers = _head(session, request, heads)
    if request.cookies:
        prepared.prepare_cookies(request.cookies)
    else:
        # The Session looks here when it keeps what the answer sets.
        prepared._cookies = request.cookies  # type: ignore[attr-defined]
    if isinstance(request.data, bytes) and request.data and request.json is None:
        prepared.body = request.data
        prepared.headers["Content-Length"] = str(len(request.data))
    else:
        prepared.prepare_body(request.data, None, request.json)
    prepared.prepare_auth(request.auth, prepared.url or "")
    prepared.hooks = request.hooks
    return prepared


def _head(session: requests.Session, request: requests.Request, heads: Heads) -> CaseInsensitiveDict[str]:
    # The items of what `requests` makes are looked up one by one; of an ordinary dict they are there.
    items = getattr(session.headers, "lower_items", session.headers.items)
    told = tuple(items()), tuple(request.headers.items())
    try:
        known = heads.get(told)
    except TypeError:
        # A list or the like, which is refused here.
        return _checked(session, request)
    if known is None:
        known = keep(heads, told, _checked(session, request))
    return known.copy()


def _checked(session: requests.Session, request: requests.Request) -> CaseInsensitiveDict[str]:
    given = {**session.headers, **request.headers}
    prepared = requests.PreparedRequest()
    prepared.prepare_headers({name: value for name, value in given.items() if value is not None})
    return prepared.headers


def keep(kept: dict[Any, T], name: Any, thing: T) -> T:
    """Put a thing into a dict of bounded size and return it."""
    if len(kept) >= _MOST:
        kept.clear()
    kept[name] = thing
    return thing
