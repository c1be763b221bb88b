"""Request -> prepared request, without the work that `Session.prepare_request` repeats for every call."""

from __future__ import annotations

from collections import OrderedDict
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict

from aichatkit.transport.authorization import KeyAuth

__all__ = ["HeaderCache", "empty_jar", "prepare", "remember"]

T = TypeVar("T")
#: Validated headers by the items they were built from; each client has its own cache, as they may contain keys.
HeaderCache = dict[Any, "CaseInsensitiveDict[str]"]

#: Maximum number of cached URLs and sets of headers: those with a token or nonce differ from call to call.
_CACHE_SIZE = 100

_prepared_urls: dict[str, str] = {}
# Shared, since every jar would otherwise build its own with the same settings.
_POLICY = DefaultCookiePolicy()


def prepare(session: requests.Session, request: requests.Request, cache: HeaderCache) -> requests.PreparedRequest:
    """Return what `session.prepare_request` would.

    If the Session has nothing but headers, there is nothing to merge: each URL is parsed once, and the same headers are
    validated once.
    """
    is_signed = isinstance(request.auth, KeyAuth) and request.auth.signer is not None
    if is_signed or request.params or request.files or session.params or session.auth or len(session.cookies):
        return session.prepare_request(request)
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    url = str(request.url)
    prepared_url = _prepared_urls.get(url)
    if prepared_url is None:
        prepared.prepare_url(url, None)
        remember(_prepared_urls, url, str(prepared.url))
    else:
        prepared.url = prepared_url
    prepared.headers = _prepare_headers(session, request, cache)
    if request.cookies:
        prepared.prepare_cookies(request.cookies)
    else:
        # The Session reads this attribute when it stores the cookies of the response.
        prepared._cookies = request.cookies  # type: ignore[attr-defined]
    if isinstance(request.data, bytes) and request.data and request.json is None:
        prepared.body = request.data
        prepared.headers["Content-Length"] = str(len(request.data))
    else:
        prepared.prepare_body(request.data, None, request.json)
    if type(request.auth) is KeyAuth:
        # Without a signer, KeyAuth changes neither the URL nor the body, which `prepare_auth` would inspect again.
        request.auth(prepared)
    else:
        prepared.prepare_auth(request.auth, prepared.url or "")
    prepared.hooks = request.hooks
    return prepared


def _prepare_headers(
    session: requests.Session, request: requests.Request, cache: HeaderCache
) -> CaseInsensitiveDict[str]:
    # A CaseInsensitiveDict looks its items up one by one; `lower_items` and plain dicts do not.
    items = getattr(session.headers, "lower_items", session.headers.items)
    key = tuple(items()), tuple(request.headers.items())
    try:
        cached = cache.get(key)
    except TypeError:
        # An unhashable value, such as a list, which requests rejects.
        return _validate_headers(session, request)
    if cached is None:
        cached = remember(cache, key, _validate_headers(session, request))
    return _copy(cached)


def _copy(headers: CaseInsensitiveDict[str]) -> CaseInsensitiveDict[str]:
    store = getattr(headers, "_store", None)
    if type(store) is not OrderedDict:
        return headers.copy()
    # Copied in one step; `CaseInsensitiveDict.copy` inserts the items one by one.
    copy: CaseInsensitiveDict[str] = CaseInsensitiveDict()
    copy._store = store.copy()  # type: ignore[attr-defined]
    return copy


def _validate_headers(session: requests.Session, request: requests.Request) -> CaseInsensitiveDict[str]:
    headers = {**session.headers, **request.headers}
    prepared = requests.PreparedRequest()
    prepared.prepare_headers({name: value for name, value in headers.items() if value is not None})
    return prepared.headers


def empty_jar() -> RequestsCookieJar:
    """Return an empty cookie jar for one call."""
    return RequestsCookieJar(policy=_POLICY)


def remember(cache: dict[Any, T], key: Any, value: T, size: int = _CACHE_SIZE) -> T:
    """Store a value in a cache that is emptied when it reaches `size` entries, and return the value."""
    if len(cache) >= size:
        cache.clear()
    cache[key] = value
    return value
