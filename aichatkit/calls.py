"""One call: the targets in order, each with its own tries, until one answers."""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Callable
from urllib.parse import urlsplit

from aichatkit.answers import Answer
from aichatkit.errors import AllProvidersFailedError, ChatError
from aichatkit.messages import Message
from aichatkit.opening import Ask, open_answer
from aichatkit.providers.base import Options, Provider
from aichatkit.reply import Attempt
from aichatkit.retries import RetryPolicy, Tries, Wait, retry
from aichatkit.targets import Target, check_key
from aichatkit.timeouts import Deadline, Timeout
from aichatkit.transport import Connections, Transport

__all__ = ["Call", "Setup", "open_call", "open_transport"]

logger = logging.getLogger(__name__)

_CONNECT = 5.0
#: Longest silence of a server on this machine: it may first have to load its model.
_LOCAL_READ = 300.0


@dataclass(frozen=True)
class Setup:
    """What a client brings to each of its calls."""

    connections: Connections
    closing: threading.Event
    keys: Mapping[str, str] = field(repr=False)
    base_urls: Mapping[str, str]
    on_wait: Callable[[Wait], None] | None = None


@dataclass(frozen=True)
class Call:
    """What one call asks, of whom, and within which limits."""

    targets: Sequence[Target]
    messages: Sequence[Message]
    options: Options
    timeout: Timeout
    policy: RetryPolicy
    headers: Mapping[str, str]
    proxies: Mapping[str, str] | None


def open_call(call: Call, setup: Setup) -> Answer:
    """Return an answer with its first text in hand, from the first target that gives one."""
    deadline = Deadline(call.timeout.total, call.policy.now)
    attempts: list[Attempt] = []
    errors: list[ChatError] = []
    for target in call.targets:
        try:
            answer = _ask(target, call, setup, deadline, attempts)
        except ChatError as error:
            failure = error
        else:
            answer.attempts.extend(attempts)
            return answer
        failure.attempts = list(attempts)
        errors.append(failure)
        if failure.action == "stop":
            break
        logger.info("%s failed (%s), moving on", target.provider.name, type(failure).__name__)
    last = errors[-1]
    if len(errors) > 1 and last.action != "stop":
        last = _all_failed(errors, attempts)
    for failed in errors:
        failed.__traceback__ = None
    raise last


def open_transport(target: Target, provider: Provider, call: Call, setup: Setup, deadline: Deadline) -> Transport:
    """Return the way to one provider; raise MissingKeyError where it needs a key and none is known."""
    read = _LOCAL_READ if _is_local(provider.url) else provider.read_timeout
    key = setup.keys.get(provider.name) or provider.find_key()
    if key is not None:
        key = check_key(key, provider=provider.name)
    elif provider.needs_key and provider.key_variables() and provider.url == type(provider).url:
        raise provider.missing_key()
    return Transport(
        setup.connections,
        provider=provider.name,
        home=provider.url,
        timeout=call.timeout.filled(connect=_CONNECT, read=read),
        deadline=deadline,
        auth=(provider.key_header, provider.key_prefix + key) if key else ("", ""),
        headers=call.headers,
        proxies=call.proxies,
        direct=provider.direct,
        rules=provider.rules,
        secrets=(key,) if key else (),
    )


def _ask(target: Target, call: Call, setup: Setup, deadline: Deadline, attempts: list[Attempt]) -> Answer:
    provider = make_provider(target.provider, setup)
    ask = Ask(provider, target.model, call.messages, call.options)
    tries = Tries(
        policy=call.policy,
        deadline=deadline,
        closing=setup.closing,
        provider=target.provider.name,
        model=target.model,
        attempts=attempts,
        on_wait=setup.on_wait,
    )

    def open_once() -> Answer:
        http = open_transport(target, provider, call, setup, deadline)
        try:
            return open_answer(ask, http, clock=call.policy.now)
        except ChatError as error:
            http.scrub(error)
            raise

    return retry(open_once, tries)


def make_provider(kind: type[Provider], setup: Setup) -> Provider:
    """Return a provider at the address the user chose: by option, by environment, else its own."""
    return kind(setup.base_urls.get(kind.name) or kind.find_base_url())


def _all_failed(errors: Sequence[ChatError], attempts: Sequence[Attempt]) -> AllProvidersFailedError:
    told = "; ".join(f"{type(error).__name__}: {error}" for error in errors)
    hints = [error.retry_after for error in errors if error.retry_after is not None]
    return AllProvidersFailedError(
        f"all {len(errors)} providers failed: {told}",
        errors=errors,
        attempts=attempts,
        retry_after=min(hints) if hints else None,
    )


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
