"""Requests about batch jobs: JSON documents, uploads and downloads, retried unless a second one would cost twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Callable
from urllib.parse import urlsplit

import requests

from aichatkit._dataclasses import NamedTuple, replace
from aichatkit._reasons import reason_of
from aichatkit.batch_jobs.lines import FileBody, Spool
from aichatkit.call.attempt import open_transport
from aichatkit.call.call import Call
from aichatkit.call.targets import AnyKey
from aichatkit.classification.rules import Rule, is_html
from aichatkit.errors import BadRequestError, BadResponseError, ChatError
from aichatkit.limits.retries import RetryState, clock_of, retry
from aichatkit.limits.waits import Sleeper
from aichatkit.providers.base import Provider
from aichatkit.transport.responses import Response
from aichatkit.transport.timeouts import Deadline, Timeout

__all__ = ["JobHTTP"]

#: The largest document about jobs, in bytes: a page of them, or a job with its results.
_MAX_DOCUMENT = 64 << 20
#: An upload may take the time that its bytes take at this rate, in bytes per second, and this many seconds more.
_SLOWEST, _PATIENCE = 100_000, 60.0
#: What it means if a job or a file is not there.
_SAYS_LOST = ("not found", "it was deleted, it has expired, or it belongs to another key")
_LOST = tuple(Rule(status, "", BadRequestError, says=_SAYS_LOST) for status in (404, 410))


class Document(NamedTuple):
    """A JSON document with the headers it came with."""

    value: Any
    headers: Mapping[str, str]


class JobHTTP:
    """The HTTP access to the jobs of one provider with one key."""

    def __init__(self, provider: Provider, key: AnyKey, call: Call) -> None:
        self.provider = provider
        self.key = key
        self.call = call
        settings = provider.find_settings()
        self.api_version = settings.pop("api-version", "")
        self._headers = {**provider.headers, **settings}

    def get(self, url: str, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a JSON object."""
        request = requests.Request("GET", url, params=dict(params or {}), headers=dict(self._headers))
        return self._object(self._exchange(lambda: request, _read_json, rules=_LOST))

    def post(self, url: str, payload: Any, *, is_safe: bool) -> dict[str, Any]:
        """Send a JSON body and return the JSON object that answers it; only a safe request is sent again."""
        body = json.dumps(payload).encode()
        rules = _LOST if is_safe else ()
        document = self._exchange(lambda: self._json_request(url, body), _read_json, is_safe=is_safe, rules=rules)
        return self._object(document)

    def post_spool(self, url: str, body: Callable[[], FileBody]) -> dict[str, Any]:
        """Send a JSON body from a file, once, and return the JSON object that answers it."""

        def build() -> requests.Request:
            headers = {**self._headers, "Content-Type": "application/json"}
            return requests.Request("POST", url, data=body(), headers=headers)

        return self._object(self._exchange(build, _read_json, is_safe=False, size=len(body())))

    def start(self, url: str, payload: Any, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Send a JSON body and return the headers of the response."""
        body = json.dumps(payload).encode()
        document: Document = self._exchange(lambda: self._json_request(url, body, headers), _read_head)
        return document.headers

    def upload(
        self, url: str, body: Callable[[], FileBody], headers: Callable[[FileBody], Mapping[str, str]]
    ) -> dict[str, Any]:
        """Upload a file and return the JSON object that answers it; the bytes are read again for each attempt."""

        def build() -> requests.Request:
            data = body()
            return requests.Request("POST", url, data=data, headers={**self._headers, **headers(data)})

        is_own = urlsplit(url).netloc == urlsplit(self.provider.url).netloc
        # A URL for one upload elsewhere is its own permission.
        key = self.key if is_own else None
        return self._object(self._exchange(build, _read_json, size=len(body()), key=key))

    def download(self, url: str) -> Spool:
        """Download a file to the disk and return it; an attempt that breaks off starts again."""
        request = requests.Request("GET", url, headers=dict(self._headers))
        spool: Spool = self._exchange(lambda: request, _read_file, rules=_LOST)
        return spool

    def delete(self, url: str) -> None:
        """Delete something; a refusal is an error like any other."""
        request = requests.Request("DELETE", url, headers=dict(self._headers))
        self._exchange(lambda: request, lambda response: response.read_body(_MAX_DOCUMENT), rules=_LOST)

    def _json_request(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> requests.Request:
        headers = {**self._headers, "Content-Type": "application/json", **(headers or {})}
        return requests.Request("POST", url, data=body, headers=headers)

    def _exchange(
        self,
        build: Callable[[], requests.Request],
        read: Callable[[Response], Any],
        *,
        is_safe: bool = True,
        size: int = 0,
        key: AnyKey = "",
        rules: Sequence[Rule] = (),
    ) -> Any:
        exchange = _Exchange(self, build, read, size, self.key if key == "" else key, rules)
        if is_safe:
            return retry(exchange)
        return exchange.open()

    def _object(self, document: Document) -> dict[str, Any]:
        if isinstance(document.value, list):
            # Some services list jobs without anything around them.
            return {"data": document.value}
        if isinstance(document.value, dict):
            return document.value
        raise BadResponseError(
            f"{self.provider.name}: a JSON object was expected, not {type(document.value).__name__}",
            provider=self.provider.name,
        )


class _Exchange:
    """One request that `retry` may send more than once."""

    def __init__(
        self,
        owner: JobHTTP,
        build: Callable[[], requests.Request],
        read: Callable[[Response], Any],
        size: int,
        key: Any,
        rules: Sequence[Rule],
    ) -> None:
        call = owner.call
        policy = replace(call.policy, ambiguous=call.policy.attempts)
        extra = _PATIENCE + size / _SLOWEST if size else 0.0
        timeout = call.timeout
        if extra:
            read_timeout = max(timeout.read or owner.provider.read_timeout, extra)
            timeout = Timeout(timeout.connect, read_timeout, None if timeout.total is None else timeout.total + extra)
        self._call = replace(call, timeout=timeout, deadline=Deadline(timeout.total, policy.now))
        self._provider, self._key = owner.provider, key
        self._build, self._read, self._rules = build, read, rules
        sleeper = Sleeper(self._call.deadline, call.context.closing, call.context.on_wait, policy.sleep)
        name, model = owner.provider.name, call.targets[0].model
        self.state = RetryState(policy, sleeper, call.context.retry_budget, name, model, [], clock_of(policy))

    def open(self) -> Any:
        """Send the request, and read the response to its end."""
        call = replace(self._call, deadline=Deadline(self._call.timeout.total, self._call.policy.now))
        http = open_transport(self._provider, self._key, call, rules=self._rules)
        name = self._provider.name
        try:
            response = http.send(self._build())
            try:
                if not 200 <= response.status < 300:
                    raise http.refusal(response)
                return self._read(response)
            finally:
                response.close()
        except ChatError as error:
            failure = error
        http.scrub(failure)
        if not failure.message.startswith(name):
            failure.message = f"{name}: {failure.message}"
            failure.args = (failure.message,)
        failure.provider = failure.provider or name
        raise failure


def _read_json(response: Response) -> Document:
    body, is_complete = response.read_body(_MAX_DOCUMENT)
    problem = "" if is_complete else f"it is larger than {_MAX_DOCUMENT >> 20} MiB"
    reason = ""
    try:
        return Document(json.loads(body), response.headers)
    except (ValueError, RecursionError) as error:
        problem = problem or f"it is not JSON: {body[:100].decode('utf-8', 'replace')!r}"
        reason = reason_of(error)
    # The request was accepted, so what it asks for may have happened.
    failure = BadResponseError(f"the response cannot be read: {problem}", reason=reason, maybe_processed=True)
    failure.action = "retry"
    raise failure


def _read_head(response: Response) -> Document:
    return Document(response.read_body(_MAX_DOCUMENT), response.headers)


def _read_file(response: Response) -> Spool:
    """Read a body into a file."""
    spool = Spool()
    try:
        first = True
        for block in iter(response.read_block, b""):
            if first and is_html(response.headers.get("Content-Type", ""), block[:512]):
                raise BadResponseError("a web page was sent in place of the results", action="retry")
            first = False
            spool.write(block)
    except BaseException:
        spool.close()
        raise
    return spool
