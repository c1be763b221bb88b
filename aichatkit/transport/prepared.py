"""Request -> prepared request, without what `Session.prepare_request` asks anew for each call and finds the same."""

from __future__ import annotations

from collections import OrderedDict
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

__all__ = ["Heads", "KeyAuth", "empty_jar", "prepare", "remember"]

T = TypeVar("T")
#: Sets of headers that were checked once, by what they were made from; a client has its own, as they may hold keys.
Heads = dict[Any, "CaseInsensitiveDict[str]"]

#: Addresses and sets of headers kept; those that hold a token or a nonce differ from call to call.
_CACHE_SIZE = 100

_addresses: dict[str, str] = {}
# Each jar makes one for itself otherwise, of the same settings.
_POLICY = DefaultCookiePolicy()


class KeyAuth(requests.auth.AuthBase):
    """Put an API key into its header; without a key, only keep a `.netrc` from putting in something else."""

    def __init__(self, header: str = "", value: str = "", before: Any = None) -> None:
        self._header = header
        self._value = value
        self._before = before

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request; the user's own auth comes first and keeps the header it set."""
        if self._before is not None:
            signed = ("Authorization" in request.headers, request.headers.get("Authorization"))
            request = self._before(request)
            if self._header == "Authorization" and signed != (
                "Authorization" in request.headers,
                request.headers.get("Authorization"),
            ):
                return request
        if self._header:
            request.headers[self._header] = self._value
        return request


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
        remember(_addresses, address, str(prepared.url))
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
    if type(request.auth) is KeyAuth:
        # It changes neither the address nor the body, which would be looked at once more.
        request.auth(prepared)
    else:
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
        known = remember(heads, told, _checked(session, request))
    return _copied(known)


def _copied(headers: CaseInsensitiveDict[str]) -> CaseInsensitiveDict[str]:
    kept = getattr(headers, "_store", None)
    if type(kept) is not OrderedDict:
        return headers.copy()
    # All at once: its own way is to put in one by one what was taken out one by one.
    fresh: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    fresh._store = kept.copy()  # type: ignore[attr-defined]
    return fresh


def _checked(session: requests.Session, request: requests.Request) -> CaseInsensitiveDict[str]:
    given = {**session.headers, **request.headers}
    prepared = requests.PreparedRequest()
    prepared.prepare_headers({name: value for name, value in given.items() if value is not None})
    return prepared.headers


def empty_jar() -> RequestsCookieJar:
    """Return a jar for the cookies of one call."""
    return RequestsCookieJar(policy=_POLICY)


def remember(cache: dict[Any, T], key: Any, value: T, size: int = _CACHE_SIZE) -> T:
    """Store a value in a cache that is emptied once it holds `size` of them, and return the value."""
    if len(cache) >= size:
        cache.clear()
    cache[key] = value
    return value
