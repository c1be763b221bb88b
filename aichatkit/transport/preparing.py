"""Request -> prepared request, without what `Session.prepare_request` asks anew for each call and finds the same."""

from __future__ import annotations

import requests

__all__ = ["prepare"]

#: Addresses kept; those that hold a token or a nonce differ from call to call.
_MOST = 100

_addresses: dict[str, str] = {}


def prepare(session: requests.Session, request: requests.Request) -> requests.PreparedRequest:
    """Return what `session.prepare_request` would.

    Where the Session holds nothing but headers there is nothing to merge, and an address is taken apart once only.
    """
    if request.params or request.files or session.params or session.auth or len(session.cookies):
        return session.prepare_request(request)
    prepared = requests.PreparedRequest()
    prepared.prepare_method(request.method)
    address = str(request.url)
    known = _addresses.get(address)
    if known is None:
        prepared.prepare_url(address, None)
        if len(_addresses) >= _MOST:
            _addresses.clear()
        _addresses[address] = str(prepared.url)
    else:
        prepared.url = known
    given = {**session.headers, **request.headers}
    prepared.prepare_headers({name: value for name, value in given.items() if value is not None})
    if request.cookies:
        prepared.prepare_cookies(request.cookies)
    else:
        # The Session looks here when it keeps what the answer sets.
        prepared._cookies = request.cookies  # type: ignore[attr-defined]
    prepared.prepare_body(request.data, None, request.json)
    prepared.prepare_auth(request.auth, prepared.url or "")
    prepared.hooks = request.hooks
    return prepared
