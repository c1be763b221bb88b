"""MCP over HTTP: one POST for each message, answered by JSON or by a stream of server-sent events."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Callable
from urllib.parse import urljoin, urlsplit

import requests

from aichatkit._lazy import lazy_module
from aichatkit.auth import signers
from aichatkit.errors import (
    AuthenticationError,
    ChatError,
    ConfigurationError,
    DeadlineExceededError,
    MCPError,
    TimedOutError,
)
from aichatkit.tools.mcp.events import iter_events
from aichatkit.tools.mcp.messages import MAX_MESSAGE, Limits, encode, is_answer, messages_in, rpc_error
from aichatkit.tools.mcp.wire import OnMessage, Wire, cancelled
from aichatkit.transport.authorization import Authorization
from aichatkit.transport.connections import Connections
from aichatkit.transport.readers import mime_type
from aichatkit.transport.responses import Response
from aichatkit.transport.secrets import hide, is_secret
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    from aichatkit.auth import failures
    from aichatkit.tools.mcp import listener
else:
    # Only needed once a function for a token has failed.
    failures = lazy_module("aichatkit.auth.failures")
    # Few programs answer what a server asks.
    listener = lazy_module("aichatkit.tools.mcp.listener")

__all__ = ["Endpoint", "HTTPWire"]

logger = logging.getLogger(__name__)

_ACCEPT = "application/json, text/event-stream"
_AUTH_STATUSES = (401, 403, 407)
_NO_SIGN_IN = "signing in by OAuth is not offered here"
#: Statuses with which servers say that a session is gone; the request was not executed.
_SESSION_STATUSES = (400, 401, 410, 503)
_MOVED, _REPEATED = (301, 302, 303, 307, 308), (307, 308)
#: How often a stream that ended early is resumed, and the wait before that unless the server names one, in seconds.
_RESUMES, _RETRY_SECONDS, _MAX_RETRY_SECONDS = 2, 1.0, 60.0
#: How long closing may wait for the server, in seconds.
_CLOSE_LIMITS = Limits(2.0, 2.0, 2.0)


class Endpoint:
    """The URL of a server and what every request to it carries; it sends requests and reads refusals."""

    def __init__(
        self,
        url: str,
        server: str,
        connections: Connections,
        *,
        headers: Mapping[str, str],
        token: str | Callable[[], str] | None,
        signer: signers.Signer | None = None,
    ) -> None:
        self.url = url
        self.server = server
        self._connections = connections
        self._headers = headers
        self._token = token
        self._signer = signer
        #: What a server may echo, and no error may show.
        self._secrets = [value.split()[-1] for name, value in headers.items() if value and is_secret(name, value)]
        #: Whether the URL may still be replaced by a redirect.
        self._may_move = True

    def send(
        self, method: str, limits: Limits, headers: Mapping[str, str], body: bytes | None = None, url: str | None = None
    ) -> Response:
        """Send a request and return the response, whatever its status; a new token or URL is tried once."""
        token = self._find_token()
        response = self._send(method, limits, headers, body, url or self.url, token)
        if response.status in _MOVED:
            target = self._redirect(response)
            if url is None:
                self._may_move, self.url = False, target
            response = self._send(method, limits, headers, body, target, token)
        if response.status == 401 and callable(self._token):
            fresh = self._find_token()
            if fresh != token:
                response.close()
                response = self._send(method, limits, headers, body, url or self.url, fresh)
        return response

    def refusal(self, response: Response, *, has_session: bool = False) -> ChatError:
        """Read the body of a refusal and return the error for it."""
        body = response.read_error()
        error = next((message["error"] for message in messages_in(body) if "error" in message), None)
        text = self._hide(body[:300].decode("utf-8", "replace").strip())
        # By the protocol 404, but widely used servers say it in the text of another status.
        says_so = response.status == 404 or (response.status in _SESSION_STATUSES and "session" in text.lower())
        is_lost = has_session and says_so
        if response.status in _AUTH_STATUSES and not is_lost:
            return self._auth_error(response)
        failure: MCPError
        if isinstance(error, Mapping) and "code" in error:
            error = {**error, "message": self._hide(str(error.get("message") or ""))}
            failure = rpc_error(error, self.server, status=response.status)
        else:
            shown = f": {text}" if text and not text.startswith("<") else ""
            failure = self.error("status", f"answered with status {response.status}{shown}", status=response.status)
        if is_lost and failure.code != "-32601":
            failure.code = "session"
        return failure

    def error(self, code: str, text: str, **fields: Any) -> MCPError:
        """Return the MCPError with this text."""
        return MCPError(f"MCP server {self.server!r}: {text}", server=self.server, code=code, **fields)

    def translate(self, error: ChatError, limits: Limits) -> MCPError:
        """Return the MCPError for an error of the connection."""
        if isinstance(error, DeadlineExceededError):
            text = f"no complete answer within {limits.total:g} s; raise timeout="
            return self.error("timeout", text, maybe_processed=True)
        code = "timeout" if isinstance(error, TimedOutError) else "closed"
        failure = MCPError(error.message, server=self.server, code=code, status=error.status, reason=error.reason)
        failure.maybe_processed = error.maybe_processed or code == "timeout"
        return failure

    def _send(
        self, method: str, limits: Limits, headers: Mapping[str, str], body: bytes | None, url: str, token: str
    ) -> Response:
        transport = Transport(
            self._connections,
            provider=f"MCP server {self.server!r}",
            base_url=self.url,
            timeout=Timeout(limits.connect, limits.idle),
            deadline=Deadline(limits.total),
            authorization=self._authorization(token),
            headers=self._headers,
            secrets=self._secrets,
        )
        try:
            return transport.send(requests.Request(method, url, headers=dict(headers), data=body))
        except (AuthenticationError, ConfigurationError):
            raise
        except ChatError as error:
            transport.scrub(error)
            failure = self.translate(error, limits)
        raise failure

    def _authorization(self, token: str) -> Authorization:
        if token:
            return Authorization("Authorization", f"Bearer {token}")
        return Authorization(signer=self._signer)

    def _find_token(self) -> str:
        token = self._call_token() if callable(self._token) else self._token
        if token is not None and (not isinstance(token, str) or not token or not token.isprintable()):
            raise ConfigurationError(f"token: MCP server {self.server!r} needs a non-empty string")
        if token and token not in self._secrets:
            self._secrets = [*self._secrets[-9:], token]
        return token or ""

    def _call_token(self) -> Any:
        assert callable(self._token)
        try:
            return self._token()
        except ChatError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            failure = failures.sign_in_error("token", self._token, error, provider=f"MCP server {self.server!r}")
        # Outside of the block: the exception of the function may quote a token or a password.
        raise failure

    def _hide(self, text: str) -> str:
        for secret in self._secrets:
            text = hide(secret, text)
        return text

    def _redirect(self, response: Response) -> str:
        """Return the URL of a redirect within the same origin: headers must not reach another server."""
        target = urljoin(response.url, response.headers.get("Location", ""))
        response.close()
        old, new = urlsplit(self.url), urlsplit(target)
        if not self._may_move or response.status not in _REPEATED or (old[:2] != new[:2]):
            shown = target.partition("?")[0]
            raise self.error("redirect", f"redirects to {shown}; use that URL if you trust it", status=response.status)
        return target

    def _auth_error(self, response: Response) -> AuthenticationError:
        challenge = self._hide(response.headers.get("WWW-Authenticate", "")[:300])
        if response.status == 407:
            problem = "was not reached: the proxy wants a password (407); put it into the URL of the proxy"
        elif response.status == 403:
            problem = "refused access (403): the token or the account may lack a permission"
        elif self._token is None and self._signer is None and not self._headers:
            problem = f"wants a token (401): pass token= with one that its provider issued, or headers=; {_NO_SIGN_IN}"
        else:
            problem = f"did not accept the token (401): it may be expired, or for another server; {_NO_SIGN_IN}"
        hint = f". It asks for {challenge}" if challenge else ""
        return AuthenticationError(f"MCP server {self.server!r} {problem}{hint}", status=response.status)


class HTTPWire(Wire):
    """Streamable HTTP."""

    def __init__(self, endpoint: Endpoint, on_message: OnMessage, sleep: Callable[[float], None]) -> None:
        self._endpoint = endpoint
        self._on_message = on_message
        self._sleep = sleep
        self._listener: listener.Listener | None = None

    def request(self, message: Mapping[str, Any], limits: Limits, headers: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            return self._exchange(message, limits, headers)
        except ChatError as error:
            if error.code == "timeout":
                self._cancel(message)
            raise
        except BaseException:
            self._cancel(message)
            raise

    def notify(self, message: Mapping[str, Any], limits: Limits) -> None:
        response = self._post(message, limits, {})
        logger.debug("MCP server %s: notification answered with %s", self._endpoint.server, response.status)
        response.close()

    def listen(self, limits: Limits) -> None:
        self._end_listener()
        receive = partial(self._receive, limits=limits)
        self._listener = listener.Listener(self._endpoint.server, self._get, receive, limits)

    def close(self) -> None:
        self._end_listener()
        session_id, self.session_id = self.session_id, ""
        if session_id:
            headers = {**self.version_headers, "Mcp-Session-Id": session_id}
            try:
                self._endpoint.send("DELETE", _CLOSE_LIMITS, headers).close()
            except ChatError as error:
                logger.debug("MCP server %s: %s", self._endpoint.server, error)

    def _exchange(self, message: Mapping[str, Any], limits: Limits, headers: Mapping[str, str]) -> Mapping[str, Any]:
        response = self._post(message, limits, headers)
        if not 200 <= response.status < 300:
            raise self._endpoint.refusal(response, has_session=bool(self.session_id))
        if message["method"] == "initialize":
            self.session_id = response.headers.get("Mcp-Session-Id", "")
        try:
            return self._read_answer(response, message["id"], limits)
        except (AuthenticationError, ConfigurationError, MCPError):
            raise
        except ChatError as error:
            failure = self._endpoint.translate(error, limits)
        finally:
            response.close()
        failure.maybe_processed = True
        raise failure

    def _post(self, message: Mapping[str, Any], limits: Limits, headers: Mapping[str, str]) -> Response:
        fields = {"Content-Type": "application/json", "Accept": _ACCEPT, **self._session_headers(), **headers}
        return self._endpoint.send("POST", limits, fields, encode(message))

    def _session_headers(self) -> dict[str, str]:
        session = {"Mcp-Session-Id": self.session_id} if self.session_id else {}
        return {**self.version_headers, **session}

    def _read_answer(self, response: Response, request_id: int, limits: Limits) -> Mapping[str, Any]:
        if mime_type(response.headers) == "text/event-stream":
            return self._read_stream(response, request_id, limits)
        body, is_complete = response.read_body(MAX_MESSAGE)
        if not is_complete:
            raise self._lost("unreadable", f"the answer is longer than {MAX_MESSAGE >> 20} MiB")
        for message in messages_in(body):
            # An error without an ID can be about nothing else.
            if is_answer(message, request_id) or (message.get("id") is None and "error" in message):
                return message
            self._receive(message, limits)
        raise self._lost("unreadable", f"the response is not an answer: {body[:100].decode('utf-8', 'replace')!r}")

    def _read_stream(self, response: Response, request_id: int, limits: Limits) -> Mapping[str, Any]:
        """Return the answer in a stream; one that ends early is resumed where the server says how."""
        last_id, wait = "", _RETRY_SECONDS
        resumes = 0
        while True:
            try:
                for event in iter_events(_blocks(response)):
                    last_id = event.id or last_id
                    wait = wait if event.retry is None else min(event.retry / 1000, _MAX_RETRY_SECONDS)
                    for message in messages_in(event.data):
                        if is_answer(message, request_id):
                            # The connection is kept if the stream ends at once.
                            response.finish()
                            return message
                        self._receive(message, limits)
            except TimedOutError:
                raise
            except ChatError as error:
                if self.is_modern or not last_id or isinstance(error, DeadlineExceededError):
                    raise
            finally:
                response.close()
            if self.is_modern or not last_id or resumes == _RESUMES:
                raise self._lost("closed", "the stream ended without an answer")
            resumes += 1
            self._sleep(wait)
            response = self._get(limits, last_id)
            if response.status != 200:
                raise self._endpoint.refusal(response)

    def _get(self, limits: Limits, last_id: str) -> Response:
        """Open the server's own stream, or go on with one after an event."""
        resumed = {"Last-Event-ID": last_id} if last_id else {}
        return self._endpoint.send("GET", limits, {"Accept": "text/event-stream", **self._session_headers(), **resumed})

    def _end_listener(self) -> None:
        ended, self._listener = self._listener, None
        if ended is not None:
            ended.close()

    def _receive(self, message: Mapping[str, Any], limits: Limits) -> None:
        reply = self._on_message(message)
        if reply is not None:
            try:
                self.notify(reply, limits)
            except ChatError as error:
                logger.debug("MCP server %s: %s", self._endpoint.server, error)

    def _cancel(self, message: Mapping[str, Any]) -> None:
        """Cancel the request in a session; elsewhere, closing the connection does."""
        if self.is_modern or message["method"] == "initialize":
            return
        try:
            self.notify(cancelled(message), _CLOSE_LIMITS)
        except ChatError as error:
            logger.debug("MCP server %s: %s", self._endpoint.server, error)

    def _lost(self, code: str, text: str) -> MCPError:
        return self._endpoint.error(code, text, maybe_processed=True)


def _blocks(response: Response) -> Iterator[bytes]:
    return iter(response.read_block, b"")
