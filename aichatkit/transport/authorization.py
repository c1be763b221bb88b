"""What proves who sends a request: the header with the key, what signs the finished request, and how to renew both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urlsplit

import requests

from aichatkit._dataclasses import NamedTuple, dataclass, replace
from aichatkit._lazy import lazy_module

if TYPE_CHECKING:
    from aichatkit.auth import failures
else:
    # Only needed once a sign-in has failed.
    failures = lazy_module("aichatkit.auth.failures")

__all__ = [
    "PROXY_ADVICE",
    "REFUSALS",
    "Authorization",
    "KeyAuth",
    "Renewal",
    "can_repeat",
    "words_for_refusal",
    "words_for_sign_in",
]

#: The statuses that may mean that a key or a signature has expired.
REFUSALS = (401, 403)
#: What to do about a proxy that refuses to work for a stranger.
PROXY_ADVICE = (
    "put its user and password into proxies= or the environment, as in http://user:password@host:3128; "
    "for NTLM or Kerberos run a local proxy that signs in, such as px or cntlm"
)
# These two are compiled on first use: few keys are refused.
#: How AWS says with a 403 that a key has expired.
_EXPIRED = rb"(?i)expired_?token|\btoken\b[^.]{0,80}\bexpired"
#: The ways to sign in that have no API key.
_SCHEMES = r"(?i)(?:^|,)\s*(Basic|Digest|Negotiate|NTLM)\b"
_OBJECTS = {
    "basic": "(user, password)",
    "digest": "requests.auth.HTTPDigestAuth(user, password)",
    "negotiate": "requests_gssapi.HTTPSPNEGOAuth()",
    "ntlm": "requests_ntlm.HttpNtlmAuth(user, password)",
}


class KeyAuth(requests.auth.AuthBase):
    """Set the API key header, and sign; with neither, only keep requests from applying a `.netrc`.

    `is_implicit` is true of a key from the environment: it is left out if the signer sets an Authorization header.
    """

    def __init__(self, header: str = "", value: str = "", signer: Any = None, *, is_implicit: bool = False) -> None:
        self._header = header
        self._value = value
        self._is_implicit = is_implicit
        self.signer = signer

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request with the key, signed last: what signs it sees all of it."""
        if self.signer is None:
            return self._with_key(request)
        if not self._is_implicit:
            signed: requests.PreparedRequest = self.signer(self._with_key(request))
            return signed
        before = request.headers.get("Authorization")
        request = self.signer(request)
        return self._with_key(request) if request.headers.get("Authorization") == before else request

    def _with_key(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header:
            request.headers[self._header] = self._value
        return request


class Renewal(NamedTuple):
    """Another key after one was refused: its header, and whether it was fetched just now."""

    header: str
    value: str
    key: str
    is_new: bool


@dataclass(frozen=True)
class Authorization:
    """How the requests of one attempt are authorized: the header with the `key`, and what signs the finished request.

    `renew` returns another key than one that the service refused, None if there is no other.
    """

    header: str = ""
    value: str = ""
    key: str = ""
    signer: Any = None
    renew: Callable[[str], Renewal | None] | None = None
    is_implicit: bool = False
    #: Whether it was renewed for this call, so that another renewal would not help.
    is_final: bool = False

    def for_url(self, url: str, base_url: str, session_auth: Any = None) -> KeyAuth:
        """Return the `auth` of a request; what signs for the service signs nothing that is sent to another host."""
        signer = self.signer
        if signer is not None and urlsplit(url).netloc != urlsplit(base_url).netloc:
            signer = None
        return KeyAuth(self.header, self.value, signer or session_auth, is_implicit=self.is_implicit)

    def renewed(self, status: int, headers: Mapping[str, str], read_body: Callable[[], bytes]) -> Authorization | None:
        """Return what to repeat a refused request with, None if that would not help."""
        if self.is_final:
            return None
        if self.signer is not None and self.signer.renew(status, headers):
            return replace(self, is_final=True)
        if self.renew is None or not (status == 401 or re.search(_EXPIRED, read_body())):
            return None
        renewal = self.renew(self.key)
        if renewal is None:
            return None
        header, value, key, is_new = renewal
        return replace(self, header=header, value=value, key=key, is_final=is_new)


def can_repeat(request: requests.Request) -> bool:
    """Return whether a request can be sent again; a body that is read as it is sent is set to its start."""
    body = request.data
    if hasattr(body, "rewind"):
        body.rewind()
        return True
    return body is None or isinstance(body, (str, bytes, Mapping, list, tuple))


def words_for_sign_in(auth: Any) -> tuple[str, str]:
    """Return what happened and what to do if what `auth` added to a request, or a function's key, was refused."""
    if auth is None:
        return "the key was refused", "check what the function of api_key= returns"
    name = "(user, password)" if isinstance(auth, tuple) else failures.name_of(auth)
    return f"the sign-in of {name} was refused", "check its credentials, and whether they are for this service"


def words_for_refusal(
    status: int, headers: Mapping[str, str], auth: Any = None, *, sent_key: bool = False
) -> tuple[str, str] | None:
    """Return what happened and what to do if a request was refused for its sign-in, None if its key is the reason.

    `auth` is what signed it, and `sent_key` whether it had a key in the same header.

    >>> words_for_refusal(401, {"WWW-Authenticate": "NTLM"})
    ('the server wants NTLM', 'pass auth=requests_ntlm.HttpNtlmAuth(user, password)')
    """
    if status == 407:
        return "the proxy wants to sign in", PROXY_ADVICE
    schemes = re.findall(_SCHEMES, headers.get("WWW-Authenticate", "")) if status == 401 else []
    if not schemes:
        return None
    wanted = f"the server wants {' or '.join(schemes)}"
    if auth is None:
        return wanted, f"pass auth={_OBJECTS[schemes[0].lower()]}"
    if sent_key:
        return wanted, "the API key was sent instead: pass auth= to the client rather than a Session"
    name = "(user, password)" if isinstance(auth, tuple) else failures.name_of(auth)
    advice = "check the user and the password"
    if any(scheme.lower() == "negotiate" for scheme in schemes):
        advice += ", or the ticket: klist shows it, and it must be for the host of the URL"
    return f"{wanted} and has refused that of {name}", advice
