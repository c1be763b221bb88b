"""Request -> response -> bytes: the only step that talks HTTP.

A `Transport` serves one call: it holds the call's deadline, headers, key and cookies, which never enter the Session.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar

from aichatkit._lazy import lazy_module
from aichatkit._reasons import reason_of
from aichatkit.errors import (
    AuthenticationError,
    BadResponseError,
    BlockedError,
    ChatError,
    ConfigurationError,
    ConnectError,
)
from aichatkit.transport.authorization import REFUSALS, Authorization, can_repeat, words_for_refusal, words_for_sign_in
from aichatkit.transport.connections import Connections
from aichatkit.transport.exceptions import SEND_ERRORS, passed_through, translate_send
from aichatkit.transport.pools import PendingRequest
from aichatkit.transport.prepared import empty_jar, prepare
from aichatkit.transport.responses import Response
from aichatkit.transport.secrets import hide, keys_in
from aichatkit.transport.timeouts import Deadline, Timeout

if TYPE_CHECKING:
    from aichatkit.auth import signers
    from aichatkit.classification import classify
    from aichatkit.transport import downloads
else:
    # Few clients sign requests.
    signers = lazy_module("aichatkit.auth.signers")
    # Not needed before the first response.
    classify = lazy_module("aichatkit.classification.classify")
    # Only needed for images returned as URLs.
    downloads = lazy_module("aichatkit.transport.downloads")

__all__ = ["Connections", "Response", "Transport"]

logger = logging.getLogger(__name__)

#: The largest page or JSON document a handshake may read, in bytes.
_HANDSHAKE_BYTES = 8 << 20
_NOT_AUTHORIZED = Authorization()
#: A key fetched for a call is the last one that it tries; keys that other threads have fetched may come before it.
_MAX_RENEWALS = 3


class Transport:
    """The HTTP access of one call to one service; `prepare` hooks use `get_text`, `get_json` and `send`."""

    def __init__(
        self,
        connections: Connections,
        *,
        provider: str,
        base_url: str,
        timeout: Timeout,
        deadline: Deadline,
        authorization: Authorization = _NOT_AUTHORIZED,
        headers: Mapping[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        direct: bool = False,
        fresh: bool = False,
        rules: tuple[classify.Rule, ...] = (),
        secrets: Sequence[str] = (),
        refused: ChatError | None = None,
    ) -> None:
        #: Why the attempt before was refused, if fresh tokens may help.
        self.refused = refused
        self._connections = connections
        self._provider = provider
        self._base_url = base_url
        self._timeout = timeout
        self._deadline = deadline
        self._authorization = authorization
        self._renewals = 0
        self._headers = dict(headers or {})
        self._proxies = proxies
        self._direct = direct
        self._fresh = fresh
        self._rules = rules
        self._secrets = secrets
        self._cookies: RequestsCookieJar | None = None
        self._unread_cookies: list[tuple[requests.Request, Any]] = []

    def get_text(self, url: str, *, headers: Mapping[str, str] | None = None) -> str:
        """Return the text of a page, decoded as UTF-8; raise a `ChatError` for a bot check or any status but 200."""
        response = self.send(requests.Request("GET", url, headers=dict(headers or {})))
        if response.status != 200:
            raise self.refusal(response)
        body, complete = response.read_body(_HANDSHAKE_BYTES)
        if not complete:
            raise BadResponseError(f"{self._provider}: the page is larger than {_HANDSHAKE_BYTES} bytes")
        text = body.decode("utf-8", "replace").lstrip("\ufeff")
        if classify.is_challenge(text):
            raise classify.response_error(
                response.status, response.headers, body, provider=self._provider, rules=self._rules
            )
        return text

    def get_json(self, url: str, *, headers: Mapping[str, str] | None = None) -> Any:
        """Return a parsed JSON document; raise a `ChatError` for anything else."""
        text = self.get_text(url, headers=headers)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = reason_of(error)
        raise BadResponseError(f"{self._provider}: expected JSON and got: {text[:100]!r}", reason=reason)

    def send(self, request: requests.Request) -> Response:
        """Send a request and return the response with its body unread; redirects are not followed.

        A request whose key or signature is refused is repeated with another one, if it can be had.
        """
        response = self._send_once(request)
        while response.status in REFUSALS and self._renewals < _MAX_RENEWALS and can_repeat(request):
            try:
                renewed = self._authorization.renewed(response.status, response.headers, response.read_error)
            except BaseException:
                response.close()
                raise
            if renewed is None:
                break
            response.close()
            logger.info("%s: the key or signature was refused (%s); trying another", self._provider, response.status)
            self._authorization = renewed
            self._renewals += 1
            self._secrets = (*self._secrets, renewed.key)
            response = self._send_once(request)
        return response

    def _send_once(self, request: requests.Request) -> Response:
        url = str(request.url)
        started = time.monotonic()
        timeout = self._deadline.bound_timeout(self._timeout)
        handled = sys.exc_info()[1]
        try:
            with self._connections.pending_request(fresh=self._fresh, deadline=self._deadline) as pending:
                received = self._exchange(request, timeout, pending)
                response = Response(received, label=self._label(url), read_timeout=timeout[1], deadline=self._deadline)
                # Inside the block, so that `Connections.close` can wake this thread at any time.
                self._connections.track(response)
        except SEND_ERRORS as error:
            failure = self._send_failure(error, self._label(url), handled)
            if isinstance(failure, ConnectError):
                self._connections.forget_settings()
                failure.stale = pending.reused and failure.maybe_processed
        else:
            elapsed = time.monotonic() - started
            logger.debug("%s %s %s %.3fs", request.method, _host(url), response.status, elapsed)
            return response
        raise failure

    def add_rule(self, rule: classify.Rule) -> None:
        """Classify the refusals of this attempt by another rule first."""
        self._rules = (rule, *self._rules)

    def download(self, url: str) -> bytes:
        """Return the bytes of an image; only https to public addresses and the provider's own host are allowed."""
        return self._download(url, self._deadline)

    def fetch(self, url: str) -> bytes:
        """Return the bytes of an image after the call has ended, with a new deadline."""
        return self._download(url, Deadline(self._deadline.total, self._deadline.clock))

    def refusal(self, response: Response, *, model: str | None = None) -> ChatError:
        """Read the start of an error body and return the error it describes."""
        body = response.read_error()
        signer, header = self._authorization.signer, self._authorization.header
        auth = self._connections.auth() if signer is None else signer.auth
        rules = self._rules
        if auth is not None or self._authorization.renew is not None:
            rules = (*rules, classify.Rule(None, None, AuthenticationError, says=words_for_sign_in(auth)))
        error = self._classify(response, body, model, rules)
        sent_key = signer is None and header == "Authorization"
        says = words_for_refusal(response.status, response.headers, auth, sent_key=sent_key)
        # An error with a code is one of the service itself, and says more.
        if says is None or error.code or not isinstance(error, (AuthenticationError, BlockedError)):
            return error
        return self._classify(
            response, body, model, (classify.Rule(response.status, "", type(error), error.action, says),)
        )

    def _classify(
        self, response: Response, body: bytes, model: str | None, rules: tuple[classify.Rule, ...]
    ) -> ChatError:
        return classify.response_error(
            response.status, response.headers, body, provider=self._provider, model=model, rules=rules
        )

    def scrub(self, error: ChatError) -> None:
        """Remove the call's API keys from an error: services echo them in error bodies."""
        secrets = [*self._secrets, *keys_in(self._connections.headers), *keys_in(self._headers)]
        for secret in secrets:
            for name in ("message", "code", "request_id", "param", "reason"):
                text = getattr(error, name)
                if text:
                    setattr(error, name, hide(secret, text))
        error.args = (error.message,)

    def _download(self, url: str, deadline: Deadline) -> bytes:
        return downloads.download(
            url,
            self._connections,
            base_url=self._base_url,
            timeout=self._timeout,
            deadline=deadline,
            proxies=self._proxies,
        )

    def _exchange(self, request: requests.Request, timeout: tuple[float, float], pending: PendingRequest) -> Any:
        """Send a request straight to a pooled connection if no other code may see it, else through the Session."""
        connections = self._connections
        headers = {**(request.headers or {}), **connections.headers, **self._headers}
        has_cookies, is_signed = bool(self._unread_cookies or self._cookies), self._authorization.signer is not None
        is_plain = connections.owns_session and not (has_cookies or is_signed)
        shortcut = connections.find_shortcut() if is_plain else None
        if shortcut is None:
            return self._exchange_usually(request, headers, timeout)
        auth = self._authorization.header, self._authorization.value
        settings = connections.settings(str(request.url), self._proxies, self._direct)
        received = shortcut.send(request, headers, auth, settings, timeout, pending)
        if received is None:
            # Learned when it is sent: threads that begin together need not wait for the first answer.
            pending.when_sent = partial(shortcut.learn, request, headers, auth, settings)
            return self._exchange_usually(request, headers, timeout)
        if "Set-Cookie" in received.headers:
            self._unread_cookies.append((request, received))
        return received

    def _exchange_usually(
        self, request: requests.Request, headers: Any, timeout: tuple[float, float]
    ) -> requests.Response:
        session = self._connections.session
        hooks = [*_as_list(session.hooks.get("response")), self._keep_cookies]
        send = self._send_prepared if self._connections.owns_session else self._send_with_user_session
        try:
            return send(session, request, headers, hooks, timeout)
        except requests.HTTPError as error:
            # The user's hook called `raise_for_status`.
            if error.response is None or error.response.status_code < 400:
                raise
            return error.response
        except ValueError as error:
            # The user's Session parses the address of a redirect, though it must not follow it.
            if isinstance(error, requests.RequestException) or not passed_through(
                error, ("resolve_redirects",), "requests"
            ):
                raise
            reason = reason_of(error)
        raise BadResponseError(f"{self._provider}: redirected to an invalid URL; check base_url", reason=reason)

    def _send_prepared(
        self,
        session: requests.Session,
        request: requests.Request,
        headers: Any,
        hooks: Any,
        timeout: tuple[float, float],
    ) -> requests.Response:
        request.headers, request.hooks = headers, {"response": hooks}
        request.auth, request.cookies = self._authorization.for_url(str(request.url), self._base_url), self._jar()
        prepared = prepare(session, request, self._connections.header_cache)
        settings = self._connections.settings(str(prepared.url), self._proxies, self._direct)
        return session.send(prepared, timeout=timeout, allow_redirects=False, **settings)

    def _send_with_user_session(
        self,
        session: requests.Session,
        request: requests.Request,
        headers: Any,
        hooks: Any,
        timeout: tuple[float, float],
    ) -> requests.Response:
        # Only validates the proxy; the Session merges the settings itself.
        self._connections.settings(request.url or "", self._proxies, self._direct)
        return session.request(
            request.method or "POST",
            request.url or "",
            params=request.params,
            data=request.data,
            json=request.json,
            headers={"Accept-Encoding": "identity", **headers},
            cookies=self._jar(),
            auth=self._authorization.for_url(request.url or "", self._base_url, self._session_signer(session.auth)),
            timeout=timeout,
            allow_redirects=False,
            proxies=self._connections.explicit_proxies(self._proxies, self._direct),
            hooks={"response": hooks},
            stream=True,
            verify=self._connections.verify_for(session),
            cert=self._connections.cert,
        )

    def _session_signer(self, auth: Any) -> signers.Signer | None:
        return signers.Signer(auth, self._provider) if auth else None

    def _jar(self) -> RequestsCookieJar:
        """Return the cookies of this call: the Session would send them with the next one, even another user's."""
        if self._cookies is None:
            self._cookies = empty_jar()
        while self._unread_cookies:
            extract_cookies_to_jar(self._cookies, *self._unread_cookies.pop(0))  # type: ignore[no-untyped-call]
        return self._cookies

    def _keep_cookies(self, response: requests.Response, **_: Any) -> None:
        original = getattr(response.raw, "_original_response", None)
        if original is not None and "Set-Cookie" in response.headers:
            extract_cookies_to_jar(self._jar(), response.request, response.raw)  # type: ignore[no-untyped-call]
            del original.msg["Set-Cookie"]

    def _label(self, url: str) -> str:
        return f"{self._provider} at {_host(url)}"

    def _send_failure(self, error: BaseException, label: str, handled: BaseException | None) -> ChatError:
        remaining = self._deadline.remaining()
        failure = translate_send(error, label, handled)
        if remaining is not None and remaining <= 0 and not isinstance(failure, ConfigurationError):
            return self._deadline.error(failure.reason)
        return failure


@lru_cache(maxsize=100)
def _host(url: str) -> str | None:
    return urlsplit(url).hostname


def _as_list(hooks: Any) -> list[Any]:
    if hooks is None:
        return []
    return [hooks] if callable(hooks) else list(hooks)
