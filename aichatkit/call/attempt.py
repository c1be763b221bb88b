"""One target: its keys, its pace and its tries, until it answers or gives up."""

from __future__ import annotations

import ipaddress
import logging
import random
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Callable, TypeVar
from urllib.parse import urlsplit

from aichatkit._dataclasses import dataclass, field, replace
from aichatkit._lazy import lazy_module
from aichatkit.call.answer import Answer
from aichatkit.call.request import ProviderRequest, check_ask, open_answer, optional_fields
from aichatkit.call.targets import Target, parse_key
from aichatkit.catalog.prices import Price
from aichatkit.errors import (
    AuthenticationError,
    BadRequestError,
    ChatError,
    ConnectError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
)
from aichatkit.limits.cooldowns import CooldownKey, Cooldowns
from aichatkit.limits.pauses import Pauses
from aichatkit.limits.retries import RetryBudget, RetryPolicy, RetryState, retry
from aichatkit.limits.waits import Sleeper, Wait
from aichatkit.messages import Message
from aichatkit.options import parse_url
from aichatkit.providers.base import Options, Provider
from aichatkit.reply import Attempt, Reply
from aichatkit.transport.connections import Connections
from aichatkit.transport.timeouts import Deadline, Timeout
from aichatkit.transport.transport import Transport

if TYPE_CHECKING:
    from aichatkit import _warnings, hooks
    from aichatkit.limits import rate_limits
else:
    # Few calls are watched, paced, or told of what is left out.
    _warnings = lazy_module("aichatkit._warnings")
    hooks = lazy_module("aichatkit.hooks")
    rate_limits = lazy_module("aichatkit.limits.rate_limits")

__all__ = [
    "Call",
    "CallContext",
    "ask_target",
    "is_local",
    "make_provider",
    "open_transport",
    "provider_keys",
    "subjects_of",
]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECT = 5.0
#: Longest silence of a server on this machine: it may first have to load its model.
_LOCAL_READ = 300.0
#: How much of what is asked for again is kept, each; who asks for more models than that makes it anew.
_REMEMBERED = 256
#: What another key of the same provider may cure.
_KEY_TROUBLE = (RateLimitError, QuotaExceededError, AuthenticationError, PermissionDeniedError)


@dataclass(frozen=True)
class CallContext:
    """What a client brings to each of its calls."""

    connections: Connections
    closing: threading.Event
    keys: Mapping[str, Sequence[str]] = field(repr=False)
    base_urls: Mapping[str, str]
    health: Cooldowns
    budget: RetryBudget
    pacer: rate_limits.RateLimiter | None = None
    on_wait: Callable[[Wait], None] | None = None
    #: Fields a model refused, by provider and model: left out from then on.
    dropped: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    pauses: Pauses = field(default_factory=Pauses)
    on_request: Callable[[Any], None] | None = None
    #: What calls ask for again and again: providers by class and address, subjects by provider, key and model.
    providers: dict[tuple[type[Provider], str | None], Provider] = field(default_factory=dict, repr=False)
    subjects: dict[tuple[str, str | None, str], CooldownKey] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Call:
    """What one call asks, of whom, and within which limits."""

    targets: Sequence[Target]
    messages: Sequence[Message]
    options: Options
    timeout: Timeout
    deadline: Deadline
    policy: RetryPolicy
    headers: Mapping[str, str]
    proxies: Mapping[str, str] | None
    prices: Mapping[str, Price] = field(default_factory=dict, repr=False)
    strict: bool = False
    keep_raw: bool = False
    #: Whether it waits also for the pauses that other calls were asked to make.
    patient: bool = False

    def waiting(self, setup: CallContext) -> Sleeper:
        """Return how this call waits."""
        return Sleeper(self.deadline, setup.closing, setup.on_wait, self.policy.sleep, self.policy.now)


def ask_target(target: Target, call: Call, setup: CallContext, waiting: Sleeper, attempts: list[Attempt]) -> Answer:
    """Return the answer of one target with its first text in hand; every try is added to `attempts`."""
    name = target.provider.name
    tries = RetryState(call.policy, waiting, setup.budget, name, target.model, attempts)
    used: list[CooldownKey] = []
    try:
        provider = make_provider(target.provider, setup)
        ask = ProviderRequest(provider, target.model, call.messages, call.options, call.prices, keep_raw=call.keep_raw)
        check_ask(ask)
        return retry(lambda: _open_with_keys(ask, call, setup, tries, used), tries)
    except BaseException as error:
        if isinstance(error, ChatError):
            error.provider, error.model = error.provider or name, error.model or target.model
            if used and not isinstance(error, _KEY_TROUBLE):
                setup.health.failed(used[-1], error)
        # What was not asked after all, or gave no verdict, is free for the probe of another call.
        for subject in subjects_of(target, setup):
            setup.health.unresolved(subject)
        raise


def subjects_of(target: Target, setup: CallContext) -> list[CooldownKey]:
    """Return whom a target may ask: its provider and model with each key."""
    given: Sequence[str | None] = setup.keys.get(target.provider.name) or [target.provider.find_key()]
    return [_subject(target.provider.name, key, target.model, setup) for key in given]


def make_provider(kind: type[Provider], setup: CallContext) -> Provider:
    """Return a provider at the address the user chose: by option, by environment, else its own."""
    url = setup.base_urls.get(kind.name)
    if url is None:
        found = kind.find_base_url()
        url = parse_url(found, told=kind.base_url_env or kind.name) if found else None
    provider = setup.providers.get((kind, url))
    if provider is None:
        provider = _remember(setup.providers, (kind, url), kind(url))
    return provider


def provider_keys(provider: Provider, setup: CallContext) -> Sequence[str | None]:
    """Return the keys to ask with, [None] where none is needed; raise MissingKeyError where one is missing."""
    given = setup.keys.get(provider.name)
    if given:
        return list(given)
    found = provider.find_key()
    if found is not None:
        return [parse_key(found, provider=provider.name)]
    if provider.wants_key():
        raise provider.missing_key()
    return [None]


def open_transport(
    provider: Provider, key: str | None, call: Call, setup: CallContext, deadline: Deadline, *, anew: bool = False
) -> Transport:
    """Return the way to one provider for one try, `anew` where it shall be a connection of its own."""
    read = _LOCAL_READ if is_local(provider.url) else provider.read_timeout
    return Transport(
        setup.connections,
        provider=provider.name,
        base_url=provider.url,
        timeout=call.timeout.filled(connect=_CONNECT, read=read),
        deadline=deadline,
        auth=provider.sign(key) if key else ("", ""),
        headers=call.headers,
        proxies=call.proxies,
        direct=provider.direct and is_local(provider.url),
        fresh=anew,
        rules=provider.rules,
        secrets=tuple({*([key] if key else ()), *setup.keys.get(provider.name, ())}),
    )


def _open_with_keys(
    ask: ProviderRequest, call: Call, setup: CallContext, tries: RetryState, used: list[CooldownKey]
) -> Answer:
    """One try: a key that is limited or used up steps aside for the next one at once.

    Where all of them have, the error of the one that can be asked again first comes out.
    """
    keys = provider_keys(ask.provider, setup)
    subjects = [_subject(ask.provider.name, key, ask.model, setup) for key in keys]
    order = sorted(range(len(keys)), key=lambda i: setup.health.peek(subjects[i], probes=False))
    failures: list[ChatError] = []
    for i in order:
        if failures and setup.health.peek(subjects[i], probes=False) > 0:
            continue
        used.append(subjects[i])
        started = tries.policy.now()
        try:
            return _open_without(ask, keys[i], subjects[i], call, setup, tries)
        except _KEY_TROUBLE as error:
            setup.health.failed(subjects[i], error)
            error.__traceback__ = None
            tries.note(error, started)
            failures.append(error)
            if len(keys) > 1:
                logger.info("%s: a key steps aside (%s)", ask.provider.name, type(error).__name__)
    raise min(failures, key=_time_to_wait)


def _subject(provider: str, key: str | None, model: str, setup: CallContext) -> CooldownKey:
    place = (provider, key, model)
    return setup.subjects.get(place) or _remember(setup.subjects, place, CooldownKey.of(*place))


def _remember(known: dict[Any, T], name: Any, thing: T) -> T:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[name] = thing
    return thing


def _time_to_wait(error: ChatError) -> tuple[bool, float]:
    return error.action != "retry", error.cooldown if error.retry_after is None else error.retry_after


def _open_without(
    ask: ProviderRequest, key: str | None, subject: CooldownKey, call: Call, setup: CallContext, tries: RetryState
) -> Answer:
    """Leave out a field the model refuses and the caller does not insist on, and remember that for the model."""
    place = (ask.provider.name, ask.model)
    while True:
        left_out = frozenset() if call.strict else setup.dropped.get(place, frozenset())
        try:
            lean = replace(ask, left_out=left_out) if left_out else ask
            return _open_once(lean, key, subject, call, setup, tries)
        except BadRequestError as error:
            refused = error.param if not call.strict else None
            if refused is None or refused in left_out or refused not in optional_fields(ask):
                raise
        _remember(setup.dropped, place, left_out | {refused})
        _warnings.warn_user(
            f"{ask.provider.name}: {ask.model} does not take {refused!r}, so it is left out; strict=True forbids that"
        )


def _open_once(
    ask: ProviderRequest, key: str | None, subject: CooldownKey, call: Call, setup: CallContext, tries: RetryState
) -> Answer:
    if call.patient:
        _await_pauses(subject, call, setup, tries)
    release = _pace(ask, subject, call, setup, tries)
    anew = bool(tries.attempts) and getattr(tries.attempts[-1].error, "stale", False)
    http = open_transport(ask.provider, key, call, setup, tries.waiting.deadline, anew=anew)
    try:
        telling = None if setup.on_request is None else partial(_tell_request, ask, call, setup, tries)
        answer = open_answer(ask, http, clock=call.policy.now, on_request=telling)
    except BaseException as error:
        release(None)
        if isinstance(error, RateLimitError) and error.retry_after is not None:
            setup.pauses.note(subject, error.retry_after)
        if isinstance(error, ChatError):
            http.scrub(error)
            _advise(error, ask.provider)
            error.provider, error.model = error.provider or ask.provider.name, error.model or ask.model
        raise
    setup.health.succeeded(subject)
    answer.when_closed(release)
    answer.when_failed(lambda error: setup.health.failed(subject, error))
    return answer


def _tell_request(ask: ProviderRequest, call: Call, setup: CallContext, tries: RetryState, request: Any) -> None:
    record = hooks.RequestInfo(
        ask.provider.name,
        ask.model,
        str(request.method),
        hooks.bare_url(str(request.url)),
        hooks.shown_headers(request.headers or {}, setup.connections.headers, call.headers),
        ask.messages,
        ask.options.params,
        len(tries.attempts) + 1,
    )
    hooks.tell("request", setup.on_request, record)


def _advise(error: ChatError, provider: Provider) -> None:
    if provider.not_running and isinstance(error, ConnectError) and not error.maybe_processed:
        error.message = f"{error.message} {provider.not_running}"
        error.args = (error.message,)


def _await_pauses(subject: CooldownKey, call: Call, setup: CallContext, tries: RetryState) -> None:
    """Wait for the end of a pause the service asked for, and of each later one that comes up meanwhile."""
    seen = 0.0
    while (until := setup.pauses.until(subject)) > max(seen, call.policy.now()):
        seen, left = until, until - call.policy.now()
        if left > call.policy.max_wait:
            told = f"{subject.provider}: it asked to be left alone, for {left:.0f} s more"
            raise RateLimitError(told, retry_after=left)
        # Many workers wait for the same moment.
        seconds = left + (call.policy.random or random.random)() * min(1.0, left * 0.1)
        tries.waiting.wait(Wait(subject.provider, subject.model, seconds))
        tries.paced += seconds


def _pace(
    ask: ProviderRequest, subject: CooldownKey, call: Call, setup: CallContext, tries: RetryState
) -> Callable[[Reply | None], None]:
    if setup.pacer is None:
        return lambda reply: None
    weight = sum(
        rate_limits.estimate_tokens(message.content) for message in call.messages if isinstance(message.content, str)
    )
    most = call.options.params.get("max_tokens")
    # What is no number the service refuses in its own words.
    weight += most if isinstance(most, int) else 0
    slot, waited = setup.pacer.enter(ask.provider.name, subject.key, ask.model, max(weight, 1), tries.waiting)
    tries.paced += waited
    return lambda reply: slot.release(reply.usage.total_tokens if reply is not None else None)


@lru_cache(maxsize=256)
def is_local(url: str) -> bool:
    """Tell whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
