"""`auth=` -> signers: objects that see each finished request and add to it what proves who sends it."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any, Callable

import requests

from aichatkit._dataclasses import NamedTuple
from aichatkit.auth.failures import name_of, sign_in_error
from aichatkit.errors import ChatError, ConfigurationError

__all__ = ["Signer", "is_google_session", "parse_signer"]


class Signer(requests.auth.AuthBase):
    """The `auth` of one provider; its exceptions become errors of the package."""

    def __init__(self, auth: Any, provider: str) -> None:
        # A pair is what requests takes for it.
        self.auth = requests.auth.HTTPBasicAuth(*auth) if isinstance(auth, tuple) else auth
        self.provider = provider

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the signed request."""
        before = list(request.hooks["response"])
        signed = self._call(self.auth, request)
        if isinstance(signed, requests.PreparedRequest):
            # Those of Digest, Kerberos and NTLM answer a challenge when the response is received.
            hooks = signed.hooks["response"]
            signed.hooks["response"] = [hook if hook in before else _Guarded(hook, self) for hook in hooks]
            return signed
        raise ConfigurationError(
            f"{self.provider}: auth: {name_of(self.auth)} must return the request that it was called with, "
            f"not an object of type {type(signed).__name__}",
            provider=self.provider,
        )

    def renew(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether a request that was refused can be signed differently, with credentials read again."""
        # Only the objects of the package have both.
        renew = getattr(self.auth, "renew", None) if hasattr(self.auth, "is_portable") else None
        return renew is not None and bool(self._call(renew, status, headers))

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        try:
            return function(*args)
        except ChatError as error:
            error.provider = error.provider or self.provider
            raise
        except Exception as error:  # noqa: BLE001 - the user's object may raise anything
            failure = sign_in_error("auth", self.auth, error, provider=self.provider)
        # Outside of the block: the exception may quote a password.
        raise failure

    def check_portable(self) -> None:
        """Raise ConfigurationError if it cannot be pickled without its secrets."""
        is_portable = getattr(self.auth, "is_portable", isinstance(self.auth, FunctionType))
        if not is_portable:
            raise ConfigurationError(
                f"a client with auth={name_of(self.auth)} cannot be pickled, as it may hold secrets; "
                "create it in the other process, or pass a function as auth="
            )


class _Guarded(NamedTuple):
    """A response hook of a signer; its exceptions become errors of the package, unless the network caused them."""

    hook: Callable[..., Any]
    signer: Signer

    def __call__(self, response: requests.Response, *args: Any, **options: Any) -> Any:
        try:
            return self.hook(response, *args, **options)
        except Exception as error:
            if isinstance(error, ChatError) or _is_of_network(error):
                raise
            failure = sign_in_error("auth", self.signer.auth, error, provider=self.signer.provider, may_pass=False)
            failure.maybe_processed = response.ok
            response.close()
        raise failure


def _is_of_network(error: Exception) -> bool:
    is_of_system = isinstance(error, OSError) and error.errno is not None
    return is_of_system or type(error).__module__.partition(".")[0] in ("http", "requests", "ssl", "urllib3")


def parse_signer(auth: Any, *, provider: str) -> Signer:
    """Return the signer for an object that requests takes as `auth`; raise ConfigurationError for any other."""
    if isinstance(auth, tuple):
        if len(auth) == 2 and all(isinstance(part, (str, bytes)) for part in auth):
            return Signer(auth, provider)
        raise ConfigurationError(f"auth for {provider}: a tuple must be (user, password), two strings")
    if isinstance(auth, type) or not callable(auth):
        hint = "an instance of it" if isinstance(auth, type) else "a requests AuthBase, or (user, password)"
        raise ConfigurationError(
            f"auth for {provider}: must be callable with a PreparedRequest, not {name_of(auth)}; pass {hint}"
        )
    return Signer(auth, provider)


def is_google_session(session: Any) -> bool:
    """Return whether a Session signs each request itself, as the AuthorizedSession of google-auth does."""
    return any(cls.__name__ == "AuthorizedSession" for cls in type(session).__mro__)
